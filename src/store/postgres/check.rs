//! What an audit asks of the database.

use async_trait::async_trait;
use uuid::Uuid;

use super::store::PostgresStore;
use crate::domain::UserId;
use crate::store::StoreError;
use crate::store::check::Audit;

/// Tables whose rows belong to a user.
const OWNED: [&str; 3] = ["tasks", "tombstones", "idempotency_keys"];

impl PostgresStore {
    async fn number(&self, sql: &'static str) -> Result<i64, StoreError> {
        let rows = self.ask(sql, Vec::new()).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}

#[async_trait]
impl Audit for PostgresStore {
    async fn users(&self, after: Option<UserId>, most: usize) -> Result<Vec<UserId>, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = match after {
            Some(user) => {
                let sql = "SELECT id FROM users WHERE id > $1 ORDER BY id LIMIT $2";
                self.ask(sql, vec![Box::new(user.as_uuid()), Box::new(most)]).await?
            }
            None => self.ask("SELECT id FROM users ORDER BY id LIMIT $1", vec![Box::new(most)]).await?,
        };
        Ok(rows.iter().map(|row| UserId::from_uuid(row.get::<_, Uuid>(0))).collect())
    }

    async fn count_users(&self) -> Result<u64, StoreError> {
        self.number("SELECT count(*) FROM users").await.map(i64::unsigned_abs)
    }

    async fn schema_version(&self) -> Result<i64, StoreError> {
        self.number("SELECT max(version)::bigint FROM refinery_schema_history").await
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        let counts = [
            "SELECT count(*) FROM tasks WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)",
            "SELECT count(*) FROM tombstones WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)",
            "SELECT count(*) FROM idempotency_keys
             WHERE NOT EXISTS (SELECT FROM users WHERE users.id = user_id)",
        ];
        let mut damage = Vec::new();
        for (table, sql) in OWNED.iter().zip(counts) {
            let orphans = self.number(sql).await?;
            if orphans > 0 {
                damage.push(format!("{orphans} rows of {table} have no user"));
            }
        }
        Ok(damage)
    }
}
