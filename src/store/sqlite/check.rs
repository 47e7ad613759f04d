//! What an audit reads from the file.

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, Result, params};
use uuid::Uuid;

use super::store::SqliteStore;
use crate::domain::UserId;
use crate::store::StoreError;
use crate::store::check::Audit;

impl SqliteStore {
    async fn number(&self, sql: &'static str) -> Result<i64, StoreError> {
        self.reader.query(move |connection| connection.query_row(sql, [], |row| row.get(0))).await
    }
}

#[async_trait]
impl Audit for SqliteStore {
    async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserId>, StoreError> {
        self.reader
            .query(move |connection| {
                // The empty blob sorts before every id.
                let after = after.map_or_else(Vec::new, |user| user.as_uuid().into_bytes().to_vec());
                connection
                    .prepare("SELECT id FROM users WHERE id > ?1 ORDER BY id LIMIT ?2")?
                    .query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                        Ok(UserId::from_uuid(Uuid::from_bytes(row.get(0)?)))
                    })?
                    .collect()
            })
            .await
    }

    async fn count_users(&self) -> Result<u64, StoreError> {
        self.number("SELECT count(*) FROM users").await.map(i64::unsigned_abs)
    }

    async fn schema_version(&self) -> Result<i64, StoreError> {
        self.number("SELECT max(version) FROM refinery_schema_history").await
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        self.reader
            .query(|connection| match damage(connection) {
                // So damaged that the check itself breaks off.
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                    Ok(vec![error.to_string()])
                }
                other => other,
            })
            .await
    }
}

fn damage(connection: &Connection) -> Result<Vec<String>> {
    let found: Vec<String> = connection
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_>>()?;
    // Faults of the file itself come as one text under a headline.
    let lines = found.iter().flat_map(|text| text.lines());
    let damage: Vec<String> =
        lines.filter(|line| *line != "ok" && !line.starts_with("***")).map(str::to_owned).collect();
    if !damage.is_empty() {
        return Ok(damage);
    }
    let mut orphans =
        connection.prepare("SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY \"table\"")?;
    let orphans = orphans.query_map([], |row| {
        Ok(format!("{} rows of {} have no user", row.get::<_, i64>(1)?, row.get::<_, String>(0)?))
    })?;
    orphans.collect()
}
