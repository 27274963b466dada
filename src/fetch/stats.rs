//! What all fetches of the process came to.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters; they only grow.
#[derive(Default)]
pub struct Counters {
    /// Requests sent, each hop of a redirect and each re-send counted.
    pub requests: AtomicU64,
    /// Connections whose opening was begun.
    pub dials: AtomicU64,
    /// Connections that could not be opened.
    pub failed_dials: AtomicU64,
    /// Requests that went out on a connection that was there already.
    pub reused: AtomicU64,
    /// Requests that were sent a second time.
    pub resent: AtomicU64,
}

/// The process's counters.
pub static COUNTERS: Counters = Counters {
    requests: AtomicU64::new(0),
    dials: AtomicU64::new(0),
    failed_dials: AtomicU64::new(0),
    reused: AtomicU64::new(0),
    resent: AtomicU64::new(0),
};

/// Counts one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
