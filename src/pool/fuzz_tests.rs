//! Random histories, the same on every run: seeds x policies x 10,000 steps on a fake clock, straight and behind proxies, every answer checked
//! against `fuzz_model.rs` and every invariant after every step.

use super::fuzz_model::{Model, ModelConn, AGENTS, BESIDE_IDLE, KEYS};
use super::tests::UNLIMITED;
use super::*;
use crate::random::Random;

const SEEDS: u64 = 8;
const STEPS: u32 = 10_000;

struct Fuzzer {
    random: Random,
    pool: Pool,
    model: Model,
    effects: Vec<Effect>,
    now: u64,
    exchanges: u64,
    base: Limits,
    /// Whether limits change and agents are replaced on the way.
    restless: bool,
    /// Whether peers end connections. The origins are retained then, so that what was seen is not forgotten with them.
    surprising: bool,
    /// Whether keys are behind proxies, and how many of those there have been.
    routed: Option<KeyId>,
    /// Sockets of the runtime that outlived their agent.
    orphans: Vec<(AgentId, KeyId)>,
}

impl Fuzzer {
    fn new(seed: u64, base: Limits, restless: bool) -> Self {
        let mut pool = Pool::new();
        let mut model = Model::default();
        model.limits = vec![base; AGENTS];
        model.ids = std::array::from_fn(|_| pool.add_agent(base));
        let random = Random::new(seed);
        let (effects, orphans) = (Vec::new(), Vec::new());
        Fuzzer {
            random,
            pool,
            model,
            effects,
            now: 1_000,
            exchanges: 0,
            base,
            restless,
            surprising: false,
            routed: None,
            orphans,
        }
    }

    fn surprising(mut self) -> Self {
        self.surprising = true;
        if self.routed.is_none() {
            for a in 0..AGENTS {
                self.retain(a);
            }
        }
        self
    }

    /// Keys are behind proxies, two behind each. Agents that do not share have proxies of their own.
    fn routed(mut self) -> Self {
        self.routed = Some(KEYS as KeyId);
        self.model.routes = Some([[0; KEYS]; AGENTS]);
        for a in 0..AGENTS {
            self.retain(a);
        }
        self
    }

    fn retain(&mut self, a: usize) {
        let (agent, shared) = (self.model.ids[a], self.base.shared);
        let Some(next) = &mut self.routed else {
            for key in 0..KEYS {
                self.pool.retain_origin(agent, key as KeyId);
            }
            return;
        };
        let first = if shared { KEYS as KeyId } else { *next };
        *next += KEYS as KeyId;
        for key in 0..KEYS {
            let route = first + key as KeyId / 2;
            self.pool.retain_routed(agent, key as KeyId, route);
            if let Some(routes) = &mut self.model.routes {
                routes[a][key] = route;
            }
        }
    }

    fn run(mut self) -> Model {
        for _ in 0..STEPS {
            self.step();
            self.model
                .apply(&mut self.pool, &mut self.effects, self.now);
            self.model.check(&self.pool);
        }
        self.drain();
        self.model
    }

    fn step(&mut self) {
        // Load comes in waves, so that queues fill and empty; in a flood little else happens, so that turns matter.
        let wave = self.now / 4_000 % 4;
        match self.random.below(100) {
            0..=44 if wave == 3 => self.lease(),
            45..=92 if wave == 3 => self.check_in(),
            0..=29 if wave == 1 => self.lease(),
            0..=14 => self.lease(),
            15..=29 | 40..=64 => self.check_in(),
            30..=39 => self.connected(),
            65..=69 => self.closed(),
            70..=73 => self.cancel(),
            74..=83 => self.fallback(),
            84..=88 => self.evict(),
            89..=91 => self.expire(),
            92 => {
                self.now = self
                    .model
                    .first_deadline()
                    .map_or(self.now, |at| at.max(self.now))
            }
            93..=96 => self.now += self.random.next() % 300,
            97 => self.now += self.random.next() % 3_000,
            98 if self.restless => self.set_limits(),
            99 if self.restless && self.random.one_in(8) => self.replace_agent(),
            99 if self.random.one_in(4) => self.close_idle(),
            _ => self.stale(),
        }
    }

    fn lease(&mut self) {
        let (a, key) = (self.random.below(AGENTS), self.random.below(KEYS));
        let kind = if self.random.one_in(6) {
            Kind::Fallback
        } else if self.random.one_in(2) {
            Kind::Retryable
        } else {
            Kind::NotRetryable
        };
        let own = |_: &Model, conn: &ModelConn| conn.agent == Some(a);
        let age_limit = match kind {
            Kind::Fallback => 0,
            _ => self.model.age_limit((a, key), kind, self.now, own),
        };
        // Before the pool makes room by closing what it has passed over.
        let none_suits = self.model.none_suits(a, key, age_limit, self.now);
        let must_adopt = self.model.must_adopt((a, key), kind, self.now);
        self.exchanges += 1;
        let waiter = WaiterId {
            port: a as u32,
            exchange: self.exchanges,
        };
        let before = self.model.queues[a][key].len() as u32;
        let answer = self.pool.lease(
            self.model.ids[a],
            key as KeyId,
            waiter,
            kind,
            self.now,
            &mut self.effects,
        );
        self.model
            .apply(&mut self.pool, &mut self.effects, self.now);
        let model = &mut self.model;
        match (answer, kind) {
            (Lease::Idle { conn, idle_ms }, Kind::Retryable | Kind::NotRetryable) => {
                let leased = (conn, idle_ms);
                model.leased_idle(a, key, leased, age_limit, self.now);
            }
            (Lease::Dial { conn }, Kind::Retryable | Kind::NotRetryable) => {
                let adopts = self.pool.adoption(conn);
                assert!(none_suits, "{BESIDE_IDLE}");
                assert!(adopts.is_some() || !must_adopt, "{BESIDE_IDLE}");
                model.dialed((a, key), kind, (conn, adopts), self.now);
            }
            (Lease::Granted, Kind::Fallback) => model.fallback[a][key].busy += 1,
            (Lease::Queued, _) => {
                assert!(before < model.limits[a].max_pending);
                model.queues[a][key].push_back((waiter, kind));
            }
            (Lease::QueueFull, _) => assert_eq!(before, model.limits[a].max_pending),
            _ => panic!("{answer:?} to a lease of {kind:?}"),
        }
    }

    fn any_conn(&mut self, state: impl Fn(State) -> bool) -> Option<ConnId> {
        let fits = self
            .model
            .conns
            .iter()
            .filter(|conn| state(conn.state))
            .count();
        let nth = if fits == 0 {
            return None;
        } else {
            self.random.below(fits)
        };
        self.model
            .conns
            .iter()
            .filter(|conn| state(conn.state))
            .nth(nth)
            .map(|conn| conn.id)
    }

    fn connected(&mut self) {
        if self.random.one_in(10) {
            let Some(id) = self.any_conn(|state| state == State::Leased) else {
                return;
            };
            self.pool.redial(id, self.now);
            let born = self.now;
            let conn = self.model.conn(id);
            (conn.state, conn.uses, conn.born) = (State::Dialing, 0, born);
            (conn.idled, conn.answered, conn.hint_end) = (None, 0, u64::MAX);
            (conn.survived, conn.says_close) = (None, false);
        } else if let Some(id) = self.any_conn(|state| state == State::Dialing) {
            self.pool.connected(id);
            self.model.conn(id).state = State::Leased;
        }
    }

    /// Whether the peer announces every end of a connection.
    fn announcing(&self, key: usize) -> bool {
        self.model.peer(0, key) == self.model.peer(0, 0)
    }

    /// The response on a leased connection is complete.
    fn answer(&mut self, id: ConnId) {
        // Its reader may be late.
        let answered = self.now - self.random.next() % 60;
        // Peers of some keys close in this way only: of them nothing is ever learned.
        let key = self.model.conn(id).key;
        let says_close = self.announcing(key) || self.random.one_in(4);
        if let Some(last) = self.pool.answered(id) {
            last.note(answered, says_close);
        }
        let conn = self.model.conn(id);
        (conn.answered, conn.says_close) = (answered, says_close);
    }

    fn check_in(&mut self) {
        let Some(id) = self.any_conn(|state| state != State::Idle) else {
            return;
        };
        let stay = match self.random.below(8) {
            0 => Stay::For(0),
            1 => Stay::For(self.random.next() % 2_000 + 1),
            2 => Stay::Unused,
            _ => Stay::Unlimited,
        };
        let now = self.now;
        if stay != Stay::Unused {
            self.answer(id);
        }
        let conn = self.model.conn(id);
        conn.state = State::Leased;
        if stay == Stay::Unused && conn.idled.is_some() {
            conn.idled = Some(now - conn.quiet_since);
        } else {
            let answered = if conn.answered == 0 {
                now
            } else {
                conn.answered
            };
            (conn.idle_since, conn.quiet_since) = (now, answered);
            if stay != Stay::Unused {
                conn.uses += 1;
                conn.survive();
                conn.hint_end = match stay {
                    Stay::For(ms) => answered + ms,
                    _ => u64::MAX,
                };
            }
        }
        let spent = conn.hint_end <= now;
        let (uses, agent, key) = (conn.uses, conn.agent, conn.key);
        let over = agent.is_some_and(|a| {
            let (limits, counts) = (self.model.limits[a], self.model.counts()[a]);
            counts[key].live() > limits.max_sockets
                || counts.iter().map(Counts::live).sum::<u32>() > limits.max_total_sockets
        });
        let answer = self.pool.check_in(id, stay, self.now, &mut self.effects);
        let worn = agent.is_none_or(|a| {
            let most = self.model.limits[a].max_requests_per_socket;
            most != 0 && uses >= most || self.model.end_of_life(id) <= self.now
        });
        if worn || over || spent {
            assert!(
                matches!(answer, CheckIn::Closed(_)),
                "{answer:?} for a connection that may not be used again"
            );
        }
        match answer {
            CheckIn::Closed(reason) => {
                self.model.forget(id);
                self.check_reason(reason, agent, key, worn || spent);
            }
            CheckIn::Idle => self.model.parked(id),
            CheckIn::Handed(waiter) => assert!(self
                .effects
                .iter()
                .any(|e| matches!(*e, Effect::Assign { waiter: w, conn, .. } if (w, conn) == (waiter, id)))),
            CheckIn::Unknown => panic!("a connection on lease is unknown"),
        }
    }

    /// A connection in order is closed only for a reason: it must be kept whenever it can be.
    fn check_reason(&self, reason: CloseReason, agent: Option<usize>, key: usize, unfit: bool) {
        let Some(a) = agent else {
            return assert_eq!(reason, CloseReason::AgentDestroyed);
        };
        let (limits, counts) = (self.model.limits[a], self.model.counts()[a]);
        let live = counts[key].live() + 1;
        let total = counts.iter().map(Counts::live).sum::<u32>() + 1;
        let over = live > limits.max_sockets || total > limits.max_total_sockets;
        match reason {
            CloseReason::NotReusable | CloseReason::MaxRequests | CloseReason::ActiveTtl => {
                assert!(unfit)
            }
            CloseReason::KeepAliveOff => assert!(!limits.keep_alive && counts[key].queued == 0),
            CloseReason::Limits => {
                assert!(
                    over || counts[key].idle + counts[key].fallback_idle >= limits.max_free_sockets
                );
            }
            CloseReason::Evicted => assert!(counts.iter().any(|count| count.queued > 0)),
            _ => panic!("closed by {reason:?}"),
        }
    }

    fn closed(&mut self) {
        let Some(id) = self.any_conn(|_| true) else {
            return;
        };
        let state = self.model.conn(id).state;
        if self.surprising {
            if state == State::Leased && self.random.below(2) == 0 {
                self.answer(id);
            }
            let conn = self.model.conn(id);
            let (key, says_close) = (conn.key, conn.says_close);
            if says_close || !self.announcing(key) {
                self.pool.ended_by_peer(id, self.now);
                self.model.ended_by_peer(id, self.now);
                let peer = self.pool.peer_of[&self.model.conn(id).peer];
                let is_unknown = self.pool.peers[peer].idle_limit.is_unknown();
                assert!(
                    is_unknown || !self.announcing(key),
                    "an announced close teaches"
                );
            }
        }
        assert_eq!(
            self.pool.closed(id, self.now, &mut self.effects),
            Some(state)
        );
        self.model.forget(id);
    }

    /// What comes late, about what is gone, changes nothing.
    fn stale(&mut self) {
        let Some(id) = self.any_conn(|_| true) else {
            return;
        };
        let gone = id ^ 1 << 28;
        assert_eq!(self.pool.closed(gone, self.now, &mut self.effects), None);
        assert_eq!(
            self.pool
                .check_in(gone, Stay::Unlimited, self.now, &mut self.effects),
            CheckIn::Unknown
        );
        if self.model.conn(id).state == State::Idle {
            assert_eq!(
                self.pool
                    .check_in(id, Stay::Unlimited, self.now, &mut self.effects),
                CheckIn::Unknown
            );
        }
        let nobody = WaiterId {
            port: 9,
            exchange: id.into(),
        };
        assert!(!self.pool.cancel(nobody, &mut self.effects));
        assert!(self.effects.is_empty());
    }

    fn cancel(&mut self) {
        let (a, key) = (self.random.below(AGENTS), self.random.below(KEYS));
        let queue = &mut self.model.queues[a][key];
        if !queue.is_empty() {
            let (waiter, _) = queue
                .remove(self.random.below(queue.len()))
                .expect("within the queue");
            assert!(self.pool.cancel(waiter, &mut self.effects));
            assert!(
                !self.pool.cancel(waiter, &mut self.effects),
                "a waiter is settled once"
            );
        }
    }

    fn fallback(&mut self) {
        if let Some((agent, key)) = self.orphans.pop() {
            assert!(!self
                .pool
                .fallback_idle(agent, key, true, self.now, &mut self.effects));
            return self
                .pool
                .release_fallback(agent, key, self.now, &mut self.effects);
        }
        let (a, key) = (self.random.below(AGENTS), self.random.below(KEYS));
        let (agent, id) = (self.model.ids[a], key as KeyId);
        let fallback = &mut self.model.fallback[a][key];
        if fallback.idle > 0 && self.random.one_in(2) {
            assert!(self
                .pool
                .fallback_idle(agent, id, false, self.now, &mut self.effects));
            fallback.idle -= 1;
            fallback.busy += 1;
        } else if fallback.busy > 0 {
            let keep = self.random.one_in(2);
            if keep
                && self
                    .pool
                    .fallback_idle(agent, id, true, self.now, &mut self.effects)
            {
                fallback.busy -= 1;
                fallback.idle += 1;
            } else {
                fallback.busy -= 1;
                self.pool
                    .release_fallback(agent, id, self.now, &mut self.effects);
            }
        }
    }

    /// The owner acts on an eviction that was asked for.
    fn evict(&mut self) {
        let Some((agent, key)) = self.model.evictions.pop_front() else {
            return;
        };
        let Some(a) = self.model.ids.iter().position(|&id| id == agent) else {
            return;
        };
        let fallback = &mut self.model.fallback[a][key as usize];
        if fallback.idle > 0 {
            fallback.idle -= 1;
            fallback.busy += 1;
            self.pool
                .fallback_idle(agent, key, false, self.now, &mut self.effects);
            self.model
                .apply(&mut self.pool, &mut self.effects, self.now);
            self.model.fallback[a][key as usize].busy -= 1;
            self.pool
                .release_fallback(agent, key, self.now, &mut self.effects);
        }
    }

    fn expire(&mut self) {
        let next = self.pool.expire(self.now, &mut self.effects);
        self.model
            .apply(&mut self.pool, &mut self.effects, self.now);
        assert_eq!(next, self.model.first_deadline());
        assert!(
            next.is_none_or(|at| at > self.now),
            "an idle connection outlived its deadline"
        );
    }

    fn set_limits(&mut self) {
        let a = self.random.below(AGENTS);
        let mut limits = self.base;
        if self.random.one_in(2) {
            limits.max_sockets = self.random.below(5) as u32 + 1;
            limits.max_total_sockets = self.random.below(9) as u32 + 1;
            limits.max_free_sockets = self.random.below(4) as u32;
            limits.free_socket_timeout_ms = self.random.next() % 3 * 500;
        }
        self.pool
            .set_limits(self.model.ids[a], limits, self.now, &mut self.effects);
        self.model.limits[a] = limits;
        self.model.tolerate(a);
        self.model
            .apply(&mut self.pool, &mut self.effects, self.now);
        for (key, count) in self.model.counts()[a].iter().enumerate() {
            let over = count.live() > limits.max_sockets
                || count.idle + count.fallback_idle > limits.max_free_sockets;
            assert!(
                count.idle == 0 || !over,
                "an idle connection of key {key} stays beyond a lowered limit"
            );
        }
    }

    fn close_idle(&mut self) {
        let a = self.random.below(AGENTS);
        self.pool.close_idle(self.model.ids[a], &mut self.effects);
        self.model
            .apply(&mut self.pool, &mut self.effects, self.now);
        assert!(self.model.counts()[a].iter().all(|count| count.idle == 0));
    }

    fn replace_agent(&mut self) {
        let a = self.random.below(AGENTS);
        let agent = self.model.ids[a];
        let forgotten = self.pool.remove_agent(agent, &mut self.effects);
        if (self.surprising || self.routed.is_some()) && self.base.shared {
            // The other agent holds every origin.
            let closed = |effect: &Effect| matches!(effect, Effect::Close { .. });
            assert!(!self.effects.iter().any(closed), "closed, not left");
        }
        self.model
            .apply(&mut self.pool, &mut self.effects, self.now);
        assert!(self.model.counts()[a].iter().all(|count| count.idle == 0));
        let queued = self.model.queues[a]
            .iter()
            .map(|queue| queue.len())
            .sum::<usize>();
        assert_eq!(forgotten.len(), queued);
        for key in 0..KEYS {
            let queue = std::mem::take(&mut self.model.queues[a][key]);
            let in_order = forgotten
                .iter()
                .filter(|w| queue.iter().any(|(id, _)| id == *w));
            assert!(in_order.eq(queue.iter().map(|(id, _)| id)));
            let fallback = std::mem::take(&mut self.model.fallback[a][key]);
            self.orphans
                .extend((0..fallback.busy + fallback.idle).map(|_| (agent, key as KeyId)));
        }
        for conn in self
            .model
            .conns
            .iter_mut()
            .filter(|conn| conn.agent == Some(a))
        {
            conn.agent = None;
        }
        self.model.evictions.retain(|eviction| eviction.0 != agent);
        self.model.ids[a] = self.pool.add_agent(self.base);
        assert_ne!(self.model.ids[a], agent);
        self.model.limits[a] = self.base;
        self.model.tolerate(a);
        if self.surprising || self.routed.is_some() {
            self.retain(a);
        }
    }

    /// Everything on lease ends, one by one: every waiter must be served, and nothing may be left.
    fn drain(&mut self) {
        loop {
            while !self.model.evictions.is_empty() {
                self.evict();
                self.model
                    .apply(&mut self.pool, &mut self.effects, self.now);
            }
            let Some(id) = self.any_conn(|state| state != State::Idle) else {
                break;
            };
            self.pool.closed(id, self.now, &mut self.effects);
            self.model.forget(id);
            self.model
                .apply(&mut self.pool, &mut self.effects, self.now);
            self.model.check(&self.pool);
        }
        while self.orphans.len()
            + self
                .model
                .fallback
                .iter()
                .flatten()
                .map(|f| f.busy as usize)
                .sum::<usize>()
            > 0
            || !self.model.evictions.is_empty()
            || self.any_conn(|state| state != State::Idle).is_some()
        {
            self.fallback();
            self.evict();
            self.model
                .apply(&mut self.pool, &mut self.effects, self.now);
            self.closed();
            self.model
                .apply(&mut self.pool, &mut self.effects, self.now);
        }
        assert!(
            self.model
                .queues
                .iter()
                .flatten()
                .all(|queue| queue.is_empty()),
            "a waiter was never served"
        );
        for id in self.model.ids {
            self.pool.close_idle(id, &mut self.effects);
            self.model
                .apply(&mut self.pool, &mut self.effects, self.now);
            for (key, count, _) in self.pool.snapshot(id) {
                assert_eq!(
                    count.live(),
                    count.fallback_idle,
                    "key {key} holds something"
                );
            }
        }
        for id in self.model.ids {
            self.pool.remove_agent(id, &mut self.effects);
            self.model
                .apply(&mut self.pool, &mut self.effects, self.now);
        }
        assert_eq!(self.pool.conns.len(), 0);
        // Idle sockets of the runtime's own are all that is left.
        let has_fallback = |peer: KeyId| {
            let mut origins = (0..AGENTS * KEYS).map(|i| (i / KEYS, i % KEYS));
            origins.any(|(a, key)| {
                self.model.peer(a, key) == peer && self.model.fallback[a][key].idle > 0
            })
        };
        assert!(self.pool.peer_of.keys().all(|&peer| has_fallback(peer)));
    }
}

/// Each seed brings its own mix of timeouts, worn connections, short queues and changing limits.
fn fuzz(max_sockets: u32, max_total_sockets: u32, max_free_sockets: u32) {
    for scheduling in [Scheduling::Lifo, Scheduling::Fifo] {
        for keep_alive in [true, false] {
            for routed in [false, true] {
                let limits = Limits {
                    keep_alive,
                    max_sockets,
                    max_total_sockets,
                    max_free_sockets,
                    scheduling,
                    ..UNLIMITED
                };
                fuzz_seeds(limits, routed);
            }
        }
    }
}

fn fuzz_seeds(base: Limits, routed: bool) {
    let (mut settled, mut reused, mut adopted, mut spared) = (0, 0, 0, 0);
    let (mut inherited, mut rerouted) = (0, 0);
    for seed in 1..=SEEDS {
        let limits = Limits {
            free_socket_timeout_ms: if seed & 1 == 0 { 0 } else { 700 },
            socket_active_ttl_ms: if seed % 3 == 0 { 2_000 } else { 0 },
            max_requests_per_socket: if seed & 2 == 0 { 0 } else { 5 },
            max_pending: if seed & 8 == 0 { u32::MAX } else { 4 },
            shared: seed % 3 == 1,
            ..base
        };
        let mut fuzzer = Fuzzer::new(seed, limits, seed & 4 == 0);
        if routed {
            fuzzer = fuzzer.routed();
        }
        let run = if seed & 2 == 0 {
            fuzzer.surprising().run()
        } else {
            fuzzer.run()
        };
        settled += run.settled;
        reused += run.reused;
        adopted += run.adoptions;
        inherited += run.inherited;
        spared += run.spared;
        rerouted += run.rerouted;
    }
    let Limits {
        keep_alive,
        max_sockets,
        max_total_sockets,
        ..
    } = base;
    // Histories that never queue or never reuse would prove nothing.
    assert!(
        settled > 1_000 || max_sockets == u32::MAX,
        "{settled} waiters served"
    );
    assert!(reused > 100 || !keep_alive, "{reused} connections reused");
    assert!(adopted > 3 || !keep_alive, "{adopted} adopted");
    assert!(
        inherited > 0 || !keep_alive || max_total_sockets < u32::MAX || max_sockets < 3,
        "{inherited} inherited"
    );
    assert!(spared > 3 || !keep_alive, "{spared} too long idle");
    assert_eq!(
        rerouted > 100,
        routed && keep_alive,
        "{rerouted} from key to key"
    );
}

#[test]
fn any_history_without_limits_keeps_the_invariants() {
    fuzz(u32::MAX, u32::MAX, u32::MAX);
}

#[test]
fn any_history_with_few_sockets_per_key_keeps_the_invariants() {
    fuzz(2, u32::MAX, 1);
}

#[test]
fn any_history_with_few_sockets_in_all_keeps_the_invariants() {
    fuzz(u32::MAX, 3, u32::MAX);
}

#[test]
fn any_history_with_sockets_to_share_keeps_the_invariants() {
    fuzz(6, 7, 4);
}

#[test]
fn any_history_with_both_limits_keeps_the_invariants() {
    fuzz(2, 5, 2);
}

#[test]
fn any_history_with_a_single_socket_keeps_the_invariants() {
    fuzz(1, 1, 1);
}
