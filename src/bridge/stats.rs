//! Counters on their way to JavaScript, which makes of them what `stats()`, `totals()` and `connections()` show.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use napi_derive::napi;

use super::lending;
use crate::connect::tls;
use crate::engine::{connections as open, Holding, OriginStats, ENGINE};
use crate::fetch;
use crate::metrics::{lifetime, Histogram, Metrics};
use crate::pool::{Counts, State};

/// Of the counters, the first ones belong to an agent; bytes and handshakes are counted for the process.
const OF_AN_AGENT: usize = 5;

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
    pub fallback: Vec<BindingTally>,
    /// As `Histogram::snapshot` has them.
    pub wait: Vec<f64>,
    pub connect: Vec<f64>,
    pub first_byte: Vec<f64>,
}

/// How long requests took, by method and by the first digit of the status (0: no usual one).
#[napi(object)]
pub struct BindingDurations {
    pub method: String,
    pub class: u32,
    pub times: Vec<f64>,
}

/// What the process did at a place, and holds there now; without a name: at all that are counted together.
#[napi(object)]
pub struct BindingPlace {
    pub name: String,
    /// As of an origin.
    pub counts: Vec<u32>,
    /// How many connections there may be.
    pub limit: f64,
    /// As [`Metrics::counters`] has them.
    pub totals: Vec<f64>,
    /// Those that were open, by the number of the reason.
    pub closed: Vec<f64>,
    pub errors: Vec<BindingTally>,
    pub fallback: Vec<BindingTally>,
    /// As [`Metrics::times`] and `Histogram::snapshot` have them.
    pub times: Vec<Vec<f64>>,
    pub durations: Vec<BindingDurations>,
}

/// An open connection, or one that is being opened.
#[napi(object)]
pub struct BindingConnection {
    pub id: u32,
    pub place: String,
    /// 0: dialing, 1: leased, 2: idle.
    pub state: u32,
    pub age_ms: f64,
    pub idle_ms: f64,
    pub uses: u32,
    pub address: Option<String>,
    pub port: Option<u32>,
    pub protocol: Option<String>,
    pub cipher: Option<String>,
    pub alpn: Option<String>,
    /// What it goes through, as that is counted.
    pub proxy: Option<String>,
}

/// What a proxy did for an agent, or for the process, and what is open through it.
#[napi(object)]
pub struct BindingProxyStats {
    pub name: String,
    /// As of an origin.
    pub counts: Vec<u32>,
    /// Opened, reused.
    pub totals: Vec<f64>,
    pub refused: Vec<BindingTally>,
    pub errors: Vec<BindingTally>,
    /// As `Histogram::snapshot` has them.
    pub passed: Vec<f64>,
    /// Code and message of the last failure; empty: there was none.
    pub last: Vec<String>,
    /// When that was, in milliseconds since 1970.
    pub last_at: f64,
    /// Open connections by place: those with most of them first.
    pub targets: Vec<BindingTally>,
    /// How many places there are, those that are not told included.
    pub target_count: u32,
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
        origins.extend(fetch::reqwest::stats::all());
    }
    origins.into_iter().map(told).collect()
}

/// What the proxies of an agent did, or those of the process; of each proxy, at most `targets` places.
#[napi]
pub fn proxies(agent: Option<u32>, targets: u32) -> Vec<BindingProxyStats> {
    let told = ENGINE.proxies(agent).into_iter();
    told.map(|told| {
        let passages = &told.passages;
        let last = passages.last();
        let mut places: Vec<_> = told.targets.into_iter().collect();
        let target_count = places.len() as u32;
        places.sort_by_key(|&(_, open)| std::cmp::Reverse(open));
        places.truncate(targets as usize);
        let targets = places.into_iter().map(|(place, open)| BindingTally {
            name: place.to_string(),
            count: f64::from(open),
        });
        BindingProxyStats {
            name: told.name,
            counts: numbers(told.counts),
            totals: vec![passages.opened.load(Relaxed) as f64, told.reused as f64],
            refused: tally(passages.refused.snapshot()),
            errors: tally(passages.errors.snapshot()),
            passed: passages.passed.snapshot(),
            last_at: last.as_ref().map_or(0.0, |last| {
                let since = last.at.duration_since(std::time::UNIX_EPOCH);
                since.map_or(0.0, |since| since.as_millis() as f64)
            }),
            last: last.map_or_else(Vec::new, |last| vec![last.code, last.message]),
            targets: targets.collect(),
            target_count,
        }
    })
    .collect()
}

/// What the process did so far, and what it holds, by place.
#[napi]
pub fn totals() -> Vec<BindingPlace> {
    let mut held = holdings();
    let (others, named): (Vec<_>, Vec<_>) = lifetime::totals()
        .into_iter()
        .partition(|(name, _)| name.is_empty());
    let mut places: Vec<_> = named
        .iter()
        .map(|(name, metrics)| place(name, held.remove(name), metrics))
        .collect();
    for (_, metrics) in &others {
        // What is left is at places that are counted together.
        let rest = std::mem::take(&mut held).into_values().reduce(together);
        places.push(place("", rest, metrics));
    }
    places
}

/// What the process holds, by place.
pub(super) fn holdings() -> BTreeMap<Arc<str>, Holding> {
    let mut held: BTreeMap<Arc<str>, Holding> = BTreeMap::new();
    let all = ENGINE.holdings().into_iter();
    for holding in all.chain(fetch::reqwest::stats::holdings()) {
        let place = Arc::clone(&holding.place);
        let sum = match held.remove(&place) {
            Some(other) => together(other, holding),
            None => holding,
        };
        held.insert(place, sum);
    }
    held
}

pub(super) fn together(mut one: Holding, other: Holding) -> Holding {
    one.counts += other.counts;
    one.limit = one.limit.zip(other.limit).map(|(a, b)| a + b);
    one
}

/// The connections of an agent, or of all; where a place is named, only those to it, and at most `most`. Waits for the I/O
/// thread.
#[napi]
pub fn connections(
    agent: Option<u32>,
    place: Option<String>,
    most: Option<u32>,
) -> Vec<BindingConnection> {
    let most = most.map_or(usize::MAX, |most| most as usize);
    let all = ENGINE.connections(agent, place.as_deref(), most);
    let (tell, told) = std::sync::mpsc::channel();
    let ids: Vec<u32> = all.iter().map(|open| open.seen.conn).collect();
    open::run(move |connections| {
        let facts = ids.into_iter().map(|conn| {
            connections.facts(conn, |remote, secured| {
                let secured = secured.map(|secured| {
                    let alpn = String::from_utf8_lossy(&secured.alpn).into_owned();
                    (secured.protocol, secured.cipher.clone(), alpn)
                });
                (remote, secured)
            })
        });
        drop(tell.send(facts.collect::<Vec<_>>()));
    });
    // Dropped unsent with its job, where there is no thread any more.
    let facts = told.recv().unwrap_or_default().into_iter();
    let facts = facts.map(Option::unwrap_or_default);
    let facts = facts.chain(std::iter::repeat(Default::default()));
    let pairs = all.into_iter().zip(facts);
    pairs
        .map(|(open, (remote, secured))| {
            let (protocol, cipher, alpn) = match secured {
                Some((protocol, cipher, alpn)) => (Some(protocol), Some(cipher), Some(alpn)),
                None => (None, None, None),
            };
            BindingConnection {
                id: open.seen.conn,
                place: open.place.to_string(),
                state: match open.seen.state {
                    State::Dialing => 0,
                    State::Leased => 1,
                    State::Idle => 2,
                },
                age_ms: open.seen.age_ms as f64,
                idle_ms: open.seen.idle_ms as f64,
                uses: open.seen.uses,
                address: remote.map(|remote| remote.ip().to_string()),
                port: remote.map(|remote| remote.port().into()),
                protocol: protocol.map(str::to_owned),
                cipher,
                alpn: alpn.filter(|alpn| !alpn.is_empty()),
                proxy: open.proxy,
            }
        })
        .collect()
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
    BindingOrigin {
        name,
        counts: numbers(counts),
        totals: all(metrics.counters().into_iter().take(OF_AN_AGENT)),
        closed: all(&metrics.closed),
        errors: tally(metrics.errors.snapshot()),
        fallback: tally(metrics.fallback.snapshot()),
        wait: metrics.wait.snapshot(),
        connect: metrics.connect.snapshot(),
        first_byte: metrics.first_byte.snapshot(),
    }
}

fn place(name: &str, holding: Option<Holding>, metrics: &Metrics) -> BindingPlace {
    let (counts, limit) = holding.map_or((Counts::default(), Some(0)), |holding| {
        (holding.counts, holding.limit)
    });
    let durations = metrics.durations.snapshot();
    BindingPlace {
        name: name.to_owned(),
        counts: numbers(counts),
        limit: limit.map_or(f64::INFINITY, |limit| limit as f64),
        totals: all(metrics.counters()),
        closed: all(&metrics.ended),
        errors: tally(metrics.errors.snapshot()),
        fallback: tally(metrics.fallback.snapshot()),
        times: metrics.times().map(Histogram::snapshot).to_vec(),
        durations: durations
            .map(|(method, class, times)| BindingDurations {
                method: method.to_owned(),
                class: class as u32,
                times,
            })
            .collect(),
    }
}

fn numbers(counts: Counts) -> Vec<u32> {
    vec![
        counts.dialing,
        counts.leased,
        counts.idle,
        counts.fallback,
        counts.fallback_idle,
        counts.queued,
    ]
}

fn all<'a>(counters: impl IntoIterator<Item = &'a AtomicU64>) -> Vec<f64> {
    let counters = counters.into_iter();
    counters.map(|count| count.load(Relaxed) as f64).collect()
}

fn tally(counts: Vec<(String, u64)>) -> Vec<BindingTally> {
    let counts = counts.into_iter();
    let pairs = counts.map(|(name, count)| BindingTally {
        name,
        count: count as f64,
    });
    pairs.collect()
}
