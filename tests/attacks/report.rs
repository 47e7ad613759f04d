//! What was measured, in words: a line for each attack, and the table of docs/reliability.md.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::bounds;
use crate::run::Measured;
use crate::support::Kind;

/// What became of one attack on one store.
pub struct Line {
    pub row: &'static str,
    pub what: &'static str,
    pub kind: Kind,
    pub measured: Result<Measured, String>,
    /// Why it is not defended yet, if so.
    pub pending: Option<&'static str>,
}

const HEAD: &str = "\
| # | one user… | store | p99: alone, under attack | failed | `/health` | resident | sent, on disk | \
log a second | well after | broken |
|---|---|---|---|---|---|---|---|---|---|---|
";

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
                "\n      {phase}: {} requests, p50 {}, p99 {}, slowest {}, failed {}; /health {}, failed {}",
                seen.requests,
                millis(seen.p50),
                millis(seen.p99),
                millis(seen.max),
                counts(&seen.failures),
                millis(seen.health),
                seen.health_failures,
            )
            .unwrap();
        }
        write!(
            text,
            "\n      in {:.1} s: resident {}, {} threads, {:.1} s of processor, sent {}, on disk {}, log {} a second, \
             answers {}, well after {}",
            measured.lasted.as_secs_f64(),
            resident(measured),
            measured.threads,
            seconds(measured.processor),
            bytes(measured.sent),
            bytes(measured.disk),
            rate(bounds::log_rate(measured)),
            counts(&measured.answers),
            back(measured),
        )
        .unwrap();
        for extra in &measured.extras {
            write!(text, ", {} {:.2}", extra.name, extra.value).unwrap();
        }
        text
    }

    fn markdown(&self) -> String {
        let broken = self.broken().join(", ");
        let start = format!("| {} | {} | {:?} |", self.row, self.what, self.kind);
        let Ok(measured) = &self.measured else { return format!("{start} | | | | | | | {broken} |\n") };
        let (quiet, attack) = (&measured.quiet, &measured.attack);
        let failed: usize = [attack, &measured.after].iter().flat_map(|seen| seen.failures.values()).sum();
        format!(
            "{start} {}, {} | {failed} | {} | {} | {}, {} | {} | {} | {broken} |\n",
            millis(quiet.p99),
            millis(attack.p99),
            if attack.health_failures == 0 { millis(attack.health) } else { "none".to_owned() },
            resident(measured),
            bytes(measured.sent),
            bytes(measured.disk),
            rate(bounds::log_rate(measured)),
            back(measured),
        )
    }
}

/// All lines as Markdown.
pub fn markdown(lines: &[Line]) -> String {
    HEAD.to_owned() + &lines.iter().map(Line::markdown).collect::<String>()
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

fn resident(measured: &Measured) -> String {
    bytes(measured.memory) + if measured.ended { " (ended)" } else { "" }
}

fn back(measured: &Measured) -> String {
    measured.back.map_or("never".to_owned(), millis)
}

fn counts<K: ToString, N: ToString>(counted: &BTreeMap<K, N>) -> String {
    if counted.is_empty() {
        return "0".to_owned();
    }
    let one = |(what, count): (&K, &N)| format!("{} × {}", count.to_string(), what.to_string());
    counted.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn millis(time: Duration) -> String {
    match time.as_secs_f64() * 1000.0 {
        millis @ ..10.0 => format!("{millis:.1} ms"),
        millis @ ..1000.0 => format!("{millis:.0} ms"),
        millis => format!("{:.1} s", millis / 1000.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
fn bytes(bytes: u64) -> String {
    rate(bytes as f64)
}

fn rate(bytes: f64) -> String {
    match bytes {
        ..1024.0 => format!("{bytes:.0} B"),
        ..1_048_576.0 => format!("{:.0} KiB", bytes / 1024.0),
        _ => format!("{:.0} MiB", bytes / 1_048_576.0),
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
fn seconds(hundredths: u64) -> f64 {
    hundredths as f64 / 100.0
}
