//! The threads that take content codings off: never the I/O thread, whose other exchanges would wait.
//!
//! Each piece of work is short ([`Content::work`] sees to that), and goes to the end of the queue when it is not done: bodies
//! take turns, however much comes out of them. What is far longer decoded than it came goes on where nothing else wants a core,
//! and a twentieth of the time where something always does. Threads are started when they are needed and end when they have had
//! nothing to do for a while. What nobody waits for any more is dropped before its next turn.

use std::collections::VecDeque;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

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
    /// Until then it does not.
    until: Option<Instant>,
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

/// For the rest of bodies that stand for far more than they have on the wire: these have what whoever makes requests leaves.
static LEFTOVERS: Decoders = Decoders::new(true);

/// A piece takes less than a millisecond. One that took so long has waited for a core.
const STARVED: Duration = Duration::from_millis(100);

/// What has waited goes on beside the others for a twentieth of that time: a body that many equal lines have made so short must
/// not starve.
const SHARE: u32 = 20;

/// Has this thread run only where no other wants to: a low priority still holds a core for some milliseconds when others wake up.
/// Elsewhere than on Linux a thread has none of its own, or gets no higher one back.
#[cfg(target_os = "linux")]
fn have_leftovers() {
    use thread_priority::{
        set_thread_priority_and_policy, thread_native_id, NormalThreadSchedulePolicy,
        ThreadPriority, ThreadSchedulePolicy,
    };
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // Refused, it goes on as the others do.
    let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
}

#[cfg(not(target_os = "linux"))]
fn have_leftovers() {}

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
        until: None,
        reply,
    };
    DECODERS.take(work).map_err(|refused| refused.1)?;
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

    fn take(&'static self, work: Work) -> Result<(), Box<(Work, io::Error)>> {
        let mut queue = self.lock();
        if queue.waiting.len() >= queue.idle && queue.threads < most_threads() {
            let started = thread::Builder::new()
                .name("keepwire-decode".into())
                .spawn(|| self.serve());
            match started {
                Ok(_) => queue.threads += 1,
                // Those that are there will come to it.
                Err(_) if queue.threads > 0 => {}
                Err(error) => return Err(Box::new((work, error))),
            }
        }
        queue.waiting.push_back(work);
        drop(queue);
        self.came.notify_one();
        Ok(())
    }

    fn serve(&'static self) {
        if self.gives_way {
            have_leftovers();
        }
        while let Some(work) = self.next() {
            // Given up: freed at once.
            if work.reply.is_closed() {
                continue;
            }
            let began = Instant::now();
            let Some(mut unfinished) = work.carry_on() else {
                continue;
            };
            let elsewhere = if self.gives_way {
                let took = began.elapsed();
                unfinished.until = (took > STARVED).then(|| Instant::now() + took / SHARE);
                unfinished.until.is_some().then_some(&DECODERS)
            } else {
                unfinished.gives_way().then_some(&LEFTOVERS)
            };
            let kept = match elsewhere {
                None => Some(unfinished),
                // Without a thread for it, it goes on here.
                Some(decoders) => match decoders.take(unfinished) {
                    Ok(()) => None,
                    Err(refused) => Some(refused.0),
                },
            };
            self.lock().waiting.extend(kept);
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
    /// Whether others come first.
    fn gives_way(&mut self) -> bool {
        self.content.decoded().len() > self.worth
            && self.until.is_none_or(|until| until <= Instant::now())
    }

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

    #[test]
    fn what_has_waited_for_a_core_goes_on_beside_the_others_for_a_while() {
        let mut work = Work {
            content: Content::default(),
            most: 10,
            worth: 0,
            until: None,
            reply: oneshot::channel().0,
        };
        assert!(!work.gives_way(), "it is worth its bytes");
        work.content.decoded().push(0);
        assert!(work.gives_way());
        work.until = Some(Instant::now() + Duration::from_secs(1_000));
        assert!(!work.gives_way());
        work.until = Some(Instant::now());
        assert!(work.gives_way());
    }

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
