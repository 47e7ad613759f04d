//! One attack: the victim alone, the victim under attack, the victim afterwards.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};

use crate::bounds;
use crate::site::{Extra, Site};
use crate::support::{Kind, Server, Store};
use crate::victim::{Figures, PROBE, Phase, Sample, Victim};
use crate::watch::{self, Watch};

/// An attack: it prepares, calls [`Site::begin`], and goes on until the site says that it is over.
pub struct Attack {
    /// The row of the table in docs/reliability.md.
    pub row: &'static str,
    pub what: &'static str,
    pub strike: fn(Arc<Site>) -> BoxFuture<'static, ()>,
    /// Settings in the quick form that are not the defaults.
    pub quick: &'static [(&'static str, &'static str)],
    /// Settings in both forms that are not those of [`SETTINGS`].
    pub settings: &'static [(&'static str, &'static str)],
    /// A shell's command that executes the server as `"$@"`.
    pub shell: Option<&'static str>,
}

/// Production at its defaults. The throw-away PostgreSQL is on one machine, which production warns of.
const SETTINGS: [(&str, &str); 2] = [("ENVIRONMENT", "production"), ("ALLOW_UNSAFE_STORE", "true")];

/// How long the phases last.
pub struct Form {
    pub long: bool,
    pub quiet: Duration,
    pub attack: Duration,
    /// How long the victim must have been well after the attack.
    pub calm: Duration,
    /// How long that may take.
    pub recovery: Duration,
}

impl Form {
    pub const QUICK: Self = Self {
        long: false,
        quiet: Duration::from_millis(600),
        attack: Duration::from_millis(1_700),
        calm: Duration::from_millis(250),
        recovery: Duration::from_secs(10),
    };
    pub const LONG: Self = Self {
        long: true,
        quiet: Duration::from_secs(2),
        attack: Duration::from_secs(8),
        calm: Duration::from_secs(1),
        recovery: Duration::from_secs(30),
    };
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    pub quiet: Figures,
    pub attack: Figures,
    pub after: Figures,
    /// How long after the attack the victim was well again.
    pub back: Option<Duration>,
    pub lasted: Duration,
    pub sent: u64,
    pub answers: BTreeMap<u16, u64>,
    pub memory: u64,
    /// The most resident memory that the settings allow.
    pub memory_bound: u64,
    pub threads: u64,
    /// Whether the server was ended because it took too much memory.
    pub ended: bool,
    pub runs: bool,
    /// Processor time, in hundredths of a second.
    pub processor: u64,
    pub disk: u64,
    pub log: u64,
    pub logs_all: bool,
    pub extras: Vec<Extra>,
}

/// Carries out one attack and measures it.
///
/// # Errors
/// Says why there is nothing to measure.
pub async fn run(attack: &Attack, kind: Kind, form: &Form) -> Result<Measured, String> {
    let store = Store::new(kind).await;
    let mut settings = SETTINGS.to_vec();
    let special = if form.long { [].iter() } else { attack.quick.iter() };
    for setting in attack.settings.iter().chain(special) {
        settings.retain(|(name, _)| *name != setting.0);
        settings.push(*setting);
    }
    let runner: Vec<&str> = attack.shell.map_or(vec![], |command| vec!["sh", "-c", command, "sh"]);
    let server = catch_unwind(AssertUnwindSafe(|| Server::under(&runner, &store, &settings)))
        .map_err(|_| "the server does not start".to_owned())?;
    let logs_all = settings.contains(&("ENVIRONMENT", "development"));
    let memory_bound = bounds::memory(&settings);
    let site = Arc::new(Site::new(server, store, form.long));

    let mut striking = tokio::spawn((attack.strike)(Arc::clone(&site)));
    tokio::select! {
        ready = timeout(Duration::from_mins(2), site.prepared()) => {
            ready.map_err(|_| "the attack is never prepared".to_owned())?;
        }
        ended = &mut striking => return Err(format!("the preparation ended: {ended:?}")),
    }
    let mut victim = Victim::start(site.address());
    sleep(form.quiet / 3).await;
    victim.enter(Phase::Quiet);
    sleep(form.quiet).await;
    let quiet = Figures::of(&victim.seen(Phase::Quiet));

    let (disk, log, processor) = (watch::disk(&site).await, watch::log(&site), watch::processor(&site));
    let watch = Watch::start(&site);
    victim.enter(Phase::Attack);
    let began = Instant::now();
    site.start();
    // It ends by itself, or when a bound of this machine is reached.
    let early = tokio::select! {
        () = sleep(form.attack) => None,
        () = site.hold() => None,
        ended = &mut striking => Some(ended),
    };
    if let Some(Err(error)) = early.as_ref() {
        return Err(format!("the attack panicked: {error}"));
    }
    if early.is_some() {
        sleep(form.attack.saturating_sub(began.elapsed())).await;
    }
    let lasted = began.elapsed();
    let processor = watch::processor(&site).saturating_sub(processor);
    site.finish();
    let extras = if early.is_some() { site.extras() } else { end(striking, &site).await };
    victim.enter(Phase::Recovery);
    let (sent, answers) = (site.sent(), site.answers());
    let back = if watch::runs(&site) { recover(&victim, form, &quiet).await } else { None };
    victim.stop();
    let log = watch::log(&site).saturating_sub(log);
    let disk = watch::disk(&site).await.saturating_sub(disk);
    let (memory, threads, ended) = watch.stop();
    Ok(Measured {
        attack: Figures::of(&victim.seen(Phase::Attack)),
        after: Figures::of(&victim.seen(Phase::Recovery)),
        quiet,
        back,
        lasted,
        sent,
        answers,
        memory,
        memory_bound,
        threads,
        ended,
        runs: watch::runs(&site),
        processor,
        disk,
        log,
        logs_all,
        extras,
    })
}

/// Lets the attack note what it found; then takes away all that it holds.
async fn end(mut striking: tokio::task::JoinHandle<()>, site: &Site) -> Vec<Extra> {
    let ended = timeout(Duration::from_secs(3), &mut striking).await;
    if ended.is_err() {
        striking.abort();
        let _ = striking.await;
    }
    site.extras()
}

/// Waits until the victim has been well for a while: how long after the attack that began.
async fn recover(victim: &Victim, form: &Form, quiet: &Figures) -> Option<Duration> {
    let (began, most) = (Instant::now(), bounds::latency(quiet));
    while began.elapsed() < form.recovery {
        sleep(Duration::from_millis(50)).await;
        let seen = victim.seen(Phase::Recovery);
        let ill = |sample: &Sample| sample.failure.is_some() || sample.took > most;
        let last = seen.iter().filter(|sample| ill(sample)).map(|sample| sample.ended).max();
        let since = last.unwrap_or(began);
        let well = seen.iter().filter(|sample| sample.what != PROBE && sample.ended > since).count();
        if since.elapsed() >= form.calm && well >= 10 {
            return Some(since.saturating_duration_since(began));
        }
    }
    None
}
