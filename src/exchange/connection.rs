//! The task that owns one connection: dial, exchange, watch while idle, close.
//!
//! Invariants
//! * A request's bytes are on one transport at a time. A request of which nothing was written moves to a fresh
//!   transport freely; one that was written moves once, and only if it is idempotent, complete, kept, and no response
//!   byte came (I5). Only a connection that has served before is replaced: a fresh one's failure is the peer's answer.
//! * The exchange hears its end, or its failure, once; then `gone` is reported once, as the last thing.
//! * Dropping the task closes the socket.

use std::cell::RefCell;
use std::future::{poll_fn, Future};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::events::{Events, Replaces};
use super::mailbox::{Begin, Input, Mailbox};
use super::service::{Exchange, Outcome, Service};
use super::wire::{UnderHyper, Wire};
use crate::connect::{self, Profile};
use crate::metrics::Metrics;
use crate::pool::{CloseReason, ConnId};

/// What a connection's task needs to live.
pub struct Task {
    /// The connection's number.
    pub conn: ConnId,
    /// Where it goes.
    pub profile: Arc<Profile>,
    /// The exchange it is opened for.
    pub exchange: u32,
    /// Who is told.
    pub events: Arc<dyn Events>,
    /// Where its commands arrive.
    pub mailbox: Rc<Mailbox>,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// What it asks of the rest of the engine.
    pub host: Box<dyn Host>,
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
    /// The exchange under way is the last one: whoever checks the connection in, it goes to nobody else.
    fn doom(&self, reason: CloseReason);
    /// A dead transport is being replaced under the same lease.
    fn redial(&self);
}

impl Task {
    /// Runs the connection to its end and says why it ended.
    pub async fn run(self) -> CloseReason {
        let mut current: Option<Exchange> = None;
        let mut replaces: Option<Replaces> = None;
        loop {
            let connected = {
                let mut dial = std::pin::pin!(connect::connect(&self.profile));
                let dialed = poll_fn(|cx| {
                    self.mailbox.register(cx);
                    match self.mailbox.killed() {
                        Some(reason) => Poll::Ready(Err(reason)),
                        None => dial.as_mut().poll(cx).map(Ok),
                    }
                });
                match dialed.await {
                    Err(reason) => return reason,
                    Ok(Err(failure)) => {
                        self.metrics.errors.add(failure.code.clone());
                        self.events
                            .failed(self.exchange_id(current.as_ref()), &failure, false);
                        return CloseReason::Error;
                    }
                    Ok(Ok(connected)) => connected,
                }
            };
            if let Some(secured) = &connected.secured {
                self.events.secured(self.conn, secured);
                if secured.ask {
                    if let Err(reason) = poll_fn(|cx| self.poll_approved(cx)).await {
                        return reason;
                    }
                }
            }
            self.host.connected();
            self.metrics.created.fetch_add(1, Relaxed);
            let tls_ms = connected
                .secured
                .as_ref()
                .map_or(0.0, |secured| secured.tls_ms);
            let took_ms = connected.dns_ms + connected.connect_ms + tls_ms;
            self.metrics
                .connect
                .record(Duration::from_secs_f64(took_ms / 1000.0));
            self.events
                .connected(self.conn, &connected, replaces.take());
            self.host.remind();

            let wire = Rc::new(RefCell::new(Wire::new(connected.transport)));
            let io = TokioIo::new(UnderHyper(Rc::clone(&wire)));
            let (sender, connection) = match http1::handshake(io).await {
                Ok(parts) => parts,
                // hyper's HTTP/1 handshake does no I/O.
                Err(_) => return CloseReason::Error,
            };
            let mut service = Service::new(&self, wire, sender, connection, current.take());
            let outcome = poll_fn(|cx| service.poll(cx)).await;
            match outcome {
                Outcome::Closed(reason) => return reason,
                Outcome::Failed(failure) => {
                    let after_head = service.current.as_ref().is_some_and(Exchange::has_head);
                    let exchange = self.exchange_id(service.current.as_ref());
                    self.metrics.errors.add(failure.code.clone());
                    self.events.failed(exchange, &failure, after_head);
                    return match failure.errno {
                        _ if failure.is_timeout() => CloseReason::TimedOut,
                        0 => CloseReason::Error,
                        _ => CloseReason::PeerReset,
                    };
                }
                Outcome::Died(reason) => {
                    drop(service);
                    replaces = Some(Replaces {
                        reason,
                        resent: false,
                    });
                    if self.host.died(reason) {
                        return reason;
                    }
                    match poll_fn(|cx| self.poll_leased_dead(cx)).await {
                        Ok(begin) => current = Some(Exchange::new(begin)),
                        Err(reason) => return reason,
                    }
                }
                Outcome::Replace(reason, resent) => {
                    current = service.current.take();
                    replaces = Some(Replaces { reason, resent });
                }
            }
            if let Some(Replaces { reason, resent }) = replaces {
                self.metrics.closed[reason as usize].fetch_add(1, Relaxed);
                let moved = if resent {
                    &self.metrics.retried
                } else {
                    &self.metrics.moved
                };
                moved.fetch_add(1, Relaxed);
            }
            self.host.redial();
        }
    }

    /// Waits for what whoever was asked says of the peer.
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

    fn exchange_id(&self, current: Option<&Exchange>) -> u32 {
        current.map_or(self.exchange, |exchange| exchange.begin.exchange)
    }
}
