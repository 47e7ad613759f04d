//! Forgetting what is old, in statements of a bounded size that wait for no lock.

use chrono::{DateTime, Utc};

use super::connection::read_pool::ReadPool;
use crate::domain::Timestamp;
use crate::store::StoreError;

/// Forgets deletions and keys that are older. Says how many of both went.
pub(super) async fn purge(
    pool: &ReadPool,
    tombstones: Timestamp,
    keys: Timestamp,
) -> Result<u64, StoreError> {
    let tombstones =
        purge_all(pool, include_str!("sql/purge_tombstones.sql"), tombstones.to_datetime()).await?;
    let keys = purge_all(pool, include_str!("sql/purge_keys.sql"), keys.to_datetime()).await?;
    Ok(tombstones + keys)
}

/// Repeats a part until it finds nothing more that nobody else holds.
async fn purge_all(pool: &ReadPool, sql: &str, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let mut all = 0;
    loop {
        let rows = pool.query(sql, &[&before]).await?;
        match rows.first().map_or(0, |row| row.get::<_, i64>(0)) {
            0 => return Ok(all),
            gone => all += gone.unsigned_abs(),
        }
    }
}
