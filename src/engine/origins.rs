//! Agents and their origins: what they hold, and what they have counted.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Duration;

use super::owned::{Held, Holding, OpenConnection, OriginStats, Owned, ProxyStats};
use super::{connections, Engine, Shared};
use crate::connect::tls;
use crate::connect::{CacheSettings, CacheStats, Names, Profile, ProxyCounters, Spread};
use crate::metrics::lifetime;
use crate::metrics::proxies::{self, ByName};
use crate::metrics::Metrics;
use crate::pool::{AgentId, Counts, KeyId, Limits, PortId};

/// Places that a proxy's connections are told by.
const MOST_TARGETS: usize = 256;

impl Owned {
    /// An origin was let go: what was counted of it goes on counting for its proxy.
    fn settle_proxy(&mut self, held: &Held, metrics: &Metrics) {
        let Some(name) = &held.proxy else {
            return;
        };
        let reused = metrics.reused.load(Relaxed);
        for counters in [self.proxies.of(name).1, proxies::of_process(name)] {
            counters.reused.fetch_add(reused, Relaxed);
        }
    }
}

impl Engine {
    /// Adds an agent of a thread.
    pub fn add_agent(&self, port: PortId, limits: Limits) -> AgentId {
        let mut shared = self.lock();
        let agent = shared.pool.add_agent(limits);
        let owned = Owned {
            port,
            names: None,
            spread: None,
            origins: HashMap::new(),
            past: Arc::default(),
            proxies: ByName::default(),
        };
        shared.agents.insert(agent, owned);
        agent
    }

    /// Has an agent remember names, from its next way to connect on.
    pub fn cache_names(&self, agent: AgentId, settings: CacheSettings) {
        if let Some(owned) = self.lock().agents.get_mut(&agent) {
            owned.names = Some(Names::new(settings));
        }
    }

    /// Has an agent's connections go to each of a name's addresses, from its next way to connect on.
    pub fn spread_addresses(&self, agent: AgentId) {
        if let Some(owned) = self.lock().agents.get_mut(&agent) {
            owned.spread = Some(Spread::default());
        }
    }

    /// What an agent remembers of names, in numbers.
    pub fn cached_names(&self, agent: AgentId) -> Option<CacheStats> {
        let names = self.lock().agents.get(&agent)?.names.clone();
        names.map(|names| names.stats())
    }

    /// Changes an agent's limits.
    pub fn set_limits(&self, agent: AgentId, limits: Limits) {
        let deadline = self.with_effects(|shared, now, effects| {
            shared.pool.set_limits(agent, limits, now, effects);
            shared.pool.next_deadline()
        });
        self.expect_expiry(deadline);
    }

    /// Ends an agent: its idle connections close, unless others share them, its waiters are forgotten.
    pub fn remove_agent(&self, agent: AgentId) {
        self.with_effects(|shared, _, effects| {
            shared.settle_proxies(agent);
            for waiter in shared.pool.remove_agent(agent, effects) {
                shared.waiting.remove(&waiter);
            }
            if let Some(owned) = shared.agents.remove(&agent) {
                for (key, held) in owned.origins {
                    shared.let_go(agent, key, held);
                }
            }
        });
    }

    /// Closes an agent's idle connections.
    pub fn close_idle(&self, agent: AgentId) {
        let may_http2 = self.with_effects(|shared, _, effects| {
            shared.pool.close_idle(agent, effects);
            let owned = shared.agents.get(&agent);
            owned.is_some_and(|owned| owned.origins.values().any(|held| held.may_http2))
        });
        if may_http2 {
            connections::run(move |all| all.end_unused(agent));
        }
    }

    /// An agent's origin for what makes connections interchangeable, at a place that its counters are added up by, whose idle connections serve all of a `route` (empty: itself alone). Its key, its profiles and its counters are kept
    /// until [`close_origin`](Self::close_origin) or the agent's end.
    pub fn open_origin(
        &self,
        agent: AgentId,
        identity: &str,
        name: &str,
        place: &str,
        route: &str,
    ) -> KeyId {
        let mut shared = self.lock();
        let shared = &mut *shared;
        let key = shared.keys.hold(identity);
        match shared.agents.get_mut(&agent) {
            Some(owned) if !owned.origins.contains_key(&key) => {
                let route = (!route.is_empty()).then(|| shared.keys.hold(route));
                let held = Held {
                    name: name.to_owned(),
                    place: place.into(),
                    profiles: HashSet::new(),
                    tls: None,
                    route,
                    held_back: 0,
                    may_http2: false,
                    proxy: None,
                };
                owned.origins.insert(key, held);
                match route {
                    Some(route) => shared.pool.retain_routed(agent, key, route),
                    None => shared.pool.retain_origin(agent, key),
                }
                if let Some(metrics) = shared.pool.metrics_of(agent, key) {
                    lifetime::register(place, &metrics);
                }
            }
            // Its thread has just ended, or it has it already.
            _ => shared.keys.release(key),
        }
        key
    }

    /// The agent's owner has forgotten the origin.
    pub fn close_origin(&self, agent: AgentId, key: KeyId) {
        self.with_effects(|shared, _, effects| {
            let Some(owned) = shared.agents.get_mut(&agent) else {
                return;
            };
            let Some(held) = owned.origins.remove(&key) else {
                return;
            };
            if let Some(metrics) = shared.pool.release_origin(agent, key, effects) {
                owned.past.absorb(&metrics);
                owned.settle_proxy(&held, &metrics);
            }
            shared.let_go(agent, key, held);
        });
    }

    /// The number of a way to connect, held by an origin.
    pub fn intern_profile(&self, agent: AgentId, key: KeyId, mut profile: Profile) -> u32 {
        let mut shared = self.lock();
        let shared = &mut *shared;
        let mut through = None;
        if let Some(owned) = shared.agents.get_mut(&agent) {
            profile.names.clone_from(&owned.names);
            profile.spread.clone_from(&owned.spread);
            if let Some(proxy) = &mut profile.proxy {
                proxy.profile.names.clone_from(&profile.names);
                proxy.profile.spread.clone_from(&profile.spread);
                let (name, own) = owned.proxies.of(&proxy.name);
                let all = proxies::of_process(&proxy.name);
                proxy.counters = Some(ProxyCounters { own, all });
                through = Some(name);
            }
        }
        let may_http2 = profile.http2.is_some();
        let id = shared.profiles.intern(profile);
        let origin = shared
            .agents
            .get_mut(&agent)
            .and_then(|owned| owned.origins.get_mut(&key));
        if let Some(held) = origin {
            held.may_http2 |= may_http2;
            held.proxy = held.proxy.take().or(through);
            if held.profiles.insert(id) {
                shared.profiles.hold(id);
            }
        }
        id
    }

    /// Keeps TLS settings as long as an origin.
    pub fn hold_tls(&self, agent: AgentId, key: KeyId, settings: u32) {
        let tls = tls::hold(settings);
        let mut shared = self.lock();
        let origin = shared
            .agents
            .get_mut(&agent)
            .and_then(|owned| owned.origins.get_mut(&key));
        if let Some(held) = origin {
            held.tls = tls;
        }
    }

    /// What there is to tell of an agent, or of all agents of the process: one entry for each of their origins, and one
    /// without a name for those that each has let go.
    pub fn stats(&self, agent: Option<AgentId>) -> Vec<OriginStats> {
        let shared = self.lock();
        let mut told = Vec::new();
        for (&id, owned) in &shared.agents {
            if agent.is_some_and(|agent| agent != id) {
                continue;
            }
            for (key, mut counts, metrics) in shared.pool.snapshot(id) {
                let Some(Held {
                    name, held_back, ..
                }) = owned.origins.get(&key)
                else {
                    // Let go, but a connection of it is about to end.
                    continue;
                };
                counts.queued += held_back;
                let name = name.clone();
                told.push(OriginStats {
                    name,
                    counts,
                    metrics,
                });
            }
            told.push(OriginStats {
                name: String::new(),
                counts: Counts::default(),
                metrics: Arc::clone(&owned.past),
            });
        }
        told
    }

    /// What there is to tell of the proxies of an agent, or of the process.
    pub fn proxies(&self, agent: Option<AgentId>) -> Vec<ProxyStats> {
        let shared = self.lock();
        let known = match agent {
            Some(agent) => shared.agents.get(&agent).map(|owned| owned.proxies.all()),
            None => Some(proxies::all_of_process()),
        };
        let known = known.unwrap_or_default().into_iter();
        let mut told: BTreeMap<String, ProxyStats> = known
            .map(|(name, passages)| {
                let stats = ProxyStats {
                    name: name.clone(),
                    counts: Counts::default(),
                    reused: passages.reused.load(Relaxed),
                    targets: BTreeMap::new(),
                    passages,
                };
                (name, stats)
            })
            .collect();
        for (&id, owned) in &shared.agents {
            if agent.is_some_and(|agent| agent != id) || owned.proxies.is_empty() {
                continue;
            }
            for (key, counts, metrics) in shared.pool.snapshot(id) {
                let Some(held) = owned.origins.get(&key) else {
                    continue;
                };
                let Some(name) = &held.proxy else {
                    continue;
                };
                let stats = match told.contains_key(name) {
                    true => told.get_mut(name),
                    false => told.get_mut(proxies::OTHER),
                };
                let Some(stats) = stats else {
                    continue;
                };
                stats.counts += counts;
                stats.reused += metrics.reused.load(Relaxed);
                let open = counts.leased + counts.idle;
                if open > 0 && stats.targets.len() < MOST_TARGETS {
                    *stats.targets.entry(Arc::clone(&held.place)).or_default() += open;
                }
            }
        }
        told.into_values().collect()
    }

    /// What agents hold at the moment, by place.
    pub fn holdings(&self) -> Vec<Holding> {
        let shared = self.lock();
        let mut told: BTreeMap<&Arc<str>, Holding> = BTreeMap::new();
        for (&id, owned) in &shared.agents {
            let limit = shared.pool.limits(id).map_or(u32::MAX, |limits| {
                limits.max_sockets.min(limits.max_total_sockets)
            });
            for (key, mut counts, _) in shared.pool.snapshot(id) {
                let Some(Held {
                    place, held_back, ..
                }) = owned.origins.get(&key)
                else {
                    continue;
                };
                counts.queued += held_back;
                // An agent that holds nothing may be one that nobody has any more.
                if counts == Counts::default() {
                    continue;
                }
                let holding = told.entry(place).or_insert_with(|| Holding {
                    place: Arc::clone(place),
                    counts: Counts::default(),
                    limit: Some(0),
                });
                holding.counts += counts;
                holding.limit = match limit {
                    u32::MAX => None,
                    limit => holding.limit.map(|sum| sum + u64::from(limit)),
                };
            }
        }
        told.into_values().collect()
    }

    /// The connections of an agent, or of all, to any place or to one; `most` of them. Where there are many to other places,
    /// these are passed by, not listed.
    pub fn connections(
        &self,
        agent: Option<AgentId>,
        only: Option<&str>,
        most: usize,
    ) -> Vec<OpenConnection> {
        let now = self.clock.now();
        let shared = self.lock();
        let agents = shared
            .agents
            .iter()
            .filter(|(&id, _)| agent.is_none_or(|agent| agent == id));
        let mut wanted = HashMap::new();
        for (&id, owned) in agents {
            for (&key, held) in &owned.origins {
                if only.is_none_or(|only| *only == *held.place) {
                    wanted.insert((id, key), held);
                }
            }
        }
        let keys = wanted.keys().copied();
        let all = shared.pool.connections(keys, now, most).into_iter();
        let placed = all.filter_map(|seen| {
            let held = wanted.get(&(seen.agent, seen.key))?;
            Some(OpenConnection {
                place: Arc::clone(&held.place),
                proxy: held.proxy.clone(),
                seen,
            })
        });
        placed.collect()
    }

    /// How long those who wait for a connection to a place have waited so far, in ms, agent by agent in the order of their
    /// turns; at most so many.
    pub fn waiting(&self, place: &str, most: usize) -> Vec<u64> {
        let now = self.clock.now();
        let shared = self.lock();
        let origins = shared.agents.iter().flat_map(|(&id, owned)| {
            let here = owned
                .origins
                .iter()
                .filter(|(_, held)| *held.place == *place);
            here.map(move |(&key, _)| (id, key))
        });
        let waited = origins.flat_map(|(id, key)| shared.pool.waiting(id, key, now, most));
        waited.take(most).collect()
    }

    /// Counts a failure that its owner met, or a request that fell back to the runtime's sockets.
    pub fn note(&self, agent: AgentId, key: KeyId, fallback: bool, name: String) {
        let metrics = self.lock().pool.metrics_of(agent, key);
        if let Some(metrics) = metrics {
            let tally = if fallback {
                &metrics.fallback
            } else {
                &metrics.errors
            };
            tally.add(Cow::Owned(name));
        }
    }

    /// A request waits for something else than a connection (`on`), or does so no more. `waited`: how long it has, if it goes on.
    pub fn hold_back(&self, agent: AgentId, key: KeyId, on: bool, waited: Option<Duration>) {
        let mut shared = self.lock();
        let owned = shared.agents.get_mut(&agent);
        if let Some(held) = owned.and_then(|owned| owned.origins.get_mut(&key)) {
            held.held_back = match on {
                true => held.held_back + 1,
                false => held.held_back.saturating_sub(1),
            };
        }
        let metrics = shared.pool.metrics_of(agent, key);
        drop(shared);
        if let (Some(waited), Some(metrics)) = (waited, metrics) {
            metrics.wait.record(waited);
        }
    }

    /// Identities and profiles that are held at the moment.
    pub fn held(&self) -> (usize, usize) {
        let shared = self.lock();
        (shared.keys.len(), shared.profiles.len())
    }
}

impl Shared {
    /// The same of all origins of an agent that ends.
    fn settle_proxies(&mut self, agent: AgentId) {
        let Some(owned) = self.agents.get_mut(&agent) else {
            return;
        };
        let origins = std::mem::take(&mut owned.origins);
        for (&key, held) in origins.iter().filter(|(_, held)| held.proxy.is_some()) {
            if let Some(metrics) = self.pool.metrics_of(agent, key) {
                owned.settle_proxy(held, &metrics);
            }
        }
        owned.origins = origins;
    }

    fn let_go(&mut self, agent: AgentId, key: KeyId, held: Held) {
        if held.may_http2 {
            connections::run(move |all| all.forget_origin(agent, key));
        }
        for profile in held.profiles {
            self.profiles.release(profile);
        }
        self.keys.release(key);
        if let Some(route) = held.route {
            self.keys.release(route);
        }
    }
}
