//! Migrations expand: after each one the previous version keeps reading and writing, so that both can serve
//! one database during an upgrade. The tests look at what a migration does to the catalogue, not at its text.
//!
//! Only PostgreSQL: a SQLite file has one process, which is stopped before the next version starts.

use std::collections::BTreeMap;

use refinery::Target;
use tokio_postgres::Client;

use crate::fixture::{PostgresDatabase, on_store_runtime};

mod postgres {
    refinery::embed_migrations!("migrations/postgres");
}

/// What was removed once no version in use needed it (contract), as the check below names it.
const TAKEN_OUT: [&str; 0] = [];

/// Rules that take the place of narrower ones, so that what an older version writes stays allowed, as the check below
/// names them.
const WIDENED: [&str; 1] = ["V4: tasks has a rule on what was there before: CHECK ((priority = ANY \
    (ARRAY['low'::text, 'medium'::text, 'high'::text, 'urgent'::text]))) NOT VALID"];

/// What an older version relies on.
#[derive(Clone, Default)]
struct Catalogue {
    /// By table and column: the type, and whether an INSERT may leave it out.
    columns: BTreeMap<(String, String), Column>,
    /// By table and definition: constraints and unique indexes, with the columns they are on.
    rules: BTreeMap<(String, String), Rule>,
}

#[derive(Clone, PartialEq)]
struct Column {
    kind: String,
    required: bool,
    nullable: bool,
}

#[derive(Clone)]
struct Rule {
    columns: Vec<String>,
    /// Whether `ON CONFLICT` can name it.
    unique: bool,
}

impl Catalogue {
    async fn read(client: &Client) -> Self {
        let mut read = Self::default();
        let columns = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod) || ' ' || a.attcollation,
                a.attnotnull, a.atthasdef OR a.attidentity <> ''
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
                AND c.relname <> 'refinery_schema_history'";
        for row in client.query(columns, &[]).await.unwrap() {
            let (not_null, default): (bool, bool) = (row.get(3), row.get(4));
            let column = Column { kind: row.get(2), required: not_null && !default, nullable: !not_null };
            read.columns.insert((row.get(0), row.get(1)), column);
        }
        // An index on expressions lists no columns for them; its definition identifies it all the same.
        let rules = "SELECT r.relname::text, r.said, r.is_unique,
                ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = r.relid AND attnum = ANY(r.keys))
            FROM (SELECT c.relname, c.oid AS relid, pg_get_constraintdef(o.oid) AS said, o.contype IN ('p', 'u') AS is_unique,
                    o.conkey::int2[] AS keys
                FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE o.contype IN ('c', 'f', 'p', 'u', 'x')
                UNION ALL
                SELECT c.relname, c.oid, pg_get_indexdef(i.indexrelid), true, i.indkey::int2[]
                FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                WHERE i.indisunique AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)) r
            JOIN pg_class c ON c.oid = r.relid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'refinery_schema_history'";
        for row in client.query(rules, &[]).await.unwrap() {
            let rule = Rule { unique: row.get(2), columns: row.get(3) };
            read.rules.insert((row.get(0), row.get(1)), rule);
        }
        read
    }

    fn has_table(&self, table: &str) -> bool {
        self.columns.keys().any(|(found, _)| found == table)
    }

    /// What of a later catalogue breaks a version that knows only this one.
    fn broken_by(&self, later: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        for (name @ (table, column), before) in &self.columns {
            let Some(after) = later.columns.get(name) else {
                broken.push(format!("{table}.{column} is gone"));
                continue;
            };
            let faults = [
                (after.kind != before.kind, "is of another type"),
                (before.nullable && !after.nullable, "must not be NULL any more"),
                (after.required && !before.required, "cannot be left out any more"),
            ];
            let faults = faults.into_iter().filter(|(is_so, _)| *is_so);
            broken.extend(faults.map(|(_, fault)| format!("{table}.{column} {fault}")));
        }
        for ((table, column), after) in &later.columns {
            let is_new = !self.columns.contains_key(&(table.clone(), column.clone()));
            if is_new && self.has_table(table) && after.required {
                broken.push(format!("{table}.{column} is new and cannot be left out"));
            }
        }
        for ((table, said), rule) in &self.rules {
            if rule.unique && !later.rules.contains_key(&(table.clone(), said.clone())) {
                broken.push(format!("{table} is no longer {said}"));
            }
        }
        for ((table, said), rule) in &later.rules {
            let is_new = !self.rules.contains_key(&(table.clone(), said.clone()));
            let known = |column: &String| self.columns.contains_key(&(table.clone(), column.clone()));
            if is_new && self.has_table(table) && rule.columns.iter().any(known) {
                broken.push(format!("{table} has a rule on what was there before: {said}"));
            }
        }
        broken
    }
}

#[test]
fn after_each_migration_the_previous_version_keeps_working() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let mut client = database.client();
    let broken = on_store_runtime(async move {
        let mut versions: Vec<_> = postgres::migrations::runner()
            .get_migrations()
            .iter()
            .map(refinery::Migration::version)
            .collect();
        versions.sort_unstable();
        let (mut broken, mut before) = (Vec::new(), Catalogue::default());
        for version in versions {
            let runner = postgres::migrations::runner().set_target(Target::Version(version));
            runner.run_async(&mut client).await.unwrap();
            let after = Catalogue::read(&client).await;
            broken.extend(before.broken_by(&after).into_iter().map(|what| format!("V{version}: {what}")));
            before = after;
        }
        broken
    });
    let broken: Vec<_> = broken
        .into_iter()
        .filter(|what| ![&TAKEN_OUT[..], &WIDENED].concat().contains(&what.as_str()))
        .collect();
    assert_eq!(broken, [""; 0], "see CONTRIBUTING.md: expand, then contract");
}

/// Shows that the check above can fail.
#[test]
fn a_migration_that_breaks_the_previous_version_is_detected() {
    const BREAKING: [(&str, &str); 10] = [
        ("ALTER TABLE tasks DROP COLUMN description", "tasks.description is gone"),
        ("ALTER TABLE tasks RENAME COLUMN title TO name", "tasks.title is gone"),
        ("ALTER TABLE tombstones RENAME TO graves", "tombstones.deleted_at is gone"),
        ("ALTER TABLE tasks ALTER COLUMN description SET NOT NULL", "tasks.description must not be NULL"),
        ("ALTER TABLE users ALTER COLUMN horizon DROP DEFAULT", "users.horizon cannot be left out any more"),
        ("ALTER TABLE tasks ALTER COLUMN title TYPE varchar(100)", "tasks.title is of another type"),
        ("ALTER TABLE tasks ADD COLUMN colour text NOT NULL", "tasks.colour is new and cannot be left out"),
        ("CREATE UNIQUE INDEX ON tasks (user_id, title)", "tasks has a rule on what was there before"),
        (
            "ALTER TABLE tasks ADD CHECK (completed = (completed_at IS NOT NULL))",
            "tasks has a rule on what was there",
        ),
        ("ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey", "is no longer PRIMARY KEY"),
    ];
    const EXPANDING: [&str; 5] = [
        "ALTER TABLE tasks ADD COLUMN colour text CHECK (colour <> '')",
        "ALTER TABLE tasks ADD COLUMN weight int NOT NULL DEFAULT 0",
        "ALTER TABLE tasks ALTER COLUMN completed DROP NOT NULL",
        "ALTER TABLE tasks DROP CONSTRAINT tasks_title_length",
        "CREATE TABLE labels (user_id uuid PRIMARY KEY REFERENCES users (id)); CREATE INDEX ON tasks (user_id, created_at)",
    ];
    needs!(Postgres);
    let database = PostgresDatabase::create();
    let mut client = database.client();
    on_store_runtime(async move {
        postgres::migrations::runner().run_async(&mut client).await.unwrap();
        let before = Catalogue::read(&client).await;
        for (statement, seen) in BREAKING.into_iter().chain(EXPANDING.map(|statement| (statement, ""))) {
            client.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
            let broken = before.broken_by(&Catalogue::read(&client).await);
            client.batch_execute("ROLLBACK").await.unwrap();
            let as_expected = if seen.is_empty() {
                broken.is_empty()
            } else {
                broken.iter().any(|what| what.contains(seen))
            };
            assert!(as_expected, "{statement}: {broken:?}");
        }
    });
}

/// A process of this version may have to restart during an upgrade to the next one.
#[test]
fn a_database_expanded_by_a_later_version_can_be_opened() {
    needs!(Postgres);
    let database = PostgresDatabase::create();
    crate::fixture::run(database.connect(|_| ()));
    let client = database.client();
    on_store_runtime(async move {
        let later = "ALTER TABLE tasks ADD COLUMN colour text;
            INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
            VALUES (9999, 'colours', '2026-01-01T00:00:00Z', '1')";
        client.batch_execute(later).await.unwrap();
    });
    crate::fixture::run(database.connect(|_| ()));
}
