//! A text that nobody signed is never accepted as a token.
#![no_main]

use std::sync::LazyLock;

use tasklane::auth::Verifier;
use tasklane::config::{AuthConfig, Secret};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads can be started"));
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let secret = Secret::new("a secret for the fuzzer and for nothing else".into());
    let config = AuthConfig { better_auth_secret: Some(secret), ..AuthConfig::default() };
    Verifier::start(&config, RUNTIME.handle()).expect("no keys to fetch")
});

libfuzzer_sys::fuzz_target!(|text: &str| {
    assert!(VERIFIER.cached(text.as_bytes()).is_none());
    assert!(RUNTIME.block_on(VERIFIER.verify(text)).is_err());
});
