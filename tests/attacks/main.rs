//! One user, or one address without a token, against all others: whatever it sends, a victim beside it is served
//! as before, within bounds of memory, disk and log. Started by `tests/attacks/run`, against a release build.
//!
//! - `site`, `victim`, `watch`: the server, who must not notice, and what is measured;
//! - `run`, `bounds`, `report`, `units`: the phases of an attack, what must hold, the table;
//! - `wire`, `material`: what attackers send;
//! - `batches`, `lists`, `keys`, `accounts`, `bodies`, `connections`, `refusals`, `streams`, `logs`: the attacks.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test may block a thread of its own")]

#[allow(dead_code, reason = "shared with tests/faults")]
#[path = "../faults/backends.rs"]
mod backends;
#[allow(unused_macros, reason = "a store that is missing is left out, and the other is attacked")]
#[path = "../api/support/needs.rs"]
mod needs;
#[allow(dead_code, unused_imports, unused_macros, reason = "shared with tests/api, which uses all of it")]
#[path = "../api/support/mod.rs"]
mod support;

mod accounts;
mod batches;
mod bodies;
mod bounds;
mod connections;
mod keys;
mod lists;
mod logs;
mod material;
mod refusals;
mod report;
mod run;
mod site;
mod streams;
mod table;
mod units;
mod victim;
mod watch;
mod wire;

use report::{Line, markdown, summary};
use run::{Attack, Form, run};
use support::Kind;
use table::{ATTACKS, PENDING};

/// From this row on, the quick form attacks one store only.
const FIRST_OF_ONE_STORE: u32 = 15;

/// How often an attack that does harm is carried out before it fails.
const TRIES: usize = 3;

/// Which attacks, on which stores, in which form, and where the table goes.
struct Choice {
    rows: Vec<String>,
    stores: Vec<Kind>,
    form: Form,
    table: Option<String>,
}

impl Choice {
    fn of_environment() -> Self {
        let words = |name: &str| -> Vec<String> {
            let value = std::env::var(name).unwrap_or_default();
            value.split_whitespace().map(str::to_owned).collect()
        };
        let stores = words("ATTACK_STORES");
        let named = |name: &str| stores.is_empty() || stores.iter().any(|store| store == name);
        let mut kinds = Vec::new();
        if named("sqlite") {
            kinds.push(Kind::Sqlite);
        }
        if named("postgres") && !needs::is_missing(needs::Need::Postgres) {
            kinds.push(Kind::Postgres);
        }
        Self {
            rows: words("ATTACK_ROWS"),
            stores: kinds,
            form: if std::env::var_os("ATTACK_LONG").is_some() { Form::LONG } else { Form::QUICK },
            table: std::env::var("ATTACK_TABLE").ok(),
        }
    }

    /// Those that are named; else all, of which the quick form takes the later rows on one store each, by turns.
    fn wants(&self, row: &str, kind: Kind) -> bool {
        if !self.rows.is_empty() {
            return self.rows.iter().any(|wanted| wanted == row);
        }
        let later = row.parse().ok().filter(|number: &u32| *number >= FIRST_OF_ONE_STORE);
        self.form.long
            || self.stores.len() == 1
            || later.is_none_or(|number| number.is_multiple_of(2) == (kind == Kind::Postgres))
    }
}

// The attackers have one thread, so that they do not take all of a small machine from the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "started by tests/attacks/run, against a release build"]
async fn one_user_never_hurts_another() {
    // Both ends of each connection need a descriptor, and the server inherits the limit.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let choice = Choice::of_environment();
    let mut lines = Vec::new();
    for kind in &choice.stores {
        for attack in ATTACKS.iter().filter(|attack| choice.wants(attack.row, *kind)) {
            let line = carry_out(attack, *kind, &choice.form).await;
            eprintln!("{}", line.details());
            lines.push(line);
        }
    }
    let table = markdown(&lines);
    println!("\n{table}\n{}", summary(&lines));
    if let Some(path) = choice.table {
        std::fs::write(path, &table).unwrap();
    }
    assert!(!lines.is_empty(), "no attack was chosen");
    let failed: Vec<String> = lines.iter().filter(|line| line.fails()).map(Line::details).collect();
    assert!(failed.is_empty(), "the victim was hurt, or more than a share was taken:\n{}", failed.join("\n"));
}

/// Carries out an attack, and again if it does harm: the machine may have been busy with something else.
async fn carry_out(attack: &Attack, kind: Kind, form: &Form) -> Line {
    let pending = PENDING.iter().find(|(row, _)| *row == attack.row).map(|(_, reason)| *reason);
    let (row, what) = (attack.row, attack.what);
    let mut line = Line { row, what, kind, measured: run(attack, kind, form).await, pending };
    for _ in 1..TRIES {
        if !line.fails() {
            break;
        }
        eprintln!("again, after\n{}", line.details());
        line.measured = run(attack, kind, form).await;
    }
    line
}
