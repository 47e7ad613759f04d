//! Authentication, and whose data a token gives access to.
//!
//! - `identity`: only a valid token is accepted; 401 before every other error
//! - `identity_paths`: the user in the path, and `me`
//! - `isolation`: no access to another user's tasks, by any route
//! - `jwks`: tokens signed by an identity provider's keys
//! - `jwks_trouble`: a provider that is down, slow or answers nonsense
//! - `token_attacks`: tokens that must be refused

mod identity;
mod identity_paths;
mod isolation;
mod jwks;
mod jwks_trouble;
mod token_attacks;
