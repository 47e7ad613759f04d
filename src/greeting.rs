//! What a developer sees at the start: where it listens, where tasks go, and lines to paste.

use std::time::Duration;

use crate::auth::issue;
use crate::config::{Secret, StoreUrl};

/// The user of the greeting's token.
const DEMO_USER: &str = "demo";

/// How long that token is good for.
const DEMO_TTL: Duration = Duration::from_hours(24);

/// The greeting: an address, the store, a ready token and curl lines that work as they are.
#[must_use]
pub fn greeting(address: &str, store: &StoreUrl, secret: &Secret) -> String {
    let token = issue(secret, DEMO_USER, Some("demo@example.org"), DEMO_TTL);
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"tasklane {version} is listening on {address}

  store    {store:?}
  docs     {address}/docs
  stop     Ctrl-C

A token for the user "{DEMO_USER}", good for 24 hours. Paste these lines into another terminal:

  TOKEN={token}
  curl -s {address}/api/me/tasks -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"title":"Water the plants"}}'
  curl -s {address}/api/me/tasks -H "Authorization: Bearer $TOKEN"
"#
    )
}
