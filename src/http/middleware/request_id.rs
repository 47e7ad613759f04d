//! Request ids: the client's own, or a new one.

use std::cell::Cell;

use actix_web::http::header::{HeaderMap, HeaderValue};

use crate::http::header_names::REQUEST_ID;

/// Makes the ids of one worker's requests.
pub(crate) struct RequestIds {
    /// Random for each worker, so that prefix and count are a unique id.
    prefix: [u8; 16],
    next: Cell<u64>,
}

impl RequestIds {
    /// Draws a prefix.
    pub(crate) fn new() -> Self {
        let mut prefix = [0; 16];
        let random = uuid::Uuid::new_v4().simple().to_string();
        prefix.copy_from_slice(&random.as_bytes()[16..]);
        Self { prefix, next: Cell::new(0) }
    }

    /// The id of a request with these headers: the client's own, where it is 1 to 128 visible ASCII
    /// characters, or the next one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let fits = |id: &&HeaderValue| {
            (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        headers.get(REQUEST_ID).filter(fits).cloned().unwrap_or_else(|| self.make())
    }

    fn make(&self) -> HeaderValue {
        const HEX: [u8; 16] = *b"0123456789abcdef";

        let count = self.next.get();
        self.next.set(count + 1);
        let mut text = [b'-'; 33];
        text[..16].copy_from_slice(&self.prefix);
        // Always of the same length, so that responses differ in the digits only.
        for (digits, byte) in text[17..].chunks_exact_mut(2).zip(count.to_be_bytes()) {
            digits[0] = HEX[usize::from(byte >> 4)];
            digits[1] = HEX[usize::from(byte & 15)];
        }
        HeaderValue::from_bytes(&text).expect("digits, letters and a dash are visible ASCII")
    }
}
