//! How pool, connections and callers come together.
//!
//! The pool's lock is held for a decision only; what follows from one ([`Effect`]) is carried out after unlocking, on
//! the thread that asked. A connection's task runs on the I/O thread; whatever ends it, [`Engine::gone`] frees its
//! place first and tells its owner last.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use once_cell::sync::Lazy;

use crate::connect::Profile;
use crate::exchange::events::{Assigned, Events};
use crate::metrics::Metrics;
use crate::pool::{
    AgentId, CheckIn, CloseReason, ConnId, Counts, Effect, KeyId, Keys, Kind, Lease, Limits, Miss,
    Pool, State, Stay, WaiterId,
};
use crate::runtime::{self, Books, Io};

/// A JavaScript thread, as the engine knows it.
pub type PortId = u32;

/// In place of why a connection is dialed: it is not, it was another agent's.
pub const ADOPTS: u16 = u16::MAX;

/// The process's one engine.
pub static ENGINE: Lazy<Engine> = Lazy::new(Engine::new);

/// The pool, and whom its agents and waiters belong to.
pub struct Engine {
    shared: Mutex<Shared>,
    ports: RwLock<HashMap<PortId, Arc<dyn Events>>>,
    /// When the idle connections are looked through next, in the engine's ms.
    next_expiry: AtomicU64,
    clock: Clock,
}

struct Shared {
    pool: Pool,
    keys: Keys,
    profiles: Profiles,
    /// What a queued request will be dialed with.
    waiting: HashMap<WaiterId, Arc<Profile>>,
    agents: HashMap<AgentId, Owned>,
    /// Connections on lease whose transport died while no exchange was under way, or is of no further use.
    dead: HashMap<ConnId, CloseReason>,
    next_port: PortId,
}

/// An agent, as the engine knows it.
struct Owned {
    port: PortId,
    origins: HashMap<KeyId, Held>,
    /// Counters of its origins that were let go.
    past: Arc<Metrics>,
}

/// What an agent's origin holds.
struct Held {
    /// What its owner calls it.
    name: String,
    /// Ways to connect that it has named.
    profiles: HashSet<u32>,
}

/// Ways to connect by number, as long as an origin holds them.
#[derive(Default)]
struct Profiles {
    by_id: HashMap<u32, (Arc<Profile>, u32)>,
    ids: HashMap<Arc<Profile>, u32>,
    next: u32,
}

impl Profiles {
    /// The number of a profile; the caller holds it.
    fn intern(&mut self, profile: Profile) -> u32 {
        if let Some(&id) = self.ids.get(&profile) {
            return id;
        }
        let profile = Arc::new(profile);
        let id = self.next;
        // JavaScript counts from 1 in 31 bits; by the time they come back, the old ones are long gone.
        self.next = (self.next + 1) & 0x3fff_ffff;
        self.by_id.insert(id, (Arc::clone(&profile), 0));
        self.ids.insert(profile, id);
        id
    }

    fn hold(&mut self, id: u32) {
        if let Some((_, holders)) = self.by_id.get_mut(&id) {
            *holders += 1;
        }
    }

    fn release(&mut self, id: u32) {
        let Some((profile, holders)) = self.by_id.get_mut(&id) else {
            return;
        };
        *holders -= 1;
        if *holders == 0 {
            self.ids.remove(profile);
            self.by_id.remove(&id);
        }
    }

    fn get(&self, id: u32) -> Option<Arc<Profile>> {
        self.by_id.get(&id).map(|(profile, _)| Arc::clone(profile))
    }
}

/// What there is to tell of an agent's origin; without a name: of those that were let go.
pub struct OriginStats {
    pub name: String,
    pub counts: Counts,
    pub metrics: Arc<Metrics>,
}

impl Engine {
    fn new() -> Self {
        Self {
            shared: Mutex::new(Shared {
                pool: Pool::new(),
                keys: Keys::default(),
                profiles: Profiles::default(),
                waiting: HashMap::new(),
                agents: HashMap::new(),
                dead: HashMap::new(),
                next_port: 1,
            }),
            ports: RwLock::default(),
            next_expiry: AtomicU64::new(u64::MAX),
            clock: Clock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic elsewhere must not take every later request down with it.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a thread and whom to tell about its exchanges and connections.
    pub fn open_port(&self, events: Arc<dyn Events>) -> PortId {
        let port = {
            let mut shared = self.lock();
            let port = shared.next_port;
            shared.next_port += 1;
            port
        };
        self.ports
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(port, events);
        port
    }

    /// Ends a thread: its agents go, and every connection that it holds.
    pub fn close_port(&self, port: PortId) {
        self.ports
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&port);
        let agents: Vec<AgentId> = {
            let shared = self.lock();
            let of_port = shared.agents.iter().filter(|(_, owned)| owned.port == port);
            of_port.map(|(&agent, _)| agent).collect()
        };
        for agent in agents {
            self.remove_agent(agent);
        }
        runtime::run(move |io| io.kill_port(port, CloseReason::AgentDestroyed));
    }

    /// Whom to tell about what concerns a thread; none once it has ended.
    pub(crate) fn events(&self, port: PortId) -> Option<Arc<dyn Events>> {
        self.ports
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&port)
            .cloned()
    }

    /// Adds an agent of a thread.
    pub fn add_agent(&self, port: PortId, limits: Limits) -> AgentId {
        let mut shared = self.lock();
        let agent = shared.pool.add_agent(limits);
        let owned = Owned {
            port,
            origins: HashMap::new(),
            past: Arc::default(),
        };
        shared.agents.insert(agent, owned);
        agent
    }

    /// Changes an agent's limits.
    pub fn set_limits(&self, agent: AgentId, limits: Limits) {
        let deadline = self.with_effects(|shared, now, effects| {
            shared.pool.set_limits(agent, limits, now, effects);
            shared.pool.next_deadline()
        });
        self.expect_expiry(deadline);
    }

    /// Ends an agent: its idle connections close, unless others share them, its waiters are forgotten.
    pub fn remove_agent(&self, agent: AgentId) {
        self.with_effects(|shared, _, effects| {
            for waiter in shared.pool.remove_agent(agent, effects) {
                shared.waiting.remove(&waiter);
            }
            if let Some(owned) = shared.agents.remove(&agent) {
                for (key, held) in owned.origins {
                    shared.let_go(key, held);
                }
            }
        });
    }

    /// Closes an agent's idle connections.
    pub fn close_idle(&self, agent: AgentId) {
        self.with_effects(|shared, _, effects| shared.pool.close_idle(agent, effects));
    }

    /// An agent's origin for what makes connections interchangeable. Its key, its profiles and its counters are kept
    /// until [`close_origin`](Self::close_origin) or the agent's end.
    pub fn open_origin(&self, agent: AgentId, identity: &str, name: &str) -> KeyId {
        let mut shared = self.lock();
        let shared = &mut *shared;
        let key = shared.keys.hold(identity);
        match shared.agents.get_mut(&agent) {
            Some(owned) if !owned.origins.contains_key(&key) => {
                let held = Held {
                    name: name.to_owned(),
                    profiles: HashSet::new(),
                };
                owned.origins.insert(key, held);
                shared.pool.retain_origin(agent, key);
            }
            // Its thread has just ended, or it has it already.
            _ => shared.keys.release(key),
        }
        key
    }

    /// The agent's owner has forgotten the origin.
    pub fn close_origin(&self, agent: AgentId, key: KeyId) {
        self.with_effects(|shared, _, effects| {
            let Some(owned) = shared.agents.get_mut(&agent) else {
                return;
            };
            let Some(held) = owned.origins.remove(&key) else {
                return;
            };
            if let Some(metrics) = shared.pool.release_origin(agent, key, effects) {
                owned.past.absorb(&metrics);
            }
            shared.let_go(key, held);
        });
    }

    /// The number of a way to connect, held by an origin.
    pub fn intern_profile(&self, agent: AgentId, key: KeyId, profile: Profile) -> u32 {
        let mut shared = self.lock();
        let shared = &mut *shared;
        let id = shared.profiles.intern(profile);
        let origin = shared
            .agents
            .get_mut(&agent)
            .and_then(|owned| owned.origins.get_mut(&key));
        if origin.is_some_and(|held| held.profiles.insert(id)) {
            shared.profiles.hold(id);
        }
        id
    }

    /// What there is to tell of an agent, or of all agents of the process: one entry for each of their origins, and one
    /// without a name for those that each has let go.
    pub fn stats(&self, agent: Option<AgentId>) -> Vec<OriginStats> {
        let shared = self.lock();
        let mut told = Vec::new();
        for (&id, owned) in &shared.agents {
            if agent.is_some_and(|agent| agent != id) {
                continue;
            }
            for (key, counts, metrics) in shared.pool.snapshot(id) {
                let Some(Held { name, .. }) = owned.origins.get(&key) else {
                    // Let go, but a connection of it is about to end.
                    continue;
                };
                let name = name.clone();
                told.push(OriginStats {
                    name,
                    counts,
                    metrics,
                });
            }
            told.push(OriginStats {
                name: String::new(),
                counts: Counts::default(),
                metrics: Arc::clone(&owned.past),
            });
        }
        told
    }

    /// Counts a failure that its owner met, or a request that went the runtime's own way.
    pub fn note(&self, agent: AgentId, key: KeyId, foreign: bool, name: String) {
        let metrics = self.lock().pool.metrics_of(agent, key);
        if let Some(metrics) = metrics {
            let tally = if foreign {
                &metrics.foreign
            } else {
                &metrics.errors
            };
            tally.add(Cow::Owned(name));
        }
    }

    /// Identities and profiles that are held at the moment.
    pub fn held(&self) -> (usize, usize) {
        let shared = self.lock();
        (shared.keys.len(), shared.profiles.by_id.len())
    }

    /// Asks for the exclusive use of a connection; the answer holds at once, dialing goes on by itself. The second value
    /// says why a connection is dialed ([`Miss::number`]).
    pub fn lease(
        &self,
        agent: AgentId,
        key: KeyId,
        profile: u32,
        waiter: WaiterId,
        kind: Kind,
    ) -> (Lease, u16) {
        let (lease, profile, mut miss, made_room) = self.with_effects(|shared, now, effects| {
            let lease = shared.pool.lease(agent, key, waiter, kind, now, effects);
            let mut miss = 0;
            let profile = match lease {
                Lease::Queued | Lease::Dial { .. } if kind != Kind::Foreign => {
                    shared.profiles.get(profile)
                }
                _ => None,
            };
            match (lease, &profile) {
                (Lease::Dial { conn }, _) => {
                    miss = shared.pool.miss(conn).map_or(0, Miss::number);
                }
                (Lease::Queued, Some(profile)) => {
                    shared.waiting.insert(waiter, Arc::clone(profile));
                }
                _ => {}
            }
            (lease, profile, miss, !effects.is_empty())
        });
        match lease {
            Lease::Dial { conn } if self.dial(waiter, conn, profile, false) => miss = ADOPTS,
            Lease::Dial { .. } => {}
            // The caller opens its socket by itself: not before the one that made room for it is closed.
            Lease::Granted if made_room => {
                self.grant(waiter);
                return (Lease::Queued, 0);
            }
            _ => {}
        }
        (lease, miss)
    }

    /// Takes a request out of the queue; false if it has its turn already.
    pub fn cancel(&self, waiter: WaiterId) -> bool {
        self.with_effects(|shared, _, effects| {
            let was_queued = shared.pool.cancel(waiter, effects);
            // Else its turn may be on its way, which needs to know how to dial.
            if was_queued {
                shared.waiting.remove(&waiter);
            }
            was_queued
        })
    }

    /// Ends a lease whose connection is in order.
    pub fn check_in(&self, conn: ConnId, stay: Stay) -> CheckIn {
        let (result, deadline) = self.with_effects(|shared, now, effects| {
            let result = match shared.dead.remove(&conn) {
                Some(reason) => {
                    shared.pool.note_end(conn, reason);
                    shared.pool.closed(conn, now, effects);
                    CheckIn::Closed(reason)
                }
                None => shared.pool.check_in(conn, stay, now, effects),
            };
            if let CheckIn::Closed(reason) = result {
                // Before what takes its place is opened.
                effects.insert(0, Effect::Close { conn, reason });
            }
            (result, shared.pool.next_deadline())
        });
        if result == CheckIn::Idle {
            self.expect_expiry(deadline);
        }
        result
    }

    /// A socket of the runtime's own is gone.
    pub fn release_foreign(&self, agent: AgentId, key: KeyId) {
        self.with_effects(|shared, now, effects| {
            shared.pool.release_foreign(agent, key, now, effects)
        });
    }

    /// A socket of the runtime's own went idle, or is used again; false: it must go.
    pub fn foreign_idle(&self, agent: AgentId, key: KeyId, idle: bool) -> bool {
        self.with_effects(|shared, now, effects| {
            shared.pool.foreign_idle(agent, key, idle, now, effects)
        })
    }

    /// Milliseconds of the engine's clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// A connection is open.
    pub fn connected(&self, conn: ConnId) {
        self.lock().pool.connected(conn);
    }

    /// A leased connection was dead and is dialed anew.
    pub fn redial(&self, conn: ConnId) {
        let mut shared = self.lock();
        shared.dead.remove(&conn);
        shared.pool.redial(conn, self.clock.now());
    }

    /// A connection's transport died with no exchange under way: forgets it if it was idle; else its holder decides.
    pub fn died(&self, conn: ConnId, reason: CloseReason) -> bool {
        self.with_effects(|shared, now, effects| match shared.pool.state(conn) {
            Some(State::Leased | State::Dialing) => {
                shared.dead.insert(conn, reason);
                false
            }
            _ => {
                if reason.is_peers() {
                    shared.pool.ended_by_peer(conn, now);
                }
                shared.pool.note_end(conn, reason);
                shared.pool.closed(conn, now, effects);
                true
            }
        })
    }

    /// The peer ended a leased connection without an answer to the request on it.
    pub fn lost(&self, conn: ConnId) {
        self.lock().pool.ended_by_peer(conn, self.clock.now());
    }

    /// A leased connection's present exchange is its last.
    pub fn doom(&self, conn: ConnId, reason: CloseReason) {
        let mut shared = self.lock();
        if shared.pool.state(conn) == Some(State::Leased) {
            shared.dead.insert(conn, reason);
        }
    }

    /// A connection is gone: its place is given on. True if it was nobody's.
    pub fn gone(&self, conn: ConnId, reason: CloseReason) -> bool {
        let state = self.with_effects(|shared, now, effects| {
            shared.dead.remove(&conn);
            shared.pool.note_end(conn, reason);
            shared.pool.closed(conn, now, effects)
        });
        !matches!(state, Some(State::Leased | State::Dialing))
    }

    fn expect_expiry(&self, deadline: Option<u64>) {
        let Some(deadline) = deadline else { return };
        if self.next_expiry.fetch_min(deadline, Ordering::AcqRel) > deadline {
            let wait = deadline.saturating_sub(self.clock.now());
            runtime::run(move |io| io.call_after(wait, || ENGINE.expire()));
        }
    }

    fn expire(&self) {
        self.next_expiry.store(u64::MAX, Ordering::Release);
        let next = self.with_effects(|shared, now, effects| shared.pool.expire(now, effects));
        self.expect_expiry(next);
    }

    fn with_effects<R>(&self, decide: impl FnOnce(&mut Shared, u64, &mut Vec<Effect>) -> R) -> R {
        let mut effects = Vec::new();
        let now = self.clock.now();
        let result = decide(&mut self.lock(), now, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
        result
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Dial { waiter, conn } => {
                let profile = self.lock().waiting.remove(&waiter);
                let _ = self.dial(waiter, conn, profile, true);
            }
            Effect::Assign { waiter, conn, .. } => {
                self.lock().waiting.remove(&waiter);
                if let Some(events) = self.events(waiter.port) {
                    events.assigned(waiter.exchange, conn, Assigned::Idle);
                }
            }
            Effect::Grant { waiter } => self.grant(waiter),
            Effect::Close { conn, reason } => runtime::run(move |io| io.kill(conn, reason)),
            Effect::Leave { conn } => runtime::run(move |io| io.leave(conn)),
            Effect::EvictForeign { agent, key } => {
                let port = self.lock().agents.get(&agent).map(|owned| owned.port);
                if let Some(events) = port.and_then(|port| self.events(port)) {
                    events.evict_foreign(agent, key);
                }
            }
        }
    }

    /// Tells a waiter of its slot for a socket of the runtime's own, when what is to be closed for it is closed.
    fn grant(&self, waiter: WaiterId) {
        let Some(events) = self.events(waiter.port) else {
            return;
        };
        runtime::run(move |io| {
            io.call_next(move || events.assigned(waiter.exchange, 0, Assigned::Foreign));
        });
    }

    /// True: it is not dialed, an idle connection of another agent is adopted instead.
    fn dial(
        &self,
        waiter: WaiterId,
        conn: ConnId,
        profile: Option<Arc<Profile>>,
        queued: bool,
    ) -> bool {
        let (books, adopts) = {
            let mut shared = self.lock();
            let pool = &mut shared.pool;
            let books = pool
                .metrics(conn)
                .zip(pool.answered(conn))
                .map(|(metrics, answered)| Books { metrics, answered });
            (books, pool.adoption(conn))
        };
        match (profile, books, self.events(waiter.port)) {
            (Some(profile), Some(books), Some(events)) => runtime::run(move |io: &Io| {
                // Told in the same job: an abort in answer to it finds the connection.
                if queued {
                    events.assigned(waiter.exchange, conn, Assigned::Dialing);
                }
                match adopts {
                    Some(former) => io.adopt(former, waiter, conn, profile, events, books),
                    None => io.open(waiter, conn, profile, events, books),
                }
            }),
            // Its thread has just ended.
            _ => {
                self.gone(conn, CloseReason::AgentDestroyed);
                if let Some(former) = adopts {
                    runtime::run(move |io| io.kill(former, CloseReason::AgentDestroyed));
                }
            }
        }
        adopts.is_some()
    }

    /// The connection is its user's alone: it is never shared.
    pub fn bind(&self, conn: ConnId) {
        self.lock().pool.bind(conn);
    }
}

impl Shared {
    fn let_go(&mut self, key: KeyId, held: Held) {
        for profile in held.profiles {
            self.profiles.release(profile);
        }
        self.keys.release(key);
    }
}

/// Milliseconds since the engine began, never backwards. The wall clock counts as well as the steady one, so that what
/// a peer has dropped while the machine slept is not taken for fresh.
struct Clock {
    steady: Instant,
    wall: SystemTime,
    latest: AtomicU64,
}

impl Clock {
    fn new() -> Self {
        Self {
            steady: Instant::now(),
            wall: SystemTime::now(),
            latest: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        let wall = self.wall.elapsed().unwrap_or_default();
        let now = self.steady.elapsed().max(wall).as_millis() as u64;
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

#[cfg(test)]
mod tests;
