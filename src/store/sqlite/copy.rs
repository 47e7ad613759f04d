//! Reads users whole from the file, and makes them in it.

use std::collections::HashSet;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior, params};
use uuid::Uuid;

use super::commit::{bury, keep};
use super::store::SqliteStore;
use super::task_row::{put, task_id, tasks};
use crate::domain::{Seq, Timestamp, UserId};
use crate::store::copy::{Transfer, WholeUser};
use crate::store::{KeyRecord, StoreError};

#[async_trait]
impl Transfer for SqliteStore {
    /// Its file is locked as long as it is open.
    async fn alone(&self) -> std::result::Result<(), StoreError> {
        Ok(())
    }

    async fn whole(&self, user: UserId) -> std::result::Result<Option<WholeUser>, StoreError> {
        self.read(move |connection| whole(connection, user)).await
    }

    async fn present(&self, users: &[UserId]) -> std::result::Result<HashSet<UserId>, StoreError> {
        let users = users.to_vec();
        self.read(move |connection| {
            let mut known = connection.prepare_cached("SELECT 1 FROM users WHERE id = ?1")?;
            let mut present = HashSet::new();
            for user in users {
                if known.exists(params![user.as_uuid().into_bytes()])? {
                    present.insert(user);
                }
            }
            Ok(present)
        })
        .await
    }

    async fn restore(&self, users: Vec<WholeUser>) -> std::result::Result<(), StoreError> {
        self.write(move |connection| restore(connection, &users)).await
    }
}

fn whole(connection: &mut Connection, user: UserId) -> Result<Option<WholeUser>> {
    let transaction = connection.transaction()?;
    let key = user.as_uuid().into_bytes();
    let found = transaction
        .prepare_cached(
            "SELECT subject, email, seq, horizon, last_batch, created_at FROM users WHERE id = ?1",
        )?
        .query_row(params![key], |row| {
            Ok(WholeUser {
                id: user,
                subject: row.get(0)?,
                email: row.get(1)?,
                seq: Seq::new(row.get(2)?),
                horizon: Seq::new(row.get(3)?),
                last_batch: row.get::<_, Option<[u8; 16]>>(4)?.map(Uuid::from_bytes),
                created_at: Timestamp::from_micros(row.get(5)?),
                tasks: Vec::new(),
                tombstones: Vec::new(),
                keys: Vec::new(),
            })
        })
        .optional()?;
    let Some(mut found) = found else { return Ok(None) };
    found.tasks = tasks(&transaction, user)?;
    found.tombstones = transaction
        .prepare_cached("SELECT id, seq, deleted_at FROM tombstones WHERE user_id = ?1")?
        .query_map(params![key], |row| {
            Ok((task_id(row)?, Seq::new(row.get(1)?), Timestamp::from_micros(row.get(2)?)))
        })?
        .collect::<Result<_>>()?;
    found.keys = transaction
        .prepare_cached("SELECT key, fingerprint, answer, kept_at FROM idempotency_keys WHERE user_id = ?1")?
        .query_map(params![key], |row| {
            let (key, answer) = (row.get::<_, String>(0)?.into(), row.get::<_, String>(2)?.into());
            let (fingerprint, at) = (row.get(1)?, Timestamp::from_micros(row.get(3)?));
            Ok(KeyRecord { key, fingerprint, answer, at })
        })?
        .collect::<Result<_>>()?;
    Ok(Some(found.sorted()))
}

fn restore(connection: &mut Connection, users: &[WholeUser]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for user in users {
        // Without a rule for a conflict: a user that is there already fails the whole.
        transaction
            .prepare_cached(
                "INSERT INTO users (id, subject, email, seq, horizon, last_batch, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                user.id.as_uuid().into_bytes(),
                user.subject,
                user.email,
                user.seq.get(),
                user.horizon.get(),
                user.last_batch.map(Uuid::into_bytes),
                user.created_at.as_micros(),
            ])?;
        for task in &user.tasks {
            put(&transaction, user.id, task)?;
        }
        for (id, seq, at) in &user.tombstones {
            bury(&transaction, user.id, *id, *seq, *at)?;
        }
        for record in &user.keys {
            keep(&transaction, user.id, record)?;
        }
    }
    transaction.commit()
}
