//! Whose a connection is, where its transport is, and what is told and counted of it. Idle connections of agents that share
//! change hands: their tasks go on, and only this is another's then.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event_loop::{Carrier, EventLoop};
use super::events::{Events, Replaces};
use super::mailbox::Begin;
use super::seat::{Seat, Seated};
use super::surroundings::Remote;
use super::wire::{Back, Wire};
use crate::connect::tls::Secured;
use crate::connect::{Connected, KeepAlive, Profile, SocketOption, SocketOptions, Transport};
use crate::error::Failure;
use crate::http2::Session;
use crate::metrics::Metrics;
use crate::pool::{CloseReason, ConnId, ExchangeId};

/// Whose a connection is. Idle ones of agents that share may change hands, and get another number then.
pub struct Owner {
    conn: Cell<ConnId>,
    events: RefCell<Arc<dyn Events>>,
    metrics: RefCell<Arc<Metrics>>,
    /// How its owner wants it opened.
    profile: RefCell<Arc<Profile>>,
    /// What there is to tell of it once it is open.
    facts: RefCell<Facts>,
    /// What its user has set on its socket.
    options: Cell<SocketOptions>,
    /// Since when its transport is open, until that is counted.
    opened: Cell<Option<Instant>>,
    /// When its present exchange began.
    begun: Cell<Option<Instant>>,
    /// The transport that it has at the moment; none while that is away.
    wire: RefCell<Weak<RefCell<Option<Wire>>>>,
    /// Where that is, if it is away.
    away: RefCell<Option<Away>>,
}

/// The exchange that a connection has come back with.
#[derive(Clone, Copy)]
pub struct Resumed {
    /// How it began.
    pub begin: Begin,
    /// It is complete, and its response still being told.
    pub is_over: bool,
}

/// With whom a transport is away.
struct Away {
    seat: Arc<Seat>,
    event_loop: Arc<dyn EventLoop>,
}

/// What an open connection's next owner is told of it.
#[derive(Default)]
struct Facts {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    secured: Option<Rc<Secured>>,
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
            opened: Cell::default(),
            begun: Cell::default(),
            wire: RefCell::default(),
            away: RefCell::default(),
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

    /// Redirects events to another listener.
    pub fn tell(&self, events: Arc<dyn Events>) {
        self.events.replace(events);
    }

    /// An exchange begins on it.
    pub fn begins(&self, begin: &Begin) {
        self.begun.set(Some(Instant::now()));
        self.events.borrow().begins(begin.exchange, begin.is_fetch);
    }

    /// Counts in its owner's counters.
    pub fn count(&self, what: impl FnOnce(&Metrics)) {
        what(&self.metrics.borrow());
    }

    /// Counts an open connection, and how it came about.
    pub(super) fn count_opened(&self, connected: &Connected) {
        self.opened.set(Some(Instant::now()));
        let Connected {
            dns_ms,
            connect_ms,
            proxy_ms,
            secured,
            ..
        } = connected;
        let tls_ms = secured.as_ref().map(|secured| secured.tls_ms);
        let time = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
        self.count(|metrics| {
            metrics.created.fetch_add(1, Relaxed);
            let took_ms = dns_ms + connect_ms + proxy_ms + tls_ms.unwrap_or_default();
            metrics.connect.record(time(took_ms));
            if *dns_ms > 0.0 {
                metrics.dns.record(time(*dns_ms));
            }
            metrics.tcp.record(time(*connect_ms));
            if *proxy_ms > 0.0 {
                metrics.proxy.record(time(*proxy_ms));
            }
            if let Some(ms) = tls_ms {
                metrics.tls.record(time(ms));
            }
            if let Some(secured) = secured {
                let handshakes = match secured.resumed {
                    true => &metrics.resumed,
                    false => &metrics.full,
                };
                handshakes.fetch_add(1, Relaxed);
            }
        });
    }

    /// Counts the end of a transport, also of one that was never opened.
    pub fn count_closed(&self, reason: CloseReason) {
        self.count(|metrics| {
            metrics.closed[reason as usize].fetch_add(1, Relaxed);
            if let Some(opened) = self.opened.take() {
                metrics.ended[reason as usize].fetch_add(1, Relaxed);
                metrics.age.record(opened.elapsed());
            }
        });
    }

    /// Counts a complete response to a request with a method of this number.
    pub(super) fn count_response(&self, method: usize, status: u16) {
        if let Some(begun) = self.begun.take() {
            self.count(|metrics| metrics.durations.record(method, status, begun.elapsed()));
        }
    }

    /// What there is to tell of it while it is open: its peer's address, and what its handshake came to.
    pub fn facts<R>(&self, tell: impl FnOnce(Option<SocketAddr>, Option<&Secured>) -> R) -> R {
        let facts = self.facts.borrow();
        tell(facts.remote, facts.secured.as_deref())
    }

    /// How it is opened.
    pub fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile.borrow())
    }

    /// The connection has a transport, on which its user's socket options hold from now on.
    pub(super) fn carried_by(&self, wire: &Rc<RefCell<Option<Wire>>>) {
        self.wire.replace(Rc::downgrade(wire));
        for option in self.options.get().noted() {
            self.apply(option);
        }
    }

    /// Does `what` to the transport, if there is one.
    fn transport<R>(&self, what: impl FnOnce(&Transport) -> R) -> Option<R> {
        if let Some(away) = &*self.away.borrow() {
            return away.seat.transport(what);
        }
        let cell = self.wire.borrow().upgrade()?;
        let wire = cell.borrow();
        Some(what(&wire.as_ref()?.reader.transport))
    }

    /// Whether the thread that is told of the connection could carry exchanges on it itself.
    pub(super) fn may_leave(&self) -> bool {
        // A proxy that forwards requests wants them in its own form.
        let events = self.events.borrow();
        self.profile.borrow().proxy.is_none()
            && !events.is_telling()
            && events.event_loop().is_some()
    }

    /// The thread that is told of the connection carries exchanges on it itself from now on. False: it can't.
    pub(super) fn leaves(&self, wire: Wire, remote: Arc<dyn Remote>) -> bool {
        let events = self.events();
        let Some((event_loop, wire)) = events.event_loop().zip(wire.detach().ok()) else {
            return false;
        };
        let socket = wire.reader.transport.descriptor();
        let metrics = Arc::clone(&self.metrics.borrow());
        let seat = Arc::new(Seat::new(wire, events, metrics, remote));
        let carrier: Arc<dyn Carrier> = Arc::clone(&seat) as _;
        let is_watched =
            socket.is_some_and(|socket| event_loop.watch(self.conn(), socket, &carrier));
        self.away.replace(Some(Away { seat, event_loop }));
        is_watched
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.borrow().is_some()
    }

    /// Whether it should be back by now.
    pub(super) fn is_missed(&self) -> bool {
        let away = self.away.borrow();
        away.as_ref().is_none_or(|away| away.seat.is_missed())
    }

    /// The connection, unless it was lost where it was, and whether its response is still told ([`Events::returned`]).
    fn vacate(&self) -> (Option<Seated>, bool) {
        let Some(Away { seat, event_loop }) = self.away.take() else {
            return (None, false);
        };
        let seated = seat.vacate();
        let is_told_on = self.events().returned();
        let transport = seated.as_ref().map(|seated| &seated.wire.reader.transport);
        event_loop.unwatch(self.conn(), transport.and_then(Transport::descriptor));
        (seated, is_told_on)
    }

    /// Takes the connection back from wherever it is. Returns what is under way on it, or is still told, if anything is.
    pub fn recall(&self) -> Option<Resumed> {
        let (seated, is_told_on) = self.vacate();
        let Seated {
            mut wire,
            begun,
            used,
            carried,
            ..
        } = seated?;
        wire.back = Some(Back {
            waits_since: used,
            carried,
        });
        let current = wire.current.as_ref();
        let resumed = current.and_then(|exchange| {
            let resumed = Resumed {
                begin: exchange.begin,
                is_over: exchange.is_told(),
            };
            (is_told_on || !resumed.is_over).then_some(resumed)
        });
        match wire.attach() {
            Ok(wire) => {
                self.begun.set(begun);
                if let Some(cell) = self.wire.borrow().upgrade() {
                    cell.replace(Some(wire));
                }
                resumed
            }
            Err(error) => {
                // The task finds no wire, and closes.
                if let Some(Resumed { begin, .. }) = resumed {
                    let failure = Failure::from_io(&error, "read", None, None);
                    self.events().failed(begin.exchange, &failure, false);
                }
                None
            }
        }
    }

    /// The connection is closed where it is, if it is away. Returns what was under way on it.
    pub(super) fn give_up(&self) -> Option<ExchangeId> {
        let (seated, _) = self.vacate();
        Some(seated?.wire.under_way()?.exchange)
    }

    /// Whether something has come on its transport.
    #[cfg(test)]
    pub(super) fn has_news(&self) -> Option<bool> {
        self.transport(Transport::has_news)
    }

    /// `None`: there is no transport yet, or it has no such option. A socket that is closing may refuse it.
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

    /// Undoes its user's socket options, so that the next one finds the socket as their profile says.
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
    pub(super) fn note(&self, connected: &mut Connected) -> Option<Rc<Secured>> {
        let mut secured = connected.secured.take();
        if let Some(secured) = &mut secured {
            // The question was answered, and the key log told, when it was opened.
            secured.ask = false;
            secured.keylog = Vec::new();
        }
        let secured: Option<Rc<Secured>> = secured.map(|secured| Rc::new(*secured));
        self.facts.replace(Facts {
            local: connected.local,
            remote: connected.remote,
            secured: secured.clone(),
        });
        secured
    }

    /// The same of a place in a session that is there, once its peer has been judged; and tells of it.
    pub(super) fn join(&self, session: &Session, replaces: Option<Replaces>) {
        let events = self.events();
        events.adopted(self.conn(), session.local, session.remote, replaces);
        let secured = session.secured.as_ref().map(|secured| match secured.ask {
            true => Rc::new(secured.asking(false)),
            false => Rc::clone(secured),
        });
        self.facts.replace(Facts {
            local: session.local,
            remote: session.remote,
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
        // It is idle, so there is nothing under way.
        self.recall();
        let former = self.conn.replace(conn);
        self.count(|metrics| {
            metrics.closed[CloseReason::Lent as usize].fetch_add(1, Relaxed);
        });
        self.events().closed(former, CloseReason::Lent, true);
        let facts = self.facts.borrow();
        if let Some(secured) = &facts.secured {
            events.secured(conn, secured);
        }
        events.adopted(conn, facts.local, facts.remote, None);
        self.reset_options(&profile);
        self.profile.replace(profile);
        self.events.replace(events);
        self.metrics.replace(metrics);
    }
}
