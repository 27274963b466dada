//! The fuzzer's reference model: plain vectors, no cleverness. It takes what the pool answered, checks that each
//! answer was allowed, and checks the invariants of the whole state.

use std::collections::{HashMap, HashSet, VecDeque};

use super::waiters::KEPT_AT_MOST;
use super::*;

pub const AGENTS: usize = 2;
pub const KEYS: usize = 4;
pub const BESIDE_IDLE: &str = "dialed beside a usable idle connection (I2)";

pub struct ModelConn {
    pub id: ConnId,
    /// `None`: the agent was removed.
    pub agent: Option<usize>,
    /// What that agent allowed, if it has left the connection to those that share.
    left: Option<Limits>,
    pub key: usize,
    /// Whom it leads to: see [`Model::peer`].
    pub peer: KeyId,
    pub state: State,
    pub uses: u32,
    pub born: u64,
    pub idle_since: u64,
    pub quiet_since: u64,
    /// When its last response was complete.
    pub answered: u64,
    pub hint_end: u64,
    /// How long it had been idle before its present lease.
    pub idled: Option<u64>,
    /// The longest that it was before one that was answered.
    pub survived: Option<u64>,
    /// Its last response, or the request, announced its end.
    pub says_close: bool,
    idle_order: u64,
}

impl ModelConn {
    fn new(now: u64) -> Self {
        Self {
            id: 0,
            agent: None,
            left: None,
            key: 0,
            peer: 0,
            state: State::Dialing,
            uses: 0,
            born: now,
            idle_since: 0,
            quiet_since: 0,
            answered: 0,
            hint_end: u64::MAX,
            idled: None,
            survived: None,
            says_close: false,
            idle_order: 0,
        }
    }
}

impl ModelConn {
    pub fn survive(&mut self) {
        self.survived = self.survived.max(self.idled.take());
    }
}

/// When a peer ended connections: how long they had been idle, and until when that is believed.
type Seen = Vec<(u64, u64)>;

#[derive(Clone, Copy, Default)]
pub struct Fallback {
    pub busy: u32,
    pub idle: u32,
}

#[derive(Default)]
pub struct Model {
    pub ids: [AgentId; AGENTS],
    pub limits: Vec<Limits>,
    pub conns: Vec<ModelConn>,
    pub queues: [[VecDeque<(WaiterId, Kind)>; KEYS]; AGENTS],
    pub fallback: [[Fallback; KEYS]; AGENTS],
    /// EvictFallback effects that the owner has not acted on yet.
    pub evictions: VecDeque<(AgentId, KeyId)>,
    /// What a limit may be exceeded to: by what was live when it was lowered and did not end since.
    tolerated: [[u32; KEYS]; AGENTS],
    tolerated_total: [u32; AGENTS],
    /// Waiters of other origins that were served while this origin could have been.
    passed_over: [[u32; KEYS]; AGENTS],
    /// The same, while it had no slot at all.
    passed_over_starved: [[u32; KEYS]; AGENTS],
    dead: HashSet<ConnId>,
    /// The proxies that agents' keys are behind, if they are: one for each two of them.
    pub routes: Option<[[KeyId; KEYS]; AGENTS]>,
    /// By peer.
    seen: HashMap<KeyId, Seen>,
    order: u64,
    pub settled: u64,
    pub reused: u64,
    pub adoptions: u64,
    pub inherited: u64,
    pub spared: u64,
    /// Connections that went from one key to another behind the same proxy.
    pub rerouted: u64,
}

impl Model {
    /// What makes an agent's connections for a key interchangeable with others: the key, or what proxy it is behind.
    pub fn peer(&self, a: usize, key: usize) -> KeyId {
        self.routes.map_or(key as KeyId, |routes| routes[a][key])
    }

    pub fn conn(&mut self, id: ConnId) -> &mut ModelConn {
        self.conns
            .iter_mut()
            .find(|conn| conn.id == id)
            .expect("a connection that was closed is named again (I6)")
    }

    pub fn forget(&mut self, id: ConnId) -> ModelConn {
        let at = self
            .conns
            .iter()
            .position(|conn| conn.id == id)
            .expect("a connection is closed twice");
        self.dead.insert(id);
        self.conns.swap_remove(at)
    }

    fn deadline(&self, conn: &ModelConn) -> u64 {
        let limits = self.limits_of(conn);
        let timeout = limits.map_or(0, |limits| limits.free_socket_timeout_ms);
        let end = conn.hint_end.min(self.life_of(conn));
        if timeout == 0 {
            end
        } else {
            end.min(conn.idle_since + timeout)
        }
    }

    fn limits_of(&self, conn: &ModelConn) -> Option<Limits> {
        conn.agent.map(|a| self.limits[a]).or(conn.left)
    }

    fn life_of(&self, conn: &ModelConn) -> u64 {
        match self
            .limits_of(conn)
            .map_or(0, |limits| limits.socket_active_ttl_ms)
        {
            0 => u64::MAX,
            ttl => conn.born + idle::jittered(ttl, conn.id),
        }
    }

    pub fn end_of_life(&self, id: ConnId) -> u64 {
        let conn = self.conns.iter().find(|conn| conn.id == id);
        self.life_of(conn.expect("a connection that was closed is named again (I6)"))
    }

    pub fn first_deadline(&self) -> Option<u64> {
        let idle = self.conns.iter().filter(|conn| conn.state == State::Idle);
        idle.map(|conn| self.deadline(conn))
            .filter(|&at| at != u64::MAX)
            .min()
    }

    /// The peer ended a connection, or let the request on it down.
    pub fn ended_by_peer(&mut self, id: ConnId, now: u64) {
        let conn = self.conn(id);
        let age = match conn.state {
            State::Idle => Some(now - conn.quiet_since),
            _ if conn.answered > conn.quiet_since => {
                conn.survive();
                Some(now - conn.answered)
            }
            _ => conn.idled.take(),
        };
        let peer = conn.peer;
        let has_lasted = |age: u64| conn.survived.is_some_and(|most| age <= most);
        let says_close = conn.says_close;
        if let Some(age) = age.filter(|&age| !says_close && !has_lasted(age)) {
            let seen = self.seen.entry(peer).or_default();
            seen.retain(|&(_, until)| until > now);
            seen.push((age, now + 60_000.max(10 * age)));
            seen.sort_by_key(|&(age, _)| age);
            seen.truncate(8);
        }
    }

    /// From which age on an idle connection won't do, after the longest idle of those that `fit` was looked at.
    pub fn age_limit(
        &mut self,
        (a, key): (usize, usize),
        kind: Kind,
        now: u64,
        fit: impl Fn(&Self, &ModelConn) -> bool,
    ) -> u64 {
        let idle = |conn: &&ModelConn| conn.key == key && conn.state == State::Idle;
        let oldest = self
            .conns
            .iter()
            .filter(idle)
            .filter(|conn| fit(self, conn))
            .min_by_key(|conn| conn.idle_order)
            .filter(|conn| self.deadline(conn) > now)
            .map(|conn| now - conn.quiet_since);
        let seen = self.seen.entry(self.peer(a, key)).or_default();
        if let Some(oldest) = oldest {
            seen.retain(|(age, _)| 2 * age + 500 > oldest);
        }
        if kind != Kind::NotRetryable {
            return u64::MAX;
        }
        seen.retain(|&(_, until)| until > now);
        seen.get(2)
            .map_or(u64::MAX, |(age, _)| age.saturating_sub(10.max(age / 4)))
    }

    /// Whether no idle connection that the pool looks at is young enough.
    pub fn none_suits(&self, a: usize, key: usize, age_limit: u64, now: u64) -> bool {
        let next = self.next_idle(a, key, now);
        let last = self
            .usable_idle(a, key, now)
            .max_by_key(|conn| conn.idle_order);
        next.into_iter()
            .chain(last)
            .all(|conn| now - conn.quiet_since >= age_limit)
    }

    fn next_idle(&self, a: usize, key: usize, now: u64) -> Option<&ModelConn> {
        let usable = self.usable_idle(a, key, now);
        match self.limits[a].scheduling {
            Scheduling::Lifo => usable.max_by_key(|conn| conn.idle_order),
            Scheduling::Fifo => usable.min_by_key(|conn| conn.idle_order),
        }
    }

    /// Idle connections of agents that share with this one, its own included, and those behind the same proxy.
    fn lent_to(&self, a: usize, key: usize, now: u64) -> impl Iterator<Item = &ModelConn> {
        let peer = self.peer(a, key);
        let idle = self.conns.iter().filter(move |conn| {
            conn.peer == peer && conn.state == State::Idle && self.deadline(conn) > now
        });
        idle.filter(move |conn| {
            self.routes.is_some()
                || self.limits[a].shared && self.limits_of(conn).is_some_and(|limits| limits.shared)
        })
    }

    /// Whether a request that gets a new connection must get it from another key or agent.
    pub fn must_adopt(&mut self, (a, key): (usize, usize), kind: Kind, now: u64) -> bool {
        let limit = self.age_limit((a, key), kind, now, |_, _| false);
        let last = self.lent_to(a, key, now).max_by_key(|conn| conn.idle_order);
        last.is_some_and(|conn| now - conn.quiet_since < limit)
    }

    fn usable_idle(&self, a: usize, key: usize, now: u64) -> impl Iterator<Item = &ModelConn> {
        let idle = self
            .conns
            .iter()
            .filter(move |c| c.agent == Some(a) && c.key == key && c.state == State::Idle);
        idle.filter(move |conn| self.deadline(conn) > now)
    }

    pub fn leased_idle(
        &mut self,
        a: usize,
        key: usize,
        (id, idle_ms): (ConnId, u64),
        age_limit: u64,
        now: u64,
    ) {
        let next = self.next_idle(a, key, now);
        let next = next.filter(|conn| now - conn.quiet_since < age_limit);
        let best = next.or_else(|| {
            let usable = self.usable_idle(a, key, now);
            usable.max_by_key(|conn| conn.idle_order)
        });
        let best = best.expect("leased an idle connection that is not usable");
        assert_eq!((best.id, now - best.idle_since), (id, idle_ms));
        let conn = self.conn(id);
        let age = now - conn.quiet_since;
        assert!(age < age_limit, "quiet for {age} of {age_limit} ms");
        conn.state = State::Leased;
        conn.idled = Some(age);
        self.reused += 1;
    }

    /// What a new connection goes on with: it must have been another sharing agent's, idle and usable.
    fn adopted(&mut self, a: usize, key: usize, former: ConnId, now: u64) -> ModelConn {
        assert!(self.lent_to(a, key, now).any(|c| c.id == former));
        let donor = (self.conn(former).agent, self.conn(former).key);
        assert_ne!(donor, (Some(a), key));
        self.adoptions += 1;
        self.rerouted += u64::from(donor.1 != key);
        self.inherited += u64::from(self.conn(former).left.is_some());
        let mut conn = self.forget(former);
        conn.idled = Some(now - conn.quiet_since);
        conn
    }

    /// A connection is opened for a request of this kind, which no idle one of the agent suits.
    pub fn dialed(
        &mut self,
        (a, key): (usize, usize),
        kind: Kind,
        (id, adopts): (ConnId, Option<ConnId>),
        now: u64,
    ) {
        let lent_limit = self.age_limit((a, key), kind, now, |_, _| false);
        let conn = match adopts {
            Some(former) => {
                let conn = self.adopted(a, key, former, now);
                assert!(now - conn.quiet_since < lent_limit);
                conn
            }
            None => {
                let last = self.lent_to(a, key, now).max_by_key(|conn| conn.idle_order);
                assert!(
                    last.is_none_or(|conn| now - conn.quiet_since >= lent_limit),
                    "dialed beside a usable idle connection of an agent that shares"
                );
                ModelConn::new(now)
            }
        };
        let spared = self.usable_idle(a, key, now).next().is_some();
        self.spared += u64::from(spared);
        assert!(id != 0 && id < 1 << 29);
        assert!(
            !self.dead.contains(&id),
            "the id of a closed connection came back"
        );
        self.conns.push(ModelConn {
            id,
            agent: Some(a),
            left: None,
            key,
            peer: self.peer(a, key),
            state: State::Dialing,
            ..conn
        });
    }

    pub fn parked(&mut self, id: ConnId) {
        self.order += 1;
        let order = self.order;
        let conn = self.conn(id);
        conn.state = State::Idle;
        conn.idle_order = order;
        let (a, key) = (
            conn.agent.expect("kept a connection of a removed agent"),
            conn.key,
        );
        let limits = self.limits[a];
        assert!(limits.keep_alive);
        assert!(self.counts()[a][key].idle + self.fallback[a][key].idle <= limits.max_free_sockets);
    }

    /// A waiter got its slot: it must have been its key's first.
    fn serve(&mut self, waiter: WaiterId) -> (usize, usize, Kind) {
        let (a, key, kind) = (0..AGENTS * KEYS)
            .map(|i| (i / KEYS, i % KEYS))
            .find_map(|(a, key)| match self.queues[a][key].front() {
                Some(&(first, kind)) if first == waiter => Some((a, key, kind)),
                _ => None,
            })
            .expect("served someone who was not first in a queue");
        self.queues[a][key].pop_front();
        self.settled += 1;
        for other in 0..KEYS {
            self.passed_over[a][other] += 1;
            self.passed_over_starved[a][other] += 1;
        }
        self.passed_over[a][key] = 0;
        self.passed_over_starved[a][key] = 0;
        (a, key, kind)
    }

    pub fn apply(&mut self, pool: &mut Pool, effects: &mut Vec<Effect>, now: u64) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Dial { waiter, conn } => {
                    let (a, key, kind) = self.serve(waiter);
                    let adopts = pool.adoption(conn);
                    assert_ne!(kind, Kind::Fallback);
                    assert!(self.none_suits(a, key, u64::MAX, now), "{BESIDE_IDLE}");
                    self.dialed((a, key), kind, (conn, adopts), now);
                }
                Effect::Assign { waiter, conn } => {
                    let (a, key, kind) = self.serve(waiter);
                    assert_ne!(kind, Kind::Fallback);
                    let limit = self.age_limit((a, key), kind, now, |_, _| false);
                    let conn = self.conn(conn);
                    assert_eq!(
                        (conn.agent, conn.key, conn.state),
                        (Some(a), key, State::Leased)
                    );
                    assert!(conn.idled.is_none_or(|age| age < limit));
                }
                Effect::Grant { waiter } => {
                    let (a, key, kind) = self.serve(waiter);
                    assert_eq!(kind, Kind::Fallback);
                    self.fallback[a][key].busy += 1;
                }
                Effect::Close { conn, .. } => {
                    assert_eq!(self.conn(conn).state, State::Idle);
                    self.forget(conn);
                }
                Effect::Leave { conn } => {
                    let a = self.conn(conn).agent.expect("left twice");
                    let limits = self.limits[a];
                    assert!(limits.shared);
                    let conn = self.conn(conn);
                    assert_eq!(conn.state, State::Idle);
                    (conn.agent, conn.left) = (None, Some(limits));
                }
                Effect::EvictFallback { agent, key } => {
                    let a = self
                        .ids
                        .iter()
                        .position(|&id| id == agent)
                        .expect("evicts of a removed agent");
                    assert!(self.fallback[a][key as usize].idle > 0);
                    self.evictions.push_back((agent, key));
                }
            }
        }
    }

    pub fn counts(&self) -> [[Counts; KEYS]; AGENTS] {
        let mut counts = [[Counts::default(); KEYS]; AGENTS];
        for conn in &self.conns {
            let Some(a) = conn.agent else { continue };
            let count = &mut counts[a][conn.key];
            match conn.state {
                State::Dialing => count.dialing += 1,
                State::Leased => count.leased += 1,
                State::Idle => count.idle += 1,
            }
        }
        for (a, keys) in counts.iter_mut().enumerate() {
            for (key, count) in keys.iter_mut().enumerate() {
                count.fallback_idle = self.fallback[a][key].idle;
                count.fallback = self.fallback[a][key].busy + count.fallback_idle;
                count.queued = self.queues[a][key].len() as u32;
            }
        }
        counts
    }

    /// Limits were changed: what is live by now is tolerated until it ends.
    pub fn tolerate(&mut self, a: usize) {
        for key in 0..KEYS {
            self.tolerated[a][key] = u32::MAX;
        }
        self.tolerated_total[a] = u32::MAX;
    }

    pub fn check(&mut self, pool: &Pool) {
        let counts = self.counts();
        for (a, keys) in counts.iter().enumerate() {
            self.check_agent(pool, a, keys);
        }
        if let Some(first) = self.first_deadline() {
            assert!(
                pool.next_deadline().is_some_and(|at| at <= first),
                "an idle connection has no alarm"
            );
        }
    }

    fn check_agent(&mut self, pool: &Pool, a: usize, counts: &[Counts; KEYS]) {
        let limits = self.limits[a];
        let total = counts.iter().map(Counts::live).sum::<u32>();
        let tolerated = self.tolerated_total[a].max(limits.max_total_sockets);
        assert!(total <= tolerated, "{total} sockets of {tolerated} (I1)");
        self.tolerated_total[a] = total;
        for (key, count) in counts.iter().enumerate() {
            assert_eq!(pool.counts(self.ids[a], key as KeyId), *count);
            let tolerated = self.tolerated[a][key].max(limits.max_sockets);
            assert!(
                count.live() <= tolerated,
                "{} sockets of {tolerated} for a key (I1)",
                count.live()
            );
            self.tolerated[a][key] = count.live();

            let held_by_key = count.live() >= limits.max_sockets;
            if count.queued == 0 || held_by_key {
                self.passed_over[a][key] = 0;
            }
            if count.queued == 0 || count.live() > 0 {
                self.passed_over_starved[a][key] = 0;
            }
            if count.queued == 0 {
                continue;
            }
            assert_eq!(
                count.idle, 0,
                "a waiter beside an idle connection of its key"
            );
            let evicting = |of: usize| self.evictions.contains(&(self.ids[a], of as KeyId));
            if held_by_key {
                assert!(
                    count.fallback_idle == 0 || evicting(key),
                    "an idle socket of its key blocks a waiter"
                );
                continue;
            }
            assert!(
                total >= limits.max_total_sockets,
                "a waiter beside a free slot (I7)"
            );
            assert!(
                counts.iter().all(|other| other.idle == 0),
                "an idle connection blocks a waiter (I7)"
            );
            let idle = |of: &usize| counts[*of].fallback_idle > 0;
            assert!(
                (0..KEYS).filter(idle).count() == 0 || (0..KEYS).filter(idle).any(evicting),
                "an idle socket of the runtime blocks a waiter (I7)"
            );
            let bound = KEYS as u32 * (KEPT_AT_MOST + 1);
            assert!(
                self.passed_over[a][key] <= bound,
                "an origin missed its turn (I7)"
            );
            let starved = self.passed_over_starved[a][key];
            assert!(
                starved < KEYS as u32,
                "an origin without a slot missed its turn (I7)"
            );
        }
    }
}
