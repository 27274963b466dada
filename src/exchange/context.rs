//! What a connection's task works with, and what it asks of the rest of the engine.

use std::rc::Rc;
use std::sync::Arc;

use super::events::Events;
use super::mailbox::Mailbox;
use super::owner::{Owner, Resumed};
use super::surroundings::{Remote, Surroundings};
use crate::http2;
use crate::metrics::Metrics;
use crate::pool::{CloseReason, ExchangeId};

/// What a connection's task needs to live.
pub struct Task {
    /// Whose it is at the moment.
    pub owner: Rc<Owner>,
    /// The exchange it is opened for.
    pub exchange: ExchangeId,
    /// Where its commands arrive.
    pub mailbox: Rc<Mailbox>,
    /// What it asks of the rest of the engine.
    pub host: Box<dyn Host>,
    /// What there is to know if it may be a place in a session of HTTP/2.
    pub http2: Option<MayHttp2>,
}

/// Of a connection that may be a place in a session.
pub struct MayHttp2 {
    /// What is known of its origin.
    pub origin: Rc<http2::Origin>,
    /// How many ms a session may live; 0: no limit.
    pub ttl_ms: u64,
}

/// What a connection's task asks of the rest of the engine.
pub trait Host {
    /// Something was told lazily, or was written and nobody waits to hear it: wake the events' owner, and send
    /// [`Input::Tick`](super::mailbox::Input::Tick) if an acknowledgement is still pending, a little later.
    fn remind(&self);
    /// The transport is open.
    fn connected(&self);
    /// The transport died while no exchange was under way. True: the connection was idle and is forgotten. False: it
    /// is on lease, so its holder will check it in, give it up, or begin an exchange, which goes to a fresh transport.
    /// `teaches`: it tells how long the peer lets connections be idle.
    fn died(&self, reason: CloseReason, teaches: bool) -> bool;
    /// A response is complete: from now on its peer has nothing to do. `says_close`: it, or its request, said that the
    /// connection ends with it.
    fn answered(&self, says_close: bool);
    /// The exchange under way is the last one: whoever checks the connection in, it goes to nobody else.
    fn close_after_response(&self, reason: CloseReason);
    /// The peer has ended the transport: without an answer to the request that is under way, or about to be, or behind its
    /// answer.
    fn ended_by_peer(&self);
    /// A dead transport is being replaced under the same lease.
    fn redial(&self);
    /// The connection is back with this exchange, which began elsewhere.
    fn resumes(&self, resumed: Resumed);
    /// What is asked of it from another thread.
    fn remote(&self) -> Arc<dyn Remote>;
}

impl Surroundings for Task {
    fn events(&self) -> Arc<dyn Events> {
        self.owner.events()
    }

    fn count(&self, what: impl FnOnce(&Metrics)) {
        self.owner.count(what);
    }

    fn count_response(&self, method: usize, status: u16) {
        self.owner.count_response(method, status);
    }

    fn answered(&self, says_close: bool) {
        self.host.answered(says_close);
    }

    fn close_after_response(&self, reason: CloseReason) {
        self.host.close_after_response(reason);
    }

    fn ended_by_peer(&self) {
        self.host.ended_by_peer();
    }

    fn put_off_word(&self, is_due: bool) {
        if is_due && !self.mailbox.ack_pending.get() {
            self.host.remind();
        }
        self.mailbox.ack_pending.set(is_due);
    }
}
