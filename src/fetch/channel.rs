//! Both directions between a fetch under way and JavaScript.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{mpsc, Notify};

use crate::config::RESPONSE_WINDOW;
use crate::exchange::events::Events;
use crate::pool::ExchangeId;

/// How a response's body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// As a stream.
    Pieces,
    /// At once, up to so many bytes.
    Whole { most: u32 },
}

/// Memory of JavaScript's for all of a body.
pub trait Room: Send + Sync {
    /// The body's length.
    fn len(&self) -> usize;
    /// Puts bytes at a place of it. False: there is none for them, or nobody wants them any more.
    fn put(&self, at: usize, bytes: &[u8]) -> bool;
}

/// Both directions between a fetch and JavaScript.
pub struct Channel {
    /// The caller's number for the fetch.
    pub exchange: ExchangeId,
    /// Whom to tell.
    pub events: Arc<dyn Events>,
    /// The response's head has been told.
    pub head_told: AtomicBool,
    unacknowledged: AtomicUsize,
    acknowledged: Notify,
    wanted: Mutex<Option<Wanted>>,
    room: Mutex<Option<Arc<dyn Room>>>,
    asked: Notify,
    /// Only if the body comes piece by piece.
    pieces: Option<mpsc::UnboundedSender<Piece>>,
    coming: Mutex<Option<mpsc::UnboundedReceiver<Piece>>>,
}

enum Piece {
    Bytes(Bytes),
    Last(Bytes),
}

impl Channel {
    /// `uploads`: the request's body comes piece by piece.
    pub(super) fn new(exchange: ExchangeId, uploads: bool, events: Arc<dyn Events>) -> Self {
        let upload = uploads.then(mpsc::unbounded_channel);
        let (pieces, coming) = upload.unzip();
        Self {
            exchange,
            events,
            head_told: AtomicBool::new(false),
            unacknowledged: AtomicUsize::new(0),
            acknowledged: Notify::new(),
            wanted: Mutex::default(),
            room: Mutex::default(),
            asked: Notify::new(),
            pieces,
            coming: Mutex::new(coming),
        }
    }

    /// Response bytes were consumed.
    pub(super) fn acknowledge(&self, bytes: usize) {
        let before = self.unacknowledged.load(Ordering::Relaxed);
        let after = before.saturating_sub(bytes);
        self.unacknowledged.store(after, Ordering::Relaxed);
        self.acknowledged.notify_one();
    }

    /// Somebody reads the response's body, and may have made room for it.
    pub(super) fn want(&self, wanted: Wanted, room: Option<Arc<dyn Room>>) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = room;
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
        self.asked.notify_one();
    }

    /// How the response's body is read; `None`: nobody does, so far.
    pub fn wanted(&self) -> Option<Wanted> {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the response's body goes, if somebody has made room for one of that length.
    pub fn room(&self, len: u64) -> Option<Arc<dyn Room>> {
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.as_ref()
            .filter(|room| room.len() as u64 == len)
            .map(Arc::clone)
    }

    /// Waits until [`Self::wanted`] has changed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping it.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// A piece of the request's body.
    pub(super) fn feed(&self, bytes: Bytes, last: bool) {
        let piece = if last { Piece::Last } else { Piece::Bytes };
        if let Some(pieces) = &self.pieces {
            // Nobody takes it when the request has failed.
            let _ = pieces.send(piece(bytes));
        }
    }

    /// Waits until JavaScript may be sent more of the response's body.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping it.
    pub async fn window(&self) {
        while self.unacknowledged.load(Ordering::Relaxed) >= RESPONSE_WINDOW {
            self.events.stalled(self.exchange);
            self.acknowledged.notified().await;
        }
    }

    /// Tells a piece of the response's body.
    pub fn data(&self, bytes: Bytes, last: bool) {
        self.unacknowledged
            .fetch_add(bytes.len(), Ordering::Relaxed);
        self.events.data(self.exchange, bytes, last);
    }

    /// The request's body, piece by piece; the second call gets none.
    pub fn upload(self: &Arc<Self>) -> Option<Upload> {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Upload {
            coming: coming.take()?,
            channel: Arc::clone(self),
            taken: AtomicU64::new(0),
            ended: false,
        })
    }
}

/// The body of a request whose pieces JavaScript sends when the one before was taken.
pub struct Upload {
    coming: mpsc::UnboundedReceiver<Piece>,
    channel: Arc<Channel>,
    taken: AtomicU64,
    ended: bool,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = std::task::ready!(self.coming.poll_recv(cx));
        let (bytes, last) = match piece {
            Some(Piece::Bytes(bytes)) => (bytes, false),
            Some(Piece::Last(bytes)) => (bytes, true),
            None => {
                let gone = std::io::Error::other("the request's body was given up");
                return Poll::Ready(Some(Err(gone)));
            }
        };
        self.ended = last;
        if last && bytes.is_empty() {
            return Poll::Ready(None);
        }
        let len = bytes.len() as u64;
        let taken = self.taken.fetch_add(len, Ordering::Relaxed) + len;
        self.channel
            .events
            .written(self.channel.exchange, taken, true);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
