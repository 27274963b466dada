//! From a lease to its end: what exchanges ask, and what connections tell.

use std::sync::Arc;

use super::connections::{self, Leases};
use super::{Engine, ADOPTS};
use crate::exchange::mailbox::Input;
use crate::pool::{
    AgentId, CheckIn, CloseReason, ConnId, Effect, KeyId, Kind, Lease, Miss, State, Stay, WaiterId,
};

impl Engine {
    /// Asks for the exclusive use of a connection; the answer holds at once, dialing goes on by itself. The second value
    /// says why a connection is dialed ([`Miss::number`]).
    pub fn lease(
        &self,
        agent: AgentId,
        key: KeyId,
        profile: u32,
        waiter: WaiterId,
        kind: Kind,
    ) -> (Lease, u16) {
        let (lease, profile, mut miss, made_room) = self.with_effects(|shared, now, effects| {
            let lease = shared.pool.lease(agent, key, waiter, kind, now, effects);
            let mut miss = 0;
            let profile = match lease {
                Lease::Queued | Lease::Dial { .. } if kind != Kind::Fallback => {
                    shared.profiles.get(profile)
                }
                _ => None,
            };
            match (lease, &profile) {
                (Lease::Dial { conn }, _) => {
                    miss = shared.pool.miss(conn).map_or(0, Miss::number);
                }
                (Lease::Queued, Some(profile)) => {
                    shared.waiting.insert(waiter, Arc::clone(profile));
                }
                _ => {}
            }
            (lease, profile, miss, !effects.is_empty())
        });
        match lease {
            Lease::Dial { conn } if self.dial(waiter, conn, profile, false) => miss = ADOPTS,
            Lease::Dial { .. } => {}
            // The caller opens its socket by itself: not before the one that made room for it is closed.
            Lease::Granted if made_room => {
                self.grant(waiter);
                return (Lease::Queued, 0);
            }
            _ => {}
        }
        (lease, miss)
    }

    /// Takes a request out of the queue; false if it has its turn already.
    pub fn cancel(&self, waiter: WaiterId) -> bool {
        self.with_effects(|shared, _, effects| {
            let was_queued = shared.pool.cancel(waiter, effects);
            // Else its turn may be on its way, which needs to know how to dial.
            if was_queued {
                shared.waiting.remove(&waiter);
            }
            was_queued
        })
    }

    /// Ends a lease whose connection is in order.
    pub fn check_in(&self, conn: ConnId, stay: Stay) -> CheckIn {
        let (result, deadline) = self.with_effects(|shared, now, effects| {
            let result = match shared.dead.remove(&conn) {
                Some(reason) => {
                    shared.pool.note_end(conn, reason);
                    shared.pool.closed(conn, now, effects);
                    CheckIn::Closed(reason)
                }
                None => shared.pool.check_in(conn, stay, now, effects),
            };
            if let CheckIn::Closed(reason) = result {
                // Before what takes its place is opened.
                effects.insert(0, Effect::Close { conn, reason });
            }
            (result, shared.pool.next_deadline())
        });
        if result == CheckIn::Idle {
            self.expect_expiry(deadline);
            if stay == Stay::Unused {
                connections::run(move |all| all.socket(conn, Input::Idle));
            }
        }
        result
    }

    /// A socket of the runtime's own is gone.
    pub fn release_fallback(&self, agent: AgentId, key: KeyId) {
        self.with_effects(|shared, now, effects| {
            shared.pool.release_fallback(agent, key, now, effects)
        });
    }

    /// A socket of the runtime's own went idle, or is used again; false: it must go.
    pub fn fallback_idle(&self, agent: AgentId, key: KeyId, idle: bool) -> bool {
        self.with_effects(|shared, now, effects| {
            shared.pool.fallback_idle(agent, key, idle, now, effects)
        })
    }

    /// The connection is its user's alone: it is never shared.
    pub fn bind(&self, conn: ConnId) {
        self.lock().pool.bind(conn);
    }
}

impl Leases for Engine {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn connected(&self, conn: ConnId) {
        self.lock().pool.connected(conn);
    }

    fn redial(&self, conn: ConnId) {
        let mut shared = self.lock();
        shared.dead.remove(&conn);
        shared.pool.redial(conn, self.clock.now());
    }

    fn died(&self, conn: ConnId, reason: CloseReason, teaches: bool) -> bool {
        self.with_effects(|shared, now, effects| {
            if teaches && reason.is_peers() {
                shared.pool.ended_by_peer(conn, now);
            }
            if let Some(State::Leased | State::Dialing) = shared.pool.state(conn) {
                shared.dead.insert(conn, reason);
                return false;
            }
            shared.pool.note_end(conn, reason);
            shared.pool.closed(conn, now, effects);
            true
        })
    }

    fn ended_by_peer(&self, conn: ConnId) {
        self.lock().pool.ended_by_peer(conn, self.clock.now());
    }

    fn close_after_response(&self, conn: ConnId, reason: CloseReason) {
        let mut shared = self.lock();
        if shared.pool.state(conn) == Some(State::Leased) {
            shared.dead.insert(conn, reason);
        }
    }

    fn retire(&self, conn: ConnId, reason: CloseReason) {
        self.with_effects(|shared, now, effects| match shared.pool.state(conn) {
            Some(State::Idle) => shared.pool.close_if_idle(conn, reason, now, effects),
            Some(State::Leased) => {
                shared.dead.entry(conn).or_insert(reason);
            }
            Some(State::Dialing) | None => {}
        });
    }

    fn gone(&self, conn: ConnId, reason: CloseReason) -> bool {
        let state = self.with_effects(|shared, now, effects| {
            shared.dead.remove(&conn);
            shared.pool.note_end(conn, reason);
            shared.pool.closed(conn, now, effects)
        });
        !matches!(state, Some(State::Leased | State::Dialing))
    }
}
