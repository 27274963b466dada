//! A transport of HTTP/1, what is read of it and the exchange on it: what goes from thread to thread as one. Who has it sends
//! here; what comes back is read in [`super::reading`].

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use super::mailbox::{Begin, Input, Piece};
use super::request_buffer::RequestBuffer;
use super::state::{Answer, Exchange, Outcome, Step};
use super::surroundings::Surroundings;
use super::timeouts::Awaited;
use crate::connect::{IdleState, Transport};
use crate::error::Failure;
use crate::http1::reader::Reader;
use crate::pool::CloseReason;

pub(super) struct Wire {
    pub(super) reader: Reader<Transport>,
    pub(super) current: Option<Exchange>,
    /// It was opened in place of one that died, for the request that waits.
    pub(super) is_second: bool,
    /// Bytes written since they were counted.
    sent: u64,
    /// How it ended on another thread, for the I/O thread to tell.
    verdict: Option<Outcome>,
    /// What the last look at the idle connection found, kept for the next one who asks: the kernel reports a reset only once.
    seen: Option<io::Result<IdleState>>,
    /// Set when it has just come back from another thread.
    pub(super) back: Option<Back>,
}

/// What a transport comes back with from the thread that carried its exchanges.
pub(super) struct Back {
    /// Since when its exchange has waited.
    pub(super) waits_since: Instant,
    /// How many exchanges have come to their end there.
    pub(super) carried: u32,
}

impl Wire {
    pub(super) fn new(transport: Transport, current: Option<Exchange>) -> Self {
        Self {
            reader: Reader::new(transport).counting(Transport::take_work),
            is_second: current.is_some(),
            current,
            sent: 0,
            verdict: None,
            seen: None,
            back: None,
        }
    }

    /// Counts what was sent and received since the last time.
    pub(super) fn count_bytes(&mut self, around: &impl Surroundings) {
        let sent = std::mem::take(&mut self.sent);
        let received = self.reader.take_received();
        if sent == 0 && received == 0 {
            return;
        }
        around.count(|metrics| {
            metrics.sent.fetch_add(sent, Relaxed);
            metrics.received.fetch_add(received, Relaxed);
        });
    }

    /// What is under way on it.
    pub(super) fn under_way(&self) -> Option<Begin> {
        let exchange = self.current.as_ref()?;
        (!exchange.is_told()).then_some(exchange.begin)
    }

    /// Keeps how it ended for whoever gets it next.
    pub(super) fn leave_word(&mut self, outcome: Outcome) {
        self.verdict.get_or_insert(outcome);
    }

    /// Whether it has ended, and that is still to be told.
    pub(super) fn has_word(&self) -> bool {
        self.verdict.is_some()
    }

    /// The same, not watched by tokio.
    pub(super) fn detach(self) -> io::Result<Self> {
        Ok(Self {
            reader: self.reader.map_transport(Transport::detach)?,
            ..self
        })
    }

    /// The same, watched by tokio.
    pub(super) fn attach(self) -> io::Result<Self> {
        Ok(Self {
            reader: self.reader.map_transport(Transport::attach)?,
            ..self
        })
    }

    /// Asks, writes and reads what can be now.
    pub(super) fn step(&mut self, cx: &mut Context<'_>, around: &impl Surroundings) -> Step {
        if let Some(outcome) = self.verdict.take() {
            return Step::Over(outcome);
        }
        let asked = match self.ask(cx, around, false) {
            Ok(asked) => asked,
            Err(outcome) => return Step::Over(outcome),
        };
        self.write(cx, around);
        let step = if asked && !self.has_write_error() {
            // There was nothing to read a moment ago, and the task is woken when there is.
            Step::Wait
        } else {
            self.read(cx, around)
        };
        if matches!(step, Step::Wait) {
            self.tell_written(around, false);
        }
        step
    }

    /// What the exchange under way waits for.
    pub(super) fn awaited(&self, exchange: &Exchange) -> Awaited {
        match &exchange.answer {
            // Not while all bytes so far are sent and the request is unfinished: then the caller is to go on.
            Answer::Awaited if exchange.request.is_finished() || !exchange.request.is_drained() => {
                let informed = u64::from(self.reader.informational());
                Awaited::Head(exchange.request.written() + informed)
            }
            Answer::Body { backlog, .. } if !backlog.is_full(0) => Awaited::Body(exchange.received),
            _ => Awaited::Nothing,
        }
    }

    /// Takes a command of the exchange under way, or the BEGIN of the next one. An outcome: the exchange can't go on here.
    pub(super) fn take(&mut self, input: Input) -> Option<Outcome> {
        match (input, &mut self.current) {
            (Input::Begin(begin), current) => {
                // The request before it is unfinished: what is left of it would run into the new one.
                let unfinished = current
                    .as_ref()
                    .is_some_and(|before| !before.is_told() || !before.request.is_finished());
                *current = Some(Exchange::new(begin));
                if unfinished {
                    return Some(Outcome::Replace(CloseReason::NotReusable, false));
                }
            }
            (Input::Idle, _) => self.reader.idle(),
            (input, Some(exchange)) => exchange.take(input),
            (_, None) => {}
        }
        None
    }

    /// The hand-over: looks at the connection once more, then expects a response. True: it did, and nothing had come. `has_more`: the request
    /// has bytes beside those that wait here.
    fn ask(
        &mut self,
        cx: &mut Context<'_>,
        around: &impl Surroundings,
        has_more: bool,
    ) -> Result<bool, Outcome> {
        let Some(exchange) = self.current.as_mut() else {
            return Ok(false);
        };
        let has_some = has_more || !exchange.request.is_drained();
        if !(matches!(exchange.answer, Answer::NotAsked) && has_some) {
            return Ok(false);
        }
        let watched = !self.reader.is_fresh();
        let first = !watched && !exchange.begin.reused;
        // tokio may not have heard yet of what the kernel knows, so the kernel is asked itself.
        let fit = match self.look() {
            Ok(IdleState::Open) => true,
            // A server that talks before it is asked: what it says counts as the answer to the first request.
            Ok(IdleState::TalkingUnasked) => first,
            Ok(IdleState::Closed) => false,
            Err(error) => {
                let failure = Failure::from_io(&error, "read", None, None);
                return Err(if first && error.kind() == io::ErrorKind::InvalidData {
                    // The peer refuses the handshake, and would refuse another one.
                    Outcome::Failed(Box::new(failure))
                } else {
                    self.replace_or(around, CloseReason::PeerReset, || failure)
                });
            }
        };
        // Makes the task be woken by what comes, too.
        if !fit || self.reader.poll_silence(cx).is_ready() {
            return Err(self.replace_or(around, CloseReason::PeerClosed, Failure::hang_up));
        }
        let Some(exchange) = self.current.as_mut() else {
            return Ok(false);
        };
        self.reader
            .begin(exchange.begin.bodiless, exchange.begin.max_header_size);
        exchange.answer = Answer::Awaited;
        exchange.asked = Some(Instant::now());
        Ok(watched)
    }

    fn look(&mut self) -> io::Result<IdleState> {
        let seen = self.seen.take();
        seen.unwrap_or_else(|| self.reader.transport.look())
    }

    /// Whether the connection is fit for a request. What it finds is kept for the next look.
    pub(super) fn is_fit(&mut self) -> bool {
        let seen = self.look();
        let is_fit = matches!(seen, Ok(IdleState::Open));
        self.seen = Some(seen);
        is_fit
    }

    /// The hand-over, and what can be sent now of the request's first piece, which its caller has lent; what is left of that is copied.
    pub(super) fn lend(
        &mut self,
        cx: &mut Context<'_>,
        around: &impl Surroundings,
        piece: &Piece<'_>,
    ) {
        let asked = self.ask(cx, around, true);
        let Some(exchange) = self.current.as_mut() else {
            return;
        };
        if matches!(asked, Ok(true)) && exchange.request.may_borrow(piece.bytes.len()) {
            exchange.want_ack |= piece.want_ack;
            if piece.end {
                exchange.request.complete();
            }
            self.write_by(around, |request, transport| {
                request.write_borrowed(cx, transport, piece.bytes, piece.copy)
            });
            return;
        }
        exchange.take(piece.kept());
        match asked {
            Ok(_) => self.write(cx, around),
            Err(outcome) => self.leave_word(outcome),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, around: &impl Surroundings) {
        let Some(exchange) = self.current.as_mut() else {
            return;
        };
        if matches!(exchange.answer, Answer::NotAsked) || exchange.write_error.is_some() {
            return;
        }
        self.write_by(around, |request, transport| {
            request.poll_write(cx, transport)
        });
    }

    fn write_by(
        &mut self,
        around: &impl Surroundings,
        write: impl FnOnce(&mut RequestBuffer, &mut Transport) -> Poll<io::Result<()>>,
    ) {
        let Some(exchange) = self.current.as_mut() else {
            return;
        };
        let before = exchange.request.written();
        let wrote = write(&mut exchange.request, &mut self.reader.transport);
        self.sent += exchange.request.written() - before;
        match wrote {
            Poll::Pending => exchange.has_waited = true,
            // The peer may have answered before it closed: reading goes on and decides.
            Poll::Ready(Err(error)) => exchange.write_error = Some(error),
            Poll::Ready(Ok(())) => exchange.acknowledge(around),
        }
    }

    fn has_write_error(&self) -> bool {
        let exchange = self.current.as_ref();
        exchange.is_some_and(|exchange| exchange.write_error.is_some())
    }

    pub(super) fn tell_written(&mut self, around: &impl Surroundings, now: bool) {
        if let Some(exchange) = self.current.as_mut() {
            exchange.tell_written(around, now);
        }
    }
}
