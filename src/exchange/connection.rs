//! The task that owns one connection: dial, exchange, watch while idle, close.
//!
//! Invariants
//! * A request's bytes are on one transport at a time. A request of which nothing was written moves to a fresh
//!   transport freely; one that was written moves once, and only if it is idempotent, complete, kept, and no response
//!   byte came (I5). Only a connection that was there before the request is replaced: a fresh one's failure is the peer's
//!   answer.
//! * The exchange hears its end, or its failure, once; then `gone` is reported once, as the last thing.
//! * Dropping the task closes the socket.

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, Future};
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::unconstrained;

use super::events::{Events, Replaces};
use super::mailbox::{Begin, Input, Mailbox};
use super::service::{Exchange, Outcome, Service};
use crate::connect::tls::Secured;
use crate::connect::{self, Connected, KeepAlive, Profile, SocketOption, SocketOptions, Transport};
use crate::error::Prospect;
use crate::http1::reader::Reader;
use crate::metrics::Metrics;
use crate::pool::{CloseReason, ConnId, ExchangeId};

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
}

/// Whose a connection is. Idle ones of agents that share may change hands, and get another number then.
pub struct Owner {
    conn: Cell<ConnId>,
    events: RefCell<Arc<dyn Events>>,
    metrics: RefCell<Arc<Metrics>>,
    /// Where it goes, as its owner wants it.
    profile: RefCell<Arc<Profile>>,
    /// What there is to tell of it once it is open.
    facts: RefCell<Facts>,
    /// What its user has set on its socket.
    options: Cell<SocketOptions>,
    /// The transport that it has at the moment.
    reader: RefCell<Weak<RefCell<Reader<Transport>>>>,
}

/// What an open connection's next owner is told of it.
#[derive(Default)]
struct Facts {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    secured: Option<Box<Secured>>,
}

impl Owner {
    /// `events` is told, `metrics` counts; opened as `profile` says.
    pub fn new(
        conn: ConnId,
        profile: Arc<Profile>,
        events: Arc<dyn Events>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            conn: Cell::new(conn),
            events: RefCell::new(events),
            metrics: RefCell::new(metrics),
            profile: RefCell::new(profile),
            facts: RefCell::default(),
            options: Cell::default(),
            reader: RefCell::default(),
        }
    }

    /// The connection's number.
    pub fn conn(&self) -> ConnId {
        self.conn.get()
    }

    /// Who is told.
    pub fn events(&self) -> Arc<dyn Events> {
        Arc::clone(&self.events.borrow())
    }

    /// Somebody else is told from now on, on behalf of whoever was.
    pub fn tell(&self, events: Arc<dyn Events>) {
        self.events.replace(events);
    }

    /// Where it counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics.borrow())
    }

    fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile.borrow())
    }

    /// The connection has a transport, on which its user's socket options hold from now on.
    fn carried_by(&self, reader: &Rc<RefCell<Reader<Transport>>>) {
        self.reader.replace(Rc::downgrade(reader));
        for option in self.options.get().noted() {
            self.apply(option);
        }
    }

    /// Does `what` to the transport, if there is one.
    fn transport<R>(&self, what: impl FnOnce(&Transport) -> R) -> Option<R> {
        let reader = self.reader.borrow().upgrade()?;
        let reader = reader.borrow();
        Some(what(&reader.transport))
    }

    /// `None`: there is nothing yet to set it on, or nothing that has it. A socket that is closing may refuse it.
    fn apply(&self, option: SocketOption) -> Option<io::Result<()>> {
        self.transport(|transport| match option {
            SocketOption::NoDelay(on) => Some(transport.set_nodelay(on)),
            SocketOption::KeepAlive(probes) => Some(transport.set_keepalive(probes)),
            SocketOption::TypeOfService(class) => transport.set_type_of_service(class),
        })?
    }

    /// Sets an option of its socket, now and on each transport that takes the place of this one.
    pub fn set_option(&self, option: SocketOption) -> Option<io::Result<()>> {
        let mut options = self.options.get();
        options.note(option);
        self.options.set(options);
        self.apply(option)
    }

    /// The type of service of what it sends; `None`: it has none, or no transport yet.
    pub fn type_of_service(&self) -> Option<io::Result<u8>> {
        self.transport(Transport::type_of_service)?
    }

    /// Its next user finds the socket as their profile says.
    fn reset_options(&self, profile: &Profile) {
        for option in self.options.take().noted() {
            let original = match option {
                SocketOption::NoDelay(_) => SocketOption::NoDelay(profile.no_delay),
                SocketOption::KeepAlive(_) => SocketOption::KeepAlive(KeepAlive {
                    enable: profile.keep_alive,
                    ..KeepAlive::after_ms(profile.keep_alive_initial_delay_ms)
                }),
                SocketOption::TypeOfService(_) => SocketOption::TypeOfService(0),
            };
            self.apply(original);
        }
    }

    /// Keeps what another owner would be told of the open connection.
    fn note(&self, connected: &mut Connected) {
        let mut secured = connected.secured.take();
        if let Some(secured) = &mut secured {
            // Answered, and told to whom it was for.
            secured.ask = false;
            secured.keylog = Vec::new();
        }
        self.facts.replace(Facts {
            local: connected.local,
            remote: connected.remote,
            secured,
        });
    }

    /// The idle connection goes to another owner, who is told of it as open; the former one is told that it is closed.
    pub fn hand_over(
        &self,
        conn: ConnId,
        profile: Arc<Profile>,
        events: Arc<dyn Events>,
        metrics: Arc<Metrics>,
    ) {
        let former = self.conn.replace(conn);
        self.metrics().closed[CloseReason::Lent as usize].fetch_add(1, Relaxed);
        self.events().closed(former, CloseReason::Lent, true);
        let facts = self.facts.borrow();
        if let Some(secured) = &facts.secured {
            events.secured(conn, secured);
        }
        events.adopted(conn, facts.local, facts.remote);
        self.reset_options(&profile);
        self.profile.replace(profile);
        self.events.replace(events);
        self.metrics.replace(metrics);
    }
}

/// What a connection's task asks of the rest of the engine.
pub trait Host {
    /// Something was told lazily, or was written and nobody waits to hear it: wake the events' owner, and send
    /// [`Input::Tick`] if an acknowledgement is still pending, a little later.
    fn remind(&self);
    /// The transport is open.
    fn connected(&self);
    /// The transport died while no exchange was under way. True: the connection was idle and is forgotten. False: it
    /// is on lease, so its holder will check it in, give it up, or begin an exchange, which goes to a fresh transport.
    fn died(&self, reason: CloseReason) -> bool;
    /// A response is complete: from now on its peer has nothing to do. `says_close`: it, or its request, said that the
    /// connection ends with it.
    fn answered(&self, says_close: bool);
    /// The exchange under way is the last one: whoever checks the connection in, it goes to nobody else.
    fn doom(&self, reason: CloseReason);
    /// The peer has ended the transport: without an answer to the request that is under way, or about to be, or behind its
    /// answer.
    fn ended_by_peer(&self);
    /// A dead transport is being replaced under the same lease.
    fn redial(&self);
}

impl Task {
    /// Runs the connection to its end and says why it ended.
    pub async fn run(self) -> CloseReason {
        let mut current: Option<Exchange> = None;
        let mut replaces: Option<Replaces> = None;
        loop {
            let mut connected = {
                let profile = self.owner.profile();
                let lookup = self.owner.events().looks_up().then(|| self.lookup());
                let mut dial = std::pin::pin!(connect::connect_by(&profile, lookup));
                let dialed = poll_fn(|cx| {
                    self.mailbox.register(cx);
                    match self.mailbox.killed() {
                        Some(reason) => Poll::Ready(Err(reason)),
                        None => dial.as_mut().poll(cx).map(Ok),
                    }
                });
                match dialed.await {
                    Err(reason) => return reason,
                    Ok(Err(mut failure)) => {
                        if current.is_some() {
                            // Of a request that went on from another connection, the runtime has not all.
                            failure.prospect = Prospect::None;
                        }
                        if failure.prospect == Prospect::None {
                            // Else whoever hears of it decides whether it is an error.
                            self.owner.metrics().errors.add(failure.code.clone());
                        }
                        self.owner.events().failed(
                            self.exchange_id(current.as_ref()),
                            &failure,
                            false,
                        );
                        return CloseReason::Error;
                    }
                    Ok(Ok(connected)) => connected,
                }
            };
            if let Some(secured) = &connected.secured {
                self.owner.events().secured(self.owner.conn(), secured);
                if secured.ask {
                    if let Err(reason) = poll_fn(|cx| self.poll_approved(cx)).await {
                        return reason;
                    }
                }
            }
            self.host.connected();
            self.owner.metrics().created.fetch_add(1, Relaxed);
            let tls_ms = connected
                .secured
                .as_ref()
                .map_or(0.0, |secured| secured.tls_ms);
            let took_ms = connected.dns_ms + connected.connect_ms + tls_ms;
            self.owner
                .metrics()
                .connect
                .record(Duration::from_secs_f64(took_ms / 1000.0));
            self.owner
                .events()
                .connected(self.owner.conn(), &connected, replaces.take());
            self.host.remind();
            self.owner.note(&mut connected);
            // On the first connection the caller itself keeps back what is to be written.
            if is_guarded(current.as_ref()) {
                if let Err(reason) = poll_fn(|cx| self.poll_approved(cx)).await {
                    return reason;
                }
            }

            let reader = Rc::new(RefCell::new(
                Reader::new(connected.transport).counting(Transport::take_work),
            ));
            self.owner.carried_by(&reader);
            let mut service = Service::new(&self, reader, current.take());
            // The service yields by its own budget. By tokio's, what is ready would look pending in the middle of a turn.
            let outcome = unconstrained(poll_fn(|cx| service.poll(cx))).await;
            match outcome {
                Outcome::Closed(reason) => return reason,
                Outcome::Failed(mut failure) => {
                    if service.reader.borrow().transport.was_asked_again() {
                        failure.prospect = Prospect::Later;
                    }
                    let after_head = service.current.as_ref().is_some_and(Exchange::has_head);
                    let exchange = self.exchange_id(service.current.as_ref());
                    self.owner.metrics().errors.add(failure.code.clone());
                    self.owner.events().failed(exchange, &failure, after_head);
                    return match failure.errno {
                        _ if failure.is_timeout() => CloseReason::TimedOut,
                        0 => CloseReason::Error,
                        _ => CloseReason::PeerReset,
                    };
                }
                Outcome::Died(reason) => {
                    let told = service
                        .current
                        .as_ref()
                        .map(|exchange| exchange.begin.exchange);
                    drop(service);
                    replaces = Some(Replaces {
                        reason,
                        resent: false,
                        asks: false,
                    });
                    if self.host.died(reason) {
                        return reason;
                    }
                    if let Some(told) = told {
                        self.owner.events().parted(told);
                    }
                    match poll_fn(|cx| self.poll_leased_dead(cx)).await {
                        Ok(begin) => {
                            self.host.ended_by_peer();
                            current = Some(Exchange::new(begin));
                        }
                        Err(reason) => return reason,
                    }
                }
                Outcome::Replace(reason, resent) => {
                    current = service.current.take();
                    replaces = Some(Replaces {
                        reason,
                        resent,
                        asks: false,
                    });
                }
            }
            if let Some(exchange) = &mut current {
                exchange.begin.reused = false;
            }
            if let Some(replaces) = &mut replaces {
                replaces.asks = is_guarded(current.as_ref());
            }
            if let Some(Replaces { reason, resent, .. }) = replaces {
                self.owner.metrics().closed[reason as usize].fetch_add(1, Relaxed);
                let metrics = self.owner.metrics();
                let moved = if resent {
                    &metrics.retried
                } else {
                    &metrics.moved
                };
                moved.fetch_add(1, Relaxed);
            }
            self.host.redial();
        }
    }

    /// Has whoever the connection is opened for look its name up.
    async fn lookup(&self) -> Vec<String> {
        // An answer to what an earlier transport asked is none to this.
        self.mailbox.take_addresses();
        self.owner.events().lookup(self.owner.conn());
        // Whoever polls the dial listens to the mailbox, and to orders to close.
        poll_fn(|_| match self.mailbox.take_addresses() {
            Some(addresses) => Poll::Ready(addresses),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits for what whoever was asked says of the connection.
    fn poll_approved(&self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        self.mailbox.register(cx);
        match self.mailbox.killed() {
            Some(reason) => Poll::Ready(Err(reason)),
            None if self.mailbox.take_approval() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    /// The transport is gone but the lease goes on: waits for what its holder does.
    fn poll_leased_dead(&self, cx: &mut Context<'_>) -> Poll<Result<Begin, CloseReason>> {
        self.mailbox.register(cx);
        if let Some(reason) = self.mailbox.killed() {
            return Poll::Ready(Err(reason));
        }
        while let Some(input) = self.mailbox.pop() {
            if let Input::Begin(begin) = input {
                return Poll::Ready(Ok(begin));
            }
        }
        Poll::Pending
    }

    fn exchange_id(&self, current: Option<&Exchange>) -> ExchangeId {
        current.map_or(self.exchange, |exchange| exchange.begin.exchange)
    }
}

/// Whether its caller wants to see a connection before anything is written to it.
fn is_guarded(current: Option<&Exchange>) -> bool {
    current.is_some_and(|exchange| exchange.begin.guarded)
}
