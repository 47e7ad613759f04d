//! What an audit reads from the database.

use async_trait::async_trait;
use uuid::Uuid;

use super::store::PostgresStore;
use crate::domain::UserId;
use crate::store::StoreError;
use crate::store::check::Audit;

/// Counts the rows without a user, for each table whose rows belong to one.
const ORPHANS: &str = "
    SELECT 'tasks', count(*) FROM tasks WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)
    UNION ALL
    SELECT 'tombstones', count(*) FROM tombstones WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)
    UNION ALL
    SELECT 'idempotency_keys', count(*) FROM idempotency_keys
    WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)";

impl PostgresStore {
    async fn number(&self, sql: &'static str) -> Result<i64, StoreError> {
        let rows = self.ask(sql, Vec::new()).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}

#[async_trait]
impl Audit for PostgresStore {
    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>, StoreError> {
        let sql = "SELECT id FROM users WHERE id >= $1 ORDER BY id OFFSET $2 LIMIT $3";
        // From the first id that there can be, or from `after`, which is skipped.
        let first = after.map_or(Uuid::nil(), UserId::as_uuid);
        let (skipped, limit) = (i64::from(after.is_some()), i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = self.ask(sql, vec![Box::new(first), Box::new(skipped), Box::new(limit)]).await?;
        Ok(rows.iter().map(|row| UserId::from_uuid(row.get(0))).collect())
    }

    async fn count_users(&self) -> Result<u64, StoreError> {
        self.number("SELECT count(*) FROM users").await.map(i64::unsigned_abs)
    }

    async fn schema_version(&self) -> Result<i64, StoreError> {
        self.number("SELECT max(version)::bigint FROM refinery_schema_history").await
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.ask(ORPHANS, Vec::new()).await?;
        let orphans = rows.iter().map(|row| (row.get::<_, &str>(0), row.get::<_, i64>(1)));
        let orphans = orphans.filter(|(_, count)| *count > 0);
        Ok(orphans.map(|(table, count)| format!("{count} rows of {table} have no user")).collect())
    }
}
