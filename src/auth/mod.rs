//! Who is asking: verification of bearer tokens, and making them on a developer's machine.
//!
//! - `rules`: what every token is held to, and why one is refused
//! - `session`: what a token that passed is remembered as
//! - `verify`: one token, from its header to its subject
//! - `jwks`: the identity provider's public keys
//! - `token_cache`: each token is verified once and not at every request
//! - `dev_token`: makes tokens

mod dev_token;
mod jwks;
mod rules;
mod session;
mod token_cache;
mod verify;

pub use dev_token::{DEMO_USER, Signer, development_secret};
pub use rules::{AuthError, is_subject};
pub use session::Session;
pub use verify::Verifier;
