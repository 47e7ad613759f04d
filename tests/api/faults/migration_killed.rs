//! A process is killed while it migrates the tables: the next start finds them old or new, never in between,
//! and all their data.

use refinery::{Runner, Target};

use crate::support::command::{PATIENCE, Process, run};
use crate::support::{Kind, Server, Store, tokens};

mod postgres {
    refinery::embed_migrations!("migrations/postgres");
}

mod sqlite {
    refinery::embed_migrations!("migrations/sqlite");
}

/// The rows of the first version: a user with an open task and a completed one.
fn rows(id: impl Fn(u8) -> String, now: &str) -> String {
    let (ann, user) = (tasklane::domain::UserId::of_subject("ann").as_uuid(), id(0));
    let user = user.replace("00000000000000000000000000000000", &ann.simple().to_string());
    let task = |number: u8, done: bool| {
        format!(
            "INSERT INTO tasks (user_id, id, created_at, updated_at, version, completed, title)
             VALUES ({user}, {}, {now}, {now}, {number}, {done}, 'task {number}');",
            id(number)
        )
    };
    let ann = format!("INSERT INTO users (id, subject, seq, created_at) VALUES ({user}, 'ann', 2, {now});");
    format!("{ann} {} {}", task(1, false), task(2, true))
}

/// After a normal start the data are as the first version left them, all migrations are done, and the store
/// is sound.
async fn goes_on(store: &Store, migrations: &Runner) {
    let server = Server::start(store);
    let list = server.user("ann").list().await;
    assert_eq!(list.len(), 2, "{list:?}");
    for task in &list {
        assert_eq!(task["completed_at"].is_null(), task["title"] == "task 1", "{task}");
    }
    server.user("ann").create("task 3").await;
    server.stop();
    let settings = [("DATABASE_URL", store.url()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
    let looked = run(store.dir(), &["check"], &settings);
    assert_eq!(looked.code, 0, "{looked:?}");
    let version = format!("schema      version {}", migrations.get_migrations().len());
    for line in [&version, "tasks       3", "faults      0"] {
        assert!(looked.stdout.contains(line), "{line}: {looked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_start_completes_a_migration_killed_in_the_middle_on_postgres() {
    const MOMENT: std::time::Duration = std::time::Duration::from_millis(5);

    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let (mut holder, connection) = tokio_postgres::connect(store.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let first = postgres::migrations::runner().set_target(Target::Version(1));
    first.run_async(&mut holder).await.unwrap();
    holder.batch_execute(&rows(|number| format!("'{number:032x}'"), "now()")).await.unwrap();
    // A lock on tasks holds the migration up at its second statement, after users were changed.
    holder.batch_execute("BEGIN; SELECT FROM tasks").await.unwrap();
    let variables = [("PORT", "0"), ("DATABASE_URL", store.url()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
    let mut starting = Process::start(store.dir(), &[], &variables);
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tasks'::regclass";
    let mut waits = false;
    for _ in 0..PATIENCE.as_millis() / MOMENT.as_millis() {
        waits = holder.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 1;
        if waits {
            break;
        }
        tokio::time::sleep(MOMENT).await;
    }
    assert!(waits, "the migration does not reach the tasks: {:?}", starting.output.lines());
    starting.kill();
    holder.batch_execute("ROLLBACK").await.unwrap();
    goes_on(&store, &postgres::migrations::runner()).await;
}

/// strace kills the process at its n-th write to any file; n grows until the process finishes.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_start_completes_a_migration_killed_at_any_write_on_sqlite() {
    needs!(Strace);
    let path = std::env::var("PATH").unwrap();
    for (killed, write) in (1..400).step_by(4).enumerate() {
        let store = Store::new(Kind::Sqlite).await;
        let mut connection = rusqlite::Connection::open(store.dir().join("tasklane.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        sqlite::migrations::runner().set_target(Target::Version(1)).run(&mut connection).unwrap();
        connection.execute_batch(&rows(|number| format!("x'{number:032x}'"), "1770000000000000")).unwrap();
        connection.close().unwrap();
        let inject = format!("inject=pwrite64:signal=KILL:when={write}");
        let runner = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", &inject];
        let variables = [("PATH", path.as_str()), ("DATABASE_URL", store.url())];
        let ended = Process::start_under(&runner, store.dir(), &["migrate"], &variables).wait();
        goes_on(&store, &sqlite::migrations::runner()).await;
        if ended.success() {
            assert!(killed > 3, "only {killed} were killed: does strace kill differently?");
            return;
        }
    }
    panic!("a migration of more than 400 writes");
}
