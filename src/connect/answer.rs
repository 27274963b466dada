//! What a proxy answers to CONNECT: a head that grows, each of whose lines is looked at once.

/// Fields that an answer to CONNECT may have.
const MOST_FIELDS: usize = 128;

/// Of a first line that is not whole, so many bytes are looked at: what is no HTTP is refused before its first line ends.
const FIRST_BYTES: usize = 32;

/// What an answer has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Partial,
    /// The first head that is not informational, and where it ends.
    Head {
        status: u16,
        len: usize,
    },
    Garbage,
}

/// How far an answer has been looked at.
#[derive(Default)]
pub(super) struct Answering {
    /// Bytes in which the end of a line was looked for.
    scanned: usize,
    /// Where the line begins whose end has not come.
    line: usize,
    /// Bytes of a first line that were looked at before its end has come.
    tried: usize,
    /// What the head's first line says; `None`: it has not come.
    status: Option<u16>,
    fields: usize,
}

impl Answering {
    /// What `read` is, which has grown since the last time. Informational heads are passed over.
    pub(super) fn answer(&mut self, read: &[u8]) -> Answer {
        while let Some(line) = self.next_line(read) {
            match self.status {
                // Empty lines before a head are none of it.
                None if is_empty(line) => {}
                None => match status(line) {
                    Ok(Some(status)) => (self.status, self.fields) = (Some(status), 0),
                    Ok(None) | Err(_) => return Answer::Garbage,
                },
                Some(100..=199) if is_empty(line) => (self.status, self.tried) = (None, 0),
                Some(status) if is_empty(line) => {
                    let len = self.line;
                    return Answer::Head { status, len };
                }
                Some(_) => {
                    self.fields += 1;
                    // Room for more than its one field: what follows it is not there.
                    let mut fields = [httparse::EMPTY_HEADER; 2];
                    if self.fields > MOST_FIELDS
                        || httparse::parse_headers(line, &mut fields).is_err()
                    {
                        return Answer::Garbage;
                    }
                }
            }
        }
        let begun = &read[self.line..];
        if self.status.is_none() && self.tried < FIRST_BYTES {
            self.tried = begun.len();
            if status(begun).is_err() {
                return Answer::Garbage;
            }
        }
        Answer::Partial
    }

    /// The next line whose end has come, with that.
    fn next_line<'b>(&mut self, read: &'b [u8]) -> Option<&'b [u8]> {
        let found = read[self.scanned..].iter().position(|&byte| byte == b'\n');
        let Some(found) = found else {
            self.scanned = read.len();
            return None;
        };
        let end = self.scanned + found + 1;
        let line = &read[self.line..end];
        (self.scanned, self.line) = (end, end);
        Some(line)
    }
}

fn is_empty(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// What a first line says, as far as it has come.
fn status(line: &[u8]) -> Result<Option<u16>, httparse::Error> {
    let mut response = httparse::Response::new(&mut []);
    response.parse(line)?;
    Ok(response.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it was read before it was looked at line by line: by httparse, whole.
    fn of_the_whole(read: &[u8]) -> Answer {
        let mut skipped = 0;
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
            let mut response = httparse::Response::new(&mut fields);
            match response.parse(&read[skipped..]) {
                Ok(httparse::Status::Partial) => return Answer::Partial,
                Ok(httparse::Status::Complete(len)) => match response.code {
                    Some(100..=199) => skipped += len,
                    code => {
                        return Answer::Head {
                            status: code.unwrap_or_default(),
                            len: skipped + len,
                        };
                    }
                },
                Err(_) => return Answer::Garbage,
            }
        }
    }

    /// What comes of `raw` if so many bytes come at a time.
    fn in_pieces(raw: &[u8], step: usize) -> Answer {
        let mut answering = Answering::default();
        let ends = (step..raw.len()).step_by(step).chain([raw.len()]);
        ends.map(|end| answering.answer(&raw[..end]))
            .find(|answer| *answer != Answer::Partial)
            .unwrap_or(Answer::Partial)
    }

    #[test]
    fn an_answer_is_the_same_however_it_was_split() {
        let fields = |count: usize| {
            let fields: String = (0..count).map(|n| format!("a{n}: {n}\r\n")).collect();
            format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
        };
        let of_many = [fields(MOST_FIELDS), fields(MOST_FIELDS + 1)];
        let answers = [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200\r\n\r\n",
            "HTTP/1.1 200 \n\n",
            "\r\n\r\n\nHTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\nEmpty:\r\n\r\nA page",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nLink: a\r\n\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            "HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
            "HTTP/1.1 200 OK\r\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/3.1 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH_9.6\r\n",
            "\r\rHTTP/1.1 200 OK\r\n\r\n",
            "<html>",
            "HTTP/1.1 200 OK\r\na: b\r\n",
            "",
        ];
        for raw in answers
            .iter()
            .copied()
            .chain(of_many.iter().map(String::as_str))
        {
            let whole = of_the_whole(raw.as_bytes());
            for step in 1..=raw.len().max(1) {
                assert_eq!(in_pieces(raw.as_bytes(), step), whole, "{raw:?} by {step}");
            }
        }
    }

    #[test]
    fn what_is_no_http_is_refused_before_its_first_line_ends() {
        let mut answering = Answering::default();
        assert_eq!(answering.answer(b"HTT"), Answer::Partial);
        assert_eq!(
            answering.answer(b"HTTP is what this is not"),
            Answer::Garbage
        );
        let page = "<p>".repeat(FIRST_BYTES);
        assert_eq!(
            Answering::default().answer(page.as_bytes()),
            Answer::Garbage
        );
    }

    /// Were each byte looked at with all before it, this would take minutes.
    #[test]
    fn an_answer_that_comes_byte_by_byte_is_looked_at_once() {
        let long = "x".repeat(1 << 20);
        for raw in [
            format!("HTTP/1.1 200 {long}\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\na: {long}\r\n\r\n"),
            format!("{}HTTP/1.1 200 OK\r\n\r\n", "\r\n".repeat(1 << 19)),
            format!(
                "{}HTTP/1.1 200 OK\r\n\r\n",
                "HTTP/1.1 100\r\n\r\n".repeat(1 << 16)
            ),
        ] {
            let whole = Answer::Head {
                status: 200,
                len: raw.len(),
            };
            assert_eq!(in_pieces(raw.as_bytes(), 1), whole);
        }
    }
}
