//! The exchanges on one transport, on the I/O thread: commands in, request bytes out.
//!
//! One task polls everything that belongs to a connection, so nothing is handed between tasks. While few requests are under way,
//! their thread may carry them itself ([`super::seat`]): then the task only sees to it that the connection comes back in time.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::context::Task;
use super::mailbox::Input;
use super::seat::ABSENCE;
use super::state::{Exchange, Outcome, Step};
use super::timeouts::{Clock, Timeouts};
use super::wire::{Back, Wire};
use crate::io_thread;
use crate::pool::CloseReason;

/// Turns of one poll before the task yields to the others.
const BUDGET: u32 = 64;

/// A connection that rests longer than this between two exchanges is not worth lending: it would have to be taken back.
const SHORT_REST: Duration = Duration::from_millis(50);

/// How long a connection is not lent again, at most, after an exchange that was more than the other thread could carry.
const STAY: Duration = if cfg!(test) {
    Duration::from_millis(1)
} else {
    Duration::from_millis(250)
};

/// As often in a row it comes back with fewer than [`MANY`] before it stays for so long: half as long each time before.
const MISSES: u32 = 6;

/// So many exchanges are worth the way there and back.
const MANY: u32 = 8;

/// The exchanges on one transport.
pub(super) struct Driver<'a> {
    task: &'a Task,
    /// None: it is away.
    wire: Rc<RefCell<Option<Wire>>>,
    clock: Clock,
    /// When to look after a connection that is away.
    absence: Option<Pin<Box<Sleep>>>,
    /// When its last exchange was over.
    rested: Option<Instant>,
    /// The exchange under way followed the one before it at once.
    is_busy: bool,
    /// Until when it is not given away.
    stays: Option<Instant>,
    /// How often in a row that was not worth it, at most [`MISSES`].
    misses: u32,
}

impl<'a> Driver<'a> {
    pub(super) fn new(task: &'a Task, wire: Wire) -> Self {
        let wire = Rc::new(RefCell::new(Some(wire)));
        task.owner.carried_by(&wire);
        Self {
            task,
            wire,
            clock: Clock::new(),
            absence: None,
            rested: None,
            is_busy: false,
            stays: None,
            misses: 0,
        }
    }

    /// What is left at the end: the exchange under way, and whether the peer had asked to shake hands again.
    pub(super) fn end(&self) -> (Option<Exchange>, bool) {
        let wire = self.wire.take();
        wire.map_or((None, false), |wire| {
            let was_asked_again = wire.reader.transport.was_asked_again();
            (wire.current, was_asked_again)
        })
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let polled = self.turn(cx);
        if let Some(wire) = &mut *self.wire.borrow_mut() {
            wire.count_bytes(self.task);
        }
        if polled.is_ready() {
            // If it is away, it is closed there. Nobody waits for an exchange under way on it any more.
            self.task.owner.give_up();
        }
        polled
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mailbox = &self.task.mailbox;
        mailbox.register(cx);
        if let Some(reason) = mailbox.killed() {
            return Poll::Ready(Outcome::Closed(reason));
        }
        if self.task.owner.is_away() {
            if self.poll_absence(cx).is_pending() {
                return Poll::Pending;
            }
            if let Some(resumed) = self.task.owner.recall() {
                self.task.host.resumes(resumed);
            }
        }
        let cell = Rc::clone(&self.wire);
        let mut held = cell.borrow_mut();
        let Some(wire) = held.as_mut() else {
            // It was lost on the other thread, or on its way back.
            return Poll::Ready(Outcome::Closed(CloseReason::Error));
        };
        if let Some(back) = wire.back.take() {
            self.absence = None;
            self.returned(wire, &back);
        }
        wire.reader.begin_turn();
        for _ in 0..BUDGET {
            if let Some(reason) = mailbox.killed() {
                return Poll::Ready(Outcome::Closed(reason));
            }
            if let Some(outcome) = self.take_inputs(wire) {
                return Poll::Ready(outcome);
            }
            match wire.step(cx, self.task) {
                Step::Again => continue,
                Step::Over(outcome) => return Poll::Ready(outcome),
                Step::Wait if self.may_leave(wire) => {
                    wire.count_bytes(self.task);
                    if let Some(wire) = held.take() {
                        drop(held);
                        self.leave(cx, wire);
                    }
                    return Poll::Pending;
                }
                Step::Wait => return self.wait(cx, wire),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready: the connection that is away is wanted here.
    fn poll_absence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.mailbox.forget_ticks();
        if !self.task.mailbox.is_empty() {
            return Poll::Ready(());
        }
        let timer = self
            .absence
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(ABSENCE)));
        while timer.as_mut().poll(cx).is_ready() {
            if self.task.owner.is_missed() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(tokio::time::Instant::now() + ABSENCE);
        }
        Poll::Pending
    }

    /// The connection is back. If an exchange is under way on it, that was more than the other thread could carry.
    fn returned(&mut self, wire: &Wire, back: &Back) {
        self.clock.stands();
        // It is lent again after the next exchange that follows another one at once.
        self.is_busy = false;
        let under_way = wire.current.as_ref().filter(|exchange| !exchange.is_told());
        if under_way.is_some() || back.carried >= MANY {
            self.misses = misses_after(self.misses, back.carried);
        }
        if let Some(exchange) = under_way {
            self.stays = Some(Instant::now() + stay(self.misses));
            if exchange.timeouts != Timeouts::default() {
                self.clock.runs_since(back.waits_since);
            }
        }
    }

    /// Whether the connection may be lent to the thread whose requests it carries.
    fn may_leave(&mut self, wire: &Wire) -> bool {
        let Some(exchange) = wire.current.as_ref().filter(|exchange| exchange.is_told()) else {
            return false;
        };
        if self.rested.is_none() {
            self.rested = Some(Instant::now());
        }
        let is_wanted = exchange.begin.in_loop && self.is_busy && exchange.request.is_finished();
        is_wanted
            && !exchange.is_last
            && self.stays.is_none_or(|until| until <= Instant::now())
            && self.task.mailbox.is_empty()
            && !wire.reader.has_ended()
            && wire.reader.transport.can_detach()
            && self.task.owner.may_leave()
    }

    /// Gives the connection away. If nobody takes it, it is back at once.
    fn leave(&mut self, cx: &mut Context<'_>, mut wire: Wire) {
        self.rested = None;
        // A response that came before its request was known to be written did not say so, and nobody is reminded of what is away.
        wire.tell_written(self.task, true);
        let is_gone = self.task.owner.leaves(wire, self.task.host.remote());
        if !is_gone {
            self.stays = Some(Instant::now() + STAY);
            if let Some(resumed) = self.task.owner.recall() {
                self.task.host.resumes(resumed);
            }
        }
        if !is_gone || self.poll_absence(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Nothing more can be done now: unless the peer took too long, something else must happen first.
    fn wait(&mut self, cx: &mut Context<'_>, wire: &Wire) -> Poll<Outcome> {
        let Some(exchange) = &wire.current else {
            return Poll::Pending;
        };
        if exchange.timeouts == Timeouts::default() {
            return Poll::Pending;
        }
        let has_news = || wire.reader.transport.has_news();
        let awaited = wire.awaited(exchange);
        let polled = self.clock.poll(cx, exchange.timeouts, awaited, has_news);
        polled.map(|failure| Outcome::Failed(Box::new(failure)))
    }

    fn take_inputs(&mut self, wire: &mut Wire) -> Option<Outcome> {
        while let Some(input) = self.task.mailbox.pop() {
            match input {
                Input::Begin(_) => {
                    self.is_busy = self
                        .rested
                        .take()
                        .is_some_and(|since| since.elapsed() < SHORT_REST);
                    if let Some(outcome) = wire.take(input) {
                        return Some(outcome);
                    }
                }
                Input::Tick => wire.tell_written(self.task, true),
                Input::Write {
                    bytes,
                    end,
                    want_ack,
                } => {
                    let Some(exchange) = &mut wire.current else {
                        continue;
                    };
                    let bytes = exchange.rewritten(bytes, &self.task.owner.profile());
                    exchange.take(Input::Write {
                        bytes,
                        end,
                        want_ack,
                    });
                }
                input => drop(wire.take(input)),
            }
        }
        None
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        // The I/O thread ends, which it never should.
        if let Some(exchange) = self.task.owner.give_up() {
            let events = self.task.owner.events();
            events.failed(exchange, &io_thread::ended(), false);
        }
    }
}

/// How often in a row it was not worth it to give the connection away, now that it has come back with so many carried.
fn misses_after(before: u32, carried: u32) -> u32 {
    if carried >= MANY {
        0
    } else {
        MISSES.min(before + 1)
    }
}

fn stay(misses: u32) -> Duration {
    STAY / (1 << (MISSES - misses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_stays_for_longer_each_time_it_was_given_away_for_little() {
        let mut misses = 0;
        let mut stays = Vec::new();
        for _ in 0..MISSES + 2 {
            misses = misses_after(misses, MANY - 1);
            stays.push(stay(misses));
        }
        assert!(stays.is_sorted());
        assert_eq!(stays[0], STAY / 32);
        assert_eq!(stays[stays.len() - 3..], [STAY; 3]);
        assert_eq!(misses_after(misses, MANY), 0);
        assert_eq!(stay(0), STAY / 64);
    }
}
