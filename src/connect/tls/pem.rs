//! PEM as OpenSSL reads it: lines before and between blocks are passed over, and so are blanks at the ends of lines and a byte
//! order mark before a block. The first block that is malformed ends the reading.

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// The blocks of a text, one after another.
pub(super) struct Blocks<'a> {
    rest: &'a [u8],
    skips_marks: bool,
}

/// Its label and its bytes.
pub(super) type Block<'a> = (&'a [u8], Vec<u8>);

/// A block that can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

impl<'a> Blocks<'a> {
    /// `skips_marks`: a byte order mark does not belong to its line, which not every runtime knows.
    pub(super) fn of(text: &'a [u8], skips_marks: bool) -> Self {
        Self {
            rest: text,
            skips_marks,
        }
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        let len = line.iter().rposition(|&byte| byte > b' ');
        Some(&line[..len.map_or(0, |last| last + 1)])
    }

    fn block(&mut self, label: &'a [u8]) -> Result<Block<'a>, Malformed> {
        let mut text = Vec::new();
        loop {
            let line = self.line().ok_or(Malformed)?;
            // After a blank line or a field, what follows is encrypted or makes no sense.
            if (line.is_empty() && !text.is_empty()) || line.contains(&b':') {
                return Err(Malformed);
            }
            if let Some(end) = line.strip_prefix(END) {
                let same = end.strip_suffix(DASHES) == Some(label);
                let bytes = if same { decoded(&text) } else { None };
                return bytes.map(|bytes| (label, bytes)).ok_or(Malformed);
            }
            text.extend(line);
        }
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.skips_marks {
            let text = self.rest;
            self.rest = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        loop {
            let line = self.line()?;
            let label = line.strip_prefix(BEGIN);
            if let Some(label) = label.and_then(|label| label.strip_suffix(DASHES)) {
                return Some(self.block(label));
            }
        }
    }
}

/// Base64 in which there may be blanks.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut padding) = (0_u32, 0, 0);
    for &byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if padding < 2 => {
                padding += 1;
                0
            }
            _ => return None,
        };
        if padding > 0 && byte != b'=' {
            return None;
        }
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count % 4 == 0 {
            bytes.extend(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    bytes.truncate(bytes.len().checked_sub(padding)?);
    (count % 4 == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<Result<(String, Vec<u8>), Malformed>> {
        Blocks::of(text.as_bytes(), true)
            .map(|block| block.map(|(label, bytes)| (String::from_utf8_lossy(label).into(), bytes)))
            .collect()
    }

    #[test]
    fn blocks_are_read_through_what_stands_around_them() {
        let text = "\u{feff}-----BEGIN A-----\t\r\naGVs\t \nbG8=\r\n-----END A-----  \nwords\n-----BEGIN B-----\n\n-----END B-----";
        assert_eq!(
            labels(text),
            [
                Ok(("A".into(), b"hello".to_vec())),
                Ok(("B".into(), Vec::new()))
            ]
        );
        assert_eq!(labels(" -----BEGIN A-----\naGVs\n-----END A-----"), []);
    }

    #[test]
    fn blocks_that_are_malformed_are_told() {
        for text in [
            "-----BEGIN A-----\naGVs\n-----END B-----",
            "-----BEGIN A-----\naGVs\n",
            "-----BEGIN A-----\naGV\n-----END A-----",
            "-----BEGIN A-----\na=Vs\n-----END A-----",
            "-----BEGIN A-----\naGVs\n\naGVs\n-----END A-----",
            "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\naGVs\n-----END A-----",
            "-----BEGIN A-----\na%Vs\n-----END A-----",
        ] {
            assert_eq!(labels(text)[0], Err(Malformed), "{text}");
        }
    }
}
