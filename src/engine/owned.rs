//! What the engine keeps for agents and their origins.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::connect::tls::Tls;
use crate::connect::{Names, Spread};
use crate::metrics::proxies::{ByName, Passages};
use crate::metrics::Metrics;
use crate::pool::{Counts, KeyId, PortId, Seen};

/// An agent, as the engine knows it.
pub(super) struct Owned {
    pub port: PortId,
    /// What it remembers of names, if it does.
    pub names: Option<Names>,
    /// Where its connections are counted, if new ones go where there are fewest.
    pub spread: Option<Spread>,
    pub origins: HashMap<KeyId, Held>,
    /// Counters of its origins that were let go.
    pub past: Arc<Metrics>,
    /// What its proxies have done.
    pub proxies: ByName,
}

/// What an agent's origin holds.
pub(super) struct Held {
    /// What its owner calls it.
    pub name: String,
    /// Where it leads to: what the process counts it by.
    pub place: Arc<str>,
    /// Ways to connect that it has named.
    pub profiles: HashSet<u32>,
    /// How its connections are secured: kept even while no profile says so.
    pub tls: Option<Arc<Tls>>,
    /// What it shares connections by with other origins.
    pub route: Option<KeyId>,
    /// Requests that wait for something else than a connection: they count as queued.
    pub held_back: u32,
    /// Its connections may speak HTTP/2.
    pub may_http2: bool,
    /// What its connections go through, as that is counted.
    pub proxy: Option<String>,
}

/// What agents hold of a place.
pub struct Holding {
    /// The place.
    pub place: Arc<str>,
    /// Connections and waiters.
    pub counts: Counts,
    /// How many connections these agents may have; `None`: any number.
    pub limit: Option<u64>,
}

/// What there is to tell of a proxy.
pub struct ProxyStats {
    pub name: String,
    /// Connections through it.
    pub counts: Counts,
    pub reused: u64,
    /// Open connections by the place that they lead to.
    pub targets: BTreeMap<Arc<str>, u32>,
    pub passages: Arc<Passages>,
}

/// A connection, as it is at a moment, and where it leads to.
pub struct OpenConnection {
    /// The place.
    pub place: Arc<str>,
    /// What it goes through, as that is counted.
    pub proxy: Option<String>,
    /// What the pool knows of it.
    pub seen: Seen,
}

/// What there is to tell of an agent's origin; without a name: of those that were let go.
pub struct OriginStats {
    pub name: String,
    pub counts: Counts,
    pub metrics: Arc<Metrics>,
}
