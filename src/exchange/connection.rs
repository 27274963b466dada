//! The task that owns one connection: dial, exchange, watch while idle, close.
//!
//! Invariants
//! * A request's bytes are on one transport at a time. A request of which nothing was written moves to a fresh
//!   transport freely; one that was written moves once, and only if it is idempotent, complete, kept, and no response
//!   byte came (I5). Only a connection that was there before the request is replaced: a fresh one's failure is the peer's
//!   answer.
//! * The exchange hears its end, or its failure, once; then `gone` is reported once, as the last thing.
//! * Dropping the task closes the socket.

use std::cell::RefCell;
use std::future::{poll_fn, Future};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use tokio::task::unconstrained;

use super::context::Task;
use super::driver::Driver;
use super::events::Replaces;
use super::mailbox::{Begin, Input};
use super::state::{Exchange, Outcome};
use crate::connect::{self, Transport};
use crate::error::{Failure, Prospect};
use crate::http1::reader::Reader;
use crate::pool::{CloseReason, ExchangeId};

impl Task {
    /// Runs the connection to its end and says why it ended.
    pub async fn run(self) -> CloseReason {
        let mut current: Option<Exchange> = None;
        let mut replaces: Option<Replaces> = None;
        loop {
            let mut connected = {
                let profile = self.owner.profile();
                let lookup = self.owner.events().looks_up().then_some(|| self.lookup());
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
                            self.count_error(&failure);
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
            self.owner.count_opened(&connected);
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
            let mut driver = Driver::new(&self, reader, current.take());
            // The driver yields by its own budget. By tokio's, what is ready would look pending in the middle of a turn.
            let outcome = unconstrained(poll_fn(|cx| driver.poll(cx))).await;
            match outcome {
                Outcome::Closed(reason) => return reason,
                Outcome::Failed(mut failure) => {
                    if driver.reader.borrow().transport.was_asked_again() {
                        failure.prospect = Prospect::Later;
                    }
                    let after_head = driver.current.as_ref().is_some_and(Exchange::has_head);
                    let exchange = self.exchange_id(driver.current.as_ref());
                    self.count_error(&failure);
                    self.owner.events().failed(exchange, &failure, after_head);
                    return match failure.errno {
                        _ if failure.is_timeout() => CloseReason::TimedOut,
                        0 => CloseReason::Error,
                        _ => CloseReason::PeerReset,
                    };
                }
                Outcome::Died(reason) => {
                    let told = driver
                        .current
                        .as_ref()
                        .map(|exchange| exchange.begin.exchange);
                    drop(driver);
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
                    current = driver.current.take();
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

    fn count_error(&self, failure: &Failure) {
        let code = failure.code.clone();
        self.owner.count(|metrics| metrics.errors.add(code));
    }

    fn exchange_id(&self, current: Option<&Exchange>) -> ExchangeId {
        current.map_or(self.exchange, |exchange| exchange.begin.exchange)
    }
}

/// Whether its caller wants to see a connection before anything is written to it.
fn is_guarded(current: Option<&Exchange>) -> bool {
    current.is_some_and(|exchange| exchange.begin.guarded)
}
