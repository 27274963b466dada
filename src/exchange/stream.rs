//! The exchanges in one place of a session of HTTP/2, one at a time: what [`super::driver`] and [`super::reading`] are for a
//! connection of HTTP/1.
//!
//! A request's bytes are those of HTTP/1: its head is made into a stream's, its body goes without framing. It is kept, whatever
//! its method, until the response's head is there: servers say of streams that they have not looked at them.

mod reading;
mod upload;

use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use h2::client::ResponseFuture;
use h2::RecvStream;

use super::context::Task;
use super::mailbox::Input;
use super::state::{Answer, Exchange, Outcome, Step};
use super::timeouts::{Awaited, Clock, Timeouts};
use crate::config::{PING_TIMEOUT, STREAM_REPLAY_LIMIT};
use crate::error::Failure;
use crate::http2::{self, Place};
use crate::pool::CloseReason;
use upload::{Upload, Uploaded};

/// Turns of one poll before the task yields to the others.
const BUDGET: u32 = 64;

/// The exchanges in one place.
pub(super) struct Streams<'a> {
    task: &'a Task,
    place: Place,
    pub(super) current: Option<Exchange>,
    stream: Option<Stream>,
    /// The session had its turn to read what the kernel had, before the next stream is opened.
    has_yielded: bool,
    clock: Clock,
    /// Bytes since they were last counted, as HTTP/1 would have them.
    sent: u64,
    received: u64,
}

/// The stream of the current exchange.
struct Stream {
    response: Option<ResponseFuture>,
    received: Option<RecvStream>,
    informational: u32,
    opened: tokio::time::Instant,
    upload: Option<Upload>,
}

impl<'a> Streams<'a> {
    pub(super) fn new(task: &'a Task, place: Place, current: Option<Exchange>) -> Self {
        Self {
            task,
            place,
            current,
            stream: None,
            has_yielded: false,
            clock: Clock::new(),
            sent: 0,
            received: 0,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let polled = self.turn(cx);
        self.count_bytes();
        if let Poll::Ready(Outcome::Closed(_) | Outcome::Failed(_)) = &polled {
            let under_way = self.current.as_ref().filter(|exchange| !exchange.is_told());
            if under_way.is_some_and(|exchange| !exchange.begin.says_close) {
                self.place.spare_session();
            }
        }
        polled
    }

    /// Counts what was sent and received since the last time.
    fn count_bytes(&mut self) {
        let (sent, received) = (
            std::mem::take(&mut self.sent),
            std::mem::take(&mut self.received),
        );
        if sent > 0 || received > 0 {
            self.task.owner.count(|metrics| {
                metrics.sent.fetch_add(sent, Relaxed);
                metrics.received.fetch_add(received, Relaxed);
            });
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.task.mailbox.register(cx);
        self.place.register(cx);
        for _ in 0..BUDGET {
            if let Some(reason) = self.task.mailbox.killed() {
                self.doubt();
                return Poll::Ready(Outcome::Closed(reason));
            }
            self.take_inputs();
            if let Some(outcome) = self.abandon() {
                return Poll::Ready(outcome);
            }
            match self.ask(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(outcome) => return Poll::Ready(outcome),
            }
            if let Some(outcome) = self.write(cx) {
                return Poll::Ready(outcome);
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

    fn take_inputs(&mut self) {
        while let Some(input) = self.task.mailbox.pop() {
            match (input, &mut self.current) {
                (Input::Begin(begin), current) => {
                    // A stream that is not over is of no interest to anybody, and ends with this.
                    self.stream = None;
                    *current = Some(Exchange::new(begin));
                }
                (Input::Tick, Some(_)) => self.tell_written(true),
                (input, Some(exchange)) => exchange.take(input),
                (_, None) => {}
            }
        }
    }

    fn tell_written(&mut self, now: bool) {
        if let Some(exchange) = self.current.as_mut() {
            exchange.tell_written(self.task, now);
        }
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
                let informed = self
                    .stream
                    .as_ref()
                    .map_or(0, |stream| stream.informational);
                Awaited::Head(exchange.request.written() + u64::from(informed))
            }
            Answer::Body { backlog, .. } if !backlog.is_full(0) => Awaited::Body(exchange.received),
            _ => Awaited::Nothing,
        };
        let has_news = || self.place.has_news();
        let polled = self.clock.poll(cx, exchange.timeouts, awaited, has_news);
        if polled.is_ready() {
            self.doubt();
        }
        polled.map(|failure| Outcome::Failed(Box::new(failure)))
    }

    /// The request is given up. If its server has been silent all the time, those after it want to know whether it is there.
    fn doubt(&self) {
        let asked = self.stream.as_ref().map(|stream| stream.opened);
        if asked.is_some_and(|asked| {
            asked.elapsed() >= PING_TIMEOUT && self.place.has_heard_nothing_since(asked)
        }) {
            self.place.doubt();
        }
    }

    /// Where the server has not even said that it is there, a request that may be sent twice goes elsewhere.
    fn abandon(&mut self) -> Option<Outcome> {
        let (Some(exchange), Some(stream)) = (self.current.as_mut(), self.stream.as_ref()) else {
            return None;
        };
        let may_move = matches!(exchange.answer, Answer::Awaited)
            && self.place.is_silent_since(stream.opened)
            && exchange.may_resend();
        if !may_move {
            return None;
        }
        self.stream = None;
        exchange.resent = true;
        exchange.request.restart(exchange.begin.idempotent);
        exchange.answer = Answer::NotAsked;
        Some(Outcome::Replace(CloseReason::TimedOut, true))
    }

    /// Opens a stream for a request whose head is there. False: what the kernel has of the session comes first.
    fn ask(&mut self, cx: &mut Context<'_>) -> Result<bool, Outcome> {
        let Some(exchange) = self.current.as_mut() else {
            return Ok(true);
        };
        if !matches!(exchange.answer, Answer::NotAsked) || exchange.request.is_drained() {
            return Ok(true);
        }
        if let Some(reason) = self.place.ended() {
            return Err(Outcome::Replace(reason, false));
        }
        // It may say that it ends.
        if self.place.has_news() && !std::mem::replace(&mut self.has_yielded, true) {
            cx.waker().wake_by_ref();
            return Ok(false);
        }
        // If it may not even be there, what may be sent twice finds out by itself.
        if self.place.is_doubtful() && !exchange.begin.idempotent {
            return Ok(false);
        }
        self.has_yielded = false;
        exchange.request.keep_all();
        let Some(head) = exchange.request.take_head() else {
            return Ok(true);
        };
        let Some(mut sender) = self.place.sender() else {
            exchange.request.restart(exchange.begin.idempotent);
            return Err(Outcome::Replace(CloseReason::PeerClosed, false));
        };
        let Some(http2::Head { request, body }) =
            http2::head_of(&head, self.place.session().scheme())
        else {
            exchange.request.restart(exchange.begin.idempotent);
            return Err(Outcome::NeedsHttp1);
        };
        let is_whole =
            body.is_empty() || body.ends_with_request() && exchange.request.ends_after(0);
        match sender.send_request(request, is_whole) {
            Ok((response, sending)) => {
                exchange.answer = Answer::Awaited;
                exchange.asked = Some(Instant::now());
                self.sent += head.len() as u64;
                self.stream = Some(Stream {
                    response: Some(response),
                    received: None,
                    informational: 0,
                    opened: tokio::time::Instant::now(),
                    upload: (!is_whole).then(|| Upload::new(sending, body)),
                });
                Ok(true)
            }
            // Nothing was sent: the session has just ended, or has no numbers left for streams.
            Err(_) => {
                self.place.leave();
                exchange.request.restart(exchange.begin.idempotent);
                Err(Outcome::Replace(CloseReason::PeerClosed, false))
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Option<Outcome> {
        let (exchange, stream) = (self.current.as_mut()?, self.stream.as_mut()?);
        if let Some(upload) = &mut stream.upload {
            let before = exchange.request.written();
            let uploaded = upload.poll(cx, exchange);
            let sent = exchange.request.written() - before;
            self.sent += sent;
            if sent > 0 {
                self.place.note_progress();
            }
            match uploaded {
                Uploaded::Waits => {}
                Uploaded::Over => stream.upload = None,
                Uploaded::Broken => {
                    let message = "The request\'s body is not framed as its head says";
                    let failure = Failure::new("ERR_HTTP2_ERROR", message);
                    return Some(Outcome::Failed(Box::new(failure)));
                }
            }
        }
        if stream.upload.is_none() {
            // Whatever comes now has nowhere to go.
            exchange.request.discard_rest();
        }
        if exchange.request.written() > STREAM_REPLAY_LIMIT {
            exchange.request.forget();
        }
        if exchange.request.is_drained() {
            exchange.acknowledge(self.task);
        }
        None
    }
}
