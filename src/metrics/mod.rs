//! What is counted per origin, and how long things took.
//!
//! * [`histogram`]: times by size.
//! * [`lifetime`]: sums of the process, by place, that outlive agents.
//! * [`proxies`]: what proxies on the way have done.
//!
//! Everything is an atomic number, so that the I/O thread counts without the pool's lock and whoever looks disturbs
//! nobody. A look is not one moment: numbers that belong together may differ by what happened meanwhile.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub mod histogram;
pub mod lifetime;
pub mod proxies;

pub use histogram::Histogram;

/// Close reasons are numbered from 1.
pub const REASONS: usize = 17;

/// How many [`Metrics::times`] there are.
pub const TIMES: usize = 8;

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
    /// Connections closed, by the number of the reason, those that were never open included.
    pub closed: [AtomicU64; REASONS],
    /// The same of those that were open, and have gone to no other agent.
    pub ended: [AtomicU64; REASONS],
    /// Requests that failed, by code.
    pub errors: Tally,
    /// Requests that fell back to the runtime's sockets, by reason.
    pub fallback: Tally,
    /// How long requests waited for a connection, of those that had to.
    pub wait: Histogram,
    /// How long connections took to open, name resolution included.
    pub connect: Histogram,
    /// From a request's hand-over to its response's head.
    pub first_byte: Histogram,
    /// How long connections took to open, step by step: the name, if there was one to look up; the connection; TLS.
    pub dns: Histogram,
    pub tcp: Histogram,
    pub tls: Histogram,
    /// How long proxies took to let them through.
    pub proxy: Histogram,
    /// TLS handshakes that continued an earlier session, and others.
    pub resumed: AtomicU64,
    pub full: AtomicU64,
    /// How long connections were open, of those that are closed.
    pub age: Histogram,
    /// Bytes of requests and of responses, as HTTP/1 has them: before TLS.
    pub sent: AtomicU64,
    pub received: AtomicU64,
    /// How long requests took whose responses are complete.
    pub durations: Durations,
}

impl Metrics {
    /// All that is but a number, in the order in which JavaScript is told it: created, reused, retried, moved, passed over,
    /// bytes sent and received, full and resumed handshakes.
    pub fn counters(&self) -> [&AtomicU64; 9] {
        [
            &self.created,
            &self.reused,
            &self.retried,
            &self.moved,
            &self.passed_over,
            &self.sent,
            &self.received,
            &self.full,
            &self.resumed,
        ]
    }

    /// All times but those of [`Durations`]: waiting, opening, the first byte, name, connection, TLS, lifetime, proxy.
    pub fn times(&self) -> [&Histogram; TIMES] {
        [
            &self.wait,
            &self.connect,
            &self.first_byte,
            &self.dns,
            &self.tcp,
            &self.tls,
            &self.age,
            &self.proxy,
        ]
    }

    /// Adds all that another one has counted.
    pub fn absorb(&self, other: &Metrics) {
        let counters = self.counters().into_iter().zip(other.counters());
        let closed = self.closed.iter().zip(&other.closed);
        let ended = self.ended.iter().zip(&other.ended);
        for (mine, theirs) in counters.chain(closed).chain(ended) {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.errors.absorb(&other.errors);
        self.fallback.absorb(&other.fallback);
        for (mine, theirs) in self.times().into_iter().zip(other.times()) {
            mine.absorb(theirs);
        }
        self.durations.absorb(&other.durations);
    }
}

/// Methods that are counted by name, by their number; the last one: all others, as OpenTelemetry calls them.
pub const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "_OTHER",
];

const OTHER_METHOD: usize = METHODS.len() - 1;

/// The longest of them, and a space.
const METHOD_BYTES: usize = 8;

/// A method's number.
pub fn method_number(method: &[u8]) -> usize {
    let known = METHODS.iter().position(|known| known.as_bytes() == method);
    known.unwrap_or(OTHER_METHOD)
}

/// The number of the method that a request begins with.
pub fn method_of(request: &[u8]) -> usize {
    let start = &request[..request.len().min(METHOD_BYTES)];
    let end = start.iter().position(|&byte| byte == b' ');
    end.map_or(OTHER_METHOD, |end| method_number(&start[..end]))
}

/// 100 to 599 by their first digit; 0: any other.
pub const STATUS_CLASSES: usize = 6;

type ByStatus = [Histogram; STATUS_CLASSES];

/// Times by a request's method and its response's status. Most origins see few of them.
#[derive(Default)]
pub struct Durations([OnceLock<Box<ByStatus>>; METHODS.len()]);

impl Durations {
    /// Counts a response; `method` as [`method_of`] has it.
    pub fn record(&self, method: usize, status: u16, time: Duration) {
        let class = usize::from(status / 100);
        let class = if class < STATUS_CLASSES { class } else { 0 };
        if let Some(by_status) = self.0.get(method) {
            by_status.get_or_init(Box::default)[class].record(time);
        }
    }

    /// Method, status class and times, of those that there are.
    pub fn snapshot(&self) -> impl Iterator<Item = (&'static str, usize, Vec<f64>)> + '_ {
        self.told()
            .map(|(method, class, times)| (method, class, times.snapshot()))
    }

    /// How many there are of each status class.
    pub fn classes(&self) -> [f64; STATUS_CLASSES] {
        let mut counts = [0.0; STATUS_CLASSES];
        for (_, class, times) in self.told() {
            counts[class] += times.count() as f64;
        }
        counts
    }

    fn told(&self) -> impl Iterator<Item = (&'static str, usize, &Histogram)> + '_ {
        let by_method = METHODS.into_iter().zip(&self.0);
        let there = by_method.filter_map(|(method, by_status)| Some((method, by_status.get()?)));
        let all = there.flat_map(|(method, by_status)| {
            let by_class = by_status.iter().enumerate();
            by_class.map(move |(class, times)| (method, class, times))
        });
        all.filter(|(_, _, times)| !times.is_empty())
    }

    fn absorb(&self, other: &Durations) {
        for (mine, theirs) in self.0.iter().zip(&other.0) {
            if let Some(theirs) = theirs.get() {
                let mine = mine.get_or_init(Box::default);
                for (mine, theirs) in mine.iter().zip(theirs.iter()) {
                    mine.absorb(theirs);
                }
            }
        }
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

    /// All counts together.
    pub fn sum(&self) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.values().sum()
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(wait[..4], [3_010.0, 3_000.0, 10.0, 1.0]);
        assert_eq!(wait.len(), 6);
    }

    #[test]
    fn a_request_counts_by_the_method_that_it_begins_with() {
        assert_eq!(METHODS[method_of(b"GET / HTTP/1.1\r\n")], "GET");
        assert_eq!(METHODS[method_of(b"PATCH /x")], "PATCH");
        assert_eq!(METHODS[method_of(b"GETTER /x")], "_OTHER");
        assert_eq!(METHODS[method_of(b"OPTIONS *")], "OPTIONS");
        assert_eq!(METHODS[method_of(b"")], "_OTHER");
        assert_eq!(METHODS[method_of(b"GET")], "_OTHER");
    }

    #[test]
    fn durations_are_told_by_method_and_status_and_absorbed() {
        let (one, other) = (Metrics::default(), Metrics::default());
        let ms = Duration::from_millis;
        one.durations.record(method_of(b"GET /"), 204, ms(1));
        other.durations.record(method_of(b"GET /"), 200, ms(2));
        other.durations.record(method_of(b"PUT /"), 999, ms(3));
        one.absorb(&other);
        let told: Vec<_> = one.durations.snapshot().collect();
        assert_eq!(
            told[0],
            ("GET", 2, vec![3000.0, 2000.0, 1000.0, 1.0, 2000.0, 1.0])
        );
        assert_eq!(told[1].0, "PUT");
        assert_eq!((told[1].1, told.len()), (0, 2));
    }
}
