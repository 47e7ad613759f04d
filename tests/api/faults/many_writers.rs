//! Many writers at once: nothing is lost, `seq` has neither gap nor repeat, and nobody gets an error.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server, Store, User, id, on_both_stores};

on_both_stores!(
    sixty_four_writers_of_one_user_lose_nothing,
    parallel_changes_of_one_task_each_count,
    two_thousand_users_at_once_lose_nothing,
    a_crowd_of_mixed_requests_for_one_user_meets_no_error,
    a_crowd_of_mixed_requests_for_a_hundred_users_meets_no_error,
    readers_never_see_a_seq_go_back,
);

/// Connections open at once, at most: some systems allow a process few files.
const OPEN: usize = 256;

async fn sixty_four_writers_of_one_user_lose_nothing(store: Store) {
    const WRITERS: usize = 64;
    const EACH: usize = 10;
    let server = Server::start(&store);
    let ann = server.user("ann");
    let made: Vec<Answer> = join_all((0..WRITERS).map(|writer| {
        let ann = ann.clone();
        async move {
            let mut made = Vec::new();
            for number in 0..EACH {
                let answer = ann.post(&json!({"title": format!("{writer}.{number}")})).await;
                made.push(answer.expect(201));
            }
            made
        }
    }))
    .await
    .concat();
    let mut seqs: Vec<_> = made.iter().map(Answer::seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=i64::try_from(WRITERS * EACH).unwrap()).collect::<Vec<_>>());
    let expected: HashMap<String, Value> = made.iter().map(|answer| by_id(answer.json())).collect();
    assert_eq!(expected.len(), WRITERS * EACH);
    let listed = |tasks: Vec<Value>| tasks.into_iter().map(by_id).collect::<HashMap<_, _>>();
    assert_eq!(listed(ann.list().await), expected);
    assert_eq!(ann.seq().await, seqs[seqs.len() - 1]);
    server.stop();
    let server = Server::start(&store);
    assert_eq!(listed(server.user("ann").list().await), expected, "as stored");
}

fn by_id(task: Value) -> (String, Value) {
    (id(&task).to_owned(), task)
}

async fn parallel_changes_of_one_task_each_count(store: Store) {
    const FLIPS: i64 = 201;
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let flips = (0..FLIPS).map(|_| ann.complete(id(&task), None));
    let answers: Vec<_> =
        stream::iter(flips).buffer_unordered(64).map(|answer| answer.expect(200)).collect().await;
    let mut states: Vec<_> = answers
        .iter()
        .map(|answer| {
            let task = answer.json();
            assert_eq!(task["version"], answer.seq());
            (answer.seq(), task["completed"].as_bool().unwrap())
        })
        .collect();
    states.sort_unstable();
    // In the order of seqs, each flip met the state that the one before left.
    let expected: Vec<_> = (0..FLIPS).map(|flip| (flip + 2, flip % 2 == 0)).collect();
    assert_eq!(states, expected);
    let last = ann.task(id(&task)).await.expect(200).json();
    assert_eq!((&last["completed"], &last["version"]), (&json!(true), &json!(FLIPS + 1)));
}

async fn two_thousand_users_at_once_lose_nothing(store: Store) {
    const USERS: usize = 2000;
    let server = Server::start(&store);
    let users: Vec<_> = (0..USERS).map(|number| server.user(&format!("user {number}"))).collect();
    let write = |user: &User| {
        let user = user.clone();
        async move {
            let first = user.create(&format!("1 of {}", user.subject)).await;
            let second = user.create(&format!("2 of {}", user.subject)).await;
            let first = user.complete(id(&first), None).await.expect(200).json();
            assert_eq!((&second["version"], &first["version"]), (&json!(2), &json!(3)));
            [second, first]
        }
    };
    let written: Vec<_> = stream::iter(users.iter().map(write)).buffered(OPEN).collect().await;
    let check = |user: User, expected: [Value; 2]| async move {
        let list = user.get("/tasks").await.expect(200);
        assert_eq!((&list.json()["tasks"], list.seq()), (&json!(expected), 3), "{}", user.subject);
    };
    let all = users.iter().cloned().zip(written.clone()).map(|(user, expected)| check(user, expected));
    stream::iter(all).buffered(OPEN).collect::<Vec<()>>().await;
    server.stop();
    let server = Server::start(&store);
    let all = written
        .into_iter()
        .enumerate()
        .map(|(number, expected)| check(server.user(&format!("user {number}")), expected));
    stream::iter(all).buffered(OPEN).collect::<Vec<()>>().await;
}

async fn a_crowd_of_mixed_requests_for_one_user_meets_no_error(store: Store) {
    let server = Server::start(&store);
    crowd(&[server.user("ann")]).await;
}

async fn a_crowd_of_mixed_requests_for_a_hundred_users_meets_no_error(store: Store) {
    let server = Server::start(&store);
    let users: Vec<_> = (0..100).map(|number| server.user(&format!("user {number}"))).collect();
    crowd(&users).await;
}

/// 128 clients at once, each making every kind of call several times, for these users in turn.
async fn crowd(users: &[User]) {
    const CLIENTS: usize = 128;
    const ROUNDS: usize = 3;
    let clients = (0..CLIENTS).map(|client| {
        let user = users[client % users.len()].clone();
        tokio::spawn(async move {
            let mut writes = Vec::new();
            let mut kept = None;
            for round in 0..ROUNDS {
                let title = format!("{client}.{round}");
                let made = user.post(&json!({"title": title})).await.expect(201);
                let task = id(&made.json()).to_owned();
                assert_eq!(user.task(&task).await.expect(200).json()["title"], title);
                let put = user.put(&task, &json!({"description": "d"})).await.expect(200);
                assert!(user.list().await.iter().any(|listed| id(listed) == task));
                let patched = user.patch(&task, &json!({"title": "t"})).await.expect(200);
                let flipped = user.complete(&task, None).await.expect(200);
                user.get("/test").await.expect(200);
                assert_eq!(flipped.json()["completed"], true);
                writes.extend([made.seq(), put.seq(), patched.seq(), flipped.seq()]);
                if let Some(old) = kept.replace(task) {
                    writes.push(user.delete(&old).await.expect(204).seq());
                    user.task(&old).await.expect_no_task();
                }
            }
            (user.subject.clone(), kept.unwrap(), writes)
        })
    });
    let mut by_user: HashMap<String, (HashSet<String>, Vec<i64>)> = HashMap::new();
    for done in join_all(clients).await {
        let (subject, kept, writes) = done.unwrap();
        let (tasks, seqs) = by_user.entry(subject).or_default();
        tasks.insert(kept);
        seqs.extend(writes);
    }
    for user in users {
        let (tasks, mut seqs) = by_user.remove(&user.subject).unwrap();
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=i64::try_from(seqs.len()).unwrap()).collect::<Vec<_>>(), "a gap or a repeat");
        let listed: HashSet<_> = user.list().await.iter().map(|task| id(task).to_owned()).collect();
        assert_eq!(listed, tasks);
    }
}

async fn readers_never_see_a_seq_go_back(store: Store) {
    let server = Server::start(&store);
    let ann = server.user("ann");
    let task = ann.create("a").await;
    let writer = {
        let (ann, task) = (ann.clone(), id(&task).to_owned());
        tokio::spawn(async move {
            for _ in 0..100 {
                // The next read shows what was acknowledged.
                let written = ann.complete(&task, None).await.expect(200);
                let read = ann.task(&task).await.expect(200);
                assert_eq!((read.seq(), read.body), (written.seq(), written.body));
            }
        })
    };
    let readers = (0..8).map(|_| {
        let (ann, task) = (ann.clone(), id(&task).to_owned());
        tokio::spawn(async move {
            let (mut last, mut reads) = (0, 0);
            while last < 101 {
                for path in [format!("/tasks/{task}"), "/tasks".to_owned()] {
                    let answer = ann.call(Method::GET, &path, None).await.expect(200);
                    let body = answer.json();
                    let version =
                        if path == "/tasks" { &body["tasks"][0]["version"] } else { &body["version"] };
                    assert!(answer.seq() >= last, "{} after {last}", answer.seq());
                    // Only this one task changes.
                    assert_eq!(*version, answer.seq());
                    last = answer.seq();
                }
                reads += 1;
                assert!(reads < 1_000_000, "the writer never finishes");
            }
        })
    });
    let readers = join_all(readers);
    writer.await.unwrap();
    for reader in readers.await {
        reader.unwrap();
    }
}
