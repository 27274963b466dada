//! The exchanges on one transport: commands in, request bytes out, hyper driven.
//!
//! One task polls everything that belongs to a connection, so nothing is handed between tasks. What comes back is
//! read in [`super::reading`].

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connection::Task;
use super::head::Head;
use super::mailbox::{Begin, Input};
use super::outgoing::Outgoing;
use super::patience::{Awaited, Clock, Patience};
use super::reading::{hang_up, Step};
use super::wire::{UnderHyper, Wire};
use crate::config::RESPONSE_WINDOW;
use crate::connect::{IdleState, Transport};
use crate::error::{Failure, Phase};
use crate::pool::CloseReason;

/// Turns of one poll before the task yields to the others.
const BUDGET: u32 = 64;

/// Turns that hyper's connection is given for a step that takes it one as a rule.
pub(super) const TURNS: u32 = 4;

/// How a transport's service ended.
pub(super) enum Outcome {
    Closed(CloseReason),
    /// It died with no exchange under way.
    Died(CloseReason),
    /// The exchange failed; tell its caller.
    Failed(Box<Failure>),
    /// The transport is dead and the current exchange goes to a fresh one; true: for the second time.
    Replace(CloseReason, bool),
}

type Reply = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>>>>;

/// Where the response is.
pub(super) enum Answer {
    /// hyper has not been asked yet: not a byte of the request may be written.
    NotAsked,
    Awaited(Reply),
    /// The head is known; its body follows.
    Body {
        head: Head,
        published: bool,
        incoming: Option<Incoming>,
        unacknowledged: usize,
    },
    /// The message is complete and its end was told.
    Told,
}

pub(super) struct Exchange {
    pub(super) begin: Begin,
    pub(super) outgoing: Outgoing,
    pub(super) answer: Answer,
    pub(super) patience: Patience,
    /// Bytes of the response's body so far.
    pub(super) received: u64,
    /// When it was handed over.
    pub(super) asked: Option<Instant>,
    pub(super) want_ack: bool,
    /// Bytes up to here were told as written.
    pub(super) told_written: u64,
    /// It has been moved once already after bytes of it were written.
    pub(super) resent: bool,
    pub(super) write_error: Option<io::Error>,
}

impl Exchange {
    pub(super) fn new(begin: Begin) -> Self {
        Self {
            begin,
            outgoing: Outgoing::new(begin.idempotent),
            answer: Answer::NotAsked,
            patience: Patience::default(),
            received: 0,
            asked: None,
            want_ack: false,
            told_written: 0,
            resent: false,
            write_error: None,
        }
    }

    pub(super) fn has_head(&self) -> bool {
        matches!(
            self.answer,
            Answer::Body {
                published: true,
                ..
            } | Answer::Told
        )
    }

    /// Whether the request or the response's head said that the connection ends with them.
    pub(super) fn says_close(&self) -> bool {
        self.begin.says_close
            || matches!(&self.answer, Answer::Body { head, .. } if !head.keep_alive)
    }

    pub(super) fn is_told(&self) -> bool {
        matches!(self.answer, Answer::Told)
    }
}
type Under = TokioIo<UnderHyper<Transport>>;

/// The exchanges on one transport.
pub(super) struct Service<'a> {
    pub(super) task: &'a Task,
    pub(super) wire: Rc<RefCell<Wire<Transport>>>,
    pub(super) sender: http1::SendRequest<Empty<Bytes>>,
    pub(super) connection: http1::Connection<Under, Empty<Bytes>>,
    /// How hyper's connection ended.
    pub(super) ended: Option<hyper::Result<()>>,
    pub(super) current: Option<Exchange>,
    /// It was opened in place of one that died, for the request that waits.
    pub(super) is_second: bool,
    clock: Clock,
}
impl<'a> Service<'a> {
    pub(super) fn new(
        task: &'a Task,
        wire: Rc<RefCell<Wire<Transport>>>,
        sender: http1::SendRequest<Empty<Bytes>>,
        connection: http1::Connection<Under, Empty<Bytes>>,
        current: Option<Exchange>,
    ) -> Self {
        Self {
            task,
            wire,
            sender,
            connection,
            ended: None,
            is_second: current.is_some(),
            current,
            clock: Clock::new(),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.task.mailbox.register(cx);
        self.wire.borrow_mut().begin_turn();
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
                // hyper has just looked for bytes, in vain: the first ones wake this task.
                self.tell_written(false);
                return self.wait(cx);
            }
            self.drive(cx);
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
        if exchange.patience == Patience::default() {
            return Poll::Pending;
        }
        let awaited = match &exchange.answer {
            // While all bytes so far are sent, the next ones are the caller's to give.
            Answer::Awaited(_)
                if exchange.outgoing.is_finished() || !exchange.outgoing.is_drained() =>
            {
                let informed = u64::from(self.wire.borrow().informational());
                Awaited::Head(exchange.outgoing.written() + informed)
            }
            Answer::Body { unacknowledged, .. } if *unacknowledged < RESPONSE_WINDOW => {
                Awaited::Body(exchange.received)
            }
            _ => Awaited::Nothing,
        };
        let wire = self.wire.borrow();
        let has_news = || wire.transport.has_news();
        let polled = self.clock.poll(cx, exchange.patience, awaited, has_news);
        polled.map(|failure| Outcome::Failed(Box::new(failure)))
    }

    fn take_inputs(&mut self) -> Option<Outcome> {
        while let Some(input) = self.task.mailbox.pop() {
            match (input, &mut self.current) {
                (Input::Begin(begin), current) => {
                    // An unfinished request before it: its bytes would run into the new one's.
                    let unfinished = current
                        .as_ref()
                        .is_some_and(|before| !before.is_told() || !before.outgoing.is_finished());
                    *current = Some(Exchange::new(begin));
                    if unfinished {
                        return Some(Outcome::Replace(CloseReason::NotReusable, false));
                    }
                }
                (
                    Input::Write {
                        bytes,
                        end,
                        want_ack,
                    },
                    Some(exchange),
                ) => {
                    exchange.outgoing.push(bytes);
                    exchange.want_ack |= want_ack;
                    if end {
                        exchange.outgoing.complete();
                    }
                }
                (Input::Patience(patience), Some(exchange)) => exchange.patience = patience,
                (Input::Ack(count), Some(exchange)) => {
                    if let Answer::Body { unacknowledged, .. } = &mut exchange.answer {
                        *unacknowledged = unacknowledged.saturating_sub(count);
                    }
                }
                (Input::Tick, Some(_)) => self.tell_written(true),
                (Input::Idle, _) => self.wire.borrow_mut().idle(),
                (Input::Write { .. } | Input::Ack(_) | Input::Patience(_) | Input::Tick, None) => {}
            }
        }
        None
    }

    /// The hand-over: looks at the connection once more, then tells hyper that a response is due. True: it was, and the
    /// wire has been watched before.
    fn ask(&mut self, cx: &mut Context<'_>) -> Result<bool, Outcome> {
        let Some(exchange) = self.current.as_mut() else {
            return Ok(false);
        };
        if !matches!(exchange.answer, Answer::NotAsked) || exchange.outgoing.is_drained() {
            return Ok(false);
        }
        let first = self.wire.borrow().is_fresh() && !exchange.begin.reused;
        // tokio may not have heard yet of what the kernel knows, so the kernel is asked itself.
        let seen = self.wire.borrow_mut().transport.look();
        let fit = match seen {
            Ok(IdleState::Open) => true,
            // A server that talks first answers the first request.
            Ok(IdleState::TalkingUnasked) => first,
            Ok(IdleState::Closed | IdleState::Reset) => false,
            Err(error) => {
                let failure = Failure::from_io(&error, "read", None, None, Phase::Head);
                return Err(if first && error.kind() == io::ErrorKind::InvalidData {
                    // What it says of the handshake, it would say again.
                    Outcome::Failed(Box::new(failure))
                } else {
                    self.replace_or(CloseReason::PeerReset, || failure)
                });
            }
        };
        if !fit || !self.poll_hyper_ready(cx) {
            return Err(self.replace_or(CloseReason::PeerClosed, hang_up));
        }
        let request = http::Request::new(Empty::new());
        let reply = Box::pin(self.sender.send_request(request));
        // hyper must have "sent" its request, or it takes the response for an unsolicited one. Until then the wire is
        // read only if it was watched anyway.
        if !self.drive_until_sent(cx) {
            return Err(self.replace_or(CloseReason::PeerClosed, hang_up));
        }
        let Some(exchange) = self.current.as_mut() else {
            return Ok(false);
        };
        let mut wire = self.wire.borrow_mut();
        let watched = !wire.is_fresh();
        wire.begin(exchange.begin.bodiless, exchange.begin.max_header_size);
        exchange.answer = Answer::Awaited(reply);
        exchange.asked = Some(Instant::now());
        Ok(watched)
    }

    /// Whether hyper has written its request, for which one turn is enough as a rule.
    fn drive_until_sent(&mut self, cx: &mut Context<'_>) -> bool {
        self.wire.borrow_mut().take_hyper_wrote();
        for _ in 0..TURNS {
            self.drive(cx);
            if self.ended.is_some() {
                break;
            }
            if self.wire.borrow_mut().take_hyper_wrote() {
                return true;
            }
        }
        false
    }

    /// Whether hyper takes a request. On a fresh transport it needs a turn first.
    fn poll_hyper_ready(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..TURNS {
            if self.ended.is_some() {
                break;
            }
            match self.sender.poll_ready(cx) {
                Poll::Ready(ready) => return ready.is_ok(),
                Poll::Pending => self.drive(cx),
            }
        }
        false
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        let Some(exchange) = self.current.as_mut() else {
            return;
        };
        if matches!(exchange.answer, Answer::NotAsked) || exchange.write_error.is_some() {
            return;
        }
        let wrote = exchange
            .outgoing
            .poll_write(cx, &mut self.wire.borrow_mut().transport);
        match wrote {
            Poll::Pending => {}
            // The peer may have answered before it closed: reading goes on and decides.
            Poll::Ready(Err(error)) => exchange.write_error = Some(error),
            Poll::Ready(Ok(())) => {
                if exchange.want_ack {
                    exchange.want_ack = false;
                    // Who asks is answered, also if it could know.
                    exchange.told_written = u64::MAX;
                    self.tell_written(true);
                }
            }
        }
    }

    fn has_write_error(&self) -> bool {
        let exchange = self.current.as_ref();
        exchange.is_some_and(|exchange| exchange.write_error.is_some())
    }

    /// Tells the caller that its bytes are in the kernel: at once if it waits for that, else by a reminder.
    fn tell_written(&mut self, now: bool) {
        let Some(exchange) = self.current.as_mut() else {
            return;
        };
        let written = exchange.outgoing.written();
        let pending = &self.task.mailbox.ack_pending;
        if written == exchange.told_written || !exchange.outgoing.is_drained() {
            pending.set(false);
        } else if now {
            exchange.told_written = written;
            pending.set(false);
            self.task
                .owner
                .events()
                .written(exchange.begin.exchange, written, true);
        } else if !pending.replace(true) {
            self.task.host.remind();
        }
    }

    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if self.ended.is_none() {
            if let Poll::Ready(ended) = Pin::new(&mut self.connection).poll(cx) {
                self.ended = Some(ended);
            }
        }
    }
}
