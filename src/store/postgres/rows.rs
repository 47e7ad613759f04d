//! Rows of tombstones and keys, and helpers for the rows of all tables.
//!
//! Rows are sent as one array per column, which the statement expands with unnest. All arrays of one unnest
//! must have the same length, because it pads shorter ones with NULL.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::connection::error;
use crate::domain::{Seq, TaskId, Timestamp};
use crate::store::{KeyRecord, StoreError};

/// Why a stored row cannot be read.
pub(super) struct Unreadable(pub(super) String);

impl From<Error> for Unreadable {
    fn from(error: Error) -> Self {
        Self(error::describe(&error))
    }
}

impl From<Unreadable> for StoreError {
    fn from(Unreadable(reason): Unreadable) -> Self {
        Self(format!("PostgreSQL: a stored row cannot be read: {reason}"))
    }
}

pub(super) fn key_record(
    key: &str,
    fingerprint: &[u8],
    answer: String,
    at: Timestamp,
) -> Result<KeyRecord, Unreadable> {
    let fingerprint = fingerprint.try_into().map_err(|_| Unreadable("column fingerprint".to_owned()))?;
    Ok(KeyRecord { key: key.into(), fingerprint, answer: answer.into(), at })
}

pub(super) fn instant(row: &Row, column: usize) -> Result<Timestamp, Error> {
    row.try_get::<_, DateTime<Utc>>(column).map(Into::into)
}

/// Rows of tombstones.
#[derive(Default)]
pub(crate) struct TombstoneColumns {
    users: Vec<Uuid>,
    ids: Vec<Uuid>,
    seqs: Vec<i64>,
    at: Vec<DateTime<Utc>>,
}

impl TombstoneColumns {
    pub(crate) fn push(&mut self, user: Uuid, id: TaskId, seq: Seq, at: Timestamp) {
        self.users.push(user);
        self.ids.push(id.as_uuid());
        self.seqs.push(seq.get());
        self.at.push(at.to_datetime());
    }

    /// User, id, seq, `deleted_at`.
    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.users, &self.ids, &self.seqs, &self.at]
    }
}

/// Rows of idempotency keys.
#[derive(Default)]
pub(crate) struct KeyColumns<'a> {
    users: Vec<Uuid>,
    names: Vec<&'a str>,
    fingerprints: Vec<&'a [u8]>,
    answers: Vec<Cow<'a, str>>,
    at: Vec<DateTime<Utc>>,
}

impl<'a> KeyColumns<'a> {
    pub(crate) fn push(&mut self, user: Uuid, record: &'a KeyRecord) {
        self.users.push(user);
        self.names.push(&record.key);
        self.fingerprints.push(&record.fingerprint);
        self.answers.push(String::from_utf8_lossy(&record.answer));
        self.at.push(record.at.to_datetime());
    }

    /// User, key, fingerprint, answer, `kept_at`.
    pub(crate) fn params(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.users, &self.names, &self.fingerprints, &self.answers, &self.at]
    }
}
