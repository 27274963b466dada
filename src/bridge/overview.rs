//! What the process did and holds, in few numbers a place: for whoever looks each second, such as the dashboard. What
//! `totals()` tells of 256 places would take the JavaScript thread three times as long.

use std::sync::atomic::Ordering::Relaxed;

use napi::bindgen_prelude::Float64Array;
use napi_derive::napi;

use super::stats::{holdings, together};
use crate::engine::Holding;
use crate::metrics::{lifetime, Metrics};
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
    pub names: Vec<String>,
    /// Of one place after the other: `lib/dashboard/layout.js`.
    pub numbers: Float64Array,
    pub tallies: Vec<BindingPlaceTally>,
    /// Waiting and the first byte at the place that was asked for, as `Histogram::snapshot` has them.
    pub detail: Vec<Vec<f64>>,
}

/// What the process did so far, and what it holds, by place; of one of them how long things took.
#[napi]
pub fn overview(detail: Option<String>) -> BindingOverview {
    let mut held = holdings();
    let mut told = BindingOverview {
        names: Vec::new(),
        numbers: Float64Array::new(Vec::new()),
        tallies: Vec::new(),
        detail: Vec::new(),
    };
    let mut rows = Vec::new();
    let mut others: Option<Metrics> = None;
    for (name, metrics) in lifetime::totals() {
        if name.is_empty() || told.names.len() >= MOST_NAMES {
            others.get_or_insert_with(Metrics::default).absorb(&metrics);
        } else {
            told.place(&name, held.remove(&name), &metrics, &mut rows);
            if detail.as_deref() == Some(&*name) {
                told.detail = vec![metrics.wait.snapshot(), metrics.first_byte.snapshot()];
            }
        }
    }
    if let Some(others) = others {
        let rest = held.into_values().reduce(together);
        told.place("", rest, &others, &mut rows);
    }
    told.numbers = Float64Array::new(rows);
    told
}

impl BindingOverview {
    fn place(
        &mut self,
        name: &str,
        holding: Option<Holding>,
        metrics: &Metrics,
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
        let counters = metrics.counters();
        row.extend(counters.map(|counter| counter.load(Relaxed) as f64));
        row.extend(metrics.durations.classes());
        for (fallback, tally) in [(false, &metrics.errors), (true, &metrics.fallback)] {
            let counts = tally.snapshot();
            row.push(counts.iter().map(|(_, count)| *count as f64).sum());
            let named = counts.into_iter().map(|(name, count)| BindingPlaceTally {
                place,
                fallback,
                name,
                count: count as f64,
            });
            self.tallies.extend(named);
        }
        row.extend(metrics.ended.iter().map(|count| count.load(Relaxed) as f64));
        let times = metrics.times();
        row.extend(times.iter().flat_map(|times| times.summary()));
    }
}
