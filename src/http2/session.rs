//! One connection that speaks HTTP/2. Its places stand for connections: who has one may have one stream at a time.
//!
//! Whoever has a place keeps the session alive; it says goodbye when the last one is given back, or a little later if that was for
//! the sake of its stream alone. Its streams hear of its end by
//! themselves, places without a stream by [`Place::register`].
//!
//! Nobody hears of a connection whose other end has gone without a word. So a session that has been silent for long is asked
//! with a PING (RFC 9113, section 6.7) before it gets a request that may not be sent twice.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use http::uri::Scheme;
use tokio::time::{sleep_until, Instant, Sleep};

use super::fault::{speaks_http1, Fate};
use super::frame_meter::{Broken, FrameMeter, MeteredTransport};
use crate::config::{
    GRACE, PING_TIMEOUT, SESSION_ERRORS, SESSION_FRAMES, SESSION_GOODBYE, SESSION_HEADERS,
    SESSION_LINGER, SESSION_RESETS, SESSION_RESET_TIME, SESSION_WINDOW, STREAM_WINDOW,
};
use crate::connect::tls::Secured;
use crate::connect::Transport;
use crate::contain::Contained;
use crate::error::Failure;
use crate::pool::CloseReason;

/// How a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It takes new streams.
    Open,
    /// Streams that it has may end in peace; it takes no others.
    Leaving,
    /// The connection is gone.
    Ended(CloseReason),
}

/// What is known of the other end, when it has been silent for long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Peer {
    /// It was not asked.
    Trusted,
    /// It is to be asked.
    Doubted,
    /// It was asked whether it is there.
    Asked,
    /// It has not answered.
    Silent,
}

/// Who gives a session's places away.
pub(super) trait Giver {
    /// It has learned how many streams its server takes.
    fn settled(&self, session: &Session);
    /// It has places again, or has none any more.
    fn changed(&self);
    /// Its server wants HTTP/1.1.
    fn require_http1(&self);
    /// Its server does not speak HTTP/2.
    fn refused(&self, failure: Failure);
}

/// What its user wants of a session.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Places at the most; at least 1.
    pub places: usize,
    /// From when on nobody gets a place any more; those that are taken have ends of their own.
    pub until: Option<Instant>,
    /// After how long a silence its server is asked whether it is there; `None`: never.
    pub ping_after: Option<Duration>,
}

/// A connection that speaks HTTP/2.
pub struct Session {
    /// Both ends.
    pub local: Option<SocketAddr>,
    pub remote: Option<SocketAddr>,
    /// What its handshake came to.
    pub secured: Option<Rc<Secured>>,
    sender: RefCell<Option<SendRequest<Bytes>>>,
    transport: Rc<RefCell<Transport>>,
    giver: Weak<dyn Giver>,
    state: Cell<State>,
    /// How many streams the server takes at a time; `None`: its settings have not come.
    takes: Cell<Option<usize>>,
    /// Places there may be.
    room: Cell<usize>,
    bounds: Bounds,
    /// Places that are taken, and whom to wake when something changes.
    places: RefCell<HashMap<u64, Option<Waker>>>,
    next_place: Cell<u64>,
    /// Until when it waits for another place to be taken.
    lingers: Cell<Option<Instant>>,
    /// Nobody wants it any more once it has no places.
    is_unwanted: Cell<bool>,
    /// The task that reads.
    reader: RefCell<Option<Waker>>,
    /// What has come over the connection.
    meter: Rc<FrameMeter>,
    peer: Cell<Peer>,
}

impl Session {
    /// Begins to speak HTTP/2 on an open connection.
    ///
    /// # Errors
    ///
    /// The connection has failed meanwhile.
    pub(super) async fn start(
        giver: Weak<dyn Giver>,
        transport: Transport,
        ends: (Option<SocketAddr>, Option<SocketAddr>),
        secured: Option<Rc<Secured>>,
        bounds: Bounds,
    ) -> Result<Rc<Self>, Failure> {
        let transport = Rc::new(RefCell::new(transport));
        let meter = Rc::new(FrameMeter::new());
        let metered = MeteredTransport::new(Rc::clone(&transport), Rc::clone(&meter));
        let handshake = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            // A response that nobody reads takes nothing from its siblings: each has a window of its own.
            .initial_connection_window_size(SESSION_WINDOW)
            .max_header_list_size(SESSION_HEADERS)
            .data_frame_budget(SESSION_FRAMES)
            // What is still on its way to requests that were given up hurts nobody else.
            .max_concurrent_reset_streams(SESSION_RESETS)
            .reset_stream_duration(SESSION_RESET_TIME)
            .max_local_error_reset_streams(Some(SESSION_ERRORS))
            // One stream may go out before the server has said how many it takes.
            .initial_max_send_streams(1)
            .handshake::<_, Bytes>(metered)
            .await;
        let (sender, connection) = handshake.map_err(|error| match error.get_io() {
            Some(error) => Failure::from_io(error, "write", None, None),
            None => Failure::new("ERR_HTTP2_ERROR", error.to_string()),
        })?;
        let session = Rc::new(Self {
            local: ends.0,
            remote: ends.1,
            secured,
            sender: RefCell::new(Some(sender)),
            transport,
            giver,
            state: Cell::new(State::Open),
            takes: Cell::new(None),
            room: Cell::new(1),
            bounds,
            places: RefCell::default(),
            next_place: Cell::new(0),
            lingers: Cell::default(),
            is_unwanted: Cell::default(),
            reader: RefCell::default(),
            meter,
            peer: Cell::new(Peer::Trusted),
        });
        tokio::task::spawn_local(Rc::clone(&session).read(connection));
        Ok(session)
    }

    /// Reads until the connection ends.
    async fn read(self: Rc<Self>, mut connection: Connection<MeteredTransport, Bytes>) {
        let mut asking = Asking::new(connection.ping_pong());
        let mut lingering = None;
        let mut goodbye: Option<Pin<Box<Sleep>>> = None;
        let reading = std::future::poll_fn(|cx| {
            self.reader.replace(Some(cx.waker().clone()));
            self.linger(cx, &mut lingering);
            self.meter.begin_turn();
            asking.ask(&self);
            let polled = Pin::new(&mut connection).poll(cx);
            if polled.is_pending() {
                asking.listen(&self, cx);
                self.look(cx, &connection);
                if self.is_left() {
                    // A server that takes nothing has no goodbye.
                    let timer = goodbye.get_or_insert_with(|| {
                        Box::pin(sleep_until(Instant::now() + SESSION_GOODBYE))
                    });
                    return timer.as_mut().poll(cx).map(Ok);
                }
            }
            polled
        });
        let reason = match Contained::new(reading).await {
            Ok(Ok(())) => CloseReason::PeerClosed,
            Ok(Err(error)) if error.is_io() && self.meter.broken().is_none() => {
                CloseReason::PeerReset
            }
            Ok(Err(_)) | Err(_) => CloseReason::Error,
        };
        // Before its streams hear of it: they look for another place at once.
        self.sender.take();
        if self.meter.broken() == Some(Broken::SpeaksHttp1) {
            self.tell_giver(|giver| giver.refused(speaks_http1()));
        }
        self.turn(State::Ended(reason));
    }

    /// What its requests say that they are of.
    pub fn scheme(&self) -> Scheme {
        match self.secured {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        }
    }

    /// Whether nobody has a place in it, nor will.
    fn is_left(&self) -> bool {
        !self.is_open() && self.places.borrow().is_empty()
    }

    /// Looks what the server has said since.
    fn look(&self, cx: &mut Context<'_>, connection: &Connection<MeteredTransport, Bytes>) {
        if self.state.get() != State::Open {
            return;
        }
        let takes_more = match &mut *self.sender.borrow_mut() {
            None => false,
            Some(sender) => !matches!(sender.poll_ready(cx), Poll::Ready(Err(_))),
        };
        if !takes_more {
            self.turn(State::Leaving);
            return;
        }
        if !self.meter.is_settled() {
            return;
        }
        let takes = connection.max_concurrent_send_streams();
        if self.takes.replace(Some(takes)) != Some(takes) {
            self.room.set(takes.clamp(1, self.bounds.places));
            self.tell_giver(|giver| giver.settled(self));
        }
    }

    /// Ends when it has waited long enough for somebody to take a place.
    fn linger(&self, cx: &mut Context<'_>, timer: &mut Option<Pin<Box<Sleep>>>) {
        let Some(until) = self.lingers.get() else {
            *timer = None;
            return;
        };
        let sleep = timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        if sleep.as_mut().poll(cx).is_ready() {
            self.lingers.set(None);
            self.end();
        }
    }

    /// Without a sender, and without streams, the connection says goodbye.
    fn end(&self) {
        self.sender.take();
        self.leave();
        self.wake_reader();
    }

    /// Ends it, if it has no places, and else as soon as it has none.
    pub(super) fn end_unused(&self) {
        self.is_unwanted.set(true);
        if self.lingers.take().is_some() {
            self.end();
        }
    }

    fn wake_reader(&self) {
        if let Some(reader) = &*self.reader.borrow() {
            reader.wake_by_ref();
        }
    }

    fn turn(&self, state: State) {
        if matches!(self.state.replace(state), State::Ended(_)) {
            return;
        }
        self.wake_places();
        self.tell_giver(|giver| giver.changed());
    }

    fn wake_places(&self) {
        for waker in self.places.borrow_mut().values_mut() {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }

    fn tell_giver(&self, tell: impl FnOnce(&dyn Giver)) {
        if let Some(giver) = self.giver.upgrade() {
            tell(&*giver);
        }
    }

    /// Takes no more streams.
    pub(super) fn leave(&self) {
        if self.is_open() {
            self.turn(State::Leaving);
        }
    }

    /// Whether it takes new streams.
    pub(super) fn is_open(&self) -> bool {
        self.state.get() == State::Open
    }

    /// Whether the server has said how many streams it takes.
    pub(super) fn is_settled(&self) -> bool {
        self.takes.get().is_some()
    }

    /// How many places it has, taken or not.
    pub(super) fn room(&self) -> usize {
        self.room.get()
    }

    /// A place in it, if one is free.
    pub(super) fn place(self: &Rc<Self>) -> Option<Place> {
        let is_first = self.next_place.get() == 0;
        let is_old = self
            .bounds
            .until
            .is_some_and(|until| until <= Instant::now());
        if is_old || !self.is_open() || self.places.borrow().len() >= self.room.get() {
            return None;
        }
        let number = self.next_place.get();
        self.next_place.set(number + 1);
        self.places.borrow_mut().insert(number, None);
        self.lingers.set(None);
        Some(Place {
            session: Rc::clone(self),
            number,
            is_first,
            spares: Cell::new(false),
        })
    }
}

/// The right to one stream at a time.
pub struct Place {
    session: Rc<Session>,
    number: u64,
    /// The session was opened for it.
    pub is_first: bool,
    /// Its end says nothing about the session's.
    spares: Cell<bool>,
}

impl Place {
    /// The session that it is in.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Why no more streams can be had: the session is about to end, or has ended.
    pub fn ended(&self) -> Option<CloseReason> {
        match self.session.state.get() {
            State::Open => None,
            State::Leaving => Some(CloseReason::PeerClosed),
            State::Ended(reason) => Some(reason),
        }
    }

    /// Has `cx` be woken when [`Place::ended`] says something else.
    pub fn register(&self, cx: &Context<'_>) {
        if let Some(waker) = self.session.places.borrow_mut().get_mut(&self.number) {
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                *waker = Some(cx.waker().clone());
            }
        }
    }

    /// What opens a stream.
    pub fn sender(&self) -> Option<SendRequest<Bytes>> {
        self.session.sender.borrow().clone()
    }

    /// Whether the kernel has something that the session has not read. It is woken to read it.
    pub fn has_news(&self) -> bool {
        let has_news = self.session.transport.borrow().has_news();
        if has_news {
            self.session.wake_reader();
        }
        has_news
    }

    /// It ends for the sake of its stream alone: others may want the session, soon.
    pub fn spare_session(&self) {
        self.spares.set(true);
    }

    /// Whether nobody can tell that the server is still there: it has been silent for long, or has not answered yet. It is
    /// asked then, and the place woken when more is known.
    pub fn is_doubtful(&self) -> bool {
        let Session {
            bounds,
            meter,
            peer,
            ..
        } = self.session();
        let is_late = bounds
            .ping_after
            .is_some_and(|after| meter.heard().elapsed() >= after);
        if peer.get() == Peer::Trusted && is_late {
            self.doubt();
        }
        peer.get() != Peer::Trusted
    }

    /// Has the server be asked whether it is there, unless that is under way or was never to be.
    pub fn doubt(&self) {
        let session = self.session();
        if session.peer.get() == Peer::Trusted && session.bounds.ping_after.is_some() {
            session.peer.set(Peer::Doubted);
            session.wake_reader();
        }
    }

    /// Whether the server was asked whether it is there, did not answer, and has said nothing since `moment`.
    pub fn is_silent_since(&self, moment: Instant) -> bool {
        self.session.peer.get() == Peer::Silent && self.has_heard_nothing_since(moment)
    }

    /// Whether the server has said nothing at all since then.
    pub fn has_heard_nothing_since(&self, moment: Instant) -> bool {
        self.session.meter.heard() <= moment
    }

    /// What the connection failed with, as the system said it.
    pub fn failure(&self) -> Option<Failure> {
        self.session.meter.failure()
    }

    /// What requests wait for goes on: what the server says beside it is part of that.
    pub fn note_progress(&self) {
        self.session.meter.note_progress();
    }

    /// Why the session was given up because of what its server said.
    pub fn given_up(&self) -> Option<Fate> {
        self.session.meter.broken().map(Fate::of_broken)
    }

    /// The server has refused a stream although, by its own word, there was room.
    pub fn note_refusal(&self) {
        let others = self.session.places.borrow().len().saturating_sub(1);
        let room = self.session.room.get().min(others);
        self.session.room.set(room);
    }

    /// No more streams can be had in its session.
    pub fn leave(&self) {
        self.session.leave();
    }

    /// The server wants HTTP/1.1.
    pub fn note_wants_http1(&self) {
        self.session.tell_giver(|giver| giver.require_http1());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_last = {
            let mut places = self.session.places.borrow_mut();
            places.remove(&self.number);
            places.is_empty()
        };
        let session = &self.session;
        if is_last && self.spares.get() && session.is_open() && !session.is_unwanted.get() {
            session.lingers.set(Some(Instant::now() + SESSION_LINGER));
            session.wake_reader();
        } else if is_last {
            session.end();
            return;
        }
        session.tell_giver(|giver| giver.changed());
    }
}

/// What asks a server whether it is there.
struct Asking {
    pings: Option<PingPong>,
    /// When it must have answered; and whether that was put off because there was something to read.
    until: Option<(Pin<Box<Sleep>>, bool)>,
}

impl Asking {
    fn new(pings: Option<PingPong>) -> Self {
        Self { pings, until: None }
    }

    /// Asks, if somebody wants to know.
    fn ask(&mut self, session: &Session) {
        let Some(pings) = &mut self.pings else {
            return;
        };
        if session.peer.get() == Peer::Doubted && pings.send_ping(Ping::opaque()).is_ok() {
            session.peer.set(Peer::Asked);
            let until = sleep_until(Instant::now() + PING_TIMEOUT);
            self.until = Some((Box::pin(until), false));
        }
    }

    /// Hears the answer, or that there is none.
    fn listen(&mut self, session: &Session, cx: &mut Context<'_>) {
        let (Some(pings), Some((until, is_put_off))) = (&mut self.pings, &mut self.until) else {
            return;
        };
        if let Poll::Ready(answer) = pings.poll_pong(cx) {
            if answer.is_ok() {
                session.peer.set(Peer::Trusted);
            }
            self.until = None;
            session.wake_places();
            return;
        }
        while until.as_mut().poll(cx).is_ready() {
            // A process that stood still finds the time over and the answer in the kernel.
            if !*is_put_off && session.transport.borrow().has_news() {
                *is_put_off = true;
                until.as_mut().reset(Instant::now() + GRACE);
                cx.waker().wake_by_ref();
                continue;
            }
            self.until = None;
            session.peer.set(Peer::Silent);
            session.leave();
            session.wake_places();
            return;
        }
    }
}
