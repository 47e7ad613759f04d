//! The command line: parse, then call.

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use tasklane::app::AppError;
use tasklane::cli::{self, Cli, CliCommand};
use tasklane::commands;
use tasklane::config::{self, Config};
use tasklane::http::docs::openapi;

/// A write allocates on one thread and frees on another; glibc's allocator takes a lock for that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = run() {
        // `eprintln` would panic where stderr cannot be written.
        let _ = writeln!(stderr(), "tasklane: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run() -> Result<(), AppError> {
    let sources = config::read_files()?;
    let cli = Cli::parse();
    let config = || Config::check(&cli.settings).map_err(|error| sources.locate(error));
    let print = |text: &[u8]| cli::print(text).map_err(|error| AppError::System(error.to_string()));
    match cli.command.unwrap_or(CliCommand::Serve) {
        CliCommand::Serve => commands::serve(config()?),
        CliCommand::Migrate => commands::migrate(&config()?.store),
        CliCommand::Token { user, email, ttl } => {
            commands::print_token(&config()?, &user, email.as_deref(), ttl)
        }
        CliCommand::Backup { file } => commands::backup(&config()?.store.database_url, &file),
        CliCommand::Check => commands::check(&config()?.store),
        CliCommand::Copy { from, to } => commands::copy(&config()?.store, &from, &to),
        CliCommand::Openapi => print(format!("{}\n", openapi::document()).as_bytes()),
        CliCommand::Completions { shell } => print(&cli::completions(shell)),
        CliCommand::Man => print(&cli::man()),
    }
}
