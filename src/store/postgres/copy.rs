//! Reads and writes whole users, for a copy.

use std::future::pending;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Object, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::cluster::peers;
use super::connection::error::PostgresError;
use super::connection::failover::RENEW;
use super::connection::read_pool::on;
use super::rows::{KeyColumns, TombstoneColumns, Unreadable, instant, key_record};
use super::store::PostgresStore;
use super::task_row::{self, AFTER, CREATED_AT, DESCRIPTION, ID, TITLE, TaskColumns, VERSION};
use crate::domain::{Seq, TaskId, UserId};
use crate::store::batch::{TOMBSTONE_ROW, bytes_of_task, key_bytes};
use crate::store::copy::{GROUP, Transfer, WholeUser};
use crate::store::{KeyRecord, StoreError};

/// Reads a whole user.
static WHOLE: LazyLock<String> = LazyLock::new(|| task_row::fill(include_str!("sql/whole.sql"), 1));

/// Its columns after the horizon.
const KIND: usize = AFTER + 1;
const LAST_BATCH: usize = AFTER + 2;
const FINGERPRINT: usize = AFTER + 3;

const INSERT_USERS: &str =
    "INSERT INTO users (id, subject, email, seq, horizon, last_batch, created_at, key_bytes)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::uuid[],
        $7::timestamptz[], $8::bigint[])";

static INSERT_TASKS: LazyLock<String> = LazyLock::new(|| task_row::fill("{insert_tasks}", 1));

const INSERT_TOMBSTONES: &str = "INSERT INTO tombstones (user_id, id, seq, deleted_at)
     SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[])";

const INSERT_KEYS: &str = "INSERT INTO idempotency_keys (user_id, key, fingerprint, answer, kept_at)
     SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::timestamptz[])";

#[async_trait]
impl Transfer for PostgresStore {
    async fn alone(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        let taken = on(&self.runtime, async move { peers::take(&inner.connector).await }).await?;
        let Some(client) = taken? else {
            return Err(StoreError(
                "PostgreSQL: a service works on this database: stop it first, and start none before this has ended"
                    .to_owned(),
            ));
        };
        // The lock lasts as long as its connection.
        self.run(async move {
            let _held = client;
            pending::<()>().await;
        });
        Ok(())
    }

    async fn whole(&self, user: UserId) -> Result<Option<WholeUser>, StoreError> {
        let rows = self.ask(&WHOLE, vec![Box::new(user.as_uuid())]).await?;
        Ok(whole_user(user, &rows)?)
    }

    async fn forget_identity(&self) -> Result<(), StoreError> {
        self.ask(RENEW, Vec::new()).await.map(drop)
    }

    async fn restore(&self, users: Vec<WholeUser>) -> Result<(), StoreError> {
        let pool = Arc::clone(&self.inner.pool);
        on(&self.runtime, async move {
            let mut client = pool.get().await?;
            insert(&mut client, &users).await.map_err(|error| {
                drop(Object::take(client));
                StoreError::from(PostgresError::of(&error))
            })
        })
        .await?
    }
}

/// Inserts the users in one transaction, which is rolled back if a statement fails or the future is
/// dropped.
async fn insert(client: &mut Object, users: &[WholeUser]) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    insert_users(&transaction, users).await?;
    let mut rows = Rows::default();
    for user in users {
        let id = user.id.as_uuid();
        for task in &user.tasks {
            rows.tasks.push(id, task);
            rows.grow(&transaction, bytes_of_task(task)).await?;
        }
        for (task, seq, at) in &user.tombstones {
            rows.tombstones.push(id, *task, *seq, *at);
            rows.grow(&transaction, TOMBSTONE_ROW).await?;
        }
        for record in &user.keys {
            rows.keys.push(id, record);
            rows.grow(&transaction, record.bytes()).await?;
        }
    }
    rows.flush(&transaction).await?;
    transaction.commit().await
}

async fn insert_users(
    transaction: &Transaction<'_>,
    users: &[WholeUser],
) -> Result<(), tokio_postgres::Error> {
    let ids: Vec<Uuid> = users.iter().map(|user| user.id.as_uuid()).collect();
    let subjects: Vec<&str> = users.iter().map(|user| user.subject.as_str()).collect();
    let emails: Vec<Option<&str>> = users.iter().map(|user| user.email.as_deref()).collect();
    let seqs: Vec<i64> = users.iter().map(|user| user.seq.get()).collect();
    let horizons: Vec<i64> = users.iter().map(|user| user.horizon.get()).collect();
    let batches: Vec<Option<Uuid>> = users.iter().map(|user| user.last_batch).collect();
    let created: Vec<DateTime<Utc>> = users.iter().map(|user| user.created_at.to_datetime()).collect();
    let key_bytes: Vec<i64> = users.iter().map(|user| key_bytes(&user.keys)).collect();
    let params: [&(dyn ToSql + Sync); 8] =
        [&ids, &subjects, &emails, &seqs, &horizons, &batches, &created, &key_bytes];
    run(transaction, INSERT_USERS, &params).await
}

/// Rows waiting to be written together.
#[derive(Default)]
struct Rows<'a> {
    tasks: TaskColumns<'a>,
    tombstones: TombstoneColumns,
    keys: KeyColumns<'a>,
    weight: usize,
}

impl Rows<'_> {
    /// Counts one more row, and writes all of them once that is enough for one message.
    async fn grow(&mut self, transaction: &Transaction<'_>, by: usize) -> Result<(), tokio_postgres::Error> {
        self.weight += by;
        if self.weight >= GROUP { self.flush(transaction).await } else { Ok(()) }
    }

    async fn flush(&mut self, transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        let rows = std::mem::take(self);
        run(transaction, &INSERT_TASKS, &rows.tasks.params()).await?;
        run(transaction, INSERT_TOMBSTONES, &rows.tombstones.params()).await?;
        run(transaction, INSERT_KEYS, &rows.keys.params()).await
    }
}

async fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<(), tokio_postgres::Error> {
    let statement = transaction.prepare_cached(sql).await?;
    transaction.execute(&statement, params).await.map(drop)
}

fn whole_user(id: UserId, rows: &[Row]) -> Result<Option<WholeUser>, Unreadable> {
    let mut found = None;
    let (mut tasks, mut tombstones, mut keys) = (Vec::new(), Vec::new(), Vec::<KeyRecord>::new());
    for row in rows {
        let seq = || row.try_get(VERSION).map(Seq::new);
        match row.try_get(KIND)? {
            0 => found = Some(row),
            1 => tasks.extend(task_row::task(row)?),
            2 => tombstones.push((TaskId::from_uuid(row.try_get(ID)?), seq()?, instant(row, CREATED_AT)?)),
            3 => {
                let (key, answer) = (row.try_get(TITLE)?, row.try_get(DESCRIPTION)?);
                keys.push(key_record(key, row.try_get(FINGERPRINT)?, answer, instant(row, CREATED_AT)?)?);
            }
            other => return Err(Unreadable(format!("a row of kind {other}"))),
        }
    }
    let Some(row) = found else { return Ok(None) };
    let user = WholeUser {
        id,
        subject: row.try_get(TITLE)?,
        email: row.try_get(DESCRIPTION)?,
        seq: Seq::new(row.try_get(VERSION)?),
        horizon: Seq::new(row.try_get(AFTER)?),
        last_batch: row.try_get(LAST_BATCH)?,
        created_at: instant(row, CREATED_AT)?,
        tasks,
        tombstones,
        keys,
    };
    Ok(Some(user.sorted()))
}
