//! What comes back on a transport: heads, bodies, ends and faults of the current exchange.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::backlog::Backlog;
use super::events::Response;
use super::state::{Answer, Exchange, Outcome, Pieces, Step};
use super::surroundings::Surroundings;
use super::wire::Wire;
use crate::config::{INLINE_BODY, TURN_PIECES};
use crate::error::Failure;
use crate::faults::{self, FaultPoint};
use crate::http1::head;
use crate::http1::llhttp_errors::ParseFault;
use crate::http1::reader::{Event, Fault};
use crate::pool::CloseReason;

impl Wire {
    pub(super) fn read(&mut self, cx: &mut Context<'_>, around: &impl Surroundings) -> Step {
        match self.current.as_ref().map(|exchange| &exchange.answer) {
            // Leased, with nothing to send yet. Should the connection die now, it is replaced once there is something to send.
            Some(Answer::NotAsked) => Step::Wait,
            Some(Answer::Awaited) => self.read_head(cx, around),
            Some(Answer::Body { .. }) => self.read_body(cx, around),
            Some(Answer::Told) | None => self.watch(cx),
        }
    }

    fn read_head(&mut self, cx: &mut Context<'_>, around: &impl Surroundings) -> Step {
        loop {
            let polled = self.reader.poll_event(cx);
            let head = match polled {
                Poll::Ready(Event::Head(head)) => head,
                Poll::Ready(_) => return self.broken(around),
                Poll::Pending => return Step::Wait,
            };
            faults::at(FaultPoint::Head);
            let Some(exchange) = self.current.as_mut() else {
                return Step::Wait;
            };
            if head.is_informational() {
                around.events().response(
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
                // The request can't have asked for another protocol: those that do fall back to the runtime's sockets.
                return Step::Over(Outcome::Failed(Box::new(Failure::hang_up())));
            }
            if let Some(asked) = exchange.asked {
                around.count(|metrics| metrics.first_byte.record(asked.elapsed()));
            }
            exchange.answer = Answer::Body {
                head,
                published: false,
                backlog: Backlog::default(),
            };
            return self.read_body(cx, around);
        }
    }

    fn read_body(&mut self, cx: &mut Context<'_>, around: &impl Surroundings) -> Step {
        faults::at(FaultPoint::Body);
        let mut pieces = Pieces::default();
        for _ in 0..TURN_PIECES {
            let Some(Exchange {
                answer: Answer::Body { backlog, .. },
                received,
                ..
            }) = self.current.as_mut()
            else {
                return Step::Wait;
            };
            if backlog.is_full(pieces.len()) {
                if pieces.len() > 0 {
                    self.publish(around, pieces.take());
                }
                return Step::Wait;
            }
            let polled = self.reader.poll_event(cx);
            match polled {
                Poll::Ready(Event::Data(piece)) => {
                    *received += piece.bytes.len() as u64;
                    if !piece.is_first && pieces.len() > 0 {
                        // The runtime emits 'data' for each chunk, so pieces of different chunks are not joined.
                        self.publish(around, pieces.take());
                    }
                    pieces.push(piece.bytes);
                    if pieces.len() >= INLINE_BODY {
                        self.publish(around, pieces.take());
                    }
                }
                Poll::Ready(Event::End(trailers)) => {
                    return self.message_end(cx, around, pieces.take(), &trailers);
                }
                Poll::Ready(Event::Head(_) | Event::Broken) => {
                    self.publish(around, pieces.take());
                    return self.broken(around);
                }
                Poll::Pending => {
                    self.publish(around, pieces.take());
                    return Step::Wait;
                }
            }
        }
        // Other connections have their turn before the rest is read.
        self.publish(around, pieces.take());
        cx.waker().wake_by_ref();
        Step::Wait
    }

    /// Tells what has been read of the response so far.
    fn publish(&mut self, around: &impl Surroundings, body: Bytes) {
        if let Some(exchange) = self.current.as_mut() {
            exchange.publish(around, body);
        }
    }

    /// The message is complete: looks for what has come behind it, and tells.
    fn message_end(
        &mut self,
        cx: &mut Context<'_>,
        around: &impl Surroundings,
        rest: Bytes,
        trailers: &[u8],
    ) -> Step {
        // Counted before the end is told: a program that reads counters in 'end' expects this response in them.
        self.count_bytes(around);
        if let Some(exchange) = &self.current {
            around.answered(exchange.says_close());
        }
        let has_ended = self.reader.poll_silence(cx).is_ready();
        if !self.reader.surplus().is_empty() {
            // Before the end is told: whoever hears of the end may check the connection in at once.
            around.close_after_response(CloseReason::UnsolicitedBytes);
        }
        let is_clean = self.reader.surplus().is_empty();
        if has_ended && is_clean {
            around.ended_by_peer();
        }
        let Some(exchange) = self.current.as_mut() else {
            return Step::Wait;
        };
        let reader = &self.reader;
        let surplus = reader.surplus();
        let fault = match &exchange.answer {
            Answer::Body { head, .. } => surplus_fault(surplus, head.keep_alive, head.status),
            _ => None,
        };
        if fault.is_some() {
            // They came in one read with the response's end. Told apart, the request would be over before it hears of them.
            around.events().hold();
        }
        if exchange.tell_end(around, rest, trailers).is_none() {
            return Step::Wait;
        }
        match fault {
            None if surplus.is_empty() && !has_ended => Step::Wait,
            None if surplus.is_empty() => Step::Again,
            None => Step::Over(Outcome::Closed(CloseReason::UnsolicitedBytes)),
            // As with the runtime, what comes in one read with the response is an error of its request.
            Some(fault) => Step::Over(Outcome::Failed(Box::new(parse_failure(
                fault,
                reader.packet(),
            )))),
        }
    }

    /// No response is due, so whatever comes, data or an end, makes the connection useless.
    fn watch(&mut self, cx: &mut Context<'_>) -> Step {
        if self.reader.poll_silence(cx).is_pending() {
            return Step::Wait;
        }
        let fault = self.reader.take_fault();
        let reason = match fault {
            Some(Fault::Io(_)) => CloseReason::PeerReset,
            Some(Fault::Unsolicited | Fault::Noise) => CloseReason::UnsolicitedBytes,
            _ => CloseReason::PeerClosed,
        };
        let unfinished = self
            .current
            .as_ref()
            .is_some_and(|exchange| !exchange.request.is_finished());
        Step::Over(if unfinished {
            Outcome::Closed(reason)
        } else {
            Outcome::Died(reason)
        })
    }

    /// The response can't be completed.
    fn broken(&mut self, around: &impl Surroundings) -> Step {
        let fault = self.reader.take_fault();
        let has_head = self
            .current
            .as_ref()
            .is_some_and(|exchange| matches!(exchange.answer, Answer::Body { .. }));
        let write_error = self
            .current
            .as_mut()
            .and_then(|exchange| Some((exchange.write_error.take()?, exchange.has_waited)));
        let failure = match (fault, write_error) {
            (Some(Fault::Parse(fault, packet)), _) => {
                return Step::Over(Outcome::Failed(Box::new(parse_failure(fault, packet))))
            }
            (Some(Fault::Io(error)), _) => Failure::from_io(&error, "read", None, None),
            (_, Some((error, has_waited))) => {
                // The kernel reports a reset once, to the first call that meets it. On the runtimes' sockets that is a read
                // while bytes wait to be written, so the error is worded as theirs.
                let is_reset = error.kind() == io::ErrorKind::ConnectionReset;
                let syscall = if is_reset && has_waited {
                    "read"
                } else {
                    "write"
                };
                Failure::from_io(&error, syscall, None, None)
            }
            _ if has_head => aborted(),
            _ => Failure::hang_up(),
        };
        if has_head {
            return Step::Over(Outcome::Failed(Box::new(failure)));
        }
        let reason = match failure.errno {
            0 => CloseReason::PeerClosed,
            _ => CloseReason::PeerReset,
        };
        Step::Over(self.replace_or(around, reason, || failure))
    }

    /// Moves the exchange to a fresh transport if that can't hurt; else it fails.
    pub(super) fn replace_or(
        &mut self,
        around: &impl Surroundings,
        reason: CloseReason,
        failure: impl FnOnce() -> Failure,
    ) -> Outcome {
        let answered = self.reader.answered();
        let Some(exchange) = self.current.as_mut() else {
            return Outcome::Closed(CloseReason::PeerClosed);
        };
        let asked = !matches!(exchange.answer, Answer::NotAsked);
        let unsent = exchange.request.written() == 0;
        let lost = exchange.begin.reused && !(asked && answered);
        if lost {
            around.ended_by_peer();
        }
        // A fresh transport may end before its request comes: then another one is tried. One that was opened for this very request
        // is not replaced: its end is the answer.
        let late = !asked && !self.is_second;
        if (lost || late) && (unsent || !exchange.resent) && exchange.request.rewind() {
            exchange.resent |= !unsent;
            exchange.spared = (!lost).then(|| Box::new(failure()));
            exchange.answer = Answer::NotAsked;
            exchange.write_error = None;
            exchange.has_waited = false;
            return Outcome::Replace(reason, !unsent);
        }
        Outcome::Failed(Box::new(failure()))
    }
}

/// The runtime's error for bytes that came in one read behind such a response. `None`: it drops the connection without an
/// error, as for empty lines, which old servers send behind bodies, or for a second response.
fn surplus_fault(surplus: &[u8], keep_alive: bool, status: u16) -> Option<ParseFault> {
    let is_empty = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let at = surplus.iter().position(|byte| !is_empty(byte))?;
    match status {
        // They belong to another protocol, which the request had not asked for.
        101 => None,
        _ if keep_alive => head::parse(&surplus[at..], false, usize::MAX).err(),
        _ => Some(ParseFault::new(
            "HPE_CLOSED_CONNECTION",
            "Data after `Connection: close`",
            0,
        )),
    }
}

pub(super) fn aborted() -> Failure {
    Failure::new("ECONNRESET", "aborted")
}

pub(super) fn parse_failure(fault: ParseFault, packet: Bytes) -> Failure {
    Failure {
        reason: Some(fault.reason.into()),
        bytes_parsed: Some(fault.offset as u64),
        packet,
        ..Failure::new(fault.code, format!("Parse Error: {}", fault.reason))
    }
}
