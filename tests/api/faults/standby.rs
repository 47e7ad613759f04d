//! A real PostgreSQL standby: it is never used before its promotion; and what the promotion does to the
//! service.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::{Answer, Events, Server, Store, User, id, send};

const CLUSTER: (&str, &str) = ("MODE", "cluster");

/// A store at both servers, the standby first: a client that ignored roles would use it.
fn store_at(primary: &Cluster, standby: &Cluster) -> Store {
    let host = |cluster: &Cluster| reqwest::Url::parse(&cluster.url).unwrap().port().unwrap();
    let (one, other) = (host(standby), host(primary));
    Store::at(&format!("postgres://postgres@127.0.0.1:{one},127.0.0.1:{other}/postgres"))
}

/// Sends a write until it succeeds. Every other answer must say whether it was applied.
async fn create_in_the_end(user: &User, title: &str) -> Answer {
    let mut last = None;
    for _ in 0..600 {
        let answer = user.post(&json!({"title": title})).await;
        if answer.status == 201 {
            return answer;
        }
        let code = answer.code();
        assert!(["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"].contains(&code.as_str()), "{answer:?}");
        last = Some(answer);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never written; the last answer: {last:?}");
}

/// Reads the list once the store is available again.
async fn list_in_the_end(user: &User) -> Answer {
    for _ in 0..600 {
        let answer = user.get("/tasks").await;
        if answer.status == 200 {
            return answer;
        }
        answer.expect_error(503, "STORE_UNAVAILABLE");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never read");
}

fn titles(list: &Answer) -> Vec<String> {
    let titles = list.json()["tasks"].as_array().unwrap().iter().map(|task| task["title"].clone()).collect();
    serde_json::from_value(Value::Array(titles)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_never_used_and_once_promoted_has_all_that_was_acknowledged_on_postgres() {
    needs!(Postgres);
    let primary = Cluster::start();
    let standby = primary.standby();
    for sql in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"] {
        primary.run(sql).await;
    }
    let store = store_at(&primary, &standby);
    let servers = [Server::with(&store, &[CLUSTER]), Server::with(&store, &[CLUSTER])];
    let [one, other] = [servers[0].user("ann"), servers[1].user("ann")];
    for round in 0..20 {
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        writer.create(&format!("{round}")).await;
        // A standby may lag; a strict read may not.
        assert_eq!(reader.list().await.len(), round + 1);
    }
    primary.kill();
    standby.run("ALTER SYSTEM SET synchronous_standby_names = ''").await;
    standby.run("SELECT pg_promote()").await;
    let after = create_in_the_end(&one, "after").await;
    assert_eq!(
        after.seq(),
        21,
        "a write that was refused was carried out, or one that was acknowledged is lost"
    );
    assert_eq!(titles(&list_in_the_end(&other).await).len(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_is_left_for_the_promoted_one_on_postgres() {
    needs!(Postgres);
    let primary = Cluster::start();
    let standby = primary.standby();
    let store = store_at(&primary, &standby);
    let servers = [Server::with(&store, &[CLUSTER]), Server::with(&store, &[CLUSTER])];
    let [one, other] = [servers[0].user("ann"), servers[1].user("ann")];
    one.create("before").await;
    assert_eq!(other.list().await.len(), 1);
    // Open connections stay open and get SQLSTATE 25006.
    for sql in ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"] {
        primary.run(sql).await;
    }
    let mut refused = one.post(&json!({"title": "refused"})).await;
    for _ in 0..100 {
        if refused.status != 201 {
            break;
        }
        // The setting had not reached this connection yet.
        refused = one.post(&json!({"title": "refused"})).await;
    }
    refused.expect_error(503, "STORE_UNAVAILABLE");
    let before = titles(&list_in_the_end(&one).await).len();
    standby.run("ALTER SYSTEM RESET default_transaction_read_only").await;
    standby.run("SELECT pg_promote()").await;
    for (number, user) in (1..).zip([&one, &other]) {
        create_in_the_end(user, &format!("after {number}")).await;
        let list = list_in_the_end(user).await;
        assert_eq!(titles(&list).len(), before + number);
        assert_eq!(titles(&list)[0], format!("after {number}"));
    }
    assert_eq!(one.list().await, other.list().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_that_keeps_running_is_left_by_readers_too_on_postgres() {
    needs!(Postgres);
    let old = Cluster::start();
    let standby = old.standby();
    // The old primary comes first: asking for a server that accepts writes finds it.
    let store = store_at(&standby, &old);
    let servers = [Server::with(&store, &[CLUSTER]), Server::with(&store, &[CLUSTER])];
    let [one, other] = [servers[0].user("ann"), servers[1].user("ann")];
    one.create("before").await;
    assert_eq!(other.list().await.len(), 1);
    standby.run("SELECT pg_promote()").await;
    // Nothing stops the old primary, which would answer reads and writes for ever.
    for server in &servers {
        server.log_line(&["PostgreSQL is not the server it was"]);
    }
    for round in 0..5 {
        create_in_the_end(&one, &format!("{round}")).await;
        assert_eq!(titles(&list_in_the_end(&other).await).len(), round + 2);
    }
    standby.run("DO $$ BEGIN ASSERT (SELECT count(*) = 6 FROM tasks), 'where else'; END $$").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_without_the_last_writes_is_followed_and_clients_start_again_on_postgres() {
    needs!(Postgres);
    let primary = Cluster::start();
    let standby = primary.standby();
    let store = store_at(&primary, &standby);
    let servers = [Server::with(&store, &[CLUSTER]), Server::with(&store, &[CLUSTER])];
    let [one, other] = [servers[0].user("ann"), servers[1].user("ann")];
    let kept = one.create("kept").await;
    // The standby has this write and receives no later one.
    let arrived = "DO $$ BEGIN FOR i IN 1..600 LOOP
            EXIT WHEN (SELECT count(*) FROM tasks) = 1; PERFORM pg_sleep(0.1); END LOOP; END $$";
    standby.run(arrived).await;
    standby.kill();
    one.create("lost").await;
    let newest = other.create("lost, too").await;
    assert_eq!(newest["version"], 3);
    let before = list_in_the_end(&one).await;
    assert_eq!(list_in_the_end(&other).await.lineage(), before.lineage());
    let mut streams = [Events::of(&one, Some(3)).await, Events::of(&other, Some(3)).await];
    for stream in &mut streams {
        assert_eq!(stream.take(1).await[0].name, "hello");
    }
    primary.kill();
    standby.restart();
    standby.run("SELECT pg_promote()").await;
    for user in [&one, &other] {
        let list = list_in_the_end(user).await;
        assert_eq!((list.seq(), titles(&list)), (1, vec!["kept".to_owned()]));
        assert_ne!(list.lineage(), before.lineage(), "another life of the store");
        user.get("/changes?since=3").await.expect_error(410, "RESYNC_REQUIRED");
        let ahead = user.request(Method::GET, "/tasks").header("x-tasklane-min-seq", "3");
        send(ahead).await.expect_error(410, "RESYNC_REQUIRED");
        user.task(id(&newest)).await.expect_no_task();
    }
    for stream in &mut streams {
        let events = stream.take(1).await;
        assert_eq!((events[0].name.as_str(), events[0].id), ("resync", 1));
    }
    // The seqs of the lost writes are used again, by other writes.
    let again = create_in_the_end(&other, "again").await;
    assert_eq!(again.seq(), 2);
    // What was given out for the lost ones stands for nothing.
    let (old, now) = (before.list_tag(2), again.list_tag(2));
    for user in [&one, &other] {
        let read =
            |path: &str, name: &str, value: &str| send(user.request(Method::GET, path).header(name, value));
        let seen = read("/tasks", "if-none-match", &old).await.expect(200);
        assert_eq!((seen.header("etag"), seen.lineage()), (Some(&*now), again.lineage()));
        read("/tasks", "if-none-match", &now).await.expect(304);
        let old = format!("2-{}", before.lineage());
        let gone = user.get(&format!("/changes?since={old}")).await;
        assert_eq!(gone.expect_error(410, "RESYNC_REQUIRED").lineage(), again.lineage());
        read("/tasks", "x-tasklane-min-seq", &old).await.expect_error(410, "RESYNC_REQUIRED");
        let path = format!("/tasks/{}", id(&again.json()));
        let stale = user.request(Method::PATCH, &path).header("if-match", before.tag(2));
        send(stale.json(&json!({"title": "stale"}))).await.expect_error(412, "PRECONDITION_FAILED");
    }
    assert_eq!(titles(&list_in_the_end(&one).await), ["again", "kept"]);
    assert_eq!(one.task(id(&kept)).await.expect(200).json(), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_not_acknowledged_before_the_standby_has_it_even_if_the_wait_is_cancelled_on_postgres() {
    needs!(Postgres);
    let waited_for = |then: &str| {
        format!(
            "DO $$ DECLARE waiter int; BEGIN FOR i IN 1..1200 LOOP
                PERFORM pg_stat_clear_snapshot();
                SELECT pid INTO waiter FROM pg_stat_activity WHERE wait_event = 'SyncRep' LIMIT 1;
                EXIT WHEN waiter IS NOT NULL;
                PERFORM pg_sleep(0.05);
            END LOOP; ASSERT waiter IS NOT NULL, 'nobody waits for the standby'; {then} END $$"
        )
    };
    let cluster = Cluster::start();
    let server = Server::with(&Store::at(&cluster.url), &[]);
    let user = server.user("ann");
    user.create("before").await;
    for sql in ["ALTER SYSTEM SET synchronous_standby_names = 'none_there'", "SELECT pg_reload_conf()"] {
        cluster.run(sql).await;
    }
    let write = async { user.post(&json!({"title": "after"})).await };
    let fault = async {
        // What the primary committed is there, and its client is not answered.
        let end = "PERFORM pg_terminate_backend(waiter);
            WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = waiter) LOOP
                PERFORM pg_stat_clear_snapshot();
                PERFORM pg_sleep(0.01);
            END LOOP;";
        cluster.run(&waited_for(end)).await;
        // The same batch, sent again, waits, too.
        cluster.run(&waited_for("")).await;
        for sql in ["ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"] {
            cluster.run(sql).await;
        }
    };
    let (answer, ()) = tokio::join!(write, fault);
    if answer.status != 201 {
        answer.expect_error(503, "OUTCOME_UNKNOWN");
    }
    assert_eq!(titles(&list_in_the_end(&user).await), ["after", "before"]);
}
