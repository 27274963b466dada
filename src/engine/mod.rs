//! How pool, connections and callers come together.
//!
//! The pool's lock is held for a decision only; what follows from one ([`Effect`]) is carried out after unlocking, on
//! the thread that asked. A connection's task runs on the I/O thread; whatever ends it, [`Engine::gone`] frees its
//! place first and tells its owner last.

mod clock;
pub mod connections;
mod leases;
mod origins;
mod owned;
mod profiles;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use clock::Clock;
use connections::{Leases, Opening};
use once_cell::sync::Lazy;
use owned::Owned;
pub use owned::{Holding, OriginStats};
use profiles::Profiles;

use crate::connect::Profile;
use crate::error::Failure;
use crate::exchange::events::{Assigned, Events};
use crate::io_thread;
use crate::pool::{AgentId, CloseReason, ConnId, Effect, Keys, Pool, PortId, WaiterId};

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
        io_thread::at_end(|| {
            connections::forget_all();
            // What was to happen at a certain time is not going to.
            ENGINE.next_expiry.store(u64::MAX, Ordering::Release);
        });
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
        connections::run(move |all| all.kill_port(port, CloseReason::AgentDestroyed));
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
            let wait = Duration::from_millis(deadline.saturating_sub(self.clock.now()));
            io_thread::run(move || io_thread::call_after(wait, || ENGINE.expire()));
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
            Effect::Assign { waiter, conn } => {
                self.lock().waiting.remove(&waiter);
                if let Some(events) = self.events(waiter.port) {
                    events.assigned(waiter.exchange, conn, Assigned::Idle);
                }
            }
            Effect::Grant { waiter } => self.grant(waiter),
            Effect::Close { conn, reason } => connections::run(move |all| all.kill(conn, reason)),
            Effect::Leave { conn } => connections::run(move |all| all.leave(conn)),
            Effect::EvictFallback { agent, key } => {
                let port = self.lock().agents.get(&agent).map(|owned| owned.port);
                if let Some(events) = port.and_then(|port| self.events(port)) {
                    events.evict_fallback(agent, key);
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
        if io_thread::ready().is_err() {
            events.assigned(waiter.exchange, 0, Assigned::Fallback);
            return;
        }
        io_thread::run(move || {
            io_thread::call_next(move || events.assigned(waiter.exchange, 0, Assigned::Fallback));
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
        let may_http2 = profile
            .as_ref()
            .is_some_and(|profile| profile.http2.is_some());
        let (counters, adopts, http2) = {
            let mut shared = self.lock();
            let pool = &mut shared.pool;
            let counters = pool.metrics(conn).zip(pool.answered(conn));
            let origin = if may_http2 { pool.owner(conn) } else { None };
            (counters, pool.adoption(conn), origin)
        };
        match (profile, counters, self.events(waiter.port)) {
            (Some(profile), Some((metrics, answered)), Some(events)) => {
                let mut promise = Promise {
                    conn,
                    waiter,
                    queued,
                    events: Arc::clone(&events),
                    failure: None,
                    is_kept: false,
                };
                if let Err(failure) = io_thread::ready() {
                    promise.failure = Some(failure);
                    return false;
                }
                let opening = Opening {
                    waiter,
                    conn,
                    profile,
                    events,
                    metrics,
                    answered,
                    leases: &*ENGINE,
                    http2,
                };
                connections::run(move |all| {
                    // Told in the same job: an abort in answer to it finds the connection.
                    promise.keep();
                    match adopts {
                        Some(former) => all.adopt(former, opening),
                        None => all.open(opening),
                    }
                });
            }
            // Its thread has just ended.
            _ => {
                self.gone(conn, CloseReason::AgentDestroyed);
                if let Some(former) = adopts {
                    connections::run(move |all| all.kill(former, CloseReason::AgentDestroyed));
                }
            }
        }
        adopts.is_some()
    }
}

/// Of a connection that is about to be opened: unless it is [kept](Promise::keep), the connection fails when this is dropped.
struct Promise {
    conn: ConnId,
    waiter: WaiterId,
    /// The waiter has not heard of the connection.
    queued: bool,
    events: Arc<dyn Events>,
    failure: Option<Box<Failure>>,
    is_kept: bool,
}

impl Promise {
    fn assign(&self) {
        if self.queued {
            self.events
                .assigned(self.waiter.exchange, self.conn, Assigned::Dialing);
        }
    }

    fn keep(mut self) {
        self.assign();
        self.is_kept = true;
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        self.assign();
        let failure = self
            .failure
            .take()
            .unwrap_or_else(|| Box::new(io_thread::ended()));
        self.events.failed(self.waiter.exchange, &failure, false);
        let reason = CloseReason::Error;
        let idle = ENGINE.gone(self.conn, reason);
        self.events.closed(self.conn, reason, idle);
    }
}

#[cfg(test)]
mod tests;
