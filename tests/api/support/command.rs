//! The binary as a child process: its output is kept in memory; waiting for its end is bounded.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails. No test measures time with it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// One line the process wrote.
#[derive(Clone, Debug)]
pub enum Line {
    /// On stdout.
    Out(String),
    /// On stderr.
    Err(String),
}

impl Line {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Out(text) | Self::Err(text) => text,
        }
    }
}

/// Everything the process has written so far, in the order it was read.
#[derive(Default)]
pub struct Output {
    lines: Mutex<Vec<Line>>,
    grown: Condvar,
}

impl Output {
    fn push(&self, line: Line) {
        self.lines.lock().unwrap().push(line);
        self.grown.notify_all();
    }

    /// A copy of all lines.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// The text of stdout.
    pub fn stdout(&self) -> Vec<String> {
        self.lines()
            .iter()
            .filter(|line| matches!(line, Line::Out(_)))
            .map(|line| line.text().to_owned())
            .collect()
    }

    /// The text of stderr.
    pub fn stderr(&self) -> Vec<String> {
        self.lines()
            .iter()
            .filter(|line| matches!(line, Line::Err(_)))
            .map(|line| line.text().to_owned())
            .collect()
    }

    /// Waits until one of the lines satisfies `find`; `None` after `patience`.
    pub fn wait_for<T>(&self, patience: Duration, find: impl Fn(&Line) -> Option<T>) -> Option<T> {
        let end = Instant::now() + patience;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.iter().find_map(&find) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            lines = self.grown.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// A running process of the binary. Dropping it kills it.
pub struct Process {
    child: Child,
    readers: Vec<thread::JoinHandle<()>>,
    /// What it wrote.
    pub output: Arc<Output>,
}

impl Process {
    /// Starts the binary in `dir` with these arguments and nothing in its environment but `variables`.
    pub fn start(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_under(&[], dir, arguments, variables)
    }

    /// As `start`, but by way of another program, which then executes the binary.
    pub fn start_under(runner: &[&str], dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let binary = binary();
        let binary = binary.to_str().expect("the path of the binary is UTF-8");
        let line: Vec<_> = runner.iter().chain(&[binary]).chain(arguments).copied().collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).env_clear().envs(variables.iter().copied()).current_dir(dir);
        if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
            command.env("LLVM_PROFILE_FILE", profile);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", line[0]));
        let output = Arc::new(Output::default());
        let readers = vec![
            keep(child.stdout.take().unwrap(), Line::Out, &output),
            keep(child.stderr.take().unwrap(), Line::Err, &output),
        ];
        Self { child, readers, output }
    }

    /// Sends it a signal by name (`TERM`, `INT`).
    pub fn signal(&self, name: &str) {
        let pid = self.child.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
        assert!(sent.success(), "signal {name} was not delivered");
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would: no handler runs.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end and the rest of its output.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                for reader in self.readers.drain(..) {
                    reader.join().unwrap();
                }
                return status;
            }
            assert!(Instant::now() < end, "the process does not end; it wrote:\n{:#?}", self.output.lines());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary under test: cargo's, or the build that `TASKLANE_BIN` names.
fn binary() -> PathBuf {
    std::env::var_os("TASKLANE_BIN").map_or_else(|| env!("CARGO_BIN_EXE_tasklane").into(), PathBuf::from)
}

fn keep(
    stream: impl Read + Send + 'static,
    wrap: fn(String) -> Line,
    output: &Arc<Output>,
) -> thread::JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            output.push(wrap(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()));
        }
    })
}

/// The result of a command.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: i32,
    /// Its stdout.
    pub stdout: String,
    /// Its stderr.
    pub stderr: String,
}

/// Runs the binary to its end.
pub fn run(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
    let mut process = Process::start(dir, arguments, variables);
    let status = process.wait();
    Finished {
        code: status.code().expect("the process was ended by a signal"),
        stdout: process.output.stdout().join("\n"),
        stderr: process.output.stderr().join("\n"),
    }
}
