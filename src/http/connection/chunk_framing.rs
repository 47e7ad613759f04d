//! Finds the end of a chunked body, strictly (RFC 9112, section 7.1).

/// Bytes of a chunk's extensions, and of all trailers, at most.
const MAX_EXTRAS: usize = 4 << 10;

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a chunk's size, after so many digits.
    Size(u8),
    Extension,
    /// Before the LF after a size.
    SizeEnd,
    Data,
    /// Before the CR and the LF after a chunk's data.
    DataCr,
    DataLf,
    /// At the begin of a line after the last chunk, or in it.
    TrailerStart,
    Trailer,
    TrailerLf,
    /// Before the very last LF.
    End,
}

/// A chunked body of which a part was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkFraming {
    place: Place,
    /// Bytes that are left of the chunk, or its size so far.
    left: u64,
    /// Bytes of extensions or trailers so far.
    extras: usize,
}

/// The body's framing is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadChunk;

impl ChunkFraming {
    /// Of which nothing was read yet.
    pub(super) const fn new() -> Self {
        Self { place: Place::Size(0), left: 0, extras: 0 }
    }

    /// Reads on. Returns how many of the bytes belong to the body, and whether it has ended.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut at = 0;
        while at < bytes.len() {
            if self.place == Place::Data {
                let part = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += part;
                self.left -= part as u64;
                if self.left == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            let byte = bytes[at];
            at += 1;
            if self.place == Place::End && byte == b'\n' {
                return Ok((at, true));
            }
            self.place = self.step(byte).ok_or(BadChunk)?;
        }
        Ok((at, false))
    }

    /// The place after this byte.
    fn step(&mut self, byte: u8) -> Option<Place> {
        Some(match (self.place, byte) {
            (Place::Size(digits @ 0..16), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.left = self.left << 4 | u64::from(char::from(byte).to_digit(16)?);
                Place::Size(digits + 1)
            }
            (Place::Size(1..), b';') => Place::Extension,
            (Place::Size(1..) | Place::Extension, b'\r') => Place::SizeEnd,
            (Place::SizeEnd, b'\n') if self.left > 0 => {
                self.extras = 0;
                Place::Data
            }
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size(0),
            (Place::TrailerStart, b'\r') => Place::End,
            (Place::Trailer, b'\r') => Place::TrailerLf,
            (Place::SizeEnd | Place::TrailerLf, b'\n') => Place::TrailerStart,
            // No line may continue the one before.
            (Place::TrailerStart, b' ' | b'\t') => return None,
            (Place::Extension | Place::Trailer | Place::TrailerStart, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extras += 1;
                if self.extras > MAX_EXTRAS {
                    return None;
                }
                if self.place == Place::Extension { Place::Extension } else { Place::Trailer }
            }
            _ => return None,
        })
    }
}
