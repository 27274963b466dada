//! What fetches came to, by origin.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use once_cell::sync::Lazy;
use reqwest::Url;

use crate::engine::{Holding, OriginStats};
use crate::metrics::{lifetime, Metrics};
use crate::pool::Counts;

/// Most origins that are counted by name; further ones are counted together.
const MOST_ORIGINS: usize = 1024;

/// The fetches of one origin.
#[derive(Default)]
pub struct Counters {
    /// What happened.
    pub metrics: Arc<Metrics>,
    /// Connections being opened.
    pub dialing: AtomicU32,
    /// Requests under way.
    pub under_way: AtomicU32,
}

impl Counters {
    fn counts(&self) -> Counts {
        let dialing = self.dialing.load(Relaxed);
        Counts {
            dialing,
            leased: self.under_way.load(Relaxed).saturating_sub(dialing),
            ..Counts::default()
        }
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// Counts one as long as it lives.
pub struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    /// One more.
    pub fn new(number: &'a AtomicU32) -> Self {
        number.fetch_add(1, Relaxed);
        Self(number)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

static ORIGINS: Lazy<Mutex<HashMap<Arc<str>, Arc<Counters>>>> = Lazy::new(Mutex::default);

/// The counters of an origin.
pub fn of(origin: &Arc<str>) -> Arc<Counters> {
    let mut origins = ORIGINS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(counters) = origins.get(origin) {
        return Arc::clone(counters);
    }
    // Without a name: of no origin in particular.
    let name = if origins.len() < MOST_ORIGINS {
        Arc::clone(origin)
    } else {
        "".into()
    };
    if let Some(others) = origins.get(&name) {
        return Arc::clone(others);
    }
    let counters = Arc::<Counters>::default();
    lifetime::register(&place_of(&name), &counters.metrics);
    Arc::clone(origins.entry(name).or_insert(counters))
}

/// What agents call the same place: always with its port.
fn place_of(origin: &str) -> String {
    let url = Url::parse(origin).ok();
    let port = url.as_ref().and_then(Url::port_or_known_default);
    match (url, port) {
        (Some(url), Some(port)) => {
            let host = url.host_str().unwrap_or_default();
            format!("{}://{host}:{port}", url.scheme())
        }
        _ => origin.to_owned(),
    }
}

/// What fetches hold at the moment, by place.
pub fn holdings() -> Vec<Holding> {
    let origins = ORIGINS.lock().unwrap_or_else(PoisonError::into_inner);
    let held = origins.iter().map(|(origin, counters)| Holding {
        place: place_of(origin).into(),
        counts: counters.counts(),
        limit: None,
    });
    held.filter(|held| held.counts != Counts::default())
        .collect()
}

/// All counters, under the names that `stats()` has for them.
pub fn all() -> Vec<OriginStats> {
    let origins = ORIGINS.lock().unwrap_or_else(PoisonError::into_inner);
    let told = origins.iter().map(|(origin, counters)| OriginStats {
        name: if origin.is_empty() {
            String::new()
        } else {
            format!("fetch {origin}")
        },
        counts: counters.counts(),
        metrics: Arc::clone(&counters.metrics),
    });
    told.collect()
}
