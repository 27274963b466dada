//! Sockets of the runtime itself, for requests that the engine can't carry. The pool does not know them one by one: it
//! counts them under the agent's limits, those in use and those idle. Only their owner can close one, so where one
//! stands in a waiter's way the pool asks for its eviction and serves the waiter on its release.
//!
//! The owner's side: a granted slot is in use; [`Pool::fallback_idle`] tells when its socket goes idle or is used again;
//! a socket that closes is [released](Pool::release_fallback). An idle one that closes is first made busy, so that both
//! sides count alike; if that is forgotten, nothing hangs, but an idle socket may be counted that is not.

use super::types::{AgentId, Effect, KeyId};
use super::Pool;

impl Pool {
    /// Takes a slot for a socket of the runtime.
    pub(super) fn grant(&mut self, o: u32) {
        let origin = &mut self.origins[o];
        origin.fallback += 1;
        self.agents[origin.agent].total += 1;
    }

    /// A fallback socket in use is gone; its slot goes to a waiter at once.
    pub fn release_fallback(
        &mut self,
        agent: AgentId,
        key: KeyId,
        now: u64,
        effects: &mut Vec<Effect>,
    ) {
        self.now = now;
        let Some((a, o)) = self.fallback_origin(agent, key) else {
            return;
        };
        let origin = &mut self.origins[o];
        origin.fallback -= 1;
        origin.fallback_idle = origin.fallback_idle.min(origin.fallback);
        self.agents[a].total -= 1;
        self.unask(o);
        self.settle(o, effects);
        self.serve(a, effects);
        self.forget_agent_if_done(a);
    }

    /// A fallback socket went idle (`idle`), or an idle one is used again. False: it must not stay idle, because a
    /// waiter needs its slot or its agent is gone: the owner destroys it and calls
    /// [`release_fallback`](Self::release_fallback).
    pub fn fallback_idle(
        &mut self,
        agent: AgentId,
        key: KeyId,
        idle: bool,
        now: u64,
        effects: &mut Vec<Effect>,
    ) -> bool {
        self.now = now;
        let Some((a, o)) = self.fallback_origin(agent, key) else {
            return !idle;
        };
        let origin = &mut self.origins[o];
        if !idle {
            origin.fallback_idle = origin.fallback_idle.saturating_sub(1);
            self.unask(o);
            self.settle(o, effects);
            self.serve(a, effects);
            return true;
        }
        let in_the_way = !origin.queue.is_empty() || !self.agents[a].turns.is_empty();
        if in_the_way || self.agents[a].removed || origin.fallback_idle == origin.fallback {
            return false;
        }
        origin.fallback_idle += 1;
        self.refresh(o);
        true
    }

    fn fallback_origin(&self, agent: AgentId, key: KeyId) -> Option<(u32, u32)> {
        let a = self.agents.find(agent)?;
        let o = self.find_origin(a, key)?;
        (self.origins[o].fallback > 0).then_some((a, o))
    }

    /// Takes an eviction asked for as seen.
    fn unask(&mut self, o: u32) {
        let origin = &mut self.origins[o];
        let left = origin.asked.saturating_sub(1).min(origin.fallback_idle);
        self.agents[origin.agent].asked -= origin.asked - left;
        origin.asked = left;
    }

    fn ask(&mut self, o: u32, effects: &mut Vec<Effect>) {
        let origin = &mut self.origins[o];
        origin.asked += 1;
        self.agents[origin.agent].asked += 1;
        effects.push(Effect::EvictFallback {
            agent: self.agents.id(origin.agent),
            key: origin.key,
        });
        self.refresh(o);
    }

    /// For waiters that their own origin's limit holds back: only its own sockets are in their way.
    pub(super) fn ask_own(&mut self, o: u32, effects: &mut Vec<Effect>) {
        while self.origins[o].asked < self.origins[o].queue.len - self.origins[o].ready
            && self.origins[o].in_evictable
        {
            self.ask(o, effects);
        }
    }

    /// For waiters that the agent's total limit holds back: any of its sockets will do.
    pub(super) fn ask_any(&mut self, a: u32, effects: &mut Vec<Effect>) {
        while self.agents[a].asked < self.agents[a].ready {
            let Some(o) = self.agents[a].evictable.first() else {
                return;
            };
            self.ask(o, effects);
        }
    }
}
