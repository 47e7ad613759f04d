//! Reads and writes whole users, for a copy.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Result, TransactionBehavior, params};
use uuid::Uuid;

use super::commit::group::{INSERT_USER, NEVER, put_key, put_tombstone};
use super::open::forget_identity;
use super::read::{key_record, wrote};
use super::store::SqliteStore;
use super::task_row::{put, task_id, tasks};
use crate::domain::{Seq, Timestamp, UserId};
use crate::store::StoreError;
use crate::store::batch::key_bytes;
use crate::store::copy::{Transfer, WholeUser};

#[async_trait]
impl Transfer for SqliteStore {
    async fn whole(&self, user: UserId) -> std::result::Result<Option<WholeUser>, StoreError> {
        self.reader.query(move |connection| whole(connection, user)).await
    }

    async fn forget_identity(&self) -> std::result::Result<(), StoreError> {
        self.writer.query(|connection| forget_identity(connection)).await
    }

    async fn restore(&self, users: Vec<WholeUser>) -> std::result::Result<(), StoreError> {
        self.writer.query(move |connection| restore(connection, &users)).await
    }
}

fn whole(connection: &mut Connection, user: UserId) -> Result<Option<WholeUser>> {
    let transaction = connection.transaction()?;
    let key = user.as_uuid().into_bytes();
    let found = transaction
        .prepare_cached(concat!(
            "SELECT subject, email, seq, horizon, last_batch, created_at, erased FROM users WHERE id = ?1",
            wrote!()
        ))?
        .query_row(params![key], |row| {
            let user = WholeUser {
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
            };
            Ok((user, Seq::new(row.get(6)?)))
        })
        .optional()?;
    let Some((mut found, erased)) = found else { return Ok(None) };
    found.tasks = tasks(&transaction, user, erased, found.seq)?;
    found.tombstones = transaction
        .prepare_cached("SELECT id, seq, deleted_at FROM tombstones WHERE user_id = ?1 AND seq > ?2")?
        .query_map(params![key, erased.get()], |row| {
            Ok((task_id(row)?, Seq::new(row.get(1)?), Timestamp::from_micros(row.get(2)?)))
        })?
        .collect::<Result<_>>()?;
    let keys: Vec<_> = transaction
        .prepare_cached(
            "SELECT key, fingerprint, answer, kept_at FROM idempotency_keys WHERE user_id = ?1 AND seq > ?2",
        )?
        .query_map(params![key, erased.get()], |row| key_record(row.get::<_, String>(0)?.into(), row))?
        .collect::<Result<_>>()?;
    found.keys = keys.into_iter().flatten().collect();
    Ok(Some(found.sorted()))
}

fn restore(connection: &mut Connection, users: &[WholeUser]) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for user in users {
        // Fails, and so undoes everything, if the user exists.
        transaction.prepare_cached(INSERT_USER)?.execute(params![
            user.id.as_uuid().into_bytes(),
            user.subject,
            user.email,
            user.seq.get(),
            user.last_batch.map(Uuid::into_bytes),
            user.created_at.as_micros(),
            user.horizon.get(),
            key_bytes(&user.keys),
        ])?;
        for task in &user.tasks {
            put(&transaction, user.id, task)?;
        }
        for (id, seq, at) in &user.tombstones {
            put_tombstone(&transaction, user.id, *id, *seq, *at)?;
        }
        for record in &user.keys {
            put_key(&transaction, user.id, record, user.seq, NEVER)?;
        }
    }
    transaction.commit()
}
