//! Exchanges of the engine that are fetches: a body waits until it is read, and comes without its content codings.
//!
//! A connection that has carried a fetch tells its owner through a [`FetchRelay`]. It passes on what it is told, except for a
//! response whose body is still coming, or has content codings: its bytes go to a task, and what JavaScript hears of the
//! response comes from there, the connection's end, should it come first, included. What JavaScript acknowledges goes to
//! that task as well, which acknowledges to the engine what it takes: neither side runs ahead of its reader.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{header, HeaderMap, HeaderValue};
use http_body::Frame;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::channel::Channel;
use super::decoding::Incoming;
use super::under_way::accompany;
use super::{failure, response};
use crate::connect::tls::Secured;
use crate::connect::Connected;
use crate::engine::connections::{self, Connections};
use crate::error::Failure;
use crate::exchange::event_loop::EventLoop;
use crate::exchange::events::{Assigned, Events, Replaces, Response};
use crate::exchange::mailbox::Input;
use crate::faults::{self, FaultPoint};
use crate::http1::head::{Framing, Head};
use crate::http1::version::Version;
use crate::io_thread;
use crate::pool::{CloseReason, ConnId, ExchangeId, PortId};

/// A connection of the thread `port` is about to carry a fetch.
pub fn attach(connections: &Connections, port: PortId, conn: ConnId) {
    connections.wrap(conn, |inner| Arc::new(FetchRelay::new(port, inner)));
}

/// Stands between a connection and whoever is told of it.
struct FetchRelay {
    port: PortId,
    inner: Arc<dyn Events>,
    /// The exchange under way, if it is a fetch; 0: it is none.
    exchange: AtomicU64,
    /// Where the present response goes while a task tells it.
    feed: Mutex<Option<UnboundedSender<Part>>>,
    /// A response that needs a task, which the I/O thread alone can have: until the connection is back there.
    put_off: Mutex<Option<PutOff>>,
}

/// A response that a task is to tell, and what has come of it.
struct PutOff {
    exchange: ExchangeId,
    head: Head,
    headers: HeaderMap,
    request_written: bool,
    parts: UnboundedReceiver<Part>,
}

/// What the engine says of a response that a task tells.
enum Part {
    Bytes(Bytes),
    End {
        keep_alive: bool,
        request_written: bool,
    },
    Failed(Box<Failure>),
    Closed(ConnId, CloseReason, bool),
}

impl FetchRelay {
    /// Tells `inner`, whose thread is `port`.
    fn new(port: PortId, inner: Arc<dyn Events>) -> Self {
        Self {
            port,
            inner,
            exchange: AtomicU64::new(0),
            feed: Mutex::default(),
            put_off: Mutex::default(),
        }
    }

    fn put_off(&self) -> MutexGuard<'_, Option<PutOff>> {
        self.put_off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feed(&self) -> MutexGuard<'_, Option<UnboundedSender<Part>>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives `part` to the response's task; back if there is none, or no more.
    fn pass(&self, part: Part) -> Option<Part> {
        match &*self.feed() {
            Some(feed) => feed.send(part).err().map(|refused| refused.0),
            None => Some(part),
        }
    }

    /// Has a task tell the response, once it can.
    fn hand_on(&self, exchange: ExchangeId, headers: HeaderMap, response: &Response<'_>) {
        let (feed, parts) = mpsc::unbounded_channel();
        let body = Bytes::copy_from_slice(response.body);
        // It can't fail: the receiver is here.
        let _ = feed.send(Part::Bytes(body));
        if response.end {
            let _ = feed.send(Part::End {
                keep_alive: response.head.keep_alive,
                request_written: response.request_written,
            });
        }
        *self.feed() = Some(feed);
        let response = PutOff {
            exchange,
            head: response.head.clone(),
            headers,
            request_written: response.request_written,
            parts,
        };
        if io_thread::is_current() {
            self.accompany(response);
        } else {
            *self.put_off() = Some(response);
        }
    }

    /// Has a task tell the response. I/O thread only.
    fn accompany(&self, response: PutOff) {
        let PutOff {
            exchange,
            head,
            headers,
            request_written,
            parts,
        } = response;
        let parts = Arc::new(Mutex::new(Parts {
            coming: parts,
            port: self.port,
            exchange,
            inner: Arc::clone(&self.inner),
            ended: None,
            failure: None,
        }));
        let channel = Arc::new(Channel::new(exchange, false, Arc::clone(&self.inner)));
        accompany(
            self.port,
            Arc::clone(&channel),
            tell(head, headers, request_written, parts, channel),
        );
    }
}

/// Tells a response from what comes of it.
async fn tell(
    head: Head,
    headers: HeaderMap,
    written: bool,
    parts: Arc<Mutex<Parts>>,
    channel: Arc<Channel>,
) {
    faults::at(FaultPoint::Decode);
    let locked = || parts.lock().unwrap_or_else(PoisonError::into_inner);
    let expected = match head.framing {
        _ if !headers.is_empty() => 0,
        Framing::Length(length) => length,
        // HTTP/2 has no such framing, and sees to it that a body is as long as its head says.
        Framing::None if head.version == Version::Http20 => announced(&head),
        _ => 0,
    };
    let told = match Incoming::new(Source(Arc::clone(&parts)), &headers) {
        Ok(mut body) => response::tell(&head, &mut body, &channel, written, expected)
            .await
            .map_err(|error| {
                let own = locked().failure.take();
                own.map_or_else(|| failure::of_body(&*error), |own| *own)
            }),
        Err(message) => Err(Failure::new("", message)),
    };
    match told {
        Ok(rest) => {
            let (keep_alive, written_by_end) = locked().ended.unwrap_or_default();
            let keep_alive = keep_alive && head.keep_alive;
            let head = Head { keep_alive, ..head };
            rest.tell(&head, &channel, written || written_by_end, keep_alive);
        }
        Err(failure) => {
            // After content that can't be decoded the connection is still open, in the middle of the message.
            let (port, exchange) = (locked().port, channel.exchange);
            connections::run(move |all| all.kill_exchange(port, exchange, CloseReason::Error));
            let after_head = channel.head_told.load(Ordering::Relaxed);
            channel
                .events
                .failed(channel.exchange, &failure, after_head);
        }
    }
}

/// What comes of a response, in order.
struct Parts {
    coming: UnboundedReceiver<Part>,
    port: PortId,
    exchange: ExchangeId,
    inner: Arc<dyn Events>,
    /// Of a complete message: whether it allows another one on its connection, and whether all of the request is sent.
    ended: Option<(bool, bool)>,
    failure: Option<Box<Failure>>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        // The connection's end is told even if nobody takes the response any more.
        self.coming.close();
        while let Ok(part) = self.coming.try_recv() {
            if let Part::Closed(conn, reason, idle) = part {
                self.inner.closed(conn, reason, idle);
            }
        }
    }
}

/// The encoded body.
struct Source(Arc<Mutex<Parts>>);

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.ended.is_some() {
            return Poll::Ready(None);
        }
        let broken = || Poll::Ready(Some(Err(std::io::Error::other("the response broke off"))));
        match std::task::ready!(parts.coming.poll_recv(cx)) {
            Some(Part::Bytes(bytes)) => {
                let (port, exchange, taken) = (parts.port, parts.exchange, bytes.len());
                // Its task polls it, and tasks of fetches are the I/O thread's.
                connections::here(|all| drop(all.input(port, exchange, Input::Ack(taken))));
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Part::End {
                keep_alive,
                request_written,
            }) => {
                parts.ended = Some((keep_alive, request_written));
                Poll::Ready(None)
            }
            Some(Part::Failed(failure)) => {
                parts.failure = Some(failure);
                broken()
            }
            Some(Part::Closed(conn, reason, idle)) => {
                parts.inner.closed(conn, reason, idle);
                broken()
            }
            None => broken(),
        }
    }
}

/// A head's fields, names and values.
fn fields(head: &Head) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut texts = head.text.split(|&byte| byte == 0);
    std::iter::from_fn(move || Some((texts.next()?, texts.next()?)))
}

/// How long a head says that its body is; 0: it does not.
fn announced(head: &Head) -> u64 {
    fields(head)
        .find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok())
        .unwrap_or_default()
}

/// The fields that say how a body is encoded.
fn codings(head: &Head) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields(head) {
        if name.eq_ignore_ascii_case(b"content-encoding") {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(header::CONTENT_ENCODING, value);
            }
        }
    }
    headers
}

impl Events for FetchRelay {
    fn begins(&self, exchange: ExchangeId, is_fetch: bool) {
        let number = if is_fetch { exchange } else { 0 };
        self.exchange.store(number, Ordering::Relaxed);
        *self.feed() = None;
    }

    fn response(&self, exchange: ExchangeId, response: Response<'_>) {
        if self.exchange.load(Ordering::Relaxed) == exchange && !response.head.is_informational() {
            let headers = codings(response.head);
            let has_codings = !headers.is_empty() && !response.body.is_empty();
            if has_codings || !response.end {
                self.hand_on(exchange, headers, &response);
                return;
            }
        }
        self.inner.response(exchange, response);
    }

    fn data(&self, exchange: ExchangeId, bytes: Bytes, end: bool) {
        let Some(Part::Bytes(bytes)) = self.pass(Part::Bytes(bytes)) else {
            if end {
                // DATA does not say whether the connection stays; the head has.
                let _ = self.pass(Part::End {
                    keep_alive: true,
                    request_written: false,
                });
            }
            return;
        };
        self.inner.data(exchange, bytes, end);
    }

    fn end(&self, exchange: ExchangeId, keep_alive: bool, request_written: bool, trailers: &[u8]) {
        let end = Part::End {
            keep_alive,
            request_written,
        };
        if self.pass(end).is_some() {
            self.inner
                .end(exchange, keep_alive, request_written, trailers);
        }
    }

    fn parted(&self, exchange: ExchangeId) {
        self.inner.parted(exchange);
    }

    fn failed(&self, exchange: ExchangeId, failure: &Failure, after_head: bool) {
        if self.pass(Part::Failed(Box::new(failure.clone()))).is_some() {
            self.inner.failed(exchange, failure, after_head);
        }
    }

    fn written(&self, exchange: ExchangeId, bytes: u64, eager: bool) {
        self.inner.written(exchange, bytes, eager);
    }

    fn assigned(&self, exchange: ExchangeId, conn: ConnId, how: Assigned) {
        self.inner.assigned(exchange, conn, how);
    }

    fn looks_up(&self) -> bool {
        self.inner.looks_up()
    }

    fn lookup(&self, conn: ConnId) {
        self.inner.lookup(conn);
    }

    fn connected(&self, conn: ConnId, connected: &Connected, replaces: Option<Replaces>) {
        self.inner.connected(conn, connected, replaces);
    }

    fn secured(&self, conn: ConnId, secured: &Secured) {
        self.inner.secured(conn, secured);
    }

    fn adopted(
        &self,
        conn: ConnId,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
        replaces: Option<Replaces>,
    ) {
        self.inner.adopted(conn, local, remote, replaces);
    }

    fn closed(&self, conn: ConnId, reason: CloseReason, idle: bool) {
        if self.pass(Part::Closed(conn, reason, idle)).is_some() {
            self.inner.closed(conn, reason, idle);
        }
    }

    fn evict_fallback(&self, agent: u32, key: u32) {
        self.inner.evict_fallback(agent, key);
    }

    fn event_loop(&self) -> Option<Arc<dyn EventLoop>> {
        self.inner.event_loop()
    }

    fn hold(&self) {
        // What a task tells of a fetch comes later, and all others' records would wait for it.
        if self.exchange.load(Ordering::Relaxed) == 0 {
            self.inner.hold();
        }
    }

    fn takes_fetches(&self) -> bool {
        true
    }

    fn is_telling(&self) -> bool {
        self.feed().is_some()
    }

    fn awaits_return(&self) -> bool {
        self.put_off().is_some()
    }

    fn returned(&self) -> bool {
        let put_off = self.put_off().take();
        let is_told_on = put_off.is_some();
        if let Some(response) = put_off {
            self.accompany(response);
        }
        is_told_on
    }

    fn wake(&self) {
        self.inner.wake();
    }
}
