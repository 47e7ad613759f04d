//! Who is asking: verification of bearer tokens, and making them on a developer's machine.

mod dev_token;
mod jwks;
mod token_cache;
mod verify;

pub use dev_token::{DEMO_USER, Signer, development_secret};
pub use token_cache::Session;
pub use verify::{AuthError, Verifier, is_subject};
