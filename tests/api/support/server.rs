//! A running server: the real binary, on a port the system chose.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::{Value, json};

use super::client::User;
use super::command::{Line, Output, PATIENCE, Process};
use super::store::Store;
use super::{Answer, send, tokens};

/// A running server. Dropping it kills it.
pub struct Server {
    process: Process,
    origin: String,
    http: Client,
}

impl Server {
    /// Starts a server on `store` with the tests' secret and every other setting at its default.
    pub fn start(store: &Store) -> Self {
        Self::with(store, &[])
    }

    /// Starts a server on `store` with these settings, which override the usual ones.
    pub fn with(store: &Store, settings: &[(&str, &str)]) -> Self {
        Self::under(&[], store, settings)
    }

    /// The same, by way of another program, which then executes the server.
    pub fn under(runner: &[&str], store: &Store, settings: &[(&str, &str)]) -> Self {
        let mut variables = vec![
            ("PORT", "0"),
            ("DATABASE_URL", store.url()),
            ("BETTER_AUTH_SECRET", tokens::SECRET),
            ("RUST_BACKTRACE", "1"),
        ];
        variables.retain(|(name, _)| !settings.iter().any(|(other, _)| other == name));
        variables.extend_from_slice(settings);
        Self::of(Process::start_under(runner, store.dir(), &[], &variables))
    }

    /// Starts a server with exactly these arguments and variables, in `dir`.
    pub fn launch(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(Process::start(dir, arguments, variables))
    }

    /// The server in a process that has just been started.
    pub fn of(mut process: Process) -> Self {
        let origin = origin_of(&mut process);
        let http = Client::builder()
            // A connection that was opened and not used gets a 408 after ten seconds, perhaps just when it is used.
            .pool_idle_timeout(Duration::from_secs(5))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .unwrap();
        Self { process, origin, http }
    }

    /// `http://127.0.0.1:<port>`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> &str {
        self.origin.trim_start_matches("http://")
    }

    /// What it has written so far.
    pub fn output(&self) -> &Arc<Output> {
        &self.process.output
    }

    /// Waits for a line on stderr that contains all of `parts`, and returns it.
    #[track_caller]
    pub fn log_line(&self, parts: &[&str]) -> String {
        let found = self.output().wait_for(PATIENCE / 6, |line| match line {
            Line::Err(text) if parts.iter().all(|part| text.contains(part)) => Some(text.clone()),
            _ => None,
        });
        found
            .unwrap_or_else(|| panic!("no log line holds {parts:?}; the log:\n{:#?}", self.output().stderr()))
    }

    /// The HTTP client, which keeps its connections.
    pub fn http(&self) -> Client {
        self.http.clone()
    }

    /// A request to a path of this server, without a token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.origin))
    }

    /// A GET without a token.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    /// A client that acts for `subject`.
    pub fn user(&self, subject: &str) -> User {
        User::new(self, subject, tokens::of(subject))
    }

    /// A client that acts for `subject`, with an e-mail address in its token.
    pub fn user_with_email(&self, subject: &str, email: &str) -> User {
        let claims = json!({"sub": subject, "email": email, "exp": tokens::in_an_hour()});
        User::new(self, subject, tokens::signed(&claims))
    }

    /// Bytes of memory in use, as the kernel counts them.
    #[cfg(target_os = "linux")]
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// How many files and sockets it has open.
    #[cfg(target_os = "linux")]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to stop, by SIGTERM.
    pub fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Sends it any signal.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Stops it gracefully.
    #[track_caller]
    pub fn stop(mut self) {
        self.terminate();
        let status = self.wait();
        assert!(status.success(), "after SIGTERM: {status}; it wrote:\n{:#?}", self.output().stderr());
    }

    /// Kills it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

/// Waits for the line with the address; a failed start is reported at once.
fn origin_of(process: &mut Process) -> String {
    let a_moment = Duration::from_millis(100);
    let moments = PATIENCE.as_millis() / a_moment.as_millis();
    for _ in 0..moments {
        if let Some(origin) = process.output.wait_for(a_moment, origin_in) {
            return origin;
        }
        if !process.runs() {
            break;
        }
    }
    panic!("the server gives no address; it wrote:\n{:#?}", process.output.lines());
}

/// The address in a line of the start: development's greeting, or production's log line.
fn origin_in(line: &Line) -> Option<String> {
    let address = match line {
        Line::Out(text) => {
            let rest = &text[text.find("http://127.0.0.1:")? + "http://".len()..];
            rest.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').next()?.to_owned()
        }
        Line::Err(text) => {
            let event: Value = serde_json::from_str(text).ok()?;
            // tracing-subscriber nests an event's fields unless it is set to flatten them.
            let fields = if event["fields"].is_object() { &event["fields"] } else { &event };
            if fields["message"] != "listening" {
                return None;
            }
            fields["address"].as_str()?.trim_start_matches("http://").to_owned()
        }
    };
    Some(format!("http://{address}"))
}
