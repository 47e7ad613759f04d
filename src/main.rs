//! The command line: parse, then call.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tasklane::app;
use tasklane::config::{Config, Settings};

/// A task backend for frontends. Without a command it serves.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (the default)
    Serve,
    /// Bring the store's schema up to date, and exit
    Migrate,
    /// Print a token signed with `BETTER_AUTH_SECRET` (in development: with the secret in the data folder)
    Token {
        /// The user it is for: what becomes its `sub`
        #[arg(long)]
        user: String,
        /// The user's e-mail address
        #[arg(long)]
        email: Option<String>,
        /// How long it is good for, such as 15m, 24h or 30d
        #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
        ttl: Duration,
    },
    /// Print the OpenAPI document
    Openapi,
}

fn main() -> ExitCode {
    let outcome = app::read_dotenv().and_then(|()| {
        let cli = Cli::parse();
        let config = Config::check(&cli.settings)?;
        match cli.command.unwrap_or(Command::Serve) {
            Command::Serve => app::serve(config),
            Command::Migrate => app::migrate(&config),
            Command::Token { user, email, ttl } => app::print_token(&config, &user, email.as_deref(), ttl),
            Command::Openapi => app::print_openapi(),
        }
    });
    if let Err(error) = outcome {
        eprintln!("tasklane: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
