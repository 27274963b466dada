//! The process-wide I/O thread: a tokio `current_thread` runtime on its own thread, made at first use.
//!
//! It runs jobs in the order they were sent, and knows nothing of what they do. It holds nothing that keeps a process
//! alive, and lives as long as the process: what it runs is contained (`crate::contain`). Should it end nevertheless, all
//! that is under way fails, and whatever comes next starts another one; so does a request after one for which no thread
//! could be had. Whoever keeps things on it forgets them then ([`at_end`]).

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::contain::contain;
use crate::error::{Failure, ENGINE_FAILED};
use crate::faults::{self, FaultPoint};

type Job = Box<dyn FnOnce() + Send>;

/// The thread's jobs; none: it has never been started, or could not be.
static JOBS: RwLock<Option<mpsc::UnboundedSender<Job>>> = RwLock::new(None);

/// What is called when the thread has ended that should not have.
static AT_END: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Runs `job` on the I/O thread, after those sent before it. If there is no such thread, and none can be had, it is dropped:
/// who has to tell somebody of that asks whether one is [`ready`] before, or has what it captures tell when it is dropped.
pub fn run(job: impl FnOnce() + Send + 'static) {
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
        let hooks = AT_END
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for hook in hooks {
            drop(contain(hook));
        }
        // Each of them tells its end.
        drop(contain(|| drop(tasks)));
        drop(contain(|| drop(runtime)));
        drop(contain(before_park));
    }
}

/// Has `hook` called on the thread when it ends that should not, before its tasks are dropped.
pub fn at_end(hook: fn()) {
    AT_END
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(hook);
}

/// What is told of what was under way when the thread ended.
pub fn ended() -> Failure {
    let message = "keepwire's engine failed: its thread ended before it could do this";
    Failure::new(ENGINE_FAILED, message)
}

/// Is told when the I/O thread has done all that is ready.
pub trait AfterTurn: Send + Sync {
    /// It has.
    fn after_turn(&self);
}

thread_local! {
    /// Those who have news for another thread: told when this thread has nothing else to do.
    static NEWS: RefCell<Vec<Arc<dyn AfterTurn>>> = const { RefCell::new(Vec::new()) };
    static ON_IO_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether the caller is on the I/O thread.
pub fn is_current() -> bool {
    ON_IO_THREAD.get()
}

/// Tells `whom` once the I/O thread has done all that is ready: one wake-up then serves a batch.
pub fn tell_after_turn(whom: Arc<dyn AfterTurn>) {
    NEWS.with_borrow_mut(|news| news.push(whom));
}

fn before_park() {
    for whom in NEWS.take() {
        whom.after_turn();
    }
}

async fn serve(mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = jobs.recv().await {
        // Whoever sent one that concerns somebody contains it by itself, or has its drop tell.
        drop(contain(|| {
            faults::at(FaultPoint::Job);
            job();
        }));
        faults::at(FaultPoint::Thread);
    }
}

/// Calls `what` when the tasks that were woken before have had their turn. I/O thread only.
pub fn call_next(what: impl FnOnce() + 'static) {
    tokio::task::spawn_local(async move { what() });
}

/// Calls `what` after some time. I/O thread only.
pub fn call_after(time: Duration, what: impl FnOnce() + 'static) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(time).await;
        what();
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// Faults are the I/O thread's: tests that use the engine take turns.
    pub(crate) fn turn() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
