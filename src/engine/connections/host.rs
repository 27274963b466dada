//! The engine as connections see it: what their tasks ask of it, here or on another thread, and how their end is told.

use std::rc::Rc;
use std::sync::Arc;

use super::{Connection, Leases, CONNECTIONS};
use crate::contain::contain;
use crate::error::Failure;
use crate::exchange::context::Host;
use crate::exchange::owner::Resumed;
use crate::exchange::surroundings::Remote;
use crate::io_thread;
use crate::pool::{CloseReason, ConnId, LastAnswer};

/// Tells a connection's end, however its task ends.
pub(super) struct Ending {
    connection: Rc<Connection>,
    is_told: bool,
}

impl Ending {
    pub(super) fn new(connection: Rc<Connection>) -> Self {
        Self {
            connection,
            is_told: false,
        }
    }

    pub(super) fn tell(&mut self, reason: CloseReason) {
        self.is_told = true;
        CONNECTIONS.with(|all| all.forget(&self.connection));
        let owner = &self.connection.owner;
        owner.count_closed(reason);
        let idle = self.connection.leases.gone(owner.conn(), reason);
        owner.events().closed(owner.conn(), reason, idle);
    }

    /// The same for a task that panicked or was dropped: its exchange, if it is not over, fails.
    pub(super) fn fail(&mut self, failure: &Failure) {
        let owner = &self.connection.owner;
        owner.count(|metrics| metrics.errors.add(failure.code.clone()));
        if !self.connection.is_over.get() {
            let exchange = self.connection.exchange.get();
            owner.events().failed(exchange, failure, false);
        }
        self.tell(CloseReason::Error);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_told {
            drop(contain(|| self.fail(&io_thread::ended())));
        }
    }
}

/// The engine, as a connection's task sees it.
pub(super) struct OnIoThread(pub(super) Rc<Connection>);

impl Host for OnIoThread {
    fn remind(&self) {
        CONNECTIONS.with(|all| all.remind(Rc::clone(&self.0)));
    }

    fn connected(&self) {
        self.0.leases.connected(self.0.owner.conn());
    }

    fn died(&self, reason: CloseReason, teaches: bool) -> bool {
        self.0.leases.died(self.0.owner.conn(), reason, teaches)
    }

    fn close_after_response(&self, reason: CloseReason) {
        self.0
            .leases
            .close_after_response(self.0.owner.conn(), reason);
    }

    fn answered(&self, says_close: bool) {
        self.0.answered.note(self.0.leases.now(), says_close);
        self.0.is_over.set(true);
    }

    fn ended_by_peer(&self) {
        self.0.leases.ended_by_peer(self.0.owner.conn());
    }

    fn redial(&self) {
        self.0.leases.redial(self.0.owner.conn());
    }

    fn resumes(&self, resumed: Resumed) {
        CONNECTIONS.with(|all| all.resume(&self.0, resumed));
    }

    fn remote(&self) -> Arc<dyn Remote> {
        // Its exchange is over: commands that come late for it must not find the connection while it is away.
        CONNECTIONS.with(|all| all.end_exchange(&self.0));
        Arc::new(AwayHost {
            conn: self.0.owner.conn(),
            answered: Arc::clone(&self.0.answered),
            leases: self.0.leases,
        })
    }
}

/// The engine, as a connection that is away sees it.
struct AwayHost {
    conn: ConnId,
    answered: Arc<LastAnswer>,
    leases: &'static dyn Leases,
}

impl Remote for AwayHost {
    fn answered(&self, says_close: bool) {
        self.answered.note(self.leases.now(), says_close);
    }

    fn close_after_response(&self, reason: CloseReason) {
        self.leases.close_after_response(self.conn, reason);
    }

    fn ended_by_peer(&self) {
        self.leases.ended_by_peer(self.conn);
    }
}
