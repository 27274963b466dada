//! Exchanges that the JavaScript thread carries in its own event loop ([`crate::exchange::event_loop`]): which of them a batch begins, what
//! comes for them, and when the I/O thread takes them over.
//!
//! Node's loop tells when something comes. That of other runtimes tells nobody: there JavaScript looks again and again, in each turn of
//! its loop, for as long as a fast server takes ([`look`]).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use napi::bindgen_prelude::Function;
use napi::Env;

use super::layout::looked;
use super::libuv::Loop;
use super::submission::Command;
use crate::contain::contain;
use crate::engine::{connections, ENGINE};
use crate::error::Failure;
use crate::exchange::event_loop::{Carrier, EventLoop, Next};
use crate::exchange::mailbox::Piece;
use crate::pool::{CloseReason, ConnId, ExchangeId, PortId};

/// Connections that are looked at in one go.
const MOST_EVENTS: usize = 64;

/// What other threads know of a loop: the connections that its thread has, and where it hears of them.
pub struct InLoop {
    /// None: it hears of nothing, and looks.
    registry: Option<Registry>,
    seats: Mutex<HashMap<ConnId, Arc<dyn Carrier>>>,
    /// Some have gone since its thread looked.
    has_gone: AtomicBool,
}

impl InLoop {
    fn seats(&self) -> MutexGuard<'_, HashMap<ConnId, Arc<dyn Carrier>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self, conn: ConnId) -> Option<Arc<dyn Carrier>> {
        self.seats().get(&conn).cloned()
    }
}

impl EventLoop for InLoop {
    fn watch(&self, conn: ConnId, socket: i32, seat: &Arc<dyn Carrier>) -> bool {
        self.seats().insert(conn, Arc::clone(seat));
        let Some(registry) = &self.registry else {
            return true;
        };
        let token = Token(conn as usize);
        let watched = registry.register(&mut SourceFd(&socket), token, Interest::READABLE);
        watched.is_ok()
    }

    fn unwatch(&self, conn: ConnId, socket: Option<i32>) {
        self.seats().remove(&conn);
        self.has_gone.store(true, Relaxed);
        if let Some((registry, socket)) = self.registry.as_ref().zip(socket) {
            drop(registry.deregister(&mut SourceFd(&socket)));
        }
    }
}

/// An exchange under way that the thread carries.
struct Carried {
    port: PortId,
    exchange: ExchangeId,
    seat: Arc<dyn Carrier>,
}

/// Which connections something has come on.
struct Told {
    poll: Poll,
    events: Events,
}

/// A thread's own part of its loop.
struct Local {
    shared: Arc<InLoop>,
    /// What tells of connections; none: JavaScript looks.
    told: Option<RefCell<Told>>,
    under_way: RefCell<Vec<Carried>>,
    /// How many of them are in the thread's count.
    counted: Cell<usize>,
    /// Dropped before what it watches.
    uv: RefCell<Option<Loop>>,
}

thread_local! {
    /// By environment.
    static LOOPS: RefCell<HashMap<usize, Rc<Local>>> = RefCell::default();
    /// The same, by port.
    static PORTS: RefCell<HashMap<PortId, Rc<Local>>> = RefCell::default();
    /// Ports that have records, while those are told by whoever collects them.
    static TOLD: RefCell<Option<Vec<PortId>>> = const { RefCell::new(None) };
    /// The port that looks: others that are told something meanwhile are woken.
    static LOOKS: Cell<Option<PortId>> = const { Cell::new(None) };
    /// How many exchanges are under way.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Has the port carry exchanges itself from now on, in Node's loop, which calls `wake`, or by [`look`]. None: it can't.
pub fn open(
    env: &Env,
    port: PortId,
    wake: Option<&Function<'_, PortId, ()>>,
) -> Option<Arc<InLoop>> {
    let key = env.raw() as usize;
    let found = LOOPS.with_borrow(|loops| loops.get(&key).cloned());
    let local = match (found, wake) {
        (Some(local), _) => local,
        (None, Some(wake)) => start(env, key, wake)?,
        (None, None) => keep(env, key, Rc::new(Local::new(None, None)))?,
    };
    let shared = Arc::clone(&local.shared);
    PORTS.with_borrow_mut(|ports| ports.insert(port, local));
    Some(shared)
}

fn start(env: &Env, key: usize, wake: &Function<'_, PortId, ()>) -> Option<Rc<Local>> {
    let poll = Poll::new().ok()?;
    let registry = poll.registry().try_clone().ok()?;
    let descriptor = poll.as_raw_fd();
    let local = Rc::new(Local::new(Some(poll), Some(registry)));
    let weak = Rc::downgrade(&local);
    let ready = move || collect(|| weak.upgrade().map(|local| local.ready()));
    let uv = Loop::new(env, descriptor, wake, Box::new(ready))?;
    local.uv.replace(Some(uv));
    keep(env, key, local)
}

/// Until its environment ends.
fn keep(env: &Env, key: usize, local: Rc<Local>) -> Option<Rc<Local>> {
    LOOPS.with_borrow_mut(|loops| loops.insert(key, Rc::clone(&local)));
    env.add_env_cleanup_hook((), move |()| {
        // The thread's own may have gone before.
        let _ = LOOPS.try_with(|loops| loops.borrow_mut().remove(&key));
        drop(local.uv.take());
    })
    .ok()?;
    LOOPS.with_borrow(|loops| loops.get(&key).cloned())
}

/// Looks whether something has come for what the port has under way. What has been waited for longer goes to the I/O thread.
pub fn look(port: PortId, wait: Duration) -> u32 {
    let Some(local) = PORTS.with_borrow(|ports| ports.get(&port).cloned()) else {
        return 0;
    };
    let told = heard(port, || local.look(port, wait));
    let is_awaited = !local.seats_of(port).is_empty();
    let mut found = 0;
    if told {
        found |= looked::HAS_RECORDS;
    }
    if is_awaited {
        found |= looked::WAITS;
    }
    found
}

/// The port is closed.
pub fn close(port: PortId) {
    let _ = PORTS.try_with(|ports| {
        let local = ports.borrow_mut().remove(&port);
        if let Some(local) = local {
            local.under_way.borrow_mut().retain(|one| one.port != port);
            local.count();
        }
    });
}

/// Which ports were told something by `work`.
fn collect<R>(work: impl FnOnce() -> R) -> Vec<PortId> {
    TOLD.set(Some(Vec::new()));
    drop(contain(work));
    TOLD.take().unwrap_or_default()
}

/// Whether `work` has told the port something, who sees to its records by itself.
pub fn heard(port: PortId, work: impl FnOnce()) -> bool {
    LOOKS.set(Some(port));
    let told = collect(work);
    LOOKS.set(None);
    !told.is_empty()
}

/// Whether the port is called anyway, as soon as this thread is through.
pub fn is_called(port: PortId) -> bool {
    if LOOKS
        .try_with(Cell::get)
        .is_ok_and(|looks| looks.is_some_and(|looks| looks != port))
    {
        return false;
    }
    let noted = TOLD.try_with(|told| {
        let mut told = told.borrow_mut();
        told.as_mut().map(|ports| {
            if !ports.contains(&port) {
                ports.push(port);
            }
        })
    });
    matches!(noted, Ok(Some(())))
}

/// Whether the port has exchanges under way here, so that its commands may be for them.
pub fn is_busy() -> bool {
    COUNT.get() > 0
}

/// Carries out those of a port's commands that are for connections which its thread has, and sends what it can of a piece behind them. What
/// it leaves is for the I/O thread.
pub fn carry_out(
    port: PortId,
    commands: impl Iterator<Item = Command>,
    piece: Option<(ExchangeId, Piece<'_>)>,
) -> Vec<Command> {
    let Some(local) = PORTS.with_borrow(|ports| ports.get(&port).cloned()) else {
        let piece = piece.map(|(exchange, piece)| kept(exchange, &piece));
        return commands.chain(piece).collect();
    };
    local.tidy();
    let mut rest = Vec::new();
    let mut touched: Vec<Arc<dyn Carrier>> = Vec::new();
    let mut touch = |taken: Result<Arc<dyn Carrier>, Command>| match taken {
        Ok(seat) if touched.iter().any(|other| Arc::ptr_eq(other, &seat)) => {}
        Ok(seat) => touched.push(seat),
        Err(command) => rest.push(command),
    };
    for command in commands {
        touch(local.take(port, command));
    }
    if let Some((exchange, piece)) = piece {
        touch(local.lend(port, exchange, &piece));
    }
    for seat in touched {
        local.turn(&seat, false);
    }
    local.count();
    rest
}

/// A piece that is for the I/O thread.
fn kept(exchange: ExchangeId, piece: &Piece<'_>) -> Command {
    Command::Exchange(exchange, piece.kept())
}

impl Local {
    /// With both it is told of its connections.
    fn new(poll: Option<Poll>, registry: Option<Registry>) -> Self {
        let events = Events::with_capacity(MOST_EVENTS);
        Self {
            shared: Arc::new(InLoop {
                registry,
                seats: Mutex::default(),
                has_gone: AtomicBool::default(),
            }),
            told: poll.map(|poll| RefCell::new(Told { poll, events })),
            under_way: RefCell::default(),
            counted: Cell::new(0),
            uv: RefCell::new(None),
        }
    }

    /// Takes a command that is for this thread; which connection has something to do now.
    fn take(&self, port: PortId, command: Command) -> Result<Arc<dyn Carrier>, Command> {
        match command {
            Command::Begin(conn, begin) if begin.in_loop => {
                match self.shared.seat(conn).filter(|seat| seat.begin(begin)) {
                    Some(seat) => {
                        self.under_way.borrow_mut().push(Carried {
                            port,
                            exchange: begin.exchange,
                            seat: Arc::clone(&seat),
                        });
                        Ok(seat)
                    }
                    None => Err(Command::Begin(conn, begin)),
                }
            }
            Command::Exchange(exchange, input) => {
                let Some(seat) = self.seat_of(port, exchange) else {
                    return Err(Command::Exchange(exchange, input));
                };
                match seat.input(input) {
                    None => Ok(seat),
                    Some(input) => {
                        // The I/O thread has it back.
                        self.forget(&seat);
                        Err(Command::Exchange(exchange, input))
                    }
                }
            }
            Command::Close(conn) => {
                if let Some(seat) = self.shared.seat(conn) {
                    self.forget(&seat);
                }
                Err(Command::Close(conn))
            }
            other => Err(other),
        }
    }

    /// Sends what can be sent of a piece, if its exchange is under way here.
    fn lend(
        &self,
        port: PortId,
        exchange: ExchangeId,
        piece: &Piece<'_>,
    ) -> Result<Arc<dyn Carrier>, Command> {
        let Some(seat) = self.seat_of(port, exchange) else {
            return Err(kept(exchange, piece));
        };
        match seat.lend(piece) {
            Ok(true) => {}
            Ok(false) => {
                // The I/O thread has it back.
                self.forget(&seat);
                return Err(kept(exchange, piece));
            }
            Err(failure) => self.failed(&seat, &failure),
        }
        Ok(seat)
    }

    /// Where an exchange is under way.
    fn seat_of(&self, port: PortId, exchange: ExchangeId) -> Option<Arc<dyn Carrier>> {
        let under_way = self.under_way.borrow();
        let mut its = under_way.iter();
        let found = its.find(|one| one.port == port && one.exchange == exchange);
        found.map(|one| Arc::clone(&one.seat))
    }

    /// Does what can be done on a connection.
    fn turn(&self, seat: &Arc<dyn Carrier>, has_news: bool) -> Option<Next> {
        let is_lone = self.told.is_some() && self.under_way.borrow().len() == 1;
        match seat.turn(has_news, is_lone) {
            Ok(next) => {
                self.after(seat, next);
                Some(next)
            }
            Err(failure) => {
                self.failed(seat, &failure);
                None
            }
        }
    }

    /// A panic has ended what was under way on a connection.
    fn failed(&self, seat: &Arc<dyn Carrier>, failure: &Failure) {
        for one in self.forget(seat) {
            if let Some(events) = ENGINE.events(one.port) {
                events.failed(one.exchange, failure, false);
            }
        }
        if let Some(conn) = self.conn(seat) {
            connections::run(move |all| all.kill(conn, CloseReason::Error));
        }
    }

    fn after(&self, seat: &Arc<dyn Carrier>, next: Next) {
        if next == Next::Waits {
            return;
        }
        self.under_way
            .borrow_mut()
            .retain(|one| !Arc::ptr_eq(&one.seat, seat));
        self.count();
        if next == Next::Leaves {
            if let Some(conn) = self.conn(seat) {
                connections::run(move |all| all.recall(conn));
            }
        }
    }

    /// The exchanges on a connection are not under way here any more.
    fn forget(&self, seat: &Arc<dyn Carrier>) -> Vec<Carried> {
        let its = {
            let mut under_way = self.under_way.borrow_mut();
            let its = under_way.extract_if(.., |one| Arc::ptr_eq(&one.seat, seat));
            its.collect()
        };
        self.count();
        its
    }

    /// Counts them, beside those of other environments of this thread.
    fn count(&self) {
        let count = self.under_way.borrow().len();
        let before = self.counted.replace(count);
        COUNT.set(COUNT.get() + count - before);
    }

    fn conn(&self, seat: &Arc<dyn Carrier>) -> Option<ConnId> {
        let seats = self.shared.seats();
        let mut all = seats.iter();
        all.find(|(_, other)| Arc::ptr_eq(other, seat))
            .map(|(&conn, _)| conn)
    }

    /// What the I/O thread has taken back is not under way here any more.
    fn tidy(&self) {
        if !self.shared.has_gone.swap(false, Relaxed) {
            return;
        }
        let seats = self.shared.seats();
        let is_here = |one: &Carried| seats.values().any(|seat| Arc::ptr_eq(seat, &one.seat));
        self.under_way.borrow_mut().retain(is_here);
        drop(seats);
        self.count();
    }

    /// Something has come on some of the connections.
    fn ready(&self) {
        self.tidy();
        // Where one is awaited, it is nearly always that.
        let lone = {
            let under_way = self.under_way.borrow();
            let is_lone = under_way.len() == 1;
            is_lone.then(|| Arc::clone(&under_way[0].seat))
        };
        if lone.is_some_and(|seat| self.turn(&seat, true) == Some(Next::Rests)) {
            return;
        }
        let mut ready = Vec::new();
        {
            let Some(told) = &self.told else { return };
            let Told { poll, events } = &mut *told.borrow_mut();
            if poll.poll(events, Some(Duration::ZERO)).is_ok() {
                let seat = |event: &mio::event::Event| {
                    let seat = self.shared.seat(event.token().0 as ConnId)?;
                    Some((seat, event.is_read_closed()))
                };
                ready.extend(events.iter().filter_map(seat));
            }
        }
        for (seat, has_ended) in ready {
            let next = self.turn(&seat, true);
            // Behind what was read is the end, of which nobody hears again.
            if has_ended
                && matches!(next, Some(Next::Waits | Next::Rests))
                && self.turn(&seat, true) == Some(Next::Waits)
            {
                // Its reader pauses before the end.
                self.after(&seat, seat.leave());
            }
        }
    }

    /// Whether something has come for what the port has under way.
    fn look(&self, port: PortId, wait: Duration) {
        for seat in self.seats_of(port) {
            if self.turn(&seat, true) == Some(Next::Waits) {
                self.after(&seat, seat.looked(wait));
            }
        }
    }

    /// Where a port's exchanges are under way.
    fn seats_of(&self, port: PortId) -> Vec<Arc<dyn Carrier>> {
        let under_way = self.under_way.borrow();
        let its = under_way.iter().filter(|one| one.port == port);
        its.map(|one| Arc::clone(&one.seat)).collect()
    }
}
