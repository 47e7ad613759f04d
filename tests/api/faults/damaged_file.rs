//! A damaged SQLite file: the start says in one sentence what is wrong and what to do, and leaves the file as
//! it is. Damage that the start does not meet is found by `tasklane check`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::command::{Finished, run};
use crate::support::{Kind, Server, Store, User, tokens};

/// Runs the binary on the file until its end.
fn command(store: &Store, arguments: &[&str]) -> Finished {
    let settings = [("PORT", "0"), ("DATABASE_URL", store.url()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
    run(store.dir(), arguments, &settings)
}

fn file(store: &Store) -> PathBuf {
    store.file().unwrap()
}

/// A file beside it with this ending, such as its log.
fn beside(store: &Store, ending: &str) -> PathBuf {
    format!("{}{ending}", file(store).display()).into()
}

fn overwrite(path: PathBuf, at: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0xa5; length], at).unwrap();
}

async fn many(user: &User, text: &str) {
    let task = |number| json!({"op": "create", "task": {"title": format!("{text} {number}"), "description": text.repeat(90)}});
    let operations: Vec<Value> = (0..100).map(task).collect();
    user.call(Method::POST, "/batch", Some(&json!({"operations": operations}))).await.expect(200);
}

/// A file of two users with a hundred tasks each.
async fn stopped() -> (Store, [Vec<Value>; 2]) {
    let store = Store::new(Kind::Sqlite).await;
    let server = Server::start(&store);
    let users = ["ann", "bob"].map(|name| server.user(name));
    many(&users[0], "of ann").await;
    many(&users[1], "of bob").await;
    let lists = [users[0].list().await, users[1].list().await];
    server.stop();
    (store, lists)
}

/// The start must fail with these words, and change nothing.
fn refused(store: &Store, words: &[&str]) {
    let before = fs::read(file(store)).ok();
    refused_with(store, words);
    assert_eq!(fs::read(file(store)).ok(), before, "the file has been changed");
}

/// The start must fail with one line that contains these words.
fn refused_with(store: &Store, words: &[&str]) {
    for arguments in [&[][..], &["check"], &["migrate"]] {
        let finished = command(store, arguments);
        assert_ne!(finished.code, 0, "{finished:?}");
        let [line] = &finished.stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("not one line: {finished:?}")
        };
        assert!(line.contains(store.file().unwrap().to_str().unwrap()), "{line}");
        for word in words {
            assert!(line.contains(word), "no {word:?} in: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_damaged_file_says_so_and_leaves_it_as_it_is() {
    type Damage = fn(&Store);
    let (store, lists) = stopped().await;
    let whole = fs::read(file(&store)).unwrap();
    let damages: [(&str, Damage); 6] = [
        ("not a database", |store| overwrite(file(store), 0, 32)),
        ("malformed", |store| overwrite(file(store), 100, 3_000)),
        ("malformed", |store| {
            File::options().write(true).open(file(store)).unwrap().set_len(20_000).unwrap();
        }),
        ("is empty", |store| fs::write(file(store), "").unwrap()),
        ("not a database", |store| fs::write(file(store), "Dear diary, ").unwrap()),
        ("not a database", |store| fs::write(file(store), vec![0; 40_960]).unwrap()),
    ];
    for (words, damage) in damages {
        damage(&store);
        refused(&store, &[words, "put a backup in its place", "docs/backup.md"]);
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&store, ending));
        }
        fs::write(file(&store), &whole).unwrap();
    }
    let server = Server::start(&store);
    assert_eq!([server.user("ann").list().await, server.user("bob").list().await], lists);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_program_made_or_has_locked_is_left_alone() {
    let store = Store::new(Kind::Sqlite).await;
    let other = Connection::open(file(&store)).unwrap();
    other.execute_batch("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('x')").unwrap();
    refused(&store, &["of another program", "DATABASE_URL"]);

    let (store, _) = stopped().await;
    let other = Connection::open(file(&store)).unwrap();
    other.pragma_update(None, "locking_mode", "exclusive").unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // Reading the file here would end the lock: POSIX releases a file's locks at its first close.
    refused_with(&store, &["locked", "end the program that has it open"]);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    Server::start(&store).stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_ahead_log_without_its_file_is_not_deleted() {
    let store = Store::new(Kind::Sqlite).await;
    let mut server = Server::start(&store);
    let task = server.user("ann").create("in the log").await;
    server.kill();
    let elsewhere = store.dir().join("elsewhere");
    fs::rename(file(&store), &elsewhere).unwrap();
    refused(&store, &["missing", "put both back"]);
    fs::rename(elsewhere, file(&store)).unwrap();
    assert_eq!(Server::start(&store).user("ann").list().await, [task]);
}

/// The offset of a page that holds rows of ann alone.
fn a_page_of_ann(store: &Store) -> u64 {
    let bytes = fs::read(file(store)).unwrap();
    let holds = |page: &[u8], text: &str| page.windows(text.len()).any(|window| window == text.as_bytes());
    // A leaf begins with 10; pages above the leaves belong to all users.
    let of_ann = |page: &[u8]| page[0] == 10 && holds(page, "of ann") && !holds(page, "of bob");
    let pages = (0..).zip(bytes.chunks(4096)).filter(|(_, page)| of_ann(page));
    let pages: Vec<u64> = pages.map(|(place, _)| place * 4096).collect();
    assert!(pages.len() > 4, "{pages:?}");
    pages[pages.len() / 2]
}

/// A page in the middle, which the start does not read. Its user gets 503, others are served, and `tasklane
/// check` finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_page_is_found_by_check_and_fails_no_other_user() {
    let (store, [_, of_bob]) = stopped().await;
    overwrite(file(&store), a_page_of_ann(&store), 4096);
    let looked = command(&store, &["check"]);
    assert_ne!(looked.code, 0, "{looked:?}");
    assert!(looked.stdout.contains("malformed") && looked.stdout.contains("cannot be read"), "{looked:?}");
    assert!(looked.stderr.contains("not sound") && looked.stderr.contains("docs/backup.md"), "{looked:?}");
    assert!(!looked.stdout.contains("of ann") && !looked.stdout.contains("of bob"), "{looked:?}");

    let server = Server::start(&store);
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    assert_eq!(ann.get("/tasks").await.expect(503).code(), "STORE_UNAVAILABLE");
    assert_eq!(bob.list().await, of_bob);
    bob.create("after").await;
    assert_eq!(ann.post(&json!({"title": "after"})).await.expect(503).code(), "STORE_UNAVAILABLE");
    server.log_line(&["malformed"]);
    server.stop();
}

/// A page is overwritten while its user is in memory: only a write meets it, in one commit with other users'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_page_met_by_a_write_fails_no_other_users_write() {
    let (store, [of_ann, _]) = stopped().await;
    let server = Server::start(&store);
    let ann = server.user("ann");
    assert_eq!(ann.list().await, of_ann);
    overwrite(file(&store), a_page_of_ann(&store), 4096);
    let all = |task: &Value| json!({"op": "complete", "id": task["id"], "completed": true});
    let all = json!({"operations": of_ann.iter().map(all).collect::<Vec<_>>()});
    let others: Vec<_> = (0..32).map(|number| server.user(&format!("user {number}"))).collect();
    for round in 1..=10 {
        // While one commit is under way, the others queue for the next one.
        let writes = others.iter().map(|user| {
            let user = user.clone();
            tokio::spawn(async move { user.post(&json!({"title": "of another"})).await })
        });
        let writes: Vec<_> = writes.collect();
        let hurt = ann.call(Method::POST, "/batch", Some(&all)).await;
        assert_eq!(hurt.expect(503).code(), "STORE_UNAVAILABLE");
        for write in writes {
            assert_eq!(write.await.unwrap().expect(201).seq(), round);
        }
        assert_eq!(ann.list().await, of_ann, "what is in memory is still read");
    }
    server.log_line(&["malformed", "nothing was written"]);
    server.stop();
    let server = Server::start(&store);
    for number in 0..32 {
        assert_eq!(server.user(&format!("user {number}")).list().await.len(), 10);
    }
}

/// SQLite finds the end of its log by checksums: everything from the first wrong one on is ignored. What came
/// before is complete, without a gap; that the rest is lost cannot be detected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_is_used_up_to_the_damage() {
    let store = Store::new(Kind::Sqlite).await;
    let mut server = Server::start(&store);
    for number in 0..50 {
        server.user("ann").create(&number.to_string()).await;
    }
    server.kill();
    let log = beside(&store, "-wal");
    let length = fs::metadata(&log).unwrap().len();
    let kept = fs::read(file(&store)).unwrap();
    let whole = fs::read(&log).unwrap();
    for (at, fewest, most) in [(length, 50, 50), (length / 2, 1, 49), (0, 0, 0)] {
        fs::write(file(&store), &kept).unwrap();
        fs::write(&log, &whole).unwrap();
        let _ = fs::remove_file(beside(&store, "-shm"));
        overwrite(log.clone(), at, 4_000);
        assert_eq!(command(&store, &["check"]).code, 0);
        let server = Server::start(&store);
        let list = server.user("ann").list().await;
        let titles: Vec<_> = list.iter().rev().map(|task| task["title"].clone()).collect();
        let expected: Vec<_> = (0..titles.len()).map(|number| Value::from(number.to_string())).collect();
        assert_eq!(titles, expected, "a gap");
        assert!(
            (fewest..=most).contains(&titles.len()),
            "damage at {at} of {length}: {} tasks",
            titles.len()
        );
        server.stop();
    }
}

/// Whenever the first start is killed, the next one finds a complete store or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_killed_first_start_the_next_one_succeeds() {
    use crate::support::command::Process;

    for micros in (0..40_000).step_by(2_000) {
        let store = Store::new(Kind::Sqlite).await;
        let variables =
            [("PORT", "0"), ("DATABASE_URL", store.url()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
        let mut first = Process::start(store.dir(), &[], &variables);
        std::thread::sleep(std::time::Duration::from_micros(micros));
        first.kill();
        let made = command(&store, &["migrate"]);
        assert_eq!(made.code, 0, "killed after {micros} us: {made:?}");
        assert_eq!(command(&store, &["check"]).code, 0);
        assert!(!beside(&store, ".new").exists());
    }
}
