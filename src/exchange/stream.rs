//! The exchanges in one place of a session of HTTP/2, one at a time: what [`super::driver`] and [`super::reading`] are for a
//! connection of HTTP/1.
//!
//! A request's bytes are those of HTTP/1: its head is made into a stream's, its body goes without framing. It is kept, whatever
//! its method, until the response's head is there: servers say of streams that they have not looked at them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::backlog::Backlog;
use super::context::Task;
use super::events::Response;
use super::mailbox::Input;
use super::reading::{aborted, parse_failure};
use super::state::{Answer, Exchange, Gathered, Outcome, Step};
use super::timeouts::{Awaited, Clock, Timeouts};
use crate::config::{
    GATHERED_FRAMES, MAX_INFORMATIONAL, MAX_MOVES, PING_PATIENCE, STREAM_REPLAY_LIMIT, TURN_PIECES,
    TURN_WRITTEN,
};
use crate::error::Failure;
use crate::faults::{self, Stage};
use crate::http2::{self, Body, Fate, Piece, Place};
use crate::pool::CloseReason;

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

/// A request's body on its way out.
struct Upload {
    sending: SendStream<Bytes>,
    body: Body,
    /// Data of it whose framing is off already: bytes at the front of the request.
    data: usize,
}

/// What has become of an upload.
enum Uploaded {
    /// It waits for more of it, or for room.
    Waits,
    /// All is sent, or the server wants no more of it.
    Over,
    /// Its bytes make no sense.
    Broken,
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
            asked.elapsed() >= PING_PATIENCE && self.place.has_heard_nothing_since(asked)
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
        let Some(http2::Head { request, body }) = http2::head_of(&head) else {
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
                    upload: (!is_whole).then_some(Upload {
                        sending,
                        body,
                        data: 0,
                    }),
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

    fn read(&mut self, cx: &mut Context<'_>) -> Step {
        match self.current.as_ref().map(|exchange| &exchange.answer) {
            Some(Answer::Awaited) => self.read_head(cx),
            Some(Answer::Body { .. }) => self.read_body(cx),
            // As long as it uploads, it needs its stream.
            Some(Answer::Told) if self.stream.as_ref().is_some_and(|s| s.upload.is_some()) => {
                Step::Wait
            }
            Some(Answer::NotAsked) => Step::Wait,
            Some(Answer::Told) | None => match self.place.ended() {
                None => Step::Wait,
                Some(reason) => Step::Over(Outcome::Died(reason)),
            },
        }
    }

    fn read_head(&mut self, cx: &mut Context<'_>) -> Step {
        let (Some(exchange), Some(stream)) = (self.current.as_mut(), self.stream.as_mut()) else {
            return Step::Wait;
        };
        let Some(response) = stream.response.as_mut() else {
            return Step::Wait;
        };
        let max_size = exchange.begin.max_header_size;
        loop {
            match response.poll_informational(cx) {
                Poll::Pending => return Step::Wait,
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(error))) => return self.failed(&error),
                Poll::Ready(Some(Ok(informational))) => {
                    stream.informational += 1;
                    let (status, fields) = (informational.status(), informational.headers());
                    let head = match http2::head(status, fields, max_size) {
                        Ok(head) if stream.informational <= MAX_INFORMATIONAL => head,
                        Ok(_) => return refused("Too many informational responses"),
                        Err(fault) => {
                            let failure = parse_failure(fault, Bytes::new());
                            return Step::Over(Outcome::Failed(Box::new(failure)));
                        }
                    };
                    let told = Response {
                        head: &head,
                        body: &[],
                        end: false,
                        request_written: false,
                    };
                    let events = self.task.owner.events();
                    events.response(exchange.begin.exchange, told);
                }
            }
        }
        let (parts, received) = match Pin::new(response).poll(cx) {
            Poll::Pending => return Step::Wait,
            Poll::Ready(Err(error)) => return self.failed(&error),
            Poll::Ready(Ok(response)) => response.into_parts(),
        };
        faults::at(Stage::Head);
        let head = match http2::head(parts.status, &parts.headers, max_size) {
            Ok(head) => head,
            Err(fault) => {
                let failure = parse_failure(fault, Bytes::new());
                return Step::Over(Outcome::Failed(Box::new(failure)));
            }
        };
        if http2::wants_http1(parts.status, &parts.headers) {
            self.place.note_wants_http1();
            // Not before it is over.
            let host = &self.task.host;
            host.close_after_response(CloseReason::NotReusable);
        }
        if let Some(asked) = exchange.asked {
            let owner = &self.task.owner;
            owner.count(|metrics| metrics.first_byte.record(asked.elapsed()));
        }
        self.received += head.len as u64;
        self.place.note_progress();
        exchange.request.forget();
        exchange.answer = Answer::Body {
            head,
            published: false,
            backlog: Backlog::default(),
        };
        stream.response = None;
        stream.received = Some(received);
        self.read_body(cx)
    }

    fn read_body(&mut self, cx: &mut Context<'_>) -> Step {
        faults::at(Stage::Body);
        let mut gathered = Gathered::default();
        for _ in 0..TURN_PIECES {
            let (Some(exchange), Some(stream)) = (self.current.as_mut(), self.stream.as_mut())
            else {
                return Step::Wait;
            };
            let (Answer::Body { backlog, .. }, Some(received)) =
                (&exchange.answer, stream.received.as_mut())
            else {
                return Step::Wait;
            };
            if gathered.len() >= GATHERED_FRAMES {
                exchange.publish(self.task, gathered.take());
                continue;
            }
            if backlog.is_full(gathered.len()) {
                if gathered.len() > 0 {
                    exchange.publish(self.task, gathered.take());
                }
                return Step::Wait;
            }
            match received.poll_data(cx) {
                Poll::Ready(Some(Ok(piece))) => {
                    exchange.received += piece.len() as u64;
                    self.received += piece.len() as u64;
                    if !piece.is_empty() {
                        self.place.note_progress();
                    }
                    // What is told is counted by whoever reads it; the server may send as much again.
                    let _ = received.flow_control().release_capacity(piece.len());
                    gathered.push(piece);
                }
                Poll::Ready(Some(Err(error))) => {
                    exchange.publish(self.task, gathered.take());
                    return self.failed(&error);
                }
                Poll::Ready(None) => match received.poll_trailers(cx) {
                    Poll::Ready(Ok(trailers)) => {
                        return self.message_end(gathered.take(), trailers);
                    }
                    Poll::Ready(Err(error)) => {
                        exchange.publish(self.task, gathered.take());
                        return self.failed(&error);
                    }
                    Poll::Pending => {
                        exchange.publish(self.task, gathered.take());
                        return Step::Wait;
                    }
                },
                Poll::Pending => {
                    exchange.publish(self.task, gathered.take());
                    return Step::Wait;
                }
            }
        }
        // Others have their turn before the rest.
        if let Some(exchange) = self.current.as_mut() {
            exchange.publish(self.task, gathered.take());
        }
        cx.waker().wake_by_ref();
        Step::Wait
    }

    fn message_end(&mut self, rest: Bytes, trailers: Option<HeaderMap>) -> Step {
        self.count_bytes();
        let Some(exchange) = self.current.as_mut() else {
            return Step::Wait;
        };
        self.task.host.answered(exchange.says_close());
        let trailers = trailers.map_or_else(Vec::new, |fields| http2::trailers(&fields));
        exchange.tell_end(self.task, rest, &trailers);
        if let Some(stream) = &mut self.stream {
            stream.received = None;
            if stream.upload.is_none() {
                self.stream = None;
            }
        }
        Step::Again
    }

    /// The stream has failed: the exchange moves if that can't hurt; else it fails.
    fn failed(&mut self, error: &h2::Error) -> Step {
        let informed = self.stream.take().map_or(0, |stream| stream.informational);
        let Some(exchange) = self.current.as_mut() else {
            return Step::Wait;
        };
        let is_shared = exchange.begin.reused || !self.place.is_first;
        let fate = match self.place.was_flooded() {
            true => Fate::flooded(),
            false => match Fate::of(error) {
                Fate::Lost(failure) => Fate::Lost(self.place.failure().unwrap_or(failure)),
                fate => fate,
            },
        };
        if matches!(exchange.answer, Answer::Body { .. }) {
            let failure = match fate {
                Fate::Refused(failure) => failure,
                Fate::Lost(failure) if failure.errno != 0 => failure,
                _ => aborted(),
            };
            return Step::Over(Outcome::Failed(Box::new(failure)));
        }
        let may_repeat = exchange.begin.idempotent;
        let outcome = match fate {
            Fate::Unprocessed | Fate::WantsHttp1
                if exchange.moves >= MAX_MOVES || !exchange.request.is_kept() =>
            {
                Outcome::Failed(Box::new(Failure {
                    http2_code: error.reason().map(u32::from),
                    ..Failure::hang_up()
                }))
            }
            Fate::Unprocessed => {
                if error.is_reset() {
                    self.place.note_refusal();
                }
                exchange.moves += 1;
                exchange.request.restart(may_repeat);
                exchange.answer = Answer::NotAsked;
                Outcome::Replace(CloseReason::PeerClosed, false)
            }
            Fate::WantsHttp1 => {
                self.place.note_wants_http1();
                exchange.moves += 1;
                exchange.request.restart(may_repeat);
                exchange.answer = Answer::NotAsked;
                Outcome::NeedsHttp1
            }
            // A session that was opened for this very request has given its answer.
            Fate::Lost(_) if is_shared && informed == 0 && exchange.may_resend() => {
                exchange.resent = true;
                exchange.request.restart(may_repeat);
                exchange.answer = Answer::NotAsked;
                Outcome::Replace(CloseReason::PeerClosed, true)
            }
            Fate::Lost(failure) | Fate::Refused(failure) => Outcome::Failed(Box::new(failure)),
        };
        Step::Over(outcome)
    }
}

fn refused(why: &str) -> Step {
    let failure = Failure::new("ERR_HTTP2_ERROR", why);
    Step::Over(Outcome::Failed(Box::new(failure)))
}

impl Upload {
    /// Sends what there is and fits.
    fn poll(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Uploaded {
        if self.sending.poll_reset(cx).is_ready() {
            // Whoever reads hears why; a response that is complete stands.
            return Uploaded::Over;
        }
        let request = &mut exchange.request;
        let until = request.written() + TURN_WRITTEN;
        loop {
            if request.written() >= until {
                cx.waker().wake_by_ref();
                return Uploaded::Waits;
            }
            if self.data > 0 {
                self.sending.reserve_capacity(self.data);
                let mut room = self.sending.capacity();
                if room == 0 {
                    room = match self.sending.poll_capacity(cx) {
                        Poll::Pending => return Uploaded::Waits,
                        Poll::Ready(Some(Ok(room))) => room,
                        Poll::Ready(Some(Err(_)) | None) => return Uploaded::Over,
                    };
                }
                let count = room.min(self.data);
                let Some(bytes) = request.front().map(|front| front.slice(..count)) else {
                    return Uploaded::Broken;
                };
                let is_last = self.body.ends_with_request() && request.ends_after(count);
                request.wrote(count);
                self.data -= count;
                if self.sending.send_data(bytes, is_last).is_err() || is_last {
                    return Uploaded::Over;
                }
                continue;
            }
            let (taken, piece) = match request.front() {
                Some(front) => self.body.next(front),
                None => (0, Piece::Hungry),
            };
            request.wrote(taken);
            match piece {
                Piece::Data(count) => self.data = count,
                Piece::End(None) => {
                    let _ = self.sending.send_data(Bytes::new(), true);
                    return Uploaded::Over;
                }
                Piece::End(Some(fields)) => {
                    let _ = self.sending.send_trailers(fields);
                    return Uploaded::Over;
                }
                Piece::Broken => return Uploaded::Broken,
                Piece::Hungry if taken > 0 => {}
                Piece::Hungry => {
                    if !request.is_finished() {
                        return Uploaded::Waits;
                    }
                    let _ = self.sending.send_data(Bytes::new(), true);
                    return Uploaded::Over;
                }
            }
        }
    }
}
