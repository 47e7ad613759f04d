//! Forgetting what is old, in statements of a bounded size that wait for no lock.

use chrono::{DateTime, Utc};

use super::Inner;
use crate::domain::Timestamp;
use crate::store::StoreError;

/// Rows one statement looks at, as the SQL has it.
const CHUNK: i64 = 500;

impl Inner {
    pub(super) async fn purge(&self, tombstones: Timestamp, keys: Timestamp) -> Result<u64, StoreError> {
        let tombstones =
            self.purge_all(include_str!("sql/purge_tombstones.sql"), tombstones.to_datetime()).await?;
        let keys = self.purge_all(include_str!("sql/purge_keys.sql"), keys.to_datetime()).await?;
        Ok(tombstones + keys)
    }

    /// Repeats a part until nothing is left for it, or all that is left is held by somebody else.
    async fn purge_all(&self, sql: &str, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let rows = self.query(sql, &[&before]).await?;
            let (seen, gone): (i64, i64) = rows.first().map_or((0, 0), |row| (row.get(0), row.get(1)));
            all += gone.unsigned_abs();
            if seen < CHUNK || gone == 0 {
                return Ok(all);
            }
        }
    }
}
