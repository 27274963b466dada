//! Records: what the engine tells JavaScript, gathered until JavaScript fetches it.
//!
//! One flag coalesces wake-ups: set by whoever wakes, cleared by the fetch. On the I/O thread a wake-up waits until that
//! thread has nothing else to do (or [`WAKE_AFTER_RECORDS`] have come), so one serves a batch.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use super::head_cache::HeadCache;
use super::in_loop::InLoop;
use super::layout::{record, ALIGN, RECORD_HEADER};
use crate::config::WAKE_AFTER_RECORDS;
use crate::io_thread::{self, AfterTurn};
use crate::pool::{ConnId, ExchangeId};

/// Calls into JavaScript's thread.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// The records of one port.
pub struct Completions {
    me: Weak<Completions>,
    queue: Mutex<Queue>,
    wake: Mutex<Option<Wake>>,
    /// JavaScript has been woken and has not fetched yet.
    woken: AtomicBool,
    /// The I/O thread has this port on its list of those to wake.
    listed: AtomicBool,
    undelivered: AtomicU32,
    /// JavaScript looks names up, and not the system.
    pub(super) looks_up: AtomicBool,
    /// By which its thread carries exchanges itself.
    in_loop: Mutex<Option<Arc<InLoop>>>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) bytes: Vec<u8>,
    /// Where the records begin that have not been fetched.
    start: usize,
    /// Where those begin that are fetched with a failure behind them.
    pub(super) held: Option<usize>,
    chunks: VecDeque<Chunk>,
    pub(super) closed_idle: Vec<ConnId>,
    pub(super) heads: HeadCache,
}

/// What DATA records announce.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes of the engine's.
    Owned(Bytes),
    /// The buffer that JavaScript has lent for this exchange.
    Lent(ExchangeId),
}

/// What a fetch gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// So many bytes of whole records.
    Bytes(usize),
    /// The next record alone needs a buffer of so many bytes.
    Needs(usize),
}

impl Completions {
    /// An empty queue whose owner is woken by `wake`.
    pub fn new(wake: Wake) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            queue: Mutex::default(),
            wake: Mutex::new(Some(wake)),
            woken: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            undelivered: AtomicU32::new(0),
            looks_up: AtomicBool::new(false),
            in_loop: Mutex::default(),
        })
    }

    /// Says who looks names up from now on.
    pub fn set_looks_up(&self, on: bool) {
        self.looks_up.store(on, Ordering::Relaxed);
    }

    /// Its thread carries exchanges itself, from now on.
    pub(super) fn carry_by(&self, in_loop: Arc<InLoop>) {
        *self.in_loop() = Some(in_loop);
    }

    pub(super) fn in_loop(&self) -> MutexGuard<'_, Option<Arc<InLoop>>> {
        self.in_loop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes nobody from now on.
    pub fn close(&self) {
        self.set_looks_up(false);
        // A connection that outlives its thread would keep the loop's descriptor.
        drop(self.in_loop().take());
        drop(
            self.wake
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves whole records into `buffer`.
    pub fn fetch(&self, buffer: &mut [u8]) -> Fetched {
        self.woken.store(false, Ordering::Release);
        let mut queue = self.queue();
        let Queue {
            bytes,
            start,
            held,
            closed_idle,
            ..
        } = &mut *queue;
        let records = &bytes[*start..held.unwrap_or(bytes.len())];
        let mut end = records.len();
        if end > buffer.len() {
            end = 0;
            loop {
                let len = record_len(&records[end..]);
                if end + len > buffer.len() {
                    break;
                }
                end += len;
            }
            if end == 0 {
                return Fetched::Needs(record_len(records));
            }
        }
        buffer[..end].copy_from_slice(&records[..end]);
        *start += end;
        if *start == bytes.len() {
            bytes.clear();
            *start = 0;
            *held = held.map(|_| 0);
            // A burst's memory is given back; the steady state's is kept.
            bytes.shrink_to(1 << 20);
            self.undelivered.store(0, Ordering::Relaxed);
            // Their CLOSED records have just been fetched.
            closed_idle.clear();
        }
        Fetched::Bytes(end)
    }

    /// The next chunk that a DATA record announced.
    pub fn take_chunk(&self) -> Option<Chunk> {
        self.queue().chunks.pop_front()
    }

    /// Connections that closed while idle since the last call.
    pub fn take_closed_idle(&self) -> Vec<ConnId> {
        std::mem::take(&mut self.queue().closed_idle)
    }

    /// Appends a record and sees to it that it is fetched; a lazy one waits for [`wake`](crate::exchange::events::Events::wake) or another.
    pub(super) fn push(&self, lazy: bool, write: impl FnOnce(&mut Queue)) {
        write(&mut self.queue());
        let undelivered = self.undelivered.fetch_add(1, Ordering::Relaxed) + 1;
        if lazy || self.woken.load(Ordering::Acquire) {
            return;
        }
        if !io_thread::is_current() || undelivered >= WAKE_AFTER_RECORDS {
            self.wake_now();
        } else if !self.listed.swap(true, Ordering::AcqRel) {
            if let Some(me) = self.me.upgrade() {
                io_thread::tell_after_turn(me);
            }
        }
    }

    pub(super) fn push_chunk(&self, exchange: ExchangeId, flags: u8, len: usize, chunk: Chunk) {
        let flags = record::EXTERNAL | flags;
        self.push(false, |queue| {
            queue.record(record::DATA, flags, 0, exchange, len as u32, [&[], &[]]);
            queue.chunks.push_back(chunk);
        });
    }

    /// Wakes JavaScript's thread, unless it has fetched all.
    pub(super) fn wake_for_rest(&self) {
        self.listed.store(false, Ordering::Release);
        if self.undelivered.load(Ordering::Relaxed) > 0 {
            self.wake_now();
        }
    }

    fn wake_now(&self) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(wake) = &*self.wake.lock().unwrap_or_else(PoisonError::into_inner) {
            wake();
        }
    }
}

impl Queue {
    pub(super) fn record(
        &mut self,
        kind: u8,
        flags: u8,
        aux: u16,
        id: u64,
        extra: u32,
        parts: [&[u8]; 2],
    ) {
        let [first, second] = parts;
        let bytes = &mut self.bytes;
        bytes.reserve(RECORD_HEADER + first.len() + second.len() + 2 * ALIGN);
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&aux.to_le_bytes());
        bytes.extend_from_slice(&(first.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&extra.to_le_bytes());
        for part in [first, second] {
            bytes.extend_from_slice(part);
            bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        }
    }
}

/// Bytes of the record at the start of `records`, header and padding included.
fn record_len(records: &[u8]) -> usize {
    let field = |at: usize| {
        let bytes = records
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        u32::from_le_bytes(bytes.unwrap_or_default()) as usize
    };
    let first = field(4).next_multiple_of(ALIGN);
    let second = match records.first() {
        Some(&record::RESPONSE) => field(16).next_multiple_of(ALIGN),
        _ => 0,
    };
    RECORD_HEADER + first + second
}

impl AfterTurn for Completions {
    fn after_turn(&self) {
        self.wake_for_rest();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::config::INLINE_BODY;
    use crate::error::Failure;
    use crate::exchange::events::Events;

    #[test]
    fn a_lent_buffer_comes_back_in_its_place_among_the_chunks() {
        let completions = Completions::new(Box::new(|| {}));
        let chunk = Bytes::from(vec![7; INLINE_BODY]);
        completions.data(1, chunk.clone(), false);
        completions.filled(2, INLINE_BODY);
        completions.data(3, chunk.clone(), false);
        let mut buffer = [0; 200];
        let length = 3 * RECORD_HEADER;
        assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(length));
        assert_eq!(completions.take_chunk(), Some(Chunk::Owned(chunk.clone())));
        assert_eq!(completions.take_chunk(), Some(Chunk::Lent(2)));
        assert_eq!(completions.take_chunk(), Some(Chunk::Owned(chunk)));
        assert_eq!(completions.take_chunk(), None);
    }

    #[test]
    fn a_fetch_moves_whole_records_only() {
        let completions = Completions::new(Box::new(|| {}));
        for _ in 0..3 {
            completions.data(1, Bytes::from_static(b"hello"), false);
        }
        let mut buffer = [0; 60];
        assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(56));
        assert_eq!(completions.fetch(&mut buffer[..20]), Fetched::Needs(28));
        assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(28));
        assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(0));
    }

    #[test]
    fn what_is_held_is_fetched_with_the_failure_behind_it() {
        let completions = Completions::new(Box::new(|| {}));
        let mut buffer = [0; 1024];
        for before in [0, 1] {
            for _ in 0..before {
                completions.end(1, true, true, &[]);
            }
            completions.hold();
            completions.end(2, true, true, &[]);
            let length = before * RECORD_HEADER;
            assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(length));
            assert_eq!(completions.fetch(&mut buffer), Fetched::Bytes(0));
            completions.failed(2, &Failure::hang_up(), true);
            let Fetched::Bytes(length) = completions.fetch(&mut buffer) else {
                panic!("nothing is left behind");
            };
            assert_eq!(
                [buffer[0], buffer[RECORD_HEADER]],
                [record::END, record::ERROR]
            );
            assert_eq!(length, RECORD_HEADER + record_len(&buffer[RECORD_HEADER..]));
        }
    }

    #[test]
    fn wake_ups_are_coalesced_until_the_fetch() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let completions = Completions::new(Box::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        completions.end(1, true, true, &[]);
        completions.end(2, true, true, &[]);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        completions.fetch(&mut [0; 64]);
        completions.written(3, 1, false);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        completions.wake();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
