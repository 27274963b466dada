//! The chunked transfer coding (RFC 9112, section 7.1), with the strictness, the limits and the codes of the runtimes'
//! parser. The trailer section is kept as it was sent.

use super::head::{counted_of, Unfinished, MOST_SPACES, SEPARATORS};
use super::llhttp_errors::{self as diagnose, is_token, ParseFault};
use crate::config::MAX_HEADER_FIELDS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's size; whether a digit was seen.
    Size(bool),
    Extension(Part),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
}

/// Where a chunk's extensions are. The grammar is the runtimes' parser's: a name, and if there is `=` a value, of tokens and quoted
/// strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Begin,
    Name,
    Value,
    Quoted,
    /// Behind a backslash.
    Escaped,
    AfterQuotes,
}

impl Part {
    /// Whether `byte` is the CR behind complete extensions.
    fn is_over(self, byte: u8) -> bool {
        byte == b'\r' && matches!(self, Self::Name | Self::Value | Self::AfterQuotes)
    }

    fn next(self, byte: u8) -> Result<Self, &'static str> {
        match (self, byte) {
            (Self::Quoted, b'"') => Ok(Self::AfterQuotes),
            (Self::Quoted, b'\\') => Ok(Self::Escaped),
            (Self::Quoted | Self::Escaped, b'\t' | 0x20..=0x7e | 0x80..) => Ok(Self::Quoted),
            (Self::Quoted, _) => Err("Invalid character in chunk extensions quoted value"),
            (Self::Escaped, _) => Err("Invalid quoted-pair in chunk extensions quoted value"),
            (Self::Begin, b'\r' | b' ') => Err("Invalid character in chunk extensions"),
            (_, b';') => Ok(Self::Begin),
            (Self::AfterQuotes, _) => Err("Invalid character in chunk extensions quote value"),
            (Self::Begin | Self::Name, b'=') => Ok(Self::Value),
            (Self::Value, b'"') => Ok(Self::Quoted),
            (Self::Value, _) if is_token(byte) => Ok(Self::Value),
            (Self::Value, _) => Err("Invalid character in chunk extensions value"),
            (Self::Begin | Self::Name, _) if is_token(byte) => Ok(Self::Name),
            (Self::Begin | Self::Name, _) => Err("Invalid character in chunk extensions name"),
        }
    }
}

/// Digits of a chunk's size, leading zeros included. llhttp sets no limit; the longest that are known pad to 16.
const MAX_SIZE_DIGITS: u32 = 1_024;
/// Names and values of one chunk's extensions: the runtimes' `kMaxChunkExtensionsSize`.
const MAX_EXTENSIONS: u32 = 16 * 1024;
/// The same with separators, which the runtimes do not count.
const MAX_EXTENSIONS_RAW: u32 = 4 * MAX_EXTENSIONS;

/// What comes next in a chunked body.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing before more bytes come.
    Hungry,
    /// So many bytes of data.
    Data(usize),
    /// The trailer section, for [`Chunked::trailer`].
    Trailer,
    /// Bytes that the framing does not allow.
    Refused(&'static str, &'static str),
}

/// Where a chunked body is.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    /// Bytes of the chunk still to come.
    size: u64,
    /// Digits of the size so far.
    digits: u32,
    /// Bytes of the chunk's extensions so far: names and values, and all.
    extensions: u32,
    extensions_raw: u32,
    section: Vec<u8>,
    /// Lines of it that are complete.
    lines: usize,
    /// Where the last, unfinished line of it begins.
    line: usize,
    /// What llhttp counts of the finished ones.
    counted: usize,
    unfinished: Unfinished,
    max_section: usize,
}

impl Chunked {
    /// The start of a body whose trailers may be `max_section` bytes, as the runtimes count them: names and values.
    pub fn new(max_section: usize) -> Self {
        Self {
            state: State::Size(false),
            size: 0,
            digits: 0,
            extensions: 0,
            extensions_raw: 0,
            section: Vec::new(),
            lines: 0,
            line: 0,
            counted: 0,
            unfinished: Unfinished::default(),
            max_section,
        }
    }

    /// Takes framing up to what comes next: how many bytes that were, and what follows them. Of data, the caller takes as
    /// much as it is told.
    pub fn next(&mut self, bytes: &[u8]) -> (usize, Step) {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            let refused = |code, reason| (at, Step::Refused(code, reason));
            self.state = match (self.state, byte) {
                (State::Trailer, _) => return (at, Step::Trailer),
                (State::Data, _) => {
                    let left = (bytes.len() - at) as u64;
                    let count = self.size.min(left);
                    self.size -= count;
                    if self.size == 0 {
                        self.state = State::DataCr;
                    }
                    return (at, Step::Data(count as usize));
                }
                (State::Size(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    if self.size >> 60 != 0 || self.digits == MAX_SIZE_DIGITS {
                        return refused("HPE_INVALID_CHUNK_SIZE", "Chunk size overflow");
                    }
                    self.digits += 1;
                    let digit = (byte as char).to_digit(16).unwrap_or(0);
                    self.size = self.size << 4 | u64::from(digit);
                    State::Size(true)
                }
                (State::Size(true), b'\r') => State::SizeLf,
                (State::Size(true), b';') => {
                    (self.extensions, self.extensions_raw) = (0, 0);
                    State::Extension(Part::Begin)
                }
                (State::Size(true), b'\n') => {
                    return refused("HPE_CR_EXPECTED", "Missing expected CR after chunk size");
                }
                (State::Size(_), _) => {
                    return refused("HPE_INVALID_CHUNK_SIZE", "Invalid character in chunk size");
                }
                (State::Extension(part), _) => {
                    if part.is_over(byte) {
                        State::SizeLf
                    } else {
                        self.extensions_raw += 1;
                        self.extensions += u32::from(!matches!(byte, b';' | b'='));
                        if self.extensions > MAX_EXTENSIONS
                            || self.extensions_raw > MAX_EXTENSIONS_RAW
                        {
                            return refused(
                                "HPE_CHUNK_EXTENSIONS_OVERFLOW",
                                "Chunk extensions overflow",
                            );
                        }
                        match part.next(byte) {
                            Ok(part) => State::Extension(part),
                            Err(reason) => return refused("HPE_STRICT", reason),
                        }
                    }
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
        (at, Step::Hungry)
    }

    /// Takes bytes of the trailer section: how many of them belong to it once it is complete, `None` while it is not.
    ///
    /// # Errors
    ///
    /// The fault that llhttp would report for the section.
    pub fn trailer(&mut self, bytes: &[u8]) -> Result<Option<usize>, ParseFault> {
        if self.section.is_empty() && bytes.starts_with(b"\r\n") {
            return Ok(Some(2));
        }
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
        for at in before.min(len)..len {
            if self.section[at] == b'\n' {
                self.counted += counted_of(&self.section[self.line..=at]);
                self.line = at + 1;
                self.lines += 1;
                self.unfinished = Unfinished::default();
            }
        }
        let unfinished = self.unfinished.counted(&self.section[self.line..len]);
        let size = len.saturating_sub(SEPARATORS * self.lines);
        if self.counted + unfinished >= self.max_section
            || size >= self.max_section.saturating_mul(MOST_SPACES)
            || self.lines > MAX_HEADER_FIELDS
        {
            return Err(ParseFault::overflow(self.section.len()));
        }
        let Some(end) = end else { return Ok(None) };
        self.section.truncate(end);
        Ok(Some(end - before))
    }

    /// Bytes of the trailer section so far.
    pub fn section_len(&self) -> usize {
        self.section.len()
    }

    /// The trailer section's fields as sent, `name\0value…`.
    ///
    /// # Errors
    ///
    /// The fault that llhttp would report for a field.
    pub fn fields(&self) -> Result<Vec<u8>, ParseFault> {
        if self.section.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(at) = bare_line_feed(&self.section) {
            let reason = "Missing expected CR after header value";
            return Err(ParseFault::new("HPE_CR_EXPECTED", reason, at + 1));
        }
        let mut headers = vec![httparse::EMPTY_HEADER; self.section.len() / 4 + 1];
        let parsed = httparse::parse_headers(&self.section, &mut headers)
            .map_err(|error| diagnose::trailers(&self.section, error))?;
        let mut text = Vec::new();
        if let httparse::Status::Complete((_, fields)) = parsed {
            for field in fields {
                trailer_fault(field, &self.section).map_or(Ok(()), Err)?;
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

/// Where a line ends in LF alone, which httparse would take.
fn bare_line_feed(section: &[u8]) -> Option<usize> {
    let mut before = 0;
    section.iter().position(|&byte| {
        let is_bare = byte == b'\n' && before != b'\r';
        before = byte;
        is_bare
    })
}

/// Fields about framing that the runtimes' parser refuses behind a body, too.
fn trailer_fault(field: &httparse::Header<'_>, section: &[u8]) -> Option<ParseFault> {
    let (code, reason) = if field.name.eq_ignore_ascii_case("content-length") {
        (
            "HPE_INVALID_CONTENT_LENGTH",
            "Content-Length can't be present with Transfer-Encoding",
        )
    } else if field.name.eq_ignore_ascii_case("transfer-encoding") && field.value.is_empty() {
        ("HPE_INVALID_TRANSFER_ENCODING", "Empty Transfer-Encoding")
    } else {
        return None;
    };
    let offset = diagnose::offset_of(field.value, section);
    Some(ParseFault::new(code, reason, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a body's pieces until it ends, and the surplus behind it.
    fn decode(
        chunked: &mut Chunked,
        parts: &[&[u8]],
    ) -> (Vec<u8>, Option<Vec<u8>>, Option<Refusal>) {
        let (mut data, mut surplus) = (Vec::new(), None);
        for part in parts {
            let mut rest = *part;
            loop {
                let (taken, step) = chunked.next(rest);
                rest = &rest[taken..];
                match step {
                    Step::Hungry => break,
                    Step::Data(count) => {
                        data.extend_from_slice(&rest[..count]);
                        rest = &rest[count..];
                    }
                    Step::Trailer => {
                        if let Some(taken) = chunked.trailer(rest).unwrap() {
                            surplus = Some(rest[taken..].to_vec());
                        }
                        break;
                    }
                    Step::Refused(code, reason) => return (data, surplus, Some((code, reason))),
                }
            }
        }
        (data, surplus, None)
    }

    type Refusal = (&'static str, &'static str);

    fn refusal(body: &[u8]) -> Refusal {
        decode(&mut Chunked::new(1024), &[body]).2.expect("refused")
    }

    #[test]
    fn every_split_of_a_body_finds_its_data_and_trailers() {
        let body = b"3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n00\r\nX-a: 1\r\nx-B:  2 \r\n\r\nrest";
        for split in 0..body.len() - b"rest".len() {
            let mut chunked = Chunked::new(1024);
            let (data, surplus, refused) = decode(&mut chunked, &[&body[..split], &body[split..]]);
            assert_eq!(data, b"abc0123456789", "split at {split}");
            assert_eq!(surplus.unwrap(), b"rest", "split at {split}");
            assert_eq!(refused, None, "split at {split}");
            assert_eq!(
                chunked.fields().unwrap(),
                b"X-a\x001\x00x-B\x002",
                "split at {split}"
            );
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
    fn extensions_are_names_and_values_as_the_runtimes_take_them() {
        for taken in [
            "a",
            "a=",
            "a=b",
            "a=\"b\"",
            "a=\"b;c\";d",
            "a=\"\t\u{e4}\"",
            "=b",
            "a=\"b\\\"c\"",
            "a=b\"c\"",
        ] {
            let body = format!("1;{taken}\r\nx\r\n0\r\n\r\n");
            let (data, surplus, refused) = decode(&mut Chunked::new(1024), &[body.as_bytes()]);
            assert_eq!(
                (&data[..], surplus, refused),
                (&b"x"[..], Some(Vec::new()), None),
                "{taken}"
            );
        }
        for (extension, what) in [
            ("", ""),
            (" a", ""),
            ("a;", ""),
            ("a b", " name"),
            ("\u{e4}", " name"),
            ("a=b=c", " value"),
            ("a= b", " value"),
            ("a=\"b", " quoted value"),
            ("a=\"b\"c", " quote value"),
            ("a=\"b\" ", " quote value"),
        ] {
            let (code, reason) = refusal(format!("1;{extension}\r\n").as_bytes());
            let expected = format!("Invalid character in chunk extensions{what}");
            assert_eq!((code, reason), ("HPE_STRICT", &expected[..]), "{extension}");
        }
    }

    #[test]
    fn trailers_about_framing_and_bare_line_feeds_are_refused() {
        for (line, code) in [
            ("Content-Length: 1", "HPE_INVALID_CONTENT_LENGTH"),
            ("Transfer-Encoding:", "HPE_INVALID_TRANSFER_ENCODING"),
            ("X-A: b\nX-C: d", "HPE_CR_EXPECTED"),
        ] {
            let mut chunked = Chunked::new(1024);
            let section = format!("{line}\r\n\r\n");
            assert!(chunked.trailer(section.as_bytes()).is_ok());
            assert_eq!(chunked.fields().expect_err(line).code, code);
        }
    }

    #[test]
    fn extensions_are_bounded_per_chunk_and_sizes_by_their_digits() {
        let overflow = "HPE_CHUNK_EXTENSIONS_OVERFLOW";
        let most = MAX_EXTENSIONS as usize;
        let chunk = |len: usize| format!("1;a={}\r\nx\r\n", "b".repeat(len - 1));
        let three = chunk(most).repeat(3);
        let (data, _, refused) = decode(&mut Chunked::new(1024), &[three.as_bytes()]);
        assert_eq!((&data[..], refused), (&b"xxx"[..], None));
        assert_eq!(refusal(chunk(most + 1).as_bytes()).0, overflow);
        let separators = format!("1{}", ";".repeat(MAX_EXTENSIONS_RAW as usize + 2));
        assert_eq!(refusal(separators.as_bytes()).0, overflow);
        let zeros = "0".repeat(MAX_SIZE_DIGITS as usize);
        let padded = format!("{}1\r\nx\r\n", &zeros[1..]);
        let (data, _, refused) = decode(&mut Chunked::new(1024), &[padded.as_bytes()]);
        assert_eq!((&data[..], refused), (&b"x"[..], None));
        assert_eq!(
            refusal(format!("{zeros}0").as_bytes()),
            ("HPE_INVALID_CHUNK_SIZE", "Chunk size overflow")
        );
    }

    #[test]
    fn trailers_are_counted_as_the_runtimes_count_them() {
        let section = |fields: usize| format!("{}\r\n", "ab: cd\r\n".repeat(fields));
        let mut chunked = Chunked::new(400);
        let taken = chunked.trailer(section(99).as_bytes()).unwrap();
        assert_eq!(taken, Some(99 * 8 + 2));
        let mut chunked = Chunked::new(400);
        let fault = chunked.trailer(section(101).as_bytes()).unwrap_err();
        assert_eq!(fault.code, "HPE_HEADER_OVERFLOW");
        let mut chunked = Chunked::new(400);
        let endless = "a:\r\n".repeat(MAX_HEADER_FIELDS + 1);
        assert!(chunked.trailer(endless.as_bytes()).is_err());
    }

    #[test]
    fn trailers_over_the_limit_overflow_and_bad_ones_are_refused() {
        let mut chunked = Chunked::new(16);
        assert_eq!(
            chunked.trailer(&[b'a'; 18]).unwrap_err().code,
            "HPE_HEADER_OVERFLOW"
        );
        let mut chunked = Chunked::new(1024);
        chunked.trailer(b"b@d: x\r\n\r\n").unwrap();
        assert_eq!(chunked.fields().unwrap_err().reason, "Invalid header token");
    }

    #[test]
    fn an_empty_section_has_no_fields() {
        let mut chunked = Chunked::new(1024);
        assert_eq!(chunked.next(b"0\r\n\r\n"), (3, Step::Trailer));
        assert_eq!(chunked.trailer(b"\r\nHTTP"), Ok(Some(2)));
        assert_eq!(chunked.fields(), Ok(Vec::new()));
    }
}
