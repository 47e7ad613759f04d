//! What stands between the service and PostgreSQL's tables: a role with few rights, a pooler, a network.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Url;

use crate::support::command::{PATIENCE, run};
use crate::support::issuer::free_port;
use crate::support::{Kind, Server, Store, tokens};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_create_nothing_serves_once_another_has_migrated() {
    needs!(Postgres);
    let store = Store::new(Kind::Postgres).await;
    let role =
        Url::parse(store.url()).unwrap().path().trim_start_matches('/').replace("tasklane_api", "service");
    let settings = |url| [("PORT", "0"), ("DATABASE_URL", url), ("BETTER_AUTH_SECRET", tokens::SECRET)];
    let mut url = Url::parse(store.url()).unwrap();
    url.set_username(&role).unwrap();
    // The documented grants.
    store.damage(&[&format!("CREATE ROLE {role} LOGIN"), "REVOKE CREATE ON SCHEMA public FROM public"]).await;
    let refused = run(store.dir(), &[], &settings(url.as_str()));
    assert!(refused.code != 0 && refused.stderr.contains("permission denied"), "{refused:?}");
    assert_eq!(run(store.dir(), &["migrate"], &settings(store.url())).code, 0);
    store
        .damage(&[
            &format!("GRANT USAGE ON SCHEMA public TO {role}"),
            &format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
            &format!("GRANT INSERT, UPDATE, DELETE ON users, tasks, tombstones, idempotency_keys TO {role}"),
        ])
        .await;
    for more in [&[][..], &[("MODE", "cluster")]] {
        let server = Server::launch(store.dir(), &[], &[&settings(url.as_str())[..], more].concat());
        let ann = server.user("ann");
        let task = ann.create("kept").await;
        ann.delete(task["id"].as_str().unwrap()).await.expect(204);
        ann.erase().await;
        assert!(ann.list().await.is_empty());
        server.get("/ready").await.expect(200);
        server.stop();
    }
    store.damage(&[&format!("DROP OWNED BY {role}"), &format!("DROP ROLE {role}")]).await;
}

/// A real PgBouncer, stopped when dropped.
struct Pooler(Child, u16);

impl Pooler {
    /// Starts one in this mode in front of the store's server.
    fn start(store: &Store, mode: &str) -> Self {
        let (server, port) = (Url::parse(store.url()).unwrap(), free_port());
        let text = format!(
            "[databases]\n* = host={} port={} user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = any\npool_mode = {mode}\nunix_socket_dir =\ndefault_pool_size = 30\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.host_str().unwrap(),
            server.port().unwrap(),
            server.username(),
        );
        let file = Path::new("/tmp").join(format!("tasklane-pgbouncer-{port}.ini"));
        fs::write(&file, text).unwrap();
        // It refuses to run as root.
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        let mut command = Command::new(if is_root { "runuser" } else { "pgbouncer" });
        if is_root {
            command.args(["-u", "nobody", "--", "/usr/sbin/pgbouncer"]);
        }
        let child = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pooler = Self(child, port);
        let began = std::time::Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "PgBouncer does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        fs::remove_file(file).unwrap();
        pooler
    }

    fn url(&self, store: &Store) -> String {
        let mut url = Url::parse(store.url()).unwrap();
        url.set_port(Some(self.1)).unwrap();
        url.into()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // `runuser` passes it on.
        let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_shares_sessions_is_refused_in_one_line_and_one_that_does_not_is_served_through() {
    needs!(Postgres, Pgbouncer);
    let store = Store::new(Kind::Postgres).await;
    for mode in ["transaction", "statement", "session"] {
        let pooler = Pooler::start(&store, mode);
        let url = pooler.url(&store);
        let settings =
            [("PORT", "0"), ("DATABASE_URL", url.as_str()), ("BETTER_AUTH_SECRET", tokens::SECRET)];
        if mode == "session" {
            let server = Server::launch(store.dir(), &[], &settings);
            server.user("ann").create("through it").await;
            server.stop();
            continue;
        }
        for command in [&[][..], &["migrate"], &["check"]] {
            let refused = run(store.dir(), command, &settings);
            assert!(
                refused.code != 0 && refused.stderr.contains("pool_mode = session"),
                "{mode}: {refused:?}"
            );
            assert_eq!(refused.stderr.lines().count(), 1, "{mode}: {refused:?}");
        }
    }
}
