//! The command line: commands, their help, shell completions and the manual page.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::Settings;

/// A task backend for frontends. Without a command it serves.
///
/// Settings come from flags, else from the environment, else from a file `.env` in this folder.
/// A secret may stand in a file of its own, which `BETTER_AUTH_SECRET_FILE`, `DATABASE_URL_FILE`, `JWKS_URL_FILE`,
/// `COPY_FROM_FILE` or `COPY_TO_FILE` names: flags show in the list of processes.
#[derive(Parser)]
#[command(name = "tasklane", version, after_help = EXAMPLES)]
pub struct Cli {
    /// The settings, unchecked.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
}

const EXAMPLES: &str = "Examples:
  tasklane                                           serve on http://127.0.0.1:8000, tasks in data/tasklane.db
  tasklane --database-url postgres://me@localhost/tasks
  tasklane token --user ann --ttl 15m                a token to try the API with
  tasklane copy --from sqlite://data/tasklane.db --to postgres://me@localhost/tasks
  tasklane completions bash > ~/.local/share/bash-completion/completions/tasklane
  tasklane man | man -l -";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Serve the API (the default)
    Serve,
    /// Bring the store's schema up to date, and exit
    Migrate,
    /// Print a token signed with `BETTER_AUTH_SECRET` (in development: with the secret in the data folder)
    Token {
        /// The token's user: its `sub`
        #[arg(long)]
        user: String,
        /// The user's e-mail address
        #[arg(long)]
        email: Option<String>,
        /// How long it is valid, such as 15m, 24h or 30d
        #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// Copy the SQLite file, as it is now, to a new one; the service may go on writing
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Check the store against every rule the service relies on; fails if one is broken
    Check,
    /// Copy all users from one store to another, such as from SQLite to PostgreSQL, and compare the two
    ///
    /// Nothing may write to either of them meanwhile. The same command continues a copy that was interrupted.
    Copy {
        /// The store to read: `sqlite://<path>` or `postgres://<user>:<password>@<host>/<database>`
        #[arg(long, env = "COPY_FROM", hide_env_values = true, value_name = "URL")]
        from: String,
        /// The store to write, in the same form
        #[arg(long, env = "COPY_TO", hide_env_values = true, value_name = "URL")]
        to: String,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Print a script by which a shell completes commands and settings
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// The completions for a shell.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tasklane", &mut script);
    script
}

/// The manual page.
///
/// # Panics
/// Never: writing into memory cannot fail.
#[must_use]
pub fn man() -> Vec<u8> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).expect("writing into memory cannot fail");
    page
}

/// Prints to stdout. A reader that stops early, such as `head`, is no failure.
///
/// # Errors
/// When stdout cannot be written to.
pub fn print(text: &[u8]) -> io::Result<()> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
