//! Tickets: passes to an event stream, for browsers whose `EventSource` cannot send a header.
//!
//! A ticket stands in a URL, where proxies may log it: therefore it is good for half a minute, for nothing
//! but the stream, and in each process once. It says for itself whose it is and until when, signed
//! (HMAC-SHA256) with a key made from the secret that all replicas have; so every one of them takes it, and
//! none has to ask another. That no two of them take the same one would need a common memory: a balancer
//! that hashes on the user is as good.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::auth::Session;
use crate::config::Secret;
use crate::domain::UserId;
use crate::error::Error;

/// How long a ticket is good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(30);

/// By how much another replica's clock may be ahead of ours.
const LEEWAY: Duration = Duration::from_secs(30);

/// Tickets given within [`LIFETIME`] at most: in all, and to one user. As many in all are taken in within the
/// time for which those that were are remembered.
const MOST: usize = 20_000;
const MOST_OF_ONE: u32 = 100;

/// Tells the key from every other use of the secret, and this form of a ticket from later ones.
const LABEL: &[u8] = b"tasklane event stream ticket 1";

/// Bytes before the subject: the number, when the ticket ends (milliseconds), when its token does (seconds).
const HEAD: usize = 16 + 8 + 8;
const SIGNATURE: usize = 32;

/// What a ticket is known by.
type Number = [u8; 16];

/// Gives tickets, and takes them in.
pub(crate) struct Tickets {
    key: hmac::Key,
    issued: Mutex<Issued>,
    taken: Mutex<Taken>,
}

/// Whom tickets were given to lately, in the order they end.
#[derive(Default)]
struct Issued {
    all: VecDeque<(Instant, UserId)>,
    of_one: HashMap<UserId, u32>,
}

/// Which tickets were taken in, for as long as they could come again.
#[derive(Default)]
struct Taken {
    all: VecDeque<(Instant, Number)>,
    numbers: HashSet<Number>,
}

impl Tickets {
    /// Tickets that are good in every process with this secret; without one, in this process alone.
    pub(crate) fn new(secret: Option<&Secret>) -> Self {
        let signer = |secret: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        let key = match secret {
            Some(secret) => signer(hmac::sign(&signer(secret.expose().as_bytes()), LABEL).as_ref()),
            None => signer(&[uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat()),
        };
        Self { key, issued: Mutex::default(), taken: Mutex::default() }
    }

    /// Gives a ticket for what this session may do.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many were given lately.
    pub(crate) fn issue(&self, session: &Session) -> Result<String, Error> {
        self.issue_at(session, now())
    }

    fn issue_at(&self, session: &Session, now: i64) -> Result<String, Error> {
        let mut number: Number = [0; 16];
        aws_lc_rs::rand::fill(&mut number).map_err(|_| Error::Internal("no random numbers".into()))?;
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).count(session.identity().user())?;
        let mut ticket = number.to_vec();
        ticket.extend_from_slice(&(now + milliseconds(LIFETIME)).to_be_bytes());
        ticket.extend_from_slice(&session.exp().to_be_bytes());
        ticket.extend_from_slice(session.identity().subject().as_bytes());
        let signature = hmac::sign(&self.key, &ticket);
        ticket.extend_from_slice(signature.as_ref());
        Ok(URL_SAFE_NO_PAD.encode(ticket))
    }

    /// Takes a ticket in; `None` if it is none of ours, was taken here before, or is too old.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when too many were taken lately.
    pub(crate) fn take(&self, text: &str) -> Result<Option<Session>, Error> {
        self.take_at(text, now())
    }

    fn take_at(&self, text: &str, now: i64) -> Result<Option<Session>, Error> {
        let Some((number, end, session)) = self.read(text) else { return Ok(None) };
        if end <= now || end > now + milliseconds(LIFETIME + LEEWAY) {
            return Ok(None);
        }
        let first = self.taken.lock().unwrap_or_else(PoisonError::into_inner).is_first(number)?;
        Ok(first.then_some(session))
    }

    /// What a ticket says, if its signature is ours.
    fn read(&self, text: &str) -> Option<(Number, i64, Session)> {
        let ticket = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, signature) = ticket.split_at_checked(ticket.len().checked_sub(SIGNATURE)?)?;
        hmac::verify(&self.key, said, signature).ok()?;
        let (head, subject) = said.split_first_chunk::<HEAD>()?;
        let (number, times) = head.split_first_chunk::<16>()?;
        let (end, exp) = times.split_first_chunk::<8>()?;
        let session =
            Session::of_ticket(str::from_utf8(subject).ok()?, i64::from_be_bytes(exp.try_into().ok()?));
        Some((*number, i64::from_be_bytes(*end), session))
    }
}

impl Issued {
    /// Counts one more.
    fn count(&mut self, user: UserId) -> Result<(), Error> {
        let now = Instant::now();
        while let Some((_, user)) = self.all.pop_front_if(|(end, _)| *end <= now) {
            if let Some(count) = self.of_one.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    self.of_one.remove(&user);
                }
            }
        }
        let count = self.of_one.get(&user).copied().unwrap_or(0);
        if self.all.len() >= MOST || count >= MOST_OF_ONE {
            return Err(Error::Overloaded("too many tickets were given lately"));
        }
        self.of_one.insert(user, count + 1);
        self.all.push_back((now + LIFETIME, user));
        Ok(())
    }
}

impl Taken {
    /// Whether a ticket comes for the first time.
    fn is_first(&mut self, number: Number) -> Result<bool, Error> {
        let now = Instant::now();
        while let Some((_, number)) = self.all.pop_front_if(|(end, _)| *end <= now) {
            self.numbers.remove(&number);
        }
        if self.numbers.contains(&number) {
            return Ok(false);
        }
        if self.all.len() >= MOST {
            return Err(Error::Overloaded("too many tickets were used lately"));
        }
        self.all.push_back((now + LIFETIME + LEEWAY, number));
        Ok(self.numbers.insert(number))
    }
}

/// Milliseconds since the epoch; a clock before it counts as the epoch.
fn now() -> i64 {
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
        Session::of_ticket(subject, 1_800_000_000)
    }

    fn takes(tickets: &Tickets, ticket: &str, at: i64) -> bool {
        tickets.take_at(ticket, at).unwrap().is_some()
    }

    #[test]
    fn a_ticket_is_good_in_each_process_with_the_secret_once_and_says_whose_it_is_and_until_when() {
        let (one, other) = (of("s"), of("s"));
        let ticket = one.issue_at(&session("ånn|1"), THEN).unwrap();
        for process in [&one, &other] {
            let taken = process.take_at(&ticket, THEN).unwrap().unwrap();
            assert_eq!((&**taken.identity().subject(), taken.exp()), ("ånn|1", 1_800_000_000));
            assert!(!takes(process, &ticket, THEN));
        }
        assert!(!takes(&of("another"), &ticket, THEN));
        // Without a secret they are those of one process.
        let (one, other) = (Tickets::new(None), Tickets::new(None));
        let ticket = one.issue_at(&session("ann"), THEN).unwrap();
        assert!(!takes(&other, &ticket, THEN));
        assert!(takes(&one, &ticket, THEN));
    }

    #[test]
    fn it_is_good_for_half_a_minute_whatever_the_clock_of_who_gave_it() {
        let tickets = of("s");
        let ticket = || tickets.issue_at(&session("ann"), THEN).unwrap();
        for (after, good) in
            [(0, true), (29_999, true), (30_000, false), (1 << 40, false), (-30_000, true), (-30_001, false)]
        {
            assert_eq!(takes(&tickets, &ticket(), THEN + after), good, "{after} ms later");
        }
    }

    #[test]
    fn a_ticket_with_any_bit_changed_or_any_byte_missing_is_none() {
        let tickets = of("s");
        let ticket = URL_SAFE_NO_PAD.decode(tickets.issue_at(&session("ann"), THEN).unwrap()).unwrap();
        for bit in 0..ticket.len() * 8 {
            let mut forged = ticket.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!takes(&tickets, &URL_SAFE_NO_PAD.encode(forged), THEN), "bit {bit}");
        }
        for end in 0..ticket.len() {
            assert!(!takes(&tickets, &URL_SAFE_NO_PAD.encode(&ticket[..end]), THEN), "{end} bytes");
        }
        // Signed with the secret itself, as its tokens are, and not with the key made from it.
        let said = &ticket[..ticket.len() - SIGNATURE];
        let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"s"), said);
        assert!(!takes(&tickets, &URL_SAFE_NO_PAD.encode([said, own.as_ref()].concat()), THEN));
        assert!(takes(&tickets, &URL_SAFE_NO_PAD.encode(&ticket), THEN));
    }

    #[test]
    fn no_more_are_given_to_one_user_or_to_all_than_are_counted() {
        let mut issued = Issued::default();
        let user = |number: usize| UserId::from_uuid(uuid::Uuid::from_u128(number as u128));
        for given in 0..MOST {
            issued.count(user(given / MOST_OF_ONE as usize)).unwrap();
        }
        assert!(matches!(issued.count(user(MOST)), Err(Error::Overloaded(_))));
        issued.all.pop_back();
        assert!(
            matches!(issued.count(user(0)), Err(Error::Overloaded(_))),
            "there is room, but not for this one"
        );
        issued.count(user(MOST)).unwrap();
    }

    #[test]
    fn no_more_are_taken_in_than_are_remembered() {
        let mut taken = Taken::default();
        for number in 0..MOST as u128 {
            assert!(taken.is_first(number.to_be_bytes()).unwrap());
        }
        assert!(matches!(taken.is_first([255; 16]), Err(Error::Overloaded(_))));
        assert!(!taken.is_first([0; 16]).unwrap(), "and what was taken stays known");
    }
}
