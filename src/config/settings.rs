//! All settings: where they come from, and how they are checked.

use std::error::Error;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::auth::AuthConfig;
use super::check::{ConfigError, either, variable};
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
}

impl Config {
    /// Checks the settings. An empty variable counts as not set.
    ///
    /// # Errors
    /// [`ConfigError`] names a wrong variable, its value, and what is allowed.
    pub fn check(Settings(given): &Settings) -> Result<Self, ConfigError> {
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

/// The settings as given, each in the form `--port=8000`. They are not checked yet, since some commands need none.
/// Flags win over the environment, the environment over `.env`.
#[derive(Clone, Default)]
pub struct Settings(Vec<String>);

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = Config::definitions().into_iter().filter_map(|setting| {
            let text = matches.get_one::<String>(setting.get_id().as_str())?.trim();
            (!text.is_empty()).then(|| format!("--{}={text}", setting.get_long().unwrap_or_default()))
        });
        Ok(Self(given.collect()))
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

/// Reads `.env` in this folder or one above it, and sets those of its variables that are not set yet.
///
/// # Errors
/// When the file exists and cannot be read.
pub fn read_dotenv() -> Result<(), ConfigError> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // The line that cannot be read may be the one with the secret.
        Err(dotenvy::Error::LineParse(_, index)) => {
            Err(ConfigError(format!(".env has a line that cannot be read, at character {index}")))
        }
        Err(error) => Err(ConfigError(format!(".env cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::store::StoreUrl;
    use super::super::telemetry::LogRequests::{All, Problems};
    use super::*;

    fn check(given: &[&str]) -> Result<Config, ConfigError> {
        Config::check(&Settings(given.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn nothing_given_is_a_developers_machine() {
        let config = check(&[]).unwrap();
        assert_eq!((config.http.host.as_str(), config.http.port), ("127.0.0.1", 8000));
        assert_eq!(config.store.database_url, StoreUrl::Sqlite("data/tasklane.db".into()));
        assert_eq!(config.environment, Environment::Development);
        assert_eq!(config.auth.better_auth_secret, None);
    }

    #[test]
    fn a_variable_set_to_nothing_counts_as_not_set() {
        let command = Settings::augment_args(Command::new("x"));
        let matches = command.get_matches_from(["x", "--port=", "--better-auth-secret= "]);
        let settings = Settings::from_arg_matches(&matches).unwrap();
        assert_eq!(Config::check(&settings).unwrap().http.port, 8000);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed_and_a_secret_never_shown() {
        let cases = [
            ("--port=70000", "0 to 65535"),
            ("--db-pool-size=many", "2 to 1000"),
            ("--environment=prod", "`production`"),
            ("--log-requests=none", "`all`"),
            ("--database-url=mysql://u:hunter2@h/d", "`sqlite://<path>`"),
            ("--better-auth-secret=hunter2", "32 bytes"),
            ("--allowed-origins=*", "https://app.example.org"),
            ("--metrics-listen=9000", "127.0.0.1:9000"),
        ];
        for (given, allowed) in cases {
            let (flag, _) = given.split_once('=').unwrap();
            let name = flag[2..].replace('-', "_").to_uppercase();
            let error = check(&[given]).unwrap_err().to_string();
            assert!(error.starts_with(&name) && error.contains(allowed), "{error}");
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn production_starts_only_with_a_secret_nobody_can_guess() {
        let production = |secret: Option<&str>| {
            let secret = secret.map(|secret| format!("--better-auth-secret={secret}"));
            check(&["--environment=production"].into_iter().chain(secret.as_deref()).collect::<Vec<_>>())
        };
        assert!(production(None).is_err());
        assert!(production(Some(&"a".repeat(64))).is_err());
        assert!(production(Some("better-auth-secret-12345678901234567890")).is_err());
        assert!(production(Some("Zk3mQ9vLx7Rt2Yw8Bn4Hc6Jd1Fg5Ps0a")).is_ok());
    }

    #[test]
    fn production_logs_less_and_trusts_no_store_unless_told_to() {
        let of =
            |given: &[&str]| check(given).map(|c| (c.telemetry.log_requests, c.store.allow_unsafe_store));
        let (production, secret) =
            ("--environment=production", "--better-auth-secret=Zk3mQ9vLx7Rt2Yw8Bn4Hc6Jd1Fg5Ps0a");
        assert_eq!(of(&[]), Ok((All, true)));
        assert_eq!(of(&["--allow-unsafe-store=false", "--log-requests=problems"]), Ok((Problems, true)));
        assert_eq!(of(&[production, secret]), Ok((Problems, false)));
        assert_eq!(
            of(&[production, secret, "--allow-unsafe-store=true", "--log-requests=all"]),
            Ok((All, true))
        );
    }

    #[test]
    fn documents_name_every_setting_and_its_default_and_no_other() {
        let read = |file| fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let settings = Config::definitions();
        let names: Vec<_> = settings.iter().map(|arg| variable(arg.get_long().unwrap())).collect();
        let readme = read("README.md");
        let table = readme.lines().filter(|line| line.starts_with("| `")).collect::<Vec<_>>().join("\n");
        let example = read(".env.example");
        let example = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
        let example: Vec<_> =
            example.filter(|(name, _)| name.chars().all(|c| c == '_' || c.is_ascii_uppercase())).collect();
        for (setting, name) in settings.iter().zip(&names) {
            assert_eq!(setting.get_env().unwrap(), name.as_str());
            assert_eq!(setting.get_long().unwrap(), name.to_lowercase().replace('_', "-"));
            assert!(table.contains(&format!("`{name}`")), "README.md does not name {name}");
            let (_, value) = example
                .iter()
                .find(|(found, _)| found == name)
                .unwrap_or_else(|| panic!(".env.example has no {name}"));
            // Where production has a default of its own, that one is shown.
            if let [default] = setting.get_default_values()
                && name != "LOG_REQUESTS"
            {
                assert_eq!(default, *value, ".env.example has another default of {name}");
            }
        }
        for (file, text) in [("deploy/env", read("deploy/env")), (".env.example", read(".env.example"))] {
            for line in text.lines().filter_map(|line| line.strip_prefix('#')) {
                let Some((name, _)) = line.split_once('=').filter(|(name, _)| !name.contains([' ', '`']))
                else {
                    continue;
                };
                let others = name.starts_with("OTEL_") || name == "POSTGRES_PASSWORD";
                assert!(
                    others || names.iter().any(|known| known == name),
                    "{file} names {name}, which is no setting"
                );
            }
        }
    }
}
