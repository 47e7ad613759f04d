//! What a developer sees at the start: the address, the store, and lines to paste.

use crate::auth::{DEMO_USER, Signer};
use crate::config::StoreUrl;

/// The greeting: an address, the store, a ready token and curl lines that work as they are.
pub(super) fn greeting(address: &str, store: &StoreUrl, signer: &Signer) -> String {
    let token = signer.issue_demo();
    let key = Signer::page_key();
    let version = env!("CARGO_PKG_VERSION");
    let listening = address;
    // A browser cannot open the address that stands for all of this machine.
    let address = address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
    format!(
        r#"tasklane {version} is listening on {listening}

  page     {address}/#key={key}
  docs     {address}/docs
  store    {store:?}
  stop     Ctrl-C

A token for the user "{DEMO_USER}", valid for 24 hours. Paste these lines into another terminal:

  TOKEN={token}
  curl -s {address}/api/me/tasks -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"title":"Water the plants"}}'
  curl -s {address}/api/me/tasks -H "Authorization: Bearer $TOKEN"
"#
    )
}
