//! The command line: parse, then call.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use tasklane::app::{self, AppError};
use tasklane::cli::{self, Cli, Command};
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
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => app::serve(config()?),
            Command::Migrate => app::migrate(&config()?),
            Command::Token { user, email, ttl } => app::print_token(&config()?, &user, email.as_deref(), ttl),
            Command::Backup { file } => upkeep::backup(&config()?, &file),
            Command::Check => upkeep::check(&config()?),
            Command::Copy { from, to } => copy::copy(&config()?, &from, &to),
            Command::Openapi => app::print_openapi(),
            Command::Completions { shell } => written(cli::print_completions(shell)),
            Command::Man => written(cli::print_man()),
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
