//! Logs that cannot be written, while a user makes requests that each have a line.

use std::sync::Arc;

use crate::site::Site;
use crate::wire::get;

/// The standard error stream is a pipe that nobody reads: its reader is the server itself.
pub const UNREAD: &str = r#"mkfifo log && exec "$@" 2<>log"#;

/// It is a full disk.
pub const FULL: &str = r#"exec "$@" 2>/dev/full"#;

/// It is a pipe whose reader has gone.
pub const GONE: &str = r#"mkfifo log && { : <log & } && exec "$@" 2>log"#;

pub async fn lines(site: Arc<Site>) {
    let token = Site::token("attacker");
    site.begin().await;
    site.flood(8, move |connection, _| get("/tasks", if connection < 4 { &token } else { "" })).await;
}
