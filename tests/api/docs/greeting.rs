//! A developer's first minute: the server prints its address, a token and commands to paste.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use reqwest::Method;

use crate::support::command::{PATIENCE, run};
use crate::support::{Kind, Server, Store, User, on_both_stores, send, tokens};

on_both_stores!(
    the_greeting_names_the_address_and_the_store,
    the_greetings_token_works,
    the_services_own_tokens_have_the_expected_issuer_and_audience,
    the_greetings_lines_work_as_printed,
    the_secret_is_generated_once_and_kept_private,
);

/// A server as a newcomer starts it, without a configured secret.
fn newcomers(store: &Store) -> Server {
    Server::launch(store.dir(), &[], &[("PORT", "0"), ("DATABASE_URL", store.url())])
}

fn greeting(server: &Server) -> Vec<String> {
    // The token is printed after the address: wait for it.
    let found = server.output().wait_for(PATIENCE, |line| line.text().contains("eyJ").then_some(()));
    assert!(found.is_some(), "no token: {:#?}", server.output().lines());
    server.output().stdout()
}

fn token(server: &Server) -> String {
    let is_token = |word: &&str| word.starts_with("eyJ") && word.matches('.').count() == 2;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text = greeting(server).join("\n");
    let found = text.split(|c: char| !legal(c)).find(is_token);
    found.unwrap_or_else(|| panic!("no token in {text}")).to_owned()
}

async fn the_greeting_names_the_address_and_the_store(store: Store) {
    let server = newcomers(&store);
    let text = greeting(&server).join("\n");
    assert!(text.contains(server.origin()), "{text}");
    match store.kind() {
        Kind::Sqlite => assert!(text.contains("SQLite") && text.contains("tasklane.db"), "{text}"),
        Kind::Postgres => assert!(text.contains("PostgreSQL"), "{text}"),
    }
    let page = text.lines().find_map(|line| line.trim().strip_prefix("page ")).unwrap().trim();
    let page = send(server.http().get(page)).await.expect(200);
    assert!(page.text().contains("<title>Tasklane</title>"));
}

async fn the_greetings_token_works(store: Store) {
    let server = newcomers(&store);
    let user = User::new(&server, "me", token(&server));
    let task = user.create("the first").await;
    assert_eq!(user.list().await, std::slice::from_ref(&task));
    let named = User::new(&server, task["user_id"].as_str().unwrap(), user.token.clone());
    assert_eq!(named.list().await, [task]);
}

/// Where an issuer and an audience are expected, every token the service itself makes has them.
async fn the_services_own_tokens_have_the_expected_issuer_and_audience(store: Store) {
    let expected = [("JWT_ISSUER", "https://app.example.org"), ("JWT_AUDIENCE", "tasks")];
    let server = Server::with(&store, &expected);
    let text = greeting(&server).join("\n");
    let key = text.split("/#key=").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let of_page = server.request(Method::POST, "/demo/token").header("X-Page-Key", key);
    let of_page = send(of_page).await.expect(201).json();
    let settings = [&expected[..], &[("BETTER_AUTH_SECRET", tokens::SECRET)]].concat();
    let of_command = run(store.dir(), &["token", "--user", "demo"], &settings);
    assert_eq!(of_command.code, 0, "{of_command:?}");
    for token in
        [token(&server), of_page["token"].as_str().unwrap().to_owned(), of_command.stdout.trim().into()]
    {
        User::new(&server, "demo", token).get("/tasks").await.expect(200);
    }
}

async fn the_greetings_lines_work_as_printed(store: Store) {
    needs!(Curl);
    let server = newcomers(&store);
    let lines = greeting(&server);
    // A command to paste continues while its lines end in a backslash.
    let (mut script, mut goes_on, mut curls) = (String::new(), false, 0);
    for line in &lines {
        let word = line.split_whitespace().next().unwrap_or_default();
        let assignment = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        });
        if goes_on || word == "curl" || word == "export" || assignment {
            curls += usize::from(word == "curl");
            script.push_str(line);
            script.push('\n');
            goes_on = line.trim_end().ends_with('\\');
        }
    }
    assert!(curls >= 2, "too few commands to paste: {lines:#?}");
    // An error status must fail the command; nothing else about it is changed.
    let script = format!(
        "set -eu\ncurl() {{ command curl --fail-with-body --silent --show-error \"$@\"; }}\n{script}"
    );
    let output =
        tokio::task::spawn_blocking(move || Command::new("bash").args(["-c", &script]).output().unwrap());
    let output = output.await.unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{lines:#?}\ngave\n{stdout}{stderr}");
    assert!(stdout.contains("\"tasks\"") || stdout.contains("\"title\""), "{stdout}");
}

async fn the_secret_is_generated_once_and_kept_private(store: Store) {
    let server = newcomers(&store);
    let first = token(&server);
    User::new(&server, "me", first.clone()).create("before").await;
    let secrets = secrets_below(store.dir());
    assert_eq!(secrets.len(), 1, "one private file beside the store: {secrets:?}");
    let secret = fs::read_to_string(&secrets[0]).unwrap();
    assert!(secret.trim().len() >= 32);
    for line in server.output().lines() {
        assert!(!line.text().contains(secret.trim()), "the secret is shown");
    }
    server.stop();
    let server = newcomers(&store);
    assert_eq!(User::new(&server, "me", first).list().await.len(), 1, "yesterday's token still works");
    assert_eq!(fs::read_to_string(&secrets[0]).unwrap(), secret);
    // The command line signs with the same secret.
    let printed = run(store.dir(), &["token", "--user", "ann"], &[("DATABASE_URL", store.url())]);
    assert_eq!(printed.code, 0, "{printed:?}");
    User::new(&server, "ann", printed.stdout.trim().to_owned()).create("mine").await;
}

/// Files that only their owner may read or write, except the store's.
fn secrets_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        if meta.is_dir() {
            found.extend(secrets_below(&path));
        } else if meta.permissions().mode() & 0o777 == 0o600
            && !path.to_string_lossy().contains("tasklane.db")
        {
            found.push(path);
        }
    }
    found
}
