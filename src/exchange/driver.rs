//! The exchanges on one transport: commands in, request bytes out.
//!
//! One task polls everything that belongs to a connection, so nothing is handed between tasks. What comes back is
//! read in [`super::reading`].

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use super::context::Task;
use super::mailbox::Input;
use super::state::{Answer, Exchange, Outcome, Step};
use super::timeouts::{Awaited, Clock, Timeouts};
use crate::connect::{IdleState, Transport};
use crate::error::Failure;
use crate::http1::reader::Reader;
use crate::pool::CloseReason;

/// Turns of one poll before the task yields to the others.
const BUDGET: u32 = 64;

/// The exchanges on one transport.
pub(super) struct Driver<'a> {
    pub(super) task: &'a Task,
    pub(super) reader: Rc<RefCell<Reader<Transport>>>,
    pub(super) current: Option<Exchange>,
    /// It was opened in place of one that died, for the request that waits.
    pub(super) is_second: bool,
    clock: Clock,
    /// Bytes written since they were counted.
    sent: u64,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        task: &'a Task,
        reader: Rc<RefCell<Reader<Transport>>>,
        current: Option<Exchange>,
    ) -> Self {
        Self {
            task,
            reader,
            is_second: current.is_some(),
            current,
            clock: Clock::new(),
            sent: 0,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let polled = self.turn(cx);
        self.count_bytes();
        polled
    }

    /// Counts what was sent and received since the last time.
    pub(super) fn count_bytes(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        let received = self.reader.borrow_mut().take_received();
        if sent == 0 && received == 0 {
            return;
        }
        self.task.owner.count(|metrics| {
            metrics.sent.fetch_add(sent, Relaxed);
            metrics.received.fetch_add(received, Relaxed);
        });
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.task.mailbox.register(cx);
        self.reader.borrow_mut().begin_turn();
        for _ in 0..BUDGET {
            if let Some(reason) = self.task.mailbox.killed() {
                return Poll::Ready(Outcome::Closed(reason));
            }
            if let Some(outcome) = self.take_inputs() {
                return Poll::Ready(outcome);
            }
            let asked = match self.ask(cx) {
                Ok(asked) => asked,
                Err(outcome) => return Poll::Ready(outcome),
            };
            self.write(cx);
            if asked && !self.has_write_error() {
                // There was nothing to read a moment ago: the first bytes wake this task.
                self.tell_written(false);
                return self.wait(cx);
            }
            match self.read(cx) {
                Step::Again => continue,
                Step::Over(outcome) => return Poll::Ready(outcome),
                Step::Wait => {
                    self.tell_written(false);
                    return self.wait(cx);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Nothing more can be done now: unless the peer took too long, something else must happen first.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(exchange) = &self.current else {
            return Poll::Pending;
        };
        if exchange.timeouts == Timeouts::default() {
            return Poll::Pending;
        }
        let awaited = match &exchange.answer {
            // While all bytes so far are sent, the next ones are the caller's to give.
            Answer::Awaited if exchange.request.is_finished() || !exchange.request.is_drained() => {
                let informed = u64::from(self.reader.borrow().informational());
                Awaited::Head(exchange.request.written() + informed)
            }
            Answer::Body { backlog, .. } if !backlog.is_full(0) => Awaited::Body(exchange.received),
            _ => Awaited::Nothing,
        };
        let reader = self.reader.borrow();
        let has_news = || reader.transport.has_news();
        let polled = self.clock.poll(cx, exchange.timeouts, awaited, has_news);
        polled.map(|failure| Outcome::Failed(Box::new(failure)))
    }

    fn take_inputs(&mut self) -> Option<Outcome> {
        while let Some(input) = self.task.mailbox.pop() {
            match (input, &mut self.current) {
                (Input::Begin(begin), current) => {
                    // An unfinished request before it: its bytes would run into the new one's.
                    let unfinished = current
                        .as_ref()
                        .is_some_and(|before| !before.is_told() || !before.request.is_finished());
                    *current = Some(Exchange::new(begin));
                    if unfinished {
                        return Some(Outcome::Replace(CloseReason::NotReusable, false));
                    }
                }
                (Input::Tick, Some(_)) => self.tell_written(true),
                (Input::Idle, _) => self.reader.borrow_mut().idle(),
                (
                    Input::Write {
                        bytes,
                        end,
                        want_ack,
                    },
                    Some(exchange),
                ) if exchange.request.is_empty() => {
                    let bytes = exchange.rewritten(bytes, &self.task.owner.profile());
                    exchange.take(Input::Write {
                        bytes,
                        end,
                        want_ack,
                    });
                }
                (input, Some(exchange)) => exchange.take(input),
                (_, None) => {}
            }
        }
        None
    }

    /// The hand-over: looks at the connection once more, then expects a response. True: it did, and nothing had come.
    fn ask(&mut self, cx: &mut Context<'_>) -> Result<bool, Outcome> {
        let Some(exchange) = self.current.as_mut() else {
            return Ok(false);
        };
        if !matches!(exchange.answer, Answer::NotAsked) || exchange.request.is_drained() {
            return Ok(false);
        }
        let mut reader = self.reader.borrow_mut();
        let watched = !reader.is_fresh();
        let first = !watched && !exchange.begin.reused;
        // tokio may not have heard yet of what the kernel knows, so the kernel is asked itself.
        let seen = reader.transport.look();
        let fit = match seen {
            Ok(IdleState::Open) => true,
            // A server that talks first answers the first request.
            Ok(IdleState::TalkingUnasked) => first,
            Ok(IdleState::Closed) => false,
            Err(error) => {
                let failure = Failure::from_io(&error, "read", None, None);
                return Err(if first && error.kind() == io::ErrorKind::InvalidData {
                    // What it says of the handshake, it would say again.
                    Outcome::Failed(Box::new(failure))
                } else {
                    drop(reader);
                    self.replace_or(CloseReason::PeerReset, || failure)
                });
            }
        };
        // Makes the task be woken by what comes, too.
        if !fit || reader.poll_silence(cx).is_ready() {
            drop(reader);
            return Err(self.replace_or(CloseReason::PeerClosed, Failure::hang_up));
        }
        reader.begin(exchange.begin.bodiless, exchange.begin.max_header_size);
        exchange.answer = Answer::Awaited;
        exchange.asked = Some(Instant::now());
        Ok(watched)
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        let Some(exchange) = self.current.as_mut() else {
            return;
        };
        if matches!(exchange.answer, Answer::NotAsked) || exchange.write_error.is_some() {
            return;
        }
        let mut reader = self.reader.borrow_mut();
        let before = exchange.request.written();
        let wrote = exchange.request.poll_write(cx, &mut reader.transport);
        self.sent += exchange.request.written() - before;
        drop(reader);
        match wrote {
            Poll::Pending => exchange.has_waited = true,
            // The peer may have answered before it closed: reading goes on and decides.
            Poll::Ready(Err(error)) => exchange.write_error = Some(error),
            Poll::Ready(Ok(())) => exchange.acknowledge(self.task),
        }
    }

    fn has_write_error(&self) -> bool {
        let exchange = self.current.as_ref();
        exchange.is_some_and(|exchange| exchange.write_error.is_some())
    }

    fn tell_written(&mut self, now: bool) {
        if let Some(exchange) = self.current.as_mut() {
            exchange.tell_written(self.task, now);
        }
    }
}
