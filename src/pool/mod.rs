//! The pool: which exchange may use which connection, and who waits.
//!
//! A pure state machine. It knows connections as integers, has no sockets and no clock: callers pass `now` in
//! milliseconds of any steady clock, and carry out the [`Effect`]s that a call gives, after unlocking. There is one
//! pool in the process, behind one lock.
//!
//! - An *origin* is an agent's use of one key: its connections, the runtime's sockets counted with them, its waiters.
//! - A *slot* is the right to have one connection (or one socket of the runtime) under an agent's limits.
//! - A *lease* is the exclusive use of a connection by one exchange, from [`Pool::lease`] or an effect to
//!   [`Pool::check_in`] or [`Pool::closed`].
//!
//! What holds after every call (`fuzz_tests.rs` checks it after every step):
//!
//! - dialing + leased + idle + fallback of an origin do not exceed `max_sockets`, those of an agent `max_total_sockets`,
//!   except for leases older than a lowered limit;
//! - an origin with an idle connection that is usable for a request dials none for it, and has no waiters (for one that
//!   may not be sent twice, such as have been idle for as long as the peer may allow are not usable, see `idle_limit.rs`);
//! - a waiter waits only while no slot is free and nothing idle can give its slot up: where an idle connection is what
//!   blocks a waiter it is closed at once, where an idle socket of the runtime is, its eviction has been asked for;
//! - waiters of an origin are served first come, first served; origins under `max_total_sockets` take turns;
//! - a connection that was closed, or is past its deadline, is never leased again.
//!
//! No call is linear in connections, keys or waiters, but those that change, snapshot or end an agent: these are
//! linear in what that agent holds. [`Pool::expire`] is linear in what is due.
//!
//! Agents that share: where one would dial, it takes the idle connection of another one with the same key instead
//! ([`Pool::adoption`]). That one ends for its agent and goes on under a new number, so limits, turns and idle lists stay
//! what they are, each an agent's own.

mod fallback;
mod idle;
mod idle_limit;
pub mod key;
mod lease;
mod limits;
mod sharing;
mod slab;
mod types;
mod waiters;

#[cfg(test)]
mod fuzz_model;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::metrics::Metrics;
use idle::{Conn, Deadlines};
pub use key::Keys;
use limits::Agent;
pub use limits::{Limits, Scheduling};
use sharing::Peer;
use slab::{IdHash, IdSlab, Link, List, Slab};
pub use types::{
    AgentId, CheckIn, CloseReason, ConnId, Counts, Effect, ExchangeId, KeyId, Kind, LastAnswer,
    Lease, Miss, PortId, Seen, State, Stay, WaiterId,
};
use waiters::Waiter;

/// All agents, connections and waiters of the process.
pub struct Pool {
    agents: IdSlab<Agent>,
    origins: Slab<Origin>,
    /// (agent's index, key) to origin.
    lookup: HashMap<u64, u32, IdHash>,
    conns: IdSlab<Conn>,
    waiters: Slab<Waiter>,
    queued: HashMap<WaiterId, u32, IdHash>,
    deadlines: Deadlines,
    peers: Slab<Peer>,
    /// Key to peer.
    peer_of: HashMap<KeyId, u32, IdHash>,
    /// The latest time that a caller gave.
    now: u64,
}

/// An agent's use of one key. It exists while it holds anything, or is retained.
#[derive(Default)]
struct Origin {
    agent: u32,
    key: KeyId,
    peer: u32,
    /// Its idle connections serve whatever its agent has behind the same peer, a proxy.
    routed: bool,
    /// Counted in the peer's `sharing`.
    sharing: bool,
    /// Its place in the agent's `origins`.
    position: u32,
    dialing: u32,
    leased: u32,
    /// Its idle connections, the longest idle first.
    idle: List,
    fallback: u32,
    fallback_idle: u32,
    /// Evictions asked for and not seen yet: at most `fallback_idle`, and never more than are really on their way.
    /// Too few costs an eviction too many, too many would leave a waiter waiting.
    asked: u32,
    queue: List,
    /// Its waiters that only the agent's total limit holds back, as counted in the agent's `ready`.
    ready: u32,
    /// Counted in the agent's `starved`.
    starved: bool,
    /// Place among the agent's `turns`, while `ready` is not 0.
    turn: Link,
    /// Place among the agent's `evictable`, while `in_evictable`.
    evictable: Link,
    in_evictable: bool,
    /// Its owner knows it by its key, and wants its counters kept.
    retained: bool,
    /// Why its last connection that ended was closed.
    last_closed: Option<CloseReason>,
    metrics: Arc<Metrics>,
}

impl Origin {
    /// Slots in use.
    fn live(&self) -> u32 {
        self.dialing + self.leased + self.idle.len + self.fallback
    }

    fn counts(&self) -> Counts {
        Counts {
            dialing: self.dialing,
            leased: self.leased,
            idle: self.idle.len,
            fallback: self.fallback,
            fallback_idle: self.fallback_idle,
            queued: self.queue.len,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Pool {
            agents: IdSlab::new(32, 24),
            origins: Slab::new(),
            lookup: HashMap::default(),
            // A million connections at a time; half a million others before an id returns.
            conns: IdSlab::new(29, 20),
            waiters: Slab::new(),
            queued: HashMap::default(),
            deadlines: Deadlines::default(),
            peers: Slab::new(),
            peer_of: HashMap::default(),
            now: 0,
        }
    }

    /// Keeps an origin, with its counters, until [`release_origin`](Self::release_origin) or its agent's end.
    pub fn retain_origin(&mut self, agent: AgentId, key: KeyId) {
        if let Some(a) = self.agents.find(agent) {
            let o = self.origin(a, key);
            self.origins[o].retained = true;
        }
    }

    /// The same for an origin behind a proxy that serves others as well: idle connections are theirs, too, whose `route` is
    /// the same. Nobody may have that key yet.
    pub fn retain_routed(&mut self, agent: AgentId, key: KeyId, route: KeyId) {
        if let Some(a) = self.agents.find(agent) {
            let o = self.origin_by(a, key, Some(route));
            self.origins[o].retained = true;
        }
    }

    /// Whether an origin's idle connections may become others'.
    fn lends(&self, o: u32) -> bool {
        let origin = &self.origins[o];
        origin.routed || self.agents[origin.agent].limits.shared
    }

    /// Lets an origin go as soon as it holds nothing. Returns its counters.
    pub fn release_origin(
        &mut self,
        agent: AgentId,
        key: KeyId,
        effects: &mut Vec<Effect>,
    ) -> Option<Arc<Metrics>> {
        let a = self.agents.find(agent)?;
        let o = self.find_origin(a, key)?;
        self.origins[o].retained = false;
        let metrics = Arc::clone(&self.origins[o].metrics);
        self.forget_if_empty(o, effects);
        Some(metrics)
    }

    /// The counters of a connection's origin.
    pub fn metrics(&self, conn: ConnId) -> Option<Arc<Metrics>> {
        let c = self.conns.find(conn)?;
        Some(Arc::clone(&self.origins[self.conns[c].origin].metrics))
    }

    /// Whose a connection is, and how many ms its agent lets connections live; 0: no limit.
    pub fn owner(&self, conn: ConnId) -> Option<(AgentId, KeyId, u64)> {
        let origin = &self.origins[self.conns[self.conns.find(conn)?].origin];
        let ttl = self.agents[origin.agent].limits.socket_active_ttl_ms;
        Some((self.agents.id(origin.agent), origin.key, ttl))
    }

    /// The counters of an agent's use of a key.
    pub fn metrics_of(&self, agent: AgentId, key: KeyId) -> Option<Arc<Metrics>> {
        let o = self.find_origin(self.agents.find(agent)?, key)?;
        Some(Arc::clone(&self.origins[o].metrics))
    }

    /// What a connection goes on with instead of being dialed, and how many ms that was idle; told once.
    pub fn adoption(&mut self, conn: ConnId) -> Option<ConnId> {
        let c = self.conns.find(conn)?;
        self.conns[c].adopts.take()
    }

    /// Why a connection was opened and none reused.
    pub fn miss(&self, conn: ConnId) -> Option<Miss> {
        self.conns.find(conn).map(|c| self.conns[c].miss)
    }

    /// What the agent holds of a key.
    #[cfg(test)]
    pub fn counts(&self, agent: AgentId, key: KeyId) -> Counts {
        let found = self
            .agents
            .find(agent)
            .and_then(|a| self.find_origin(a, key));
        found.map_or_else(Counts::default, |o| self.origins[o].counts())
    }

    /// What the agent holds, key by key in no order; keys of which it holds nothing are left out.
    pub fn snapshot(&self, agent: AgentId) -> Vec<(KeyId, Counts, Arc<Metrics>)> {
        let Some(a) = self.agents.find(agent) else {
            return Vec::new();
        };
        let origins = self.agents[a].origins.iter().map(|&o| &self.origins[o]);
        origins
            .map(|origin| (origin.key, origin.counts(), Arc::clone(&origin.metrics)))
            .collect()
    }

    /// Connections that agents have for keys, in no order and at most so many; those past their agent's end are left out.
    pub fn connections(
        &self,
        of: impl Iterator<Item = (AgentId, KeyId)>,
        now: u64,
        most: usize,
    ) -> Vec<Seen> {
        let mut wanted = HashSet::<u32, IdHash>::default();
        let mut left = 0;
        for (agent, key) in of {
            let found = self.agents.find(agent);
            let Some(o) = found.and_then(|a| self.find_origin(a, key)) else {
                continue;
            };
            if wanted.insert(o) {
                let Counts {
                    dialing,
                    leased,
                    idle,
                    ..
                } = self.origins[o].counts();
                left += (dialing + leased + idle) as usize;
            }
        }
        // Whoever looks for few of many is done with the last one.
        let all = self.conns.iter();
        let theirs = all.filter(|(_, held)| wanted.contains(&held.origin));
        let seen = theirs.take(left.min(most)).map(|(conn, held)| {
            let origin = &self.origins[held.origin];
            Seen {
                conn,
                agent: self.agents.id(origin.agent),
                key: origin.key,
                state: held.state,
                age_ms: now.saturating_sub(held.born),
                idle_ms: match held.state {
                    State::Idle => now.saturating_sub(held.idle_since),
                    State::Dialing | State::Leased => 0,
                },
                uses: held.uses,
            }
        });
        seen.collect()
    }

    /// What an agent may hold.
    pub fn limits(&self, agent: AgentId) -> Option<Limits> {
        Some(self.agents[self.agents.find(agent)?].limits)
    }

    /// Where a connection is in its life; `None` if it is gone.
    pub fn state(&self, conn: ConnId) -> Option<State> {
        self.conns.find(conn).map(|c| self.conns[c].state)
    }

    fn find_origin(&self, a: u32, key: KeyId) -> Option<u32> {
        self.lookup.get(&lookup_key(a, key)).copied()
    }

    fn origin(&mut self, a: u32, key: KeyId) -> u32 {
        self.origin_by(a, key, None)
    }

    fn origin_by(&mut self, a: u32, key: KeyId, route: Option<KeyId>) -> u32 {
        if let Some(o) = self.find_origin(a, key) {
            return o;
        }
        let position = self.agents[a].origins.len() as u32;
        let routed = route.is_some();
        let sharing = routed || self.agents[a].limits.shared;
        let peer = self.join_peer(route.unwrap_or(key), sharing);
        let o = self.origins.insert(Origin {
            agent: a,
            key,
            peer,
            routed,
            sharing,
            position,
            ..Origin::default()
        });
        self.agents[a].origins.push(o);
        self.lookup.insert(lookup_key(a, key), o);
        o
    }

    /// Brings everything derived from an origin's counts up to date, and forgets it if it holds nothing. To be called
    /// once an operation is done with the origin.
    fn settle(&mut self, o: u32, effects: &mut Vec<Effect>) {
        self.refresh(o);
        self.ask_own(o, effects);
        self.forget_if_empty(o, effects);
    }

    fn forget_if_empty(&mut self, o: u32, effects: &mut Vec<Effect>) {
        let origin = &self.origins[o];
        if origin.live() != 0 || !origin.queue.is_empty() || origin.retained {
            return;
        }
        self.stop_sharing(o, effects);
        let origin = &self.origins[o];
        let (a, key, position) = (origin.agent, origin.key, origin.position);
        self.leave_peer(origin.peer);
        self.lookup.remove(&lookup_key(a, key));
        let origins = &mut self.agents[a].origins;
        origins.swap_remove(position as usize);
        if let Some(&moved) = origins.get(position as usize) {
            self.origins[moved].position = position;
        }
        self.origins.remove(o);
    }
}

fn lookup_key(a: u32, key: KeyId) -> u64 {
    u64::from(a) << 32 | u64::from(key)
}
