//! Agents and their origins: limits, names, counts, and the runtime's own sockets that count towards the limits.

use std::time::Duration;

use napi::bindgen_prelude::Result;
use napi_derive::napi;

use super::profile::BindingProfile;
use crate::connect::CacheSettings;
use crate::engine::ENGINE;
use crate::pool::{AgentId, KeyId, Limits, PortId, Scheduling};

/// An agent's limits. `Infinity` means none.
#[napi(object)]
pub struct BindingLimits {
    pub keep_alive: bool,
    pub max_sockets: f64,
    pub max_total_sockets: f64,
    pub max_free_sockets: f64,
    pub fifo: bool,
    pub free_socket_timeout_ms: f64,
    pub socket_active_ttl_ms: f64,
    pub max_requests_per_socket: f64,
    pub max_pending: f64,
    pub shared: bool,
}

impl From<BindingLimits> for Limits {
    fn from(limits: BindingLimits) -> Self {
        // `as` saturates: Infinity is the largest number, which the pool takes for "no limit".
        Limits {
            keep_alive: limits.keep_alive,
            max_sockets: limits.max_sockets as u32,
            max_total_sockets: limits.max_total_sockets as u32,
            max_free_sockets: limits.max_free_sockets as u32,
            scheduling: if limits.fifo {
                Scheduling::Fifo
            } else {
                Scheduling::Lifo
            },
            free_socket_timeout_ms: limits.free_socket_timeout_ms as u64,
            socket_active_ttl_ms: limits.socket_active_ttl_ms as u64,
            max_requests_per_socket: limits.max_requests_per_socket as u32,
            max_pending: limits.max_pending as u32,
            shared: limits.shared,
        }
    }
}

/// Adds an agent.
#[napi]
pub fn create_agent(port: PortId, limits: BindingLimits) -> AgentId {
    ENGINE.add_agent(port, limits.into())
}

/// What an agent remembers of names, in ms and entries, and how many threads may ask.
#[napi(object)]
pub struct BindingNames {
    pub ttl: f64,
    pub negative_ttl: f64,
    pub max_stale: f64,
    pub max_entries: f64,
    pub max_threads: f64,
    pub rotate: bool,
}

/// Has an agent remember names.
#[napi]
pub fn cache_names(agent: AgentId, names: BindingNames) {
    // `as` saturates, as for limits.
    let settings = CacheSettings {
        ttl_ms: names.ttl as u64,
        negative_ttl_ms: names.negative_ttl as u64,
        max_stale_ms: names.max_stale as u64,
        max_entries: names.max_entries as usize,
        max_threads: names.max_threads as usize,
        rotates: names.rotate,
    };
    ENGINE.cache_names(agent, settings);
}

/// Has an agent's connections go to each of a name's addresses.
#[napi]
pub fn spread_addresses(agent: AgentId) {
    ENGINE.spread_addresses(agent);
}

/// A request waits for something else than a connection, or does so no more; for how many ms it has, unless it gave up (−1).
#[napi]
pub fn hold_back(agent: AgentId, key: KeyId, on: bool, waited_ms: f64) {
    let waited = Duration::try_from_secs_f64(waited_ms / 1000.0).ok();
    ENGINE.hold_back(agent, key, on, waited);
}

/// Entries, hits, stale answers, misses, answers dropped; `null`: the agent remembers no names.
#[napi]
pub fn cached_names(agent: AgentId) -> Option<Vec<f64>> {
    let stats = ENGINE.cached_names(agent)?;
    let counts = [stats.hits, stats.stale, stats.misses, stats.dropped];
    let counts = counts.into_iter().map(|count| count as f64);
    Some(
        std::iter::once(stats.entries as f64)
            .chain(counts)
            .collect(),
    )
}

/// Changes an agent's limits.
#[napi]
pub fn set_limits(agent: AgentId, limits: BindingLimits) {
    ENGINE.set_limits(agent, limits.into());
}

/// Ends an agent.
#[napi]
pub fn drop_agent(agent: AgentId) {
    ENGINE.remove_agent(agent);
}

/// Closes an agent's idle connections.
#[napi]
pub fn close_idle(agent: AgentId) {
    ENGINE.close_idle(agent);
}

/// The key of an agent's origin, kept until it is closed. `route`: what it shares connections by with others; empty: nothing.
#[napi]
pub fn open_origin(
    agent: AgentId,
    identity: String,
    name: String,
    place: String,
    route: String,
) -> KeyId {
    ENGINE.open_origin(agent, &identity, &name, &place, &route)
}

/// The origin is forgotten.
#[napi]
pub fn close_origin(agent: AgentId, key: KeyId) {
    ENGINE.close_origin(agent, key);
}

/// The number of a way to connect, kept as long as its origin.
#[napi]
pub fn intern_profile(agent: AgentId, key: KeyId, profile: BindingProfile) -> Result<u32> {
    Ok(ENGINE.intern_profile(agent, key, profile.try_into()?))
}

/// Counts a failure, or a request that fell back to the runtime's sockets (`fallback`), by name.
#[napi]
pub fn note(agent: AgentId, key: KeyId, fallback: bool, name: String) {
    ENGINE.note(agent, key, fallback, name);
}

/// A socket of the runtime's own is gone.
#[napi]
pub fn release_fallback(agent: AgentId, key: KeyId) {
    ENGINE.release_fallback(agent, key);
}

/// A socket of the runtime's own went idle, or is used again; false: destroy it.
#[napi]
pub fn fallback_idle(agent: AgentId, key: KeyId, idle: bool) -> bool {
    ENGINE.fallback_idle(agent, key, idle)
}
