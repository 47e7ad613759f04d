//! What a request needs to know of its route.

use actix_web::HttpRequest;

/// A route of the table in [`routes`](super::routes). Each resource carries its own as app data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// Its path, with `{name}` in place of each variable segment.
    pub(super) pattern: &'static str,
    /// Its name in metrics and the log: its pattern, or that of the page it belongs to.
    pub(super) label: &'static str,
    /// The index of its label in the metrics: that of the first route with this label.
    pub(super) index: usize,
    /// The methods it takes, as the `Allow` header lists them.
    pub(super) allow: &'static str,
    /// Whether it is an event stream, which a ticket opens as well as a token.
    pub(super) is_stream: bool,
}

impl Route {
    /// Stands for every path that no route matches.
    pub(super) const UNKNOWN: Self =
        Self { pattern: "unknown", label: "unknown", index: 0, allow: "", is_stream: false };

    /// A request's route.
    pub(super) fn of(request: &HttpRequest) -> &'static Self {
        request.app_data::<&'static Self>().copied().unwrap_or(&Self::UNKNOWN)
    }
}
