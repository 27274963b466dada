//! The task that owns one connection: dial, exchange, watch while idle, close.
//!
//! Invariants
//! * A request's bytes are on one transport at a time. A request of which nothing was written moves to a fresh
//!   transport freely; one that was written moves once, and only if it is idempotent, complete, kept, and no response
//!   byte came (I5). Only a connection that was there before the request is replaced: a fresh one's failure is the peer's
//!   answer.
//! * The exchange hears its end, or its failure, once; then `gone` is reported once, as the last thing.
//! * Dropping the task closes the socket.

use std::future::{poll_fn, Future};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::Instant;

use super::context::Task;
use super::driver::Driver;
use super::events::Replaces;
use super::mailbox::{Begin, Input};
use super::state::{Exchange, Outcome};
use super::stream::Streams;
use super::wire::Wire;
use crate::connect::tls::Secured;
use crate::connect::{self, Asks, Offer, Transport};
use crate::error::{Failure, Prospect};
use crate::http2::{self, Bounds, Dial, Place, Way};
use crate::pool::{CloseReason, ExchangeId};

impl Task {
    /// Runs the connection to its end and says why it ended.
    pub async fn run(self) -> CloseReason {
        let mut current: Option<Exchange> = None;
        let mut replaces: Option<Replaces> = None;
        // The waiting request can't go over HTTP/2.
        let mut only_http1 = false;
        loop {
            // Boxed: the state of a dial is ten times as large as that of carrying requests, and is freed when the dial is over.
            let opened = match Box::pin(self.open(only_http1, &mut replaces)).await {
                Ok(opened) => opened,
                Err(NotOpen::Closed(reason)) => return reason,
                Err(NotOpen::Failed(mut failure)) => {
                    if let Some(exchange) = &mut current {
                        failure = exchange.spared.take().unwrap_or(failure);
                        // The runtime can't try what was begun on another connection: it does not have all of the request.
                        failure.prospect = Prospect::None;
                    }
                    if failure.prospect == Prospect::None {
                        // Else the runtime's own TLS may try, and JavaScript decides whether this is an error.
                        self.count_error(&failure);
                    }
                    let exchange = self.exchange_id(current.as_ref());
                    self.owner.events().failed(exchange, &failure, false);
                    return CloseReason::Error;
                }
            };
            only_http1 = false;
            self.host.remind();
            // With the first connection, the caller itself holds the request back. From the second one on, this does.
            if is_guarded(current.as_ref()) {
                if let Err(reason) = poll_fn(|cx| self.poll_approved(cx)).await {
                    return reason;
                }
            }

            let is_place = matches!(opened, Opened::Place(_));
            let outcome;
            (outcome, current) = self.drive(opened, current).await;
            match outcome {
                Outcome::Closed(reason) => return reason,
                Outcome::Failed(failure) => {
                    let after_head = current.as_ref().is_some_and(Exchange::has_head);
                    let exchange = self.exchange_id(current.as_ref());
                    self.count_error(&failure);
                    self.owner.events().failed(exchange, &failure, after_head);
                    return match failure.errno {
                        _ if failure.is_timeout() => CloseReason::TimedOut,
                        0 => CloseReason::Error,
                        _ => CloseReason::PeerReset,
                    };
                }
                Outcome::Died(reason) => {
                    let told = current.as_ref().map(|exchange| exchange.begin.exchange);
                    replaces = Some(Replaces {
                        reason,
                        resent: false,
                        asks: false,
                    });
                    // The end of an HTTP/2 session teaches nothing about how long its places may be idle.
                    if self.host.died(reason, !is_place) {
                        return reason;
                    }
                    if let Some(told) = told {
                        self.owner.events().parted(told);
                    }
                    match poll_fn(|cx| self.poll_leased_dead(cx)).await {
                        Ok(begin) => {
                            if !is_place {
                                self.host.ended_by_peer();
                            }
                            let mut exchange = Exchange::new(begin);
                            if !begin.reused {
                                exchange.spared = died_of(reason).map(Box::new);
                            }
                            current = Some(exchange);
                        }
                        Err(reason) => return reason,
                    }
                }
                Outcome::Replace(reason, resent) => {
                    replaces = Some(Replaces {
                        reason,
                        resent,
                        asks: false,
                    });
                }
                Outcome::NeedsHttp1 => {
                    only_http1 = true;
                    replaces = Some(Replaces {
                        reason: CloseReason::NotReusable,
                        resent: false,
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
                self.owner.count_closed(reason);
                self.owner.count(|metrics| {
                    let moved = if resent {
                        &metrics.retried
                    } else {
                        &metrics.moved
                    };
                    moved.fetch_add(1, Relaxed);
                });
            }
            self.host.redial();
        }
    }

    /// Opens it, or finds a place in a session for it, and tells.
    async fn open(
        &self,
        only_http1: bool,
        replaces: &mut Option<Replaces>,
    ) -> Result<Opened, NotOpen> {
        let profile = self.owner.profile();
        let dial = match &self.http2 {
            None => None,
            Some(http2) if only_http1 => Some(http2.origin.http1()),
            Some(http2) => {
                let mut waiter = http2.origin.wait();
                let way = poll_fn(|cx| waiter.poll(cx));
                let way = connect::in_time(&profile, way);
                match self.unless_killed(way).await?.map_err(Box::new)? {
                    Way::Place(place) => {
                        if let Some(secured) = &place.session().secured {
                            self.owner.events().secured(self.owner.conn(), secured);
                            if secured.ask {
                                poll_fn(|cx| self.poll_approved(cx)).await?;
                            }
                        }
                        self.host.connected();
                        self.owner.count(|metrics| {
                            metrics.reused.fetch_add(1, Relaxed);
                        });
                        self.owner.join(place.session(), replaces.take());
                        return Ok(Opened::Place(place));
                    }
                    Way::Failed(failure) => return Err(NotOpen::Failed(failure)),
                    Way::Dial(dial) => Some(dial),
                }
            }
        };
        let asks = profile.asks != Asks::AsOthers || self.owner.events().looks_up();
        let lookup = asks.then_some(|| self.lookup());
        let offer = match &dial {
            Some(dial) if !dial.offers_http2 => Offer::WithoutHttp2,
            _ => Offer::All,
        };
        let dialed = self
            .unless_killed(connect::connect_by(&profile, lookup, offer))
            .await?;
        let mut connected = match dialed {
            Ok(connected) => connected,
            Err(failure) => {
                if let Some(dial) = dial {
                    dial.failed(&failure);
                }
                return Err(NotOpen::Failed(failure.into()));
            }
        };
        if let Some(secured) = &connected.secured {
            self.owner.events().secured(self.owner.conn(), secured);
            if secured.ask {
                poll_fn(|cx| self.poll_approved(cx)).await?;
            }
        }
        self.host.connected();
        self.owner.count_opened(&connected);
        self.owner
            .events()
            .connected(self.owner.conn(), &connected, replaces.take());
        let asks = connected
            .secured
            .as_ref()
            .is_some_and(|secured| secured.ask);
        let secured = self.owner.note(&mut connected);
        match (dial, profile.http2) {
            (Some(dial), Some(most)) if speaks_http2(&dial, secured.as_deref()) => {
                // Each place is a connection of its own to whoever judges connections.
                let secured = secured.map(|secured| match asks {
                    true => Rc::new(secured.asking(true)),
                    false => secured,
                });
                let ttl_ms = self.http2.as_ref().map_or(0, |http2| http2.ttl_ms);
                let bounds = Bounds {
                    places: most as usize,
                    until: (ttl_ms > 0).then(|| Instant::now() + Duration::from_millis(ttl_ms)),
                    ping_after: (profile.ping_after_ms > 0)
                        .then(|| Duration::from_millis(profile.ping_after_ms.into())),
                };
                let opened = dial.opened(connected, secured, bounds);
                match self.unless_killed(opened).await? {
                    Ok(place) => Ok(Opened::Place(place)),
                    Err(failure) => Err(NotOpen::Failed(failure.into())),
                }
            }
            (dial, _) => {
                if let Some(dial) = dial {
                    dial.spoke_http1();
                }
                Ok(Opened::Transport(connected.transport))
            }
        }
    }

    /// Waits for `future`, or an order to close.
    async fn unless_killed<F: Future>(&self, future: F) -> Result<F::Output, CloseReason> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| {
            self.mailbox.register(cx);
            match self.mailbox.killed() {
                Some(reason) => Poll::Ready(Err(reason)),
                None => future.as_mut().poll(cx).map(Ok),
            }
        })
        .await
    }

    /// Carries exchanges until something must be decided, and says what, and which one was under way.
    async fn drive(
        &self,
        opened: Opened,
        current: Option<Exchange>,
    ) -> (Outcome, Option<Exchange>) {
        let transport = match opened {
            Opened::Place(place) => {
                let mut driver = Streams::new(self, place, current);
                let outcome = unconstrained(poll_fn(|cx| driver.poll(cx))).await;
                return (outcome, driver.current);
            }
            Opened::Transport(transport) => transport,
        };
        let mut driver = Driver::new(self, Wire::new(transport, current));
        // The driver yields by its own budget. By tokio's, what is ready would look pending in the middle of a turn.
        let mut outcome = unconstrained(poll_fn(|cx| driver.poll(cx))).await;
        let (current, was_asked_again) = driver.end();
        if let Outcome::Failed(failure) = &mut outcome {
            if was_asked_again {
                failure.prospect = Prospect::Later;
            }
        }
        (outcome, current)
    }

    /// Asks the thread that the connection is opened for what its name stands for.
    async fn lookup(&self) -> Vec<String> {
        // A late answer to an earlier transport's question does not count.
        self.mailbox.take_addresses();
        self.owner.events().lookup(self.owner.conn());
        // Wakes by itself: whoever polls the dial has registered with the mailbox.
        poll_fn(|_| match self.mailbox.take_addresses() {
            Some(addresses) => Poll::Ready(addresses),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits until JavaScript approves of the connection, or has it closed.
    fn poll_approved(&self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        self.mailbox.register(cx);
        match self.mailbox.killed() {
            Some(reason) => Poll::Ready(Err(reason)),
            None if self.mailbox.take_approval() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    /// The transport is gone but the lease goes on: waits until its holder begins an exchange, or has it closed.
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

    fn count_error(&self, failure: &Failure) {
        let code = failure.code.clone();
        self.owner.count(|metrics| metrics.errors.add(code));
    }

    fn exchange_id(&self, current: Option<&Exchange>) -> ExchangeId {
        current.map_or(self.exchange, |exchange| exchange.begin.exchange)
    }
}

/// What was opened to carry exchanges.
enum Opened {
    /// A connection of its own, for HTTP/1.
    Transport(Transport),
    /// A place in a session of HTTP/2.
    Place(Place),
}

/// Why there is nothing to carry exchanges.
enum NotOpen {
    Closed(CloseReason),
    Failed(Box<Failure>),
}

impl From<Box<Failure>> for NotOpen {
    fn from(failure: Box<Failure>) -> Self {
        Self::Failed(failure)
    }
}

impl From<CloseReason> for NotOpen {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

/// The failure of a request whose transport ended before the request came.
fn died_of(reason: CloseReason) -> Option<Failure> {
    match reason {
        CloseReason::PeerClosed => Some(Failure::hang_up()),
        CloseReason::PeerReset => {
            let error = io::ErrorKind::ConnectionReset.into();
            Some(Failure::from_io(&error, "read", None, None))
        }
        _ => None,
    }
}

/// Without TLS there is nothing to agree by, so HTTP/2 is spoken wherever it is allowed.
fn speaks_http2(dial: &Dial, secured: Option<&Secured>) -> bool {
    secured.map_or(dial.offers_http2, |secured| secured.alpn == http2::ALPN)
}

/// Whether its caller wants to see a connection before anything is written to it.
fn is_guarded(current: Option<&Exchange>) -> bool {
    current.is_some_and(|exchange| exchange.begin.guarded)
}
