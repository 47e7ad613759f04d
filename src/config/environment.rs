//! Development or production.

/// Development or production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine: readable logs, a ready token, a secret made on the spot.
    Development,
    /// Real users: JSON logs, nothing that is not configured.
    Production,
}
