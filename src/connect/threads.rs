//! Threads for what blocks, name look-ups: made when they are needed, gone when they have had nothing to do for a while.
//!
//! tokio has such threads, and panics when the system gives it none. Here that is an error of the one who asked, and the next
//! one tries again.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::Lazy;
use tokio::sync::oneshot::{self, Receiver};
use tokio::time::timeout;

use crate::contain::contain;

/// As many as are made at once. A resolver that answers needs no more.
const AT_ONCE: usize = 8;
/// As many as there may be, when names that never answer hold others back, unless whoever asks says otherwise.
pub(super) const MOST: usize = 64;
/// How long work may wait for a thread until one more is made for it.
const HELD_BACK: Duration = Duration::from_millis(100);
/// How long a thread waits for more to do.
const IDLE: Duration = Duration::from_secs(10);

pub(super) type Work = Box<dyn FnOnce() + Send>;
type Start = fn(Work) -> io::Result<()>;

/// The threads for look-ups.
pub(super) static LOOKUPS: Lazy<Threads> = Lazy::new(|| Threads::new(start));

pub(super) fn start(work: Work) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("keepwire-lookup".into());
    thread.spawn(work).map(drop)
}

/// Does `work` on another thread.
///
/// # Errors
///
/// The system's, if there is no thread to do it, and [`io::ErrorKind::Interrupted`] if it panicked.
///
/// # Cancel safety
///
/// It is done all the same.
pub(super) async fn off_thread<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<R> {
    let (sender, done) = oneshot::channel();
    LOOKUPS.run(Box::new(move || drop(sender.send(work()))), MOST)?;
    LOOKUPS.wait(done, MOST).await
}

/// A bounded number of threads, and a queue before them.
pub(super) struct Threads {
    shared: Arc<Shared>,
    start: Start,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

impl Threads {
    pub(super) fn new(start: Start) -> Self {
        Self {
            shared: Arc::default(),
            start,
        }
    }

    /// Has `work` done; no thread is made for it where there are `most`.
    ///
    /// # Errors
    ///
    /// The system's, if there is no thread to do it, now or later.
    pub(super) fn run(&self, work: Work, most: usize) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.queue.push_back(work);
        if state.queue.len() <= state.idle || state.threads >= AT_ONCE.min(most.max(1)) {
            self.shared.more.notify_one();
            return Ok(());
        }
        match self.add(&mut state) {
            Ok(()) => {}
            // Those that are there will come to it.
            Err(_) if state.threads > 0 => self.shared.more.notify_one(),
            Err(error) => {
                state.queue.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits for what work sends, and has threads added, up to `most`, while work is held back.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Interrupted`] if it ended without sending anything: it panicked.
    pub(super) async fn wait<R>(&self, mut done: Receiver<R>, most: usize) -> io::Result<R> {
        let received = loop {
            if let Ok(received) = timeout(HELD_BACK, &mut done).await {
                break received;
            }
            if !self.relieve(most) {
                break done.await;
            }
        };
        received.map_err(|_dropped| io::ErrorKind::Interrupted.into())
    }

    /// Adds a thread if there is work that no thread has begun; false if there is none.
    fn relieve(&self, most: usize) -> bool {
        let mut state = self.shared.lock();
        if state.queue.is_empty() {
            return false;
        }
        if state.idle == 0 && state.threads < most {
            // If there is none to be had, work waits for those that are there.
            drop(self.add(&mut state));
        }
        true
    }

    fn add(&self, state: &mut State) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        (self.start)(Box::new(move || shared.work()))?;
        state.threads += 1;
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does, until there is nothing to do.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            while let Some(work) = state.queue.pop_front() {
                drop(state);
                // Who waits for it hears that it is gone.
                drop(contain(work));
                state = self.lock();
            }
            state.idle += 1;
            let (woken, waited) = self
                .more
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    use super::*;

    thread_local! {
        /// How many threads this one may still start.
        static LEFT: Cell<usize> = const { Cell::new(0) };
    }

    fn start_if_left(work: Work) -> io::Result<()> {
        if LEFT.get() == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        LEFT.set(LEFT.get() - 1);
        start(work)
    }

    #[test]
    fn without_a_thread_the_one_who_asks_fails_and_the_next_one_tries_again() {
        let threads = Threads::new(start_if_left);
        let (sender, done) = channel();
        let ask = |number: u32| {
            let sender = sender.clone();
            threads.run(Box::new(move || sender.send(number).unwrap()), MOST)
        };
        assert!(ask(1).is_err());
        LEFT.set(1);
        ask(2).unwrap();
        assert_eq!(done.recv(), Ok(2));
        // One thread is enough for more, if there is no other.
        for number in 3..100 {
            ask(number).unwrap();
        }
        let all: Vec<u32> = (3..100).map(|_| done.recv().unwrap()).collect();
        assert_eq!(all, (3..100).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_has_threads_added_up_to_the_bound_of_who_waits() {
        let threads = Threads::new(start);
        let (block, blocked) = {
            let (send, receive) = channel::<()>();
            (send, Arc::new(Mutex::new(receive)))
        };
        let (begin, begun) = channel();
        for _ in 0..20 {
            let (blocked, begin) = (Arc::clone(&blocked), begin.clone());
            let work = move || {
                begin.send(()).unwrap();
                let _ = blocked.lock().unwrap().recv();
            };
            threads.run(Box::new(work), 4).unwrap();
        }
        let ask = || {
            let (sender, done) = oneshot::channel();
            let work = Box::new(move || {
                let _ = sender.send(());
            });
            threads.run(work, 4).unwrap();
            done
        };
        for _ in 0..4 {
            begun.recv().unwrap();
        }
        // Time passes as nothing else happens: a minute is 600 chances to add one.
        let minute = Duration::from_secs(60);
        assert!(timeout(minute, threads.wait(ask(), 4)).await.is_err());
        assert_eq!(threads.shared.lock().threads, 4);
        let patient = timeout(minute, threads.wait(ask(), 40));
        let relieved = tokio::join!(patient, async {
            // Each of them has begun before the next one is missed.
            for _ in 4..20 {
                while begun.try_recv().is_err() {
                    tokio::time::sleep(HELD_BACK).await;
                    std::thread::yield_now();
                }
            }
        });
        drop(relieved);
        let made = threads.shared.lock().threads;
        assert!((20..=40).contains(&made), "{made} threads");
        drop(block);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_the_one_who_asked() {
        assert!(off_thread(|| panic!("a panic")).await.is_err());
        for number in 0..100 {
            assert_eq!(off_thread(move || number).await.unwrap(), number);
        }
    }
}
