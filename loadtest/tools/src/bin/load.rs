//! The load generator: sends prepared requests over open connections, as fast as they are answered.
//!
//! Each connection sends its next request when the last one is answered (a closed loop). The request is
//! chosen at random by the kinds' weights, with a fixed seed. It prints one JSON object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use clap::Parser;
use serde_json::json;
use tasklane_load::http1::Connection;
use tasklane_load::times::Times;
use tokio::task::JoinSet;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Failed connections of one client after which it gives up.
const TRIES: u32 = 100;

/// Sends prepared requests as fast as they are answered.
#[derive(Parser)]
struct Options {
    /// host:port
    address: String,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Seconds before the measured ones.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Sends every request of the first kind once, in order, and ends; without warm-up.
    #[arg(long)]
    once: bool,
    /// name=weight=status=file: requests of one kind, and the status that each answer must have. For each
    /// request the file has its length in decimal, a newline, and its bytes.
    #[arg(required = true)]
    kinds: Vec<Kind>,
}

#[derive(Clone)]
struct Kind {
    name: String,
    weight: u64,
    status: u16,
    file: PathBuf,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(4, '=').collect();
        let [name, weight, status, file] = parts[..] else { return Err("name=weight=status=file".into()) };
        let wrong = |_| format!("{text}: weight and status are numbers");
        Ok(Self {
            name: name.into(),
            weight: weight.parse().map_err(wrong)?,
            status: status.parse().map_err(wrong)?,
            file: file.into(),
        })
    }
}

/// The requests of one kind.
struct Requests {
    bytes: Vec<u8>,
    ends: Vec<(usize, usize)>,
    status: u16,
    weight: u64,
}

impl Requests {
    fn read(kind: &Kind) -> io::Result<Self> {
        let bytes = std::fs::read(&kind.file)?;
        let mut ends = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let invalid = || io::Error::other(format!("{} is broken at {at}", kind.file.display()));
            let line = memchr::memchr(b'\n', &bytes[at..]).ok_or_else(invalid)?;
            let length: usize = std::str::from_utf8(&bytes[at..at + line])
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(invalid)?;
            let start = at + line + 1;
            at = start + length;
            if at > bytes.len() {
                return Err(io::Error::other("the last request is cut"));
            }
            ends.push((start, at));
        }
        if ends.is_empty() {
            return Err(io::Error::other("there is no request"));
        }
        Ok(Self { bytes, ends, status: kind.status, weight: kind.weight })
    }

    fn get(&self, place: usize) -> &[u8] {
        let (start, end) = self.ends[place];
        &self.bytes[start..end]
    }
}

/// What all clients share.
struct Plan {
    address: String,
    kinds: Vec<Requests>,
    weights: u64,
    /// Measured from here …
    from: Instant,
    /// … until here.
    until: Instant,
    /// The next request to be sent once.
    once: Option<AtomicUsize>,
}

/// The results of the requests of one kind.
#[derive(Clone, Default)]
struct Tally {
    times: Times,
    bytes: u64,
    errors: u64,
    /// How often each wrong status or connection failure occurred.
    faults: BTreeMap<String, u64>,
}

impl Tally {
    fn fault(&mut self, fault: String) {
        self.errors += 1;
        *self.faults.entry(fault).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        self.times.add(&other.times);
        self.bytes += other.bytes;
        self.errors += other.errors;
        for (fault, count) in &other.faults {
            *self.faults.entry(fault.clone()).or_default() += count;
        }
    }
}

/// Marsaglia's xorshift64 ("Xorshift RNGs", 2003): a few instructions per number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper half of the product is even enough for bounds this small.
        u64::try_from((u128::from(self.0) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap_or(0)
    }
}

impl Plan {
    /// Which request comes next; `None` at the end.
    fn next(&self, dice: &mut Dice) -> Option<(usize, usize)> {
        if let Some(next) = &self.once {
            let place = next.fetch_add(1, Ordering::Relaxed);
            return (place < self.kinds[0].ends.len()).then_some((0, place));
        }
        let mut drawn = dice.below(self.weights);
        let kind = self.kinds.iter().position(|kind| {
            let hit = drawn < kind.weight;
            drawn = drawn.saturating_sub(kind.weight);
            hit
        })?;
        Some((kind, dice.place(self.kinds[kind].ends.len())))
    }

    async fn client(&self, number: u64) -> Vec<Tally> {
        let mut dice = Dice((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut tallies = vec![Tally::default(); self.kinds.len()];
        let mut connection = None;
        let mut failed = 0;
        while failed < TRIES {
            if self.once.is_none() && Instant::now() >= self.until {
                break;
            }
            let mut open = match connection.take() {
                Some(open) => open,
                None => match Connection::open(&self.address).await {
                    Ok(open) => open,
                    Err(error) => {
                        failed += 1;
                        tallies[0].fault(format!("connect: {}", error.kind()));
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    }
                },
            };
            let Some((kind, place)) = self.next(&mut dice) else { break };
            let requests = &self.kinds[kind];
            let started = Instant::now();
            let answer = tokio::time::timeout(PATIENCE, open.exchange(requests.get(place))).await;
            let ended = Instant::now();
            let tally = &mut tallies[kind];
            match answer {
                Err(_) => tally.fault("no answer in time".into()),
                Ok(Err(error)) => tally.fault(format!("exchange: {}", error.kind())),
                Ok(Ok(answer)) => {
                    if answer.status != requests.status {
                        tally.fault(format!("status {}", answer.status));
                    } else if self.once.is_some() || (started >= self.from && ended <= self.until) {
                        tally.times.note(ended - started);
                        tally.bytes += answer.body as u64;
                    }
                    if !answer.close {
                        connection = Some(open);
                    }
                }
            }
        }
        tallies
    }
}

fn run(options: &Options) -> io::Result<()> {
    let read = |kind: &Kind| {
        let named = |error| io::Error::other(format!("{}: {error}", Path::display(&kind.file)));
        Requests::read(kind).map_err(named)
    };
    let kinds = options.kinds.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let from = Instant::now() + Duration::from_secs_f64(if options.once { 0.0 } else { options.warm_up });
    let plan = Arc::new(Plan {
        address: options.address.clone(),
        weights: kinds.iter().map(|kind| kind.weight).sum(),
        kinds,
        from,
        until: from + Duration::from_secs_f64(options.seconds),
        once: options.once.then(AtomicUsize::default),
    });
    let threads: Vec<_> = (0..options.threads)
        .map(|thread| {
            let plan = Arc::clone(&plan);
            let (count, step) = (options.connections, options.threads);
            thread::spawn(move || -> io::Result<Vec<Tally>> {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let mut clients = JoinSet::new();
                    for number in (thread..count).step_by(step) {
                        let plan = Arc::clone(&plan);
                        clients.spawn(async move { plan.client(number as u64).await });
                    }
                    let mut sum = vec![Tally::default(); plan.kinds.len()];
                    while let Some(tallies) = clients.join_next().await {
                        for (sum, tally) in sum.iter_mut().zip(tallies?) {
                            sum.add(&tally);
                        }
                    }
                    Ok(sum)
                })
            })
        })
        .collect();
    let mut sum = vec![Tally::default(); options.kinds.len()];
    for thread in threads {
        let tallies = thread.join().map_err(|_| io::Error::other("a thread panicked"))??;
        for (sum, tally) in sum.iter_mut().zip(tallies) {
            sum.add(&tally);
        }
    }
    let seconds = if options.once { from.elapsed().as_secs_f64() } else { options.seconds };
    let mut kinds = serde_json::Map::new();
    for (kind, tally) in options.kinds.iter().zip(&sum) {
        let mut told = tally.times.to_json();
        told["rate"] = json!((rate(tally.times.count(), seconds) * 10.0).round() / 10.0);
        told["body_bytes"] = json!(tally.bytes);
        told["errors"] = json!(tally.errors);
        told["faults"] = json!(tally.faults);
        kinds.insert(kind.name.clone(), told);
    }
    println!("{}", json!({ "seconds": seconds, "connections": options.connections, "kinds": kinds }));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no run sends 2^53 requests")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("load: {error}");
        process::exit(1);
    }
}
