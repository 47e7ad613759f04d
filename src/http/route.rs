//! What a route is, without its handlers.

use actix_web::HttpRequest;

/// A route of the table in [`routes`](super::routes). Each resource carries its own as app data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// Its path, with names in place of ids.
    pub(super) pattern: &'static str,
    /// What metrics and the log call it: its pattern, or that of the page it belongs to.
    pub(super) label: &'static str,
    /// The label's index in the metrics.
    pub(super) index: usize,
    /// The methods it takes, as the `Allow` header lists them.
    pub(super) allow: &'static str,
    /// Whether it is an event stream, which a ticket opens as well as a token.
    pub(super) is_stream: bool,
}

impl Route {
    /// Stands for every path that no route knows.
    pub(super) const UNKNOWN: Self =
        Self { pattern: "unknown", label: "unknown", index: 0, allow: "", is_stream: false };

    /// A request's route.
    pub(super) fn of(request: &HttpRequest) -> &'static Self {
        request.app_data::<&'static Self>().copied().unwrap_or(&Self::UNKNOWN)
    }
}
