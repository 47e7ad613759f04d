//! Who gets in, and to what.
//!
//! - `identity`: a good token and nothing else; 401 before every other complaint
//! - `identity_paths`: whose path it is, and `me`
//! - `isolation`: one user's tasks against another's, over every route
//! - `jwks`: tokens signed by an identity provider's keys
//! - `jwks_trouble`: a provider that is down, slow or answers nonsense
//! - `token_attacks`: tokens nobody may get in with

mod identity;
mod identity_paths;
mod isolation;
mod jwks;
mod jwks_trouble;
mod token_attacks;
