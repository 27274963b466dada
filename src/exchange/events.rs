//! What the engine tells whoever asked: the seam between exchanges and JavaScript.

use crate::connect::tls::Secured;
use std::net::SocketAddr;
use std::sync::Arc;

use super::event_loop::EventLoop;
use crate::connect::Connected;
use crate::error::Failure;
use crate::http1::head::Head;
use crate::pool::{CloseReason, ConnId, ExchangeId};

/// How a waiting request got its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// A live connection.
    Idle,
    /// A connection that is being opened.
    Dialing,
    /// A place for a socket of the runtime's own.
    Fallback,
}

/// What a connection was opened in place of, under the same lease.
#[derive(Clone, Copy, Debug)]
pub struct Replaces {
    /// How the other one ended.
    pub reason: CloseReason,
    /// Bytes of the request had been written to it.
    pub resent: bool,
    /// Nothing is written to it before [`Mailbox::approve`](super::mailbox::Mailbox::approve).
    pub asks: bool,
}

/// A response's head and what came with it.
pub struct Response<'a> {
    /// The head.
    pub head: &'a Head,
    /// Body bytes that came along.
    pub body: &'a [u8],
    /// The message is complete.
    pub end: bool,
    /// The whole request is in the kernel.
    pub request_written: bool,
}

/// Receives what happens to exchanges and connections, in order, on the I/O thread or the caller's own.
///
/// Every exchange settles exactly once: with an `end` (in `response`, `data` or by itself), or with `failed`; one that
/// the caller aborted hears nothing more. `closed` is the last word about a connection.
pub trait Events: Send + Sync {
    /// An exchange begins on the connection that is told of; `is_fetch` as in [`Begin`](super::mailbox::Begin::is_fetch).
    fn begins(&self, _exchange: ExchangeId, _is_fetch: bool) {}
    /// A head, informational or final, with the body bytes that came along.
    fn response(&self, exchange: ExchangeId, response: Response<'_>);
    /// Body bytes.
    fn data(&self, exchange: ExchangeId, bytes: bytes::Bytes, end: bool);
    /// All of the body, in the buffer that was lent for it.
    fn filled(&self, _exchange: ExchangeId, _len: usize) {}
    /// The message is complete; `trailers` as `name\0value…`.
    fn end(&self, exchange: ExchangeId, keep_alive: bool, request_written: bool, trailers: &[u8]);
    /// The connection was closed after the exchange's response was complete and before its caller has checked it in.
    fn parted(&self, _exchange: ExchangeId) {}
    /// Of a fetch's response no more is read until its caller has taken what is there.
    fn stalled(&self, _exchange: ExchangeId) {}
    /// What is told from now on is not heard before a failure: both are of one moment.
    fn hold(&self) {}
    /// The exchange failed; its connection is gone.
    fn failed(&self, exchange: ExchangeId, failure: &Failure, after_head: bool);
    /// So many request bytes are in the kernel. `eager`: somebody waits for it.
    fn written(&self, exchange: ExchangeId, bytes: u64, eager: bool);
    /// A queued exchange got its turn.
    fn assigned(&self, exchange: ExchangeId, conn: ConnId, how: Assigned);
    /// Whether names are looked up by whoever is told, and not by the system.
    fn looks_up(&self) -> bool {
        false
    }
    /// The name of a connection that is being opened is to be looked up; an answer comes by
    /// [`Mailbox::resolve`](super::mailbox::Mailbox::resolve).
    fn lookup(&self, _conn: ConnId) {}
    /// A connection is open; `replaces`: under the lease of one that was dead.
    fn connected(&self, conn: ConnId, connected: &Connected, replaces: Option<Replaces>);
    /// A connection has shaken hands; `connected` follows, after [`Secured::ask`] was answered if it is set.
    fn secured(&self, _conn: ConnId, _secured: &Secured) {}
    /// A connection that was another's, or is others' as well, has become this one's; its ends. `replaces` as in `connected`.
    fn adopted(
        &self,
        conn: ConnId,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
        replaces: Option<Replaces>,
    );
    /// A connection is gone. `idle`: it was nobody's.
    fn closed(&self, conn: ConnId, reason: CloseReason, idle: bool);
    /// One of the runtime's own idle sockets must go: it takes a waiter's place.
    fn evict_fallback(&self, agent: u32, key: u32);
    /// Wakes the other side for what it was told lazily.
    fn wake(&self);
    /// By which whoever is told can carry exchanges itself.
    fn event_loop(&self) -> Option<Arc<dyn EventLoop>> {
        None
    }
    /// Whether it can be told of fetches.
    fn takes_fetches(&self) -> bool {
        false
    }
    /// Whether it still tells others of a response that was complete before.
    fn is_telling(&self) -> bool {
        false
    }
    /// Whether it goes on with what it was told only when the connection is back on the I/O thread.
    fn awaits_return(&self) -> bool {
        false
    }
    /// The connection is back on the I/O thread, or closed. Returns whether it goes on with what it was told.
    fn returned(&self) -> bool {
        false
    }
}
