//! Where a request comes from in a distributed trace: W3C Trace Context's `traceparent`.
//!
//! The recommendation asks that what is not of its form be ignored, as if nothing had been sent.

use std::fmt;

use actix_web::http::header::HeaderMap;

use crate::http::header_names::TRACEPARENT;

/// A valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "otlp"),
    allow(dead_code, reason = "only exported spans have a parent and are sampled")
)]
pub(crate) struct TraceParent {
    /// The trace the request is a part of.
    pub(crate) trace: u128,
    /// The caller's span.
    pub(crate) span: u64,
    /// Whether the caller records the trace.
    pub(crate) sampled: bool,
}

impl TraceParent {
    /// What the one `traceparent` of a request says.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT);
        let line = lines.next()?;
        if lines.next().is_some() { None } else { Self::parse(line.as_bytes()) }
    }

    /// Reads `00-<trace id>-<parent id>-<flags>`; of a later version what it has in common with that.
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(55)?;
        let [first, second, third] = [known[2], known[35], known[52]];
        if [first, second, third] != [b'-'; 3] {
            return None;
        }
        match (digits(&known[..2])?, more) {
            (0, []) | (1..0xff, [] | [b'-', ..]) => {}
            _ => return None,
        }
        let trace = digits(&known[3..35]).filter(|trace| *trace != 0)?;
        let span = u64::try_from(digits(&known[36..52])?).ok().filter(|span| *span != 0)?;
        Some(Self { trace, span, sampled: digits(&known[53..])? & 1 == 1 })
    }
}

impl fmt::Display for TraceParent {
    /// The trace's id, by which other services name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}

/// A number in lower case hexadecimal digits.
fn digits(text: &[u8]) -> Option<u128> {
    let lower = text.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(str::from_utf8(text).ok().filter(|_| lower)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_one_is_read() {
        let read = TraceParent::parse(VALID.as_bytes()).unwrap();
        assert_eq!((read.span, read.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(read.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!TraceParent::parse(VALID.replace("-01", "-02").as_bytes()).unwrap().sampled);
        // A later version may have more behind it.
        for later in [VALID.replacen("00", "cc", 1), VALID.replacen("00", "cc", 1) + "-what-ever"] {
            assert_eq!(TraceParent::parse(later.as_bytes()), Some(read), "{later}");
        }
    }

    #[test]
    fn whatever_is_not_of_the_form_is_ignored() {
        for wrong in [
            "",
            "00",
            &VALID[..54],
            &VALID.to_uppercase(),
            &VALID.replacen("00", "ff", 1),
            &VALID.replacen("00", "0x", 1),
            &VALID.replace('-', "_"),
            &VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &VALID.replace("00f067aa0ba902b7", "00f067aa0ba902bg"),
            &VALID.replace("4bf9", "+bf9"),
            &VALID.replace("-01", "-0x"),
            &(VALID.to_owned() + "-"),
            &(VALID.to_owned() + "0"),
            &(VALID.replacen("00", "cc", 1) + "."),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ü",
        ] {
            assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(TraceParent::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert_eq!(TraceParent::of(&headers), None, "two lines say nothing certain");
    }
}
