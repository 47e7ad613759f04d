//! The position of a request in a distributed trace: W3C Trace Context's `traceparent`. As the
//! recommendation demands, an invalid one is ignored.

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
    /// The trace that the request belongs to.
    pub(crate) trace: u128,
    /// The caller's span.
    pub(crate) span: u64,
    /// Whether the caller records the trace.
    pub(crate) sampled: bool,
}

impl TraceParent {
    /// Reads a request's `traceparent`, if it has exactly one that is valid.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT);
        let line = lines.next().filter(|_| lines.next().is_none())?;
        Self::parse(line.to_str().ok()?)
    }

    /// Reads `00-<trace id>-<parent id>-<flags>`. A later version may have more after another dash.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let mut number = |digits| hexadecimal(parts.next()?, digits);
        let (version, trace, span, flags) = (number(2)?, number(32)?, number(16)?, number(2)?);
        let is_known = version < 0xff && (version > 0 || parts.next().is_none());
        let span = u64::try_from(span).ok()?;
        (is_known && trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

impl fmt::Display for TraceParent {
    /// The trace's id, as other services show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}

/// A number of so many lower case hexadecimal digits.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let is_hexadecimal = text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() == digits && is_hexadecimal { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_one_is_read() {
        let read = TraceParent::parse(VALID).unwrap();
        assert_eq!((read.span, read.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(read.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!TraceParent::parse(&VALID.replace("-01", "-02")).unwrap().sampled);
        // A later version may have more after it.
        for later in [VALID.replacen("00", "cc", 1), VALID.replacen("00", "cc", 1) + "-what-ever"] {
            assert_eq!(TraceParent::parse(&later), Some(read), "{later}");
        }
    }

    #[test]
    fn anything_else_is_ignored() {
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
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(TraceParent::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert_eq!(TraceParent::of(&headers), None, "two lines contradict each other");
    }
}
