//! One run: load, faults, recovery, and the check of every answer.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::checker::{Final, check, check_of_servers_alone};
use crate::driver::{Load, USERS, Way, ask};
use crate::fault::Fault;
use crate::field::{Field, Service};
use crate::follower::Follower;
use crate::history::Outcome;
use crate::parts::take_apart;
use crate::record::{Record, What};
use crate::support::{Kind, User};

/// The figures of a run.
#[derive(Debug, Default)]
pub struct Figures {
    /// Requests.
    pub operations: usize,
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Requests with an unknown outcome.
    pub unknown: usize,
    /// Requests that were not carried out.
    pub refused: usize,
    /// Writes of these that were carried out.
    pub unanswered: i64,
    /// Faults by kind.
    pub faults: BTreeMap<String, usize>,
}

impl Figures {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        for (fault, times) in other.faults {
            *self.faults.entry(fault).or_default() += times;
        }
    }

    /// All of it in words.
    pub fn line(&self) -> String {
        let faults: usize = self.faults.values().sum();
        let kills = self.faults.iter().filter(|(fault, _)| fault.starts_with("Kill"));
        let kills: usize = kills.map(|(_, times)| times).sum();
        format!(
            "{} operations, {} acknowledged writes, {} refused, {} unknown; {faults} faults, of which {kills} kills; \
             violations: 0\n{:?}",
            self.operations, self.acknowledged, self.refused, self.unknown, self.faults
        )
    }
}

/// Inflicts `rounds` of these faults, seeded, under load, and checks every answer.
///
/// # Panics
/// With the seed and the part of the history that cannot be true.
pub async fn trial(
    (kind, service): (Kind, Service),
    faults: &[Fault],
    rounds: usize,
    usual_seed: u64,
) -> Figures {
    let seed = std::env::var("SEED").map_or(usual_seed, |seed| seed.parse().expect("SEED is a number"));
    let mut random = StdRng::seed_from_u64(seed);
    let mut field = Field::new(kind, service, faults).await;
    let subjects: Vec<String> = (0..USERS).map(|user| format!("user {user}")).collect();
    let doors = field.doors(&subjects);
    let load = Load::new(doors.clone());
    let clients = load.start(seed);
    // A server in `MODE=sole` shows its followers others' writes once it learns of them, which may be never.
    let followed = if service == Service::TwoAlone { 0 } else { USERS };
    let follow = |user: usize| {
        Follower::start(doors.iter().map(|users| users[user].clone()).collect(), seed + user as u64)
    };
    let mut followers: VecDeque<Follower> = (0..followed).map(follow).collect();
    until_answered(&load, 300).await;
    for round in 0..rounds {
        // Each of them at least once, if there are enough rounds.
        let fault =
            faults.get(round).copied().unwrap_or_else(|| faults[random.random_range(0..faults.len())]);
        eprintln!("SEED={seed} {kind:?} {service:?}: {fault:?}");
        field.inflict(fault, &mut random).await;
        until_answered(&load, load.book.len() + 200).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(100..600))).await;
    }
    load.stop();
    for client in clients {
        client.await.unwrap();
    }
    recover(&load, seed).await;
    field.stop_and_start();
    let records = load.book.close();
    let mut unanswered = 0;
    let check = if service == Service::TwoAlone { check_of_servers_alone } else { check };
    for number in 0..USERS {
        // Any of the fresh servers can be asked.
        let user = &doors[number % doors.len()][number];
        let of_user: Vec<Record> = records.iter().filter(|record| record.user == number).cloned().collect();
        let mut end = ending(user).await;
        if let Some(follower) = followers.pop_front() {
            end.followed = Some(follower.finish(end.seq).await);
        }
        if let Err(complaint) = check(&of_user, &end) {
            let part = part(&of_user, &complaint);
            panic!(
                "SEED={seed} {kind:?} {service:?} {faults:?}: user {number}: {complaint}\n\nthe part of the history:\n{part}"
            );
        }
        unanswered += unanswered_seqs(&take_apart(&of_user).expect("it was checked"), &end);
    }
    Figures { unanswered, ..figures(&records, std::mem::take(&mut field.done)) }
}

/// How many seqs belong to writes that no client got an answer to.
pub fn unanswered_seqs(records: &[Record], end: &Final) -> i64 {
    let answered = records.iter().filter(|record| !record.what.reads());
    let answered: HashSet<i64> = answered
        .filter_map(|record| match record.outcome() {
            Ok(Outcome::Done(seq)) => Some(seq),
            _ => None,
        })
        .collect();
    end.seq - i64::try_from(answered.len()).expect("it is small")
}

/// Waits until the book has this many records, for which the service must have recovered.
pub async fn until_answered(load: &Arc<Load>, count: usize) {
    for _ in 0..1_200 {
        if load.book.len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("after a minute only {} answers of {count}", load.book.len());
}

/// Checks that, without a restart, every user can write and read again at every server.
pub async fn recover(load: &Arc<Load>, seed: u64) {
    for way in (0..load.servers())
        .flat_map(|server| (0..USERS).map(move |user| Way { server, user, patience: None }))
    {
        let mut last = None;
        for attempt in 0..600 {
            let what = What::Create { id: None, title: format!("task after {attempt}.{}", way.server) };
            last = Some(load.send(way, &what, None).await);
            if matches!(last, Some(Ok(Outcome::Done(_)))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(
            matches!(last, Some(Ok(Outcome::Done(_)))),
            "SEED={seed}: {way:?}: no write: {:?}",
            load.book.last_of(way)
        );
        let read = load.send(way, &What::List, None).await;
        assert!(matches!(read, Ok(Outcome::Done(_))), "SEED={seed}: {way:?}: no read: {read:?}");
    }
}

pub async fn ending(user: &User) -> Final {
    let list = ask(user.request(reqwest::Method::GET, "/tasks")).await;
    assert_eq!(list.status, 200);
    let (seq, tasks) = (list.seq.unwrap(), list.json()["tasks"].as_array().unwrap().clone());
    let mut changes: Vec<Value> = Vec::new();
    let horizon = horizon(user, seq).await;
    let mut since = horizon;
    for _ in 0..10_000 {
        let page = ask(user.request(reqwest::Method::GET, &format!("/changes?since={since}"))).await;
        assert_eq!(page.status, 200);
        let page = page.json();
        changes.extend(page["changes"].as_array().unwrap().iter().cloned());
        since = page["seq"].as_i64().unwrap();
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(since, seq, "the feed ends where the list is");
    Final { seq, tasks, horizon, changes, followed: None }
}

/// The lowest seq from which the feed is complete.
async fn horizon(user: &User, seq: i64) -> i64 {
    let (mut least, mut most) = (0, seq);
    while least < most {
        let middle = i64::midpoint(least, most);
        let page = ask(user.request(reqwest::Method::GET, &format!("/changes?since={middle}&limit=1"))).await;
        match page.status {
            200 => most = middle,
            410 => least = middle + 1,
            _ => panic!("the feed from {middle}: {:?}", String::from_utf8_lossy(&page.body)),
        }
    }
    least
}

/// The records that concern the violation: its tasks, titles, keys and seqs.
pub fn part(records: &[Record], complaint: &str) -> String {
    let words: HashSet<&str> = complaint.split(|c: char| !c.is_alphanumeric() && !"-.".contains(c)).collect();
    let concerned = |record: &&Record| {
        let name = |text: &str| text.rsplit(' ').next().is_some_and(|name| words.contains(name));
        record.what.task().is_some_and(|id| words.contains(id))
            || matches!(&record.what, What::Create { title, .. } if name(title))
            || record.key.as_deref().is_some_and(name)
            || record.reply.seq.is_some_and(|seq| !record.what.reads() && words.contains(&*seq.to_string()))
    };
    let mut lines: Vec<String> =
        records.iter().filter(concerned).map(|record| format!("{record:?}")).collect();
    if lines.is_empty() {
        // It is about seqs without an answer: shows all writes they could belong to.
        let without = records.iter().filter(|record| !record.what.reads() && record.reply.seq.is_none());
        lines = without.map(|record| format!("{record:?}")).collect();
    }
    let cut = lines.len().saturating_sub(60);
    lines[cut..].join("\n")
}

pub fn figures(records: &[Record], faults: BTreeMap<String, usize>) -> Figures {
    let mut figures = Figures { operations: records.len(), faults, ..Figures::default() };
    for record in records {
        match record.outcome() {
            Ok(Outcome::Done(_)) if !record.what.reads() => figures.acknowledged += 1,
            Ok(Outcome::Unknown) => figures.unknown += 1,
            Ok(Outcome::NotApplied) => figures.refused += 1,
            _ => {}
        }
    }
    assert!(figures.acknowledged > 100, "there was too little load: {figures:?}");
    figures
}
