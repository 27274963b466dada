//! What comes over a stream: its response's heads and body, how it ends, and what becomes of a request whose stream fails.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use super::super::backlog::Backlog;
use super::super::events::Response;
use super::super::reading::{aborted, parse_failure};
use super::super::state::{Answer, Outcome, Pieces, Step};
use super::Streams;
use crate::config::{GATHERED_FRAMES, MAX_INFORMATIONAL, MAX_MOVES, TURN_PIECES};
use crate::error::Failure;
use crate::faults::{self, FaultPoint};
use crate::http2::{self, Fate};
use crate::pool::CloseReason;

impl Streams<'_> {
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Step {
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
        faults::at(FaultPoint::Head);
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
        faults::at(FaultPoint::Body);
        let mut pieces = Pieces::default();
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
            if pieces.len() >= GATHERED_FRAMES {
                exchange.publish(self.task, pieces.take());
                continue;
            }
            if backlog.is_full(pieces.len()) {
                if pieces.len() > 0 {
                    exchange.publish(self.task, pieces.take());
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
                    pieces.push(piece);
                }
                Poll::Ready(Some(Err(error))) => {
                    exchange.publish(self.task, pieces.take());
                    return self.failed(&error);
                }
                Poll::Ready(None) => match received.poll_trailers(cx) {
                    Poll::Ready(Ok(trailers)) => {
                        return self.message_end(pieces.take(), trailers);
                    }
                    Poll::Ready(Err(error)) => {
                        exchange.publish(self.task, pieces.take());
                        return self.failed(&error);
                    }
                    Poll::Pending => {
                        exchange.publish(self.task, pieces.take());
                        return Step::Wait;
                    }
                },
                Poll::Pending => {
                    exchange.publish(self.task, pieces.take());
                    return Step::Wait;
                }
            }
        }
        // Others have their turn before the rest.
        if let Some(exchange) = self.current.as_mut() {
            exchange.publish(self.task, pieces.take());
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
        let fate = match self.place.given_up() {
            Some(fate) => fate,
            None => match Fate::of(error) {
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
