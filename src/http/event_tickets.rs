//! Tickets open an event stream, for browsers whose `EventSource` cannot send a header.
//!
//! A ticket is part of a URL, which proxies may log. So it is good for half a minute, for the stream only,
//! and once in each process. It contains its user and its end, signed (HMAC-SHA256) with a key derived from
//! the secret that all replicas have, so that every replica accepts it without asking another. That only one
//! replica accepts it would need shared state; a load balancer that hashes on the user has the same effect.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::Session;
use crate::config::Secret;
use crate::domain::UserId;
use crate::error::Error;

/// How long a ticket is valid.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);

/// How far another replica's clock may be ahead of ours, at most.
const LEEWAY: Duration = Duration::from_secs(30);

/// Tickets issued within [`LIFETIME`], at most; also tickets accepted while they are remembered.
const MAX_TICKETS: usize = 20_000;

/// Tickets issued to one user within [`LIFETIME`], at most.
const MAX_PER_USER: u32 = 100;

const TOO_MANY: Error = Error::Overloaded("too many tickets lately");

/// Makes the key differ from every other use of the secret, and from the key of later forms of tickets.
const LABEL: &[u8] = b"tasklane event stream ticket 2";

/// Bytes before the subject: the number, the ticket's end in milliseconds, its token's end in seconds, the user.
const HEAD: usize = 16 + 8 + 8 + 16;
const SIGNATURE: usize = 32;

/// Identifies a ticket.
type Number = [u8; 16];

/// Issues tickets, and accepts them.
pub(crate) struct Tickets {
    key: hmac::Key,
    /// The users to whom tickets were issued.
    issued: Mutex<Recent<UserId>>,
    /// The accepted tickets, for as long as they could be used again.
    taken: Mutex<Recent<Number>>,
}

/// Keys that were added lately, each with the time at which it is forgotten, and how often each was added.
struct Recent<K> {
    queue: VecDeque<(Instant, K)>,
    counts: HashMap<K, u32>,
}

impl Tickets {
    /// Tickets that are valid in every process with this secret; without a secret, in this process only.
    pub(crate) fn new(secret: Option<&Secret>) -> Self {
        let signer = |secret: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = match secret {
            Some(secret) => signer(hmac::sign(&signer(secret.expose().as_bytes()), LABEL).as_ref()),
            None => signer(&[uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat()),
        };
        Self { key, issued: Recent::new(), taken: Recent::new() }
    }

    /// Issues a ticket for this session.
    ///
    /// # Errors
    /// [`Error::OverShare`] when too many were issued to this user lately, [`Error::Overloaded`] when to all.
    pub(crate) fn issue(&self, session: &Session, now: i64) -> Result<String, Error> {
        let mut number: Number = [0; 16];
        aws_lc_rs::rand::fill(&mut number).map_err(|_| Error::Internal("no random numbers".into()))?;
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if !issued.add(session.identity().user(), MAX_PER_USER, LIFETIME)? {
            return Err(Error::OverShare("the user got too many tickets lately"));
        }
        drop(issued);
        let mut ticket = number.to_vec();
        ticket.extend_from_slice(&(now + milliseconds(LIFETIME)).to_be_bytes());
        ticket.extend_from_slice(&session.exp().to_be_bytes());
        ticket.extend_from_slice(session.identity().user().as_uuid().as_bytes());
        ticket.extend_from_slice(session.identity().subject().as_bytes());
        let signature = hmac::sign(&self.key, &ticket);
        ticket.extend_from_slice(signature.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(ticket))
    }

    /// Accepts a ticket; `None` if it is not valid, was accepted here before, or is too old.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many were accepted lately.
    pub(crate) fn take(&self, text: &str, now: i64) -> Result<Option<Session>, Error> {
        let Some((number, end, session)) = self.read(text) else { return Ok(None) };
        if end <= now || end > now + milliseconds(LIFETIME + LEEWAY) {
            return Ok(None);
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(taken.add(number, 1, LIFETIME + LEEWAY)?.then_some(session))
    }

    /// The content of a ticket, if its signature is valid.
    fn read(&self, text: &str) -> Option<(Number, i64, Session)> {
        let ticket = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (content, signature) = ticket.split_at_checked(ticket.len().checked_sub(SIGNATURE)?)?;
        hmac::verify(&self.key, content, signature).ok()?;
        let (head, subject) = content.split_first_chunk::<HEAD>()?;
        let (number, times) = head.split_first_chunk::<16>()?;
        let (end, rest) = times.split_first_chunk::<8>()?;
        let (exp, user) = rest.split_first_chunk::<8>()?;
        let user = UserId::from_uuid(Uuid::from_slice(user).ok()?);
        let session = Session::of_ticket(user, str::from_utf8(subject).ok()?, i64::from_be_bytes(*exp));
        Some((*number, i64::from_be_bytes(*end), session))
    }
}

impl<K: Copy + Eq + Hash> Recent<K> {
    fn new() -> Mutex<Self> {
        Mutex::new(Self { queue: VecDeque::new(), counts: HashMap::new() })
    }

    /// Adds a key for `time`, unless it was added `max` times already.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when there are too many keys.
    fn add(&mut self, key: K, max: u32, time: Duration) -> Result<bool, Error> {
        let now = Instant::now();
        while let Some((_, key)) = self.queue.pop_front_if(|(end, _)| *end <= now) {
            if let Entry::Occupied(mut count) = self.counts.entry(key) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        if self.counts.get(&key).is_some_and(|count| *count >= max) {
            return Ok(false);
        }
        if self.queue.len() >= MAX_TICKETS {
            return Err(TOO_MANY);
        }
        *self.counts.entry(key).or_default() += 1;
        self.queue.push_back((now + time, key));
        Ok(true)
    }
}

/// Now, in milliseconds since the epoch; a clock before it counts as the epoch.
pub(crate) fn now() -> i64 {
    milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: i64 = 1_700_000_000_000;

    fn of(secret: &str) -> Tickets {
        Tickets::new(Some(&Secret::new(secret.into())))
    }

    fn session(subject: &str) -> Session {
        Session::of_ticket(UserId::of_subject(subject), subject, 1_800_000_000)
    }

    fn takes(tickets: &Tickets, ticket: &str, at: i64) -> bool {
        tickets.take(ticket, at).unwrap().is_some()
    }

    #[test]
    fn a_ticket_is_valid_once_in_each_process_with_the_secret_and_contains_its_user_and_end() {
        let (one, other) = (of("s"), of("s"));
        let ticket = one.issue(&session("ånn|1"), THEN).unwrap();
        for process in [&one, &other] {
            let taken = process.take(&ticket, THEN).unwrap().unwrap();
            assert_eq!((&**taken.identity().subject(), taken.exp()), ("ånn|1", 1_800_000_000));
            assert!(!takes(process, &ticket, THEN));
        }
        assert!(!takes(&of("another"), &ticket, THEN));
        // Without a secret a ticket is valid in one process only.
        let (one, other) = (Tickets::new(None), Tickets::new(None));
        let ticket = one.issue(&session("ann"), THEN).unwrap();
        assert!(!takes(&other, &ticket, THEN));
        assert!(takes(&one, &ticket, THEN));
    }

    #[test]
    fn a_ticket_is_valid_for_half_a_minute_even_if_its_issuers_clock_is_ahead() {
        let tickets = of("s");
        let ticket = || tickets.issue(&session("ann"), THEN).unwrap();
        for (after, good) in
            [(0, true), (29_999, true), (30_000, false), (1 << 40, false), (-30_000, true), (-30_001, false)]
        {
            assert_eq!(takes(&tickets, &ticket(), THEN + after), good, "{after} ms later");
        }
    }

    #[test]
    fn a_ticket_with_any_bit_changed_or_any_byte_missing_is_refused() {
        let tickets = of("s");
        let ticket = URL_SAFE_NO_PAD.decode(tickets.issue(&session("ann"), THEN).unwrap()).unwrap();
        for bit in 0..ticket.len() * 8 {
            let mut forged = ticket.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!takes(&tickets, &URL_SAFE_NO_PAD.encode(forged), THEN), "bit {bit}");
        }
        for end in 0..ticket.len() {
            assert!(!takes(&tickets, &URL_SAFE_NO_PAD.encode(&ticket[..end]), THEN), "{end} bytes");
        }
        // Signed with the secret itself, as tokens are, and not with the key derived from it.
        let content = &ticket[..ticket.len() - SIGNATURE];
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"s"), content);
        assert!(!takes(&tickets, &URL_SAFE_NO_PAD.encode([content, signature.as_ref()].concat()), THEN));
        assert!(takes(&tickets, &URL_SAFE_NO_PAD.encode(&ticket), THEN));
    }

    #[test]
    fn no_more_are_issued_to_one_user_or_in_all_than_allowed() {
        let issued = Recent::new();
        let mut issued = issued.lock().unwrap();
        let mut add = |key: usize| issued.add(key, MAX_PER_USER, LIFETIME);
        let users = MAX_TICKETS / MAX_PER_USER as usize;
        for number in 0..MAX_TICKETS - 1 {
            assert!(add(number % users).unwrap());
        }
        assert!(!add(0).unwrap(), "there is room, but not for this user");
        assert!(add(users).unwrap());
        assert!(matches!(add(users), Err(Error::Overloaded(_))));
    }

    #[test]
    fn an_accepted_ticket_is_remembered_even_when_no_more_are_accepted() {
        let tickets = of("s");
        let ticket = tickets.issue(&session("ann"), THEN).unwrap();
        assert!(takes(&tickets, &ticket, THEN));
        for number in 1..MAX_TICKETS as u128 {
            let mut taken = tickets.taken.lock().unwrap();
            assert!(taken.add(number.to_be_bytes(), 1, LIFETIME).unwrap());
        }
        assert!(!takes(&tickets, &ticket, THEN));
        let other = tickets.issue(&session("ann"), THEN).unwrap();
        assert!(matches!(tickets.take(&other, THEN), Err(Error::Overloaded(_))));
    }
}
