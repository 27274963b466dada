//! The life of a lease: from an idle connection, a new one or a place in the queue to the check-in or the end.

use std::sync::atomic::Ordering::Relaxed;

use super::idle::{Conn, NEVER};
use super::types::{
    AgentId, CheckIn, CloseReason, ConnId, Effect, KeyId, Kind, Lease, Miss, State, Stay, WaiterId,
};
use super::Pool;

impl Pool {
    /// Asks for a slot of `agent` for `key`, at `now` ms.
    ///
    /// An engine lease gets a usable idle connection if there is one, else a new connection, a fallback one a slot; if
    /// an idle connection of the agent is what stands in the way it is closed ([`Effect::Close`]). If no slot is to be
    /// had, the waiter is queued: exactly one later effect names it, unless it is cancelled or its agent removed.
    pub fn lease(
        &mut self,
        agent: AgentId,
        key: KeyId,
        waiter: WaiterId,
        kind: Kind,
        now: u64,
        effects: &mut Vec<Effect>,
    ) -> Lease {
        self.now = now;
        let Some(a) = self.agents.find(agent).filter(|&a| !self.agents[a].removed) else {
            return Lease::QueueFull;
        };
        let o = self.origin(a, key);
        if kind != Kind::Fallback {
            if let Some((c, idle_ms)) = self.take_idle(o, kind, effects) {
                self.origins[o].metrics.reused.fetch_add(1, Relaxed);
                return Lease::Idle {
                    conn: self.conns.id(c),
                    idle_ms,
                };
            }
        }
        let passed_over = kind == Kind::NotRetryable && !self.origins[o].idle.is_empty();
        if self.make_room(a, o, kind, effects) {
            match kind {
                Kind::Fallback => {
                    self.grant(o);
                    return Lease::Granted;
                }
                Kind::Retryable | Kind::NotRetryable if !self.conns.is_full() => {
                    let conn = self.open(o, kind, effects);
                    if passed_over {
                        self.note_passed_over(conn);
                    }
                    return Lease::Dial { conn };
                }
                Kind::Retryable | Kind::NotRetryable => {
                    self.settle(o, effects);
                    return Lease::QueueFull;
                }
            }
        }
        if self.origins[o].queue.len >= self.agents[a].limits.max_pending {
            self.settle(o, effects);
            return Lease::QueueFull;
        }
        self.enqueue(o, waiter, kind);
        self.settle(o, effects);
        self.serve(a, effects);
        Lease::Queued
    }

    /// Whether the origin may have one slot more, after closing what is idle and in the way: of the origin itself (a
    /// fallback lease can't use the engine's connections, one that is for once not those idle for long), else the agent's
    /// longest idle, unless the slot is that of a connection that the origin goes on with.
    fn make_room(&mut self, a: u32, o: u32, kind: Kind, effects: &mut Vec<Effect>) -> bool {
        if !self.has_key_room(o) {
            let Some(c) = self.origins[o].idle.first() else {
                return false;
            };
            self.close_idle_conn(c, CloseReason::Evicted, effects);
        }
        self.has_key_room(o)
            && (self.has_total_room_for(o, kind, effects)
                || self.evict_oldest(a, o, effects) && self.has_total_room(a))
    }

    /// Takes a slot for a new connection.
    pub(super) fn open(&mut self, o: u32, kind: Kind, effects: &mut Vec<Effect>) -> ConnId {
        let borrowed = self.borrow_idle(o, kind, effects);
        let origin = &mut self.origins[o];
        let miss = match origin.last_closed {
            _ if origin.dialing + origin.leased > 0 => Miss::AllBusy,
            Some(reason) => Miss::Closed(reason),
            None => Miss::NoneIdle,
        };
        origin.dialing += 1;
        self.agents[origin.agent].total += 1;
        if borrowed.is_some() {
            origin.metrics.reused.fetch_add(1, Relaxed);
        }
        let conn = borrowed.unwrap_or_else(|| Conn::dialing(o, self.now, miss));
        self.conns.insert(conn).1
    }

    /// A connection was opened although others are idle.
    fn note_passed_over(&mut self, conn: ConnId) {
        if let Some(c) = self
            .conns
            .find(conn)
            .filter(|&c| self.conns[c].adopts.is_none())
        {
            self.conns[c].miss = Miss::IdleTooLong;
            let origin = &self.origins[self.conns[c].origin];
            origin.metrics.passed_over.fetch_add(1, Relaxed);
        }
    }

    /// The connection is open: from now on it counts as leased. Nothing depends on it but what is counted.
    pub fn connected(&mut self, conn: ConnId) {
        let Some(c) = self.conns.find(conn) else {
            return;
        };
        let conn = &mut self.conns[c];
        if conn.state == State::Dialing {
            conn.state = State::Leased;
            let origin = &mut self.origins[conn.origin];
            origin.dialing -= 1;
            origin.leased += 1;
        }
    }

    /// A leased connection turned out dead and is dialed anew for the same exchange, under the same id: it counts as
    /// dialing until [`connected`](Self::connected), and its use count starts again.
    pub fn redial(&mut self, conn: ConnId, now: u64) {
        self.now = now;
        let Some(c) = self.conns.find(conn) else {
            return;
        };
        let conn = &mut self.conns[c];
        if conn.state == State::Leased {
            conn.state = State::Dialing;
            conn.uses = 0;
            (conn.idled, conn.survived) = (None, None);
            conn.answered.note(0, false);
            conn.hint_end = NEVER;
            conn.born = self.now;
            let origin = &mut self.origins[conn.origin];
            origin.dialing += 1;
            origin.leased -= 1;
        }
    }

    /// Ends a lease whose connection is in order, at `now` ms.
    ///
    /// The connection goes to the next waiter ([`CheckIn::Handed`], with [`Effect::Assign`]), or idle, or is to be
    /// closed by the caller, in which case its slot may have gone to a waiter already (see `effects`).
    pub fn check_in(
        &mut self,
        conn: ConnId,
        stay: Stay,
        now: u64,
        effects: &mut Vec<Effect>,
    ) -> CheckIn {
        self.now = now;
        self.connected(conn);
        let leased = self
            .conns
            .find(conn)
            .filter(|&c| self.conns[c].state == State::Leased);
        let Some(c) = leased else {
            return CheckIn::Unknown;
        };
        self.end_use(c, stay);
        let o = self.conns[c].origin;
        if let Some(reason) = self.unfit(c, stay) {
            return self.close_checked_in(c, reason, effects);
        }
        if let Some(w) = self.origins[o].queue.first() {
            if self.turn_passes(o) {
                return self.pass_on(c, stay, effects);
            }
            if !self.suits(c, self.waiters[w].kind) {
                // First come, first served: the slot is this waiter's, though the connection is of no use to it.
                self.origins[o].last_closed = Some(CloseReason::Evicted);
                self.forget_conn(c);
                self.serve_first(o, effects);
                return CheckIn::Closed(CloseReason::Evicted);
            }
            let waiter = self.serve_waiter(w);
            self.origins[o].metrics.reused.fetch_add(1, Relaxed);
            self.keep_turn(o);
            effects.push(Effect::Assign { waiter, conn });
            return CheckIn::Handed(waiter);
        }
        match self.unwanted(o) {
            Some(CloseReason::Evicted) => self.pass_on(c, stay, effects),
            Some(reason) => self.close_checked_in(c, reason, effects),
            None => {
                self.park(c);
                CheckIn::Idle
            }
        }
    }

    /// Ends a lease whose slot is for the next origin in turn: behind the same proxy its waiter goes on with the connection,
    /// which it finds idle; else it dials when this one is closed.
    fn pass_on(&mut self, c: u32, stay: Stay, effects: &mut Vec<Effect>) -> CheckIn {
        let o = self.conns[c].origin;
        let a = self.origins[o].agent;
        let peer = self.origins[o].peer;
        let is_next = |&next: &u32| next != o && self.origins[next].peer == peer;
        let next = self.agents[a].turns.first().filter(is_next);
        // What was not used is told so by its lease's end alone.
        if next.is_none() || stay == Stay::Unused || self.conns[c].bound || !self.may_be_idle(o) {
            return self.close_checked_in(c, CloseReason::Evicted, effects);
        }
        self.park(c);
        self.serve(a, effects);
        CheckIn::Idle
    }

    /// Notes what the exchange that ends means for the next time that the connection is idle.
    fn end_use(&mut self, c: u32, stay: Stay) {
        let now = self.now;
        let quiet_age = self.quiet_age(c);
        let conn = &mut self.conns[c];
        if stay == Stay::Unused && conn.idled.is_some() {
            conn.idled = Some(quiet_age);
            return;
        }
        let answered = match conn.answered.at() {
            0 => now,
            at => at.min(now),
        };
        (conn.idle_since, conn.quiet_since) = (now, answered);
        match stay {
            Stay::Unused => return,
            Stay::Unlimited => conn.hint_end = NEVER,
            Stay::For(limit) => conn.hint_end = answered.saturating_add(limit),
        }
        conn.uses = conn.uses.saturating_add(1);
        conn.survive();
    }

    /// Whether a connection that is checked in may go on to a waiter of this kind.
    fn suits(&mut self, c: u32, kind: Kind) -> bool {
        let peer = self.origins[self.conns[c].origin].peer;
        match (kind, self.conns[c].idled) {
            (Kind::Fallback, _) => false,
            (_, None) => true,
            (_, Some(age)) => age < self.age_limit(peer, None, kind),
        }
    }

    /// Why a connection may not be used again, by anyone.
    fn unfit(&self, c: u32, stay: Stay) -> Option<CloseReason> {
        let conn = &self.conns[c];
        let origin = &self.origins[conn.origin];
        let agent = &self.agents[origin.agent];
        let limits = &agent.limits;
        if agent.removed {
            Some(CloseReason::AgentDestroyed)
        } else if stay == Stay::For(0) || conn.hint_end <= self.now {
            Some(CloseReason::NotReusable)
        } else if limits.max_requests_per_socket != 0 && conn.uses >= limits.max_requests_per_socket
        {
            Some(CloseReason::MaxRequests)
        } else if self.end_of_life(c) <= self.now {
            Some(CloseReason::ActiveTtl)
        } else if origin.live() > limits.max_sockets || agent.total > limits.max_total_sockets {
            Some(CloseReason::Limits)
        } else {
            None
        }
    }

    /// Why a connection that no waiter of its origin wants may not go idle.
    fn unwanted(&self, o: u32) -> Option<CloseReason> {
        let origin = &self.origins[o];
        let agent = &self.agents[origin.agent];
        if !agent.turns.is_empty() {
            Some(CloseReason::Evicted)
        } else if !agent.limits.keep_alive {
            Some(CloseReason::KeepAliveOff)
        } else if !self.may_be_idle(o) {
            Some(CloseReason::Limits)
        } else {
            None
        }
    }

    /// Whether the limits let one more connection of an origin be idle.
    fn may_be_idle(&self, o: u32) -> bool {
        let origin = &self.origins[o];
        let limits = &self.agents[origin.agent].limits;
        limits.keep_alive && origin.idle.len + origin.fallback_idle < limits.max_free_sockets
    }

    fn close_checked_in(
        &mut self,
        c: u32,
        reason: CloseReason,
        effects: &mut Vec<Effect>,
    ) -> CheckIn {
        let o = self.conns[c].origin;
        self.origins[o].last_closed = Some(reason);
        self.free_slot_of(c, effects);
        CheckIn::Closed(reason)
    }

    /// Notes why a connection that is about to be [`closed`](Self::closed) ended.
    pub fn note_end(&mut self, conn: ConnId, reason: CloseReason) {
        if let Some(c) = self.conns.find(conn) {
            let o = self.conns[c].origin;
            self.origins[o].last_closed = Some(reason);
        }
    }

    /// A connection is gone, whatever its state: closed by the peer, failed to open, given up by its user. Its slot
    /// goes to a waiter at once. Returns the state it was in; `None` if the pool had forgotten it already.
    pub fn closed(&mut self, conn: ConnId, now: u64, effects: &mut Vec<Effect>) -> Option<State> {
        self.now = now;
        let c = self.conns.find(conn)?;
        let state = self.conns[c].state;
        self.free_slot_of(c, effects);
        Some(state)
    }

    fn free_slot_of(&mut self, c: u32, effects: &mut Vec<Effect>) {
        let o = self.conns[c].origin;
        let a = self.origins[o].agent;
        self.forget_conn(c);
        self.settle(o, effects);
        self.serve(a, effects);
        self.forget_agent_if_done(a);
    }
}
