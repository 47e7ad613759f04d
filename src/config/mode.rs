//! Whether other processes work on the same store, and how new a read then has to be.

use std::time::Duration;

use super::{ConfigError, StoreUrl, given, wrong};

/// The oldest state that a read may be allowed to show.
const OLDEST: Duration = Duration::from_mins(1);

/// Which processes work on the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// This one alone. Its memory is the newest state.
    Sole,
    /// Any number of them, on one PostgreSQL database.
    Cluster {
        /// How old a state a read may show; zero: every read shows every write acknowledged before it came.
        /// Too high: a user who is moved to another process misses what was just written.
        staleness: Duration,
    },
}

pub(super) fn mode(
    mode: Option<&str>,
    staleness: Option<&str>,
    store: &StoreUrl,
) -> Result<Mode, ConfigError> {
    let (mode, staleness) = (given(mode).unwrap_or("sole"), given(staleness));
    match (mode, staleness, store) {
        ("sole", None, _) => Ok(Mode::Sole),
        ("sole", Some(_), _) => {
            let why = "READ_MAX_STALENESS is set, but means something with MODE=cluster only";
            Err(ConfigError(why.to_owned()))
        }
        ("cluster", _, StoreUrl::Sqlite(_)) => {
            let why = "MODE is `cluster`, but the store is SQLite, which one process uses at a time: \
                       DATABASE_URL must name a PostgreSQL database";
            Err(ConfigError(why.to_owned()))
        }
        ("cluster", staleness, StoreUrl::Postgres(_)) => Ok(Mode::Cluster {
            staleness: staleness.map_or(Ok(Duration::ZERO), |text| {
                let given = if text == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(text) };
                let allowed = "a duration up to 1m, such as 1s or 500ms, or 0";
                given
                    .ok()
                    .filter(|given| *given <= OLDEST)
                    .ok_or_else(|| wrong("READ_MAX_STALENESS", text, allowed))
            })?,
        }),
        (other, ..) => Err(wrong("MODE", other, "`sole` or `cluster`")),
    }
}
