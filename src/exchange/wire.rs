//! The I/O under hyper: what makes the bytes on the wire ours while hyper frames the response.
//!
//! * Writes by hyper vanish; the exchange writes the request's own serialized bytes straight to the transport.
//! * A response head is parsed here, raw, and hyper gets a minimal equivalent (status and framing only), so names
//!   keep their case and order, 1xx heads come through, and hyper's table sizes bound nothing.
//! * Body bytes go to hyper untouched; while no exchange is open every byte does, which hyper takes as an error: an
//!   idle connection that talks is closed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chunks::{Chunks, Scan};
use super::diagnose::ParseFault;
use super::head::{self, Framing, Head, Progress};
use crate::config::{MAX_INFORMATIONAL, TURN_BYTES};

const SCRATCH: usize = 64 * 1024;

thread_local! {
    /// Heads are read through one buffer of the I/O thread, so an idle connection owns none.
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// What a read counts for at least: it costs a system call, however little it brings.
const LEAST_READ: usize = 1024;

/// What an idle connection may be in work, as [`Wire::counting`] counts it: a few hundred TLS sessions for later, where servers
/// send two.
const MOST_NOISE: usize = 2 * TURN_BYTES;

/// Why reading stopped for good.
#[derive(Debug)]
pub enum Fault {
    /// The peer closed its side.
    Eof,
    /// An idle connection's peer says so much that is no data that it isn't worth hearing.
    Noise,
    /// The message is none, in llhttp's words; what had just been read.
    Parse(ParseFault, Bytes),
    /// The transport failed.
    Io(io::Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Just opened, for an exchange that is about to begin: whatever comes is for it, so nothing is read before.
    Fresh,
    Idle,
    Head,
    Body,
}

/// One connection's transport and where it is in its message.
pub struct Wire<T> {
    /// The socket.
    pub transport: T,
    mode: Mode,
    bodiless: bool,
    max_header_size: usize,
    /// The head that is incomplete so far.
    raw: BytesMut,
    progress: Progress,
    /// Empty lines before it.
    leading: usize,
    for_hyper: BytesMut,
    heads: VecDeque<Head>,
    informational: u32,
    /// Bytes of a body of known length still to come.
    remaining: u64,
    /// The framing of a chunked body.
    chunks: Option<Chunks>,
    /// Bytes that came along with a message, after its end.
    surplus: Vec<u8>,
    /// What had just been read when surplus bytes or trailers turned up.
    packet: Bytes,
    fault: Option<Fault>,
    answered: bool,
    bytes_read: u64,
    /// What may be read before others have their turn.
    budget: usize,
    /// What the transport has had to do for it since it was last asked, if that is more than its bytes tell.
    work_of: fn(&mut T) -> usize,
    /// What reading has been in work, without any data, since the last message.
    noise: usize,
    /// hyper has written since it was last asked.
    hyper_wrote: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    /// A connection that was just opened.
    pub fn new(transport: T) -> Self {
        Self {
            transport,
            mode: Mode::Fresh,
            bodiless: false,
            max_header_size: 0,
            raw: BytesMut::new(),
            progress: Progress::default(),
            leading: 0,
            for_hyper: BytesMut::new(),
            heads: VecDeque::new(),
            informational: 0,
            remaining: 0,
            chunks: None,
            surplus: Vec::new(),
            packet: Bytes::new(),
            fault: None,
            answered: false,
            bytes_read: 0,
            budget: TURN_BYTES,
            work_of: |_| 0,
            noise: 0,
            hyper_wrote: false,
        }
    }

    /// With a transport that tells, in bytes, what its reads were in work.
    pub fn counting(self, work_of: fn(&mut T) -> usize) -> Self {
        Self { work_of, ..self }
    }

    /// A turn begins: so much may be read until the next one.
    pub fn begin_turn(&mut self) {
        self.budget = TURN_BYTES;
    }

    /// Reads of the transport, unless this turn has read enough: then the task is woken for the next one.
    fn poll_transport(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.budget == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = out.filled().len();
        let read = Pin::new(&mut self.transport).poll_read(cx, out);
        let mut work = (self.work_of)(&mut self.transport);
        if read.is_ready() {
            let fresh = out.filled().len() - before;
            work = work.max(fresh).max(LEAST_READ);
        }
        self.budget = self.budget.saturating_sub(work);
        if self.mode == Mode::Idle {
            self.noise += work;
        }
        read
    }

    /// Whether hyper has written since this was last asked.
    pub fn take_hyper_wrote(&mut self) -> bool {
        std::mem::take(&mut self.hyper_wrote)
    }

    /// Whether nothing has been read yet, so that bytes or an end which are there already are the first exchange's.
    pub fn is_fresh(&self) -> bool {
        self.mode == Mode::Fresh
    }

    /// The exchange that it was opened for needs it no more: what comes now is unsolicited.
    pub fn idle(&mut self) {
        if self.mode == Mode::Fresh {
            self.mode = Mode::Idle;
        }
    }

    /// The next bytes belong to a response to a request of this kind.
    pub fn begin(&mut self, bodiless: bool, max_header_size: usize) {
        self.mode = Mode::Head;
        self.bodiless = bodiless;
        self.max_header_size = max_header_size;
        self.informational = 0;
        self.leading = 0;
        self.chunks = None;
        self.surplus.clear();
        self.packet.clear();
        self.answered = false;
        self.noise = 0;
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

    /// What came along with the message after its end.
    pub fn surplus(&self) -> &[u8] {
        &self.surplus
    }

    /// What that, or the trailer section, was read with.
    pub fn packet(&self) -> Bytes {
        self.packet.clone()
    }

    /// Informational heads of the message so far.
    pub fn informational(&self) -> u32 {
        self.informational
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

    /// The trailer section as sent, `name\0value…`.
    ///
    /// # Errors
    ///
    /// The fault of a field that is none.
    pub fn trailers(&self) -> Result<Vec<u8>, ParseFault> {
        self.chunks.as_ref().map_or(Ok(Vec::new()), Chunks::fields)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        SCRATCH_BUFFER.with_borrow_mut(|scratch| loop {
            let mut read = ReadBuf::new(scratch);
            match self.poll_transport(cx, &mut read) {
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
            let packet = fresh;
            let gathered;
            let mut input = if self.raw.is_empty() {
                fresh
            } else {
                self.raw.extend_from_slice(fresh);
                let (raw, most) = (&self.raw[..], self.max_header_size);
                if !self.progress.is_worth_parsing(raw, most) {
                    continue;
                }
                gathered = std::mem::take(&mut self.raw);
                &gathered[..]
            };
            loop {
                let empty = input
                    .iter()
                    .take_while(|byte| matches!(byte, b'\r' | b'\n'));
                let empty = empty.count();
                input.advance(empty);
                self.leading += empty;
                if self.leading > self.max_header_size {
                    let fault = ParseFault::overflow(packet.len());
                    self.fault = Some(Fault::Parse(fault, Bytes::copy_from_slice(packet)));
                    return Poll::Ready(Ok(()));
                }
                if input.is_empty() {
                    break;
                }
                match head::parse(input, self.bodiless, self.max_header_size) {
                    Err(fault) => {
                        self.fault = Some(Fault::Parse(fault, Bytes::copy_from_slice(packet)));
                        return Poll::Ready(Ok(()));
                    }
                    Ok(None) => {
                        self.progress = Progress::of(input);
                        self.raw = BytesMut::from(input);
                        break;
                    }
                    Ok(Some(head)) if head.is_informational() => {
                        input.advance(head.len);
                        self.informational += 1;
                        if self.informational > MAX_INFORMATIONAL {
                            let packet = Bytes::copy_from_slice(packet);
                            self.fault = Some(Fault::Parse(ParseFault::overflow(0), packet));
                            return Poll::Ready(Ok(()));
                        }
                        self.heads.push_back(head);
                    }
                    Ok(Some(head)) => {
                        let rest = &input[head.len..];
                        self.mode = Mode::Body;
                        match head.framing {
                            Framing::Length(length) => self.remaining = length,
                            Framing::Chunked => {
                                self.chunks = Some(Chunks::new(self.max_header_size));
                            }
                            Framing::None => self.remaining = 0,
                            Framing::UntilClose => self.remaining = u64::MAX,
                        }
                        write_minimal_head(&mut self.for_hyper, &head);
                        self.heads.push_back(head);
                        self.pass(rest, packet);
                        self.hand_out(out);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        })
    }

    /// Queues body bytes for hyper, as far as their framing is in order and without trailers. They came in `packet`.
    fn pass(&mut self, bytes: &[u8], packet: &[u8]) {
        let Some(chunks) = &mut self.chunks else {
            let passed = self.remaining.min(bytes.len() as u64) as usize;
            self.remaining -= passed as u64;
            self.for_hyper.extend_from_slice(&bytes[..passed]);
            self.surplus.extend_from_slice(&bytes[passed..]);
            if passed < bytes.len() {
                self.packet = Bytes::copy_from_slice(packet);
            }
            return;
        };
        let start = self.for_hyper.len();
        let scan = chunks.scan(bytes);
        let passed = match &scan {
            Scan::Pass => bytes,
            Scan::TrailerFrom(at) | Scan::Refused(at, _) => &bytes[..*at],
        };
        self.for_hyper.extend_from_slice(passed);
        let kept = chunks.strip(&mut self.for_hyper[start..]);
        self.for_hyper.truncate(start + kept);
        match scan {
            Scan::Pass => {}
            Scan::TrailerFrom(at) => {
                let section = &bytes[at..];
                if section != b"\r\n" {
                    self.packet = Bytes::copy_from_slice(packet);
                }
                match chunks.trailer(section) {
                    Ok(None) => {}
                    Ok(Some(taken)) => {
                        self.for_hyper.extend_from_slice(b"\r\n");
                        self.surplus.extend_from_slice(&section[taken..]);
                    }
                    Err(fault) => {
                        self.fault = Some(Fault::Parse(fault, Bytes::copy_from_slice(packet)));
                    }
                }
            }
            Scan::Refused(_, fault) => {
                self.fault = Some(Fault::Parse(fault, Bytes::copy_from_slice(packet)));
            }
        }
    }

    fn hand_out(&mut self, out: &mut ReadBuf<'_>) {
        let fits = self.for_hyper.len().min(out.remaining());
        out.put_slice(&self.for_hyper[..fits]);
        self.for_hyper.advance(fits);
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.for_hyper.is_empty() {
                self.hand_out(out);
                return Poll::Ready(Ok(()));
            }
            if matches!(self.fault, Some(Fault::Parse(..))) || !self.surplus.is_empty() {
                // What was in order has passed; hyper takes this for the peer's end.
                return Poll::Ready(Ok(()));
            }
            let before = out.filled().len();
            match self.poll_transport(cx, out) {
                Poll::Pending if self.noise >= MOST_NOISE => {
                    self.fault = Some(Fault::Noise);
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    let seen = io::Error::from(error.kind());
                    self.fault = Some(Fault::Io(error));
                    return Poll::Ready(Err(seen));
                }
                Poll::Ready(Ok(())) => {}
            }
            let fresh = out.filled().len() - before;
            self.bytes_read += fresh as u64;
            if fresh == 0 {
                self.fault = Some(Fault::Eof);
                return Poll::Ready(Ok(()));
            }
            if self.mode == Mode::Idle {
                return Poll::Ready(Ok(()));
            }
            let scan = match &mut self.chunks {
                Some(chunks) => chunks.scan(&out.filled()[before..]),
                None if fresh as u64 <= self.remaining => {
                    self.remaining -= fresh as u64;
                    Scan::Pass
                }
                None => {
                    let passed = self.remaining as usize;
                    self.remaining = 0;
                    self.packet = Bytes::copy_from_slice(&out.filled()[before..]);
                    self.surplus
                        .extend_from_slice(&out.filled()[before + passed..]);
                    out.set_filled(before + passed);
                    Scan::Pass
                }
            };
            let as_sent = match scan {
                Scan::Pass => Vec::new(),
                _ => out.filled()[before..].to_vec(),
            };
            let passed = match &scan {
                Scan::Pass => out.filled().len() - before,
                Scan::TrailerFrom(at) | Scan::Refused(at, _) => *at,
            };
            if let Some(chunks) = &self.chunks {
                let kept = chunks.strip(&mut out.filled_mut()[before..before + passed]);
                out.set_filled(before + kept);
            }
            match scan {
                Scan::Pass => {}
                Scan::TrailerFrom(at) => self.pass(&as_sent[at..], &as_sent),
                Scan::Refused(_, fault) => {
                    self.fault = Some(Fault::Parse(fault, as_sent.into()));
                }
            }
            if out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// The head hyper sees: what it needs to frame the body, and nothing that would make it close the connection.
fn write_minimal_head(to: &mut BytesMut, head: &Head) {
    to.extend_from_slice(b"HTTP/1.1 200 \r\n");
    let length = match head.framing {
        // Without a length hyper would read until the peer closes, whatever the status.
        Framing::None => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked => {
            to.extend_from_slice(b"transfer-encoding: chunked\r\n");
            None
        }
        Framing::UntilClose => None,
    };
    if let Some(length) = length {
        // Writing to memory does not fail.
        let _ = write!(to, "content-length: {length}\r\n");
    }
    to.extend_from_slice(b"\r\n");
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
            Mode::Fresh => Poll::Pending,
            Mode::Head => wire.poll_head(cx, out),
            Mode::Idle | Mode::Body => wire.poll_body(cx, out),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UnderHyper<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().hyper_wrote = true;
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
