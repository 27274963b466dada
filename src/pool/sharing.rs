//! What the origins of a key have in common: what was learned of the peer, and the idle connections of agents that share. Origins
//! behind a proxy that takes requests for all of them have a key in common for this, and share whatever their agent does.
//!
//! An agent that ends leaves its shared idle connections where they are, as long as another one that shares has that
//! origin: who dials next takes them. With the last one that shares they are closed.

use super::idle::Conn;
use super::idle_limit::IdleLimit;
use super::slab::List;
use super::types::{CloseReason, ConnId, Effect, KeyId, Kind};
use super::Pool;

/// What all agents' uses of a key have in common. It exists while there is any.
#[derive(Default)]
pub(super) struct Peer {
    key: KeyId,
    origins: u32,
    /// Those of them whose agents share, and live.
    sharing: u32,
    /// Idle connections of agents that share.
    pub shared: List,
    pub idle_limit: IdleLimit,
}

impl Pool {
    /// A new origin, of an agent that shares or not.
    pub(super) fn join_peer(&mut self, key: KeyId, sharing: bool) -> u32 {
        let peers = &mut self.peers;
        let peer = *self.peer_of.entry(key).or_insert_with(|| {
            peers.insert(Peer {
                key,
                ..Peer::default()
            })
        });
        self.peers[peer].origins += 1;
        self.peers[peer].sharing += u32::from(sharing);
        peer
    }

    /// An origin is gone.
    pub(super) fn leave_peer(&mut self, p: u32) {
        let peer = &mut self.peers[p];
        peer.origins -= 1;
        if peer.origins == 0 {
            self.peer_of.remove(&peer.key);
            self.peers.remove(p);
        }
    }

    /// An origin takes part in sharing no more, because it is empty or its agent has ended.
    pub(super) fn stop_sharing(&mut self, o: u32, effects: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.origins[o].sharing) {
            return;
        }
        let peer = self.origins[o].peer;
        self.peers[peer].sharing -= 1;
        while self.peers[peer].sharing == 0 {
            let Some(c) = self.peers[peer].shared.first() else {
                return;
            };
            let donor = self.conns[c].origin;
            self.close_idle_conn(c, CloseReason::AgentDestroyed, effects);
            // The origin itself is its caller's to settle, and so is its agent.
            if self.origins[donor].agent != self.origins[o].agent {
                self.settle_donor(donor, effects);
            } else if donor != o {
                self.settle(donor, effects);
            }
        }
    }

    /// Brings the origin that an idle connection was taken of up to date; its agent may have ended.
    pub(super) fn settle_donor(&mut self, o: u32, effects: &mut Vec<Effect>) {
        let a = self.origins[o].agent;
        self.settle(o, effects);
        self.forget_agent_if_done(a);
    }

    /// Takes the idle connection of another agent that shares with origin `o`, or of another origin behind the same proxy: the
    /// one that was used last. That one has it no more.
    pub(super) fn borrow_idle(
        &mut self,
        o: u32,
        kind: Kind,
        effects: &mut Vec<Effect>,
    ) -> Option<Conn> {
        let c = self.lent_to(o, kind, effects)?;
        let donor = self.conns[c].origin;
        let former = self.conns.id(c);
        let taken = self.conns[c].adopted(o, former, self.quiet_age(c));
        self.origins[donor].last_closed = Some(CloseReason::Lent);
        self.forget_conn(c);
        self.settle_donor(donor, effects);
        Some(taken)
    }

    /// Whether an origin may have one slot more as far as its agent's total limit goes: also without room, if it goes on with an
    /// idle connection of its own agent's.
    pub(super) fn has_total_room_for(
        &mut self,
        o: u32,
        kind: Kind,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let a = self.origins[o].agent;
        if self.has_total_room(a) {
            return true;
        }
        let lent = self.lent_to(o, kind, effects);
        // Those past their deadline are gone by now.
        lent.is_some_and(|c| self.origins[self.conns[c].origin].agent == a)
            || self.has_total_room(a)
    }

    /// Which idle connection a new one of the origin would go on with; those past their deadline are closed on the way.
    fn lent_to(&mut self, o: u32, kind: Kind, effects: &mut Vec<Effect>) -> Option<u32> {
        if kind == Kind::Fallback || !self.lends(o) {
            return None;
        }
        let peer = self.origins[o].peer;
        let age_limit = self.age_limit(peer, None, kind);
        loop {
            let c = self.peers[peer].shared.last()?;
            if self.deadline(c) > self.now {
                return (self.quiet_age(c) < age_limit).then_some(c);
            }
            let donor = self.conns[c].origin;
            self.close_idle_conn(c, self.overdue(c, self.now), effects);
            self.settle_donor(donor, effects);
        }
    }

    /// The connection is its user's alone: it is never shared.
    pub fn bind(&mut self, conn: ConnId) {
        if let Some(c) = self.conns.find(conn) {
            self.conns[c].bound = true;
        }
    }
}
