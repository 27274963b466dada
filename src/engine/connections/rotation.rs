//! `dns: { rotate }`: names are asked for again while there are connections to them, and a connection whose address a name
//! no longer stands for leaves.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{run, Connections, CONNECTIONS};
use crate::connect::{self, Profile, Rotation};
use crate::exchange::events::Events;
use crate::http2;
use crate::io_thread;
use crate::pool::{CloseReason, ConnId};

impl Connections {
    /// Sees to it that the name of a connection is asked for again, if that is wanted.
    pub(super) fn rotate(&self, profile: &Profile, events: &Arc<dyn Events>) {
        let Some(rotation) = Rotation::of(profile) else {
            return;
        };
        let mut rotations = self.rotations.borrow_mut();
        if !rotations.contains(&rotation) {
            rotations.push(rotation.clone());
            await_rotation(rotation, Arc::clone(events));
        }
    }

    /// Whether a name is to be asked for again; if no connection to it is left, it is forgotten.
    fn is_rotated(&self, rotation: &Rotation) -> bool {
        let is_left =
            self.connections.borrow().values().any(|connection| {
                Rotation::of(&connection.owner.profile()).as_ref() == Some(rotation)
            });
        if !is_left {
            self.rotations
                .borrow_mut()
                .retain(|other| other != rotation);
        }
        is_left
    }

    /// A name stands for these addresses now: connections to any other leave, not all at once.
    fn relocate(&self, rotation: &Rotation, addresses: &Rc<Vec<IpAddr>>) {
        let mut sessions: Vec<Rc<http2::Origin>> = Vec::new();
        for connection in self.connections.borrow().values() {
            let owner = &connection.owner;
            let is_gone = owner.facts(|remote, _| {
                remote.is_some_and(|remote| !addresses.contains(&remote.ip().to_canonical()))
            });
            if !is_gone || Rotation::of(&owner.profile()).as_ref() != Some(rotation) {
                continue;
            }
            let wait = jitter(rotation.every, owner.conn());
            if let Some(origin) = &connection.http2 {
                if !sessions.iter().any(|other| Rc::ptr_eq(other, origin)) {
                    sessions.push(Rc::clone(origin));
                    let (origin, addresses) = (Rc::clone(origin), Rc::clone(addresses));
                    io_thread::call_after(wait, move || origin.leave_all_but(&addresses));
                }
            }
            let leaving = Rc::clone(connection);
            io_thread::call_after(wait, move || {
                let conn = leaving.owner.conn();
                leaving.leases.retire(conn, CloseReason::AddressGone);
            });
        }
    }
}

/// Asks for a name when its time is over, again and again while there are connections to it.
fn await_rotation(rotation: Rotation, events: Arc<dyn Events>) {
    io_thread::call_after(rotation.every, move || {
        if !CONNECTIONS.with(|all| all.is_rotated(&rotation)) {
            return;
        }
        // A thread with a `lookup` of its own is asked when it opens a connection, and not in between.
        if !events.looks_up() {
            let of = rotation.clone();
            connect::refresh(&rotation, move |addresses| {
                run(move |all| all.relocate(&of, &Rc::new(addresses)));
            });
        }
        await_rotation(rotation, events);
    });
}

/// Within a tenth of `every`: connections that were opened together do not leave together.
fn jitter(every: Duration, conn: ConnId) -> Duration {
    (every / 10) * (conn.wrapping_mul(0x9E37_79B9) >> 22) / 1024
}
