//! The threads that take content codings off: never the I/O thread, whose other exchanges would wait.
//!
//! Each piece of work is short ([`Content::work`] sees to that), and goes to the end of the queue when it is not done: bodies
//! take turns, however much comes out of them. What is far longer decoded than it came goes on at a low priority. Threads are
//! started when they are needed and end when they have had nothing to do for a while. What nobody waits for any more is dropped
//! before its next turn.

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
    /// Decoded bytes from which on it gives way.
    worth: usize,
    reply: oneshot::Sender<Worked>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

/// Threads, and the queue before them.
struct Decoders {
    queue: Mutex<Queue>,
    came: Condvar,
    gives_way: bool,
}

/// For what is worth its bytes.
static DECODERS: Decoders = Decoders::new(false);

/// For the rest of bodies that stand for far more than they have on the wire. Where cores are few, whoever makes requests comes
/// first: these have what is left.
static PATIENT: Decoders = Decoders::new(true);

/// A tenth of what others get on a core that is wanted by both: a body that many equal lines have made so short must not
/// starve. Of Linux's threads each has a priority of its own; elsewhere it would be the process's.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Has `content` decode until it has `most` bytes, is hungry or over. What it has beyond `worth` bytes gives way to
/// others.
///
/// # Errors
///
/// The system's, if there is no thread and none can be started.
pub fn decode(
    content: Content,
    most: usize,
    worth: usize,
) -> io::Result<oneshot::Receiver<Worked>> {
    let (reply, worked) = oneshot::channel();
    let work = Work {
        content,
        most,
        worth,
        reply,
    };
    DECODERS.take(work).map_err(|(_, error)| error)?;
    Ok(worked)
}

fn most_threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, MOST_THREADS)
}

impl Decoders {
    const fn new(gives_way: bool) -> Self {
        Self {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                threads: 0,
                idle: 0,
            }),
            came: Condvar::new(),
            gives_way,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&'static self, work: Work) -> Result<(), (Work, io::Error)> {
        let mut queue = self.lock();
        if queue.waiting.len() >= queue.idle && queue.threads < most_threads() {
            let started = thread::Builder::new()
                .name("keepwire-decode".into())
                .spawn(|| self.serve());
            match started {
                Ok(_) => queue.threads += 1,
                // Those that are there will come to it.
                Err(_) if queue.threads > 0 => {}
                Err(error) => return Err((work, error)),
            }
        }
        queue.waiting.push_back(work);
        drop(queue);
        self.came.notify_one();
        Ok(())
    }

    fn serve(&'static self) {
        #[cfg(target_os = "linux")]
        if self.gives_way {
            // Refused, it goes on as the others do.
            let _ = rustix::process::setpriority_process(None, NICE);
        }
        while let Some(work) = self.next() {
            // Given up: freed at once.
            if work.reply.is_closed() {
                continue;
            }
            let Some(mut unfinished) = work.carry_on() else {
                continue;
            };
            if !self.gives_way && unfinished.content.decoded().len() > unfinished.worth {
                // Without a thread for it, it goes on here.
                if let Err((unfinished, _)) = PATIENT.take(unfinished) {
                    self.lock().waiting.push_back(unfinished);
                }
            } else {
                self.lock().waiting.push_back(unfinished);
            }
        }
    }

    /// The next piece of work; none for a long time: the thread ends.
    fn next(&self) -> Option<Work> {
        let mut queue = self.lock();
        loop {
            if let Some(work) = queue.waiting.pop_front() {
                return Some(work);
            }
            queue.idle += 1;
            let (woken, waited) = self
                .came
                .wait_timeout(queue, IDLE_TIME)
                .unwrap_or_else(PoisonError::into_inner);
            queue = woken;
            queue.idle -= 1;
            if waited.timed_out() && queue.waiting.is_empty() {
                queue.threads -= 1;
                return None;
            }
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
            let (_, failed) = decode(content, 10, 10).unwrap().await.unwrap();
            assert!(failed.is_err());
            let (_, progress) = decode(Content::new(&[Coding::Gzip]), 10, 10)
                .unwrap()
                .await
                .unwrap();
            assert_eq!(progress.unwrap(), Progress::Hungry);
        }
    }
}
