//! Watches the chunked framing of a body as its bytes pass to hyper (RFC 9112, section 7.1).
//!
//! hyper decodes the body but is more lenient than the runtimes' parser, forgets the case of trailer names and bounds
//! their number. So framing is checked here with llhttp's strictness and codes, the trailer section is kept as sent, and
//! hyper gets a body without trailers.

use super::diagnose::{self, ParseFault};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's size; whether a digit was seen.
    Size(bool),
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    Done,
}

/// How far bytes may pass.
#[derive(Debug, PartialEq, Eq)]
pub enum Scan {
    /// All of them.
    Pass,
    /// Those before this position; from there on they are the trailer section's.
    TrailerFrom(usize),
    /// Those before this position; then the message is refused.
    Refused(usize, ParseFault),
}

/// Where a chunked body is.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    size: u64,
    section: Vec<u8>,
    max_section: usize,
}

impl Chunks {
    /// The start of a body whose trailers may be `max_section` bytes.
    pub fn new(max_section: usize) -> Self {
        Self {
            state: State::Size(false),
            size: 0,
            section: Vec::new(),
            max_section,
        }
    }

    /// Looks at the next bytes of the body.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            let refused = |code, reason| Scan::Refused(at, ParseFault::new(code, reason, at));
            self.state = match (self.state, byte) {
                (State::Done, _) => return Scan::Pass,
                (State::Trailer, _) => return Scan::TrailerFrom(at),
                (State::Data, _) => {
                    let left = (bytes.len() - at) as u64;
                    let passed = self.size.min(left);
                    self.size -= passed;
                    at += passed as usize;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                    continue;
                }
                (State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    if self.size >> 60 != 0 {
                        return refused("HPE_INVALID_CHUNK_SIZE", "Chunk size overflow");
                    }
                    let digit = (byte as char).to_digit(16).unwrap_or(0);
                    self.size = self.size << 4 | u64::from(digit);
                    State::Size(true)
                }
                (State::Size(true), b'\r') => State::SizeLf,
                (State::Size(true), b';') => State::Extension,
                (State::Size(true), b'\n') => {
                    return refused("HPE_CR_EXPECTED", "Missing expected CR after chunk size");
                }
                (State::Size(_), _) => {
                    return refused("HPE_INVALID_CHUNK_SIZE", "Invalid character in chunk size");
                }
                (State::Extension, b'\r') => State::SizeLf,
                (State::Extension, b'\t' | 0x20..=0x7e | 0x80..) => State::Extension,
                (State::Extension, _) => {
                    return refused("HPE_STRICT", "Invalid character in chunk extensions");
                }
                (State::SizeLf, b'\n') if self.size == 0 => State::Trailer,
                (State::SizeLf, b'\n') => State::Data,
                (State::SizeLf, _) => {
                    return refused("HPE_STRICT", "Expected LF after chunk size");
                }
                (State::DataCr, b'\r') => State::DataLf,
                (State::DataCr, b'\n') => {
                    return refused("HPE_CR_EXPECTED", "Missing expected CR after chunk data");
                }
                (State::DataCr | State::DataLf, _) if byte != b'\n' => {
                    return refused("HPE_STRICT", "Expected LF after chunk data");
                }
                (State::DataCr | State::DataLf, _) => State::Size(false),
            };
            at += 1;
        }
        Scan::Pass
    }

    /// Takes bytes of the trailer section: how many of them belong to it once it is complete, `None` while it is not.
    ///
    /// # Errors
    ///
    /// The fault that llhttp would report for the section.
    pub fn trailer(&mut self, bytes: &[u8]) -> Result<Option<usize>, ParseFault> {
        let before = self.section.len();
        self.section.extend_from_slice(bytes);
        let end = if self.section.starts_with(b"\r\n") {
            Some(2)
        } else {
            let from = before.saturating_sub(3);
            let found = self.section[from..]
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            found.map(|found| from + found + 4)
        };
        if end.unwrap_or(self.section.len()) > self.max_section {
            return Err(ParseFault::overflow(self.section.len()));
        }
        let Some(end) = end else { return Ok(None) };
        self.section.truncate(end);
        self.state = State::Done;
        Ok(Some(end - before))
    }

    /// The trailer section's fields as sent, `name\0value…`.
    ///
    /// # Errors
    ///
    /// The fault that llhttp would report for a field.
    pub fn fields(&self) -> Result<Vec<u8>, ParseFault> {
        let mut headers = vec![httparse::EMPTY_HEADER; self.section.len() / 4 + 1];
        let parsed = httparse::parse_headers(&self.section, &mut headers)
            .map_err(|error| diagnose::trailers(&self.section, error))?;
        let mut text = Vec::new();
        if let httparse::Status::Complete((_, fields)) = parsed {
            for field in fields {
                if !text.is_empty() {
                    text.push(0);
                }
                text.extend_from_slice(field.name.as_bytes());
                text.push(0);
                text.extend_from_slice(field.value);
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &[u8]) -> (&'static str, &'static str) {
        match Chunks::new(1024).scan(body) {
            Scan::Refused(_, fault) => (fault.code, fault.reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_split_of_a_body_finds_its_trailers() {
        let body = b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n00\r\nX-a: 1\r\nx-B:  2 \r\n\r\nrest";
        let section_at = body.len() - b"X-a: 1\r\nx-B:  2 \r\n\r\nrest".len();
        for split in 0..=body.len() {
            let mut chunks = Chunks::new(1024);
            let mut surplus = None;
            for part in [&body[..split], &body[split..]] {
                let from = match chunks.scan(part) {
                    Scan::Pass => continue,
                    Scan::TrailerFrom(at) => at,
                    other => panic!("{other:?} at {split}"),
                };
                assert!(part.as_ptr() as usize + from >= body.as_ptr() as usize + section_at);
                if let Some(taken) = chunks.trailer(&part[from..]).unwrap() {
                    surplus = Some(part.len() - from - taken);
                }
            }
            assert_eq!(
                chunks.fields().unwrap(),
                b"X-a\x001\x00x-B\x002",
                "split at {split}"
            );
            assert!(surplus.is_some(), "split at {split}");
        }
    }

    #[test]
    fn refusals_have_the_runtimes_code_and_reason() {
        let size = "HPE_INVALID_CHUNK_SIZE";
        assert_eq!(
            refusal(b"zz\r\n"),
            (size, "Invalid character in chunk size")
        );
        assert_eq!(
            refusal(b"3 \r\n"),
            (size, "Invalid character in chunk size")
        );
        assert_eq!(refusal(b"\r\n"), (size, "Invalid character in chunk size"));
        assert_eq!(
            refusal(b"fffffffffffffffff\r\n"),
            (size, "Chunk size overflow")
        );
        assert_eq!(
            refusal(b"3\nabc"),
            ("HPE_CR_EXPECTED", "Missing expected CR after chunk size")
        );
        assert_eq!(
            refusal(b"3\r\nabc\n"),
            ("HPE_CR_EXPECTED", "Missing expected CR after chunk data")
        );
        assert_eq!(
            refusal(b"3\r\nabcXX"),
            ("HPE_STRICT", "Expected LF after chunk data")
        );
    }

    #[test]
    fn trailers_over_the_limit_overflow_and_bad_ones_are_refused() {
        let mut chunks = Chunks::new(16);
        assert_eq!(
            chunks.trailer(&[b'a'; 17]).unwrap_err().code,
            "HPE_HEADER_OVERFLOW"
        );
        let mut chunks = Chunks::new(1024);
        chunks.trailer(b"b@d: x\r\n\r\n").unwrap();
        assert_eq!(chunks.fields().unwrap_err().reason, "Invalid header token");
    }

    #[test]
    fn an_empty_section_has_no_fields() {
        let mut chunks = Chunks::new(1024);
        assert_eq!(chunks.scan(b"0\r\n\r\n"), Scan::TrailerFrom(3));
        assert_eq!(chunks.trailer(b"\r\nHTTP"), Ok(Some(2)));
        assert_eq!(chunks.fields(), Ok(Vec::new()));
    }
}
