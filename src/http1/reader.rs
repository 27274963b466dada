//! Reads one connection's transport: the responses on it, and what an idle one is told unasked.
//!
//! A read goes into a buffer of the thread and stays there while it is decoded, so an idle connection owns none. Large ones have a buffer
//! each, which is the thread's again when nobody has a piece of it any more.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{pin, Pin};
use std::task::{ready, Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::decoder::{Decoder, Event as Decoded, Piece};
use super::head::Head;
use super::llhttp_errors::ParseFault;
use crate::config::TURN_BYTES;

/// What is read at once.
const READ: usize = 64 * 1024;

/// What is read at once of a peer that sends faster: few large pieces are cheaper than many small ones.
const LARGEST_READ: usize = 256 * 1024;

/// What a read counts for at least: it costs a system call, however little it brings.
const LEAST_READ: usize = 1024;

/// What an idle connection may be in work, as [`Reader::counting`] counts it: a few hundred TLS sessions for later, where
/// servers send two.
const MOST_NOISE: usize = 2 * TURN_BYTES;

thread_local! {
    /// Where reads of the usual size go, one behind the other until it is full.
    static BUFFER: Cell<BytesMut> = Cell::new(BytesMut::new());
    /// Where larger ones go.
    static LARGE_BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers(Vec::new())) };
}

/// Buffers of [`LARGEST_READ`]. One that nobody has bytes of any more is read into again: the pages of a fresh one cost as much as what
/// goes into it.
struct Buffers(Vec<Bytes>);

/// As many are kept: 4 MiB at most. When others need all of them, reads go into memory of their own.
const MOST_BUFFERS: usize = 16;

impl Buffers {
    fn take(&mut self) -> Option<BytesMut> {
        if let Some(at) = self.0.iter().position(Bytes::is_unique) {
            return self.0.swap_remove(at).try_into_mut().ok();
        }
        (self.0.len() < MOST_BUFFERS).then(|| BytesMut::zeroed(LARGEST_READ))
    }

    /// Takes one back, of whose first bytes others may have a part.
    fn put(&mut self, buffer: Bytes) {
        self.0.push(buffer);
    }
}

/// Why nothing more is read.
#[derive(Debug)]
pub enum Fault {
    /// The peer closed its side.
    Eof,
    /// The message is none, in llhttp's words; what had just been read.
    Parse(ParseFault, Bytes),
    /// The transport failed.
    Io(io::Error),
    /// The peer has sent bytes while no message was due.
    Unsolicited,
    /// While none was, it has said so much that is no data that it isn't worth hearing.
    Noise,
}

/// What comes of a response.
#[derive(Debug)]
pub enum Event {
    /// A head, informational or final.
    Head(Head),
    /// Bytes of the body.
    Data(Piece),
    /// The message is complete; the fields of its trailer section, `name\0value…`.
    End(Vec<u8>),
    /// It never will be: [`Reader::take_fault`] says why.
    Broken,
}

/// One connection's transport, and where it is in its message.
pub struct Reader<T> {
    /// The socket.
    pub transport: T,
    decoder: Decoder,
    /// Just opened, for an exchange that is about to begin: whatever comes is for it, so nothing is read before.
    is_fresh: bool,
    /// A byte of the response has come.
    answered: bool,
    /// Reading has stopped; why, until somebody takes it.
    has_ended: bool,
    fault: Option<Fault>,
    /// What may be read before others have their turn.
    budget: usize,
    /// What the transport has had to do for it since it was last asked, if that is more than its bytes tell.
    work_of: fn(&mut T) -> usize,
    /// What reading has been in work, without any data, since the last message.
    noise: usize,
    /// What is read at once.
    room: usize,
    /// Bytes read since somebody asked.
    received: u64,
}

impl<T: AsyncRead + Unpin> Reader<T> {
    /// A connection that was just opened.
    pub fn new(transport: T) -> Self {
        Self {
            transport,
            decoder: Decoder::new(),
            is_fresh: true,
            answered: false,
            has_ended: false,
            fault: None,
            budget: TURN_BYTES,
            work_of: |_| 0,
            noise: 0,
            room: READ,
            received: 0,
        }
    }

    /// With a transport that tells, in bytes, what its reads were in work.
    pub fn counting(self, work_of: fn(&mut T) -> usize) -> Self {
        Self { work_of, ..self }
    }

    /// The same, with what `change` makes of the transport.
    pub fn map_transport(self, change: impl FnOnce(T) -> io::Result<T>) -> io::Result<Self> {
        Ok(Self {
            transport: change(self.transport)?,
            ..self
        })
    }

    /// Bytes read since this was last asked.
    pub fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// A turn begins: so much may be read until the next one.
    pub fn begin_turn(&mut self) {
        self.budget = TURN_BYTES;
    }

    /// Whether this one has read that much.
    pub fn is_spent(&self) -> bool {
        self.budget == 0
    }

    /// Whether nothing has been read yet, so that bytes or an end which are there already are the first exchange's.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// The exchange that it was opened for needs it no more: what comes now is unsolicited.
    pub fn idle(&mut self) {
        self.is_fresh = false;
    }

    /// The next bytes belong to a response to a request of this kind.
    pub fn begin(&mut self, bodiless: bool, max_header_size: usize) {
        self.is_fresh = false;
        self.answered = false;
        self.noise = 0;
        self.decoder.begin(bodiless, max_header_size);
    }

    /// Whether a byte of the response has come.
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// Informational heads of the message so far.
    pub fn informational(&self) -> u32 {
        self.decoder.informational()
    }

    /// What came along with the message after its end.
    pub fn surplus(&self) -> &[u8] {
        self.decoder.surplus()
    }

    /// What that was read with.
    pub fn packet(&self) -> Bytes {
        self.decoder.packet()
    }

    /// Whether nothing more is read: what has come since the last message rules out another one.
    pub fn has_ended(&self) -> bool {
        self.has_ended || !self.surplus().is_empty()
    }

    /// Why reading stopped; taken once.
    pub fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// The next event of the response that is due.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match self.decoder.next_event() {
                Some(Decoded::Head(head)) => return Poll::Ready(Event::Head(head)),
                Some(Decoded::Data(piece)) => return Poll::Ready(Event::Data(piece)),
                Some(Decoded::End(trailers)) => return Poll::Ready(Event::End(trailers)),
                Some(Decoded::Refused(fault, packet)) => self.end(Fault::Parse(fault, packet)),
                None => {}
            }
            if self.has_ended {
                return Poll::Ready(Event::Broken);
            }
            match ready!(self.poll_read(cx)) {
                Ok(packet) if packet.is_empty() => {
                    self.end(Fault::Eof);
                    if let Some(Decoded::End(trailers)) = self.decoder.ends_message() {
                        return Poll::Ready(Event::End(trailers));
                    }
                }
                Ok(packet) => {
                    self.answered = true;
                    self.decoder.feed(packet);
                }
                Err(error) => self.end(Fault::Io(error)),
            }
        }
    }

    /// Nothing is due: ready once the connection has done anything but stay silent.
    pub fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_fresh {
            return Poll::Pending;
        }
        if !self.has_ended() {
            let fault = match self.poll_read(cx) {
                Poll::Pending if self.noise >= MOST_NOISE => Fault::Noise,
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(packet)) if packet.is_empty() => Fault::Eof,
                Poll::Ready(Ok(_)) => Fault::Unsolicited,
                Poll::Ready(Err(error)) => Fault::Io(error),
            };
            self.end(fault);
        }
        Poll::Ready(())
    }

    fn end(&mut self, fault: Fault) {
        self.has_ended = true;
        self.fault = Some(fault);
    }

    /// Reads what there is, unless this turn has read enough: then the task is woken for the next one.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.is_spent() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (packet, read) = if self.room > READ {
            self.poll_large(cx)
        } else {
            self.poll_usual(cx)
        };
        self.received += packet.len() as u64;
        let mut work = (self.work_of)(&mut self.transport);
        if read.is_ready() {
            work = work.max(packet.len()).max(LEAST_READ);
        }
        self.budget = self.budget.saturating_sub(work);
        if self.decoder.is_idle() {
            self.noise += work;
        }
        ready!(read)?;
        if packet.len() == self.room {
            self.room = (2 * self.room).min(LARGEST_READ);
        } else if packet.len() < READ {
            self.room = READ;
        }
        Poll::Ready(Ok(packet))
    }

    fn poll_usual(&mut self, cx: &mut Context<'_>) -> (Bytes, Poll<io::Result<()>>) {
        let mut buffer = BUFFER.take();
        if !buffer.try_reclaim(self.room) {
            // It is full, and somebody has bytes of it.
            buffer = BytesMut::with_capacity(2 * READ);
        }
        let read = {
            let mut room = (&mut buffer).limit(self.room);
            let reading = pin!(self.transport.read_buf(&mut room));
            reading.poll(cx).map_ok(drop)
        };
        let packet = if buffer.is_empty() {
            Bytes::new()
        } else {
            buffer.split().freeze()
        };
        BUFFER.set(buffer);
        (packet, read)
    }

    fn poll_large(&mut self, cx: &mut Context<'_>) -> (Bytes, Poll<io::Result<()>>) {
        let (buffer, read) = match LARGE_BUFFERS.with_borrow_mut(Buffers::take) {
            Some(mut buffer) => {
                let mut room = ReadBuf::new(&mut buffer[..self.room]);
                let read = Pin::new(&mut self.transport).poll_read(cx, &mut room);
                let len = room.filled().len();
                let buffer = buffer.freeze();
                let packet = buffer.slice(..len);
                LARGE_BUFFERS.with_borrow_mut(|buffers| buffers.put(buffer));
                (packet, read)
            }
            None => {
                let mut buffer = BytesMut::with_capacity(self.room);
                let read = {
                    let mut room = (&mut buffer).limit(self.room);
                    let reading = pin!(self.transport.read_buf(&mut room));
                    reading.poll(cx).map_ok(drop)
                };
                (buffer.freeze(), read)
            }
        };
        // Whoever keeps it must not keep all of a buffer for it.
        let packet = if buffer.len() >= LARGEST_READ / 2 {
            buffer
        } else {
            Bytes::copy_from_slice(&buffer)
        };
        (packet, read)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_nobody_has_bytes_of_it_and_few_are_kept() {
        let mut buffers = Buffers(Vec::new());
        let read = |buffers: &mut Buffers| {
            let buffer = buffers.take()?.freeze();
            assert_eq!(buffer.len(), LARGEST_READ);
            let pieces = (buffer.slice(..READ), buffer.slice(READ..2 * READ));
            buffers.put(buffer);
            Some(pieces)
        };
        let (first, second) = read(&mut buffers).unwrap();
        let place = first.as_ptr();
        drop(first);
        let other = read(&mut buffers).unwrap().0;
        assert_ne!(other.as_ptr(), place, "somebody has bytes of it");
        drop((second, other));
        assert_eq!(buffers.0.len(), 2);

        let kept: Vec<_> = (0..2 * MOST_BUFFERS)
            .map_while(|_| read(&mut buffers))
            .collect();
        assert_eq!((kept.len(), buffers.0.len()), (MOST_BUFFERS, MOST_BUFFERS));
        assert!(kept.iter().any(|(first, _)| first.as_ptr() == place));
        drop(kept);
        assert!(buffers.0.iter().all(Bytes::is_unique));
    }

    /// Has so many bytes, then no more for now.
    struct Source {
        left: usize,
        reads: Vec<usize>,
    }

    impl AsyncRead for Source {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let count = self.left.min(out.remaining());
            if count == 0 {
                return Poll::Pending;
            }
            out.put_slice(&vec![b'x'; count]);
            self.left -= count;
            self.reads.push(count);
            Poll::Ready(Ok(()))
        }
    }

    fn source(left: usize) -> Source {
        Source {
            left,
            reads: Vec::new(),
        }
    }

    fn polled<T: AsyncRead + Unpin>(reader: &mut Reader<T>) -> (bool, Option<Fault>) {
        let mut cx = Context::from_waker(Waker::noop());
        let is_ready = reader.poll_silence(&mut cx).is_ready();
        (is_ready, reader.take_fault())
    }

    #[test]
    fn whatever_an_idle_connection_does_ends_it_and_a_fresh_one_is_not_read() {
        let (near, far) = tokio::io::duplex(64);
        let mut reader = Reader::new(near);
        reader.idle();
        assert!(matches!(polled(&mut reader), (false, None)));
        drop(far);
        assert!(matches!(polled(&mut reader), (true, Some(Fault::Eof))));

        let mut reader = Reader::new(source(1));
        assert!(matches!(polled(&mut reader), (false, None)));
        reader.idle();
        let talks = polled(&mut reader);
        assert!(matches!(talks, (true, Some(Fault::Unsolicited))));
        // And it stays ended.
        assert!(matches!(polled(&mut reader), (true, None)));

        let mut reader = Reader::new(Broken);
        reader.idle();
        assert!(matches!(polled(&mut reader), (true, Some(Fault::Io(_)))));
    }

    /// Cannot be read.
    struct Broken;

    impl AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }

    #[test]
    fn a_turn_has_its_end_and_reads_grow_while_they_are_full() {
        let mut reader = Reader::new(source(4 * TURN_BYTES + 1));
        reader.begin(false, 16 * 1024);
        reader
            .decoder
            .feed(Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\n"));
        let mut cx = Context::from_waker(Waker::noop());
        let mut turns = Vec::new();
        let mut told = 0;
        while told < 4 * TURN_BYTES + 1 {
            reader.begin_turn();
            while let Poll::Ready(event) = reader.poll_event(&mut cx) {
                if let Event::Data(piece) = event {
                    told += piece.bytes.len();
                }
            }
            turns.push(std::mem::take(&mut reader.transport.reads));
        }
        let kib = |counts: &[usize]| counts.iter().map(|count| count / 1024).collect::<Vec<_>>();
        let turns: Vec<_> = turns.iter().map(|turn| kib(turn)).collect();
        assert_eq!(turns, [vec![64, 128], vec![256], vec![64]]);
    }

    #[test]
    fn reads_share_the_buffer_of_the_thread_but_large_ones_which_take_theirs_along() {
        let read = |len: usize, room: usize| {
            let mut reader = Reader::new(source(len));
            reader.room = room;
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(Ok(packet)) = reader.poll_read(&mut cx) else {
                panic!("nothing was read");
            };
            assert_eq!(packet.len(), len);
            packet
        };
        let (first, second) = (read(10, READ), read(10, READ));
        assert_eq!(first.as_ptr() as usize + 10, second.as_ptr() as usize);
        drop((first, second));
        let usual = read(READ, READ);
        assert!(!usual.is_unique());
        let places: Vec<_> = [LARGEST_READ / 2, LARGEST_READ]
            .map(|len| {
                let large = read(len, LARGEST_READ);
                assert!(!large.is_unique(), "it is used again");
                large.as_ptr()
            })
            .into();
        assert_eq!(places[0], places[1]);
        assert!(read(10, LARGEST_READ).is_unique());
    }
}
