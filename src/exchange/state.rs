//! Where an exchange is, and what its connection does next.

use std::io;
use std::time::Instant;

use super::backlog::Backlog;
use super::mailbox::Begin;
use super::request_buffer::RequestBuffer;
use super::timeouts::Timeouts;
use crate::error::Failure;
use crate::http1::head::Head;
use crate::pool::CloseReason;

/// How a transport's driver ended.
pub(super) enum Outcome {
    Closed(CloseReason),
    /// It died with no exchange under way.
    Died(CloseReason),
    /// The exchange failed; tell its caller.
    Failed(Box<Failure>),
    /// The transport is dead and the current exchange goes to a fresh one; true: for the second time.
    Replace(CloseReason, bool),
}

/// Where the response is.
pub(super) enum Answer {
    /// The connection was not handed over yet: not a byte of the request may be written.
    NotAsked,
    /// Its head is due.
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
    /// Bytes up to here were told as written.
    pub(super) told_written: u64,
    /// It has been moved once already after bytes of it were written.
    pub(super) resent: bool,
    pub(super) write_error: Option<io::Error>,
    /// The transport has not taken all of it at once.
    pub(super) has_waited: bool,
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
            write_error: None,
            has_waited: false,
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

/// How reading goes on.
pub(super) enum Step {
    Again,
    Wait,
    Over(Outcome),
}
