//! Response heads: from raw bytes to what JavaScript shows and what frames the body.
//!
//! `httparse` decides what is a head; on top come the rules that the runtimes' parser (llhttp, strict) has and
//! httparse lacks: CRLF only, one Content-Length, no Content-Length beside Transfer-Encoding. A refusal is explained
//! by [`super::llhttp_errors`] with llhttp's code and reason.

use super::llhttp_errors::{self as diagnose, ParseFault};
use super::version::Version;
use crate::config::MAX_HEADER_FIELDS;

/// How the body of a message ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body follows: HEAD, 204, 304, 1xx.
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Everything until the peer closes.
    UntilClose,
}

/// A complete response head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status code, three digits.
    pub status: u16,
    /// What the peer says it speaks.
    pub version: Version,
    /// Whether the message allows another one on this connection (llhttp's `should_keep_alive`).
    pub keep_alive: bool,
    /// How the body ends.
    pub framing: Framing,
    /// The peer switches to another protocol.
    pub upgrades: bool,
    /// `name\0value\0…\0reason`, bytes as they came.
    pub text: Vec<u8>,
    /// Bytes of input that the head took, blank line included.
    pub len: usize,
}

impl Head {
    /// An informational response that precedes the final one (RFC 9110, section 15.2).
    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Parses a response head at the start of `input`; `None` while it is incomplete.
///
/// `bodiless` says that the request was HEAD. `max_size` bounds what llhttp counts: reason, names and values.
///
/// # Errors
///
/// The fault that llhttp would report for these bytes.
pub fn parse(input: &[u8], bodiless: bool, max_size: usize) -> Result<Option<Head>, ParseFault> {
    Progress::default().parse(input, bodiless, max_size)
}

/// How far an incomplete head has been looked at, so that one that comes in many pieces is not parsed anew for each.
#[derive(Default)]
pub struct Progress {
    /// Bytes looked at.
    scanned: usize,
    /// Where the last, unfinished line begins.
    line: usize,
    lines: usize,
    /// What llhttp counts of the finished lines.
    counted: usize,
    unfinished: Unfinished,
}

/// First bytes that are parsed at once: what is no HTTP is refused before its first line ends.
const FIRST_BYTES: usize = 32;

/// Fields of most heads, at most.
const FEW_FIELDS: usize = 64;

/// What is to be done about a head.
#[derive(PartialEq, Eq)]
enum Look {
    Wait,
    /// It is complete, or may be refused.
    Parse,
    TooLarge,
}

impl Progress {
    /// As [`parse`], of a head that has grown since it was last found to be incomplete.
    ///
    /// # Errors
    ///
    /// The fault that llhttp would report for these bytes.
    pub fn parse(
        &mut self,
        raw: &[u8],
        bodiless: bool,
        max_size: usize,
    ) -> Result<Option<Head>, ParseFault> {
        let is_first = self.scanned == 0;
        if is_first {
            let mut few = [httparse::EMPTY_HEADER; FEW_FIELDS];
            match parse_with(raw, &mut few, bodiless, max_size) {
                Ok(Some(head)) => return head.map(Some),
                Ok(None) | Err(httparse::Error::TooManyHeaders) => {}
                Err(error) => return Err(diagnose::head(raw, error)),
            }
        }
        let overflow = ParseFault::overflow(raw.len());
        match self.look(raw, max_size, is_first) {
            Look::Wait => return Ok(None),
            // Of one that is complete, something else may come first.
            Look::TooLarge if !raw.windows(4).any(|four| four == b"\r\n\r\n") => {
                return Err(overflow)
            }
            Look::Parse | Look::TooLarge => {}
        }
        let lines = raw.iter().filter(|&&byte| byte == b'\n').count();
        let mut fields = vec![httparse::EMPTY_HEADER; lines.min(MAX_HEADER_FIELDS)];
        match parse_with(raw, &mut fields, bodiless, max_size) {
            Ok(head) => head.transpose(),
            Err(httparse::Error::TooManyHeaders) => Err(overflow),
            Err(error) => Err(diagnose::head(raw, error)),
        }
    }

    /// Looks at what is new; `is_parsed`: what is incomplete was not refused.
    fn look(&mut self, raw: &[u8], max_size: usize, is_parsed: bool) -> Look {
        let had_line = self.lines > 0;
        while let Some(line) = self.next_line(raw) {
            if self.lines == 1 {
                self.counted += line.len().saturating_sub(BEFORE_REASON + 2);
            } else if matches!(line, b"\n" | b"\r\n") {
                return Look::Parse;
            } else {
                // Room for more than its one field: what follows it is not there.
                let mut fields = [httparse::EMPTY_HEADER; 2];
                if httparse::parse_headers(line, &mut fields).is_err() {
                    return Look::Parse;
                }
                self.counted += counted_of(line);
            }
            if self.counted >= max_size {
                return Look::TooLarge;
            }
        }
        let line = &raw[self.line..];
        let unfinished = match self.lines {
            0 => line.len().saturating_sub(BEFORE_REASON + 1),
            _ => self.unfinished.counted(line),
        };
        let separators = 16 + SEPARATORS * self.lines;
        if self.counted + unfinished >= max_size
            || raw.len().saturating_sub(separators) >= max_size.saturating_mul(MOST_SPACES)
            || self.lines > MAX_HEADER_FIELDS
        {
            Look::TooLarge
        } else if !is_parsed && (raw.len() < FIRST_BYTES || !had_line && self.lines > 0) {
            Look::Parse
        } else {
            Look::Wait
        }
    }

    fn next_line<'b>(&mut self, raw: &'b [u8]) -> Option<&'b [u8]> {
        let found = raw[self.scanned..].iter().position(|&byte| byte == b'\n');
        let Some(found) = found else {
            self.scanned = raw.len();
            return None;
        };
        let end = self.scanned + found + 1;
        let line = &raw[self.line..end];
        (self.scanned, self.line) = (end, end);
        self.lines += 1;
        self.unfinished = Unfinished::default();
        Some(line)
    }
}

/// Colon, space, CR and LF.
pub(super) const SEPARATORS: usize = 4;

/// Spaces before values are not counted, but kept until all is there: so many times what may be counted.
pub(super) const MOST_SPACES: usize = 8;

/// What llhttp counts of a field's line: its name, and its value with the spaces behind it, unless it is nothing else.
pub(super) fn counted_of(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    Unfinished::default().counted(line)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A field's line that grows. Each of its bytes is looked at once.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// Up to the colon at first; then to the value's first byte.
    looked: usize,
    colon: Option<usize>,
}

impl Unfinished {
    /// What [`counted_of`] says of it so far.
    pub(super) fn counted(&mut self, line: &[u8]) -> usize {
        // It may be over.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.colon.is_none() {
            let new = &line[self.looked..];
            self.colon = new
                .iter()
                .position(|&byte| byte == b':')
                .map(|at| self.looked + at);
            self.looked = self.colon.map_or(line.len(), |colon| colon + 1);
        }
        let Some(colon) = self.colon else {
            return line.len();
        };
        let new = &line[self.looked..];
        self.looked += new.iter().take_while(|&&byte| is_space(byte)).count();
        colon + line.len() - self.looked
    }
}

type Attempt = Result<Option<Result<Head, ParseFault>>, httparse::Error>;

fn parse_with<'b>(
    input: &'b [u8],
    headers: &mut [httparse::Header<'b>],
    bodiless: bool,
    max_size: usize,
) -> Attempt {
    let line = match StatusLine::parse(input) {
        Ok(Some(line)) => line,
        Ok(None) => return Ok(None),
        Err(fault) => return Ok(Some(Err(fault))),
    };
    let (len, lines) = match httparse::parse_headers(&input[line.len..], headers)? {
        httparse::Status::Complete((len, lines)) => (line.len + len, lines),
        httparse::Status::Partial => return Ok(None),
    };
    if let Some(fault) = diagnose::bare_line_feed(&input[..len]) {
        return Ok(Some(Err(fault)));
    }
    let StatusLine {
        version,
        status,
        reason,
        ..
    } = line;

    let mut counted = reason.len();
    let mut text = Vec::with_capacity(len);
    let mut fields = Fields::default();
    for header in lines {
        counted += header.name.len() + header.value.len();
        if !header.value.is_empty() {
            let end = diagnose::offset_of(header.value, input) + header.value.len();
            counted += input[end..]
                .iter()
                .take_while(|&&byte| is_space(byte))
                .count();
        }
        if let Err(fault) = fields.add(header.name, header.value, input) {
            return Ok(Some(Err(fault)));
        }
        text.extend_from_slice(header.name.as_bytes());
        text.push(0);
        text.extend_from_slice(header.value);
        text.push(0);
    }
    if counted >= max_size {
        return Ok(Some(Err(ParseFault::overflow(len))));
    }
    text.extend_from_slice(reason);

    let framing = fields.framing(status, bodiless);
    let wanted = if version == Version::Http11 {
        !fields.connection_close
    } else {
        fields.connection_keep_alive
    };
    Ok(Some(Ok(Head {
        status,
        version,
        keep_alive: wanted && framing != Framing::UntilClose && status != 101,
        framing,
        upgrades: status == 101 && fields.upgrade && fields.connection_upgrade,
        text,
        len,
    })))
}

/// The first line. Not by httparse, which refuses versions and reasons that the runtimes' parser takes.
struct StatusLine<'b> {
    version: Version,
    status: u16,
    /// The reason phrase as sent, any bytes.
    reason: &'b [u8],
    /// Bytes of the line and of empty ones before it.
    len: usize,
}

/// "HTTP/1.1 200 "; without a reason the space may be missing.
const BEFORE_REASON: usize = 13;

impl<'b> StatusLine<'b> {
    /// `None`: it is incomplete. What can't become one is refused before its end.
    fn parse(input: &'b [u8]) -> Result<Option<Self>, ParseFault> {
        let is_empty = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = input.iter().position(|byte| !is_empty(byte));
        let start = start.unwrap_or(input.len());
        let rest = &input[start..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = &rest[..end.map_or(rest.len(), |end| end + 1)];
        if let Some(fault) = diagnose::status_line(line, start) {
            return Err(fault);
        }
        if end.is_none() {
            return Ok(None);
        }
        let digit = |at: usize| u16::from(line[at] - b'0');
        let Some(version) = Version::of(&line[5..8]) else {
            return Ok(None);
        };
        Ok(Some(Self {
            version,
            status: digit(9) * 100 + digit(10) * 10 + digit(11),
            reason: line.get(BEFORE_REASON..line.len() - 2).unwrap_or_default(),
            len: start + line.len(),
        }))
    }
}

/// The fields that decide about body and connection.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    transfer_encoding: bool,
    chunked: bool,
    connection_close: bool,
    connection_keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
}

impl Fields {
    fn add(&mut self, name: &str, value: &[u8], input: &[u8]) -> Result<(), ParseFault> {
        let at = || diagnose::offset_of(value, input);
        match name.len() {
            // The runtimes' parser makes no difference between them.
            10 | 16
                if name.eq_ignore_ascii_case("connection")
                    || name.eq_ignore_ascii_case("proxy-connection") =>
            {
                for token in value.split(|&byte| byte == b',') {
                    let token = token.trim_ascii();
                    self.connection_close |= token.eq_ignore_ascii_case(b"close");
                    self.connection_keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    self.connection_upgrade |= token.eq_ignore_ascii_case(b"upgrade");
                }
            }
            7 if name.eq_ignore_ascii_case("upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case("content-length") => {
                if self.length.is_some() {
                    return Err(ParseFault::new(
                        "HPE_UNEXPECTED_CONTENT_LENGTH",
                        "Duplicate Content-Length",
                        at(),
                    ));
                }
                if self.transfer_encoding {
                    return Err(ParseFault::new(
                        "HPE_INVALID_CONTENT_LENGTH",
                        "Content-Length can't be present with Transfer-Encoding",
                        at(),
                    ));
                }
                self.length = Some(content_length(value).map_err(|reason| {
                    ParseFault::new("HPE_INVALID_CONTENT_LENGTH", reason, at())
                })?);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if self.length.is_some() {
                    return Err(ParseFault::new(
                        "HPE_INVALID_TRANSFER_ENCODING",
                        "Transfer-Encoding can't be present with Content-Length",
                        at(),
                    ));
                }
                if value.is_empty() {
                    return Err(ParseFault::new(
                        "HPE_INVALID_TRANSFER_ENCODING",
                        "Empty Transfer-Encoding",
                        at(),
                    ));
                }
                self.transfer_encoding = true;
                let last = value.rsplit(|&byte| byte == b',').next().unwrap_or(value);
                self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
        Ok(())
    }

    fn framing(&self, status: u16, bodiless: bool) -> Framing {
        if bodiless || (100..200).contains(&status) || status == 204 || status == 304 {
            return Framing::None;
        }
        match (self.chunked, self.length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        }
    }
}

fn content_length(value: &[u8]) -> Result<u64, &'static str> {
    if value.is_empty() {
        return Err("Empty Content-Length");
    }
    let mut length: u64 = 0;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return Err("Invalid character in Content-Length");
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(byte - b'0')))
            .ok_or("Content-Length overflow")?;
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 16 * 1024;

    fn head(input: &str) -> Head {
        parse(input.as_bytes(), false, SIZE)
            .expect("valid")
            .expect("complete")
    }

    fn fault(input: &[u8]) -> (&'static str, &'static str, usize) {
        let fault = parse(input, false, SIZE).expect_err("refused");
        (fault.code, fault.reason, fault.offset)
    }

    #[test]
    fn keeps_case_order_and_repeats_of_raw_headers() {
        let head = head("HTTP/1.1 200 Very Fine\r\nX-b: 1\r\nx-A:  2 \r\nX-b: 3\r\nContent-Length: 0\r\n\r\nrest");
        assert_eq!(
            String::from_utf8_lossy(&head.text),
            "X-b\x001\x00x-A\x002\x00X-b\x003\x00Content-Length\x000\x00Very Fine"
        );
        assert_eq!(head.framing, Framing::Length(0));
        assert!(head.keep_alive);
    }

    #[test]
    fn a_reason_of_obs_text_or_none_survives() {
        let raw = b"HTTP/1.1 200 \xe9t\xe9\r\nContent-Length: 0\r\n\r\n";
        let head = parse(raw, false, SIZE).unwrap().unwrap();
        assert!(head.text.ends_with(b"\0\xe9t\xe9"));
        let head = super::tests::head("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n");
        assert!(head.text.ends_with(b"\0"));
    }

    #[test]
    fn keep_alive_follows_version_connection_and_framing() {
        assert!(
            !head("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n")
                .keep_alive
        );
        assert!(!head("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").keep_alive);
        assert!(
            head("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n")
                .keep_alive
        );
        assert!(!head("HTTP/1.1 200 OK\r\n\r\n").keep_alive);
        assert!(head("HTTP/1.1 204 OK\r\n\r\n").keep_alive);
    }

    #[test]
    fn framing_follows_the_last_transfer_coding() {
        let te = |value: &str| {
            head(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: {value}\r\n\r\n"
            ))
            .framing
        };
        assert_eq!(te("gzip, Chunked"), Framing::Chunked);
        assert_eq!(te("chunked, gzip"), Framing::UntilClose);
        let head_only = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, SIZE);
        assert_eq!(head_only.unwrap().unwrap().framing, Framing::None);
    }

    #[test]
    fn conflicting_lengths_are_refused_as_the_runtime_refuses_them() {
        let two =
            |a: &str, b: &str| fault(format!("HTTP/1.1 200 OK\r\n{a}\r\n{b}\r\n\r\n").as_bytes());
        assert_eq!(
            two("Content-Length: 2", "Content-Length: 2").0,
            "HPE_UNEXPECTED_CONTENT_LENGTH"
        );
        assert_eq!(
            two("Content-Length: 2", "Transfer-Encoding: chunked").0,
            "HPE_INVALID_TRANSFER_ENCODING"
        );
        assert_eq!(
            two("Transfer-Encoding: chunked", "Content-Length: 2").0,
            "HPE_INVALID_CONTENT_LENGTH"
        );
        for bad in [
            "3, 3",
            "3x",
            "-3",
            "",
            "99999999999999999999999",
            "18446744073709551616",
        ] {
            assert_eq!(
                two(&format!("Content-Length: {bad}"), "x: y").0,
                "HPE_INVALID_CONTENT_LENGTH",
                "{bad}"
            );
        }
    }

    #[test]
    fn the_largest_length_is_the_largest_number_that_the_runtime_counts_to() {
        let head = head("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n");
        assert_eq!(head.framing, Framing::Length(u64::MAX));
    }

    #[test]
    fn a_head_over_the_limit_overflows_whether_complete_or_endless() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(SIZE));
        assert_eq!(fault(long.as_bytes()).0, "HPE_HEADER_OVERFLOW");
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(SIZE + 16));
        assert_eq!(fault(endless.as_bytes()).0, "HPE_HEADER_OVERFLOW");
    }

    #[test]
    fn more_headers_than_any_fixed_table_are_accepted() {
        let fields: String = (0..3000).map(|n| format!("a{n}: \r\n")).collect();
        let raw = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
        let head = parse(raw.as_bytes(), false, 1 << 20).unwrap().unwrap();
        assert_eq!(head.text.iter().filter(|&&byte| byte == 0).count(), 6002);
    }

    #[test]
    fn a_head_in_many_pieces_is_parsed_when_it_is_complete_or_refused() {
        let fields: String = (0..1000).map(|n| format!("a{n}: {n}\r\n")).collect();
        let raw = format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes();
        let mut progress = Progress::default();
        let parses =
            (1..=raw.len()).filter(|&end| progress.look(&raw[..end], SIZE, false) == Look::Parse);
        // Its first bytes, its first line and its end.
        assert_eq!(parses.count(), FIRST_BYTES);
        let bad = b"HTTP/1.1 200 OK\r\nFine: 1\r\nB@d: 2\r\n";
        let mut progress = Progress::default();
        assert!(progress.look(&bad[..bad.len() - 1], SIZE, true) == Look::Wait);
        assert!(progress.look(bad, SIZE, false) == Look::Parse);
    }

    #[test]
    fn short_fields_without_end_overflow_when_names_and_values_do() {
        let line = b"HTTP/1.1 200 OK\r\n";
        for (field, counted) in [
            ("a:\r\n", 1),
            ("a: b\r\n", 2),
            ("a:    b  \r\n", 4),
            ("a:   \r\n", 1),
        ] {
            // "OK" counts, too.
            let most = line.len() + (SIZE - 2).div_ceil(counted) * field.len();
            let raw = [line, field.repeat(SIZE).as_bytes()].concat();
            for step in [1_000, most] {
                let mut progress = Progress::default();
                for end in (step..most).step_by(step) {
                    assert_eq!(
                        progress.parse(&raw[..end], false, SIZE),
                        Ok(None),
                        "{field}"
                    );
                }
                let fault = progress.parse(&raw[..most], false, SIZE).unwrap_err();
                assert_eq!(fault.code, "HPE_HEADER_OVERFLOW", "{field}");
            }
        }
        let spaces = [
            line,
            format!("a:{}b\r\n", " ".repeat(100))
                .repeat(SIZE / 10)
                .as_bytes(),
        ]
        .concat();
        assert_eq!(fault(&spaces).0, "HPE_HEADER_OVERFLOW");
    }

    #[test]
    fn spaces_behind_a_value_are_counted_and_those_before_it_are_not() {
        let raw = |spaces: &str| {
            let fields = format!("a:{0}v{spaces}\r\nb:{0}\r\n", " ".repeat(2 * SIZE));
            format!("HTTP/1.1 200 OK\r\n{fields}\r\n").into_bytes()
        };
        // "OK", both names and "v" count, too.
        let most = SIZE - 5;
        for (spaces, fits) in [(most - 1, true), (most, false)] {
            for space in [" ", "\t"] {
                let raw = raw(&space.repeat(spaces));
                assert_eq!(parse(&raw, false, SIZE).is_ok(), fits, "{spaces}");
                let mut progress = Progress::default();
                let mut ends = (1_000..raw.len()).step_by(1_000).chain([raw.len()]);
                let is_fine = ends.all(|end| progress.parse(&raw[..end], false, SIZE).is_ok());
                assert_eq!(is_fine, fits, "{spaces} in pieces");
            }
        }
    }

    #[test]
    fn every_split_of_a_head_is_incomplete_until_its_last_byte() {
        let raw = b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\n";
        for end in 0..raw.len() {
            assert_eq!(parse(&raw[..end], false, SIZE), Ok(None), "{end}");
        }
        assert_eq!(parse(raw, false, SIZE).unwrap().unwrap().len, raw.len());
    }
}
