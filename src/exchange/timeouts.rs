//! How long an exchange waits for its peer: `headersTimeout` until the response's head, `bodyTimeout` between two pieces
//! of its body.
//!
//! Only the peer's time counts. The clock stands while the request waits for more of its body, or the response for its
//! reader, and starts anew with every progress. One timer serves a connection for all its exchanges; it is moved when
//! it rings, not at every progress, and one that was never wanted is never made.
//!
//! A process that was stopped (SIGSTOP, a paused container) may find the deadline over and the answer in the kernel. So
//! the socket is looked at before a deadline is told: if there is something to read, it is given the time to be read.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::config::GRACE;
use crate::error::Failure;

/// Both limits in milliseconds; 0: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timeouts {
    pub headers_ms: u32,
    pub body_ms: u32,
}

/// What an exchange waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awaited {
    /// Nothing that is the peer's to do.
    Nothing,
    /// The response's head; the number changes with every progress.
    Head(u64),
    /// More of its body; the same.
    Body(u64),
}

/// The clock of the exchange under way.
pub(super) struct Clock {
    awaited: Awaited,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// When a deadline that was over was put off to.
    grace: Option<Instant>,
    /// Since when what is awaited next is awaited, if it is not since now.
    earlier: Option<Instant>,
}

impl Clock {
    pub fn new() -> Self {
        Self {
            awaited: Awaited::Nothing,
            since: Instant::now(),
            timer: None,
            grace: None,
            earlier: None,
        }
    }

    /// What is awaited next has been since then.
    pub fn runs_since(&mut self, since: std::time::Instant) {
        self.earlier = Some(Instant::from_std(since));
    }

    /// What was awaited has come meanwhile.
    pub fn stands(&mut self) {
        self.awaited = Awaited::Nothing;
        self.grace = None;
        self.earlier = None;
    }

    /// Notes what is awaited now; ready when the peer took too long, else `cx` is woken in time. `has_news`: whether there is
    /// something to read.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        timeouts: Timeouts,
        awaited: Awaited,
        has_news: impl Fn() -> bool,
    ) -> Poll<Failure> {
        // Of what is awaited now, if anything is, and of nothing later.
        let earlier = self.earlier.take();
        if self.awaited != awaited {
            self.awaited = awaited;
            self.grace = None;
            if awaited != Awaited::Nothing {
                self.since = earlier.unwrap_or_else(Instant::now);
            }
        }
        let limit_ms = match awaited {
            Awaited::Nothing => 0,
            Awaited::Head(_) => timeouts.headers_ms,
            Awaited::Body(_) => timeouts.body_ms,
        };
        if limit_ms == 0 {
            return Poll::Pending;
        }
        let mut deadline = self.since + Duration::from_millis(limit_ms.into());
        deadline = self.grace.unwrap_or(deadline);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        // One that rings too early is moved then.
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                if self.grace.is_none() && has_news() {
                    deadline = Instant::now() + GRACE;
                    self.grace = Some(deadline);
                    timer.as_mut().reset(deadline);
                    continue;
                }
                return Poll::Ready(timed_out(awaited, limit_ms));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

fn timed_out(awaited: Awaited, ms: u32) -> Failure {
    match awaited {
        Awaited::Body(_) => Failure::new(
            "ERR_KEEPWIRE_BODY_TIMEOUT",
            format!("No more of the response's body within bodyTimeout, {ms} ms"),
        ),
        _ => Failure::new(
            "ERR_KEEPWIRE_HEADERS_TIMEOUT",
            format!("No response head within headersTimeout, {ms} ms"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const BOTH: Timeouts = Timeouts {
        headers_ms: 100,
        body_ms: 300,
    };

    async fn ring(clock: &mut Clock, awaited: Awaited) -> (String, Duration) {
        let began = Instant::now();
        let failure = poll_fn(|cx| clock.poll(cx, BOTH, awaited, || false)).await;
        (failure.code.to_string(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_limit() {
        let mut clock = Clock::new();
        let (code, after) = ring(&mut clock, Awaited::Head(0)).await;
        assert_eq!(code, "ERR_KEEPWIRE_HEADERS_TIMEOUT");
        assert!(after.as_millis() >= 100 && after.as_millis() < 110);
        let (code, after) = ring(&mut clock, Awaited::Body(0)).await;
        assert_eq!(code, "ERR_KEEPWIRE_BODY_TIMEOUT");
        assert!(after.as_millis() >= 300 && after.as_millis() < 310);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_starts_the_clock_anew_and_what_is_not_the_peers_stops_it() {
        let mut clock = Clock::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for progress in 0..10 {
            assert!(clock
                .poll(&mut cx, BOTH, Awaited::Head(progress), || true)
                .is_pending());
            tokio::time::advance(Duration::from_millis(90)).await;
        }
        let mut poll = |timeouts, awaited| clock.poll(&mut cx, timeouts, awaited, || false);
        assert!(poll(BOTH, Awaited::Nothing).is_pending());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(poll(BOTH, Awaited::Nothing).is_pending());
        assert!(poll(BOTH, Awaited::Head(9)).is_pending());
        let off = Timeouts::default();
        assert!(poll(off, Awaited::Body(0)).is_pending());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(poll(off, Awaited::Body(0)).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn what_began_elsewhere_has_waited_already_and_what_follows_it_has_not() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for (next, is_over) in [(Awaited::Head(0), true), (Awaited::Nothing, false)] {
            let mut clock = Clock::new();
            let began = Instant::now().into_std();
            tokio::time::advance(Duration::from_millis(150)).await;
            clock.stands();
            clock.runs_since(began);
            let polled = clock.poll(&mut cx, BOTH, next, || false);
            assert_eq!(polled.is_ready(), is_over);
            let later = clock.poll(&mut cx, BOTH, Awaited::Head(1), || false);
            assert!(later.is_pending());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_to_be_read_puts_an_overdue_deadline_off_once() {
        let mut clock = Clock::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let began = Instant::now();
        assert!(clock
            .poll(&mut cx, BOTH, Awaited::Body(0), || true)
            .is_pending());
        tokio::time::advance(Duration::from_secs(6)).await;
        // Overdue, but there is something; it turns out to be progress.
        assert!(clock
            .poll(&mut cx, BOTH, Awaited::Body(0), || true)
            .is_pending());
        assert!(clock
            .poll(&mut cx, BOTH, Awaited::Body(1), || true)
            .is_pending());
        // Then something that is none.
        let failure = poll_fn(|cx| clock.poll(cx, BOTH, Awaited::Body(1), || true)).await;
        assert_eq!(failure.code, "ERR_KEEPWIRE_BODY_TIMEOUT");
        let after = began.elapsed().as_millis();
        assert!((6_305..6_320).contains(&after), "{after}");
    }
}
