//! How pool, connections and callers come together.
//!
//! The pool's lock is held for a decision only; what follows from one ([`Effect`]) is carried out after unlocking, on
//! the thread that asked. A connection's task runs on the I/O thread; whatever ends it, [`Engine::gone`] frees its
//! place first and tells its owner last.

mod clock;
mod leases;
mod origins;
mod profiles;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use clock::Clock;
use once_cell::sync::Lazy;
pub use origins::OriginStats;
use origins::Owned;
use profiles::Profiles;

use crate::connect::Profile;
use crate::error::Failure;
use crate::exchange::events::{Assigned, Events};
use crate::pool::{AgentId, CloseReason, ConnId, Effect, Keys, Pool, WaiterId};
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

    /// Milliseconds of the engine's clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
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

    fn expect_expiry(&self, deadline: Option<u64>) {
        let Some(deadline) = deadline else { return };
        if self.next_expiry.fetch_min(deadline, Ordering::AcqRel) > deadline {
            let wait = deadline.saturating_sub(self.clock.now());
            runtime::run(move |io| io.call_after(wait, || ENGINE.expire()));
        }
    }

    /// What was to happen at a certain time is not going to.
    pub(crate) fn forget_timers(&self) {
        self.next_expiry.store(u64::MAX, Ordering::Release);
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
            Effect::Assign { waiter, conn } => {
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
        // Without such a thread nothing is being closed.
        if runtime::ready().is_err() {
            events.assigned(waiter.exchange, 0, Assigned::Foreign);
            return;
        }
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
            (Some(profile), Some(books), Some(events)) => {
                let mut opening = Opening {
                    conn,
                    waiter,
                    queued,
                    events,
                    failure: None,
                    is_done: false,
                };
                if let Err(failure) = runtime::ready() {
                    opening.failure = Some(failure);
                    return false;
                }
                runtime::run(move |io: &Io| {
                    // Told in the same job: an abort in answer to it finds the connection.
                    let events = opening.done();
                    match adopts {
                        Some(former) => io.adopt(former, waiter, conn, profile, events, books),
                        None => io.open(waiter, conn, profile, events, books),
                    }
                });
            }
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
}

/// A connection that is about to be opened: unless that is [`done`](Opening::done), it fails when this is dropped.
struct Opening {
    conn: ConnId,
    waiter: WaiterId,
    /// The waiter has not heard of the connection.
    queued: bool,
    events: Arc<dyn Events>,
    failure: Option<Box<Failure>>,
    is_done: bool,
}

impl Opening {
    fn assign(&self) {
        if self.queued {
            self.events
                .assigned(self.waiter.exchange, self.conn, Assigned::Dialing);
        }
    }

    fn done(mut self) -> Arc<dyn Events> {
        self.assign();
        self.is_done = true;
        Arc::clone(&self.events)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.assign();
        let failure = self
            .failure
            .take()
            .unwrap_or_else(|| Box::new(runtime::ended()));
        self.events.failed(self.waiter.exchange, &failure, false);
        let reason = CloseReason::Error;
        let idle = ENGINE.gone(self.conn, reason);
        self.events.closed(self.conn, reason, idle);
    }
}

#[cfg(test)]
mod tests;
