//! Request bytes on their way out: verbatim, in order, and kept while they may have to be sent again.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::config::{REPLAY_LIMIT, TURN_WRITTEN};
use crate::metrics::method_of;

const MAX_SLICES: usize = 16;

/// The bytes of one request.
pub struct RequestBuffer {
    queue: VecDeque<Bytes>,
    /// Everything sent so far, while it may be sent again.
    sent: Option<Vec<Bytes>>,
    /// The most that is kept.
    limit: u64,
    total: u64,
    written: u64,
    complete: bool,
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
            method: 0,
        }
    }

    /// Appends bytes of the request.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.count(&bytes);
        if let Some(sent) = &mut self.sent {
            sent.push(bytes.clone());
        }
        self.queue.push_back(bytes);
    }

    fn count(&mut self, bytes: &[u8]) {
        if self.total == 0 {
            self.method = method_of(bytes);
        }
        self.total += bytes.len() as u64;
        if self.total > self.limit {
            self.sent = None;
        }
    }

    /// Whether a piece of this size is not kept, so that it may be written from where it is.
    pub fn may_borrow(&self, len: usize) -> bool {
        self.sent.is_none() || self.total + len as u64 > self.limit
    }

    /// Appends a piece that [may be borrowed](Self::may_borrow), and writes what the transport takes now; what is left of it is copied.
    pub fn write_borrowed<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut T,
        piece: &[u8],
        copy: fn(&[u8]) -> Bytes,
    ) -> Poll<io::Result<()>> {
        self.count(piece);
        let mut rest = piece;
        let wrote = loop {
            if rest.is_empty() && self.queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match self.write_some(cx, transport, rest) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Ready(Ok(count)) => rest = &rest[self.advance(count)..],
            }
        };
        if !rest.is_empty() {
            self.queue.push_back(copy(rest));
        }
        wrote
    }

    /// Keeps all of what is written from now on, and what was, until [`Self::forget`].
    pub fn keep_all(&mut self) {
        if self.written == 0 {
            self.limit = u64::MAX;
            self.sent = Some(self.queue.iter().cloned().collect());
        }
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
            self.queue = sent.iter().cloned().collect();
            self.written = 0;
        }
        self.limit = REPLAY_LIMIT as u64;
        if !keep || self.total > self.limit {
            self.sent = None;
        }
        true
    }

    /// Takes the head, blank line included, once it is complete.
    pub fn take_head(&mut self) -> Option<Bytes> {
        let end = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if end(self.queue.front()?).is_none() && self.queue.len() > 1 {
            let joined: Vec<u8> = self.queue.drain(..).flatten().collect();
            self.queue.push_back(joined.into());
        }
        let first = self.queue.front()?;
        let len = end(first)? + 4;
        let head = first.slice(..len);
        self.advance(len);
        Some(head)
    }

    /// Whether no more bytes follow.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What is to be written next.
    pub fn front(&self) -> Option<&Bytes> {
        self.queue.front()
    }

    /// Whether no more bytes follow, and after the next `count` none is left.
    pub fn ends_after(&self, count: usize) -> bool {
        self.complete && self.queue.iter().map(Bytes::len).sum::<usize>() == count
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
                self.queue = sent.iter().cloned().collect();
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
            match self.write_some(cx, transport, &[]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(count)) => {
                    self.advance(count);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes some of what waits, and of `more` behind it.
    fn write_some<T: AsyncWrite + Unpin>(
        &self,
        cx: &mut Context<'_>,
        transport: &mut T,
        more: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let waiting = self.queue.iter().map(|bytes| &**bytes);
        let all = waiting.chain((!more.is_empty()).then_some(more));
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        let transport = Pin::new(transport);
        let wrote = if count == 1 {
            transport.poll_write(cx, &slices[0])
        } else {
            transport.poll_write_vectored(cx, &slices[..count])
        };
        match wrote {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            wrote => wrote,
        }
    }

    /// So many bytes were written. Returns how many of them were not in the queue.
    fn advance(&mut self, mut count: usize) -> usize {
        self.written += count as u64;
        while let Some(front) = self.queue.front_mut() {
            if count < front.len() {
                front.advance(count);
                return 0;
            }
            count -= front.len();
            self.queue.pop_front();
        }
        count
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
    fn of_a_borrowed_piece_only_what_is_left_is_copied() {
        let copy = |bytes: &[u8]| {
            assert_eq!(bytes, b"yz");
            Bytes::copy_from_slice(bytes)
        };
        let mut request = RequestBuffer::new(true);
        request.push(Bytes::from(vec![b'x'; REPLAY_LIMIT - 2]));
        assert!(!request.may_borrow(2) && request.may_borrow(3));
        let (mut near, _far) = tokio::io::duplex(REPLAY_LIMIT);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let wrote = request.write_borrowed(&mut cx, &mut near, b"xxyz", copy);
        assert!(wrote.is_pending());
        assert_eq!(request.written(), REPLAY_LIMIT as u64);
        request.complete();
        assert!(!request.rewind() && request.ends_after(2));
        assert_eq!(write_some(&mut request, 8), b"yz");
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
}
