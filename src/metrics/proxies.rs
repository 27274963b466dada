//! What proxies on the way have done, by name: for an agent, and for the process.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use once_cell::sync::Lazy;

use super::{Histogram, Tally};

/// Proxies that are counted by name; all others are counted together, as [`OTHER`].
pub const MOST_NAMES: usize = 256;

/// What no proxy is called: names are URLs.
pub const OTHER: &str = "other";

/// What a proxy has done.
#[derive(Default)]
pub struct Passages {
    /// Connections that it has let through.
    pub opened: AtomicU64,
    /// Requests that got a connection through it which was there already, of origins that were let go.
    pub reused: AtomicU64,
    /// Connections that it has refused, by status, or by what else it has said.
    pub refused: Tally,
    /// Connections that have come to nothing for it, by code; refusals included.
    pub errors: Tally,
    /// From the open connection to the proxy until it had let that through, of those that it was asked to.
    pub passed: Histogram,
    last: Mutex<Option<LastError>>,
}

/// The last failure of a proxy's.
#[derive(Clone)]
pub struct LastError {
    pub code: String,
    pub message: String,
    pub at: SystemTime,
}

impl Passages {
    /// Counts a connection that has come to nothing.
    pub fn fail(&self, code: &str, message: &str, refusal: Option<&str>) {
        self.errors.add(Cow::Owned(code.to_owned()));
        if let Some(refusal) = refusal {
            self.refused.add(Cow::Owned(refusal.to_owned()));
        }
        let last = LastError {
            code: code.to_owned(),
            message: message.to_owned(),
            at: SystemTime::now(),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    /// Counts a connection that was let through; `took`: nothing where the proxy was not asked to, but forwards requests.
    pub fn pass(&self, took: Option<Duration>) {
        self.opened
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(took) = took {
            self.passed.record(took);
        }
    }

    /// The last failure.
    pub fn last(&self) -> Option<LastError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }
}

/// Counters by a proxy's name.
#[derive(Default)]
pub struct ByName(BTreeMap<String, Arc<Passages>>);

impl ByName {
    /// Those of a proxy, and what it is counted as.
    pub fn of(&mut self, name: &str) -> (String, Arc<Passages>) {
        if let Some(known) = self.0.get(name) {
            return (name.to_owned(), Arc::clone(known));
        }
        let name = match self.0.len() < MOST_NAMES {
            true => name,
            false => OTHER,
        };
        let counters = self.0.entry(name.to_owned()).or_default();
        (name.to_owned(), Arc::clone(counters))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> Vec<(String, Arc<Passages>)> {
        let pairs = self.0.iter();
        pairs
            .map(|(name, counters)| (name.clone(), Arc::clone(counters)))
            .collect()
    }
}

static PROCESS: Lazy<Mutex<ByName>> = Lazy::new(Mutex::default);

/// The process's counters of a proxy.
pub fn of_process(name: &str) -> Arc<Passages> {
    let mut known = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    known.of(name).1
}

/// The process's counters of all proxies.
pub fn all_of_process() -> Vec<(String, Arc<Passages>)> {
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner).all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_too_many_is_counted_with_others() {
        let mut known = ByName::default();
        for at in 0..MOST_NAMES + 2 {
            known
                .of(&format!("http://proxy{at}"))
                .1
                .pass(Some(Duration::ZERO));
        }
        assert_eq!(known.of("http://proxy3").0, "http://proxy3");
        assert_eq!(known.of("http://proxy256").0, OTHER);
        let opened = known
            .of("http://proxy257")
            .1
            .opened
            .load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!((opened, known.all().len()), (2, MOST_NAMES + 1));
    }

    #[test]
    fn the_last_failure_is_told() {
        let counters = Passages::default();
        counters.fail("ECONNREFUSED", "one", None);
        counters.fail("ERR_PROXY_TUNNEL", "two", Some("407"));
        let last = counters.last().unwrap();
        assert_eq!((&*last.code, &*last.message), ("ERR_PROXY_TUNNEL", "two"));
        assert_eq!(counters.refused.snapshot(), [("407".to_owned(), 1)]);
    }
}
