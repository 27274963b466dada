//! Several addresses for one name: in which order, and how long one waits for another (RFC 8305, "happy eyeballs").
//!
//! Families take turns, beginning with that of the resolver's first answer. A failed attempt makes room for the next at
//! once; a slow one is joined by the next when its time is up and goes on beside it, so a link slower than the attempt
//! timeout still connects. The runtime closes the slow attempt instead. The first connection wins, the others are
//! dropped before a byte was sent on them.

use std::collections::HashSet;
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep_until, Instant};

use super::Target;
use crate::error::Failure;

/// RFC 8305 section 4 as the runtime does it: within a family the resolver's order stays, an address counts once.
pub(super) fn order(resolved: Vec<Target>) -> Vec<Target> {
    let Some(first_is_v4) = resolved.first().map(|target| target.addr.is_ipv4()) else {
        return resolved;
    };
    // Answers have thousands of addresses if somebody means harm.
    let mut seen = HashSet::with_capacity(resolved.len());
    let (preferred, other): (Vec<_>, Vec<_>) = resolved
        .into_iter()
        .filter(|target| seen.insert(target.clone()))
        .partition(|target| target.addr.is_ipv4() == first_is_v4);
    let mut ordered = Vec::with_capacity(preferred.len() + other.len());
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    loop {
        let (one, two) = (preferred.next(), other.next());
        if one.is_none() && two.is_none() {
            return ordered;
        }
        ordered.extend(one);
        ordered.extend(two);
    }
}

/// Tries the targets until one succeeds, the next after `delay` or a failure. A single target's failure is returned as
/// it is, several are gathered in the targets' order.
pub(super) async fn race<'a, A, T, F>(
    targets: &'a [A],
    delay: Duration,
    attempt: impl Fn(&'a A) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut failures: Vec<(usize, Failure)> = Vec::new();
    let mut waiting = targets.iter().enumerate();
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut start_next = true;
    let won = poll_fn(|cx| loop {
        if start_next {
            start_next = false;
            if let Some((index, target)) = waiting.next() {
                running.push((index, Box::pin(attempt(target))));
                timer.as_mut().reset(Instant::now() + delay);
            }
        }
        let mut at = 0;
        while at < running.len() {
            match running[at].1.as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(open)) => return Poll::Ready(Some(open)),
                Poll::Ready(Err(failure)) => {
                    let (index, _) = running.swap_remove(at);
                    failures.push((index, failure));
                    start_next = true;
                }
            }
        }
        let more = waiting.len() > 0;
        if running.is_empty() && !more {
            return Poll::Ready(None);
        }
        if more && !start_next {
            start_next = timer.as_mut().poll(cx).is_ready();
        }
        if !start_next || !more {
            return Poll::Pending;
        }
    })
    .await;
    if let Some(open) = won {
        return Ok(open);
    }
    failures.sort_by_key(|(index, _)| *index);
    let mut failures: Vec<Failure> = failures.into_iter().map(|(_, failure)| failure).collect();
    match failures.pop() {
        Some(only) if failures.is_empty() => Err(only),
        last => {
            failures.extend(last);
            Err(Failure::aggregate(failures))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::tests::target;
    use std::cell::RefCell;
    use tokio::time::sleep;

    fn ordered(ips: &[&str]) -> Vec<String> {
        order(ips.iter().map(|ip| target(ip, 80)).collect())
            .into_iter()
            .map(|target| target.text)
            .collect()
    }

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_first() {
        assert_eq!(
            ordered(&["::1", "::2", "::3", "10.0.0.1", "10.0.0.2"]),
            ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]
        );
        assert_eq!(
            ordered(&["10.0.0.1", "10.0.0.2", "::1"]),
            ["10.0.0.1", "::1", "10.0.0.2"]
        );
    }

    #[test]
    fn one_family_keeps_the_resolvers_order() {
        assert_eq!(
            ordered(&["10.0.0.9", "10.0.0.1", "10.0.0.5"]),
            ["10.0.0.9", "10.0.0.1", "10.0.0.5"]
        );
        assert!(ordered(&[]).is_empty());
    }

    #[test]
    fn an_address_is_tried_once() {
        assert_eq!(
            ordered(&["127.0.0.1", "127.0.0.1", "::1", "127.0.0.1"]),
            ["127.0.0.1", "::1"]
        );
    }

    /// Plays attempts that take `(milliseconds, succeeds)`; answers the outcome, the time it took and the attempts begun.
    async fn play(plan: &[(u64, bool)]) -> (Result<usize, Failure>, u128, Vec<usize>) {
        let began = Instant::now();
        let begun = RefCell::new(Vec::new());
        let indices: Vec<usize> = (0..plan.len()).collect();
        let outcome = race(&indices, Duration::from_millis(250), |&index| {
            begun.borrow_mut().push(index);
            let (takes, succeeds) = plan[index];
            async move {
                sleep(Duration::from_millis(takes)).await;
                if succeeds {
                    Ok(index)
                } else {
                    Err(Failure::new("ECONNREFUSED", format!("attempt {index}")))
                }
            }
        })
        .await;
        (outcome, began.elapsed().as_millis(), begun.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_in_time_is_the_only_one_tried() {
        let (outcome, took, begun) = play(&[(200, true), (0, true)]).await;
        assert_eq!((outcome.unwrap(), took, begun), (0, 200, vec![0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_makes_room_for_the_next_at_once() {
        let (outcome, took, begun) = play(&[(5, false), (7, true)]).await;
        assert_eq!((outcome.unwrap(), took, begun), (1, 12, vec![0, 1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_attempt_is_joined_by_the_next_and_either_may_win() {
        let (outcome, took, _) = play(&[(60_000, true), (10, true)]).await;
        assert_eq!((outcome.unwrap(), took), (1, 260));
        let (outcome, took, begun) = play(&[(400, true), (60_000, true), (60_000, true)]).await;
        assert_eq!((outcome.unwrap(), took, begun), (0, 400, vec![0, 1]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_may_take_as_long_as_it_takes() {
        let (outcome, took, _) = play(&[(9_000, true)]).await;
        assert_eq!((outcome.unwrap(), took), (0, 9_000));
        let (outcome, took, _) = play(&[(9_000, true), (5, false)]).await;
        assert_eq!((outcome.unwrap(), took), (0, 9_000));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_each_is_a_cause_in_order_and_the_first_gives_the_code() {
        let failure = play(&[(600, false), (5, false)]).await.0.unwrap_err();
        assert_eq!(failure.code, "ECONNREFUSED");
        let causes: Vec<_> = failure
            .causes
            .iter()
            .map(|cause| cause.message.as_str())
            .collect();
        assert_eq!(causes, ["attempt 0", "attempt 1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_address_fails_with_its_own_failure() {
        let failure = play(&[(5, false)]).await.0.unwrap_err();
        assert_eq!(
            (failure.message.as_str(), failure.causes.len()),
            ("attempt 0", 0)
        );
    }
}
