//! Agents and what they may hold. Limits may change at any time: what was raised serves waiters at once; what was
//! lowered closes idle connections at once and leased ones when they are checked in.

use super::slab::List;
use super::types::{AgentId, CloseReason, Effect, WaiterId};
use super::Pool;

/// Which idle connection is leased first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheduling {
    /// The one that was used last.
    Lifo,
    /// The one that has been idle longest.
    Fifo,
}

/// What an agent may hold. `u32::MAX` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Keep connections idle. If not, a connection goes to a waiter of its key or is closed.
    pub keep_alive: bool,
    /// Slots per key.
    pub max_sockets: u32,
    /// Slots in all.
    pub max_total_sockets: u32,
    /// Idle connections and idle sockets of the runtime, per key.
    pub max_free_sockets: u32,
    /// Which idle connection is leased first.
    pub scheduling: Scheduling,
    /// Milliseconds that a connection may stay idle; 0: no limit.
    pub free_socket_timeout_ms: u64,
    /// Milliseconds that a connection may live, shortened by up to a tenth; it finishes its exchange first. 0: no limit.
    pub socket_active_ttl_ms: u64,
    /// Exchanges that a connection serves; 0: no limit.
    pub max_requests_per_socket: u32,
    /// Waiters per key.
    pub max_pending: u32,
    /// Whether its idle connections may go to other agents that share, and theirs to it.
    pub shared: bool,
}

pub(super) struct Agent {
    pub limits: Limits,
    /// Removed: holds what is still on lease, takes nothing new.
    pub removed: bool,
    /// Slots in use.
    pub total: u32,
    /// Its origins, in no order.
    pub origins: Vec<u32>,
    /// Idle connections of all keys, the longest idle first.
    pub idle: List,
    /// Origins with waiters that only the total limit holds back, the next to be served first.
    pub turns: List,
    /// Waiters of the origins in `turns`.
    pub ready: u32,
    /// Origins in `turns` that have no slot at all.
    pub starved: u32,
    /// Connections kept by their origin since the last turn, while others waited.
    pub kept: u32,
    /// Origins with an idle socket of the runtime whose eviction has not been asked for.
    pub evictable: List,
    /// Evictions asked for, over all origins.
    pub asked: u32,
}

impl Pool {
    /// A new agent.
    ///
    /// # Panics
    /// With sixteen million agents at a time: memory ends before.
    pub fn add_agent(&mut self, limits: Limits) -> AgentId {
        assert!(!self.agents.is_full(), "too many agents");
        let agent = Agent {
            limits,
            removed: false,
            total: 0,
            origins: Vec::new(),
            idle: List::default(),
            turns: List::default(),
            ready: 0,
            starved: 0,
            kept: 0,
            evictable: List::default(),
            asked: 0,
        };
        self.agents.insert(agent).1
    }

    /// Changes an agent's limits. Waiters that fit now are served, in turn; idle connections beyond what is allowed
    /// are closed, those idle too long by a shorter timeout as well.
    pub fn set_limits(
        &mut self,
        agent: AgentId,
        limits: Limits,
        now: u64,
        effects: &mut Vec<Effect>,
    ) {
        self.now = now;
        let Some(a) = self.agents.find(agent) else {
            return;
        };
        self.agents[a].limits = limits;
        let origins = self.agents[a].origins.clone();
        for &o in &origins {
            self.trim(o, effects);
        }
        while self.agents[a].total > limits.max_total_sockets {
            let Some(c) = self.agents[a].idle.first() else {
                break;
            };
            self.close_idle_conn(c, CloseReason::Limits, effects);
        }
        self.rearm(a);
        for &o in &origins {
            self.settle(o, effects);
        }
        self.serve(a, effects);
        self.expire(now, effects);
    }

    /// Closes an origin's idle connections beyond its limits, the longest idle first.
    fn trim(&mut self, o: u32, effects: &mut Vec<Effect>) {
        let limits = self.agents[self.origins[o].agent].limits;
        while let Some(c) = self.origins[o].idle.first() {
            let origin = &self.origins[o];
            let free = origin.idle.len + origin.fallback_idle;
            if origin.live() <= limits.max_sockets && free <= limits.max_free_sockets {
                break;
            }
            self.close_idle_conn(c, CloseReason::Limits, effects);
        }
    }

    /// Ends an agent: its idle connections are closed, or left to those that share, its waiters are forgotten and returned, those of a key first
    /// come first. What is on lease ends at [`check_in`](Self::check_in), [`closed`](Self::closed) or
    /// [`release_fallback`](Self::release_fallback).
    pub fn remove_agent(&mut self, agent: AgentId, effects: &mut Vec<Effect>) -> Vec<WaiterId> {
        let mut forgotten = Vec::new();
        let Some(a) = self.agents.find(agent) else {
            return forgotten;
        };
        self.agents[a].removed = true;
        // Its origins may lend to one another, but to nobody else.
        while !self.agents[a].limits.shared {
            let Some(c) = self.agents[a].idle.first() else {
                break;
            };
            self.close_idle_conn(c, CloseReason::AgentDestroyed, effects);
        }
        for o in self.agents[a].origins.clone() {
            while let Some(w) = self.origins[o].queue.first() {
                forgotten.push(self.dequeue(w));
            }
            self.origins[o].retained = false;
            self.refresh(o);
            self.stop_sharing(o, effects);
            self.leave_idle(o, effects);
            self.forget_if_empty(o, effects);
        }
        self.forget_agent_if_done(a);
        forgotten
    }

    /// Gives a removed agent's place free once nothing of it is on lease.
    pub(super) fn forget_agent_if_done(&mut self, a: u32) {
        let agent = &mut self.agents[a];
        if agent.removed && agent.total == 0 {
            agent.origins = Vec::new();
            self.agents.remove(a);
        }
    }

    /// Whether an origin may have one slot more, as far as its own limit goes.
    pub(super) fn has_key_room(&self, o: u32) -> bool {
        let origin = &self.origins[o];
        origin.live() < self.agents[origin.agent].limits.max_sockets
    }

    /// Whether an agent may have one slot more, as far as its total limit goes.
    pub(super) fn has_total_room(&self, a: u32) -> bool {
        let agent = &self.agents[a];
        agent.total < agent.limits.max_total_sockets
    }
}
