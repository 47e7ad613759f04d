//! The routes by name: what metrics and logs call a request's path, and which methods it takes.

/// A route. Each resource carries its own as app data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Tasks,
    Task,
    Complete,
    Batch,
    Summary,
    Changes,
    Events,
    Ticket,
    Export,
    Import,
    User,
    Test,
    Health,
    Ready,
    Document,
    Docs,
    Metrics,
    Demo,
    DemoToken,
    /// Any path that no route knows.
    Unknown,
}

/// The routes' patterns, in the order of [`Route`]: the labels of the metrics.
pub(super) const PATTERNS: [&str; 20] = [
    "/api/{user_id}/tasks",
    "/api/{user_id}/tasks/{id}",
    "/api/{user_id}/tasks/{id}/complete",
    "/api/{user_id}/batch",
    "/api/{user_id}/summary",
    "/api/{user_id}/changes",
    "/api/{user_id}/events",
    "/api/{user_id}/events/ticket",
    "/api/{user_id}/export",
    "/api/{user_id}/import",
    "/api/{user_id}",
    "/api/{user_id}/test",
    "/health",
    "/ready",
    "/openapi.json",
    "/docs",
    "/metrics",
    "/",
    "/demo/token",
    "unknown",
];

impl Route {
    /// Its place in [`PATTERNS`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// Its path, with names in place of ids.
    pub(super) const fn pattern(self) -> &'static str {
        PATTERNS[self.index()]
    }

    /// The methods it takes, as the `Allow` header tells them.
    pub(super) const fn allow(self) -> &'static str {
        match self {
            Self::Tasks => "GET, HEAD, POST",
            Self::Task => "GET, HEAD, PUT, PATCH, DELETE",
            Self::Complete => "PATCH",
            Self::Batch | Self::Ticket | Self::Import | Self::DemoToken => "POST",
            Self::Events => "GET",
            Self::User => "DELETE",
            _ => "GET, HEAD",
        }
    }
}
