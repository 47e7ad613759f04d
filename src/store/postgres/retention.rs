//! Purges old tombstones and keys, in statements of a bounded size that wait for no lock.

use tokio_postgres::types::ToSql;

use super::connection::read_pool::ReadPool;
use crate::domain::{Seq, Timestamp, UserId};
use crate::store::StoreError;
use crate::store::batch::KEY_ROW;
use crate::store::retention::repeat;

/// Removes older tombstones and keys. Returns how many rows were removed.
pub(super) async fn purge(
    pool: &ReadPool,
    tombstones: Timestamp,
    keys: Timestamp,
) -> Result<u64, StoreError> {
    let (tombstones, keys, key_row) = (tombstones.to_datetime(), keys.to_datetime(), i64::from(KEY_ROW));
    Ok(all(pool, include_str!("sql/purge_tombstones.sql"), &[&tombstones]).await?
        + all(pool, include_str!("sql/purge_keys.sql"), &[&keys, &key_row]).await?)
}

/// Repeats a statement that removes a bounded number of rows and returns how many, until it finds none.
async fn all(pool: &ReadPool, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
    let step = async || {
        let rows = pool.query(sql, params).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    };
    repeat(step).await
}

/// Moves a user's horizon up to $2, at most to the user's seq.
const MOVE_HORIZON: &str =
    "UPDATE users SET horizon = least($2, seq) WHERE id = $1 AND horizon < least($2, seq)";

/// Removes one user's tombstones that the horizon has passed. Returns how many rows were removed.
pub(super) async fn forget(pool: &ReadPool, user: UserId, before: Seq) -> Result<u64, StoreError> {
    let (user, before) = (user.as_uuid(), before.get());
    // On its own, so that the user's row is locked for an instant only.
    pool.query(MOVE_HORIZON, &[&user, &before]).await?;
    all(pool, include_str!("sql/forget.sql"), &[&user, &before]).await
}
