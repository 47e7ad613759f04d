//! `.env` of the working folder, and secrets in files of their own.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::command::run;
use crate::support::{Kind, Server, Store, User, tokens};

/// A token that Node signs with this secret.
fn token(secret: &str) -> String {
    let claims = json!({"sub": "ann", "exp": tokens::in_an_hour()});
    tokens::signed_with(secret, jsonwebtoken::Algorithm::HS256, &claims)
}

#[tokio::test]
async fn a_secret_with_a_dollar_is_the_same_as_for_nodes_dotenv() {
    let store = Store::new(Kind::Sqlite).await;
    for (line, secret) in [
        (
            "BETTER_AUTH_SECRET=abc$HOME$def${x}-and-more-than-32-bytes",
            "abc$HOME$def${x}-and-more-than-32-bytes",
        ),
        (
            "BETTER_AUTH_SECRET=\"it's $5 # \\$ and more than 32 bytes\" # x",
            "it's $5 # \\$ and more than 32 bytes",
        ),
        (
            "BETTER_AUTH_SECRET='a\\nb \"c\" and more than 32 bytes, too'",
            "a\\nb \"c\" and more than 32 bytes, too",
        ),
        (
            "export BETTER_AUTH_SECRET = abcdefghijklmnopqrstuvwxyz0123456789 # x",
            "abcdefghijklmnopqrstuvwxyz0123456789",
        ),
    ] {
        fs::write(store.dir().join(".env"), format!("PORT=0\n{line}\n")).unwrap();
        let server = Server::launch(store.dir(), &[], &[("DATABASE_URL", store.url()), ("HOME", "/nowhere")]);
        let answer = User::new(&server, "ann", token(secret)).get("/tasks").await;
        assert_eq!(answer.status, 200, "{line}");
        server.stop();
    }
}

#[test]
fn a_file_of_a_folder_above_is_not_read() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("project");
    fs::create_dir(&folder).unwrap();
    fs::write(above.path().join(".env"), "PORT=none\n").unwrap();
    let started = run(&folder, &["migrate"], &[]);
    assert_eq!(started.code, 0, "{started:?}");
    fs::write(folder.join(".env"), "PORT=none\n").unwrap();
    let refused = run(&folder, &["migrate"], &[]);
    assert!(refused.code != 0 && refused.stderr.starts_with("tasklane: .env: PORT "), "{refused:?}");
}

#[tokio::test]
async fn a_secret_may_stand_in_a_file_of_its_own() {
    const SECRET: &str = "a secret with $ and # of 32 bytes or more";
    let store = Store::new(Kind::Sqlite).await;
    let file = |name: &str, text: &str| fs::write(store.dir().join(name), text).unwrap();
    file("auth", &format!("{SECRET}\n"));
    file("url", &format!("{}\r\n", store.url()));
    let files = [("PORT", "0"), ("BETTER_AUTH_SECRET_FILE", "auth"), ("DATABASE_URL_FILE", "url")];
    // A variable that is set to nothing counts as not set.
    let server = Server::launch(store.dir(), &[], &[&files[..], &[("BETTER_AUTH_SECRET", "")]].concat());
    User::new(&server, "ann", token(SECRET)).create("kept").await;
    server.stop();
    assert!(store.file().unwrap().is_file());

    file("empty", "\n");
    file("lines", "a secret of 32 bytes or more, and more\nanother line\n");
    fs::write(store.dir().join("bytes"), b"\xff\xfe").unwrap();
    file("short", "hunter2");
    symlink("nowhere", store.dir().join("link")).unwrap();
    for name in ["none", "empty", "lines", "bytes", "short", "link", "."] {
        let refused = run(store.dir(), &[], &[("PORT", "0"), ("BETTER_AUTH_SECRET_FILE", name)]);
        let said = &refused.stderr;
        assert!(refused.code != 0 && said.contains("BETTER_AUTH_SECRET_FILE: "), "{name}: {refused:?}");
        assert!(said.lines().count() == 1 && !said.contains("hunter2"), "{name}: {refused:?}");
    }
    let both = [("PORT", "0"), ("BETTER_AUTH_SECRET_FILE", "auth"), ("BETTER_AUTH_SECRET", SECRET)];
    let refused = run(store.dir(), &[], &both);
    assert!(refused.code != 0 && refused.stderr.contains("are both set"), "{refused:?}");
}

#[tokio::test]
async fn a_secret_as_a_flag_is_served_with_a_warning() {
    let store = Store::new(Kind::Sqlite).await;
    let flag = format!("--better-auth-secret={}", tokens::SECRET);
    let server = Server::launch(store.dir(), &[&flag], &[("PORT", "0"), ("DATABASE_URL", store.url())]);
    server.log_line(&["WARN", "--better-auth-secret", "list of processes"]);
}
