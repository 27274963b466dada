//! The open connections of the process and the exchanges on them: what the engine has on the I/O thread.
//!
//! Everything here is single-threaded: closures sent with [`run`] reach it in the order they were sent. What follows from
//! what a connection tells is decided elsewhere ([`Leases`]).
//!
//! * `host`: what a connection's task asks of the engine, and how its end is told.
//! * `rotation`: names that are asked for again while there are connections to them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::config::LAZY_WAKE;
use crate::connect::tls::Secured;
use crate::connect::{Profile, Rotation, SocketOption};
use crate::contain::Contained;
use crate::exchange::context::{MayHttp2, Task};
use crate::exchange::events::Events;
use crate::exchange::mailbox::{Begin, Input, Mailbox};
use crate::exchange::owner::{Owner, Resumed};
use crate::http2;
use crate::io_thread;
use crate::metrics::Metrics;
use crate::pool::{AgentId, CloseReason, ConnId, ExchangeId, KeyId, LastAnswer, PortId, WaiterId};

use self::host::{Ending, OnIoThread};

mod host;
mod rotation;

/// The port of connections whose thread has ended.
const NO_PORT: PortId = 0;

thread_local! {
    static CONNECTIONS: Connections = Connections::default();
}

/// Runs `job` on the I/O thread, as [`io_thread::run`] does, with the connections that are there.
pub fn run(job: impl FnOnce(&Connections) + Send + 'static) {
    io_thread::run(move || CONNECTIONS.with(job));
}

/// Runs `job` at once, before what was sent with [`run`], for a task of the I/O thread: nobody else may.
pub fn here<R>(job: impl FnOnce(&Connections) -> R) -> R {
    debug_assert!(io_thread::is_current());
    CONNECTIONS.with(job)
}

/// Forgets what lived on an I/O thread that has ended.
pub fn forget_all() {
    CONNECTIONS.with(|all| {
        all.connections.take();
        all.exchanges.take();
        all.reminders.take();
        all.http2.take();
        all.rotations.take();
    });
}

/// Whoever decides what becomes of connections and their leases.
pub trait Leases: Sync {
    /// Milliseconds of the engine's clock.
    fn now(&self) -> u64;
    /// A connection is open.
    fn connected(&self, conn: ConnId);
    /// A leased connection was dead and is dialed anew.
    fn redial(&self, conn: ConnId);
    /// A connection's transport died with no exchange under way: forgets it if it was idle; else its holder decides.
    /// `teaches`: it tells how long the peer lets connections be idle.
    fn died(&self, conn: ConnId, reason: CloseReason, teaches: bool) -> bool;
    /// The peer ended a leased connection: without an answer to the request on it, or behind its answer.
    fn ended_by_peer(&self, conn: ConnId);
    /// A leased connection's present exchange is its last.
    fn close_after_response(&self, conn: ConnId, reason: CloseReason);
    /// A connection is to be used no more: it is closed if it is idle, else after its present exchange.
    fn retire(&self, conn: ConnId, reason: CloseReason);
    /// A connection is gone: its place is given on. True if it was nobody's.
    fn gone(&self, conn: ConnId, reason: CloseReason) -> bool;
}

/// A connection that is to be opened.
pub struct Opening {
    /// For whom.
    pub waiter: WaiterId,
    /// Its number.
    pub conn: ConnId,
    /// How.
    pub profile: Arc<Profile>,
    /// Who is told of it.
    pub events: Arc<dyn Events>,
    /// Counters of its origin.
    pub metrics: Arc<Metrics>,
    /// Its last response, in the engine's ms.
    pub answered: Arc<LastAnswer>,
    /// Who decides about it.
    pub leases: &'static dyn Leases,
    /// Whose it is, if it may be a place in a session, and how many ms that may live; 0: no limit.
    pub http2: Option<(AgentId, KeyId, u64)>,
}

/// What the I/O thread holds.
#[derive(Default)]
pub struct Connections {
    connections: RefCell<HashMap<ConnId, Rc<Connection>>>,
    exchanges: RefCell<HashMap<(PortId, ExchangeId), Rc<Connection>>>,
    reminders: RefCell<Vec<Rc<Connection>>>,
    /// What is known of origins that may go over HTTP/2.
    http2: RefCell<HashMap<(AgentId, KeyId), Rc<http2::Origin>>>,
    /// Names that are asked for again while connections to them are open.
    rotations: RefCell<Vec<Rotation>>,
}

struct Connection {
    owner: Rc<Owner>,
    answered: Arc<LastAnswer>,
    port: Cell<PortId>,
    exchange: Cell<ExchangeId>,
    /// The exchange has had its response, or its failure.
    is_over: Cell<bool>,
    mailbox: Rc<Mailbox>,
    leases: &'static dyn Leases,
    /// What it may be a place of.
    http2: Option<Rc<http2::Origin>>,
    /// [`Connections::wrap`] has been done.
    is_wrapped: Cell<bool>,
}

impl Connections {
    /// Opens a connection for a waiter.
    pub fn open(&self, opening: Opening) {
        let Opening {
            waiter,
            conn,
            profile,
            events,
            metrics,
            answered,
            leases,
            http2,
        } = opening;
        let http2 = http2.map(|(agent, key, ttl_ms)| {
            let mut known = self.http2.borrow_mut();
            MayHttp2 {
                origin: Rc::clone(known.entry((agent, key)).or_default()),
                ttl_ms,
            }
        });
        self.rotate(&profile, &events);
        let connection = Rc::new(Connection {
            http2: http2.as_ref().map(|http2| Rc::clone(&http2.origin)),
            owner: Rc::new(Owner::new(conn, profile, events, metrics)),
            answered,
            port: Cell::new(waiter.port),
            exchange: Cell::new(waiter.exchange),
            is_over: Cell::new(false),
            mailbox: Rc::default(),
            leases,
            is_wrapped: Cell::new(false),
        });
        self.connections
            .borrow_mut()
            .insert(conn, Rc::clone(&connection));
        let task = Task {
            owner: Rc::clone(&connection.owner),
            exchange: waiter.exchange,
            mailbox: Rc::clone(&connection.mailbox),
            host: Box::new(OnIoThread(Rc::clone(&connection))),
            http2,
        };
        let mut ending = Ending::new(connection);
        tokio::task::spawn_local(async move {
            match Contained::new(task.run()).await {
                Ok(reason) => ending.tell(reason),
                Err(failure) => ending.fail(&failure),
            }
        });
    }

    /// Makes an idle connection another agent's, under another number, for a waiter. If it has ended, or is about to, one is
    /// opened in its place.
    pub fn adopt(&self, former: ConnId, opening: Opening) {
        let found = self.connections.borrow_mut().remove(&former);
        let Some(connection) = found.filter(|found| found.mailbox.killed().is_none()) else {
            self.open(opening);
            return;
        };
        let Opening {
            waiter,
            conn,
            profile,
            events,
            metrics,
            leases,
            ..
        } = opening;
        self.rotate(&profile, &events);
        self.end_exchange(&connection);
        connection.port.set(waiter.port);
        connection.exchange.set(waiter.exchange);
        connection.is_over.set(false);
        connection.owner.hand_over(conn, profile, events, metrics);
        connection.mailbox.wake();
        connection.is_wrapped.set(false);
        self.connections.borrow_mut().insert(conn, connection);
        leases.connected(conn);
    }

    /// An agent has let an origin go.
    pub fn forget_origin(&self, agent: AgentId, key: KeyId) {
        let gone = self.http2.borrow_mut().remove(&(agent, key));
        if let Some(origin) = gone {
            origin.end_unused();
        }
    }

    /// An agent closes what it does not use.
    pub fn end_unused(&self, agent: AgentId) {
        let mut its = Vec::new();
        for ((of, _), origin) in &*self.http2.borrow() {
            if *of == agent {
                its.push(Rc::clone(origin));
            }
        }
        for origin in its {
            origin.end_unused();
        }
    }

    fn forget(&self, connection: &Connection) {
        self.connections
            .borrow_mut()
            .remove(&connection.owner.conn());
        self.end_exchange(connection);
    }

    /// Forgets the exchange that a connection had last, unless its number, which comes again after some thousands of
    /// exchanges, is another connection's by now.
    fn end_exchange(&self, connection: &Connection) {
        let exchange = (connection.port.get(), connection.exchange.get());
        let mut exchanges = self.exchanges.borrow_mut();
        if exchanges
            .get(&exchange)
            .is_some_and(|holder| std::ptr::eq(&**holder, connection))
        {
            exchanges.remove(&exchange);
        }
    }

    /// An exchange begins on a connection that it has leased.
    pub fn begin(&self, port: PortId, conn: ConnId, begin: Begin) {
        let Some(connection) = self.connections.borrow().get(&conn).cloned() else {
            return;
        };
        self.end_exchange(&connection);
        connection.exchange.set(begin.exchange);
        connection.is_over.set(false);
        self.exchanges
            .borrow_mut()
            .insert((port, begin.exchange), Rc::clone(&connection));
        connection.owner.begins(&begin);
        connection.mailbox.push(Input::Begin(begin));
    }

    /// Has a connection tell what `make` makes of its listener, once.
    pub fn wrap(&self, conn: ConnId, make: impl FnOnce(Arc<dyn Events>) -> Arc<dyn Events>) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            if !connection.is_wrapped.replace(true) {
                let owner = &connection.owner;
                owner.tell(make(owner.events()));
            }
        }
    }

    /// Takes a connection back from the thread that carried exchanges on it.
    pub fn recall(&self, conn: ConnId) {
        let Some(connection) = self.connections.borrow().get(&conn).cloned() else {
            return;
        };
        if let Some(resumed) = connection.owner.recall() {
            self.resume(&connection, resumed);
        }
        connection.mailbox.wake();
    }

    /// An exchange that has begun elsewhere goes on here.
    fn resume(&self, connection: &Rc<Connection>, Resumed { begin, is_over }: Resumed) {
        self.end_exchange(connection);
        connection.exchange.set(begin.exchange);
        connection.is_over.set(is_over);
        let exchange = (connection.port.get(), begin.exchange);
        self.exchanges
            .borrow_mut()
            .insert(exchange, Rc::clone(connection));
    }

    /// Delivers a command of an exchange to its connection; gives back what is for no connection.
    pub fn input(&self, port: PortId, exchange: ExchangeId, input: Input) -> Option<Input> {
        let exchanges = self.exchanges.borrow();
        let Some(connection) = exchanges.get(&(port, exchange)) else {
            return Some(input);
        };
        connection.mailbox.push(input);
        None
    }

    /// Delivers a command of a connection.
    pub fn socket(&self, conn: ConnId, input: Input) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.mailbox.push(input);
        }
    }

    /// What `tell` says of a connection's peer and its handshake, as far as it is open.
    pub fn facts<R>(
        &self,
        conn: ConnId,
        tell: impl FnOnce(Option<SocketAddr>, Option<&Secured>) -> R,
    ) -> Option<R> {
        let connections = self.connections.borrow();
        Some(connections.get(&conn)?.owner.facts(tell))
    }

    /// Sets an option of a connection's socket.
    pub fn set_option(&self, conn: ConnId, option: SocketOption) -> Option<std::io::Result<()>> {
        self.connections
            .borrow()
            .get(&conn)?
            .owner
            .set_option(option)
    }

    /// The type of service of what a connection sends.
    pub fn type_of_service(&self, conn: ConnId) -> Option<std::io::Result<u8>> {
        self.connections
            .borrow()
            .get(&conn)?
            .owner
            .type_of_service()
    }

    /// Closes a connection, whatever it is doing.
    pub fn kill(&self, conn: ConnId, reason: CloseReason) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.mailbox.kill(reason);
        }
    }

    /// The idle connection outlives its thread.
    pub fn leave(&self, conn: ConnId) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.port.set(NO_PORT);
        }
    }

    /// Closes the connection of an exchange under way.
    pub fn kill_exchange(&self, port: PortId, exchange: ExchangeId, reason: CloseReason) {
        if let Some(connection) = self.exchanges.borrow().get(&(port, exchange)) {
            connection.mailbox.kill(reason);
        }
    }

    /// Lets a connection go on whose peer was asked about.
    pub fn approve(&self, conn: ConnId) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.mailbox.approve();
        }
    }

    /// Tells a connection that is being opened what its name stands for.
    pub fn resolved(&self, conn: ConnId, addresses: Vec<String>) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.mailbox.resolve(addresses);
        }
    }

    /// Closes every connection of a thread.
    pub fn kill_port(&self, port: PortId, reason: CloseReason) {
        let connections = self.connections.borrow();
        for connection in connections
            .values()
            .filter(|connection| connection.port.get() == port)
        {
            connection.mailbox.kill(reason);
        }
    }

    /// A little later, wakes whoever is told of `connection`, which tells by then what was written. One timer serves all.
    fn remind(&self, connection: Rc<Connection>) {
        let mut reminders = self.reminders.borrow_mut();
        reminders.push(connection);
        if reminders.len() > 1 {
            return;
        }
        drop(reminders);
        io_thread::call_after(LAZY_WAKE, || {
            for connection in CONNECTIONS.with(|all| all.reminders.take()) {
                if connection.mailbox.ack_pending.get() {
                    connection.mailbox.push(Input::Tick);
                }
                connection.owner.events().wake();
            }
        });
    }
}
