//! All settings: where they come from, and how they are checked.

use std::error::Error;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::auth::AuthConfig;
use super::check::{ConfigError, either, variable};
use super::dotenv::{self, Sources};
use super::environment::Environment;
use super::http::HttpConfig;
use super::lane::LaneConfig;
use super::store::StoreConfig;
use super::telemetry::TelemetryConfig;

/// The settings, checked.
///
/// Help lists those with a `display_order` first, then the others in the order of declaration.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// `development` or `production`
    #[arg(long, env, display_order = 9, default_value = "development")]
    #[arg(value_parser = either(("development", Environment::Development), ("production", Environment::Production)))]
    pub environment: Environment,
    /// What tokens are signed with, and which claims they must have.
    #[command(flatten)]
    pub auth: AuthConfig,
    /// Limits per user, what is kept in memory, and how fresh reads are.
    #[command(flatten)]
    pub lane: LaneConfig,
    /// Where tasks are kept.
    #[command(flatten)]
    pub store: StoreConfig,
    /// How requests are served.
    #[command(flatten)]
    pub http: HttpConfig,
    /// Logs and metrics.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// The flags that show a secret to everybody on the machine.
    #[arg(skip)]
    pub exposed: Vec<String>,
}

impl Config {
    /// Checks the settings. An empty variable counts as not set.
    ///
    /// # Errors
    /// [`ConfigError`] names a wrong variable, its value, and what is allowed.
    pub fn check(Settings { given, exposed }: &Settings) -> Result<Self, ConfigError> {
        given.iter().try_for_each(|setting| check_text(setting))?;
        let command = Self::augment_args(Command::new("settings").no_binary_name(true));
        let command = command.mut_args(|arg| arg.env(None::<&str>));
        let read = command.try_get_matches_from(given).and_then(|found| Self::from_arg_matches(&found));
        let mut config = read.map_err(|error| {
            let wrong = error.source().and_then(|source| source.downcast_ref::<ConfigError>());
            match (wrong, error.get(ContextKind::InvalidArg)) {
                (Some(wrong), Some(ContextValue::String(arg))) => {
                    let flag = arg.trim_start_matches('-').split(' ').next();
                    wrong.of(&variable(flag.unwrap_or_default()))
                }
                // clap's own message would show the value.
                _ => ConfigError(format!("the settings: {}", error.kind())),
            }
        })?;
        config.auth.check(config.environment)?;
        config.lane.check(&config.store.database_url)?;
        config.http.check()?;
        config.store.allow_unsafe_store |= config.environment == Environment::Development;
        config.exposed.clone_from(exposed);
        Ok(config)
    }

    /// The definition of every setting, in the order of the help.
    fn definitions() -> Vec<Arg> {
        // Otherwise clap would number the settings that have no `display_order`; they must come last.
        let command = Self::augment_args(Command::new("settings").next_display_order(None));
        let mut settings: Vec<_> = command.get_arguments().cloned().collect();
        settings.sort_by_key(Arg::get_display_order);
        settings
    }
}

/// Refuses what no value of any setting holds; `setting` has the form `--port=8000`.
fn check_text(setting: &str) -> Result<(), ConfigError> {
    let (flag, value) = setting.split_once('=').unwrap_or((setting, ""));
    let is_quoted = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
    let what = if value.contains(char::is_control) {
        "holds a control character, such as a line's end or a tab: remove it"
    } else if ['"', '\'', '`'].into_iter().any(is_quoted) {
        "is in quotes, which are for shells and .env files; here they would belong to the value: remove them"
    } else {
        return Ok(());
    };
    Err(ConfigError(what.to_owned()).of(&variable(flag.trim_start_matches('-'))))
}

/// The settings as given. They are not checked yet, since some commands need none.
/// Flags win over the environment, the environment over `.env`.
#[derive(Clone, Default)]
pub struct Settings {
    /// Each in the form `--port=8000`.
    given: Vec<String>,
    /// The flags that hold a secret.
    exposed: Vec<String>,
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        for setting in Config::definitions() {
            let (id, flag) = (setting.get_id().as_str(), setting.get_long().unwrap_or_default());
            let Some(text) = matches.get_one::<String>(id).filter(|text| !text.trim().is_empty()) else {
                continue;
            };
            // A secret with blanks around it is another secret elsewhere: it is refused.
            let is_secret = id == "better_auth_secret";
            let by_flag = matches.value_source(id) == Some(ValueSource::CommandLine);
            if by_flag && (is_secret || setting.is_hide_env_values_set() && has_password(text)) {
                settings.exposed.push(format!("--{flag}"));
            }
            let text = if is_secret { text } else { text.trim() };
            settings.given.push(format!("--{flag}={text}"));
        }
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Settings {
    /// Every command accepts each setting, with any text.
    fn augment_args(command: Command) -> Command {
        command.args(Config::definitions().into_iter().enumerate().map(|(index, setting)| {
            let setting = setting.value_parser(value_parser!(String)).default_value(None::<&str>);
            setting.display_order(index).help_heading("Settings").global(true)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Whether a URL holds a password.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// Reads `.env` in this folder, and the files that hold secrets: see [`dotenv::read_files`].
///
/// # Errors
/// When one of them cannot be read.
pub fn read_files() -> Result<Sources, ConfigError> {
    let settings = Config::definitions().into_iter().filter(Arg::is_hide_env_values_set);
    let settings = settings.filter_map(|setting| Some(variable(setting.get_long()?)));
    dotenv::read_files(&settings.chain(["COPY_FROM", "COPY_TO"].map(str::to_owned)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
