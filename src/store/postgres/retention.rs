//! Purges old tombstones and keys, in statements of a bounded size that wait for no lock.

use super::connection::read_pool::ReadPool;
use crate::domain::Timestamp;
use crate::store::StoreError;
use crate::store::retention::repeat;

/// Removes older tombstones and keys. Returns how many rows were removed.
pub(super) async fn purge(
    pool: &ReadPool,
    tombstones: Timestamp,
    keys: Timestamp,
) -> Result<u64, StoreError> {
    let step = async |sql, before: Timestamp| {
        let rows = pool.query(sql, &[&before.to_datetime()]).await?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs()))
    };
    Ok(repeat(|| step(include_str!("sql/purge_tombstones.sql"), tombstones)).await?
        + repeat(|| step(include_str!("sql/purge_keys.sql"), keys)).await?)
}
