//! Counters on their way to JavaScript, which makes of them what `stats()` shows.

use std::sync::atomic::Ordering::Relaxed;

use napi_derive::napi;

use super::lending;
use crate::connect::tls;
use crate::engine::{OriginStats, ENGINE};
use crate::fetch;

/// How often something happened.
#[napi(object)]
pub struct BindingTally {
    pub name: String,
    pub count: f64,
}

/// An origin of an agent; without a name: all that it has let go.
#[napi(object)]
pub struct BindingOrigin {
    pub name: String,
    /// Dialing, leased, idle, the runtime's sockets, those of them that are idle, queued.
    pub counts: Vec<u32>,
    /// Created, reused, retried, moved, passed over.
    pub totals: Vec<f64>,
    /// By the number of the reason.
    pub closed: Vec<f64>,
    pub errors: Vec<BindingTally>,
    pub foreign: Vec<BindingTally>,
    /// As `Histogram::snapshot` has them.
    pub wait: Vec<f64>,
    pub connect: Vec<f64>,
    pub first_byte: Vec<f64>,
}

/// Identities and ways to connect that the process holds at the moment.
#[napi(object)]
pub struct BindingHeld {
    pub keys: u32,
    pub profiles: u32,
    pub trusts: u32,
    pub settings: u32,
    /// Buffers of JavaScript's for bodies that are on their way.
    pub lent: u32,
}

/// The counters of an agent, or of all agents in the process and all fetches.
#[napi]
pub fn stats(agent: Option<u32>) -> Vec<BindingOrigin> {
    let mut origins = ENGINE.stats(agent);
    if agent.is_none() {
        origins.extend(fetch::stats::all());
    }
    origins.into_iter().map(told).collect()
}

/// What tests look at for leaks.
#[napi]
pub fn held() -> BindingHeld {
    let (keys, profiles) = ENGINE.held();
    let (trusts, settings) = tls::held();
    BindingHeld {
        keys: keys as u32,
        profiles: profiles as u32,
        trusts: trusts as u32,
        settings: settings as u32,
        lent: lending::count() as u32,
    }
}

fn told(origin: OriginStats) -> BindingOrigin {
    let OriginStats {
        name,
        counts,
        metrics,
    } = origin;
    let tally = |counts: Vec<(String, u64)>| {
        let counts = counts.into_iter();
        let pairs = counts.map(|(name, count)| BindingTally {
            name,
            count: count as f64,
        });
        pairs.collect()
    };
    let totals = [
        &metrics.created,
        &metrics.reused,
        &metrics.retried,
        &metrics.moved,
        &metrics.passed_over,
    ];
    BindingOrigin {
        name,
        counts: vec![
            counts.dialing,
            counts.leased,
            counts.idle,
            counts.foreign,
            counts.foreign_idle,
            counts.queued,
        ],
        totals: totals.map(|total| total.load(Relaxed) as f64).to_vec(),
        closed: metrics
            .closed
            .iter()
            .map(|count| count.load(Relaxed) as f64)
            .collect(),
        errors: tally(metrics.errors.snapshot()),
        foreign: tally(metrics.foreign.snapshot()),
        wait: metrics.wait.snapshot(),
        connect: metrics.connect.snapshot(),
        first_byte: metrics.first_byte.snapshot(),
    }
}
