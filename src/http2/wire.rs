//! What comes over a session's connection, frame by frame, before anybody acts on it: when something came last, how much of it is
//! no part of any response, and how much work it is.
//!
//! `h2` reads as long as there is something. A frame of a few bytes costs as much as one of thousands, so a turn ends after so much
//! work, and a server that says nothing but such frames is left.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::{FRAME_WORK, SESSION_NOISE, SESSION_NOISE_TIME, TURN_BYTES};
use crate::connect::Transport;
use crate::error::Failure;

/// A frame's header: how much follows, its kind, flags and stream.
const FRAME_HEADER: usize = 9;

/// More than TLS holds of what it has decrypted.
const MOST_UNREAD: usize = 2 * TURN_BYTES;

const DATA: u8 = 0;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;

/// What has come.
pub(super) struct Wire {
    frames: Cell<Frames>,
    /// When something came last.
    heard: Cell<Instant>,
    /// Work since the turn began.
    work: Cell<usize>,
    /// Work since then that was no part of a response.
    noise: Cell<usize>,
    noise_since: Cell<Instant>,
    /// Work below that has not come to bytes yet.
    unread: Cell<usize>,
    is_flooded: Cell<bool>,
    /// What the connection failed with.
    failure: RefCell<Option<Failure>>,
}

impl Wire {
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            frames: Cell::default(),
            heard: Cell::new(now),
            work: Cell::new(0),
            noise: Cell::new(0),
            noise_since: Cell::new(now),
            unread: Cell::new(0),
            is_flooded: Cell::new(false),
            failure: RefCell::default(),
        }
    }

    /// Others had their turn.
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

    /// Whether there was more noise than anybody makes who means well.
    pub fn is_flooded(&self) -> bool {
        self.is_flooded.get()
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

    /// Takes note of what was read. `work`: what that was below, in bytes.
    ///
    /// # Errors
    ///
    /// It is a flood.
    fn note(&self, bytes: &[u8], work: usize) -> io::Result<()> {
        if bytes.is_empty() && work == 0 {
            return Ok(());
        }
        let now = Instant::now();
        if !bytes.is_empty() {
            self.heard.set(now);
        }
        let mut frames = self.frames.get();
        let (all, noise) = frames.note(bytes);
        self.frames.set(frames);
        self.work
            .set(self.work.get() + work.max(bytes.len()) + all * FRAME_WORK);
        // What was decrypted and is not read yet is no noise; what never comes is.
        let unread = (self.unread.get() + work).saturating_sub(bytes.len());
        let below = unread.saturating_sub(MOST_UNREAD);
        self.unread.set(unread - below);
        if now.duration_since(self.noise_since.get()) >= SESSION_NOISE_TIME {
            self.noise_since.set(now);
            self.noise.set(0);
        }
        self.noise.set(self.noise.get() + below + noise);
        if self.noise.get() < SESSION_NOISE {
            return Ok(());
        }
        self.is_flooded.set(true);
        Err(io::Error::other("flooded with frames"))
    }
}

/// Where one frame ends and the next begins.
#[derive(Clone, Copy, Default)]
struct Frames {
    header: [u8; FRAME_HEADER],
    /// Bytes of it that have come.
    have: usize,
    /// Bytes of the frame that are still to come.
    rest: usize,
    /// Frames that have begun.
    count: u64,
}

impl Frames {
    /// How many frames begin in `bytes`, and what those are in work that are no part of a response.
    fn note(&mut self, mut bytes: &[u8]) -> (usize, usize) {
        let (mut all, mut noise) = (0, 0);
        while !bytes.is_empty() {
            if self.rest > 0 {
                let skipped = self.rest.min(bytes.len());
                self.rest -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (FRAME_HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have < FRAME_HEADER {
                break;
            }
            let [high, middle, low, kind, flags, ..] = self.header;
            self.have = 0;
            self.rest = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.count += 1;
            all += 1;
            // A head is noise until somebody has got it: they may be many, and for nobody.
            let is_part = match kind {
                DATA => self.rest > 0 || flags & END_STREAM != 0,
                CONTINUATION => true,
                _ => false,
            };
            if !is_part {
                noise += FRAME_WORK + self.rest;
            }
        }
        (all, noise)
    }
}

/// A transport that others look at, too.
pub(super) struct Carrier {
    transport: Rc<RefCell<Transport>>,
    wire: Rc<Wire>,
}

impl Carrier {
    pub fn new(transport: Rc<RefCell<Transport>>, wire: Rc<Wire>) -> Self {
        Self { transport, wire }
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.wire.is_turn_over() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let mut transport = self.transport.borrow_mut();
        let polled = Pin::new(&mut *transport).poll_read(cx, buf);
        let noted = self
            .wire
            .note(&buf.filled()[before..], transport.take_work());
        match noted {
            Ok(()) => self.wire.keep_failure(polled, "read"),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.transport.borrow_mut()).poll_write(cx, bytes);
        self.wire.keep_failure(polled, "write")
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut *self.transport.borrow_mut()).poll_write_vectored(cx, slices);
        self.wire.keep_failure(polled, "write")
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

    #[test]
    fn every_split_of_frames_finds_the_same() {
        let said = [
            frame(4, 0, 6),
            frame(1, 4, 3),
            frame(DATA, 0, 200),
            frame(DATA, 0, 0),
            frame(6, 0, 8),
            frame(DATA, END_STREAM, 0),
        ]
        .concat();
        let expected = (6, 4 * FRAME_WORK + 6 + 3 + 8);
        for first in 0..=said.len() {
            for second in [first, (first + 1).min(said.len()), said.len()] {
                let mut frames = Frames::default();
                let mut found = (0, 0);
                for part in [&said[..first], &said[first..second], &said[second..]] {
                    let (all, noise) = frames.note(part);
                    found = (found.0 + all, found.1 + noise);
                }
                assert_eq!(found, expected, "{first} {second}");
                assert_eq!((frames.have, frames.rest), (0, 0));
            }
        }
    }

    #[test]
    fn settings_have_come_with_their_last_byte() {
        let wire = Wire::new();
        let said = frame(4, 0, 6);
        for &byte in &said {
            assert!(!wire.is_settled());
            wire.note(&[byte], 0).expect("no flood");
        }
        assert!(wire.is_settled());
    }

    #[tokio::test(start_paused = true)]
    async fn noise_is_a_flood_unless_something_goes_on_or_it_takes_its_time() {
        let ping = frame(6, 0, 8);
        let pings = SESSION_NOISE / (FRAME_WORK + 8);
        let wire = Wire::new();
        for _ in 0..4 * pings {
            wire.note(&ping, 0).expect("something goes on");
            wire.note_progress();
        }
        for _ in 0..4 * pings {
            wire.note(&ping, 0).expect("it takes its time");
            tokio::time::advance(2 * SESSION_NOISE_TIME / pings as u32).await;
        }
        let flood = (0..2 * pings).find_map(|_| wire.note(&ping, 0).err());
        assert!(flood.is_some() && wire.is_flooded());
    }

    #[test]
    fn what_is_read_later_is_no_noise_and_records_without_bytes_are() {
        let wire = Wire::new();
        let bytes = vec![0; TURN_BYTES];
        for _ in 0..1000 {
            // Data of one frame that does not end.
            wire.frames.set(Frames {
                rest: usize::MAX,
                ..Frames::default()
            });
            wire.note(&bytes[..1], TURN_BYTES).expect("no noise");
            wire.note(&bytes[1..], 0).expect("no noise");
        }
        let flood = (0..1000).find_map(|_| wire.note(&[], TURN_BYTES).err());
        assert!(flood.is_some());
    }

    #[test]
    fn a_turn_is_over_after_few_large_frames_and_after_many_small_ones() {
        for (frame, most) in [(frame(6, 0, 8), 2000), (frame(DATA, 0, 255), 600)] {
            let wire = Wire::new();
            let mut count = 0;
            while !wire.is_turn_over() {
                wire.note(&frame, 0).expect("no flood");
                count += 1;
            }
            assert!(count > 200 && count < most, "{count}");
            wire.begin_turn();
            assert!(!wire.is_turn_over());
        }
    }
}
