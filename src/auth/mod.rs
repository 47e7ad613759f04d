//! Who is asking: verification of bearer tokens.

mod verify;

pub use verify::{AuthError, Verifier};
