//! Authentication: verifies bearer tokens, and issues them on a developer's machine.
//!
//! - `rules`: the checks on every token, and the reasons for a refusal
//! - `session`: what is kept of a verified token
//! - `verify`: one token, from its header to its subject
//! - `jwks`: the identity provider's public keys
//! - `token_cache`: verified tokens
//! - `dev_token`: issues tokens

mod dev_token;
mod jwks;
mod rules;
mod session;
mod token_cache;
mod verify;

pub use dev_token::{DEMO_USER, Signer, development_secret};
pub use rules::{AuthError, is_subject};
pub use session::Session;
pub use verify::{KnownUsers, Verifier};
