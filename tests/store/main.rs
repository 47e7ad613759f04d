//! One conformance suite for both stores, and what each of them promises beyond it.

// A panic is a test's way to fail, in shared code too.
#![allow(clippy::unwrap_used)]

#[macro_use]
#[path = "../api/support/needs.rs"]
mod needs;

/// Runs each case on every store.
macro_rules! on_both_stores {
    ($($case:ident)*) => {
        mod on_sqlite {
            $(#[test] fn $case() { crate::fixture::run(super::$case(crate::fixture::Database::sqlite())); })*
        }
        mod on_postgres {
            $(#[test] fn $case() {
                needs!(Postgres);
                crate::fixture::run(super::$case(crate::fixture::Database::postgres()));
            })*
        }
    };
}

mod catching_up;
mod conformance;
mod expanding;
mod fixture;
mod forgetting;
mod keys;
mod large;
mod migration;
mod plans;
mod postgres;
#[allow(dead_code, reason = "shared with tests/faults, which uses all of it")]
mod proxy;
mod random_groups;
mod sent_again;
mod sqlite;
#[path = "../model/stored.rs"]
mod stored;
mod threads;
mod transfer;
