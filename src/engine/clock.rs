//! The engine's clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

/// Milliseconds since the engine began, never backwards. The wall clock counts as well as the steady one, so that what
/// a peer has dropped while the machine slept is not taken for fresh.
pub(super) struct Clock {
    steady: Instant,
    wall: SystemTime,
    latest: AtomicU64,
}

impl Clock {
    pub fn new() -> Self {
        Self {
            steady: Instant::now(),
            wall: SystemTime::now(),
            latest: AtomicU64::new(0),
        }
    }

    pub fn now(&self) -> u64 {
        let wall = self.wall.elapsed().unwrap_or_default();
        let now = self.steady.elapsed().max(wall).as_millis() as u64;
        self.latest.fetch_max(now, Ordering::Relaxed).max(now)
    }
}
