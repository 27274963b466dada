//! What JavaScript asked for, and what reaches a fetch under way.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Frame;
use reqwest::Url;
use tokio::sync::{mpsc, Notify};

use super::stats::{self, Counters};
use crate::config::RESPONSE_WINDOW;
use crate::exchange::events::Events;
use crate::pool::ExchangeId;

/// A request's body.
#[derive(Debug)]
pub enum Body {
    /// None.
    None,
    /// Known, but still on its way here.
    Coming,
    /// All of it; may be sent again.
    Whole(Bytes),
    /// Piece by piece, once.
    Stream,
}

/// What a request says before its body.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The origin of `url`.
    pub origin: Arc<str>,
    /// The header fields.
    pub headers: HeaderMap,
    /// What is counted of the origin.
    pub counters: Arc<Counters>,
}

/// A fetch that was asked for.
#[derive(Debug)]
pub struct FetchRequest {
    /// The caller's number for it.
    pub exchange: ExchangeId,
    /// Shared by requests of the same text.
    pub head: Arc<RequestHead>,
    /// The request's body.
    pub body: Body,
    /// The number of its client (see [`super::clients`]).
    pub client: u32,
}

/// Most fields of a request's head; the client adds some, to a map that panics at 24,577.
const MOST_FIELDS: usize = 16 * 1024;
/// Most heads that are remembered.
const MOST_HEADS: usize = 256;
/// Longest text of a head that is remembered.
const LONGEST_TEXT: usize = 4096;

thread_local! {
    /// Heads by their texts: programs ask for the same again and again.
    static HEADS: RefCell<HashMap<Box<[u8]>, Arc<RequestHead>>> = RefCell::default();
}

/// Whether a URL can be the client's.
pub fn makes_sense(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.has_host() && http::Uri::try_from(url.as_str()).is_ok())
}

impl RequestHead {
    /// Reads `METHOD\0url\0name\0value…`; `None` if it makes no sense, which JavaScript sees to (`lib/fetch/head.js`).
    fn parse(text: &[u8]) -> Option<Self> {
        let mut fields = text.split(|&byte| byte == 0);
        let method = Method::from_bytes(fields.next()?).ok()?;
        let url = Url::parse(std::str::from_utf8(fields.next()?).ok()?).ok()?;
        let mut headers = HeaderMap::new();
        while let Some(name) = fields.next() {
            let name = HeaderName::from_bytes(name).ok()?;
            let value = HeaderValue::from_bytes(fields.next()?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        if headers.len() > MOST_FIELDS {
            return None;
        }
        let origin: Arc<str> = url.origin().ascii_serialization().into();
        Some(Self {
            method,
            url,
            headers,
            counters: stats::of(&origin),
            origin,
        })
    }

    fn of(text: &[u8]) -> Option<Arc<Self>> {
        HEADS.with_borrow_mut(|heads| {
            if let Some(head) = heads.get(text) {
                return Some(Arc::clone(head));
            }
            let head = Arc::new(Self::parse(text)?);
            if text.len() <= LONGEST_TEXT {
                if heads.len() >= MOST_HEADS {
                    heads.clear();
                }
                heads.insert(text.into(), Arc::clone(&head));
            }
            Some(head)
        })
    }
}

impl FetchRequest {
    /// A request with this head ([`RequestHead`] says how it is written); `None` if it makes no sense.
    pub fn parse(exchange: ExchangeId, client: u32, text: &[u8], body: Body) -> Option<Self> {
        Some(Self {
            exchange,
            head: RequestHead::of(text)?,
            body,
            client,
        })
    }

    /// Whether its body is still on its way.
    pub fn waits_for_body(&self) -> bool {
        matches!(self.body, Body::Coming)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_from_its_text() {
        let text = b"POST\0http://a.test/x?y\0a\x001\0set-b\x002\0set-b\x003";
        let request = FetchRequest::parse(7, 0, text, Body::Coming).unwrap();
        assert_eq!(request.head.method, Method::POST);
        assert_eq!(request.head.url.as_str(), "http://a.test/x?y");
        assert_eq!(request.head.headers.get_all("set-b").iter().count(), 2);
        assert!(request.waits_for_body());
    }

    #[test]
    fn more_fields_than_a_map_takes_are_no_request() {
        for (count, is_request) in [(MOST_FIELDS, true), (24_577, false), (40_000, false)] {
            let fields: String = (0..count).map(|i| format!("\0x-{i}\0")).collect();
            let text = format!("GET\0https://a/{fields}");
            let request = FetchRequest::parse(1, 0, text.as_bytes(), Body::None);
            assert_eq!(request.is_some(), is_request, "{count}");
        }
    }

    #[test]
    fn a_text_without_sense_is_no_request() {
        for text in [
            &b""[..],
            b"GET",
            b"GET\0x",
            b"GET\0http://a/\0na me\0v",
            b"GET\0http://a/\0n",
        ] {
            assert!(FetchRequest::parse(1, 0, text, Body::None).is_none());
        }
    }
}
