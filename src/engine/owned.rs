//! What the engine keeps for agents and their origins.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::connect::tls::Tls;
use crate::connect::Names;
use crate::metrics::Metrics;
use crate::pool::{Counts, KeyId, PortId};

/// An agent, as the engine knows it.
pub(super) struct Owned {
    pub port: PortId,
    /// What it remembers of names, if it does.
    pub names: Option<Names>,
    pub origins: HashMap<KeyId, Held>,
    /// Counters of its origins that were let go.
    pub past: Arc<Metrics>,
}

/// What an agent's origin holds.
pub(super) struct Held {
    /// What its owner calls it.
    pub name: String,
    /// Ways to connect that it has named.
    pub profiles: HashSet<u32>,
    /// How its connections are secured: kept even while no profile says so.
    pub tls: Option<Arc<Tls>>,
}

/// What there is to tell of an agent's origin; without a name: of those that were let go.
pub struct OriginStats {
    pub name: String,
    pub counts: Counts,
    pub metrics: Arc<Metrics>,
}
