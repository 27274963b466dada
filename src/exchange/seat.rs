//! A connection whose exchanges the thread that asks for them carries itself, in its own event loop: while few are under way, two
//! threads that wake each other cost more than the work.
//!
//! Invariants
//! * One lock: whoever has it has the connection, whole. Only the holder of its lease begins an exchange.
//! * The I/O thread takes the connection back whenever it likes ([`Seat::vacate`]): with all that has come of the exchange under way,
//!   so that it goes on as if it had begun there. What the other thread can't carry to its end, it has taken back.
//! * Nothing of an idle connection is read here: what comes on it is for the I/O thread to judge.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use super::event_loop::{Carrier, Next};
use super::events::Events;
use super::mailbox::{Begin, Input, Piece};
use super::state::{Answer, Exchange, Outcome, Step};
use super::surroundings::{Remote, Surroundings};
use super::timeouts::Awaited;
use super::wire::Wire;
use crate::config::INLINE_BODY;
use crate::connect::Transport;
use crate::contain::contain;
use crate::error::Failure;
use crate::http1::head::Framing;
use crate::metrics::Metrics;
use crate::pool::CloseReason;

/// How often the I/O thread looks after a connection that is away. So long one may be idle there, or have its response wait
/// while its thread is busy.
pub(super) const ABSENCE: Duration = Duration::from_millis(100);

/// Deadlines in ms that are shorter are the I/O thread's to watch from the beginning.
const SHORTEST_DEADLINE: u32 = 500;

/// Response bodies up to this size are read here while nothing else is: to hand one over, and its pieces back, costs both threads more than
/// reading it. It is what an event loop is held up for at most.
const LARGEST_BODY: u64 = 2 * 1024 * 1024;

/// Pieces of request bodies up to this size are sent from where JavaScript has them. Larger ones would be no more than begun.
const LARGEST_PIECE: usize = 2 * 1024 * 1024;

/// Turns of the carrier in one go.
const BUDGET: u32 = 16;

/// Where the connection is while it is away.
pub struct Seat(Mutex<Option<Seated>>);

/// The connection and what goes with it.
pub(super) struct Seated {
    pub(super) wire: Wire,
    around: SeatSurroundings,
    /// How many exchanges have come to their end here.
    pub(super) carried: u32,
    /// When its exchange began.
    pub(super) begun: Option<Instant>,
    /// Since when it waits for what is due next.
    pub(super) used: Instant,
    awaited: Awaited,
    /// What had come of its body by then.
    received: u64,
    /// The I/O thread was asked to take it back.
    is_leaving: bool,
    /// Its exchange can't be carried here.
    is_too_much: bool,
    /// Nobody goes on with what a panic left behind.
    is_broken: bool,
    attention: Arc<Attention>,
    waker: Waker,
}

impl Seat {
    pub(super) fn new(
        wire: Wire,
        events: Arc<dyn Events>,
        metrics: Arc<Metrics>,
        remote: Arc<dyn Remote>,
    ) -> Self {
        let attention = Arc::new(Attention::default());
        Self(Mutex::new(Some(Seated {
            waker: Waker::from(Arc::clone(&attention)),
            attention,
            wire,
            around: SeatSurroundings {
                events,
                metrics,
                remote,
                begun: Cell::new(None),
            },
            carried: 0,
            begun: None,
            used: Instant::now(),
            awaited: Awaited::Nothing,
            received: 0,
            is_leaving: false,
            is_too_much: false,
            is_broken: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seated>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `what` to the connection, if it is here.
    pub(super) fn transport<R>(&self, what: impl FnOnce(&Transport) -> R) -> Option<R> {
        let seat = self.lock();
        Some(what(&seat.as_ref()?.wire.reader.transport))
    }

    /// Whether the I/O thread should take it back: it is gone, or nothing has happened on it for long.
    pub(super) fn is_missed(&self) -> bool {
        let seat = match self.0.try_lock() {
            Ok(seat) => seat,
            // Its thread is just at it.
            Err(TryLockError::WouldBlock) => return false,
            Err(TryLockError::Poisoned(seat)) => seat.into_inner(),
        };
        seat.as_ref()
            .is_none_or(|seated| seated.used.elapsed() >= ABSENCE)
    }

    /// Takes the connection away.
    pub(super) fn vacate(&self) -> Option<Seated> {
        self.lock().take().filter(|seated| !seated.is_broken)
    }
}

impl Carrier for Seat {
    fn begin(&self, begin: Begin) -> bool {
        let mut seat = self.lock();
        let Some(seated) = seat.as_mut().filter(|seated| !seated.is_leaving) else {
            return false;
        };
        let now = Instant::now();
        let events = &seated.around.events;
        if begin.is_fetch && !events.takes_fetches() {
            return false;
        }
        events.begins(begin.exchange, begin.is_fetch);
        if let Some(outcome) = seated.wire.take(Input::Begin(begin)) {
            seated.wire.leave_word(outcome);
        }
        seated.begun = Some(now);
        seated.around.begun.set(Some(now));
        seated.used = now;
        seated.awaited = Awaited::Nothing;
        true
    }

    fn input(&self, input: Input) -> Option<Input> {
        let mut seat = self.lock();
        let Some(seated) = seat.as_mut() else {
            return Some(input);
        };
        if let Input::Timeouts(timeouts) = input {
            let is_short = |ms: u32| ms > 0 && ms < SHORTEST_DEADLINE;
            seated.is_too_much |= is_short(timeouts.headers_ms) || is_short(timeouts.body_ms);
        }
        seated.wire.take(input);
        None
    }

    fn lend(&self, piece: &Piece<'_>) -> Result<bool, Box<Failure>> {
        let mut seat = self.lock();
        let Some(seated) = seat.as_mut().filter(|seated| !seated.is_leaving) else {
            return Ok(false);
        };
        seated.contained(|seated| seated.lend(piece))?;
        Ok(true)
    }

    fn turn(&self, has_news: bool, is_lone: bool) -> Result<Next, Box<Failure>> {
        let mut seat = self.lock();
        let Some(seated) = seat.as_mut().filter(|seated| !seated.is_leaving) else {
            return Ok(Next::IsGone);
        };
        if has_news {
            seated.wire.reader.transport.has_more();
        }
        let next = seated.contained(|seated| seated.turn(has_news, is_lone))?;
        seated.is_leaving = next == Next::Leaves;
        seated.carried = seated.carried.saturating_add((next == Next::Rests).into());
        Ok(next)
    }

    fn leave(&self) -> Next {
        let mut seat = self.lock();
        let Some(seated) = seat.as_mut().filter(|seated| !seated.is_leaving) else {
            return Next::IsGone;
        };
        seated.is_leaving = true;
        Next::Leaves
    }

    fn looked(&self, wait: Duration) -> Next {
        let mut seat = self.lock();
        let Some(seated) = seat.as_mut().filter(|seated| !seated.is_leaving) else {
            return Next::IsGone;
        };
        if seated.wire.under_way().is_none() {
            return Next::Rests;
        }
        if seated.begun.is_none_or(|begun| begun.elapsed() >= wait) {
            seated.is_leaving = true;
            return Next::Leaves;
        }
        Next::Waits
    }
}

impl Seated {
    /// A panic leaves it broken.
    fn contained<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> Result<R, Box<Failure>> {
        contain(|| work(self)).inspect_err(|_| {
            // It stays until whoever asked has heard why: found missing, it would be told as closed before.
            self.is_leaving = true;
            self.is_broken = true;
            self.used = Instant::now();
        })
    }

    /// Sends what it may from where it is: the first piece of a body, since a thread that makes one piece after another has enough to do, and
    /// over TLS only for one request at a time, since to seal a piece costs more than to hand it over.
    fn lend(&mut self, piece: &Piece<'_>) {
        self.used = Instant::now();
        let Self {
            wire,
            around,
            is_too_much,
            waker,
            ..
        } = self;
        let is_plain = matches!(wire.reader.transport, Transport::Tcp(..));
        let is_first = |exchange: &Exchange| {
            matches!(exchange.answer, Answer::NotAsked) && (is_plain || exchange.begin.is_alone)
        };
        let may_be_sent = wire.current.as_ref().is_some_and(is_first)
            && piece.bytes.len() <= LARGEST_PIECE
            && !(wire.has_word() || *is_too_much)
            && wire.is_fit();
        if may_be_sent {
            wire.lend(&mut Context::from_waker(waker), around, piece);
            wire.count_bytes(around);
        } else {
            wire.take(piece.kept());
        }
    }

    fn turn(&mut self, has_news: bool, is_lone: bool) -> Next {
        let Self {
            wire,
            around,
            is_too_much,
            attention,
            waker,
            ..
        } = &mut *self;
        let Some(exchange) = wire.current.as_ref().filter(|exchange| !exchange.is_told()) else {
            return Next::Leaves;
        };
        // Requests whose bodies are still to come, and connections that have ended, are the I/O thread's.
        let is_new = matches!(exchange.answer, Answer::NotAsked);
        let is_whole = exchange.request.is_complete();
        if wire.has_word() || *is_too_much || (is_new && !(is_whole && wire.is_fit())) {
            return Next::Leaves;
        }
        if !is_whole {
            return if !has_news && self.is_ending() {
                Next::Waits
            } else {
                Next::Leaves
            };
        }
        let mut cx = Context::from_waker(waker);
        attention.0.store(false, Relaxed);
        wire.reader.begin_turn();
        for _ in 0..BUDGET {
            let step = wire.step(&mut cx, around);
            wire.count_bytes(around);
            match step {
                Step::Over(outcome) => {
                    let outcome = told_here(wire, around, outcome);
                    wire.leave_word(outcome);
                    return Next::Leaves;
                }
                _ if around.events.awaits_return() => return Next::Leaves,
                Step::Again if wire.under_way().is_some() => {}
                // Something has come behind the response.
                Step::Again => return Next::Leaves,
                // There is more than one turn may read. Not if it told as many pieces as it may: the shorter they are, the longer a loop is
                // held up for a body.
                Step::Wait if is_lone && wire.reader.is_spent() && reads_body(wire) => {
                    attention.0.store(false, Relaxed);
                    wire.reader.begin_turn();
                }
                Step::Wait => {
                    let under_way = wire.current.as_ref();
                    let awaited = under_way.map_or(Awaited::Nothing, |one| wire.awaited(one));
                    let received = under_way.map_or(0, |one| one.received);
                    if awaited != self.awaited || received != self.received {
                        self.awaited = awaited;
                        self.received = received;
                        self.used = Instant::now();
                    }
                    return self.after_turn(is_lone);
                }
            }
        }
        Next::Leaves
    }

    /// The end of a request whose body's first piece was sent as it was lent often comes at once. Anything else is the I/O thread's.
    fn is_ending(&self) -> bool {
        self.wire.current.as_ref().is_some_and(|exchange| {
            matches!(exchange.answer, Answer::Awaited)
                && exchange.request.is_drained()
                && exchange.write_error.is_none()
        })
    }

    fn after_turn(&self, is_lone: bool) -> Next {
        let Some(exchange) = &self.wire.current else {
            return Next::Rests;
        };
        if exchange.is_told() {
            // The answer came before the rest of its request was sent.
            let is_unsent = !exchange.request.is_finished();
            return if is_unsent || self.wire.reader.has_ended() {
                Next::Leaves
            } else {
                Next::Rests
            };
        }
        let stays = is_lone && reads_body(&self.wire);
        if self.awaited == Awaited::Nothing {
            // Its reader has enough for now.
            return if stays { Next::Waits } else { Next::Leaves };
        }
        let is_large = exchange.received >= INLINE_BODY as u64 && !stays;
        if self.attention.is_wanted() || is_large || !exchange.request.is_finished() {
            return Next::Leaves;
        }
        Next::Waits
    }
}

/// Whether a response's body has begun that may be read here if nothing else is.
fn reads_body(wire: &Wire) -> bool {
    let Some(exchange) = &wire.current else {
        return false;
    };
    let is_short = match &exchange.answer {
        Answer::Body { head, .. } => match head.framing {
            Framing::Length(length) => length <= LARGEST_BODY,
            _ => exchange.received < LARGEST_BODY,
        },
        _ => false,
    };
    is_short && exchange.request.is_finished()
}

/// Tells some failures here instead of on the I/O thread: those behind a response's end, which records wait for
/// ([`Events::hold`]), and malformed bodies, told along with what came before them.
fn told_here(wire: &Wire, around: &SeatSurroundings, outcome: Outcome) -> Outcome {
    match (outcome, &wire.current) {
        (Outcome::Failed(failure), Some(exchange))
            if exchange.is_told() || (exchange.has_head() && failure.reason.is_some()) =>
        {
            around.count(|metrics| metrics.errors.add(failure.code.clone()));
            around
                .events
                .failed(exchange.begin.exchange, &failure, true);
            Outcome::Closed(CloseReason::Error)
        }
        (outcome, _) => outcome,
    }
}

/// The waker of turns here: it only remembers that another turn is wanted, which makes the connection leave.
#[derive(Default)]
struct Attention(AtomicBool);

impl Attention {
    fn is_wanted(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Wake for Attention {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// What exchanges on a seat need beside their wire.
struct SeatSurroundings {
    events: Arc<dyn Events>,
    metrics: Arc<Metrics>,
    remote: Arc<dyn Remote>,
    begun: Cell<Option<Instant>>,
}

impl Surroundings for SeatSurroundings {
    fn events(&self) -> Arc<dyn Events> {
        Arc::clone(&self.events)
    }

    fn count(&self, what: impl FnOnce(&Metrics)) {
        what(&self.metrics);
    }

    fn count_response(&self, method: usize, status: u16) {
        if let Some(begun) = self.begun.take() {
            self.metrics
                .durations
                .record(method, status, begun.elapsed());
        }
    }

    fn answered(&self, says_close: bool) {
        self.remote.answered(says_close);
    }

    fn close_after_response(&self, reason: CloseReason) {
        self.remote.close_after_response(reason);
    }

    fn ended_by_peer(&self) {
        self.remote.ended_by_peer();
    }

    // Whoever carries it sees to that by itself.
    fn put_off_word(&self, _is_due: bool) {}
}
