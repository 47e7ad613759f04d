//! What was measured, in words: a line for each attack, and the table of docs/reliability.md.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::bounds;
use crate::run::Measured;
use crate::support::Kind;
use crate::table::ATTACKS;
use crate::units::{bytes, rate, seconds, time};

/// What became of one attack on one store.
pub struct Line {
    pub row: &'static str,
    pub what: &'static str,
    pub kind: Kind,
    pub measured: Result<Measured, String>,
    /// Why it is not defended yet, if so.
    pub pending: Option<&'static str>,
}

impl Line {
    /// The bounds that do not hold.
    pub fn broken(&self) -> Vec<String> {
        match &self.measured {
            Ok(measured) => bounds::broken(measured),
            Err(error) => vec![error.clone()],
        }
    }

    /// Whether it fails the run.
    pub fn fails(&self) -> bool {
        self.pending.is_none() && !self.broken().is_empty()
    }

    pub fn verdict(&self) -> String {
        let broken = self.broken().join(", ");
        match self.pending {
            _ if broken.is_empty() => {
                self.pending.map_or("holds", |_| "holds, though listed as not yet defended").to_owned()
            }
            Some(reason) => format!("not yet defended ({reason}): {broken}"),
            None => format!("FAILED: {broken}"),
        }
    }

    /// All figures of it.
    pub fn details(&self) -> String {
        let mut text = format!("{:>3} {:?}: {}: {}", self.row, self.kind, self.what, self.verdict());
        let Ok(measured) = &self.measured else { return text };
        for (phase, seen) in
            [("alone", &measured.quiet), ("attacked", &measured.attack), ("afterwards", &measured.after)]
        {
            write!(
                text,
                "\n      {phase}: {} requests, p50 {}, p99 {}, slowest {} ({}), failed {}; /health {}, failed {}",
                seen.requests,
                time(seen.p50),
                time(seen.p99),
                time(seen.max),
                seen.slowest,
                counts(&seen.failures),
                time(seen.health),
                seen.health_failures,
            )
            .unwrap();
        }
        write!(
            text,
            "\n      in {:.1} s: resident {}, {} threads, {:.1} s of processor, sent {}, on disk {}, log {} a second, \
             answers {}, well after {}",
            measured.lasted.as_secs_f64(),
            bytes(measured.memory),
            measured.threads,
            seconds(measured.processor),
            bytes(measured.sent),
            bytes(measured.disk),
            rate(bounds::log_rate(measured)),
            counts(&measured.answers),
            measured.back.map_or("never".to_owned(), time),
        )
        .unwrap();
        for extra in &measured.extras {
            write!(text, ", {} {:.1}", extra.name, extra.value).unwrap();
        }
        text
    }

    /// What it did, for the table.
    fn cell(&self) -> String {
        match &self.measured {
            Ok(measured) if self.broken().is_empty() => {
                format!("held, p99 {}, alone {}", time(measured.attack.p99), time(measured.quiet.p99))
            }
            _ => self.broken().join("; "),
        }
    }
}

/// The table: a row for each attack, a column for each store.
pub fn markdown(lines: &[Line]) -> String {
    let mut table = "| # | one user… | SQLite | PostgreSQL |\n|---|---|---|---|\n".to_owned();
    for attack in ATTACKS {
        let cell = |kind: Kind| {
            let wanted = |line: &&Line| line.row == attack.row && line.kind == kind;
            lines.iter().find(wanted).map(Line::cell)
        };
        let (sqlite, postgres) = (cell(Kind::Sqlite), cell(Kind::Postgres));
        if sqlite.is_some() || postgres.is_some() {
            let cells = [sqlite, postgres].map(Option::unwrap_or_default).join(" | ");
            writeln!(table, "| {} | {} | {cells} |", attack.row, attack.what).unwrap();
        }
    }
    table
}

/// How many hold, and how many do not.
pub fn summary(lines: &[Line]) -> String {
    let count = |pending: bool, holds: bool| {
        let counted = |line: &&Line| line.pending.is_some() == pending && line.broken().is_empty() == holds;
        lines.iter().filter(counted).count()
    };
    format!(
        "{} attacks: {} held, {} failed; of those not yet defended {} did harm and {} did none",
        lines.len(),
        count(false, true),
        count(false, false),
        count(true, false),
        count(true, true)
    )
}

fn counts<K: ToString, N: ToString>(counted: &BTreeMap<K, N>) -> String {
    if counted.is_empty() {
        return "0".to_owned();
    }
    let one = |(what, count): (&K, &N)| format!("{} × {}", count.to_string(), what.to_string());
    counted.iter().map(one).collect::<Vec<_>>().join(", ")
}
