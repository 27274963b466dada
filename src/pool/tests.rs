//! What the pool promises, case by case. Histories are in `fuzz_tests.rs`.

mod not_retryable;
mod sharing;

use super::waiters::KEPT_AT_MOST;
use super::*;

/// An agent that keeps all it may have. Other rooms' tests begin with it, too.
pub(crate) const UNLIMITED: Limits = Limits {
    keep_alive: true,
    max_sockets: u32::MAX,
    max_total_sockets: u32::MAX,
    max_free_sockets: u32::MAX,
    scheduling: Scheduling::Lifo,
    free_socket_timeout_ms: 0,
    socket_active_ttl_ms: 0,
    max_requests_per_socket: 0,
    max_pending: u32::MAX,
    shared: false,
};

/// 256,000 connections to 256 keys.
fn crowd() -> Bench {
    let mut bench = Bench::new(UNLIMITED);
    for exchange in 0..256_000 {
        let _ = bench.lease(exchange % 256, exchange.into(), 0);
    }
    bench
}

#[test]
fn a_look_at_few_of_many_connections_finds_just_these() {
    let bench = crowd();
    let counts = bench.pool.snapshot(bench.agent);
    assert_eq!(counts.len(), 256);
    assert!(counts.iter().all(|(_, counts, _)| counts.dialing == 1000));
    let found = |keys: &[KeyId], most| {
        let of = keys.iter().map(|&key| (bench.agent, key));
        bench.pool.connections(of, 10, most)
    };
    let some = found(&[7], 200);
    assert_eq!(some.len(), 200);
    assert!(some.iter().all(|seen| seen.key == 7 && seen.age_ms == 10));
    assert_eq!(found(&[7, 200, 7], usize::MAX).len(), 2000);
    assert_eq!(found(&[300], usize::MAX).len(), 0);
}

/// `cargo test --profile quick --lib a_look_at_256_000 -- --ignored --nocapture`
#[test]
#[ignore = "it measures"]
fn a_look_at_256_000_connections_takes_as_long_as() {
    let bench = crowd();
    let took = |what: &str, look: &dyn Fn() -> usize| {
        let began = std::time::Instant::now();
        for _ in 0..20 {
            std::hint::black_box(look());
        }
        println!(
            "{what}: {:.3} ms",
            began.elapsed().as_secs_f64() * 1000.0 / 20.0
        );
    };
    let at = |key: KeyId, most| {
        let of = std::iter::once((bench.agent, key));
        bench.pool.connections(of, 10, most).len()
    };
    took("counts of 256 origins", &|| {
        bench.pool.snapshot(bench.agent).len()
    });
    took("200 connections of one origin", &|| at(7, 200));
    took("all 1,000 connections of one origin", &|| at(7, usize::MAX));
}

#[test]
fn who_waits_is_told_in_the_order_of_turns() {
    let mut bench = Bench::new(Limits {
        max_sockets: 1,
        ..UNLIMITED
    });
    let _ = bench.lease(1, 1, 100);
    let _ = bench.lease(1, 2, 200);
    let _ = bench.lease(1, 3, 350);
    let waiting = |most| bench.pool.waiting(bench.agent, 1, 1000, most);
    assert_eq!(waiting(10), [800, 650]);
    assert_eq!(waiting(1), [800]);
    assert_eq!(bench.pool.waiting(bench.agent, 2, 1000, 10), []);
}

/// A pool with one agent, and what the last call asked for.
struct Bench {
    pool: Pool,
    agent: AgentId,
    effects: Vec<Effect>,
}

fn waiter(exchange: ExchangeId) -> WaiterId {
    WaiterId { port: 1, exchange }
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let mut pool = Pool::new();
        let agent = pool.add_agent(limits);
        Bench {
            pool,
            agent,
            effects: Vec::new(),
        }
    }

    fn lease(&mut self, key: KeyId, exchange: ExchangeId, now: u64) -> Lease {
        self.effects.clear();
        self.pool.lease(
            self.agent,
            key,
            waiter(exchange),
            Kind::Retryable,
            now,
            &mut self.effects,
        )
    }

    fn lease_fallback(&mut self, key: KeyId, exchange: ExchangeId) -> Lease {
        self.effects.clear();
        self.pool.lease(
            self.agent,
            key,
            waiter(exchange),
            Kind::Fallback,
            0,
            &mut self.effects,
        )
    }

    fn dial(&mut self, key: KeyId) -> ConnId {
        match self.lease(key, 0, 0) {
            Lease::Dial { conn } => conn,
            other => panic!("{other:?}"),
        }
    }

    fn check_in(&mut self, conn: ConnId, hint: Option<u64>, now: u64) -> CheckIn {
        self.effects.clear();
        let stay = hint.map_or(Stay::Unlimited, Stay::For);
        self.pool.check_in(conn, stay, now, &mut self.effects)
    }

    fn idle(&mut self, key: KeyId) -> ConnId {
        let conn = self.dial(key);
        assert_eq!(self.check_in(conn, None, 0), CheckIn::Idle);
        conn
    }

    fn set_limits(&mut self, limits: Limits) {
        self.effects.clear();
        self.pool
            .set_limits(self.agent, limits, 0, &mut self.effects);
    }

    fn fallback_idle(&mut self, key: KeyId, idle: bool) -> bool {
        self.effects.clear();
        self.pool
            .fallback_idle(self.agent, key, idle, 0, &mut self.effects)
    }

    fn release_fallback(&mut self, key: KeyId) {
        self.effects.clear();
        self.pool
            .release_fallback(self.agent, key, 0, &mut self.effects);
    }

    fn counts(&self, key: KeyId) -> Counts {
        self.pool.counts(self.agent, key)
    }

    /// The exchange that the last call's only served waiter stands for, and its connection.
    fn served(&self) -> (ExchangeId, ConnId) {
        let served = self.effects.iter().filter_map(|effect| match *effect {
            Effect::Dial { waiter, conn } | Effect::Assign { waiter, conn, .. } => {
                Some((waiter.exchange, conn))
            }
            _ => None,
        });
        let served: Vec<_> = served.collect();
        assert_eq!(served.len(), 1, "{:?}", self.effects);
        served[0]
    }
}

fn close(conn: ConnId, reason: CloseReason) -> Effect {
    Effect::Close { conn, reason }
}

#[test]
fn equal_identities_have_one_key_and_different_ones_two() {
    let mut keys = Keys::default();
    let a = keys.hold("localhost:80:");
    assert_eq!(keys.hold("localhost:80:"), a);
    assert_ne!(keys.hold("localhost:80:4"), a);
    assert_eq!(keys.identity(a), Some("localhost:80:"));
}

#[test]
fn an_identity_that_nobody_holds_is_forgotten_and_its_key_names_no_other() {
    let mut keys = Keys::default();
    let a = keys.hold("a");
    keys.hold("a");
    keys.release(a);
    assert_eq!(keys.len(), 1);
    keys.release(a);
    keys.release(a);
    assert_eq!(keys.len(), 0);
    assert_eq!(keys.identity(a), None);
    for other in 0..5_000 {
        let key = keys.hold(&format!("host {other}"));
        assert_ne!(key, a);
        keys.release(key);
    }
    assert_eq!(keys.len(), 0);
}

#[test]
fn a_retained_origin_keeps_its_counters_and_says_why_it_dials() {
    let mut b = Bench::new(UNLIMITED);
    b.pool.retain_origin(b.agent, 1);
    let conn = b.dial(1);
    assert_eq!(b.pool.miss(conn), Some(Miss::NoneIdle));
    let second = b.dial(1);
    assert_eq!(b.pool.miss(second), Some(Miss::AllBusy));
    for conn in [conn, second] {
        b.pool.note_end(conn, CloseReason::PeerClosed);
        b.pool.closed(conn, 0, &mut b.effects);
    }
    let third = b.dial(1);
    let why = Miss::Closed(CloseReason::PeerClosed);
    assert_eq!(b.pool.miss(third), Some(why));
    b.check_in(third, None, 0);
    assert!(matches!(b.lease(1, 1, 0), Lease::Idle { .. }));
    b.check_in(third, Some(0), 0);
    let metrics = b
        .pool
        .release_origin(b.agent, 1, &mut b.effects)
        .expect("a retained one");
    assert_eq!(metrics.reused.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(b.pool.snapshot(b.agent).is_empty());
}

#[test]
fn a_checked_in_connection_is_leased_again_with_its_history() {
    let mut b = Bench::new(UNLIMITED);
    let conn = b.dial(1);
    assert_eq!(
        b.counts(1),
        Counts {
            dialing: 1,
            ..Counts::default()
        }
    );
    b.pool.connected(conn);
    assert_eq!(
        b.counts(1),
        Counts {
            leased: 1,
            ..Counts::default()
        }
    );
    assert_eq!(b.check_in(conn, None, 100), CheckIn::Idle);
    assert_eq!(b.lease(1, 2, 130), Lease::Idle { conn, idle_ms: 30 });
    assert!(b.effects.is_empty());
}

#[test]
fn a_connection_serves_its_own_key_and_agent_only() {
    let mut b = Bench::new(UNLIMITED);
    b.idle(1);
    assert!(matches!(b.lease(2, 1, 0), Lease::Dial { .. }));
    let other = b.pool.add_agent(UNLIMITED);
    let answer = b
        .pool
        .lease(other, 1, waiter(2), Kind::Retryable, 0, &mut b.effects);
    assert!(matches!(answer, Lease::Dial { .. }));
}

#[test]
fn lifo_leases_the_newest_idle_connection_and_fifo_the_oldest() {
    for (scheduling, expected) in [(Scheduling::Lifo, 1), (Scheduling::Fifo, 0)] {
        let mut b = Bench::new(Limits {
            scheduling,
            ..UNLIMITED
        });
        let conns = [b.dial(1), b.dial(1)];
        for conn in conns {
            b.check_in(conn, None, 0);
        }
        assert_eq!(
            b.lease(1, 1, 0),
            Lease::Idle {
                conn: conns[expected],
                idle_ms: 0
            }
        );
    }
}

#[test]
fn a_connection_is_not_leased_at_its_deadline_or_later() {
    let mut b = Bench::new(Limits {
        free_socket_timeout_ms: 50,
        ..UNLIMITED
    });
    let conn = b.idle(1);
    assert!(matches!(b.lease(1, 1, 49), Lease::Idle { .. }));
    b.check_in(conn, None, 49);
    assert!(matches!(b.lease(1, 2, 99), Lease::Dial { .. }));
    assert_eq!(b.effects, [close(conn, CloseReason::IdleTimeout)]);
}

#[test]
fn the_earlier_of_timeout_and_hint_ends_idleness() {
    let mut b = Bench::new(Limits {
        free_socket_timeout_ms: 50,
        ..UNLIMITED
    });
    let (early, late) = (b.dial(1), b.dial(1));
    b.check_in(early, Some(20), 0);
    b.check_in(late, Some(900), 0);
    b.effects.clear();
    assert_eq!(b.pool.next_deadline(), Some(20));
    assert_eq!(b.pool.expire(20, &mut b.effects), Some(50));
    assert_eq!(b.pool.expire(50, &mut b.effects), None);
    assert_eq!(
        b.effects,
        [
            close(early, CloseReason::IdleTimeout),
            close(late, CloseReason::IdleTimeout)
        ]
    );
}

#[test]
fn a_busy_connection_keeps_one_alarm() {
    let mut b = Bench::new(Limits {
        free_socket_timeout_ms: 50,
        ..UNLIMITED
    });
    let conn = b.idle(1);
    for now in 1..40 {
        b.lease(1, 1, now);
        b.check_in(conn, None, now);
    }
    assert_eq!(b.pool.deadlines.len(), 1);
    assert_eq!(b.pool.expire(60, &mut b.effects), Some(89));
}

#[test]
fn alarms_of_closed_connections_do_not_pile_up() {
    let mut b = Bench::new(Limits {
        free_socket_timeout_ms: 90_000,
        ..UNLIMITED
    });
    for _ in 0..10_000 {
        let conn = b.idle(1);
        b.pool.closed(conn, 0, &mut b.effects);
    }
    assert!(b.pool.deadlines.len() < 100);
}

#[test]
fn a_hint_of_zero_closes_even_with_waiters_who_get_a_new_connection() {
    let mut b = Bench::new(Limits {
        max_sockets: 1,
        ..UNLIMITED
    });
    let conn = b.dial(1);
    assert_eq!(b.lease(1, 7, 0), Lease::Queued);
    assert_eq!(
        b.check_in(conn, Some(0), 0),
        CheckIn::Closed(CloseReason::NotReusable)
    );
    assert!(matches!(b.effects[..], [Effect::Dial { waiter: w, .. }] if w == waiter(7)));
}

#[test]
fn waiters_of_a_key_are_served_first_come_first_served_and_cancelled_ones_skipped() {
    let mut b = Bench::new(Limits {
        max_sockets: 1,
        ..UNLIMITED
    });
    let conn = b.dial(1);
    for exchange in 1..=4 {
        assert_eq!(b.lease(1, exchange, 0), Lease::Queued);
    }
    assert!(b.pool.cancel(waiter(2), &mut b.effects));
    assert!(!b.pool.cancel(waiter(2), &mut b.effects));
    for exchange in [1, 3, 4] {
        assert_eq!(b.check_in(conn, None, 0), CheckIn::Handed(waiter(exchange)));
        assert_eq!(b.served(), (exchange, conn));
        assert!(!b.pool.cancel(waiter(exchange), &mut b.effects));
    }
    assert_eq!(b.check_in(conn, None, 0), CheckIn::Idle);
}

#[test]
fn without_keep_alive_a_connection_goes_to_a_waiter_or_is_closed() {
    let mut b = Bench::new(Limits {
        keep_alive: false,
        max_sockets: 1,
        ..UNLIMITED
    });
    let conn = b.dial(1);
    b.lease(1, 2, 0);
    assert_eq!(b.check_in(conn, None, 0), CheckIn::Handed(waiter(2)));
    assert_eq!(
        b.check_in(conn, None, 0),
        CheckIn::Closed(CloseReason::KeepAliveOff)
    );
    assert_eq!(b.pool.closed(conn, 0, &mut b.effects), None);
}

#[test]
fn idle_connections_beyond_max_free_sockets_are_closed() {
    let mut b = Bench::new(Limits {
        max_free_sockets: 1,
        ..UNLIMITED
    });
    let (first, second) = (b.dial(1), b.dial(1));
    assert_eq!(b.check_in(first, None, 0), CheckIn::Idle);
    assert_eq!(
        b.check_in(second, None, 0),
        CheckIn::Closed(CloseReason::Limits)
    );
}

#[test]
fn a_connection_serves_max_requests_and_no_more() {
    let mut b = Bench::new(Limits {
        max_requests_per_socket: 2,
        ..UNLIMITED
    });
    let conn = b.idle(1);
    b.lease(1, 1, 0);
    assert_eq!(
        b.check_in(conn, None, 0),
        CheckIn::Closed(CloseReason::MaxRequests)
    );
}

#[test]
fn a_redialed_connection_counts_its_uses_anew() {
    let mut b = Bench::new(Limits {
        max_requests_per_socket: 2,
        ..UNLIMITED
    });
    let conn = b.idle(1);
    b.lease(1, 1, 0);
    b.pool.redial(conn, 0);
    assert_eq!(b.counts(1).dialing, 1);
    assert_eq!(b.check_in(conn, None, 0), CheckIn::Idle);
}

#[test]
fn a_full_queue_refuses_and_records_nothing() {
    let mut b = Bench::new(Limits {
        max_sockets: 1,
        max_pending: 1,
        ..UNLIMITED
    });
    b.dial(1);
    assert_eq!(b.lease(1, 1, 0), Lease::Queued);
    assert_eq!(b.lease(1, 2, 0), Lease::QueueFull);
    assert!(!b.pool.cancel(waiter(2), &mut b.effects));
    assert_eq!(b.counts(1).queued, 1);
}

#[test]
fn the_longest_idle_connection_of_another_key_is_closed_for_a_lease() {
    let mut b = Bench::new(Limits {
        max_total_sockets: 2,
        ..UNLIMITED
    });
    let (old, new) = (b.dial(1), b.dial(2));
    b.check_in(old, None, 0);
    b.check_in(new, None, 1);
    assert!(matches!(b.lease(3, 1, 5), Lease::Dial { .. }));
    assert_eq!(b.effects, [close(old, CloseReason::Evicted)]);
    assert_eq!(b.pool.state(new), Some(State::Idle));
}

#[test]
fn a_failed_dial_gives_its_slot_to_the_next_waiter() {
    let mut b = Bench::new(Limits {
        max_sockets: 1,
        ..UNLIMITED
    });
    let conn = b.dial(1);
    b.lease(1, 2, 0);
    b.effects.clear();
    assert_eq!(b.pool.closed(conn, 0, &mut b.effects), Some(State::Dialing));
    assert_eq!(b.served().0, 2);
}

#[test]
fn origins_without_a_slot_take_turns() {
    let mut b = Bench::new(Limits {
        max_total_sockets: 1,
        ..UNLIMITED
    });
    let mut conn = b.dial(1);
    for (key, exchange) in [(1, 11), (1, 12), (1, 13), (2, 21), (2, 22), (3, 31)] {
        assert_eq!(b.lease(key, exchange, 0), Lease::Queued);
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        b.check_in(conn, None, 0);
        let (exchange, next) = b.served();
        order.push(exchange);
        conn = next;
    }
    assert_eq!(order, [11, 21, 31, 12, 22, 13]);
}

#[test]
fn origins_with_their_share_of_slots_reuse_their_connections() {
    let mut b = Bench::new(Limits {
        max_total_sockets: 4,
        ..UNLIMITED
    });
    let conns = [b.dial(1), b.dial(1), b.dial(2), b.dial(2)];
    for exchange in 0..40 {
        b.lease(1 + exchange % 2, 100 + ExchangeId::from(exchange), 0);
    }
    for conn in conns {
        assert!(matches!(b.check_in(conn, None, 0), CheckIn::Handed(_)));
    }
}

#[test]
fn slots_even_out_between_origins() {
    let mut b = Bench::new(Limits {
        max_total_sockets: 5,
        ..UNLIMITED
    });
    let conns: Vec<_> = (0..4).map(|_| b.dial(1)).collect();
    b.dial(2);
    for exchange in 0..20 {
        b.lease(2 - exchange % 2, 100 + ExchangeId::from(exchange), 0);
    }
    assert_eq!(
        b.check_in(conns[0], None, 0),
        CheckIn::Closed(CloseReason::Evicted)
    );
    assert_eq!((b.counts(1).live(), b.counts(2).live()), (3, 2));
    assert!(matches!(b.check_in(conns[1], None, 0), CheckIn::Handed(_)));
}

#[test]
fn an_origin_with_slots_gets_its_turn_after_a_while_at_the_latest() {
    let mut b = Bench::new(Limits {
        max_total_sockets: 2,
        ..UNLIMITED
    });
    let conn = b.dial(1);
    b.dial(2); // A long one: it never ends.
    b.lease(2, 500, 0);
    for exchange in 0..40 {
        b.lease(1, exchange + 1, 0);
    }
    let kept = (0..40)
        .take_while(|_| matches!(b.check_in(conn, None, 0), CheckIn::Handed(_)))
        .count();
    assert_eq!(kept as u32, KEPT_AT_MOST);
    assert_eq!(b.served().0, 500);
}

#[test]
fn raised_limits_serve_waiters_at_once() {
    let mut b = Bench::new(Limits {
        max_sockets: 1,
        ..UNLIMITED
    });
    b.dial(1);
    for exchange in 1..=3 {
        b.lease(1, exchange, 0);
    }
    b.set_limits(Limits {
        max_sockets: 3,
        ..UNLIMITED
    });
    assert!(
        matches!(b.effects[..], [Effect::Dial { waiter: x, .. }, Effect::Dial { waiter: y, .. }]
        if (x, y) == (waiter(1), waiter(2)))
    );
    assert_eq!(
        b.counts(1),
        Counts {
            dialing: 3,
            queued: 1,
            ..Counts::default()
        }
    );
}

#[test]
fn lowered_limits_close_idle_connections_at_once_and_leased_ones_at_check_in() {
    let mut b = Bench::new(UNLIMITED);
    let (first, second, third) = (b.dial(1), b.dial(1), b.dial(1));
    b.check_in(third, None, 0);
    b.set_limits(Limits {
        max_sockets: 1,
        ..UNLIMITED
    });
    assert_eq!(b.effects, [close(third, CloseReason::Limits)]);
    assert_eq!(
        b.check_in(first, None, 0),
        CheckIn::Closed(CloseReason::Limits)
    );
    assert_eq!(b.check_in(second, None, 0), CheckIn::Idle);
}

#[test]
fn a_shorter_timeout_applies_to_connections_that_are_idle_already() {
    let mut b = Bench::new(Limits {
        free_socket_timeout_ms: 900,
        ..UNLIMITED
    });
    b.idle(1);
    b.set_limits(Limits {
        free_socket_timeout_ms: 30,
        ..UNLIMITED
    });
    assert_eq!(b.pool.next_deadline(), Some(30));
}

#[test]
fn fallback_sockets_count_under_the_limits() {
    let mut b = Bench::new(Limits {
        max_sockets: 1,
        ..UNLIMITED
    });
    assert_eq!(b.lease_fallback(1, 1), Lease::Granted);
    assert_eq!(b.lease(1, 2, 0), Lease::Queued);
    assert_eq!(b.lease_fallback(1, 3), Lease::Queued);
    b.release_fallback(1);
    let (exchange, conn) = b.served();
    assert_eq!(exchange, 2);
    assert_eq!(
        b.check_in(conn, None, 0),
        CheckIn::Closed(CloseReason::Evicted)
    );
    assert_eq!(b.effects, [Effect::Grant { waiter: waiter(3) }]);
}

#[test]
fn a_fallback_lease_closes_an_idle_connection_of_its_own_key_in_its_way() {
    for limits in [
        Limits {
            max_sockets: 1,
            ..UNLIMITED
        },
        Limits {
            max_total_sockets: 1,
            ..UNLIMITED
        },
    ] {
        let mut b = Bench::new(limits);
        let conn = b.idle(1);
        assert_eq!(b.lease_fallback(1, 1), Lease::Granted);
        assert_eq!(b.effects, [close(conn, CloseReason::Evicted)]);
        assert_eq!(
            b.counts(1),
            Counts {
                fallback: 1,
                ..Counts::default()
            }
        );
    }
}

#[test]
fn an_idle_fallback_socket_is_evicted_once_for_a_waiter() {
    let mut b = Bench::new(Limits {
        max_total_sockets: 1,
        ..UNLIMITED
    });
    b.lease_fallback(1, 1);
    assert!(b.fallback_idle(1, true));
    assert_eq!(b.lease(2, 2, 0), Lease::Queued);
    assert_eq!(
        b.effects,
        [Effect::EvictFallback {
            agent: b.agent,
            key: 1
        }]
    );
    assert_eq!(b.lease(2, 3, 0), Lease::Queued);
    assert_eq!(b.effects, []);
    assert!(b.fallback_idle(1, false));
    b.release_fallback(1);
    assert_eq!(b.served().0, 2);
}

#[test]
fn a_fallback_socket_does_not_go_idle_while_someone_waits_for_its_slot() {
    let mut b = Bench::new(Limits {
        max_total_sockets: 1,
        ..UNLIMITED
    });
    b.lease_fallback(1, 1);
    b.lease(2, 2, 0);
    assert!(!b.fallback_idle(1, true));
    b.release_fallback(1);
    assert_eq!(b.served().0, 2);
}

#[test]
fn an_eviction_that_came_too_late_does_not_leave_a_waiter_waiting() {
    let mut b = Bench::new(Limits {
        max_total_sockets: 2,
        ..UNLIMITED
    });
    for key in [1, 2] {
        b.lease_fallback(key, key.into());
        assert!(b.fallback_idle(key, true));
    }
    assert_eq!(b.lease(3, 3, 0), Lease::Queued);
    assert_eq!(
        b.effects,
        [Effect::EvictFallback {
            agent: b.agent,
            key: 1
        }]
    );
    assert!(b.fallback_idle(1, false));
    assert_eq!(
        b.effects,
        [Effect::EvictFallback {
            agent: b.agent,
            key: 2
        }]
    );
}

#[test]
fn a_removed_agent_closes_idle_connections_returns_waiters_and_ends_with_its_leases() {
    let mut b = Bench::new(Limits {
        max_sockets: 1,
        ..UNLIMITED
    });
    let (idle, leased) = (b.idle(1), b.dial(2));
    b.lease(2, 7, 0);
    b.lease(2, 8, 0);
    b.effects.clear();
    assert_eq!(
        b.pool.remove_agent(b.agent, &mut b.effects),
        [waiter(7), waiter(8)]
    );
    assert_eq!(b.effects, [close(idle, CloseReason::AgentDestroyed)]);
    assert_eq!(b.lease(1, 9, 0), Lease::QueueFull);
    assert_eq!(
        b.check_in(leased, None, 0),
        CheckIn::Closed(CloseReason::AgentDestroyed)
    );
    assert_eq!(b.effects, []);
    assert_eq!(b.pool.agents.len(), 0);
}

#[test]
fn what_comes_late_about_a_connection_changes_nothing() {
    let mut b = Bench::new(UNLIMITED);
    let conn = b.idle(1);
    assert_eq!(b.check_in(conn, None, 0), CheckIn::Unknown);
    assert_eq!(b.pool.closed(conn, 0, &mut b.effects), Some(State::Idle));
    assert_eq!(b.pool.closed(conn, 0, &mut b.effects), None);
    assert_eq!(b.check_in(conn, None, 0), CheckIn::Unknown);
    assert_eq!(b.counts(1), Counts::default());
}

#[test]
fn the_id_of_a_closed_connection_does_not_come_back_soon() {
    let mut b = Bench::new(UNLIMITED);
    let first = b.dial(1);
    b.pool.closed(first, 0, &mut b.effects);
    for _ in 0..100_000 {
        let conn = b.dial(1);
        assert!(conn != first && conn > 0 && conn < 1 << 29);
        b.pool.closed(conn, 0, &mut b.effects);
    }
}

#[test]
fn an_origin_that_holds_nothing_is_forgotten() {
    let mut b = Bench::new(UNLIMITED);
    for key in 0..1_000 {
        let conn = b.idle(key);
        b.pool.closed(conn, 0, &mut b.effects);
    }
    assert!(b.pool.snapshot(b.agent).is_empty());
    assert!(b.pool.lookup.is_empty());
}

#[test]
fn a_connection_lives_as_long_as_allowed_less_a_tenth_at_most_and_finishes_its_exchange() {
    let mut b = Bench::new(Limits {
        socket_active_ttl_ms: 10_000,
        ..UNLIMITED
    });
    let idle = b.idle(1);
    let busy = b.dial(2);
    b.effects.clear();
    assert!(b.pool.expire(8_999, &mut b.effects).is_some());
    assert_eq!(b.effects, []);
    assert_eq!(b.pool.expire(10_000, &mut b.effects), None);
    assert_eq!(b.effects, [close(idle, CloseReason::ActiveTtl)]);
    assert_eq!(
        b.check_in(busy, None, 10_001),
        CheckIn::Closed(CloseReason::ActiveTtl)
    );
}

#[test]
fn connections_opened_together_do_not_end_together() {
    let lives: std::collections::HashSet<u64> =
        (1..200).map(|conn| idle::jittered(100_000, conn)).collect();
    assert!(lives.iter().all(|life| (90_000..=100_000).contains(life)));
    assert!(lives.len() > 150);
}
