//! Request bytes on their way out: verbatim, in order, and kept while they may have to be sent again.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::mailbox::{copy_of, Loan};
use crate::config::{REPLAY_LIMIT, TURN_WRITTEN};
use crate::metrics::method_of;

const MAX_SLICES: usize = 16;

enum Piece {
    Own(Bytes),
    /// From `at` on.
    Lent {
        loan: Arc<dyn Loan>,
        at: usize,
    },
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.len(),
            Self::Lent { loan, at } => loan.len() - at,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Own(bytes) => bytes.advance(count),
            Self::Lent { at, .. } => *at += count,
        }
    }

    /// It in memory of our own, unless it was taken back.
    fn own(&mut self) {
        if let Self::Lent { loan, at } = self {
            if let Some(bytes) = copy_of(&**loan, *at) {
                *self = Self::Own(bytes);
            }
        }
    }
}

/// The bytes of one request.
pub struct RequestBuffer {
    queue: VecDeque<Piece>,
    /// Everything sent so far, while it may be sent again.
    sent: Option<Vec<Bytes>>,
    /// The most that is kept.
    limit: u64,
    total: u64,
    written: u64,
    complete: bool,
    /// Nothing stays lent.
    owns_all: bool,
    /// The number of its method, as [`method_of`] has it.
    method: usize,
}

impl RequestBuffer {
    /// An empty request; `replayable` keeps what is written for [`Self::rewind`].
    pub fn new(replayable: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            sent: replayable.then(Vec::new),
            limit: REPLAY_LIMIT as u64,
            total: 0,
            written: 0,
            complete: false,
            owns_all: false,
            method: 0,
        }
    }

    /// Appends bytes of the request.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.total == 0 {
            self.method = method_of(&bytes);
        }
        self.total += bytes.len() as u64;
        if self.total > self.limit {
            self.sent = None;
        } else if let Some(sent) = &mut self.sent {
            sent.push(bytes.clone());
        }
        self.queue.push_back(Piece::Own(bytes));
    }

    /// Appends bytes that are read where they are when the transport takes them. What is kept is copied.
    pub fn push_lent(&mut self, loan: Arc<dyn Loan>) {
        let is_kept = self.sent.is_some() && self.total + loan.len() as u64 <= self.limit;
        if is_kept || self.owns_all || self.total == 0 {
            if let Some(bytes) = copy_of(&*loan, 0) {
                self.push(bytes);
                return;
            }
        }
        self.total += loan.len() as u64;
        self.sent = None;
        self.queue.push_back(Piece::Lent { loan, at: 0 });
    }

    /// Keeps all of what is written from now on, and what was, until [`Self::forget`].
    pub fn keep_all(&mut self) {
        self.owns_all = true;
        self.queue.iter_mut().for_each(Piece::own);
        if self.written == 0 {
            self.limit = u64::MAX;
            self.sent = self.queue.iter().map(Self::owned).collect();
        }
    }

    fn owned(piece: &Piece) -> Option<Bytes> {
        match piece {
            Piece::Own(bytes) => Some(bytes.clone()),
            Piece::Lent { .. } => None,
        }
    }

    fn requeue(sent: &[Bytes]) -> VecDeque<Piece> {
        sent.iter().cloned().map(Piece::Own).collect()
    }

    /// Keeps nothing of it any more.
    pub fn forget(&mut self) {
        self.sent = None;
    }

    /// Whether what was written is kept.
    pub fn is_kept(&self) -> bool {
        self.sent.is_some()
    }

    /// As [`Self::rewind`], for a request that its peer has not looked at: the rest of its body may follow later. `keep`:
    /// whether it may be sent once more.
    pub fn restart(&mut self, keep: bool) -> bool {
        if self.written > 0 {
            let Some(sent) = &self.sent else {
                return false;
            };
            self.queue = Self::requeue(sent);
            self.written = 0;
        }
        self.owns_all = false;
        self.limit = REPLAY_LIMIT as u64;
        if !keep || self.total > self.limit {
            self.sent = None;
        }
        true
    }

    /// Takes the head, blank line included, once it is complete.
    pub fn take_head(&mut self) -> Option<Bytes> {
        let end = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if end(self.front()?).is_none() && self.queue.len() > 1 {
            let joined: Vec<u8> = self
                .queue
                .iter()
                .filter_map(Self::owned)
                .flatten()
                .collect();
            self.queue.clear();
            self.queue.push_back(Piece::Own(joined.into()));
        }
        let first = self.front()?;
        let len = end(first)? + 4;
        let head = first.slice(..len);
        self.advance(len);
        Some(head)
    }

    /// What is to be written next, after [`Self::keep_all`].
    pub fn front(&self) -> Option<&Bytes> {
        match self.queue.front()? {
            Piece::Own(bytes) => Some(bytes),
            Piece::Lent { .. } => None,
        }
    }

    /// Whether no more bytes follow, and after the next `count` none is left.
    pub fn ends_after(&self, count: usize) -> bool {
        self.complete && self.queue.iter().map(Piece::len).sum::<usize>() == count
    }

    /// So many bytes were written.
    pub fn wrote(&mut self, count: usize) {
        self.advance(count);
    }

    /// Drops what is left, as if it were written.
    pub fn discard_rest(&mut self) {
        for bytes in std::mem::take(&mut self.queue) {
            self.written += bytes.len() as u64;
        }
    }

    /// No more bytes follow.
    pub fn complete(&mut self) {
        self.complete = true;
    }

    /// The number of the method that it begins with.
    pub fn method(&self) -> usize {
        self.method
    }

    /// Whether nothing of it is there yet.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Whether no more bytes follow and all are in the kernel.
    pub fn is_finished(&self) -> bool {
        self.complete && self.queue.is_empty()
    }

    /// Whether all bytes so far are in the kernel.
    pub fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes in the kernel.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Forgets what was written, to send the whole request again; false if it is not all there.
    ///
    /// A request of which nothing was written can always be sent. One that was needs all its bytes kept and
    /// complete: a part of a body that JavaScript still produces must not be on two connections.
    pub fn rewind(&mut self) -> bool {
        if self.written == 0 {
            return true;
        }
        match &self.sent {
            Some(sent) if self.complete => {
                self.queue = Self::requeue(sent);
                self.written = 0;
                true
            }
            _ => false,
        }
    }

    /// Writes as much as the transport takes, and no more than others can wait for; ready when drained.
    pub fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut T,
    ) -> Poll<io::Result<()>> {
        let until = self.written + TURN_WRITTEN;
        while !self.queue.is_empty() {
            if self.written >= until {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let wrote = self.write_once(cx, transport);
            match wrote {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Offers the transport what there is, up to the end of the first piece that is lent.
    fn write_once<T: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        transport: &mut T,
    ) -> Poll<io::Result<usize>> {
        let lent = self
            .queue
            .iter()
            .take(MAX_SLICES)
            .find_map(|piece| match piece {
                Piece::Lent { loan, at } => Some((loan, *at)),
                Piece::Own(_) => None,
            });
        let Some((loan, at)) = lent else {
            return self.offer(cx, transport, &[]);
        };
        let mut wrote = None;
        loan.show(at, &mut |bytes| {
            wrote = Some(self.offer(cx, transport, bytes))
        });
        // Whoever takes bytes back has given the request up.
        wrote.unwrap_or_else(|| Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())))
    }

    /// `lent`: the bytes of the first piece that is; what is behind it follows another time.
    fn offer<T: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        transport: &mut T,
        lent: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.queue) {
            count += 1;
            match piece {
                Piece::Own(bytes) => *slice = IoSlice::new(bytes),
                Piece::Lent { .. } => {
                    *slice = IoSlice::new(lent);
                    break;
                }
            }
        }
        let transport = Pin::new(transport);
        if count == 1 {
            transport.poll_write(cx, &slices[0])
        } else {
            transport.poll_write_vectored(cx, &slices[..count])
        }
    }

    fn advance(&mut self, mut count: usize) {
        self.written += count as u64;
        while let Some(front) = self.queue.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_some(request: &mut RequestBuffer, limit: usize) -> Vec<u8> {
        let (mut near, far) = tokio::io::duplex(limit);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _ = request.poll_write(&mut cx, &mut near);
        drop(near);
        let mut bytes = vec![0; limit];
        let mut read = tokio::io::ReadBuf::new(&mut bytes);
        let mut far = far;
        let _ = tokio::io::AsyncRead::poll_read(Pin::new(&mut far), &mut cx, &mut read);
        read.filled().to_vec()
    }

    #[test]
    fn a_partly_written_request_is_replayed_whole_only_when_complete() {
        let mut request = RequestBuffer::new(true);
        request.push(Bytes::from_static(b"hello "));
        request.push(Bytes::from_static(b"world"));
        assert_eq!(write_some(&mut request, 8), b"hello wo");
        assert!(!request.rewind());
        request.complete();
        assert!(request.rewind());
        assert_eq!(write_some(&mut request, 64), b"hello world");
        assert!(request.is_finished());
    }

    #[test]
    fn an_unwritten_request_can_always_be_sent() {
        let mut request = RequestBuffer::new(false);
        request.push(Bytes::from_static(b"POST"));
        assert!(request.rewind());
        assert_eq!(write_some(&mut request, 64), b"POST");
        request.complete();
        assert!(!request.rewind());
    }

    #[test]
    fn a_request_over_the_limit_is_not_kept() {
        let mut request = RequestBuffer::new(true);
        request.push(Bytes::from(vec![1; REPLAY_LIMIT + 1]));
        request.complete();
        write_some(&mut request, 16);
        assert!(!request.rewind());
    }

    /// What is lent until `taken_back`.
    struct Lent {
        bytes: Vec<u8>,
        taken_back: std::sync::atomic::AtomicBool,
    }

    impl Lent {
        fn new(bytes: Vec<u8>) -> Arc<Self> {
            let taken_back = false.into();
            Arc::new(Self { bytes, taken_back })
        }
    }

    impl Loan for Lent {
        fn len(&self) -> usize {
            self.bytes.len()
        }

        fn show(&self, at: usize, look: &mut dyn FnMut(&[u8])) -> bool {
            if self.taken_back.load(std::sync::atomic::Ordering::Relaxed) {
                return false;
            }
            look(&self.bytes[at..]);
            true
        }
    }

    fn pieces_of_large_request() -> (RequestBuffer, Vec<u8>, Arc<Lent>) {
        let mut request = RequestBuffer::new(true);
        let pieces: Vec<Vec<u8>> = (0..6_u8)
            .map(|i| vec![i; REPLAY_LIMIT / 2 + usize::from(i)])
            .collect();
        let mut last = None;
        request.push(Bytes::from_static(b"PUT"));
        for (i, piece) in pieces.iter().enumerate() {
            if i % 3 == 0 {
                request.push(piece.clone().into());
            } else {
                let lent = Lent::new(piece.clone());
                request.push_lent(lent.clone());
                last = Some(lent);
            }
        }
        request.complete();
        let whole = [&b"PUT"[..], &pieces.concat()].concat();
        (request, whole, last.expect("a loan"))
    }

    #[test]
    fn lent_pieces_are_written_in_their_place_however_little_is_taken_at_once() {
        for limit in [1_000, 7_777, 100_000, 1 << 20] {
            let (mut request, whole, _) = pieces_of_large_request();
            let mut written = Vec::new();
            while !request.is_finished() {
                written.extend(write_some(&mut request, limit));
            }
            assert!(written == whole, "{limit} bytes at once");
            assert_eq!(request.written(), whole.len() as u64);
        }
    }

    #[test]
    fn nothing_is_written_in_place_of_what_was_taken_back() {
        let (mut request, whole, last) = pieces_of_large_request();
        last.taken_back
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let mut transport = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let wrote = request.poll_write(&mut cx, &mut transport);
        assert!(
            matches!(wrote, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe)
        );
        assert_eq!(transport, whole[..whole.len() - last.len()]);
    }

    #[test]
    fn what_is_kept_is_a_copy_and_outlives_the_loan() {
        let mut small = RequestBuffer::new(true);
        small.push(Bytes::from_static(b"head"));
        let lent = Lent::new(b"body".to_vec());
        small.push_lent(lent.clone());
        small.complete();
        write_some(&mut small, 6);
        lent.taken_back
            .store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(small.rewind());
        assert_eq!(write_some(&mut small, 64), b"headbody");

        let (mut large, whole, last) = pieces_of_large_request();
        large.keep_all();
        last.taken_back
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let mut seen = Vec::new();
        while let Some(front) = large.front().cloned() {
            seen.extend_from_slice(&front);
            large.wrote(front.len());
        }
        assert!(seen == whole);
        assert!(large.rewind());
    }
}
