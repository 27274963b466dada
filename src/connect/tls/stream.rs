//! An encrypted connection over a [`Transport`].
//!
//! * A write is reported when its record is in the kernel as a whole: what is not reported, the peer cannot have read. So
//!   "nothing was written" means what it means without TLS. Several records are handed to the kernel at once, and reported as
//!   far as they are in it.
//! * An idle connection may be told things that are no data: tickets of later sessions, new keys. Those are taken in;
//!   everything else ends it.
//! * A peer that closes without saying so in TLS has closed, as for the runtime.
//! * Records that say nothing, or a byte each, are work all the same. A call does a bounded amount of it, and then lets
//!   others have their turn. How many may come that are no data is rustls's to say, as far as it has a limit.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use bytes::{Buf, BytesMut};
use rustls::{ClientConnection, ProtocolVersion};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::fault;
use super::records::{Records, Unreported, RECORD};
use super::SECRETS;
use crate::config::TURN_BYTES;
use crate::connect::{IdleState, Transport};

/// Encrypted bytes taken from the kernel at once. rustls would ask for 4 KiB at a time.
const SCRATCH: usize = 64 * 1024;

/// What a record is in work beside its bytes, in bytes. A new session is more, a single byte of data less.
const RECORD_WORK: usize = 512;

/// How much is read from a peer that takes nothing more, in bytes: more than the kernel buffers.
const LAST_WORDS: usize = 64 * TURN_BYTES;

/// Bytes taken from the kernel at once while records are small: the work of what is read can't be put off any more.
const SMALL_READ: usize = 4 * 1024;

thread_local! {
    /// Buffers of the I/O thread, so an idle connection owns none: one, and another for TLS within TLS.
    static SCRATCH_BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn with_scratch<R>(read: impl FnOnce(&mut [u8]) -> R) -> R {
    let spare = SCRATCH_BUFFERS.with_borrow_mut(Vec::pop);
    let mut scratch = spare.unwrap_or_else(|| vec![0; SCRATCH]);
    let result = read(&mut scratch);
    SCRATCH_BUFFERS.with_borrow_mut(|spare| spare.push(scratch));
    result
}

/// A TLS session and the connection that carries it.
pub struct TlsStream {
    /// TCP or a Unix socket; TLS with a proxy.
    socket: Transport,
    session: ClientConnection,
    /// Decrypted bytes that the last reader had no room for.
    surplus: BytesMut,
    /// The peer sends no more.
    ended: bool,
    /// Why reading stopped, once what came before it is read.
    failed: Option<io::Error>,
    /// Bytes of the caller's that are encrypted, of records that are not in the kernel as a whole.
    unreported: Unreported,
    /// Why nothing more can be sent, once what was sent before is reported.
    unsendable: Option<io::Error>,
    /// The peer has asked to shake hands again, which rustls has refused.
    asked_again: bool,
    /// Where records begin.
    records: Records,
    /// The last ones were small.
    is_fragmented: bool,
    /// What was read since it was last asked for, in bytes.
    work: usize,
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl TlsStream {
    pub(super) fn new(socket: Transport, mut session: ClientConnection) -> Self {
        // A batch is what there is at most.
        session.set_buffer_limit(None);
        Self {
            socket,
            session,
            surplus: BytesMut::new(),
            ended: false,
            failed: None,
            unreported: Unreported::default(),
            unsendable: None,
            asked_again: false,
            records: Records::default(),
            is_fragmented: false,
            work: 0,
        }
    }

    /// What was read since this was last asked, in bytes.
    pub(in crate::connect) fn take_work(&mut self) -> usize {
        std::mem::take(&mut self.work) + self.socket.take_work()
    }

    /// How much to take from the kernel at once.
    fn appetite(&self) -> usize {
        if self.is_fragmented {
            SMALL_READ
        } else {
            SCRATCH
        }
    }

    /// What carries it.
    pub(in crate::connect) fn socket(&self) -> &Transport {
        &self.socket
    }

    /// The same.
    pub(in crate::connect) fn socket_mut(&mut self) -> &mut Transport {
        &mut self.socket
    }

    /// The same session over what `change` makes of its socket.
    pub(in crate::connect) fn map_socket(
        self,
        change: impl FnOnce(Transport) -> io::Result<Transport>,
    ) -> io::Result<Self> {
        Ok(Self {
            socket: change(self.socket)?,
            ..self
        })
    }

    pub(super) fn session(&self) -> &ClientConnection {
        &self.session
    }

    /// Whether the peer has asked to shake hands again. It must have been the peer: such a request is encrypted.
    pub(in crate::connect) fn was_asked_again(&self) -> bool {
        self.asked_again
    }

    /// Shakes hands, and collects the session's secrets if they are wanted.
    pub(super) async fn handshake(&mut self, keylog: bool) -> io::Result<Vec<String>> {
        let mut secrets = keylog.then(Vec::new);
        poll_fn(|cx| {
            SECRETS.set(secrets.take());
            let polled = self.poll_handshake(cx);
            secrets = SECRETS.take();
            polled
        })
        .await?;
        Ok(secrets.unwrap_or_default())
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Err(error) = ready!(self.poll_send_or_hear(cx)) {
                return Poll::Ready(Err(self.failed.take().unwrap_or(error)));
            }
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx, &mut ReadBuf::new(&mut [])))?;
            if self.ended {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Keeps for the reader what the peer has said before it closed: it may be why it takes nothing more.
    fn hear_last_words(&mut self) {
        let before = self.work;
        while !self.ended && self.failed.is_none() && self.work - before < LAST_WORDS {
            match self.read_now() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.failed = Some(error),
            }
        }
    }

    /// Takes in what the kernel has. tokio may not have heard of it yet, so the kernel is asked itself.
    fn read_now(&mut self) -> io::Result<()> {
        let appetite = self.appetite();
        with_scratch(|scratch| {
            let scratch = &mut scratch[..appetite];
            let count = match &mut self.socket {
                Transport::Tcp(stream, _) => (&*SockRef::from(&*stream)).read(scratch)?,
                #[cfg(unix)]
                Transport::Unix(stream) => (&*SockRef::from(&*stream)).read(scratch)?,
                Transport::Tls(stream) => stream.take_now(scratch)?,
            };
            self.take_in(&scratch[..count], &mut ReadBuf::new(&mut []))
        })
    }

    /// Takes what is decrypted, or can be without waiting; 0: the peer has closed.
    fn take_now(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let before = self.work;
        while self.surplus.is_empty() {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.ended {
                return Ok(0);
            }
            if self.work - before >= TURN_BYTES {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.read_now()?;
        }
        let count = self.surplus.len().min(out.len());
        self.surplus.copy_to_slice(&mut out[..count]);
        Ok(count)
    }

    /// Looks at an idle connection: takes in what is no data, without waiting.
    ///
    /// # Errors
    ///
    /// Why it has failed; told once.
    pub(in crate::connect) fn look(&mut self) -> io::Result<IdleState> {
        let before = self.work;
        loop {
            // So much that is no data comes from no honest peer.
            if !self.surplus.is_empty() || self.work - before >= TURN_BYTES {
                return Ok(IdleState::TalkingUnasked);
            }
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            if self.ended {
                return Ok(IdleState::Closed);
            }
            match self.read_now() {
                Ok(()) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(IdleState::Open),
                    io::ErrorKind::Interrupted => {}
                    // Reported once what came before it is read.
                    _ => self.failed = Some(error),
                },
            }
        }
    }

    /// Reads once from the kernel, and tells how much; what it decrypts goes into `out` as far as there is room.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let appetite = self.appetite();
        with_scratch(|scratch| {
            let mut read = ReadBuf::new(&mut scratch[..appetite]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            let taken = self.take_in(read.filled(), out);
            if self.session.wants_write() && self.unreported.is_empty() {
                // An alert, new keys: what the kernel does not take now goes out with the next write. Behind bytes of the
                // caller's they go out with those, and it is the caller who hears what becomes of them.
                let _ = self.poll_send(cx);
            }
            Poll::Ready(taken.map(|()| read.filled().len()))
        })
    }

    /// Decrypts; no bytes: the peer has closed.
    fn take_in(&mut self, mut bytes: &[u8], out: &mut ReadBuf<'_>) -> io::Result<()> {
        if bytes.is_empty() {
            self.ended = true;
        }
        let records = self.records.count(bytes);
        self.is_fragmented = records * RECORD_WORK > bytes.len();
        self.work += bytes.len() + records * RECORD_WORK;
        while !bytes.is_empty() && !self.ended {
            let unsent = self.unsent();
            self.session.read_tls(&mut bytes)?;
            let verdict = self.session.process_new_packets();
            // Also if `verdict` is an error: what came before the broken record counts.
            self.pass_on(out);
            let state = verdict
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, fault::of(&error)))?;
            self.ended = state.peer_has_closed();
            if unsent.is_some_and(|before| state.tls_bytes_to_write() > before) {
                self.asked_again = true;
            }
        }
        Ok(())
    }

    /// Encrypted bytes that wait for the kernel, if another record can add but one thing to them. Over TLS 1.2 with its hands
    /// shaken, rustls answers nothing but the wish to shake them again, with an alert that refuses it.
    fn unsent(&mut self) -> Option<usize> {
        let session = &mut self.session;
        let can_ask = !session.is_handshaking()
            && session.protocol_version() == Some(ProtocolVersion::TLSv1_2);
        if !can_ask {
            return None;
        }
        if !session.wants_write() {
            return Some(0);
        }
        let state = session.process_new_packets().ok()?;
        Some(state.tls_bytes_to_write())
    }

    /// Moves decrypted bytes into `out`, and what does not fit into the surplus.
    fn pass_on(&mut self, out: &mut ReadBuf<'_>) {
        let mut reader = self.session.reader();
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            let count = chunk.len();
            let (fits, rest) = chunk.split_at(count.min(out.remaining()));
            out.put_slice(fits);
            self.surplus.extend_from_slice(rest);
            reader.consume(count);
        }
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = Sending {
                socket: &mut self.socket,
                cx,
            };
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.unreported.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is encrypted. If the peer takes nothing more, the reader is told why, if the peer has said it.
    fn poll_send_or_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = ready!(self.poll_send(cx));
        if sent.is_err() {
            self.hear_last_words();
        }
        Poll::Ready(sent)
    }

    /// Encrypts as many of the caller's bytes as are sent at once.
    fn seal(&mut self, mut slices: &[IoSlice<'_>]) -> io::Result<()> {
        self.unreported.clear();
        let mut at = 0;
        while !self.unreported.is_full() {
            let Some((first, rest)) = slices.split_first() else {
                break;
            };
            let first = &first[at..];
            let count = if first.len() >= RECORD || rest.is_empty() {
                let record = &first[..first.len().min(RECORD)];
                self.session.writer().write(record)?
            } else {
                let mut room = RECORD - first.len();
                let others = rest.iter().map_while(|slice| {
                    let count = slice.len().min(room);
                    room -= count;
                    (count > 0 || slice.is_empty()).then(|| IoSlice::new(&slice[..count]))
                });
                let record: Vec<_> = std::iter::once(IoSlice::new(first)).chain(others).collect();
                self.session.writer().write_vectored(&record)?
            };
            if count == 0 {
                break;
            }
            let end = self
                .session
                .process_new_packets()
                .map_or(usize::MAX, |state| state.tls_bytes_to_write());
            self.unreported.push(count, end);
            at += count;
            while let Some((first, rest)) = slices.split_first() {
                if at < first.len() {
                    break;
                }
                at -= first.len();
                slices = rest;
            }
        }
        Ok(())
    }

    /// Sends what is encrypted, and tells how many of the caller's bytes are in records that are in the kernel.
    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some(error) = self.unsendable.take() {
            return Poll::Ready(Err(error));
        }
        let polled = self.poll_send_or_hear(cx);
        let sent = self
            .unreported
            .take_sent(matches!(polled, Poll::Ready(Ok(()))));
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(sent)),
            Poll::Ready(Err(error)) if sent > 0 => {
                self.unsendable = Some(error);
                Poll::Ready(Ok(sent))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if sent > 0 => Poll::Ready(Ok(sent)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A socket as rustls writes to it.
struct Sending<'a, 'b> {
    socket: &'a mut Transport,
    cx: &'a mut Context<'b>,
}

impl Sending<'_, '_> {
    fn outcome(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
        match polled {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Sending<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::outcome(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // One record is what there usually is, and a plain write is the cheaper system call.
            [record] => self.write(record),
            _ => Self::outcome(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, slices)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let work = this.work;
        if this.surplus.is_empty() {
            if let Some(error) = this.failed.take() {
                return Poll::Ready(Err(error));
            }
        }
        while !this.ended && this.surplus.is_empty() {
            let has_some = out.filled().len() > before;
            if this.work - work >= TURN_BYTES {
                if has_some {
                    break;
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match this.poll_fill(cx, out) {
                // The kernel has more and so has the reader room: few large pieces are cheaper than many small ones.
                Poll::Ready(Ok(SCRATCH)) if out.remaining() >= SCRATCH => {}
                Poll::Ready(Ok(_)) if out.filled().len() > before => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Pending if has_some => break,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) if out.filled().len() > before => {
                    this.failed = Some(error);
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        if out.filled().len() == before {
            let count = this.surplus.len().min(out.remaining());
            out.put_slice(&this.surplus[..count]);
            this.surplus.advance(count);
            if this.surplus.is_empty() {
                // An idle connection owns no buffer.
                this.surplus = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    /// Until it is ready, it must be called again with the same bytes, or more of them.
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unreported.is_empty() && this.unsendable.is_none() {
            ready!(this.poll_send_or_hear(cx))?;
            this.seal(slices)?;
        }
        this.poll_report(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send_or_hear(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.send_close_notify();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
