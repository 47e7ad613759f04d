//! The command line: each command works and has help.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};

use crate::support::command::{Process, run};
use crate::support::{Kind, Server, Store, User, on_both_stores, tokens};

on_both_stores!(
    migrate_prepares_the_store_and_may_be_repeated,
    a_token_of_the_command_line_works,
    processes_that_start_at_once_prepare_the_store_once,
);

const COMMANDS: [&str; 9] =
    ["serve", "migrate", "token", "backup", "check", "copy", "openapi", "completions", "man"];

async fn migrate_prepares_the_store_and_may_be_repeated(store: Store) {
    for _ in 0..2 {
        let finished = run(store.dir(), &["migrate"], &[("DATABASE_URL", store.url())]);
        assert_eq!(finished.code, 0, "{finished:?}");
    }
    let server = Server::start(&store);
    server.user("ann").create("a").await;
    server.stop();
    let finished = run(store.dir(), &["migrate", "--database-url", store.url()], &[]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert_eq!(Server::start(&store).user("ann").list().await.len(), 1);
}

#[test]
fn a_file_without_a_folder_in_its_name_is_made_in_the_current_folder() {
    let folder = tempfile::tempdir().unwrap();
    let finished = run(folder.path(), &["migrate"], &[("DATABASE_URL", "sqlite://tasks.db")]);
    assert_eq!(finished.code, 0, "{finished:?}");
    assert!(folder.path().join("tasks.db").is_file());
}

async fn a_token_of_the_command_line_works(store: Store) {
    let server = Server::start(&store);
    let secret = [("BETTER_AUTH_SECRET", tokens::SECRET)];
    let finished = run(store.dir(), &["token", "--user", "ann", "--email", "ann@example.com"], &secret);
    assert_eq!(finished.code, 0, "{finished:?}");
    let token = finished.stdout.trim();
    assert!(!token.contains(char::is_whitespace), "stdout has only the token: {token}");
    let answer = User::new(&server, "ann", token.to_owned()).get("/test").await.expect(200).json();
    assert_eq!(answer["user"], json!({"id": "ann", "email": "ann@example.com"}));
    // Without an e-mail address, and with a chosen lifetime.
    let finished = run(store.dir(), &["token", "--user", "auth0|7 x", "--ttl", "2m"], &secret);
    assert_eq!(finished.code, 0, "{finished:?}");
    let token = finished.stdout.trim();
    User::new(&server, "auth0|7 x", token.to_owned()).create("mine").await;
    let key = DecodingKey::from_secret(tokens::SECRET.as_bytes());
    let claims = decode::<Value>(token, &key, &Validation::new(Algorithm::HS256)).unwrap().claims;
    let life = claims["exp"].as_u64().unwrap() - tokens::now();
    assert!((60..=120).contains(&life), "it lives {life} seconds");
}

async fn processes_that_start_at_once_prepare_the_store_once(store: Store) {
    let variables = [("DATABASE_URL", store.url())];
    let mut processes: Vec<_> =
        (0..4).map(|_| Process::start(store.dir(), &["migrate"], &variables)).collect();
    let succeeded =
        processes.iter_mut().filter_map(|process| process.wait().code()).filter(|code| *code == 0);
    match store.kind() {
        Kind::Postgres => assert_eq!(succeeded.count(), 4),
        // The file belongs to one process at a time: the others may be refused.
        Kind::Sqlite => assert!(succeeded.count() >= 1),
    }
    let server = Server::start(&store);
    server.user("ann").create("a").await;
}

#[test]
fn the_version_is_the_packages() {
    let dir = tempfile::tempdir().unwrap();
    let finished = run(dir.path(), &["--version"], &[]);
    assert_eq!((finished.code, finished.stdout.trim()), (0, concat!("tasklane ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn every_command_has_help() {
    let dir = tempfile::tempdir().unwrap();
    let help = run(dir.path(), &["--help"], &[]);
    assert_eq!(help.code, 0, "{help:?}");
    for command in COMMANDS {
        assert!(help.stdout.contains(command), "{command} is not in the help:\n{}", help.stdout);
        let help = run(dir.path(), &[command, "--help"], &[]);
        assert_eq!(help.code, 0, "{help:?}");
        assert!(help.stdout.lines().count() > 3, "{command} --help says {:?}", help.stdout);
    }
    for variable in ["HOST", "PORT", "DATABASE_URL", "BETTER_AUTH_SECRET", "ALLOWED_ORIGINS", "ENVIRONMENT"] {
        let help = run(dir.path(), &["serve", "--help"], &[("BETTER_AUTH_SECRET", "hunter2")]).stdout;
        assert!(help.contains(variable), "{variable} is not in serve's help");
        assert!(!help.contains("hunter2"), "the help shows a secret");
    }
    for option in ["--user", "--email", "--ttl"] {
        assert!(run(dir.path(), &["token", "--help"], &[]).stdout.contains(option));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "help creates nothing");
}

#[test]
fn a_wrong_command_line_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let secret = [("BETTER_AUTH_SECRET", tokens::SECRET)];
    let wrong: [&[&str]; 7] = [
        &["sing"],
        &["serve", "--no-such-flag"],
        &["token"],
        &["token", "--user", ""],
        &["token", "--user", "ann", "--ttl", "soon"],
        &["openapi", "extra"],
        &["copy", "--from", "sqlite://tasks.db"],
    ];
    for arguments in wrong {
        let finished = run(dir.path(), arguments, &secret);
        assert_ne!(finished.code, 0, "{arguments:?}: {finished:?}");
        assert!(!finished.stderr.is_empty() && finished.stdout.is_empty(), "{arguments:?}: {finished:?}");
    }
}

#[test]
fn a_token_needs_a_secret_in_production() {
    let dir = tempfile::tempdir().unwrap();
    let finished = run(dir.path(), &["token", "--user", "ann"], &[("ENVIRONMENT", "production")]);
    assert_ne!(finished.code, 0, "{finished:?}");
    assert!(finished.stderr.contains("BETTER_AUTH_SECRET"), "{finished:?}");
}

#[test]
fn shell_completions_know_every_command_and_setting_whatever_the_settings_are() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, check) in [("bash", Some("bash")), ("zsh", None), ("fish", None)] {
        let finished = run(dir.path(), &["completions", shell], &[("ENVIRONMENT", "nowhere")]);
        assert_eq!(finished.code, 0, "{finished:?}");
        for word in COMMANDS.into_iter().chain(["database-url", "user"]) {
            assert!(finished.stdout.contains(word), "{shell} does not complete {word}");
        }
        if let Some(shell) = check {
            let script = dir.path().join("script");
            std::fs::write(&script, &finished.stdout).unwrap();
            let checked = std::process::Command::new(shell).arg("-n").arg(&script).output().unwrap();
            assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
        }
    }
    assert_ne!(run(dir.path(), &["completions", "cmd.exe"], &[]).code, 0);
}

#[test]
fn the_manual_page_lists_every_command_and_setting_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let page = run(dir.path(), &["man"], &[("BETTER_AUTH_SECRET", "hunter2")]);
    assert_eq!(page.code, 0, "{page:?}");
    assert!(page.stdout.contains(".TH tasklane 1"), "{}", page.stdout);
    for word in COMMANDS.into_iter().chain(["DATABASE_URL", "JWKS_URL", "SETTINGS"]) {
        assert!(page.stdout.contains(word), "{word} is not in the manual page:\n{}", page.stdout);
    }
    assert!(!page.stdout.contains("hunter2"));
}

/// util-linux's `script` gives a command a terminal.
#[cfg(target_os = "linux")]
#[test]
fn colours_are_for_terminals_that_want_them() {
    let binary = env!("CARGO_BIN_EXE_tasklane");
    let on_terminal = |variables: &str| {
        let command = format!("{variables} {binary} --help");
        let output = std::process::Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    assert!(on_terminal("env -u NO_COLOR").contains('\x1b'));
    assert!(!on_terminal("env NO_COLOR=1").contains('\x1b'));
    assert!(!run(dir.path(), &["--help"], &[("TERM", "xterm")]).stdout.contains('\x1b'));
}
