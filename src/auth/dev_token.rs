//! Issues tokens: for a developer's first call, for load tests, for support.

use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;
use uuid::Uuid;

use crate::config::{AuthConfig, Environment, Expected, Secret};
use crate::private_file;

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

/// The user of the demo tokens.
pub const DEMO_USER: &str = "demo";

/// The key of the development page, new at each start: behind a proxy everybody seems to be on this machine, but only
/// who reads what the server prints knows it.
static PAGE_KEY: LazyLock<String> = LazyLock::new(|| Uuid::new_v4().simple().to_string());

/// Signs tokens (HS256) that this service accepts.
#[derive(Clone, Debug)]
pub struct Signer {
    secret: Secret,
    expected: Expected,
}

impl Signer {
    /// Signs with `secret`, and gives tokens the expected issuer and audience.
    #[must_use]
    pub const fn new(secret: Secret, expected: Expected) -> Self {
        Self { secret, expected }
    }

    /// The signer of demo tokens; none in production.
    pub(crate) fn of_development(config: &AuthConfig, environment: Environment) -> Option<Self> {
        let secret = config.better_auth_secret.clone().filter(|_| environment == Environment::Development);
        secret.map(|secret| Self::new(secret, config.expected.clone()))
    }

    /// What the page must show to get a token.
    pub(crate) fn page_key() -> &'static str {
        &PAGE_KEY
    }

    /// A token for [`DEMO_USER`] that is valid for 24 hours.
    pub(crate) fn issue_demo(&self) -> String {
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

/// The secret of a developer's machine: generated once, kept in `folder`, readable only by its owner.
///
/// # Errors
/// When the file can be neither read nor created.
pub fn development_secret(folder: &Path) -> io::Result<Secret> {
    let path = folder.join("development-secret");
    private_file::make_folder(folder)?;
    match private_file::create(&path) {
        Ok(mut file) => {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).map_err(io::Error::other)?;
            let text = URL_SAFE_NO_PAD.encode(bytes);
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            Ok(Secret::new(text))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(&path)?;
            if text.trim().len() < 32 {
                let why =
                    format!("{} holds no secret of 32 bytes; remove it to get a new one", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Ok(Secret::new(text.trim().to_owned()))
        }
        Err(error) => Err(error),
    }
}
