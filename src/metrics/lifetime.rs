//! Sums of the process that outlive whoever counted: by place, such as `https://example.com:443`.
//!
//! Whoever counts has counters of its own and registers them here once; counting itself costs nothing more. What nobody else
//! has any more can't grow: it is added to its place's past, under the lock that a look takes. So no sum ever falls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Metrics;

/// Most places that are counted by name; further ones are counted together, under the empty name.
const MOST_PLACES: usize = 1024;

/// Counters of a place are looked through when there are twice as many as the last time, and these more.
const FEW: usize = 16;

static PLACES: Mutex<Places> = Mutex::new(Places::new());

struct Places {
    by_name: BTreeMap<Arc<str>, usize>,
    /// In the order in which they came.
    all: Vec<Place>,
}

/// A place, and those whose counters together are its sums.
pub type Parts<'a> = (&'a Arc<str>, Vec<&'a Metrics>);

struct Place {
    name: Arc<str>,
    past: Metrics,
    present: Vec<Arc<Metrics>>,
    sweep_at: usize,
}

impl Places {
    const fn new() -> Self {
        Self {
            by_name: BTreeMap::new(),
            all: Vec::new(),
        }
    }

    fn register(&mut self, name: &str, metrics: &Arc<Metrics>) {
        let name = match self.by_name.get(name) {
            None if self.all.len() >= MOST_PLACES => "",
            _ => name,
        };
        let at = match self.by_name.get(name) {
            Some(&at) => at,
            None => {
                let name: Arc<str> = name.into();
                self.all.push(Place {
                    name: Arc::clone(&name),
                    past: Metrics::default(),
                    present: Vec::new(),
                    sweep_at: FEW,
                });
                self.by_name.insert(name, self.all.len() - 1);
                self.all.len() - 1
            }
        };
        let place = &mut self.all[at];
        if place.present.len() >= place.sweep_at {
            place.sweep();
        }
        if !place
            .present
            .iter()
            .any(|known| Arc::ptr_eq(known, metrics))
        {
            place.present.push(Arc::clone(metrics));
        }
    }

    fn parts(&mut self) -> Vec<Parts<'_>> {
        let parts = self.all.iter_mut().map(|place| {
            place.sweep();
            let present = place.present.iter().map(|metrics| &**metrics);
            let all = std::iter::once(&place.past).chain(present);
            (&place.name, all.collect())
        });
        parts.collect()
    }

    fn totals(&mut self) -> Vec<(Arc<str>, Metrics)> {
        let places = self.parts().into_iter();
        let sums = places.map(|(name, parts)| {
            let sum = Metrics::default();
            parts.into_iter().for_each(|part| sum.absorb(part));
            (Arc::clone(name), sum)
        });
        sums.collect()
    }
}

impl Place {
    fn sweep(&mut self) {
        let past = &self.past;
        self.present.retain_mut(|metrics| {
            let is_ours_alone = Arc::get_mut(metrics).is_some();
            if is_ours_alone {
                past.absorb(metrics);
            }
            !is_ours_alone
        });
        self.sweep_at = 2 * self.present.len() + FEW;
    }
}

/// From now on what `metrics` counts, and has counted, is part of the sums of a place.
pub fn register(place: &str, metrics: &Arc<Metrics>) {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    places.register(place, metrics);
}

/// The sums of each place, in the order in which they came.
pub fn totals() -> Vec<(Arc<str>, Metrics)> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    places.totals()
}

/// What the sums of each place are made of, in the order in which they came: for who needs few of them, and no copy of all.
/// Nobody can register meanwhile.
pub fn look<R>(at: impl FnOnce(Vec<Parts<'_>>) -> R) -> R {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    at(places.parts())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    fn created(places: &mut Places) -> Vec<(String, u64)> {
        let totals = places.totals().into_iter();
        let pairs = totals.map(|(name, sum)| (name.to_string(), sum.created.load(Relaxed)));
        pairs.collect()
    }

    #[test]
    fn what_is_gone_stays_counted_and_is_not_kept() {
        let mut places = Places::new();
        for _ in 0..1000 {
            let metrics = Arc::new(Metrics::default());
            places.register("a", &metrics);
            metrics.created.fetch_add(1, Relaxed);
        }
        assert!(places.all[0].present.len() <= FEW + 1);
        assert_eq!(created(&mut places), [("a".into(), 1000)]);
        assert!(places.all[0].present.is_empty());
    }

    #[test]
    fn what_still_counts_is_counted_once_however_often_it_is_registered() {
        let mut places = Places::new();
        let metrics = Arc::new(Metrics::default());
        metrics.created.fetch_add(1, Relaxed);
        places.register("a", &metrics);
        places.register("a", &metrics);
        assert_eq!(created(&mut places), [("a".into(), 1)]);
        metrics.created.fetch_add(1, Relaxed);
        assert_eq!(created(&mut places), [("a".into(), 2)]);
        drop(metrics);
        assert_eq!(created(&mut places), [("a".into(), 2)]);
    }

    #[test]
    fn places_beyond_the_most_are_counted_together() {
        let mut places = Places::new();
        for number in 0..MOST_PLACES + 10 {
            let metrics = Arc::new(Metrics::default());
            places.register(&number.to_string(), &metrics);
            metrics.created.fetch_add(1, Relaxed);
        }
        let all = created(&mut places);
        assert_eq!(all.len(), MOST_PLACES + 1);
        assert_eq!(all[MOST_PLACES], ("".into(), 10));
    }
}
