//! The process-wide I/O thread: a tokio `current_thread` runtime on its own thread, made at first use.
//!
//! Everything on it is single-threaded: connections live in [`Io`], which closures sent with [`run`] reach in the
//! order they were sent. The thread holds nothing that keeps a process alive, and lives as long as the process: what it runs
//! is contained (`crate::contain`). Should it end nevertheless, all that is under way fails, and whatever comes next
//! starts another one; so does a request after one for which no thread could be had.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::agent::{PortId, ENGINE};
use crate::config::LAZY_WAKE;
use crate::connect::{Profile, SocketOption};
use crate::contain::{contain, Contained};
use crate::error::{Failure, ENGINE_FAILED};
use crate::exchange::connection::{Host, Owner, Task};
use crate::exchange::events::Events;
use crate::exchange::mailbox::{Begin, Input, Mailbox};
use crate::faults::{self, Stage};
use crate::fetch;
use crate::fetch::engine::{Companion, Content};
use crate::metrics::Metrics;
use crate::pool::{CloseReason, ConnId, ExchangeId, LastAnswer, WaiterId};

/// The port of connections whose thread has ended.
const NO_PORT: PortId = 0;

type Job = Box<dyn FnOnce(&Io) + Send>;

/// The thread's jobs; none: it has never been started, or could not be.
static JOBS: RwLock<Option<mpsc::UnboundedSender<Job>>> = RwLock::new(None);

/// Runs `job` on the I/O thread, after those sent before it. If there is no such thread, and none can be had, it is dropped:
/// who has to tell somebody of that asks whether one is [`ready`] before, or has what it captures tell when it is dropped.
pub fn run(job: impl FnOnce(&Io) + Send + 'static) {
    if let Err(job) = send(Box::new(job)) {
        if ready().is_ok() {
            drop(send(job));
        }
    }
}

/// Gives a job back that there is no thread for.
fn send(job: Job) -> Result<(), Job> {
    match &*JOBS.read().unwrap_or_else(PoisonError::into_inner) {
        Some(jobs) => jobs.send(job).map_err(|refused| refused.0),
        None => Err(job),
    }
}

/// Sees to it that there is an I/O thread.
///
/// # Errors
///
/// What the system says: there is no descriptor left for it, or no thread.
pub fn ready() -> Result<(), Box<Failure>> {
    let is_there = |jobs: &Option<mpsc::UnboundedSender<Job>>| {
        jobs.as_ref().is_some_and(|jobs| !jobs.is_closed())
    };
    if is_there(&JOBS.read().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(());
    }
    let mut jobs = JOBS.write().unwrap_or_else(PoisonError::into_inner);
    if !is_there(&jobs) {
        *jobs = Some(start()?);
    }
    Ok(())
}

fn start() -> Result<mpsc::UnboundedSender<Job>, Box<Failure>> {
    let refused = |syscall| {
        move |error: std::io::Error| Box::new(Failure::from_io(&error, syscall, None, None))
    };
    // Built here, so that whoever needs it hears why there is none.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(|| drop(contain(before_park)))
        .build()
        .map_err(refused("epoll_create"))?;
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::Builder::new()
        .name("keepwire-io".into())
        .spawn(move || live(runtime, receiver))
        .map_err(refused("pthread_create"))?;
    Ok(sender)
}

fn live(runtime: Runtime, jobs: mpsc::UnboundedReceiver<Job>) {
    ON_IO_THREAD.set(true);
    let tasks = LocalSet::new();
    let ended = contain(|| tasks.block_on(&runtime, serve(jobs)));
    // The jobs that were left are gone by now, so that what is told from here on finds another thread.
    ON_IO_THREAD.set(false);
    if ended.is_err() {
        ENGINE.forget_timers();
        fetch::restart();
        // Each of them tells its end.
        drop(contain(|| drop(tasks)));
        drop(contain(|| drop(runtime)));
        drop(contain(before_park));
    }
}

/// What is told of what was under way when the thread ended.
pub fn ended() -> Failure {
    let message = "keepwire's engine failed: its thread ended before it could do this";
    Failure::new(ENGINE_FAILED, message)
}

thread_local! {
    /// Those who have news for another thread: woken when this thread has nothing else to do.
    static NEWS: RefCell<Vec<Arc<dyn Events>>> = const { RefCell::new(Vec::new()) };
    static ON_IO_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether the caller is on the I/O thread.
pub fn on_io_thread() -> bool {
    ON_IO_THREAD.get()
}

/// Wakes `events` once the I/O thread has done all that is ready: one wake-up then serves a batch.
pub fn wake_when_done(events: Arc<dyn Events>) {
    NEWS.with_borrow_mut(|news| news.push(events));
}

fn before_park() {
    let news = NEWS.take();
    for events in &news {
        events.wake();
    }
}

async fn serve(mut jobs: mpsc::UnboundedReceiver<Job>) {
    let io = Rc::new_cyclic(|me| Io {
        me: me.clone(),
        connections: RefCell::default(),
        exchanges: RefCell::default(),
        reminders: RefCell::default(),
    });
    while let Some(job) = jobs.recv().await {
        // Whoever sent one that concerns somebody contains it by itself, or has its drop tell.
        drop(contain(|| {
            faults::at(Stage::Job);
            job(&io);
        }));
        faults::at(Stage::Thread);
    }
}

/// What the I/O thread holds.
pub struct Io {
    me: std::rc::Weak<Io>,
    connections: RefCell<HashMap<ConnId, Rc<Connection>>>,
    exchanges: RefCell<HashMap<(PortId, ExchangeId), Rc<Connection>>>,
    reminders: RefCell<Vec<Rc<Connection>>>,
}

/// Where a connection writes down what it does.
pub struct Books {
    /// Counters of its origin.
    pub metrics: Arc<Metrics>,
    /// Its last response, in the engine's ms.
    pub answered: Arc<LastAnswer>,
}

struct Connection {
    owner: Rc<Owner>,
    answered: Arc<LastAnswer>,
    port: Cell<PortId>,
    exchange: Cell<ExchangeId>,
    /// The exchange has had its response, or its failure.
    is_over: Cell<bool>,
    mailbox: Rc<Mailbox>,
    /// Between it and its owner, once it has carried a fetch for it.
    companion: RefCell<Option<Arc<Companion>>>,
}

impl Io {
    /// Opens a connection for a waiter.
    pub fn open(
        &self,
        waiter: WaiterId,
        conn: ConnId,
        profile: Arc<Profile>,
        events: Arc<dyn Events>,
        books: Books,
    ) {
        let connection = Rc::new(Connection {
            owner: Rc::new(Owner::new(conn, profile, events, books.metrics)),
            answered: books.answered,
            port: Cell::new(waiter.port),
            exchange: Cell::new(waiter.exchange),
            is_over: Cell::new(false),
            mailbox: Rc::default(),
            companion: RefCell::default(),
        });
        self.connections
            .borrow_mut()
            .insert(conn, Rc::clone(&connection));
        let task = Task {
            owner: Rc::clone(&connection.owner),
            exchange: waiter.exchange,
            mailbox: Rc::clone(&connection.mailbox),
            host: Box::new(OnIoThread {
                io: self.me.clone(),
                connection: Rc::clone(&connection),
            }),
        };
        let mut ending = Ending {
            io: self.me.clone(),
            connection,
            is_told: false,
        };
        tokio::task::spawn_local(async move {
            match Contained::new(task.run()).await {
                Ok(reason) => ending.tell(reason),
                Err(failure) => ending.fail(&failure),
            }
        });
    }

    /// Makes an idle connection another agent's, under another number, for a waiter. If it has ended, or is about to, one is
    /// opened in its place.
    pub fn adopt(
        &self,
        former: ConnId,
        waiter: WaiterId,
        conn: ConnId,
        profile: Arc<Profile>,
        events: Arc<dyn Events>,
        books: Books,
    ) {
        let found = self.connections.borrow_mut().remove(&former);
        let Some(connection) = found.filter(|found| found.mailbox.killed().is_none()) else {
            self.open(waiter, conn, profile, events, books);
            return;
        };
        self.end_exchange(&connection);
        connection.port.set(waiter.port);
        connection.exchange.set(waiter.exchange);
        connection.is_over.set(false);
        connection
            .owner
            .hand_over(conn, profile, events, books.metrics);
        connection.companion.take();
        self.connections.borrow_mut().insert(conn, connection);
        ENGINE.connected(conn);
    }

    fn forget(&self, connection: &Connection) {
        self.connections
            .borrow_mut()
            .remove(&connection.owner.conn());
        self.end_exchange(connection);
    }

    /// Forgets who has used a connection last. Numbers come again after some thousands of exchanges, so the same one may
    /// be another connection's by now.
    fn end_exchange(&self, connection: &Connection) {
        let exchange = (connection.port.get(), connection.exchange.get());
        let mut exchanges = self.exchanges.borrow_mut();
        if exchanges
            .get(&exchange)
            .is_some_and(|holder| std::ptr::eq(&**holder, connection))
        {
            exchanges.remove(&exchange);
        }
    }

    /// An exchange begins on a connection that it has leased.
    pub fn begin(&self, port: PortId, conn: ConnId, begin: Begin, content: Content) {
        let Some(connection) = self.connections.borrow().get(&conn).cloned() else {
            return;
        };
        self.end_exchange(&connection);
        connection.exchange.set(begin.exchange);
        connection.is_over.set(false);
        self.exchanges
            .borrow_mut()
            .insert((port, begin.exchange), Rc::clone(&connection));
        let mut companion = connection.companion.borrow_mut();
        if companion.is_none() && content == Content::Fetched {
            let made = Arc::new(Companion::new(port, connection.owner.events()));
            connection.owner.tell(Arc::clone(&made) as _);
            *companion = Some(made);
        }
        if let Some(companion) = &*companion {
            companion.begin(begin.exchange, content);
        }
        connection.mailbox.push(Input::Begin(begin));
    }

    /// Delivers a command of an exchange; one that has ended hears nothing.
    pub fn input(&self, port: PortId, exchange: ExchangeId, input: Input) {
        if let Input::Ack(bytes) = input {
            if fetch::acknowledge(port, exchange, bytes) {
                return;
            }
        }
        if let Some(input) = self.deliver(port, exchange, input) {
            fetch::input(port, exchange, input);
        }
    }

    /// Delivers a command of an exchange to its connection alone.
    pub fn input_to_connection(&self, port: PortId, exchange: ExchangeId, input: Input) {
        let _ = self.deliver(port, exchange, input);
    }

    /// Gives back what is for no connection.
    fn deliver(&self, port: PortId, exchange: ExchangeId, input: Input) -> Option<Input> {
        let exchanges = self.exchanges.borrow();
        let Some(connection) = exchanges.get(&(port, exchange)) else {
            return Some(input);
        };
        connection.mailbox.push(input);
        None
    }

    /// Delivers a command of a connection.
    pub fn socket(&self, conn: ConnId, input: Input) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.mailbox.push(input);
        }
    }

    /// Sets an option of a connection's socket.
    pub fn set_option(&self, conn: ConnId, option: SocketOption) -> Option<std::io::Result<()>> {
        self.connections
            .borrow()
            .get(&conn)?
            .owner
            .set_option(option)
    }

    /// The type of service of what a connection sends.
    pub fn type_of_service(&self, conn: ConnId) -> Option<std::io::Result<u8>> {
        self.connections
            .borrow()
            .get(&conn)?
            .owner
            .type_of_service()
    }

    /// Closes a connection, whatever it is doing.
    pub fn kill(&self, conn: ConnId, reason: CloseReason) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.mailbox.kill(reason);
        }
    }

    /// The idle connection outlives its thread.
    pub fn leave(&self, conn: ConnId) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.port.set(NO_PORT);
        }
    }

    /// Closes the connection of an exchange under way.
    pub fn kill_exchange(&self, port: PortId, exchange: ExchangeId, reason: CloseReason) {
        if let Some(connection) = self.exchanges.borrow().get(&(port, exchange)) {
            connection.mailbox.kill(reason);
        }
    }

    /// Lets a connection go on whose peer was asked about.
    pub fn approve(&self, conn: ConnId) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.mailbox.approve();
        }
    }

    /// Tells a connection that is being opened what its name stands for.
    pub fn resolved(&self, conn: ConnId, addresses: Vec<String>) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.mailbox.resolve(addresses);
        }
    }

    /// Closes every connection of a thread.
    pub fn kill_port(&self, port: PortId, reason: CloseReason) {
        fetch::abort_port(port);
        let connections = self.connections.borrow();
        for connection in connections
            .values()
            .filter(|connection| connection.port.get() == port)
        {
            connection.mailbox.kill(reason);
        }
    }

    /// Calls `what` when the connections that were told something before have heard it.
    pub fn call_next(&self, what: impl FnOnce() + 'static) {
        tokio::task::spawn_local(async move { what() });
    }

    /// Calls `what` after `ms` milliseconds.
    pub fn call_after(&self, ms: u64, what: impl FnOnce() + 'static) {
        tokio::task::spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            what();
        });
    }

    /// Has `connection` say a little later what it has not said by then; one timer serves all.
    fn remind(&self, connection: Rc<Connection>) {
        let mut reminders = self.reminders.borrow_mut();
        reminders.push(connection);
        if reminders.len() > 1 {
            return;
        }
        let Some(io) = self.me.upgrade() else { return };
        tokio::task::spawn_local(async move {
            tokio::time::sleep(LAZY_WAKE).await;
            for connection in io.reminders.take() {
                if connection.mailbox.ack_pending.get() {
                    connection.mailbox.push(Input::Tick);
                }
                connection.owner.events().wake();
            }
        });
    }
}

/// Tells a connection's end, however its task ends.
struct Ending {
    io: std::rc::Weak<Io>,
    connection: Rc<Connection>,
    is_told: bool,
}

impl Ending {
    fn tell(&mut self, reason: CloseReason) {
        self.is_told = true;
        if let Some(io) = self.io.upgrade() {
            io.forget(&self.connection);
        }
        let owner = &self.connection.owner;
        owner.metrics().closed[reason as usize].fetch_add(1, Relaxed);
        let idle = ENGINE.gone(owner.conn(), reason);
        owner.events().closed(owner.conn(), reason, idle);
    }

    /// The same for one that ended otherwise than it should: its exchange, if it is not over, hears why.
    fn fail(&mut self, failure: &Failure) {
        let owner = &self.connection.owner;
        owner.metrics().errors.add(failure.code.clone());
        if !self.connection.is_over.get() {
            let exchange = self.connection.exchange.get();
            owner.events().failed(exchange, failure, false);
        }
        self.tell(CloseReason::Error);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_told {
            drop(contain(|| self.fail(&ended())));
        }
    }
}

/// The engine, as a connection's task sees it.
struct OnIoThread {
    io: std::rc::Weak<Io>,
    connection: Rc<Connection>,
}

impl Host for OnIoThread {
    fn remind(&self) {
        if let Some(io) = self.io.upgrade() {
            io.remind(Rc::clone(&self.connection));
        }
    }

    fn connected(&self) {
        ENGINE.connected(self.connection.owner.conn());
    }

    fn died(&self, reason: CloseReason) -> bool {
        ENGINE.died(self.connection.owner.conn(), reason)
    }

    fn doom(&self, reason: CloseReason) {
        ENGINE.doom(self.connection.owner.conn(), reason);
    }

    fn answered(&self, says_close: bool) {
        self.connection.answered.note(ENGINE.now(), says_close);
        self.connection.is_over.set(true);
    }

    fn ended_by_peer(&self) {
        ENGINE.ended_by_peer(self.connection.owner.conn());
    }

    fn redial(&self) {
        ENGINE.redial(self.connection.owner.conn());
    }
}

#[cfg(test)]
pub(crate) mod tests;
