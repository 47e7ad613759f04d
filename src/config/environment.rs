//! What the service runs for.

/// What the service runs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine: readable logs, a ready token, a secret made on the spot.
    Development,
    /// Real users: JSON logs, nothing that is not configured.
    Production,
}
