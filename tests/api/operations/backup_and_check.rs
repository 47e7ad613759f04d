//! `tasklane backup` and `tasklane check`: a backup made under load is restored; a store's damage is found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::command::{Finished, Process, run};
use crate::support::{Kind, Server, Store, id, on_both_stores, tokens};

on_both_stores!(a_sound_store_passes_the_check, each_kind_of_damage_is_found_without_showing_any_text,);

fn command(store: &Store, arguments: &[&str]) -> Finished {
    let settings = [("DATABASE_URL", store.url()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
    run(store.dir(), arguments, &settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_under_load_holds_all_that_was_acknowledged_before_it_on_sqlite() {
    let store = Store::new(Kind::Sqlite).await;
    let server = Arc::new(Server::start(&store));
    let ann = server.user("ann");
    for number in 0..300 {
        ann.create(&format!("{number} {}", "x".repeat(150))).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
            tokio::spawn(async move {
                let user = server.user(&format!("writer{writer}"));
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) && count < 20_000 {
                    user.create(&count.to_string()).await;
                    count += 1;
                }
                count
            })
        })
        .collect();
    let place = store.dir().join("backup.db");
    let arguments = ["backup", place.to_str().unwrap()];
    let made = command(&store, &arguments);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.stdout.contains("backup.db holds the whole store"), "{made:?}");
    // An existing file is never overwritten.
    let again = command(&store, &arguments);
    assert!(again.code != 0 && again.stderr.contains("is there already"), "{again:?}");
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 0);
    }

    // Restored elsewhere: sound, and served as it was at one instant.
    let other = Store::new(Kind::Sqlite).await;
    std::fs::rename(&place, other.dir().join("tasklane.db")).unwrap();
    let looked = command(&other, &["check"]);
    assert_eq!(looked.code, 0, "{looked:?}");
    let restored = Server::start(&other);
    assert_eq!(restored.user("ann").list().await, ann.list().await);
    for writer in 0..4 {
        let list = restored.user(&format!("writer{writer}")).list().await;
        let mut numbers: Vec<usize> =
            list.iter().map(|task| task["title"].as_str().unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..list.len()).collect::<Vec<_>>(), "a gap");
    }
    restored.user("ann").create("after").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_postgres_is_left_to_its_own_tools() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let refused = command(&store, &["backup", "copy.db"]);
    assert!(refused.code != 0 && refused.stderr.contains("pg_dump"), "{refused:?}");
    assert!(!store.dir().join("copy.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_waits_for_a_lock_longer_than_a_request_would() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    assert_eq!(command(&store, &["migrate"]).code, 0);
    let (holder, connection) = tokio_postgres::connect(store.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    holder.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (dir, settings) = (store.dir(), [("DATABASE_URL", store.url())]);
    let mut check = Process::start(dir, &["check"], &settings);
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tasks'::regclass";
    for _ in 0..6000 {
        if holder.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The lock time-out of a request is two seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(check.runs(), "{:?}", check.output.lines());
    holder.batch_execute("COMMIT").await.unwrap();
    assert!(check.wait().success(), "{:?}", check.output.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_nothing_leaves_nothing() {
    let store = Store::new(Kind::Sqlite).await;
    let refused = command(&store, &["backup", "copy.db"]);
    assert!(refused.code != 0 && refused.stderr.contains("tasklane.db"), "{refused:?}");
    let left: Vec<_> = std::fs::read_dir(store.dir()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn a_sound_store_passes_the_check(store: Store) {
    let server = Server::start(&store);
    for user in ["ann", "bob"] {
        let user = server.user(user);
        let task = user.create("kept").await;
        user.complete(id(&task), None).await.expect(200);
        let gone = user.create("deleted").await;
        user.delete(id(&gone)).await.expect(204);
        user.post(&json!({"id": gone["id"], "title": "made again"})).await.expect(201);
    }
    server.user("cy").erase().await;
    server.stop();
    let looked = command(&store, &["check"]);
    assert_eq!(looked.code, 0, "{looked:?}");
    for line in ["schema      version ", "tasks       4", "deletions   2", "faults      0"] {
        assert!(looked.stdout.contains(line), "{line}: {looked:?}");
    }
}

async fn each_kind_of_damage_is_found_without_showing_any_text(store: Store) {
    let server = Server::start(&store);
    for user in ["ann", "bob", "cy"] {
        server.user(user).create("a secret plan").await;
        server.user(user).create("another secret plan").await;
    }
    server.stop();
    store
        .damage(&[
            "UPDATE tasks SET version = 1 WHERE user_id = (SELECT id FROM users WHERE subject = 'ann')",
            "UPDATE users SET seq = 1 WHERE subject = 'bob'",
            "UPDATE users SET subject = 'dan' WHERE subject = 'cy'",
        ])
        .await;
    let looked = command(&store, &["check"]);
    assert_ne!(looked.code, 0, "{looked:?}");
    for part in ["two of its rows have seq 1", "has version 2, past seq 1", "not the one of its subject"] {
        assert!(looked.stdout.contains(part), "{part}: {looked:?}");
    }
    assert!(looked.stdout.contains("faults      3") && looked.stderr.contains("3 faults"), "{looked:?}");
    assert!(!looked.stdout.contains("secret plan") && !looked.stdout.contains("ann"), "{looked:?}");
}
