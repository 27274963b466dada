//! Requests that may not be sent twice, and how long a peer lets connections be idle.

use super::*;

/// Ages at which the peer has ended as many connections.
fn taught(limits: Limits, ages: &[u64]) -> Bench {
    let mut b = Bench::new(limits);
    b.pool.retain_origin(b.agent, 1);
    for &age in ages {
        let conn = b.idle(1);
        b.pool.ended_by_peer(conn, age);
        b.pool.closed(conn, age, &mut b.effects);
    }
    b
}

fn lease(b: &mut Bench, kind: Kind, exchange: ExchangeId, now: u64) -> Lease {
    b.effects.clear();
    b.pool
        .lease(b.agent, 1, waiter(exchange), kind, now, &mut b.effects)
}

fn passed_over(b: &Bench) -> u64 {
    let metrics = b.pool.metrics_of(b.agent, 1).unwrap();
    metrics
        .passed_over
        .load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn a_request_for_once_gets_no_connection_that_its_peer_may_be_about_to_close() {
    let mut b = taught(UNLIMITED, &[100, 410, 400]);
    let old = b.idle(1);
    let Lease::Dial { conn } = lease(&mut b, Kind::NotRetryable, 1, 308) else {
        panic!("308 of 410 ms: too long");
    };
    assert_eq!(b.pool.miss(conn), Some(Miss::IdleTooLong));
    assert_eq!(b.pool.state(old), Some(State::Idle));
    assert_eq!((b.effects.len(), passed_over(&b)), (0, 1));
    b.check_in(conn, None, 310);
    let younger = lease(&mut b, Kind::NotRetryable, 2, 320);
    assert!(matches!(younger, Lease::Idle { conn: c, .. } if c == conn));
    // Who may be sent twice takes what the others leave.
    let left = lease(&mut b, Kind::Retryable, 3, 399);
    assert!(matches!(left, Lease::Idle { conn: c, .. } if c == old));
}

#[test]
fn two_observations_teach_nothing() {
    let mut b = taught(UNLIMITED, &[400, 400]);
    b.idle(1);
    assert!(matches!(
        lease(&mut b, Kind::NotRetryable, 1, 399),
        Lease::Idle { .. }
    ));
}

#[test]
fn where_the_longest_idle_is_next_a_request_for_once_gets_the_youngest_if_that_is_too_old() {
    let limits = Limits {
        scheduling: Scheduling::Fifo,
        ..UNLIMITED
    };
    let mut b = taught(limits, &[400; 3]);
    let [old, middle, young] = [b.dial(1), b.dial(1), b.dial(1)];
    for (conn, now) in [(old, 0), (middle, 100), (young, 300)] {
        b.check_in(conn, None, now);
    }
    let next = lease(&mut b, Kind::NotRetryable, 1, 350);
    assert!(
        matches!(next, Lease::Idle { conn, .. } if conn == young),
        "{next:?}"
    );
}

#[test]
fn a_request_that_is_lost_on_a_reused_connection_teaches_as_well() {
    let mut b = Bench::new(UNLIMITED);
    b.pool.retain_origin(b.agent, 1);
    for exchange in 0..3 {
        let conn = b.idle(1);
        lease(&mut b, Kind::NotRetryable, exchange, 200);
        // Twice told, once counted; on what is dialed in its place nothing is learned.
        b.pool.ended_by_peer(conn, 200);
        b.pool.ended_by_peer(conn, 200);
        b.pool.closed(conn, 200, &mut b.effects);
    }
    b.idle(1);
    assert!(matches!(
        lease(&mut b, Kind::NotRetryable, 9, 150),
        Lease::Dial { .. }
    ));
}

#[test]
fn a_peer_that_restarted_is_believed_again_as_soon_as_a_connection_has_outlived_its_end() {
    let mut b = taught(UNLIMITED, &[0, 3, 100]);
    b.idle(1);
    assert!(matches!(
        lease(&mut b, Kind::NotRetryable, 1, 499),
        Lease::Dial { .. }
    ));
    assert!(matches!(
        lease(&mut b, Kind::NotRetryable, 2, 500),
        Lease::Idle { .. }
    ));
}

#[test]
fn within_its_limits_an_agent_closes_the_connection_that_it_passes_over() {
    let limits = Limits {
        max_sockets: 1,
        ..UNLIMITED
    };
    let mut b = taught(limits, &[400; 3]);
    let old = b.idle(1);
    let Lease::Dial { conn } = lease(&mut b, Kind::NotRetryable, 1, 350) else {
        panic!("it is too old");
    };
    assert_eq!(b.effects, [close(old, CloseReason::Evicted)]);
    // From one request straight to the next it is not idle at all.
    assert_eq!(lease(&mut b, Kind::NotRetryable, 2, 360), Lease::Queued);
    assert_eq!(b.check_in(conn, None, 900), CheckIn::Handed(waiter(2)));
}

#[test]
fn a_connection_that_comes_back_unused_is_as_old_as_before() {
    let limits = Limits {
        max_sockets: 1,
        ..UNLIMITED
    };
    let mut b = taught(limits, &[400; 3]);
    let conn = b.dial(1);
    b.check_in(conn, Some(1_000), 0);
    lease(&mut b, Kind::Retryable, 1, 350);
    b.effects.clear();
    let unused = b.pool.check_in(conn, Stay::Unused, 350, &mut b.effects);
    assert_eq!(unused, CheckIn::Idle);
    // Neither its age nor the peer's hint begins anew.
    let again = lease(&mut b, Kind::Retryable, 2, 380);
    let expected = Lease::Idle { conn, idle_ms: 380 };
    assert_eq!(again, expected);
    assert_eq!(lease(&mut b, Kind::NotRetryable, 3, 380), Lease::Queued);
    let unused = b.pool.check_in(conn, Stay::Unused, 390, &mut b.effects);
    assert_eq!(unused, CheckIn::Closed(CloseReason::Evicted));
    assert!(matches!(b.effects[..], [Effect::Dial { .. }]));

    let (_, conn) = b.served();
    b.check_in(conn, Some(100), 400);
    lease(&mut b, Kind::Retryable, 4, 450);
    let late = b.pool.check_in(conn, Stay::Unused, 500, &mut b.effects);
    assert_eq!(late, CheckIn::Closed(CloseReason::NotReusable));
}

#[test]
fn agents_that_share_lend_nothing_too_old_to_a_request_for_once() {
    let limits = Limits {
        shared: true,
        ..UNLIMITED
    };
    let mut b = taught(limits, &[400; 3]);
    let lent = b.idle(1);
    b.agent = b.pool.add_agent(limits);
    let Lease::Dial { conn } = lease(&mut b, Kind::NotRetryable, 1, 350) else {
        panic!("it has no idle one of its own");
    };
    assert_eq!(b.pool.adoption(conn), None);
    let Lease::Dial { conn } = lease(&mut b, Kind::NotRetryable, 2, 250) else {
        panic!("it has no idle one of its own");
    };
    assert_eq!(b.pool.adoption(conn), Some(lent));
}

#[test]
fn a_connection_is_as_old_as_its_last_response_however_late_that_is_read() {
    let mut b = taught(UNLIMITED, &[400; 3]);
    let conn = b.dial(1);
    b.pool.answered(conn).unwrap().note(100, false);
    b.check_in(conn, Some(1_000), 390);
    let Lease::Idle { idle_ms, .. } = lease(&mut b, Kind::Retryable, 1, 395) else {
        panic!("it is idle");
    };
    assert_eq!(idle_ms, 5, "what its users see");
    b.check_in(conn, Some(1_000), 395);
    assert!(matches!(
        lease(&mut b, Kind::NotRetryable, 2, 400),
        Lease::Dial { .. }
    ));
    assert_eq!(b.pool.expire(1_099, &mut b.effects), Some(1_100));
}

/// Leases of one connection after another, each idle for `ages` before its uses and ended as long after the last.
fn ended_after_uses(ages: &[u64], says_close: bool) -> (Bench, u64) {
    let mut b = Bench::new(UNLIMITED);
    b.pool.retain_origin(b.agent, 1);
    let mut now = 1_000;
    for _ in 0..3 {
        let conn = b.dial(1);
        for age in ages {
            b.pool.answered(conn).unwrap().note(now, says_close);
            b.check_in(conn, None, now);
            now += age;
            lease(&mut b, Kind::Retryable, 1, now);
        }
        b.pool.answered(conn).unwrap().note(now, says_close);
        b.pool.ended_by_peer(conn, now + 3);
        b.pool.closed(conn, now + 3, &mut b.effects);
    }
    (b, now)
}

fn is_reused_after((mut b, now): (Bench, u64), idle_ms: u64) -> bool {
    let conn = b.dial(1);
    b.check_in(conn, None, now);
    let once = lease(&mut b, Kind::NotRetryable, 9, now + idle_ms);
    matches!(once, Lease::Idle { .. })
}

#[test]
fn an_end_that_somebody_announced_teaches_nothing() {
    assert!(!is_reused_after(ended_after_uses(&[], false), 0));
    assert!(is_reused_after(ended_after_uses(&[], true), 0));
    assert!(is_reused_after(ended_after_uses(&[1, 1], true), 400));
}

#[test]
fn an_end_after_no_longer_than_a_connection_was_idle_before_teaches_nothing() {
    assert!(is_reused_after(ended_after_uses(&[0, 3, 1], false), 400));
    assert!(!is_reused_after(ended_after_uses(&[0, 2, 1], false), 400));
}

#[test]
fn a_connection_that_ends_behind_an_answer_teaches_how_long_it_was_open_since() {
    let mut b = Bench::new(UNLIMITED);
    b.pool.retain_origin(b.agent, 1);
    for exchange in 0..3 {
        let conn = b.idle(1);
        lease(&mut b, Kind::Retryable, exchange, 10);
        b.pool.answered(conn).unwrap().note(10, false);
        b.pool.ended_by_peer(conn, 25);
        b.pool.ended_by_peer(conn, 26);
        b.pool.closed(conn, 26, &mut b.effects);
    }
    b.idle(1);
    assert!(matches!(
        lease(&mut b, Kind::NotRetryable, 9, 4),
        Lease::Idle { .. }
    ));
    b.idle(1);
    assert!(matches!(
        lease(&mut b, Kind::NotRetryable, 10, 5),
        Lease::Dial { .. }
    ));
}
