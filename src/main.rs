//! The command line: parse, then call.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use tasklane::app::AppError;
use tasklane::cli::{self, Cli, CliCommand};
use tasklane::commands;
use tasklane::config::{self, Config};

/// A write's parts are made on one thread and freed on another, which glibc's allocator does under a lock.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = run() {
        eprintln!("tasklane: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run() -> Result<(), AppError> {
    config::read_dotenv()?;
    let cli = Cli::parse();
    let config = || Config::check(&cli.settings);
    let unwritten = |error: io::Error| AppError::System(error.to_string());
    match cli.command.unwrap_or(CliCommand::Serve) {
        CliCommand::Serve => commands::serve(config()?),
        CliCommand::Migrate => commands::migrate(&config()?.store),
        CliCommand::Token { user, email, ttl } => {
            commands::print_token(&config()?, &user, email.as_deref(), ttl)
        }
        CliCommand::Backup { file } => commands::backup(&config()?.store.database_url, &file),
        CliCommand::Check => commands::check(&config()?.store),
        CliCommand::Copy { from, to } => commands::copy(&config()?.store, &from, &to),
        CliCommand::Openapi => commands::print_openapi().map_err(unwritten),
        CliCommand::Completions { shell } => cli::print_completions(shell).map_err(unwritten),
        CliCommand::Man => cli::print_man().map_err(unwritten),
    }
}
