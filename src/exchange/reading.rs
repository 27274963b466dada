//! What comes back on a transport: heads, bodies, ends and faults of the current exchange.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use hyper::body::Incoming;

use super::diagnose::ParseFault;
use super::events::Response;
use super::head::Framing;
use super::service::{Answer, Exchange, Outcome, Service, TURNS};
use super::wire::Fault;
use crate::config::{INLINE_BODY, RESPONSE_WINDOW, TURN_PIECES};
use crate::error::{Failure, Phase};
use crate::faults::{self, Stage};
use crate::pool::CloseReason;

/// How reading goes on.
pub(super) enum Step {
    Again,
    Wait,
    Over(Outcome),
}
impl Service<'_> {
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(exchange) = self.current.as_mut() else {
            return self.watch();
        };
        match &mut exchange.answer {
            Answer::NotAsked => {
                // Leased, nothing to send yet: a connection that dies now is replaced when there is.
                Step::Wait
            }
            Answer::Told => self.watch(),
            Answer::Awaited(reply) => {
                let mut wire = self.wire.borrow_mut();
                while let Some(head) = wire.next_head() {
                    faults::at(Stage::Head);
                    let informational = head.is_informational();
                    if informational {
                        self.task.owner.events().response(
                            exchange.begin.exchange,
                            Response {
                                head: &head,
                                body: &[],
                                end: false,
                                request_written: false,
                            },
                        );
                        continue;
                    }
                    if head.upgrades {
                        // Nobody asked for another protocol: such requests go the runtime's own way.
                        drop(wire);
                        return Step::Over(Outcome::Failed(Box::new(hang_up())));
                    }
                    // The reply is there as soon as hyper has seen its head.
                    let polled = reply.as_mut().poll(cx);
                    drop(wire);
                    let incoming = match polled {
                        Poll::Ready(Ok(response)) => Some(response.into_body()),
                        Poll::Ready(Err(_)) => return self.broken(),
                        Poll::Pending => {
                            // hyper has read the head but not delivered it: its task needs another turn.
                            match (0..TURNS).find_map(|_| {
                                self.drive(cx);
                                self.take_reply(cx)
                            }) {
                                Some(incoming) => Some(incoming),
                                None => return self.broken(),
                            }
                        }
                    };
                    let Some(exchange) = self.current.as_mut() else {
                        return Step::Wait;
                    };
                    if let Some(asked) = exchange.asked {
                        let metrics = self.task.owner.metrics();
                        metrics.first_byte.record(asked.elapsed());
                    }
                    exchange.answer = Answer::Body {
                        head,
                        published: false,
                        incoming,
                        unacknowledged: 0,
                    };
                    return self.read_body(cx);
                }
                drop(wire);
                if self.wire.borrow().has_fault() || self.ended.is_some() {
                    return self.broken();
                }
                Step::Wait
            }
            Answer::Body { .. } => self.read_body(cx),
        }
    }

    fn take_reply(&mut self, cx: &mut Context<'_>) -> Option<Incoming> {
        let Answer::Awaited(reply) = &mut self.current.as_mut()?.answer else {
            return None;
        };
        match reply.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => Some(response.into_body()),
            _ => None,
        }
    }

    fn read_body(&mut self, cx: &mut Context<'_>) -> Step {
        faults::at(Stage::Body);
        let mut gathered = BytesMut::new();
        // Whether hyper has had a turn since its last piece without reading anything.
        let mut has_driven = false;
        for _ in 0..TURN_PIECES {
            let Some(Exchange {
                answer, received, ..
            }) = self.current.as_mut()
            else {
                return Step::Wait;
            };
            let Answer::Body {
                head,
                incoming,
                unacknowledged,
                ..
            } = answer
            else {
                return Step::Wait;
            };
            let body = match incoming {
                Some(body) if head.framing != Framing::None => body,
                _ => return self.message_end(cx, gathered.freeze(), &[]),
            };
            if *unacknowledged + gathered.len() >= RESPONSE_WINDOW {
                if gathered.is_empty() {
                    return Step::Wait;
                }
                self.publish(gathered.freeze());
                return Step::Wait;
            }
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers do not reach hyper.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    *received += data.len() as u64;
                    if std::mem::take(&mut has_driven) && !gathered.is_empty() {
                        // To the runtime, chunks are pieces of their own.
                        self.publish(gathered.split().freeze());
                    }
                    let is_told = self.current.as_ref().is_some_and(Exchange::has_head);
                    if is_told && gathered.is_empty() && data.len() >= INLINE_BODY {
                        self.publish(data);
                        continue;
                    }
                    gathered.extend_from_slice(&data);
                    if gathered.len() >= INLINE_BODY {
                        self.publish(gathered.split().freeze());
                    }
                }
                Poll::Ready(None) => {
                    let trailers = self.wire.borrow().trailers();
                    return match trailers {
                        Ok(trailers) => self.message_end(cx, gathered.freeze(), &trailers),
                        Err(fault) => {
                            self.publish(gathered.freeze());
                            Step::Over(Outcome::Failed(Box::new(parse_failure(
                                fault,
                                self.wire.borrow().packet(),
                            ))))
                        }
                    };
                }
                Poll::Ready(Some(Err(_))) => {
                    self.publish(gathered.freeze());
                    return self.broken();
                }
                Poll::Pending => {
                    if self.ended.is_none() && !has_driven {
                        // The channel between hyper's connection and its body holds one chunk: give it a turn.
                        let before = self.wire.borrow().bytes_read();
                        self.drive(cx);
                        has_driven = self.wire.borrow().bytes_read() == before;
                        continue;
                    }
                    self.publish(gathered.freeze());
                    return Step::Wait;
                }
            }
        }
        // Others have their turn before the rest.
        self.publish(gathered.freeze());
        cx.waker().wake_by_ref();
        Step::Wait
    }

    /// Tells what has been read of the response so far.
    fn publish(&mut self, body: Bytes) {
        let Some(exchange) = self.current.as_mut() else {
            return;
        };
        let id = exchange.begin.exchange;
        let request_written = exchange.outgoing.is_finished();
        let Answer::Body {
            head,
            published,
            unacknowledged,
            ..
        } = &mut exchange.answer
        else {
            return;
        };
        *unacknowledged += body.len();
        if !*published {
            *published = true;
            if request_written {
                exchange.told_written = exchange.outgoing.written();
            }
            self.task.owner.events().response(
                id,
                Response {
                    head,
                    body: &body,
                    end: false,
                    request_written,
                },
            );
        } else if !body.is_empty() {
            self.task.owner.events().data(id, body, false);
        }
    }

    /// The message is complete: looks for surplus bytes, closes the wire for others, and tells.
    fn message_end(&mut self, cx: &mut Context<'_>, rest: Bytes, trailers: &[u8]) -> Step {
        self.wire.borrow_mut().end();
        if let Some(exchange) = &self.current {
            self.task.host.answered(exchange.says_close());
        }
        self.drive(cx);
        if !self.wire.borrow().surplus().is_empty() {
            // Before the end is told: the caller may check the connection in as soon as he hears of it.
            self.task.host.doom(CloseReason::UnsolicitedBytes);
        }
        let Some(exchange) = self.current.as_mut() else {
            return Step::Wait;
        };
        let id = exchange.begin.exchange;
        let request_written = exchange.outgoing.is_finished();
        if request_written {
            exchange.told_written = exchange.outgoing.written();
        }
        let answer = std::mem::replace(&mut exchange.answer, Answer::Told);
        let Answer::Body {
            head, published, ..
        } = answer
        else {
            return Step::Wait;
        };
        let events = self.task.owner.events();
        if self.ended.is_some() && self.wire.borrow().surplus().is_empty() {
            self.task.host.ended_by_peer();
        }
        let keep_alive = head.keep_alive && self.ended.is_none();
        if !published {
            let end = trailers.is_empty();
            events.response(
                id,
                Response {
                    head: &head,
                    body: &rest,
                    end,
                    request_written,
                },
            );
            if !end {
                events.end(id, keep_alive, request_written, trailers);
            }
        } else if rest.is_empty() || !trailers.is_empty() {
            if !rest.is_empty() {
                events.data(id, rest, false);
            }
            events.end(id, keep_alive, request_written, trailers);
        } else {
            events.data(id, rest, true);
        }
        let wire = self.wire.borrow();
        match wire.surplus() {
            [] if self.ended.is_none() => Step::Wait,
            [] => Step::Again,
            // Empty lines, which old servers send behind bodies, or a response that nobody asked for: the runtime drops the
            // connection without a word.
            surplus
                if without_empty_lines(surplus).is_none_or(|rest| rest.starts_with(b"HTTP/")) =>
            {
                Step::Over(Outcome::Closed(CloseReason::UnsolicitedBytes))
            }
            // They came along with the response, so its request hears of them, as from the runtime.
            _ => Step::Over(Outcome::Failed(Box::new(parse_failure(
                ParseFault::not_http(),
                wire.packet(),
            )))),
        }
    }

    /// Nothing is due: the connection may only stay silent.
    fn watch(&mut self) -> Step {
        let Some(ended) = &self.ended else {
            return Step::Wait;
        };
        let reason = match (self.wire.borrow_mut().take_fault(), ended) {
            (Some(Fault::Io(_)), _) => CloseReason::PeerReset,
            (Some(Fault::Noise), _) => CloseReason::UnsolicitedBytes,
            (_, Err(error)) if is_unsolicited(error) => CloseReason::UnsolicitedBytes,
            _ => CloseReason::PeerClosed,
        };
        let unfinished = self
            .current
            .as_ref()
            .is_some_and(|exchange| !exchange.outgoing.is_finished());
        Step::Over(if unfinished {
            Outcome::Closed(reason)
        } else {
            Outcome::Died(reason)
        })
    }

    /// The response can't be completed.
    fn broken(&mut self) -> Step {
        let fault = self.wire.borrow_mut().take_fault();
        let has_head = self
            .current
            .as_ref()
            .is_some_and(|exchange| matches!(exchange.answer, Answer::Body { .. }));
        let write_error = self
            .current
            .as_mut()
            .and_then(|exchange| exchange.write_error.take());
        let failure = match (fault, write_error) {
            (Some(Fault::Parse(fault, packet)), _) => {
                return Step::Over(Outcome::Failed(Box::new(parse_failure(fault, packet))))
            }
            (Some(Fault::Io(error)), _) => Failure::from_io(
                &error,
                "read",
                None,
                None,
                if has_head { Phase::Body } else { Phase::Head },
            ),
            (_, Some(error)) => Failure::from_io(&error, "write", None, None, Phase::Write),
            _ if has_head => aborted(),
            _ => hang_up(),
        };
        if has_head {
            return Step::Over(Outcome::Failed(Box::new(failure)));
        }
        let reason = match failure.errno {
            0 => CloseReason::PeerClosed,
            _ => CloseReason::PeerReset,
        };
        Step::Over(self.replace_or(reason, || failure))
    }

    /// Moves the exchange to a fresh transport if that can't hurt; else it fails.
    pub(super) fn replace_or(
        &mut self,
        reason: CloseReason,
        failure: impl FnOnce() -> Failure,
    ) -> Outcome {
        let answered = self.wire.borrow().answered();
        let Some(exchange) = self.current.as_mut() else {
            return Outcome::Closed(CloseReason::PeerClosed);
        };
        let asked = !matches!(exchange.answer, Answer::NotAsked);
        let unsent = exchange.outgoing.written() == 0;
        let lost = exchange.begin.reused && !(asked && answered);
        if lost {
            self.task.host.ended_by_peer();
        }
        // A fresh transport may have ended before the request came. That of one opened for this very request is the answer.
        let late = !asked && !self.is_second;
        if (lost || late) && (unsent || !exchange.resent) && exchange.outgoing.rewind() {
            exchange.resent |= !unsent;
            exchange.answer = Answer::NotAsked;
            exchange.write_error = None;
            return Outcome::Replace(reason, !unsent);
        }
        Outcome::Failed(Box::new(failure()))
    }
}

/// What comes after leading empty lines, if anything does.
fn without_empty_lines(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    Some(&bytes[at..])
}

pub(super) fn hang_up() -> Failure {
    Failure::hang_up(Phase::Head)
}

fn aborted() -> Failure {
    Failure::new("ECONNRESET", "aborted", Phase::Body)
}

fn parse_failure(fault: ParseFault, packet: Bytes) -> Failure {
    Failure {
        reason: Some(fault.reason.into()),
        bytes_parsed: Some(fault.offset as u64),
        packet,
        ..Failure::new(
            fault.code,
            format!("Parse Error: {}", fault.reason),
            Phase::Head,
        )
    }
}

fn is_unsolicited(error: &hyper::Error) -> bool {
    // hyper names it only in its words.
    error.to_string().contains("unexpected message")
}
