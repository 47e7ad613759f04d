//! The command line: parse, then call.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use tasklane::app::{self, AppError};
use tasklane::cli::{self, Cli, CliCommand};
use tasklane::config::Config;
use tasklane::copy;
use tasklane::upkeep;

/// A write's parts are made on one thread and freed on another, which glibc's allocator does under a lock.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let outcome = app::read_dotenv().and_then(|()| {
        let cli = Cli::parse();
        let config = || Config::check(&cli.settings);
        match cli.command.unwrap_or(CliCommand::Serve) {
            CliCommand::Serve => app::serve(config()?),
            CliCommand::Migrate => app::migrate(&config()?),
            CliCommand::Token { user, email, ttl } => {
                app::print_token(&config()?, &user, email.as_deref(), ttl)
            }
            CliCommand::Backup { file } => upkeep::backup(&config()?, &file),
            CliCommand::Check => upkeep::check(&config()?),
            CliCommand::Copy { from, to } => copy::copy(&config()?, &from, &to),
            CliCommand::Openapi => app::print_openapi(),
            CliCommand::Completions { shell } => written(cli::print_completions(shell)),
            CliCommand::Man => written(cli::print_man()),
        }
    });
    if let Err(error) = outcome {
        eprintln!("tasklane: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A reader that has read enough is no failure.
fn written(outcome: io::Result<()>) -> Result<(), AppError> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(AppError::System(error.to_string())),
        _ => Ok(()),
    }
}
