//! Reads a request's head strictly, before `actix-http` does: a head that could be understood in two ways is refused
//! (RFC 9112, section 11.2), and what is not for this server is made ineffective.
//!
//! `actix-http` never refuses a head that is accepted here, so that every refusal has the form of the other errors.

use actix_web::http::Uri;
use memchr::memchr;

use super::refused_bytes::RefusedBytes;
use crate::http::header_names::is_token;

/// Bytes of a head, at most: `actix-http` takes no more at once.
pub(super) const MAX_HEAD: usize = 128 << 10;

/// Header lines, at most: as many as `actix-http` reads.
const MAX_LINES: usize = 96;

/// Bytes of a header's name, at most.
const MAX_NAME: usize = 1 << 10;

/// Bytes of the target, at most: a longer one is no `Uri`.
const MAX_TARGET: usize = 65_000;

/// Has as many bytes as `upgrade`, which it replaces.
const IGNORED: &[u8; 7] = b"ignored";

/// What the bytes at the begin of a request are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// They are right so far, but the head is not complete.
    Partial,
    Head(Head),
    Refused(RefusedBytes),
}

/// A head, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its bytes, with the empty line.
    pub(super) length: usize,
    pub(super) body: BodyLength,
    /// Whether the client wants no further request on this connection.
    pub(super) is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    Known(u64),
    Chunked,
}

/// What the lines of a head say about the message.
#[derive(Default)]
struct HeadFields {
    hosts: u8,
    length: Option<u64>,
    is_chunked: bool,
    /// Whether the client wants to keep the connection, if it says so.
    keeps: Option<bool>,
    upgrades: bool,
}

/// Reads a head. A wish for another protocol (RFC 9110, section 7.8) is overwritten, since there is none:
/// `actix-http` would stop to read HTTP after such a request, and close the connection.
pub(super) fn scan(bytes: &mut [u8]) -> Scanned {
    match read(bytes) {
        Ok(Some((head, upgrades))) => {
            if upgrades {
                ignore_upgrade(&mut bytes[..head.length]);
            }
            Scanned::Head(head)
        }
        Ok(None) if bytes.len() >= MAX_HEAD => Scanned::Refused(RefusedBytes::HeadTooLarge),
        Ok(None) => Scanned::Partial,
        Err(refusal) => Scanned::Refused(refusal),
    }
}

fn read(bytes: &[u8]) -> Result<Option<(Head, bool)>, RefusedBytes> {
    let Some(end) = line_end(bytes, is_target)? else { return Ok(None) };
    let (method, is_1_1) = request_line(&bytes[..end])?;
    let mut at = end + 2;
    let mut fields = HeadFields::default();
    let mut lines = 0;
    loop {
        let Some(end) = line_end(&bytes[at..], is_in_value)? else { return Ok(None) };
        let line = &bytes[at..at + end];
        at += end + 2;
        if line.is_empty() {
            break;
        }
        lines += 1;
        if lines > MAX_LINES {
            return Err(RefusedBytes::HeadTooLarge);
        }
        fields.read(line, is_1_1)?;
    }
    if at > MAX_HEAD {
        return Err(RefusedBytes::HeadTooLarge);
    }
    if method == b"CONNECT" {
        return Err(RefusedBytes::Connect);
    }
    if is_1_1 && fields.hosts == 0 {
        return Err(RefusedBytes::Malformed("a request has one Host header"));
    }
    let body = match (fields.is_chunked, fields.length) {
        (true, Some(_)) => {
            return Err(RefusedBytes::Malformed("a body has a length or is chunked, not both"));
        }
        (true, None) => BodyLength::Chunked,
        (false, None) if method == b"POST" && !is_1_1 => {
            return Err(RefusedBytes::Malformed("a POST of HTTP/1.0 has a Content-Length"));
        }
        (false, length) => BodyLength::Known(length.unwrap_or(0)),
    };
    let is_last = !fields.keeps.unwrap_or(is_1_1);
    Ok(Some((Head { length: at, body, is_last }, fields.upgrades)))
}

/// The length of the line at the begin, without its end; `None` if its end has not come. All of it must pass
/// `is_right`.
fn line_end(bytes: &[u8], is_right: fn(u8) -> bool) -> Result<Option<usize>, RefusedBytes> {
    let end = memchr(b'\n', bytes);
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let (line, has_end) = match line {
        [line @ .., b'\r'] => (line, true),
        _ => (line, false),
    };
    // Without a branch for each byte.
    if !line.iter().fold(true, |right, byte| right & is_right(*byte)) {
        return Err(RefusedBytes::Malformed("a character is not allowed where it stands"));
    }
    match end {
        Some(_) if has_end => Ok(Some(line.len())),
        Some(_) => Err(RefusedBytes::Malformed("a line ends with CR and LF")),
        None => Ok(None),
    }
}

/// Visible ASCII and spaces.
const fn is_target(byte: u8) -> bool {
    byte >= b' ' && byte < 0x7f
}

/// What RFC 9110 allows in a header's value (section 5.5).
const fn is_in_value(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

/// The method, and whether the version is 1.1.
fn request_line(line: &[u8]) -> Result<(&[u8], bool), RefusedBytes> {
    let wrong = || RefusedBytes::Malformed("a request begins with method, target and HTTP/1.1");
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) =
        (parts.next().unwrap_or_default(), parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
    if parts.next().is_some() || !is_token(method) {
        return Err(wrong());
    }
    let is_1_1 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(wrong()),
    };
    if target.len() > MAX_TARGET {
        return Err(RefusedBytes::TargetTooLong);
    }
    // Mostly it is a path of such characters, which is a URI.
    let is_plain = target.starts_with(b"/")
        && target.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~%?=&:@!$'()*+,;".contains(byte));
    if is_plain || str::from_utf8(target).is_ok_and(|target| target.parse::<Uri>().is_ok()) {
        Ok((method, is_1_1))
    } else {
        Err(RefusedBytes::Malformed("the target is not a URI"))
    }
}

impl HeadFields {
    fn read(&mut self, line: &[u8], is_1_1: bool) -> Result<(), RefusedBytes> {
        let colon = memchr(b':', line).unwrap_or(0);
        let name = &line[..colon];
        if name.len() > MAX_NAME {
            return Err(RefusedBytes::HeadTooLarge);
        }
        // Spaces before the colon, too, and lines that continue the one before.
        if !is_token(name) {
            return Err(RefusedBytes::Malformed("a header's name is followed by a colon"));
        }
        let value = line[colon + 1..].trim_ascii();
        // Nearly all have another length.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if self.hosts > 1 || !value.iter().all(|byte| is_in_host(*byte)) {
                    return Err(RefusedBytes::Malformed("a request has one Host header"));
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrades = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        self.keeps = Some(false);
                    } else if option.eq_ignore_ascii_case(b"keep-alive") {
                        self.keeps.get_or_insert(true);
                    }
                    self.upgrades |= option.eq_ignore_ascii_case(b"upgrade");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let digits =
                    str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                let length = digits.and_then(|digits| digits.parse().ok());
                if length.is_none() || self.length.replace(length.unwrap_or_default()).is_some() {
                    return Err(RefusedBytes::Malformed("Content-Length is one number"));
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if !is_1_1 || self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(RefusedBytes::Malformed("Transfer-Encoding is `chunked`, in HTTP/1.1 only"));
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

const fn is_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'.' | b'-'
                | b'_'
                | b':'
                | b'['
                | b']'
                | b'%'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}

/// Overwrites each `Upgrade` header's name, and each `upgrade` in `Connection`.
fn ignore_upgrade(head: &mut [u8]) {
    for line in head.split_mut(|byte| *byte == b'\n') {
        let colon = memchr(b':', line).unwrap_or(0);
        let (name, value) = line.split_at_mut(colon);
        if name.eq_ignore_ascii_case(b"upgrade") {
            name.copy_from_slice(IGNORED);
        } else if name.eq_ignore_ascii_case(b"connection") {
            for option in value.split_mut(|byte| matches!(byte, b',' | b':' | b' ' | b'\t' | b'\r')) {
                if option.eq_ignore_ascii_case(b"upgrade") {
                    option.copy_from_slice(IGNORED);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
