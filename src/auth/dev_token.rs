//! Makes tokens: for a developer's first call, for load tests, for support.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

use crate::config::{AuthConfig, Environment, Expected, Secret};

#[derive(Serialize)]
struct SignedClaims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    iat: u64,
    exp: u64,
}

/// The user of the tokens that development gives away.
pub const DEMO_USER: &str = "demo";

/// Signs tokens (HS256) that this service takes.
#[derive(Clone, Debug)]
pub struct Signer {
    secret: Secret,
    expected: Expected,
}

impl Signer {
    /// A signer by `secret` of tokens with the issuer and audience that are expected.
    #[must_use]
    pub const fn new(secret: Secret, expected: Expected) -> Self {
        Self { secret, expected }
    }

    /// The signer of the tokens that development gives away; none in production.
    #[must_use]
    pub fn of_development(config: &AuthConfig, environment: Environment) -> Option<Self> {
        let secret = config.better_auth_secret.clone().filter(|_| environment == Environment::Development);
        secret.map(|secret| Self::new(secret, config.expected.clone()))
    }

    /// A token for [`DEMO_USER`] that is valid for 24 hours.
    #[must_use]
    pub fn issue_demo(&self) -> String {
        self.issue(DEMO_USER, Some("demo@example.org"), Duration::from_hours(24))
    }

    /// A token for `subject` that is valid for `ttl` from now.
    ///
    /// # Panics
    /// Never: HMAC signs with any secret, and the claims are plain JSON.
    #[must_use]
    pub fn issue(&self, subject: &str, email: Option<&str>, ttl: Duration) -> String {
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (iss, aud) = (self.expected.jwt_issuer.as_deref(), self.expected.jwt_audience.as_deref());
        let claims =
            SignedClaims { sub: subject, email, iss, aud, iat, exp: iat.saturating_add(ttl.as_secs()) };
        let key = EncodingKey::from_secret(self.secret.expose().as_bytes());
        encode(&Header::default(), &claims, &key).expect("HS256 signs any claims")
    }
}

/// The secret of a developer's machine: made once, kept in `folder`, readable by its owner alone.
///
/// # Errors
/// When the file can be neither read nor made.
pub fn development_secret(folder: &Path) -> io::Result<Secret> {
    let path = folder.join("development-secret");
    fs::create_dir_all(folder)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Ok(mut file) => {
            let mut bytes = ([0; 16], [0; 16]);
            aws_lc_rs::rand::fill(&mut bytes.0).map_err(io::Error::other)?;
            aws_lc_rs::rand::fill(&mut bytes.1).map_err(io::Error::other)?;
            let text = format!("{:032x}{:032x}", u128::from_ne_bytes(bytes.0), u128::from_ne_bytes(bytes.1));
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            Ok(Secret::new(text))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(&path)?;
            if text.trim().len() < 32 {
                let why =
                    format!("{} holds no secret of 32 bytes; remove it to have one made", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Ok(Secret::new(text.trim().to_owned()))
        }
        Err(error) => Err(error),
    }
}
