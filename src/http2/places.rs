//! Of one origin: who gets a place in which session, who dials, and what was learned of its server.
//!
//! While nobody knows what the server speaks, one request dials and the others wait for what comes of it: a session, in which
//! they have places, or a connection for HTTP/1.1; then each of them dials its own. More sessions are opened only when those
//! that there are have no place left: no more dials are under way than those who wait need.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::session::{Bounds, Giver, Place, Session};
use crate::connect::tls::Secured;
use crate::connect::Connected;
use crate::error::Failure;

/// What is known of an origin's server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Speaks {
    Unknown,
    Http1,
    /// And it takes so many streams at a time.
    Http2(usize),
}

/// An agent's use of one key, as far as it goes over HTTP/2.
pub struct Origin {
    speaks: Cell<Speaks>,
    /// The server wants nothing but HTTP/1.1 any more.
    requires_http1: Cell<bool>,
    sessions: RefCell<Vec<Rc<Session>>>,
    /// Dials of which a session may come.
    dials: Cell<usize>,
    /// Those who wait for a place, or for what a dial comes to.
    waiting: RefCell<HashMap<u64, Waker>>,
    next_waiter: Cell<u64>,
    /// The last dial that failed while others waited for it: their first numbers not concerned, and why.
    failed: RefCell<Option<(u64, Box<Failure>)>>,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            speaks: Cell::new(Speaks::Unknown),
            requires_http1: Cell::new(false),
            sessions: RefCell::default(),
            dials: Cell::default(),
            waiting: RefCell::default(),
            next_waiter: Cell::default(),
            failed: RefCell::default(),
        }
    }
}

/// How a request gets on.
pub enum Way {
    /// In a session that is there.
    Place(Place),
    /// By a connection that it opens.
    Dial(Dial),
    /// Not at all: the connection that it has waited for could not be opened.
    Failed(Box<Failure>),
}

impl Origin {
    /// Somebody wants a way.
    pub fn wait(self: &Rc<Self>) -> Waiter {
        let number = self.next_waiter.get();
        self.next_waiter.set(number + 1);
        Waiter {
            origin: Rc::clone(self),
            number,
        }
    }

    /// A dial that offers nothing but HTTP/1.1.
    pub fn http1(self: &Rc<Self>) -> Dial {
        Dial {
            origin: Rc::clone(self),
            offers_http2: false,
            counts: false,
        }
    }

    fn find(&self) -> Option<Place> {
        self.sessions.borrow().iter().find_map(Session::place)
    }

    /// Nobody wants its sessions any more: those without places end, others as soon as they have none.
    pub fn end_unused(&self) {
        let sessions = self.sessions.borrow().clone();
        for session in sessions {
            session.end_unused();
        }
    }

    /// Sessions with other addresses take no further requests.
    pub fn leave_all_but(&self, addresses: &[IpAddr]) {
        let sessions = self.sessions.borrow().clone();
        for session in sessions {
            let remote = session.remote.map(|remote| remote.ip().to_canonical());
            if remote.is_some_and(|remote| !addresses.contains(&remote)) {
                session.leave();
            }
        }
        self.changed();
    }

    /// Whether those who wait, `waiting` of them, need one dial more.
    fn needs_dial(&self, waiting: usize) -> bool {
        let unsettled = |session: &&Rc<Session>| !session.is_settled();
        let coming = self.dials.get() + self.sessions.borrow().iter().filter(unsettled).count();
        match self.speaks.get() {
            Speaks::Http1 => true,
            Speaks::Unknown => coming == 0,
            // Who opens one has a place in it.
            Speaks::Http2(places) => coming.saturating_mul(places) < waiting + coming,
        }
    }
}

impl Giver for Origin {
    fn settled(&self, session: &Session) {
        self.speaks.set(Speaks::Http2(session.room()));
        self.changed();
    }

    fn changed(&self) {
        // A session that is over keeps a descriptor.
        let mut sessions = self.sessions.borrow_mut();
        sessions.retain(|session| session.is_open());
        drop(sessions);
        for (_, waker) in self.waiting.borrow_mut().drain() {
            waker.wake();
        }
    }

    fn refused(&self, failure: Failure) {
        self.failed
            .replace(Some((self.next_waiter.get(), Box::new(failure))));
    }

    // From now on, new connections speak HTTP/1.1; streams that there are end in peace.
    fn require_http1(&self) {
        self.requires_http1.set(true);
        for session in self.sessions.take() {
            session.leave();
        }
        self.changed();
    }
}

/// One that wants a way.
pub struct Waiter {
    origin: Rc<Origin>,
    number: u64,
}

impl Waiter {
    /// Its way, as soon as there is one.
    pub fn poll(&mut self, cx: &Context<'_>) -> Poll<Way> {
        let origin = &self.origin;
        if let Some((first_after, failure)) = &*origin.failed.borrow() {
            if self.number < *first_after {
                return Poll::Ready(Way::Failed(failure.clone()));
            }
        }
        if origin.requires_http1.get() {
            return Poll::Ready(Way::Dial(origin.http1()));
        }
        if let Some(place) = origin.find() {
            return Poll::Ready(Way::Place(place));
        }
        let mut waiting = origin.waiting.borrow_mut();
        waiting.insert(self.number, cx.waker().clone());
        if !origin.needs_dial(waiting.len()) {
            return Poll::Pending;
        }
        waiting.remove(&self.number);
        origin.dials.set(origin.dials.get() + 1);
        Poll::Ready(Way::Dial(Dial {
            origin: Rc::clone(origin),
            offers_http2: true,
            counts: true,
        }))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.origin.waiting.borrow_mut().remove(&self.number);
    }
}

/// A connection that is being opened. Given up, it lets the next one dial.
pub struct Dial {
    origin: Rc<Origin>,
    /// Whether HTTP/2 is offered.
    pub offers_http2: bool,
    counts: bool,
}

impl Dial {
    /// It speaks HTTP/2: its first place.
    ///
    /// # Errors
    ///
    /// It has failed meanwhile.
    pub async fn opened(
        self,
        connected: Connected,
        secured: Option<Rc<Secured>>,
        bounds: Bounds,
    ) -> Result<Place, Failure> {
        let ends = (connected.local, connected.remote);
        let origin: Rc<dyn Giver> = Rc::clone(&self.origin) as _;
        let giver = Rc::downgrade(&origin);
        let started = Session::start(giver, connected.transport, ends, secured, bounds).await;
        let session = match started {
            Ok(session) => session,
            Err(failure) => {
                self.failed(&failure);
                return Err(failure);
            }
        };
        let place = session.place();
        self.origin.sessions.borrow_mut().push(session);
        place.ok_or_else(Failure::hang_up)
    }

    /// It speaks HTTP/1.1.
    pub fn spoke_http1(self) {
        if self.counts {
            self.origin.speaks.set(Speaks::Http1);
        }
    }

    /// It could not be opened.
    pub fn failed(self, failure: &Failure) {
        let Origin {
            sessions,
            next_waiter,
            failed,
            speaks,
            ..
        } = &*self.origin;
        let has_others = sessions.borrow().iter().any(|session| session.is_open());
        // Who waited for a place in it would have had the same answer. Who can wait for another place does.
        if self.counts && !has_others && speaks.get() != Speaks::Http1 {
            failed.replace(Some((next_waiter.get(), Box::new(failure.clone()))));
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if self.counts {
            self.origin.dials.set(self.origin.dials.get() - 1);
            self.origin.changed();
        }
    }
}
