//! Where an exchange is, what it tells of itself, and what its connection does next.

use std::io;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::backlog::Backlog;
use super::events::Response;
use super::mailbox::{Begin, Input};
use super::request_buffer::RequestBuffer;
use super::surroundings::Surroundings;
use super::timeouts::Timeouts;
use crate::config::INLINE_BODY;
use crate::connect::Profile;
use crate::error::Failure;
use crate::faults::{self, FaultPoint};
use crate::http1::head::Head;
use crate::pool::CloseReason;

/// How a transport's driver ended.
pub(super) enum Outcome {
    Closed(CloseReason),
    /// It died with no exchange under way.
    Died(CloseReason),
    /// The exchange failed; tell its caller.
    Failed(Box<Failure>),
    /// The transport is dead and the current exchange goes to a fresh one. True: bytes of its request had been written, which
    /// are sent a second time.
    Replace(CloseReason, bool),
    /// The current exchange goes to a fresh transport that speaks HTTP/1.1; nothing of it has been looked at.
    NeedsHttp1,
}

/// Where the response is.
pub(super) enum Answer {
    /// The connection was not handed over yet: not a byte of the request may be written.
    NotAsked,
    /// The request was begun; the response's head is due.
    Awaited,
    /// The head is known; its body follows.
    Body {
        head: Head,
        published: bool,
        backlog: Backlog,
    },
    /// The message is complete and its end was told.
    Told,
}

pub(super) struct Exchange {
    pub(super) begin: Begin,
    pub(super) request: RequestBuffer,
    pub(super) answer: Answer,
    pub(super) timeouts: Timeouts,
    /// Bytes of the response's body so far.
    pub(super) received: u64,
    /// When it was handed over.
    pub(super) asked: Option<Instant>,
    pub(super) want_ack: bool,
    /// How many of the request's bytes the caller knows to be written.
    pub(super) told_written: u64,
    /// It has been moved once already after bytes of it were written.
    pub(super) resent: bool,
    /// How often it has been moved because servers said that they had not looked at it.
    pub(super) moves: u32,
    pub(super) write_error: Option<io::Error>,
    /// The failure that moving it from a fresh transport has spared it. If no other transport can be opened, this is what it
    /// fails with.
    pub(super) spared: Option<Box<Failure>>,
    /// Some of the request's bytes had to wait because the kernel's buffer was full.
    pub(super) has_waited: bool,
    /// Bytes of the request that were added for a proxy; the caller does not count them.
    pub(super) added: u64,
    /// It was told that the connection ends with it.
    pub(super) is_last: bool,
}

impl Exchange {
    pub(super) fn new(begin: Begin) -> Self {
        Self {
            begin,
            request: RequestBuffer::new(begin.idempotent),
            answer: Answer::NotAsked,
            timeouts: Timeouts::default(),
            received: 0,
            asked: None,
            want_ack: false,
            told_written: 0,
            resent: false,
            moves: 0,
            write_error: None,
            spared: None,
            has_waited: false,
            added: 0,
            is_last: false,
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

    /// Whether it may be sent once more although bytes of it were written. If so, sending begins from its first byte.
    pub(super) fn may_resend(&mut self) -> bool {
        self.begin.idempotent && !self.resent && self.request.is_kept() && self.request.rewind()
    }

    pub(super) fn is_told(&self) -> bool {
        matches!(self.answer, Answer::Told)
    }

    /// The request's first bytes, in the form that a proxy wants which forwards requests.
    pub(super) fn rewritten(&mut self, bytes: Bytes, profile: &Profile) -> Bytes {
        let Some(proxy) = &profile.proxy else {
            return bytes;
        };
        if !self.request.is_empty() {
            return bytes;
        }
        let Some(rewritten) = proxy.rewrite(profile, &bytes) else {
            return bytes;
        };
        self.added = (rewritten.len() - bytes.len()) as u64;
        rewritten
    }

    /// A command of its caller's.
    pub(super) fn take(&mut self, input: Input) {
        match input {
            Input::Write {
                bytes,
                end,
                want_ack,
            } => {
                self.request.push(bytes);
                self.want_ack |= want_ack;
                if end {
                    self.request.complete();
                }
            }
            Input::Timeouts(timeouts) => self.timeouts = timeouts,
            Input::Ack(count) => {
                if let Answer::Body { backlog, .. } = &mut self.answer {
                    backlog.acknowledged(count);
                }
            }
            Input::Begin(_) | Input::Idle | Input::Tick => {}
        }
    }

    /// Tells the caller that all of its bytes so far are in the kernel: `now`, or a little later, so that a response that
    /// comes soon makes a message of its own unnecessary.
    pub(super) fn tell_written(&mut self, around: &impl Surroundings, now: bool) {
        let written = self.request.written();
        if written == self.told_written || !self.request.is_drained() {
            around.put_off_word(false);
        } else if now {
            self.told_written = written;
            around.put_off_word(false);
            let events = around.events();
            events.written(
                self.begin.exchange,
                written.saturating_sub(self.added),
                true,
            );
        } else {
            around.put_off_word(true);
        }
    }

    /// Tells the caller that all is in the kernel, if it has asked to hear of that.
    pub(super) fn acknowledge(&mut self, around: &impl Surroundings) {
        if std::mem::take(&mut self.want_ack) {
            // Even if it could know that from something else it was told.
            self.told_written = u64::MAX;
            self.tell_written(around, true);
        }
    }

    /// Tells what has been read of the response so far.
    pub(super) fn publish(&mut self, around: &impl Surroundings, body: Bytes) {
        let id = self.begin.exchange;
        let request_written = self.request.is_finished();
        let Answer::Body {
            head,
            published,
            backlog,
            ..
        } = &mut self.answer
        else {
            return;
        };
        backlog.told(body.len());
        // A record holds copies of what is in it.
        let is_large = body.len() >= INLINE_BODY;
        if !*published {
            *published = true;
            if request_written {
                self.told_written = self.request.written();
            }
            around.events().response(
                id,
                Response {
                    head,
                    body: if is_large { &[] } else { &body },
                    end: false,
                    request_written,
                },
            );
            if is_large {
                around.events().data(id, body, false);
            }
        } else if !body.is_empty() {
            around.events().data(id, unshared(body), false);
        }
        faults::at(FaultPoint::Told);
    }

    /// Tells the message's end, and what is left of it. Returns its head.
    pub(super) fn tell_end(
        &mut self,
        around: &impl Surroundings,
        rest: Bytes,
        trailers: &[u8],
    ) -> Option<Head> {
        let id = self.begin.exchange;
        let request_written = self.request.is_finished();
        if request_written {
            self.told_written = self.request.written();
        }
        self.is_last = self.says_close();
        let answer = std::mem::replace(&mut self.answer, Answer::Told);
        let Answer::Body {
            head, published, ..
        } = answer
        else {
            return None;
        };
        let events = around.events();
        let keep_alive = head.keep_alive;
        // Counted before it is told: a program may read counters as soon as it hears of the end.
        around.count_response(self.request.method(), head.status);
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
                events.data(id, unshared(rest), false);
            }
            events.end(id, keep_alive, request_written, trailers);
        } else {
            events.data(id, unshared(rest), true);
        }
        Some(head)
    }
}

/// Copies a small piece: a program that keeps it would else keep the whole buffer that it was read into.
fn unshared(body: Bytes) -> Bytes {
    if body.len() < INLINE_BODY {
        Bytes::copy_from_slice(&body)
    } else {
        body
    }
}

/// Pieces of a body that are told as one. A single one is not copied.
#[derive(Default)]
pub(super) struct Pieces {
    single: Bytes,
    joined: BytesMut,
}

impl Pieces {
    pub(super) fn len(&self) -> usize {
        self.single.len() + self.joined.len()
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.single = piece;
            return;
        }
        self.joined
            .extend_from_slice(&std::mem::take(&mut self.single));
        self.joined.extend_from_slice(&piece);
    }

    pub(super) fn take(&mut self) -> Bytes {
        if self.joined.is_empty() {
            std::mem::take(&mut self.single)
        } else {
            self.joined.split().freeze()
        }
    }
}

/// How reading goes on.
pub(super) enum Step {
    Again,
    Wait,
    Over(Outcome),
}
