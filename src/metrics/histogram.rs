//! Times by size.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::OnceLock;
use std::time::Duration;

/// Ends of the buckets of a decade, in hundredths of its start: each at most a quarter above the last, and among them those
/// that the conventions have (1, 1.2, 2, 2.5, 3, 5, 6, 7.5), so that what is told by those is exact.
const STEPS: [u64; 13] = [
    100, 120, 150, 175, 200, 250, 300, 350, 400, 500, 600, 750, 900,
];
/// From a µs to a day.
const DECADES: usize = 11;
const BUCKETS: usize = STEPS.len() * DECADES;

/// The most µs of each bucket. Where several are the same whole number, all but the first stay empty.
const ENDS: [u64; BUCKETS] = {
    let mut ends = [0; BUCKETS];
    let mut at = 0;
    while at < BUCKETS {
        let decade = 10_u64.pow((at / STEPS.len()) as u32);
        ends[at] = (STEPS[at % STEPS.len()] * decade).div_ceil(100);
        at += 1;
    }
    ends
};

/// Its buckets are there once it has counted anything.
#[derive(Default)]
pub struct Histogram {
    buckets: OnceLock<Box<[AtomicU64; BUCKETS]>>,
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl Histogram {
    /// Counts a time.
    pub fn record(&self, time: Duration) {
        let us = u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
        self.buckets()[bucket_of(us)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
        self.max_us.fetch_max(us, Relaxed);
    }

    /// Whether it has counted nothing.
    pub fn is_empty(&self) -> bool {
        self.buckets.get().is_none()
    }

    /// Sum and largest in µs, then pairs: the most µs of a bucket and its count, of those that hold any.
    pub fn snapshot(&self) -> Vec<f64> {
        let mut numbers = vec![
            self.sum_us.load(Relaxed) as f64,
            self.max_us.load(Relaxed) as f64,
        ];
        for (end, bucket) in ENDS
            .iter()
            .zip(self.buckets.get().into_iter().flat_map(|all| all.iter()))
        {
            let count = bucket.load(Relaxed);
            if count > 0 {
                numbers.extend([*end as f64, count as f64]);
            }
        }
        numbers
    }

    /// How many times it has counted.
    pub fn count(&self) -> u64 {
        let buckets = self.buckets.get().into_iter();
        let counts = buckets.flat_map(|all| all.iter());
        counts.map(|count| count.load(Relaxed)).sum()
    }

    /// Of several together: count, then in ms: sum, largest, and the ends of the buckets that half and 99 of 100 are in or
    /// below. Nothing is added up in memory that is shared: whoever looks each second does so at hundreds.
    pub fn summary<'a>(parts: impl Iterator<Item = &'a Histogram>) -> [f64; 5] {
        let mut counts = [0_u64; BUCKETS];
        let (mut sum, mut max) = (0, 0);
        for part in parts {
            let Some(buckets) = part.buckets.get() else {
                continue;
            };
            for (count, bucket) in counts.iter_mut().zip(buckets.iter()) {
                *count += bucket.load(Relaxed);
            }
            sum += part.sum_us.load(Relaxed);
            max = max.max(part.max_us.load(Relaxed));
        }
        let count: u64 = counts.iter().sum();
        if count == 0 {
            return [0.0; 5];
        }
        let quantile = |hundredths: u64| {
            let mut below = 0;
            let holds = counts.iter().position(|here| {
                below += here;
                below * 100 >= count * hundredths
            });
            holds.map_or(0, |at| ENDS[at].min(max))
        };
        let [sum, max, half, most] =
            [sum, max, quantile(50), quantile(99)].map(|us| us as f64 / 1000.0);
        [count as f64, sum, max, half, most]
    }

    /// Adds all that another one has counted.
    pub fn absorb(&self, other: &Histogram) {
        let Some(theirs) = other.buckets.get() else {
            return;
        };
        for (mine, theirs) in self.buckets().iter().zip(theirs.iter()) {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.sum_us.fetch_add(other.sum_us.load(Relaxed), Relaxed);
        self.max_us.fetch_max(other.max_us.load(Relaxed), Relaxed);
    }

    fn buckets(&self) -> &[AtomicU64; BUCKETS] {
        self.buckets
            .get_or_init(|| Box::new([const { AtomicU64::new(0) }; BUCKETS]))
    }
}

fn bucket_of(us: u64) -> usize {
    ENDS.partition_point(|&end| end < us).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_bucket_that_says_so() {
        for us in (0..5_000).chain([1 << 20, (1 << 30) + 12_345, (1 << 36) - 1]) {
            let bucket = bucket_of(us);
            assert!(us <= ENDS[bucket], "{us}");
            assert!(bucket == 0 || us > ENDS[bucket - 1], "{us}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_buckets_end_is_at_most_a_quarter_above_the_last() {
        for pair in ENDS.windows(2).filter(|pair| pair[0] >= 4) {
            assert!(pair[1] <= (pair[0] * 5).div_ceil(4), "{pair:?}");
        }
    }

    #[test]
    fn a_summary_is_of_what_was_counted() {
        let (one, other) = (Histogram::default(), Histogram::default());
        let summary = || Histogram::summary([&one, &other].into_iter());
        assert_eq!(summary(), [0.0; 5]);
        for ms in 1..=100 {
            one.record(Duration::from_millis(ms));
        }
        assert_eq!(summary(), [100.0, 5050.0, 100.0, 50.0, 100.0]);
        other.record(Duration::from_millis(2));
        assert_eq!(summary(), [101.0, 5052.0, 100.0, 50.0, 100.0]);
        other.record(Duration::from_secs(1));
        assert_eq!(summary()[2..], [1000.0, 50.0, 100.0]);
    }

    #[test]
    fn the_bounds_that_the_conventions_have_are_ends_of_buckets() {
        let milliseconds = [
            5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 30_000,
            60_000, 300_000,
        ];
        for ms in milliseconds {
            assert!(ENDS.contains(&(ms * 1000)), "{ms} ms");
        }
    }
}
