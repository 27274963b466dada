//! The threads that take content codings off: never the I/O thread, whose other exchanges would wait.
//!
//! Each piece of work is short ([`Content::work`] sees to that), and goes to the end of the queue when it is not done: bodies
//! take turns, however much comes out of them. Threads are started when they are needed and end when they have had nothing
//! to do for a while. What nobody waits for any more is dropped before its next turn.

use std::collections::VecDeque;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::content::{Content, Progress};

/// Most threads, whatever the number of cores: half of those, to leave room for who makes requests.
const MOST_THREADS: usize = 4;
const IDLE_TIME: Duration = Duration::from_secs(5);

/// Content that has been worked on, and what came of it.
pub type Worked = (Content, io::Result<Progress>);

struct Work {
    content: Content,
    most: usize,
    reply: oneshot::Sender<Worked>,
}

#[derive(Default)]
struct Pool {
    queue: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    queue: VecDeque::new(),
    threads: 0,
    idle: 0,
});
static WORK_CAME: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `content` decode until it has `most` bytes, is hungry or over.
///
/// # Errors
///
/// The system's, if there is no thread and none can be started.
pub fn decode(content: Content, most: usize) -> io::Result<oneshot::Receiver<Worked>> {
    let (reply, worked) = oneshot::channel();
    let mut pool = pool();
    if pool.queue.len() >= pool.idle && pool.threads < most_threads() {
        let started = thread::Builder::new()
            .name("keepwire-decode".into())
            .spawn(serve);
        match started {
            Ok(_) => pool.threads += 1,
            // Those that are there will come to it.
            Err(_) if pool.threads > 0 => {}
            Err(error) => return Err(error),
        }
    }
    pool.queue.push_back(Work {
        content,
        most,
        reply,
    });
    drop(pool);
    WORK_CAME.notify_one();
    Ok(worked)
}

fn most_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MOST_THREADS)
}

fn serve() {
    while let Some(work) = next() {
        // Given up: freed at once.
        if work.reply.is_closed() {
            continue;
        }
        if let Some(unfinished) = work.carry_on() {
            pool().queue.push_back(unfinished);
        }
    }
}

/// The next piece of work; none for a long time: the thread ends.
fn next() -> Option<Work> {
    let mut pool = pool();
    loop {
        if let Some(work) = pool.queue.pop_front() {
            return Some(work);
        }
        pool.idle += 1;
        let (woken, waited) = WORK_CAME
            .wait_timeout(pool, IDLE_TIME)
            .unwrap_or_else(PoisonError::into_inner);
        pool = woken;
        pool.idle -= 1;
        if waited.timed_out() && pool.queue.is_empty() {
            pool.threads -= 1;
            return None;
        }
    }
}

impl Work {
    /// Does a part of it; back if there is more to do.
    fn carry_on(mut self) -> Option<Self> {
        let most = self.most;
        let content = &mut self.content;
        // A decoder that panics costs its own exchange only.
        let progress = catch_unwind(AssertUnwindSafe(|| content.work(most)));
        let (content, progress) = match progress {
            Ok(Ok(Progress::Paused)) => return Some(self),
            Ok(progress) => (self.content, progress),
            Err(_) => (
                Content::default(),
                Err(io::Error::other("the decoder has failed")),
            ),
        };
        // Nobody may want it any more.
        let _ = self.reply.send((content, progress));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::{panicking, Coding};
    use super::*;

    #[tokio::test]
    async fn a_decoder_that_panics_costs_its_own_exchange_only() {
        for _ in 0..20 {
            let mut content = panicking();
            content.feed(vec![0x1f].into());
            let (_, failed) = decode(content, 10).unwrap().await.unwrap();
            assert!(failed.is_err());
            let (_, progress) = decode(Content::new(&[Coding::Gzip]), 10)
                .unwrap()
                .await
                .unwrap();
            assert_eq!(progress.unwrap(), Progress::Hungry);
        }
    }
}
