//! The I/O under hyper: what makes the bytes on the wire ours while hyper frames the response.
//!
//! * Writes by hyper vanish; the exchange writes the request's own serialized bytes straight to the transport.
//! * A response head is parsed here, raw, and hyper gets a minimal equivalent (status and framing only), so names
//!   keep their case and order, 1xx heads come through, and hyper's table sizes bound nothing.
//! * Body bytes go to hyper untouched; while no exchange is open every byte does, which hyper takes as an error: an
//!   idle connection that talks is closed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::diagnose::ParseFault;
use super::head::{self, Framing, Head};
use crate::config::MAX_INFORMATIONAL;

/// Raw bytes kept of the end of a chunked body: what a trailer section can be found in.
const TAIL: usize = 16 * 1024;
const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Heads are read through one buffer of the I/O thread, so an idle connection owns none.
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// Why reading stopped for good.
#[derive(Debug)]
pub enum Fault {
    /// The peer closed its side.
    Eof,
    /// The head is none, in llhttp's words.
    Parse(ParseFault),
    /// The transport failed.
    Io(io::Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Idle,
    Head,
    Body { chunked: bool },
}

/// One connection's transport and where it is in its message.
pub struct Wire<T> {
    /// The socket.
    pub transport: T,
    mode: Mode,
    bodiless: bool,
    max_header_size: usize,
    raw: BytesMut,
    for_hyper: BytesMut,
    heads: VecDeque<Head>,
    informational: u32,
    tail: Vec<u8>,
    fault: Option<Fault>,
    answered: bool,
    bytes_read: u64,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    /// An idle connection.
    pub fn new(transport: T) -> Self {
        Self {
            transport,
            mode: Mode::Idle,
            bodiless: false,
            max_header_size: 0,
            raw: BytesMut::new(),
            for_hyper: BytesMut::new(),
            heads: VecDeque::new(),
            informational: 0,
            tail: Vec::new(),
            fault: None,
            answered: false,
            bytes_read: 0,
        }
    }

    /// The next bytes belong to a response to a request of this kind.
    pub fn begin(&mut self, bodiless: bool, max_header_size: usize) {
        self.mode = Mode::Head;
        self.bodiless = bodiless;
        self.max_header_size = max_header_size;
        self.informational = 0;
        self.tail.clear();
        self.answered = false;
    }

    /// The message has ended: what comes now is unsolicited.
    pub fn end(&mut self) {
        self.mode = Mode::Idle;
    }

    /// The next head that has come in, informational ones first.
    pub fn next_head(&mut self) -> Option<Head> {
        self.heads.pop_front()
    }

    /// Whether a byte of the response has come.
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// Whether reading has stopped.
    pub fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Bytes read of the transport so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Why reading stopped; taken once.
    pub fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// The trailer section as sent, `name\0value…`, given the names hyper decoded.
    pub fn trailers(&self, decoded: &http::HeaderMap) -> Vec<u8> {
        raw_trailers(&self.tail, decoded)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        SCRATCH_BUFFER.with_borrow_mut(|scratch| loop {
            let mut read = ReadBuf::new(scratch);
            match Pin::new(&mut self.transport).poll_read(cx, &mut read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    self.fault = Some(Fault::Io(error));
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) => {}
            }
            let fresh = read.filled();
            if fresh.is_empty() {
                self.fault = Some(Fault::Eof);
                return Poll::Ready(Ok(()));
            }
            self.answered = true;
            self.bytes_read += fresh.len() as u64;
            // A head can only end, or be refused, at a line's end or in its first bytes: a trickle is not parsed anew for each byte.
            let worth_parsing = self.raw.len() < 32
                || fresh.contains(&b'\n')
                || self.raw.len() + fresh.len() > self.max_header_size;
            let gathered;
            let mut input = if self.raw.is_empty() {
                fresh
            } else {
                self.raw.extend_from_slice(fresh);
                gathered = std::mem::take(&mut self.raw);
                &gathered[..]
            };
            if !worth_parsing {
                self.raw = BytesMut::from(input);
                continue;
            }
            loop {
                match head::parse(input, self.bodiless, self.max_header_size) {
                    Err(fault) => {
                        self.fault = Some(Fault::Parse(fault));
                        return Poll::Ready(Ok(()));
                    }
                    Ok(None) => {
                        self.raw = BytesMut::from(input);
                        break;
                    }
                    Ok(Some(head)) if head.is_informational() => {
                        input.advance(head.len);
                        self.informational += 1;
                        if self.informational > MAX_INFORMATIONAL {
                            self.fault = Some(Fault::Parse(ParseFault::overflow(0)));
                            return Poll::Ready(Ok(()));
                        }
                        self.heads.push_back(head);
                        if input.is_empty() {
                            break;
                        }
                    }
                    Ok(Some(head)) => {
                        let rest = &input[head.len..];
                        self.mode = Mode::Body {
                            chunked: head.framing == Framing::Chunked,
                        };
                        self.keep_tail(rest);
                        let minimal = minimal_head(&head);
                        self.heads.push_back(head);
                        for piece in [&minimal[..], rest] {
                            let fits = piece.len().min(out.remaining());
                            out.put_slice(&piece[..fits]);
                            self.for_hyper.extend_from_slice(&piece[fits..]);
                        }
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        })
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.for_hyper.is_empty() {
            let fits = self.for_hyper.len().min(out.remaining());
            out.put_slice(&self.for_hyper.split_to(fits));
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        match Pin::new(&mut self.transport).poll_read(cx, out) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => {
                let seen = io::Error::from(error.kind());
                self.fault = Some(Fault::Io(error));
                return Poll::Ready(Err(seen));
            }
            Poll::Ready(Ok(())) => {}
        }
        if out.filled().len() == before {
            self.fault = Some(Fault::Eof);
        } else {
            let filled = out.filled();
            self.bytes_read += (filled.len() - before) as u64;
            self.keep_tail(&filled[before..]);
        }
        Poll::Ready(Ok(()))
    }

    fn keep_tail(&mut self, fresh: &[u8]) {
        if self.mode != (Mode::Body { chunked: true }) {
            return;
        }
        if fresh.len() >= TAIL {
            self.tail.clear();
        } else if self.tail.len() + fresh.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        self.tail
            .extend_from_slice(&fresh[fresh.len().saturating_sub(TAIL)..]);
    }
}

/// The head hyper sees: what it needs to frame the body, and nothing that would make it close the connection.
fn minimal_head(head: &Head) -> Vec<u8> {
    match head.framing {
        // Without a length hyper would read until the peer closes, whatever the status.
        Framing::None | Framing::Length(0) => {
            b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n".to_vec()
        }
        Framing::Length(length) => {
            format!("HTTP/1.1 200 \r\ncontent-length: {length}\r\n\r\n").into_bytes()
        }
        Framing::Chunked => b"HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        Framing::UntilClose => b"HTTP/1.1 200 \r\n\r\n".to_vec(),
    }
}

fn raw_trailers(tail: &[u8], decoded: &http::HeaderMap) -> Vec<u8> {
    let mut fields: Vec<(&[u8], &[u8])> = Vec::new();
    let section = tail
        .strip_suffix(b"\r\n\r\n")
        .map(|rest| rest.split(|&byte| byte == b'\n').rev());
    for line in section.into_iter().flatten().take(decoded.len()) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            break;
        };
        let known =
            std::str::from_utf8(&line[..colon]).is_ok_and(|name| decoded.contains_key(name));
        if !known {
            break;
        }
        fields.push((&line[..colon], line[colon + 1..].trim_ascii()));
    }
    fields.reverse();
    if fields.len() != decoded.len() {
        // Bytes came after the message, so its end is not the tail's: hyper's lower-case names are all there is.
        fields = decoded
            .iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
            .collect();
    }
    let mut text = Vec::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push(0);
        }
        text.extend_from_slice(name);
        text.push(0);
        text.extend_from_slice(value);
    }
    text
}

/// hyper's end of a [`Wire`].
pub struct UnderHyper<T>(pub Rc<RefCell<Wire<T>>>);

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for UnderHyper<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        match wire.mode {
            Mode::Head => wire.poll_head(cx, out),
            Mode::Idle | Mode::Body { .. } => wire.poll_body(cx, out),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UnderHyper<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Closing is the connection task's: it drops the transport.
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> http::HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn trailers_keep_case_order_and_repeats() {
        let tail = b"3\r\nabc\r\n0\r\nX-B: 1\r\nx-A:  2 \r\n\r\n";
        let text = raw_trailers(tail, &map(&[("x-a", "2"), ("x-b", "1")]));
        assert_eq!(text, b"X-B\x001\x00x-A\x002");
    }

    #[test]
    fn trailers_fall_back_to_decoded_names_when_bytes_follow() {
        let tail = b"0\r\nX-B: 1\r\n\r\nJUNK";
        assert_eq!(raw_trailers(tail, &map(&[("x-b", "1")])), b"x-b\x001");
    }
}
