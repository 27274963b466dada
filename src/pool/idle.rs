//! Connections that nobody uses: which one is leased next, which one is closed first, and until when they last.
//!
//! Invariants: an idle connection is in its origin's list and its agent's list, both ordered by the time it was checked in.
//! Each idle connection with a deadline has an alarm at or before that deadline.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::limits::Scheduling;
use super::slab::Link;
use super::types::{AgentId, CloseReason, ConnId, Effect, Kind, LastAnswer, Miss, State};
use super::Pool;

pub(super) const NEVER: u64 = u64::MAX;

pub(super) struct Conn {
    pub origin: u32,
    pub state: State,
    /// Exchanges finished.
    pub uses: u32,
    /// When it was dialed.
    pub born: u64,
    /// Why it was opened.
    pub miss: Miss,
    pub idle_since: u64,
    /// Since when its peer has had nothing to do with it: the last response may have been complete long before its reader
    /// was done.
    pub quiet_since: u64,
    /// Its last response, as the I/O thread notes it.
    pub answered: Arc<LastAnswer>,
    /// How long its peer had had nothing to do before its present lease, in ms; `None`: it was new, or came straight from
    /// another.
    pub idled: Option<u64>,
    /// The longest that it has been idle before a request that was answered, in ms.
    pub survived: Option<u64>,
    /// When the server's hint ends.
    pub hint_end: u64,
    /// The alarm in [`Deadlines`] that counts for this connection.
    alarm: u64,
    in_origin: Link,
    in_agent: Link,
    in_shared: Link,
    is_shared: bool,
    /// The connection of another agent that it goes on with.
    pub adopts: Option<ConnId>,
    /// Its peer knows its user by it: never to be shared.
    pub bound: bool,
}

impl Conn {
    pub fn dialing(origin: u32, now: u64, miss: Miss) -> Self {
        Conn {
            origin,
            state: State::Dialing,
            uses: 0,
            born: now,
            miss,
            idle_since: 0,
            quiet_since: 0,
            answered: Arc::default(),
            idled: None,
            survived: None,
            hint_end: NEVER,
            alarm: NEVER,
            in_origin: Link::default(),
            in_agent: Link::default(),
            in_shared: Link::default(),
            is_shared: false,
            adopts: None,
            bound: false,
        }
    }

    /// What another origin has of it, that takes it while it is idle.
    pub fn adopted(&self, origin: u32, former: ConnId, quiet_age: u64) -> Self {
        Conn {
            uses: self.uses,
            idle_since: self.idle_since,
            quiet_since: self.quiet_since,
            answered: Arc::clone(&self.answered),
            idled: Some(quiet_age),
            survived: self.survived,
            hint_end: self.hint_end,
            adopts: Some(former),
            ..Self::dialing(origin, self.born, Miss::NoneIdle)
        }
    }

    /// The request after it was idle has been answered.
    pub fn survive(&mut self) {
        self.survived = self.survived.max(self.idled.take());
    }

    fn origin_link(&mut self) -> &mut Link {
        &mut self.in_origin
    }

    fn shared_link(&mut self) -> &mut Link {
        &mut self.in_shared
    }

    fn agent_link(&mut self) -> &mut Link {
        &mut self.in_agent
    }
}

/// Alarms, the earliest on top. A connection that is leased and checked in again keeps its old, too early alarm: when
/// that rings it is set anew. So a busy connection costs nothing here, and the top may be early but never late.
#[derive(Default)]
pub(super) struct Deadlines {
    alarms: BinaryHeap<Reverse<(u64, ConnId)>>,
}

#[cfg(test)]
impl Deadlines {
    pub fn len(&self) -> usize {
        self.alarms.len()
    }
}

/// Shortens a life by up to a tenth, so that connections opened together do not end together. The same connection always
/// gets the same answer.
pub(super) fn jittered(ttl: u64, conn: ConnId) -> u64 {
    let hash = u64::from(conn).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    ttl - (u128::from(ttl) * u128::from(hash) / 10_240) as u64
}

impl Pool {
    /// Makes a leased connection idle.
    pub(super) fn park(&mut self, c: u32) {
        let conn = &mut self.conns[c];
        conn.state = State::Idle;
        let o = conn.origin;
        let origin = &mut self.origins[o];
        origin.leased -= 1;
        origin.idle.push_back(&mut self.conns, c, Conn::origin_link);
        self.agents[origin.agent]
            .idle
            .push_back(&mut self.conns, c, Conn::agent_link);
        if self.lends(o) && !self.conns[c].bound {
            let shared = &mut self.peers[self.origins[o].peer].shared;
            shared.push_back(&mut self.conns, c, Conn::shared_link);
            self.conns[c].is_shared = true;
        }
        self.arm(c);
    }

    fn unpark(&mut self, c: u32) {
        if std::mem::take(&mut self.conns[c].is_shared) {
            let peer = self.origins[self.conns[c].origin].peer;
            let shared = &mut self.peers[peer].shared;
            shared.remove(&mut self.conns, c, Conn::shared_link);
        }
        let origin = &mut self.origins[self.conns[c].origin];
        origin.idle.remove(&mut self.conns, c, Conn::origin_link);
        self.agents[origin.agent]
            .idle
            .remove(&mut self.conns, c, Conn::agent_link);
    }

    /// Leases an idle connection of the origin, as `Scheduling` says, or the youngest if that one has been idle for too
    /// long; those past their deadline are closed on the way. Returns it with the milliseconds it was idle.
    pub(super) fn take_idle(
        &mut self,
        o: u32,
        kind: Kind,
        effects: &mut Vec<Effect>,
    ) -> Option<(u32, u64)> {
        let scheduling = self.agents[self.origins[o].agent].limits.scheduling;
        let age_limit = self.age_limit(self.origins[o].peer, self.origins[o].idle.first(), kind);
        loop {
            let idle = &self.origins[o].idle;
            let mut c = match scheduling {
                Scheduling::Lifo => idle.last(),
                Scheduling::Fifo => idle.first(),
            }?;
            if self.deadline(c) > self.now && self.quiet_age(c) >= age_limit {
                c = self.origins[o].idle.last()?;
            }
            if self.deadline(c) <= self.now {
                self.close_idle_conn(c, self.overdue(c, self.now), effects);
                continue;
            }
            let age = self.quiet_age(c);
            if age >= age_limit {
                return None;
            }
            self.unpark(c);
            self.origins[o].leased += 1;
            let conn = &mut self.conns[c];
            conn.state = State::Leased;
            conn.idled = Some(age);
            return Some((c, self.now.saturating_sub(conn.idle_since)));
        }
    }

    /// From which idle age on connections to a peer won't do for a request of this kind. `oldest`: one that is open,
    /// though it has been idle for long.
    pub(super) fn age_limit(&mut self, peer: u32, oldest: Option<u32>, kind: Kind) -> u64 {
        if self.peers[peer].idle_limit.is_unknown() {
            return NEVER;
        }
        if let Some(c) = oldest.filter(|&c| self.deadline(c) > self.now) {
            let age = self.quiet_age(c);
            self.peers[peer].idle_limit.outlived(age);
        }
        match kind {
            Kind::NotRetryable => self.peers[peer].idle_limit.get(self.now).unwrap_or(NEVER),
            Kind::Retryable | Kind::Fallback => NEVER,
        }
    }

    /// How long its peer has had nothing to do with a connection.
    pub(super) fn quiet_age(&self, c: u32) -> u64 {
        self.now.saturating_sub(self.conns[c].quiet_since)
    }

    /// Where the I/O thread notes when a response on a connection was complete.
    pub fn answered(&self, conn: ConnId) -> Option<Arc<LastAnswer>> {
        let c = self.conns.find(conn)?;
        Some(Arc::clone(&self.conns[c].answered))
    }

    /// The peer ended a connection: while it was idle, under the first request since and before it answered that, or
    /// behind an answer whose reader is not done.
    ///
    /// It teaches how long the peer lets connections be idle, unless somebody said that this one would end, or it has been
    /// idle for as long before: then it was closed for another reason, such as the number of its requests.
    pub fn ended_by_peer(&mut self, conn: ConnId, now: u64) {
        self.now = now;
        let Some(c) = self.conns.find(conn) else {
            return;
        };
        let age = match self.conns[c].state {
            State::Idle => Some(self.quiet_age(c)),
            State::Leased | State::Dialing => {
                let conn = &mut self.conns[c];
                match conn.answered.at() {
                    // Of the use before.
                    at if at <= conn.quiet_since => conn.idled.take(),
                    at => {
                        // Told twice, it counts once.
                        conn.quiet_since = at;
                        conn.survive();
                        Some(now.saturating_sub(at))
                    }
                }
            }
        };
        let conn = &self.conns[c];
        let is_announced = conn.answered.says_close();
        let tells = |age: &u64| !is_announced && conn.survived.is_none_or(|most| *age > most);
        if let Some(age) = age.filter(tells) {
            let peer = self.origins[self.conns[c].origin].peer;
            self.peers[peer].idle_limit.observe(age, now);
        }
    }

    /// Closes an idle connection. The caller settles its origin.
    pub(super) fn close_idle_conn(
        &mut self,
        c: u32,
        reason: CloseReason,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Close {
            conn: self.conns.id(c),
            reason,
        });
        let o = self.conns[c].origin;
        self.origins[o].last_closed = Some(reason);
        self.forget_conn(c);
    }

    /// Closes a connection if it is idle.
    pub fn close_if_idle(
        &mut self,
        conn: ConnId,
        reason: CloseReason,
        now: u64,
        effects: &mut Vec<Effect>,
    ) {
        self.now = now;
        let idle = |&c: &u32| self.conns[c].state == State::Idle;
        if let Some(c) = self.conns.find(conn).filter(idle) {
            let o = self.conns[c].origin;
            self.close_idle_conn(c, reason, effects);
            self.settle_donor(o, effects);
        }
    }

    /// Forgets a connection, whatever its state, and frees its slot. The caller settles its origin.
    pub(super) fn forget_conn(&mut self, c: u32) {
        let Conn {
            origin: o, state, ..
        } = self.conns[c];
        match state {
            State::Dialing => self.origins[o].dialing -= 1,
            State::Leased => self.origins[o].leased -= 1,
            State::Idle => self.unpark(c),
        }
        self.agents[self.origins[o].agent].total -= 1;
        self.conns.remove(c);
    }

    /// Closes an agent's idle connections, for its `destroy()`. Idle sockets of the runtime are their owner's affair.
    pub fn close_idle(&mut self, agent: AgentId, effects: &mut Vec<Effect>) {
        if let Some(a) = self.agents.find(agent) {
            self.close_all_idle(a, effects);
        }
    }

    /// Closes the idle connections of an origin whose agent ends, but those that others share. The caller forgets the
    /// origin if it is empty.
    pub(super) fn leave_idle(&mut self, o: u32, effects: &mut Vec<Effect>) {
        let mut next = self.origins[o].idle.first();
        while let Some(c) = next {
            next = self.conns[c].in_origin.following();
            if self.conns[c].is_shared {
                let conn = self.conns.id(c);
                effects.push(Effect::Leave { conn });
            } else {
                self.close_idle_conn(c, CloseReason::AgentDestroyed, effects);
            }
        }
    }

    fn close_all_idle(&mut self, a: u32, effects: &mut Vec<Effect>) {
        while let Some(c) = self.agents[a].idle.first() {
            let o = self.conns[c].origin;
            self.close_idle_conn(c, CloseReason::AgentDestroyed, effects);
            self.settle(o, effects);
        }
    }

    /// Closes the agent's longest idle connection for the sake of origin `winner`, which the caller settles; false if
    /// there is none.
    pub(super) fn evict_oldest(&mut self, a: u32, winner: u32, effects: &mut Vec<Effect>) -> bool {
        let Some(c) = self.agents[a].idle.first() else {
            return false;
        };
        let o = self.conns[c].origin;
        self.close_idle_conn(c, CloseReason::Evicted, effects);
        if o != winner {
            self.settle(o, effects);
        }
        true
    }

    /// The millisecond from which an idle connection may not be leased: the agent's timeout, the server's hint or the
    /// end of its life, whichever comes first.
    pub(super) fn deadline(&self, c: u32) -> u64 {
        let conn = &self.conns[c];
        let limits = &self.agents[self.origins[conn.origin].agent].limits;
        let end = conn.hint_end.min(self.end_of_life(c));
        match limits.free_socket_timeout_ms {
            0 => end,
            timeout => end.min(conn.idle_since.saturating_add(timeout)),
        }
    }

    /// When a connection has lived as long as its agent allows.
    pub(super) fn end_of_life(&self, c: u32) -> u64 {
        let conn = &self.conns[c];
        match self.agents[self.origins[conn.origin].agent]
            .limits
            .socket_active_ttl_ms
        {
            0 => NEVER,
            ttl => conn.born.saturating_add(jittered(ttl, self.conns.id(c))),
        }
    }

    /// Why an idle connection that reached its deadline at `now` is closed.
    pub(super) fn overdue(&self, c: u32, now: u64) -> CloseReason {
        if self.end_of_life(c) <= now {
            CloseReason::ActiveTtl
        } else {
            CloseReason::IdleTimeout
        }
    }

    fn arm(&mut self, c: u32) {
        let deadline = self.deadline(c);
        if deadline >= self.conns[c].alarm {
            return;
        }
        self.conns[c].alarm = deadline;
        let alarms = &mut self.deadlines.alarms;
        alarms.push(Reverse((deadline, self.conns.id(c))));
        // Alarms of closed connections stay until they ring: sweep them when they are the majority.
        if alarms.len() > 2 * self.conns.len() + 64 {
            let conns = &self.conns;
            alarms
                .retain(|&Reverse((at, id))| conns.find(id).is_some_and(|c| conns[c].alarm == at));
        }
    }

    /// After the agent's timeout was changed.
    pub(super) fn rearm(&mut self, a: u32) {
        let mut next = self.agents[a].idle.first();
        while let Some(c) = next {
            self.arm(c);
            next = self.conns[c].in_agent.following();
        }
    }

    /// When [`expire`](Self::expire) should be called next, in ms of the callers' clock; `None`: nothing can expire.
    /// May be early (nothing is due then and a later time is given), never late. Cheap: one look at a heap's top.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.alarms.peek().map(|&Reverse((at, _))| at)
    }

    /// Closes every idle connection whose deadline is `now` or earlier. Returns when to call again, exactly: the
    /// earliest deadline of an idle connection; `None` if there is none.
    pub fn expire(&mut self, now: u64, effects: &mut Vec<Effect>) -> Option<u64> {
        self.now = now;
        while let Some(&Reverse((at, id))) = self.deadlines.alarms.peek() {
            let current = self.conns.find(id).filter(|&c| self.conns[c].alarm == at);
            let idle = current.filter(|&c| self.conns[c].state == State::Idle);
            let deadline = idle.map(|c| self.deadline(c));
            if deadline == Some(at) && at > now {
                return Some(at);
            }
            self.deadlines.alarms.pop();
            if let Some(c) = current {
                self.conns[c].alarm = NEVER;
            }
            match idle {
                Some(c) if deadline <= Some(now) => {
                    let o = self.conns[c].origin;
                    self.close_idle_conn(c, self.overdue(c, now), effects);
                    self.settle_donor(o, effects);
                }
                Some(c) => self.arm(c),
                None => {}
            }
        }
        None
    }
}
