//! How pool, connections and callers come together.
//!
//! The pool's lock is held for a decision only; what follows from one ([`Effect`]) is carried out after unlocking, on
//! the thread that asked. A connection's task runs on the I/O thread; whatever ends it, [`Engine::gone`] frees its
//! place first and tells its owner last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use once_cell::sync::Lazy;

use crate::connect::Profile;
use crate::exchange::events::{Assigned, Events};
use crate::pool::{
    AgentId, CheckIn, CloseReason, ConnId, Effect, KeyId, Kind, Lease, Limits, Pool, State,
    WaiterId,
};
use crate::runtime::{self, Io};

/// A JavaScript thread, as the engine knows it.
pub type PortId = u32;

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
    profiles: Vec<Arc<Profile>>,
    profile_ids: HashMap<Profile, u32>,
    /// What a queued request will be dialed with.
    waiting: HashMap<WaiterId, u32>,
    agents: HashMap<AgentId, PortId>,
    /// Connections on lease whose transport died while no exchange was under way.
    dead: HashMap<ConnId, CloseReason>,
    next_port: PortId,
}

impl Engine {
    fn new() -> Self {
        Self {
            shared: Mutex::new(Shared {
                pool: Pool::new(),
                profiles: Vec::new(),
                profile_ids: HashMap::new(),
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
            let of_port = shared.agents.iter().filter(|(_, &owner)| owner == port);
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
        shared.agents.insert(agent, port);
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

    /// Ends an agent: its idle connections close, its waiters are forgotten.
    pub fn remove_agent(&self, agent: AgentId) {
        self.with_effects(|shared, _, effects| {
            for waiter in shared.pool.remove_agent(agent, effects) {
                shared.waiting.remove(&waiter);
            }
        });
        self.lock().agents.remove(&agent);
    }

    /// Closes an agent's idle connections.
    pub fn close_idle(&self, agent: AgentId) {
        self.with_effects(|shared, _, effects| shared.pool.close_idle(agent, effects));
    }

    /// The key of what makes connections interchangeable.
    pub fn intern_key(&self, identity: &[u8]) -> KeyId {
        self.lock().pool.intern_key(identity)
    }

    /// The number of a way to connect.
    pub fn intern_profile(&self, profile: Profile) -> u32 {
        let mut shared = self.lock();
        if let Some(&id) = shared.profile_ids.get(&profile) {
            return id;
        }
        let id = shared.profiles.len() as u32;
        shared.profiles.push(Arc::new(profile.clone()));
        shared.profile_ids.insert(profile, id);
        id
    }

    /// Asks for the exclusive use of a connection; the answer holds at once, dialing goes on by itself.
    pub fn lease(
        &self,
        agent: AgentId,
        key: KeyId,
        profile: u32,
        waiter: WaiterId,
        kind: Kind,
    ) -> Lease {
        let lease = self.with_effects(|shared, now, effects| {
            let lease = shared.pool.lease(agent, key, waiter, kind, now, effects);
            if lease == Lease::Queued && kind == Kind::Engine {
                shared.waiting.insert(waiter, profile);
            }
            lease
        });
        if let Lease::Dial { conn } = lease {
            self.dial(waiter, conn, profile, false);
        }
        lease
    }

    /// Takes a request out of the queue; false if it has its turn already.
    pub fn cancel(&self, waiter: WaiterId) -> bool {
        let mut shared = self.lock();
        shared.waiting.remove(&waiter);
        shared.pool.cancel(waiter)
    }

    /// Ends a lease whose connection is in order.
    pub fn check_in(&self, conn: ConnId, idle_limit_ms: Option<u64>) -> CheckIn {
        let (result, deadline) = self.with_effects(|shared, now, effects| {
            let result = match shared.dead.remove(&conn) {
                Some(reason) => {
                    shared.pool.closed(conn, now, effects);
                    CheckIn::Closed(reason)
                }
                None => shared.pool.check_in(conn, idle_limit_ms, now, effects),
            };
            (result, shared.pool.next_deadline())
        });
        match result {
            CheckIn::Closed(reason) => runtime::run(move |io| io.kill(conn, reason)),
            CheckIn::Idle => self.expect_expiry(deadline),
            CheckIn::Handed(_) | CheckIn::Unknown => {}
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

    /// A connection is open.
    pub fn connected(&self, conn: ConnId) {
        self.lock().pool.connected(conn);
    }

    /// A leased connection was dead and is dialed anew.
    pub fn redial(&self, conn: ConnId) {
        let mut shared = self.lock();
        shared.dead.remove(&conn);
        shared.pool.redial(conn);
    }

    /// A connection's transport died with no exchange under way: forgets it if it was idle; else its holder decides.
    pub fn died(&self, conn: ConnId, reason: CloseReason) -> bool {
        self.with_effects(|shared, now, effects| match shared.pool.state(conn) {
            Some(State::Leased | State::Dialing) => {
                shared.dead.insert(conn, reason);
                false
            }
            _ => {
                shared.pool.closed(conn, now, effects);
                true
            }
        })
    }

    /// A connection is gone: its place is given on. True if it was nobody's.
    pub fn gone(&self, conn: ConnId) -> bool {
        let state = self.with_effects(|shared, now, effects| {
            shared.dead.remove(&conn);
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
                match profile {
                    Some(profile) => self.dial(waiter, conn, profile, true),
                    // Its thread has just ended.
                    None => drop(self.gone(conn)),
                }
            }
            Effect::Assign { waiter, conn, .. } => {
                self.lock().waiting.remove(&waiter);
                if let Some(events) = self.events(waiter.port) {
                    events.assigned(waiter.exchange, conn, Assigned::Idle);
                }
            }
            Effect::Grant { waiter } => {
                if let Some(events) = self.events(waiter.port) {
                    events.assigned(waiter.exchange, 0, Assigned::Foreign);
                }
            }
            Effect::Close { conn, reason } => runtime::run(move |io| io.kill(conn, reason)),
            Effect::EvictForeign { agent, key } => {
                let port = self.lock().agents.get(&agent).copied();
                if let Some(events) = port.and_then(|port| self.events(port)) {
                    events.evict_foreign(agent, key);
                }
            }
        }
    }

    fn dial(&self, waiter: WaiterId, conn: ConnId, profile: u32, was_queued: bool) {
        let profile = self.lock().profiles.get(profile as usize).cloned();
        match (profile, self.events(waiter.port)) {
            (Some(profile), Some(events)) => runtime::run(move |io: &Io| {
                // Told in the same job: an abort in answer to it finds the connection.
                if was_queued {
                    events.assigned(waiter.exchange, conn, Assigned::Dialing);
                }
                io.open(waiter, conn, profile, events);
            }),
            // Its thread has just ended.
            _ => drop(self.gone(conn)),
        }
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
