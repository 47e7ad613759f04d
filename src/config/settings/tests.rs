//! Tests of all settings: defaults, documents, wrong and hostile values.

use std::fs;

use super::*;
use crate::config::LogRequests::{All, Problems};
use crate::config::StoreUrl;

fn check(given: &[&str]) -> Result<Config, ConfigError> {
    let given = given.iter().map(ToString::to_string).collect();
    Config::check(&Settings { given, exposed: Vec::new() })
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
    let of = |given: &[&str]| check(given).map(|c| (c.telemetry.log_requests, c.store.allow_unsafe_store));
    let (production, secret) =
        ("--environment=production", "--better-auth-secret=Zk3mQ9vLx7Rt2Yw8Bn4Hc6Jd1Fg5Ps0a");
    assert_eq!(of(&[]), Ok((All, true)));
    assert_eq!(of(&["--allow-unsafe-store=false", "--log-requests=problems"]), Ok((Problems, true)));
    assert_eq!(of(&[production, secret]), Ok((Problems, false)));
    assert_eq!(of(&[production, secret, "--allow-unsafe-store=true", "--log-requests=all"]), Ok((All, true)));
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
            let Some((name, _)) = line.split_once('=').filter(|(name, _)| !name.contains([' ', '`'])) else {
                continue;
            };
            let is_secret = |name| {
                names
                    .iter()
                    .zip(&settings)
                    .any(|(known, setting)| known == name && setting.is_hide_env_values_set())
            };
            let others = name.starts_with("OTEL_")
                || name == "POSTGRES_PASSWORD"
                || name.strip_suffix("_FILE").is_some_and(is_secret);
            assert!(
                others || names.iter().any(|known| known == name),
                "{file} names {name}, which is no setting"
            );
        }
    }
}

#[test]
fn the_compose_files_pass_on_every_setting_that_is_not_their_own() {
    for file in ["docker-compose.yml", "docker-compose-cluster.yml"] {
        let text = fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        for setting in Config::definitions() {
            let name = variable(setting.get_long().unwrap());
            let line = text.lines().find_map(|line| line.trim().strip_prefix(&name)?.strip_prefix(':'));
            let own = ["HOST", "PORT"].contains(&name.as_str());
            assert_eq!(line.is_none(), own, "{file}: {name}");
        }
        assert!(!text.contains("POSTGRES_USER: tasklane"), "{file}: the image makes this role a superuser");
    }
}

/// Values that none of the settings may take for something else, and none may fail on later than at the start.
const HOSTILE: [&str; 46] = [
    " ",
    "x",
    "-1",
    "+1",
    "0",
    "1.5",
    "1e9",
    "0x10",
    "443",
    "65536",
    "99999999999999999999999",
    "8000 ",
    "1_000",
    "64KiB",
    "10s",
    "1h",
    "inf",
    "NaN",
    "true",
    "TRUE",
    "yes",
    "on",
    "none",
    "null",
    "*",
    "/",
    "a/",
    "../x",
    "~/x",
    "$HOME/x",
    "${X}",
    "%00",
    "a%20b",
    "\"quoted\"",
    "'quoted'",
    "a\0b",
    "a\nb",
    "münchen.example",
    "[::1]",
    "[::1]:80",
    "127.0.0.1:443",
    "http://a.example:0",
    "HTTPS://A.EXAMPLE:443/",
    "https://münchen.example",
    "sqlite://x.db?mode=ro",
    ",",
];

/// The settings whose value may be any text, if it is long enough: what it stands for is not ours to know.
const FREE: [&str; 5] = ["jwt-issuer", "jwt-audience", "tls-cert", "tls-key", "better-auth-secret"];

#[test]
fn every_setting_parses_every_value_to_its_final_form_or_refuses_it_in_one_line() {
    let mut refused = 0;
    for setting in Config::definitions() {
        let flag = setting.get_long().unwrap();
        for value in HOSTILE {
            let given = format!("--{flag}={}", value.trim());
            match check(&[&given]) {
                Err(error) => {
                    let (error, name) = (error.to_string(), variable(flag));
                    let names_it = error.starts_with(&name) || error.contains(&format!("with {name}"));
                    // Two settings that need each other name the one that is missing.
                    assert!(names_it || FREE.contains(&flag), "{given}: {error}");
                    assert!(!error.contains('\n') && error.contains(' '), "{given}: {error}");
                    assert!(
                        !setting.is_hide_env_values_set() || !error.contains(value) || value.len() < 4,
                        "{error}"
                    );
                    refused += 1;
                }
                // What is accepted is what the text says, and the same again.
                Ok(config) => {
                    let again = format!("{:?}", check(&[&given]).unwrap());
                    assert_eq!(format!("{config:?}"), again, "{given}");
                    assert!(!value.contains(['\0', '\n']) && !value.starts_with(['"', '\'']), "{given}");
                    let numeric = value.trim().bytes().all(|byte| byte.is_ascii_digit());
                    let known = numeric || ["true", "none"].contains(&value);
                    let address = [
                        "host",
                        "allowed-origins",
                        "public-url",
                        "trusted-proxies",
                        "jwks-url",
                        "database-url",
                        "metrics-listen",
                    ];
                    assert!(known || FREE.contains(&flag) || address.contains(&flag), "{given} is accepted");
                }
            }
        }
    }
    assert!(refused > 600, "{refused}");
}

#[test]
fn a_secret_as_a_flag_is_reported() {
    let exposed = |arguments: &[&str]| {
        let command = Settings::augment_args(Command::new("x"));
        let matches = command.get_matches_from([&["x"], arguments].concat());
        Settings::from_arg_matches(&matches).unwrap().exposed
    };
    assert_eq!(exposed(&["--better-auth-secret=x"]), ["--better-auth-secret"]);
    assert_eq!(exposed(&["--database-url=postgres://a:b@c/d"]), ["--database-url"]);
    assert_eq!(
        exposed(&["--database-url=postgres://a@c/d", "--port=1", "--jwks-url=https://a/b:c@d"]),
        [""; 0]
    );
}

#[test]
fn keys_come_from_another_machine_by_http_only_where_that_is_said() {
    let issuer = ["--jwt-issuer=a", "--jwt-audience=b"];
    let of = |given: &[&str]| check(&[&issuer, given].concat());
    let http = "--jwks-url=http://frontend:3000/api/auth/jwks";
    let refused = of(&[http]).unwrap_err().to_string();
    assert!(refused.starts_with("JWKS_URL ") && refused.contains("JWKS_ALLOW_HTTP=true"), "{refused}");
    assert!(of(&[http, "--jwks-allow-http=true"]).is_ok());
    assert!(of(&["--jwks-url=http://localhost:3000/jwks"]).is_ok());
    assert!(of(&["--jwks-url=https://frontend/jwks"]).is_ok());
}

#[test]
fn production_lets_no_page_in_unless_told_to() {
    let (production, secret) =
        ("--environment=production", "--better-auth-secret=Zk3mQ9vLx7Rt2Yw8Bn4Hc6Jd1Fg5Ps0a");
    let of = |given: &[&str]| check(given).unwrap().http.allowed_origins;
    assert_eq!(of(&[production, secret]), [""; 0]);
    assert_eq!(of(&[production, secret, "--allowed-origins=https://a.example"]), ["https://a.example"]);
    assert_eq!(of(&[]), ["http://localhost:3000"]);
}
