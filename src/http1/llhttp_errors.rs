//! Why a response was refused, in the words of the runtimes' parser (llhttp): `HPE_*` code and reason.
//!
//! Runs only when a message has been refused, so clarity beats speed. Codes and reasons were read off
//! Node 20–26, Bun 1.4 and Deno 2, which agree.

use crate::http1::version::Version;

/// A refusal: what JavaScript shows as `err.code`, `err.reason` and `err.bytesParsed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseFault {
    /// llhttp's code, such as `HPE_INVALID_CONSTANT`.
    pub code: &'static str,
    /// llhttp's reason.
    pub reason: &'static str,
    /// Bytes of the message before the fault.
    pub offset: usize,
}

impl ParseFault {
    /// A fault at `offset`.
    pub fn new(code: &'static str, reason: &'static str, offset: usize) -> Self {
        Self {
            code,
            reason,
            offset,
        }
    }

    /// The head is larger than `maxHeaderSize`.
    pub fn overflow(offset: usize) -> Self {
        Self::new("HPE_HEADER_OVERFLOW", "Header overflow", offset)
    }

    /// Bytes where a response should begin that are none.
    pub fn not_http() -> Self {
        Self::new("HPE_INVALID_CONSTANT", "Expected HTTP/, RTSP/ or ICE/", 0)
    }
}

/// Where `part`, a slice of `whole`, begins.
pub fn offset_of(part: &[u8], whole: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize)
}

/// The fault of a line that ends in LF alone, which httparse would accept.
pub fn bare_line_feed(head: &[u8]) -> Option<ParseFault> {
    let mut started = false;
    let mut lines = 0;
    for (at, &byte) in head.iter().enumerate() {
        if byte == b'\n' {
            if started && head[at - 1] != b'\r' {
                return Some(match (lines, head[at - 1]) {
                    (0, _) => ParseFault::new(
                        "HPE_CR_EXPECTED",
                        "Missing expected CR after response line",
                        at + 1,
                    ),
                    (_, b'\n') => ParseFault::new(
                        "HPE_INVALID_HEADER_TOKEN",
                        "Invalid header field char",
                        at + 1,
                    ),
                    _ => ParseFault::new(
                        "HPE_CR_EXPECTED",
                        "Missing expected CR after header value",
                        at + 1,
                    ),
                });
            }
            lines += usize::from(started);
        } else if byte != b'\r' {
            started = true;
        }
    }
    None
}

/// Explains httparse's refusal of a head.
pub fn head(input: &[u8], error: httparse::Error) -> ParseFault {
    let start = input
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(0);
    header_lines(input, start, error)
}

/// Why the first line, as far as it is there, is none; it begins at `start`.
pub fn status_line(line: &[u8], start: usize) -> Option<ParseFault> {
    let mut fault = status_line_fault(line)?;
    fault.offset += start;
    Some(fault)
}

fn status_line_fault(line: &[u8]) -> Option<ParseFault> {
    let prefix = b"HTTP/";
    if line.iter().zip(prefix).any(|(have, want)| have != want) {
        return Some(ParseFault::not_http());
    }
    let digit = |at: usize| line.get(at).map(u8::is_ascii_digit);
    if digit(5) == Some(false) {
        return Some(ParseFault::new(
            "HPE_INVALID_VERSION",
            "Invalid major version",
            5,
        ));
    }
    if line.get(6).is_some_and(|&byte| byte != b'.') {
        return Some(ParseFault::new("HPE_INVALID_VERSION", "Expected dot", 6));
    }
    if digit(7) == Some(false) {
        return Some(ParseFault::new(
            "HPE_INVALID_VERSION",
            "Invalid minor version",
            7,
        ));
    }
    let version = line.get(5..8)?;
    if Version::of(version).is_none() {
        return Some(ParseFault::new(
            "HPE_INVALID_VERSION",
            "Invalid HTTP version",
            8,
        ));
    }
    if line.get(8).is_some_and(|&byte| byte != b' ') {
        return Some(ParseFault::new(
            "HPE_INVALID_VERSION",
            "Expected space after version",
            8,
        ));
    }
    for at in 9..12 {
        if digit(at) == Some(false) {
            return Some(ParseFault::new(
                "HPE_INVALID_STATUS",
                "Invalid status code",
                at,
            ));
        }
    }
    if line
        .get(12)
        .is_some_and(|byte| !matches!(byte, b' ' | b'\r' | b'\n'))
    {
        return Some(ParseFault::new(
            "HPE_INVALID_STATUS",
            "Invalid response status",
            12,
        ));
    }
    match line
        .iter()
        .position(|byte| matches!(byte, b'\r' | b'\n' | 0))
    {
        // The runtimes' parser takes it. Here it stands between a head's parts.
        Some(at) if line[at] == 0 => Some(ParseFault::new(
            "HPE_INVALID_STATUS",
            "Invalid response status",
            at,
        )),
        Some(at) if line[at] == b'\n' => Some(ParseFault::new(
            "HPE_CR_EXPECTED",
            "Missing expected CR after response line",
            at + 1,
        )),
        Some(at) if line.get(at + 1).is_some_and(|&byte| byte != b'\n') => Some(ParseFault::new(
            "HPE_STRICT",
            "Expected LF after CR",
            at + 1,
        )),
        _ => None,
    }
}

fn header_lines(input: &[u8], start: usize, error: httparse::Error) -> ParseFault {
    let mut at = start;
    let mut first = true;
    while at < input.len() {
        let end = input[at..]
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(input.len(), |found| at + found);
        if !first {
            if let Some(fault) = header_line(&input[at..end], at) {
                return fault;
            }
        }
        if input.get(end).is_some() && input[end - 1] != b'\r' {
            let what = if first {
                "Missing expected CR after response line"
            } else {
                "Missing expected CR after header value"
            };
            return ParseFault::new("HPE_CR_EXPECTED", what, end + 1);
        }
        first = false;
        at = end + 1;
    }
    match error {
        httparse::Error::HeaderValue => ParseFault::new(
            "HPE_INVALID_HEADER_TOKEN",
            "Invalid header value char",
            input.len(),
        ),
        httparse::Error::Status => {
            ParseFault::new("HPE_INVALID_STATUS", "Invalid response status", start + 12)
        }
        _ => ParseFault::new(
            "HPE_INVALID_HEADER_TOKEN",
            "Invalid header token",
            input.len(),
        ),
    }
}

fn header_line(line: &[u8], at: usize) -> Option<ParseFault> {
    let token = |reason, offset| ParseFault::new("HPE_INVALID_HEADER_TOKEN", reason, at + offset);
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    if matches!(text.first(), Some(b' ' | b'\t')) {
        return Some(token("Unexpected whitespace after header value", 1));
    }
    let name_end = text
        .iter()
        .position(|&byte| !is_token(byte))
        .unwrap_or(text.len());
    if name_end == 0 || text.get(name_end) != Some(&b':') {
        return Some(token("Invalid header token", name_end));
    }
    let value = &text[name_end + 1..];
    let bad = value
        .iter()
        .position(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)?;
    let offset = name_end + 1 + bad;
    Some(if value[bad] == b'\r' {
        ParseFault::new(
            "HPE_LF_EXPECTED",
            "Missing expected LF after header value",
            at + offset + 1,
        )
    } else {
        token("Invalid header value char", offset)
    })
}

/// Whether a byte may be part of a name (RFC 9110, section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Explains httparse's refusal of a trailer section.
pub fn trailers(section: &[u8], error: httparse::Error) -> ParseFault {
    let mut at = 0;
    for line in section.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(fault) = (text != b"\r").then(|| header_line(text, at)).flatten() {
            return fault;
        }
        at += line.len();
    }
    header_lines(section, 0, error)
}

#[cfg(test)]
mod tests {
    use crate::http1::head::parse;

    #[test]
    fn refusals_have_the_runtimes_code_reason_and_offset() {
        let ok = "HTTP/1.1 200 OK\r\n";
        let cases: &[(&str, &str, &str, usize)] = &[
            (
                "garbage\r\n\r\n",
                "HPE_INVALID_CONSTANT",
                "Expected HTTP/, RTSP/ or ICE/",
                0,
            ),
            (
                "HTTP/3.1 200 OK\r\n\r\n",
                "HPE_INVALID_VERSION",
                "Invalid HTTP version",
                8,
            ),
            (
                "HTTP/x.1 200 OK\r\n\r\n",
                "HPE_INVALID_VERSION",
                "Invalid major version",
                5,
            ),
            (
                "HTTP/1.1\r\n\r\n",
                "HPE_INVALID_VERSION",
                "Expected space after version",
                8,
            ),
            (
                "HTTP/1.1 2x0 OK\r\n\r\n",
                "HPE_INVALID_STATUS",
                "Invalid status code",
                10,
            ),
            (
                "HTTP/1.1 2000 OK\r\n\r\n",
                "HPE_INVALID_STATUS",
                "Invalid response status",
                12,
            ),
            (
                "HTTP/1.1  200 OK\r\n\r\n",
                "HPE_INVALID_STATUS",
                "Invalid status code",
                9,
            ),
            (
                "HTTP/1.1 200 OK\nx: y\n\n",
                "HPE_CR_EXPECTED",
                "Missing expected CR after response line",
                16,
            ),
            (
                "{ok}b@d: 1\r\n\r\n",
                "HPE_INVALID_HEADER_TOKEN",
                "Invalid header token",
                18,
            ),
            (
                "{ok}foo : 1\r\n\r\n",
                "HPE_INVALID_HEADER_TOKEN",
                "Invalid header token",
                20,
            ),
            (
                "{ok}foo\r\n\r\n",
                "HPE_INVALID_HEADER_TOKEN",
                "Invalid header token",
                20,
            ),
            (
                "{ok}: x\r\n\r\n",
                "HPE_INVALID_HEADER_TOKEN",
                "Invalid header token",
                17,
            ),
            (
                "{ok}foo: a\x01b\r\n\r\n",
                "HPE_INVALID_HEADER_TOKEN",
                "Invalid header value char",
                23,
            ),
            (
                "{ok}foo: a\rb\r\n\r\n",
                "HPE_LF_EXPECTED",
                "Missing expected LF after header value",
                24,
            ),
            (
                "{ok}Content-Length: 0\n\r\n",
                "HPE_CR_EXPECTED",
                "Missing expected CR after header value",
                35,
            ),
            (
                "{ok}foo: a\r\n b\r\n\r\n",
                "HPE_INVALID_HEADER_TOKEN",
                "Unexpected whitespace after header value",
                26,
            ),
        ];
        for (input, code, reason, offset) in cases {
            let input = input.replace("{ok}", ok);
            let fault = parse(input.as_bytes(), false, 16384).expect_err(&input);
            assert_eq!((fault.code, fault.reason), (*code, *reason), "{input:?}");
            assert!(
                fault.offset.abs_diff(*offset) <= 1,
                "{input:?}: {} for {offset}",
                fault.offset
            );
        }
    }
}
