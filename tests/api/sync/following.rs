//! A client that follows a user's changes from any point, and may lose the connection at any byte, ends with
//! the server's list: random histories, on both stores.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{Events, Server, Store, User, id, on_both_stores};

on_both_stores!(a_follower_from_any_point_with_any_disconnects_ends_with_the_list);

/// Histories tried on each store.
const CASES: u32 = 10;

/// Tasks that the writers compete for.
const TASKS: usize = 6;

/// One request of a writer. The numbers say which tasks.
#[derive(Clone, Debug)]
enum Step {
    Create(usize),
    Update(usize),
    Complete(usize),
    Delete(usize),
    Batch(Vec<(bool, usize)>),
    Import(Vec<usize>),
    Erase,
}

/// One client that follows.
#[derive(Clone, Debug)]
struct Follower {
    /// After how many steps it read its list.
    start: usize,
    feed: Feed,
    /// After how many bytes it loses the connection, each time.
    cuts: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Feed {
    Events,
    /// As a browser: the URL stays, the header has the last id.
    LastEventId,
    /// This many changes at a time.
    Changes(usize),
}

#[derive(Clone, Debug)]
struct Case {
    past: Vec<Step>,
    writers: Vec<Vec<Step>>,
    followers: Vec<Follower>,
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0..TASKS;
    prop_oneof![
        4 => task.clone().prop_map(Step::Create),
        4 => task.clone().prop_map(Step::Update),
        2 => task.clone().prop_map(Step::Complete),
        3 => task.clone().prop_map(Step::Delete),
        2 => prop::collection::vec((any::<bool>(), task.clone()), 1..4).prop_map(Step::Batch),
        1 => prop::collection::vec(task, 1..4).prop_map(Step::Import),
        1 => Just(Step::Erase),
    ]
}

fn follower() -> impl Strategy<Value = Follower> {
    let feed = prop_oneof![Just(Feed::Events), Just(Feed::LastEventId), (1_usize..5).prop_map(Feed::Changes)];
    let cuts = prop::collection::vec(prop_oneof![1_usize..200, 200_usize..2000], 0..8);
    (any::<prop::sample::Index>(), feed, cuts).prop_map(|(start, feed, cuts)| Follower {
        start: start.index(13),
        feed,
        cuts,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let steps = |count| prop::collection::vec(step(), count);
    (steps(0..12), prop::collection::vec(steps(8..20), 2), prop::collection::vec(follower(), 4))
        .prop_map(|(past, writers, followers)| Case { past, writers, followers })
}

/// A writer to the tasks of one case.
struct Hand {
    user: User,
    ids: Vec<String>,
}

impl Hand {
    async fn take(&self, step: &Step, title: &str) {
        let import = |place: &usize| {
            json!({"id": self.ids[*place], "title": title, "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z"})
        };
        let operation = |(make, place): &(bool, usize)| match make {
            true => json!({"op": "create", "task": {"title": title, "id": self.ids[*place]}}),
            false => json!({"op": "delete", "id": self.ids[*place]}),
        };
        let answer = match step {
            Step::Create(place) => self.user.post(&json!({"title": title, "id": self.ids[*place]})).await,
            Step::Update(place) => self.user.put(&self.ids[*place], &json!({"title": title})).await,
            Step::Complete(place) => self.user.complete(&self.ids[*place], None).await,
            Step::Delete(place) => self.user.delete(&self.ids[*place]).await,
            Step::Batch(operations) => {
                let operations: Vec<_> = operations.iter().map(operation).collect();
                self.user.call(Method::POST, "/batch", Some(&json!({"operations": operations}))).await
            }
            Step::Import(places) => {
                let tasks: Vec<_> = places.iter().map(import).collect();
                self.user.call(Method::POST, "/import", Some(&json!({"tasks": tasks}))).await
            }
            Step::Erase => self.user.erase().await,
        };
        // Another writer may have been faster.
        assert!([200, 201, 204, 404, 409].contains(&answer.status), "{step:?}: {answer:?}");
    }
}

/// What a client knows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Copy {
    seq: i64,
    tasks: BTreeMap<String, Value>,
}

impl Copy {
    async fn read(user: &User) -> Self {
        let list = user.get("/tasks").await.expect(200);
        let tasks = list.json()["tasks"].as_array().unwrap().clone();
        Self { seq: list.seq(), tasks: tasks.into_iter().map(|task| (id(&task).to_owned(), task)).collect() }
    }

    /// Applies one change, unless it is already known.
    fn apply(&mut self, change: &Value) {
        let seq = change["seq"].as_i64().unwrap();
        if seq <= self.seq {
            return;
        }
        match change.get("task") {
            Some(task) => _ = self.tasks.insert(id(task).to_owned(), task.clone()),
            None => _ = self.tasks.remove(id(change)),
        }
        self.seq = seq;
    }

    /// Reads a stream until the connection is lost, or everything up to `last` has arrived.
    async fn listen(&mut self, user: &User, stream: &mut Events, last: &mut watch::Receiver<i64>) {
        let mut heard = self.seq;
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                _ = last.wait_for(|last| *last == self.seq) => return,
            };
            let Some(event) = event else { return };
            match event.name.as_str() {
                "hello" => assert_eq!(event.id, self.seq, "it resumes where it was asked to"),
                "resync" => *self = Self::read(user).await,
                _ => {
                    assert!(event.id > heard, "{event:?} after {heard}: a stream never repeats");
                    assert_eq!(event.data["seq"], event.id);
                    self.apply(&event.data);
                }
            }
            heard = event.id;
        }
    }

    /// Asks for the changes once; the connection is lost after `cut` bytes of the answer.
    async fn ask(&mut self, user: &User, limit: usize, cut: usize) {
        let path = format!("/changes?since={}&limit={limit}", self.seq);
        let mut response = user.request(Method::GET, &path).send().await.unwrap();
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            body.extend_from_slice(&chunk);
            if body.len() >= cut {
                return;
            }
        }
        if status == 410 {
            *self = Self::read(user).await;
            return;
        }
        let form: Value = serde_json::from_slice(&body).unwrap();
        form["changes"].as_array().unwrap().iter().for_each(|change| self.apply(change));
        self.seq = form["seq"].as_i64().unwrap();
    }
}

impl Follower {
    /// Follows until `last` is reached.
    async fn follow(&self, user: User, mut copy: Copy, mut last: watch::Receiver<i64>) -> Copy {
        let start = copy.seq;
        let mut cuts = self.cuts.iter().copied();
        for _ in 0..10_000 {
            if *last.borrow() == copy.seq {
                return copy;
            }
            let cut = cuts.next().unwrap_or(usize::MAX);
            let request = match self.feed {
                Feed::Changes(limit) => {
                    copy.ask(&user, limit, cut).await;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
                Feed::Events => user.request(Method::GET, &format!("/events?since={}", copy.seq)),
                Feed::LastEventId => user
                    .request(Method::GET, &format!("/events?since={start}"))
                    .header("last-event-id", copy.seq.to_string()),
            };
            let mut stream = Events::open(request).await.unwrap();
            stream.budget = cut;
            copy.listen(&user, &mut stream, &mut last).await;
        }
        panic!("the end is never reached");
    }
}

/// Runs one case for its own user; returns what each follower has in the end, and what the server has.
async fn play(server: &Server, case: &Case) -> (Vec<Copy>, Copy) {
    let user = server.user(&Uuid::new_v4().to_string());
    let ids: Vec<_> = (0..TASKS).map(|_| Uuid::new_v4().to_string()).collect();
    let hand = || Hand { user: user.clone(), ids: ids.clone() };
    let mut copies = vec![Copy::read(&user).await];
    for (number, step) in case.past.iter().enumerate() {
        hand().take(step, &format!("past {number}")).await;
        copies.push(Copy::read(&user).await);
    }
    let (end, last) = watch::channel(-1);
    let followers = case.followers.iter().map(|follower| {
        let copy = copies[follower.start.min(case.past.len())].clone();
        follower.follow(user.clone(), copy, last.clone())
    });
    let writers = case.writers.iter().enumerate().map(|(writer, steps)| {
        let hand = hand();
        async move {
            for (number, step) in steps.iter().enumerate() {
                hand.take(step, &format!("{writer} {number}")).await;
            }
        }
    });
    let writing = async {
        join_all(writers).await;
        let truth = Copy::read(&user).await;
        end.send(truth.seq).unwrap();
        truth
    };
    let (truth, ends) = tokio::join!(writing, join_all(followers));
    (ends, truth)
}

async fn a_follower_from_any_point_with_any_disconnects_ends_with_the_list(store: Store) {
    let server = Server::start(&store);
    let config =
        Config { cases: CASES, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&case(), |case| {
            let played = timeout(Duration::from_mins(2), play(&server, &case));
            let played = runtime.block_on(played);
            let (ends, truth) =
                played.map_err(|_| TestCaseError::fail("a follower never reached the end"))?;
            for (follower, end) in case.followers.iter().zip(ends) {
                prop_assert_eq!(&end, &truth, "{:?}", follower);
            }
            Ok(())
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\n{case:#?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}
