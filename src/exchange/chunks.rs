//! Watches the chunked framing of a body as its bytes pass to hyper (RFC 9112, section 7.1).
//!
//! hyper decodes the body but is more lenient than the runtimes' parser, forgets the case of trailer names and bounds
//! their number. So framing is checked here with llhttp's strictness and codes, the trailer section is kept as sent, and
//! hyper gets a body without trailers.

use std::ops::Range;

use super::diagnose::{self, ParseFault};
use crate::config::MAX_HEADER_FIELDS;

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

/// Digits of a chunk's size, leading zeros included. llhttp sets no limit; the longest that are known pad to 16.
const MAX_SIZE_DIGITS: u32 = 1_024;
/// Names and values of one chunk's extensions: the runtimes' `kMaxChunkExtensionsSize`.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// The same with separators, which the runtimes do not count.
const MAX_EXTENSIONS_RAW: u32 = 4 * MAX_EXTENSIONS;

/// How far bytes may pass, but what [`Chunks::strip`] takes away.
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
    /// Digits of the size so far.
    digits: u32,
    /// Bytes of the chunk's extensions so far: names and values, and all.
    extensions: u32,
    extensions_raw: u32,
    /// What of the bytes looked at last is not for hyper: extensions, which it bounds for a body as a whole, and zeros that
    /// say nothing of a size.
    cuts: Vec<Range<usize>>,
    section: Vec<u8>,
    /// Lines of it that are complete.
    lines: usize,
    max_section: usize,
}

impl Chunks {
    /// The start of a body whose trailers may be `max_section` bytes, as the runtimes count them: names and values.
    pub fn new(max_section: usize) -> Self {
        Self {
            state: State::Size(false),
            size: 0,
            digits: 0,
            extensions: 0,
            extensions_raw: 0,
            cuts: Vec::new(),
            section: Vec::new(),
            lines: 0,
            max_section,
        }
    }

    /// Looks at the next bytes of the body.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        self.cuts.clear();
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
                    if self.size >> 60 != 0 || self.digits == MAX_SIZE_DIGITS {
                        return refused("HPE_INVALID_CHUNK_SIZE", "Chunk size overflow");
                    }
                    if self.digits > 0 && self.size == 0 && byte == b'0' {
                        self.cut(at);
                    }
                    self.digits += 1;
                    let digit = (byte as char).to_digit(16).unwrap_or(0);
                    self.size = self.size << 4 | u64::from(digit);
                    State::Size(true)
                }
                (State::Size(true), b'\r') => State::SizeLf,
                (State::Size(true), b';') => {
                    (self.extensions, self.extensions_raw) = (0, 0);
                    self.cut(at);
                    State::Extension
                }
                (State::Size(true), b'\n') => {
                    return refused("HPE_CR_EXPECTED", "Missing expected CR after chunk size");
                }
                (State::Size(_), _) => {
                    return refused("HPE_INVALID_CHUNK_SIZE", "Invalid character in chunk size");
                }
                (State::Extension, b'\r') => State::SizeLf,
                (State::Extension, b'\t' | 0x20..=0x7e | 0x80..) => {
                    self.extensions_raw += 1;
                    self.extensions += u32::from(!matches!(byte, b';' | b'='));
                    if self.extensions > MAX_EXTENSIONS || self.extensions_raw > MAX_EXTENSIONS_RAW
                    {
                        return refused(
                            "HPE_CHUNK_EXTENSIONS_OVERFLOW",
                            "Chunk extensions overflow",
                        );
                    }
                    self.cut(at);
                    State::Extension
                }
                (State::Extension, _) => {
                    return refused("HPE_STRICT", "Invalid character in chunk extensions");
                }
                (State::SizeLf, b'\n') => {
                    self.digits = 0;
                    if self.size == 0 {
                        State::Trailer
                    } else {
                        State::Data
                    }
                }
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

    fn cut(&mut self, at: usize) {
        match self.cuts.last_mut() {
            Some(last) if last.end == at => last.end += 1,
            _ => self.cuts.push(at..at + 1),
        }
    }

    /// Moves what hyper is to see of the bytes that were looked at last to their front; how many these are.
    pub fn strip(&self, bytes: &mut [u8]) -> usize {
        let Some(first) = self.cuts.first() else {
            return bytes.len();
        };
        let mut kept = first.start;
        let ends = self.cuts[1..].iter().map(|cut| cut.start);
        for (cut, end) in self.cuts.iter().zip(ends.chain([bytes.len()])) {
            bytes.copy_within(cut.end..end, kept);
            kept += end - cut.end;
        }
        kept
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
        let len = end.unwrap_or(self.section.len());
        self.lines += self.section[before.min(len)..len]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        // Colon, space, CR and LF of a line do not count, but are bounded by the number of lines.
        if len.saturating_sub(4 * self.lines) >= self.max_section || self.lines > MAX_HEADER_FIELDS
        {
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

    fn stripped(chunks: &Chunks, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let kept = chunks.strip(&mut bytes);
        bytes.truncate(kept);
        bytes
    }

    #[test]
    fn every_split_of_a_body_finds_its_trailers() {
        let body = b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n00\r\nX-a: 1\r\nx-B:  2 \r\n\r\nrest";
        let section_at = body.len() - b"X-a: 1\r\nx-B:  2 \r\n\r\nrest".len();
        for split in 0..=body.len() {
            let mut chunks = Chunks::new(1024);
            let mut surplus = None;
            let mut passed = Vec::new();
            for part in [&body[..split], &body[split..]] {
                let from = match chunks.scan(part) {
                    Scan::Pass => {
                        passed.extend_from_slice(&stripped(&chunks, part));
                        continue;
                    }
                    Scan::TrailerFrom(at) => at,
                    other => panic!("{other:?} at {split}"),
                };
                passed.extend_from_slice(&stripped(&chunks, &part[..from]));
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
            // Without extensions and zeros that say nothing.
            let plain = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n";
            assert!(passed.starts_with(plain), "split at {split}");
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
    fn extensions_are_bounded_per_chunk_and_sizes_by_their_digits() {
        let overflow = "HPE_CHUNK_EXTENSIONS_OVERFLOW";
        let most = MAX_EXTENSIONS as usize;
        let chunk = |len: usize| format!("1;a={}\r\nx\r\n", "b".repeat(len - 1));
        let mut chunks = Chunks::new(1024);
        for _ in 0..3 {
            let body = chunk(most).into_bytes();
            assert_eq!(chunks.scan(&body), Scan::Pass);
            assert_eq!(stripped(&chunks, &body), b"1\r\nx\r\n");
        }
        assert_eq!(refusal(chunk(most + 1).as_bytes()).0, overflow);
        let separators = format!("1{}", ";".repeat(MAX_EXTENSIONS_RAW as usize + 2));
        assert_eq!(refusal(separators.as_bytes()).0, overflow);
        let zeros = "0".repeat(MAX_SIZE_DIGITS as usize);
        let padded = format!("{}1\r\nx\r\n", &zeros[1..]);
        let mut chunks = Chunks::new(1024);
        assert_eq!(chunks.scan(padded.as_bytes()), Scan::Pass);
        assert_eq!(stripped(&chunks, padded.as_bytes()), b"01\r\nx\r\n");
        assert_eq!(
            refusal(format!("{zeros}0").as_bytes()),
            ("HPE_INVALID_CHUNK_SIZE", "Chunk size overflow")
        );
    }

    #[test]
    fn trailers_are_counted_as_the_runtimes_count_them() {
        let section = |fields: usize| format!("{}\r\n", "ab: cd\r\n".repeat(fields));
        let mut chunks = Chunks::new(400);
        let taken = chunks.trailer(section(99).as_bytes()).unwrap();
        assert_eq!(taken, Some(99 * 8 + 2));
        let mut chunks = Chunks::new(400);
        let fault = chunks.trailer(section(101).as_bytes()).unwrap_err();
        assert_eq!(fault.code, "HPE_HEADER_OVERFLOW");
        let mut chunks = Chunks::new(400);
        let endless = "a:\r\n".repeat(MAX_HEADER_FIELDS + 1);
        assert!(chunks.trailer(endless.as_bytes()).is_err());
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
