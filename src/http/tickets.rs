//! Tickets: one-use passes to an event stream, for browsers whose `EventSource` cannot send a header.
//!
//! A ticket stands in a URL, where proxies may log it: therefore it is good once, for half a minute, and
//! for nothing but the stream. It is good in the process that gave it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::auth::Session;
use crate::domain::UserId;
use crate::error::Error;

/// How long a ticket is good.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// Tickets given within that time at the most: in all, and to one user.
const MOST: usize = 20_000;
const MOST_OF_ONE: u32 = 100;

/// The tickets that are good.
#[derive(Default)]
pub(super) struct Tickets(Mutex<Issued>);

#[derive(Default)]
struct Issued {
    unused: HashMap<Ticket, Session>,
    /// Every one given, used or not, in the order they end: what the limits count.
    all: VecDeque<(Instant, Ticket, UserId)>,
    of_one: HashMap<UserId, u32>,
}

type Ticket = [u8; 32];

impl Tickets {
    /// Gives a ticket for what this session may do.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many were given lately.
    pub(super) fn issue(&self, session: &Session) -> Result<String, Error> {
        let mut ticket = [0; 32];
        aws_lc_rs::rand::fill(&mut ticket).map_err(|_| Error::Internal("no random numbers".into()))?;
        let user = session.identity().user();
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        issued.forget(now);
        let count = issued.of_one.get(&user).copied().unwrap_or(0);
        if issued.all.len() >= MOST || count >= MOST_OF_ONE {
            return Err(Error::Overloaded("too many tickets were given lately"));
        }
        issued.of_one.insert(user, count + 1);
        issued.all.push_back((now + LIFETIME, ticket, user));
        issued.unused.insert(ticket, session.clone());
        Ok(URL_SAFE_NO_PAD.encode(ticket))
    }

    /// Takes a ticket in; `None` if it is none, was used, or is too old.
    pub(super) fn take(&self, text: &str) -> Option<Session> {
        let ticket: Ticket = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        issued.forget(Instant::now());
        issued.unused.remove(&ticket)
    }
}

impl Issued {
    /// Forgets what is too old.
    fn forget(&mut self, now: Instant) {
        while let Some((_, ticket, user)) = self.all.pop_front_if(|(end, ..)| *end <= now) {
            self.unused.remove(&ticket);
            if let Some(count) = self.of_one.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    self.of_one.remove(&user);
                }
            }
        }
    }
}
