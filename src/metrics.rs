//! What is counted per origin, and how long things took.
//!
//! Everything is an atomic number, so that the I/O thread counts without the pool's lock and whoever looks disturbs
//! nobody. A look is not one moment: numbers that belong together may differ by what happened meanwhile.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Close reasons are numbered from 1.
pub const REASONS: usize = 16;

/// The counters of one origin of an agent.
#[derive(Default)]
pub struct Metrics {
    /// Connections opened.
    pub created: AtomicU64,
    /// Requests that got a connection which was there already.
    pub reused: AtomicU64,
    /// Requests sent again on a fresh connection.
    pub retried: AtomicU64,
    /// Requests of which nothing was written, moved to a fresh connection.
    pub moved: AtomicU64,
    /// Requests that got a connection of their own because those that were idle had been so for too long.
    pub passed_over: AtomicU64,
    /// Connections closed, by the number of the reason.
    pub closed: [AtomicU64; REASONS],
    /// Requests that failed, by code.
    pub errors: Tally,
    /// Requests that fell back to the runtime's sockets, by reason.
    pub foreign: Tally,
    /// How long requests waited for a connection, of those that had to.
    pub wait: Histogram,
    /// How long connections took to open, name resolution included.
    pub connect: Histogram,
    /// From a request's hand-over to its response's head.
    pub first_byte: Histogram,
}

impl Metrics {
    /// Adds all that another one has counted.
    pub fn absorb(&self, other: &Metrics) {
        let pairs = [
            (&self.created, &other.created),
            (&self.reused, &other.reused),
            (&self.retried, &other.retried),
            (&self.moved, &other.moved),
            (&self.passed_over, &other.passed_over),
        ];
        let closed = self.closed.iter().zip(&other.closed);
        for (mine, theirs) in pairs.into_iter().chain(closed) {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.errors.absorb(&other.errors);
        self.foreign.absorb(&other.foreign);
        self.wait.absorb(&other.wait);
        self.connect.absorb(&other.connect);
        self.first_byte.absorb(&other.first_byte);
    }
}

/// Counts by name, of which there are few.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<Cow<'static, str>, u64>>);

impl Tally {
    /// Counts one.
    pub fn add(&self, name: Cow<'static, str>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(name).or_default() += 1;
    }

    /// Name and count, by name.
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = counts.iter();
        pairs
            .map(|(name, &count)| (name.to_string(), count))
            .collect()
    }

    fn absorb(&self, other: &Tally) {
        for (name, count) in other.snapshot() {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(name.into()).or_default() += count;
        }
    }
}

/// Buckets of a doubling.
const STEPS: u64 = 4;
/// Up to 2^36 µs: nineteen hours.
const BUCKETS: usize = 36 * STEPS as usize;

/// Times by size: each bucket's end is at most a quarter more than its start.
pub struct Histogram {
    buckets: [AtomicU32; BUCKETS],
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
            sum_us: AtomicU64::new(0),
            max_us: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts a time.
    pub fn record(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(us)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
        self.max_us.fetch_max(us, Relaxed);
    }

    /// Sum and largest in µs, then pairs: a bucket's end in µs (exclusive) and its count, of those that hold any.
    pub fn snapshot(&self) -> Vec<f64> {
        let mut numbers = vec![
            self.sum_us.load(Relaxed) as f64,
            self.max_us.load(Relaxed) as f64,
        ];
        for (at, bucket) in self.buckets.iter().enumerate() {
            let count = bucket.load(Relaxed);
            if count > 0 {
                numbers.extend([start_of(at + 1) as f64, f64::from(count)]);
            }
        }
        numbers
    }

    fn absorb(&self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter().zip(&other.buckets) {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.sum_us.fetch_add(other.sum_us.load(Relaxed), Relaxed);
        self.max_us.fetch_max(other.max_us.load(Relaxed), Relaxed);
    }
}

/// The first doublings are told apart by whole µs.
fn bucket_of(us: u64) -> usize {
    let us = us.clamp(1, 1 << 40);
    let doubling = u64::from(us.ilog2());
    let step = ((us - (1 << doubling)) * STEPS) >> doubling;
    ((doubling * STEPS + step) as usize).min(BUCKETS - 1)
}

/// The least µs of a bucket, rounded up: those between two whole numbers stay empty.
fn start_of(bucket: usize) -> u64 {
    let (doubling, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    ((STEPS + step) << doubling).div_ceil(STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_that_says_so() {
        for us in (0..5_000).chain([1 << 20, (1 << 30) + 12_345, (1 << 36) - 1]) {
            let bucket = bucket_of(us);
            assert!(start_of(bucket) <= us.max(1), "{us}");
            assert!(us < start_of(bucket + 1), "{us}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_was_counted_is_told_and_absorbed() {
        let (one, other) = (Metrics::default(), Metrics::default());
        one.wait.record(Duration::from_millis(3));
        other.wait.record(Duration::from_micros(10));
        other.errors.add("ECONNRESET".into());
        other.errors.add("ECONNRESET".into());
        one.absorb(&other);
        assert_eq!(one.errors.snapshot(), [("ECONNRESET".into(), 2)]);
        let wait = one.wait.snapshot();
        assert_eq!(wait[..4], [3_010.0, 3_000.0, 12.0, 1.0]);
        assert_eq!(wait.len(), 6);
    }
}
