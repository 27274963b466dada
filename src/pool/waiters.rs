//! Those who wait for a slot: per origin first come, first served; across the origins of an agent in turns.
//!
//! An origin is in its agent's `turns` while it has waiters and room under `max_sockets`, so that only
//! `max_total_sockets` holds them back. A slot that becomes free goes to the first of them, which then goes last.
//!
//! A connection that is checked in while its own origin has waiters could always be kept by that origin, which would
//! starve the others, or always be closed to let the next one dial, which would throw away every reuse. So the turn
//! passes if an origin in `turns` has no slot at all, if it would even out the number of slots, and after
//! [`KEPT_AT_MOST`] connections that were kept; else the connection goes to the next waiter of its own origin.
//! A waiter's origin is therefore served after at most `KEPT_AT_MOST` others for each origin before it.

use std::time::Duration;

use super::slab::Link;
use super::types::{AgentId, Effect, KeyId, Kind, WaiterId};
use super::{Origin, Pool};

/// Connections kept by origins that have their share of slots, between two turns.
pub(super) const KEPT_AT_MOST: u32 = 16;

pub(super) struct Waiter {
    id: WaiterId,
    pub kind: Kind,
    origin: u32,
    since: u64,
    in_queue: Link,
}

impl Waiter {
    fn link(&mut self) -> &mut Link {
        &mut self.in_queue
    }
}

impl Origin {
    fn turn_link(&mut self) -> &mut Link {
        &mut self.turn
    }

    fn evictable_link(&mut self) -> &mut Link {
        &mut self.evictable
    }
}

impl Pool {
    /// Forgets a waiter. True if it was queued: no effect will name it any more. False if it was served or never
    /// queued.
    pub fn cancel(&mut self, waiter: WaiterId, effects: &mut Vec<Effect>) -> bool {
        let Some(&w) = self.queued.get(&waiter) else {
            return false;
        };
        let o = self.waiters[w].origin;
        self.dequeue(w);
        self.refresh(o);
        self.forget_if_empty(o, effects);
        true
    }

    pub(super) fn enqueue(&mut self, o: u32, id: WaiterId, kind: Kind) {
        debug_assert!(!self.queued.contains_key(&id), "a waiter's id is unique");
        let w = self.waiters.insert(Waiter {
            id,
            kind,
            origin: o,
            since: self.now,
            in_queue: Link::default(),
        });
        self.origins[o]
            .queue
            .push_back(&mut self.waiters, w, Waiter::link);
        self.queued.insert(id, w);
    }

    /// How long those who wait for a key have waited so far, in ms, in the order of their turns; at most so many.
    pub fn waiting(&self, agent: AgentId, key: KeyId, now: u64, most: usize) -> Vec<u64> {
        let found = self.agents.find(agent);
        let Some(o) = found.and_then(|a| self.find_origin(a, key)) else {
            return Vec::new();
        };
        let queue = std::iter::successors(self.origins[o].queue.first(), |&w| {
            self.waiters[w].in_queue.following()
        });
        let waited = queue.map(|w| now.saturating_sub(self.waiters[w].since));
        waited.take(most).collect()
    }

    /// Takes a waiter out of the queue because it has its turn.
    pub(super) fn serve_waiter(&mut self, w: u32) -> WaiterId {
        let Waiter { origin, since, .. } = self.waiters[w];
        let waited = Duration::from_millis(self.now.saturating_sub(since));
        self.origins[origin].metrics.wait.record(waited);
        self.dequeue(w)
    }

    pub(super) fn dequeue(&mut self, w: u32) -> WaiterId {
        let Waiter { id, origin: o, .. } = self.waiters[w];
        self.origins[o]
            .queue
            .remove(&mut self.waiters, w, Waiter::link);
        self.waiters.remove(w);
        self.queued.remove(&id);
        id
    }

    /// Brings an origin's places among the agent's turns and evictable ones, and the agent's sums, up to date.
    pub(super) fn refresh(&mut self, o: u32) {
        let has_room = self.has_key_room(o);
        let origin = &mut self.origins[o];
        let agent = &mut self.agents[origin.agent];

        let ready = if has_room { origin.queue.len } else { 0 };
        let starved = ready > 0 && origin.live() == 0;
        let was_ready = std::mem::replace(&mut origin.ready, ready);
        let was_starved = std::mem::replace(&mut origin.starved, starved);
        agent.ready = agent.ready - was_ready + ready;
        agent.starved = agent.starved - u32::from(was_starved) + u32::from(starved);

        let evictable = origin.fallback_idle > origin.asked;
        let was_evictable = std::mem::replace(&mut origin.in_evictable, evictable);

        if (was_ready > 0) != (ready > 0) {
            match ready {
                0 => agent.turns.remove(&mut self.origins, o, Origin::turn_link),
                _ => agent
                    .turns
                    .push_back(&mut self.origins, o, Origin::turn_link),
            }
        }
        match (was_evictable, evictable) {
            (false, true) => {
                agent
                    .evictable
                    .push_back(&mut self.origins, o, Origin::evictable_link)
            }
            (true, false) => agent
                .evictable
                .remove(&mut self.origins, o, Origin::evictable_link),
            _ => {}
        }
    }

    /// Serves the agent's waiters, in turn, until none is left or no slot. What is idle and in their way is closed.
    pub(super) fn serve(&mut self, a: u32, effects: &mut Vec<Effect>) {
        while let Some(o) = self.agents[a].turns.first() {
            if !self.has_total_room_for_first(o, effects) {
                if self.evict_oldest(a, o, effects) {
                    continue;
                }
                self.ask_any(a, effects);
                return;
            }
            if !self.serve_first(o, effects) {
                return;
            }
        }
    }

    /// Whether the agent's total limit lets an origin's first waiter have its turn.
    fn has_total_room_for_first(&mut self, o: u32, effects: &mut Vec<Effect>) -> bool {
        let first = self.origins[o].queue.first();
        first.is_none_or(|w| self.has_total_room_for(o, self.waiters[w].kind, effects))
    }

    /// Gives the origin's first waiter a new slot, and the origin's turn to the next one. False, and nothing done, if
    /// the process can number no more connections.
    pub(super) fn serve_first(&mut self, o: u32, effects: &mut Vec<Effect>) -> bool {
        let Some(w) = self.origins[o].queue.first() else {
            return false;
        };
        let kind = self.waiters[w].kind;
        if kind != Kind::Fallback && self.conns.is_full() {
            return false;
        }
        let waiter = self.serve_waiter(w);
        match kind {
            Kind::Retryable | Kind::NotRetryable => {
                let conn = self.open(o, kind, effects);
                effects.push(Effect::Dial { waiter, conn });
            }
            Kind::Fallback => {
                self.grant(o);
                effects.push(Effect::Grant { waiter });
            }
        }
        self.pass_turn(o);
        self.agents[self.origins[o].agent].kept = 0;
        self.settle(o, effects);
        true
    }

    /// Whether the slot of a connection that its origin's own waiters want goes to another origin's.
    pub(super) fn turn_passes(&self, o: u32) -> bool {
        let origin = &self.origins[o];
        let agent = &self.agents[origin.agent];
        let Some(next) = agent.turns.first() else {
            return false;
        };
        next != o
            && (agent.starved > 0
                || agent.kept >= KEPT_AT_MOST
                || self.origins[next].live() + 1 < origin.live())
    }

    /// Notes that an origin's waiter was served on a connection of its own: it had its turn.
    pub(super) fn keep_turn(&mut self, o: u32) {
        let agent = &mut self.agents[self.origins[o].agent];
        agent.kept = match agent.turns.first() {
            Some(next) if next != o => agent.kept + 1,
            _ => 0,
        };
        self.pass_turn(o);
        self.refresh(o);
    }

    fn pass_turn(&mut self, o: u32) {
        if self.origins[o].ready == 0 {
            return;
        }
        let turns = &mut self.agents[self.origins[o].agent].turns;
        turns.remove(&mut self.origins, o, Origin::turn_link);
        turns.push_back(&mut self.origins, o, Origin::turn_link);
    }
}
