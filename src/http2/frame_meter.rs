//! What a session's connection brings, looked at frame by frame before `h2` acts on it: when something came last, how much of it
//! is part of no response ("noise"), and how much work it is.
//!
//! `h2` reads as long as there is something. A frame of a few bytes costs as much as one of thousands, so a turn ends after so much
//! work, and a connection that brings too much noise is closed. DATA frames without data, by which some servers flush, are taken
//! out here: `h2` takes a hundred of them in a connection's life for an attack, even if years lie between them.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{ready, Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::{FRAME_WORK, SESSION_NOISE, SESSION_NOISE_TIME, TURN_BYTES};
use crate::connect::Transport;
use crate::error::Failure;

/// A frame's header: how much follows, its kind, flags and stream.
const FRAME_HEADER: usize = 9;

/// Reads of less go through a buffer, so that there is room for a header that is held back.
const LEAST_ROOM: usize = 64;

/// More work than TLS may have done for bytes that are decrypted and not read yet.
const MOST_UNREAD: usize = 2 * TURN_BYTES;

const DATA: u8 = 0;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// How a server without HTTP/2 begins.
const HTTP1: &[u8] = b"HTTP/1.";

/// Why a connection is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// It brought more noise than any honest server makes.
    Flooded,
    /// Its server has answered over HTTP/1.
    SpeaksHttp1,
}

/// What has come.
pub(super) struct FrameMeter {
    frames: Cell<Frames>,
    /// When something came last.
    heard: Cell<Instant>,
    /// Work since the turn began.
    work: Cell<usize>,
    /// Work since then that was no part of a response.
    noise: Cell<usize>,
    noise_since: Cell<Instant>,
    /// Work of the transport below, in bytes, that has not come out as bytes yet.
    unread: Cell<usize>,
    broken: Cell<Option<Broken>>,
    /// What the connection failed with.
    failure: RefCell<Option<Failure>>,
}

impl FrameMeter {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            frames: Cell::default(),
            heard: Cell::new(now),
            work: Cell::new(0),
            noise: Cell::new(0),
            noise_since: Cell::new(now),
            unread: Cell::new(0),
            broken: Cell::new(None),
            failure: RefCell::default(),
        }
    }

    /// A new turn begins.
    pub fn begin_turn(&self) {
        self.work.set(0);
    }

    fn is_turn_over(&self) -> bool {
        self.work.get() >= TURN_BYTES
    }

    /// When something came last.
    pub fn heard(&self) -> Instant {
        self.heard.get()
    }

    /// Whether the first frame has come as a whole: by the rules, the server's settings.
    pub fn is_settled(&self) -> bool {
        let frames = self.frames.get();
        frames.count > 1 || frames.count == 1 && frames.rest == 0
    }

    /// A request or a response has gone on.
    pub fn note_progress(&self) {
        self.noise.set(0);
    }

    /// Why it was given up because of what has come.
    pub fn broken(&self) -> Option<Broken> {
        self.broken.get()
    }

    fn give_up(&self, why: Broken) -> io::Error {
        self.broken.set(Some(why));
        io::Error::other("given up")
    }

    /// What the connection failed with, in the system's own words: streams hear of its kind only.
    pub fn failure(&self) -> Option<Failure> {
        self.failure.borrow().clone()
    }

    fn keep_failure<T>(
        &self,
        polled: Poll<io::Result<T>>,
        syscall: &'static str,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled {
            let failure = Failure::from_io(error, syscall, None, None);
            self.failure.borrow_mut().get_or_insert(failure);
        }
        polled
    }

    /// Puts what was held back before what is to be read.
    fn hand_back(&self, buf: &mut ReadBuf<'_>) {
        let Frames { held, have, .. } = self.frames.get();
        buf.put_slice(&held[..have]);
    }

    /// Forgets what was held back.
    fn let_go(&self) {
        let frames = self.frames.get();
        self.frames.set(Frames { have: 0, ..frames });
    }

    /// Takes note of what was read: the last `read` of `bytes`, behind what was held back. `work`: what that was below, in bytes.
    /// How many of `bytes` are left, from their beginning, to be acted on.
    ///
    /// # Errors
    ///
    /// It is a flood, or no HTTP/2.
    fn sift(&self, bytes: &mut [u8], read: usize, work: usize) -> io::Result<usize> {
        if read == 0 && work == 0 {
            return Ok(0);
        }
        let now = Instant::now();
        if read > 0 {
            self.heard.set(now);
        }
        let mut frames = self.frames.get();
        let is_first = frames.count == 0;
        let Sifted { left, all, noise } = frames.sift(bytes);
        self.frames.set(frames);
        if is_first && bytes.starts_with(HTTP1) {
            return Err(self.give_up(Broken::SpeaksHttp1));
        }
        self.work
            .set(self.work.get() + work.max(read) + all * FRAME_WORK);
        // Work for bytes that are decrypted and not read yet is no noise. Beyond what TLS may hold, nothing comes of it: noise.
        let unread = (self.unread.get() + work).saturating_sub(read);
        let below = unread.saturating_sub(MOST_UNREAD);
        self.unread.set(unread - below);
        if now.duration_since(self.noise_since.get()) >= SESSION_NOISE_TIME {
            self.noise_since.set(now);
            self.noise.set(0);
        }
        self.noise.set(self.noise.get() + below + noise);
        if self.noise.get() < SESSION_NOISE {
            return Ok(left);
        }
        Err(self.give_up(Broken::Flooded))
    }
}

/// Where one frame ends and the next begins.
#[derive(Clone, Copy, Default)]
struct Frames {
    /// The beginning of a header that has not come as a whole.
    held: [u8; FRAME_HEADER],
    have: usize,
    /// Bytes of the frame that are still to come, its header's included.
    rest: usize,
    /// Frames that have begun.
    count: u64,
}

/// What there was in bytes.
struct Sifted {
    /// How many are to be acted on.
    left: usize,
    /// Frames.
    all: usize,
    /// What those are in work that are no part of a response.
    noise: usize,
}

impl Frames {
    /// Leaves frames of nothing out of `bytes`, which begin with those that were held back.
    fn sift(&mut self, bytes: &mut [u8]) -> Sifted {
        let mut sifted = Sifted {
            left: 0,
            all: 0,
            noise: 0,
        };
        let mut at = 0;
        self.have = 0;
        while at < bytes.len() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len() - at);
                if at > sifted.left {
                    bytes.copy_within(at..at + passed, sifted.left);
                }
                self.rest -= passed;
                at += passed;
                sifted.left += passed;
                continue;
            }
            let Some(&[high, middle, low, kind, flags, ref stream @ ..]) =
                bytes[at..].first_chunk::<FRAME_HEADER>()
            else {
                self.have = bytes.len() - at;
                self.held[..self.have].copy_from_slice(&bytes[at..]);
                break;
            };
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.count += 1;
            sifted.all += 1;
            // A head counts as noise until a request gets it (`note_progress`): a server may send many that are for no request.
            let is_part = match kind {
                DATA => length > 0 || flags & END_STREAM != 0,
                CONTINUATION => true,
                _ => false,
            };
            if !is_part {
                sifted.noise += FRAME_WORK + length;
            }
            if kind == DATA && !is_part && flags & PADDED == 0 && *stream != [0; 4] {
                at += FRAME_HEADER;
            } else {
                self.rest = FRAME_HEADER + length;
            }
        }
        sifted
    }
}

/// A transport that others look at, too.
pub(super) struct MeteredTransport {
    transport: Rc<RefCell<Transport>>,
    meter: Rc<FrameMeter>,
    /// What was read for a reader that had no room for it.
    ready: Vec<u8>,
}

impl MeteredTransport {
    pub fn new(transport: Rc<RefCell<Transport>>, meter: Rc<FrameMeter>) -> Self {
        Self {
            transport,
            meter,
            ready: Vec::new(),
        }
    }

    /// Reads into a buffer that has [`LEAST_ROOM`].
    fn poll_sifted(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            if self.meter.is_turn_over() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.meter.hand_back(buf);
            let from = buf.filled().len();
            let mut transport = self.transport.borrow_mut();
            let polled = Pin::new(&mut *transport).poll_read(cx, buf);
            let read = buf.filled().len() - from;
            let work = transport.take_work();
            let left = self
                .meter
                .sift(&mut buf.filled_mut()[before..], read, work)?;
            let is_over = matches!(polled, Poll::Ready(Ok(()))) && read == 0;
            if is_over {
                // The rest of the header that was held back will not come any more.
                self.meter.let_go();
            } else {
                buf.set_filled(before + left);
            }
            // To `h2`, no bytes would mean the end.
            if left > 0 || is_over || !matches!(polled, Poll::Ready(Ok(()))) {
                return self.meter.keep_failure(polled, "read");
            }
        }
    }
}

impl AsyncRead for MeteredTransport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let metered = self.get_mut();
        if metered.ready.is_empty() {
            if buf.remaining() >= LEAST_ROOM {
                return metered.poll_sifted(cx, buf);
            }
            let mut room = [0; LEAST_ROOM];
            let mut own = ReadBuf::new(&mut room);
            ready!(metered.poll_sifted(cx, &mut own))?;
            metered.ready.extend_from_slice(own.filled());
        }
        let given = metered.ready.len().min(buf.remaining());
        buf.put_slice(&metered.ready[..given]);
        metered.ready.drain(..given);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MeteredTransport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.transport.borrow_mut()).poll_write(cx, bytes);
        self.meter.keep_failure(polled, "write")
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.transport.borrow_mut()).poll_write_vectored(cx, slices);
        self.meter.keep_failure(polled, "write")
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport.borrow_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, len: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, len, kind, flags, 0, 0, 0, 1];
        bytes.extend(std::iter::repeat_n(7, len.into()));
        bytes
    }

    fn note(meter: &FrameMeter, bytes: &[u8], work: usize) -> io::Result<Vec<u8>> {
        let Frames { held, have, .. } = meter.frames.get();
        let mut all = [&held[..have], bytes].concat();
        let left = meter.sift(&mut all, bytes.len(), work)?;
        all.truncate(left);
        Ok(all)
    }

    #[test]
    fn every_split_of_frames_finds_the_same_and_leaves_out_those_of_nothing() {
        let padded = frame(DATA, PADDED, 0);
        let of_nobody = vec![0, 0, 0, DATA, 0, 0, 0, 0, 0];
        let before = [frame(4, 0, 6), frame(1, 4, 3), frame(DATA, 0, 200)].concat();
        let behind = [
            frame(6, 0, 8),
            frame(DATA, END_STREAM, 0),
            padded,
            of_nobody,
        ]
        .concat();
        let nothing = frame(DATA, 0, 0);
        let said = [&before[..], &nothing, &nothing, &behind, &nothing].concat();
        let expected = [before, behind].concat();
        for first in 0..=said.len() {
            for second in [first, (first + 1).min(said.len()), said.len()] {
                let meter = FrameMeter::new();
                let mut left = Vec::new();
                for part in [&said[..first], &said[first..second], &said[second..]] {
                    left.extend(note(&meter, part, 0).expect("no flood"));
                }
                assert_eq!(left, expected, "{first} {second}");
                let Frames {
                    have, rest, count, ..
                } = meter.frames.get();
                assert_eq!((have, rest, count), (0, 0, 10));
                assert_eq!(meter.noise.get(), 8 * FRAME_WORK + 6 + 3 + 8);
            }
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn any_room_reads_the_same_to_the_end() {
        let nothing = frame(DATA, 0, 0);
        let data = frame(DATA, 0, 100);
        let said = [&nothing[..], &data, &nothing, &data, &nothing, &data[..5]].concat();
        let expected = [&data[..], &data, &data[..5]].concat();
        for size in [1, 8, 9, 63, 64, 65, 1000] {
            let (near, mut far) = tokio::net::UnixStream::pair().expect("a pair");
            tokio::io::AsyncWriteExt::write_all(&mut far, &said)
                .await
                .expect("it is taken");
            drop(far);
            let transport = Rc::new(RefCell::new(Transport::Unix(near)));
            let mut metered = MeteredTransport::new(transport, Rc::new(FrameMeter::new()));
            let mut read = Vec::new();
            loop {
                let mut room = vec![0; size];
                let bytes = tokio::io::AsyncReadExt::read(&mut metered, &mut room)
                    .await
                    .expect("it is open");
                if bytes == 0 {
                    break;
                }
                read.extend_from_slice(&room[..bytes]);
            }
            assert_eq!(read, expected, "{size}");
        }
    }

    #[test]
    fn an_answer_of_http1_is_none_of_http2() {
        let said = b"HTTP/1.1 400 Bad Request\r\n";
        for first in [0, 3, 8, 9, 20] {
            let meter = FrameMeter::new();
            let told = [&said[..first], &said[first..]].map(|part| note(&meter, part, 0).is_err());
            assert!(told.contains(&true), "{first}");
            assert_eq!(meter.broken(), Some(Broken::SpeaksHttp1));
        }
    }

    #[test]
    fn settings_have_come_with_their_last_byte() {
        let meter = FrameMeter::new();
        let said = frame(4, 0, 6);
        for &byte in &said {
            assert!(!meter.is_settled());
            note(&meter, &[byte], 0).expect("no flood");
        }
        assert!(meter.is_settled());
    }

    #[tokio::test(start_paused = true)]
    async fn noise_is_a_flood_unless_something_goes_on_or_it_takes_its_time() {
        let ping = frame(6, 0, 8);
        let pings = SESSION_NOISE / (FRAME_WORK + 8);
        let meter = FrameMeter::new();
        for _ in 0..4 * pings {
            note(&meter, &ping, 0).expect("something goes on");
            meter.note_progress();
        }
        for _ in 0..4 * pings {
            note(&meter, &ping, 0).expect("it takes its time");
            tokio::time::advance(2 * SESSION_NOISE_TIME / pings as u32).await;
        }
        let flood = (0..2 * pings).find_map(|_| note(&meter, &ping, 0).err());
        assert!(flood.is_some() && meter.broken() == Some(Broken::Flooded));
    }

    #[test]
    fn what_is_read_later_is_no_noise_and_records_without_bytes_are() {
        let meter = FrameMeter::new();
        let bytes = vec![0; TURN_BYTES];
        for _ in 0..1000 {
            // Data of one frame that does not end.
            meter.frames.set(Frames {
                rest: usize::MAX,
                ..Frames::default()
            });
            note(&meter, &bytes[..1], TURN_BYTES).expect("no noise");
            note(&meter, &bytes[1..], 0).expect("no noise");
        }
        let flood = (0..1000).find_map(|_| note(&meter, &[], TURN_BYTES).err());
        assert!(flood.is_some());
    }

    #[test]
    fn a_turn_is_over_after_few_large_frames_and_after_many_small_ones() {
        for (frame, most) in [(frame(6, 0, 8), 2000), (frame(DATA, 0, 255), 600)] {
            let meter = FrameMeter::new();
            let mut count = 0;
            while !meter.is_turn_over() {
                note(&meter, &frame, 0).expect("no flood");
                count += 1;
            }
            assert!(count > 200 && count < most, "{count}");
            meter.begin_turn();
            assert!(!meter.is_turn_over());
        }
    }
}
