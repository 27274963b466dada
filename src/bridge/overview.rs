//! What the process did and holds, in few numbers a place: for whoever looks each second, such as the dashboard. Counters are
//! read where they are, without a copy: what `totals()` tells of 256 places takes the JavaScript thread many times as long.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use napi::bindgen_prelude::Float64Array;
use napi_derive::napi;

use super::stats::{holdings, together};
use crate::engine::{Holding, ENGINE};
use crate::metrics::{lifetime, Histogram, Metrics, Tally, STATUS_CLASSES, TIMES};
use crate::pool::Counts;

/// Places that are told by name; the others are told together, last and without one.
const MOST_NAMES: usize = 256;

/// How often something happened at a place, by its number in `names`.
#[napi(object)]
pub struct BindingPlaceTally {
    pub place: u32,
    /// A request that fell back to the runtime's sockets, for this reason; else an error with this code.
    pub fallback: bool,
    pub name: String,
    pub count: f64,
}

#[napi(object)]
pub struct BindingOverview {
    /// In the order in which they came; those that were known are known still.
    pub names: Vec<String>,
    /// Of one place after the other: `lib/dashboard/layout.js`.
    pub numbers: Float64Array,
    pub tallies: Vec<BindingPlaceTally>,
}

/// What the process did so far, and what it holds, by place.
#[napi]
pub fn overview() -> BindingOverview {
    let mut held = holdings();
    let mut told = BindingOverview {
        names: Vec::new(),
        numbers: Float64Array::new(Vec::new()),
        tallies: Vec::new(),
    };
    let mut rows = Vec::new();
    lifetime::look(|places| {
        let mut others = Vec::new();
        for (name, parts) in places {
            if name.is_empty() || told.names.len() >= MOST_NAMES {
                others.extend(parts);
            } else {
                told.place(name, held.remove(name), &parts, &mut rows);
            }
        }
        if !others.is_empty() {
            let rest = held.into_values().reduce(together);
            told.place("", rest, &others, &mut rows);
        }
    });
    told.numbers = Float64Array::new(rows);
    told
}

/// How long requests to a place waited, and how long its first bytes took, as `Histogram::snapshot` has them; then how long
/// those have waited so far that wait now, in ms, at most so many.
#[napi]
pub fn place_times(place: String, waiters: u32) -> Vec<Vec<f64>> {
    let waiting = ENGINE.waiting(&place, waiters as usize);
    let waiting = waiting.into_iter().map(|ms| ms as f64).collect();
    lifetime::look(|places| {
        let found = places.into_iter().find(|(name, _)| ***name == *place);
        let parts = found.map(|(_, parts)| parts).unwrap_or_default();
        let together = |of: fn(&Metrics) -> &Histogram| {
            let sum = Histogram::default();
            parts.iter().for_each(|part| sum.absorb(of(part)));
            sum.snapshot()
        };
        vec![
            together(|metrics| &metrics.wait),
            together(|metrics| &metrics.first_byte),
            waiting,
        ]
    })
}

impl BindingOverview {
    fn place(
        &mut self,
        name: &str,
        holding: Option<Holding>,
        parts: &[&Metrics],
        row: &mut Vec<f64>,
    ) {
        let place = self.names.len() as u32;
        self.names.push(name.to_owned());
        let (counts, limit) = match holding {
            Some(holding) => (holding.counts, holding.limit),
            None => (Counts::default(), Some(0)),
        };
        let counts = [counts.dialing, counts.leased, counts.idle, counts.queued];
        row.extend(counts.map(f64::from));
        row.push(limit.map_or(-1.0, |limit| limit as f64));
        sum(parts, Metrics::counters, row);
        let classes = parts.iter().map(|part| part.durations.classes());
        row.extend(classes.fold([0.0; STATUS_CLASSES], |sum, more| {
            std::array::from_fn(|at| sum[at] + more[at])
        }));
        let tallies: [fn(&Metrics) -> &Tally; 2] = [|part| &part.errors, |part| &part.fallback];
        for (fallback, tally) in [false, true].into_iter().zip(tallies) {
            let count: u64 = parts.iter().map(|part| tally(part).sum()).sum();
            row.push(count as f64);
            if count == 0 {
                continue;
            }
            let mut named: BTreeMap<String, u64> = BTreeMap::new();
            for (name, count) in parts.iter().flat_map(|part| tally(part).snapshot()) {
                *named.entry(name).or_default() += count;
            }
            let told = named.into_iter().map(|(name, count)| BindingPlaceTally {
                place,
                fallback,
                name,
                count: count as f64,
            });
            self.tallies.extend(told);
        }
        sum(parts, |part| part.ended.each_ref(), row);
        for at in 0..TIMES {
            row.extend(Histogram::summary(
                parts.iter().map(|part| part.times()[at]),
            ));
        }
    }
}

/// Numbers of several, added up one by one.
fn sum<const N: usize>(
    parts: &[&Metrics],
    of: fn(&Metrics) -> [&AtomicU64; N],
    row: &mut Vec<f64>,
) {
    let sums = parts.iter().fold([0; N], |sum: [u64; N], part| {
        let more = of(part);
        std::array::from_fn(|at| sum[at] + more[at].load(Relaxed))
    });
    row.extend(sums.map(|sum| sum as f64));
}
