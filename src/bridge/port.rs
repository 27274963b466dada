//! The calls that are answered at once: functions, since finding the instance behind a method's `this` costs more than
//! most of them do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use napi::bindgen_prelude::{Buffer, BufferSlice, Either, Function, Object, Uint32Array};
use napi::{Env, Result, Status};
use napi_derive::napi;
use once_cell::sync::{Lazy, OnceCell};

use super::bell::Bell;
use super::completion::{Chunk, Completions, Fetched, Wake};
use super::content::close_contents;
use super::copies;
use super::in_loop;
use super::layout::{check_in as checked, leased, purpose};
use super::lending;
use super::submission::{self, Commands, Submission};
use super::tls::settings;
use crate::connect::{tls, Asks, CacheSettings, Login, Profile, Proxy, SocketOption, Version, Way};
use crate::engine::{connections, connections::Connections, ADOPTS, ENGINE};
use crate::fetch;
use crate::http1::reader;
use crate::io_thread;
use crate::pool::{
    AgentId, CheckIn, ExchangeId, KeyId, Kind, Lease, Limits, PortId, Scheduling, Stay, WaiterId,
};

/// What fits beside a connection in a double.
const MOST_IDLE_MS: u64 = (1 << 21) - 1;

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

/// How to connect.
#[napi(object)]
pub struct BindingProfile {
    pub host: String,
    pub port: u32,
    pub socket_path: Option<String>,
    pub family: u32,
    pub local_address: Option<String>,
    pub local_port: u32,
    pub keep_alive: bool,
    pub keep_alive_initial_delay_ms: f64,
    pub no_delay: bool,
    pub auto_select_family: bool,
    pub first_family: u32,
    pub attempt_timeout_ms: f64,
    pub connect_timeout_ms: f64,
    pub tls: Option<u32>,
    pub servername: Option<String>,
    pub keylog: Option<bool>,
    pub tcp_user_timeout_ms: f64,
    pub max_streams: Option<f64>,
    pub asks: u32,
    pub ping_after_ms: Option<f64>,
    pub proxy: Option<BindingProxy>,
}

/// A proxy on the way.
#[napi(object)]
pub struct BindingProxy {
    pub host: String,
    pub port: u32,
    /// How it is told where to: 0: by CONNECT, 1: by each request, 4, 5: by SOCKS.
    pub way: u32,
    /// Whether a SOCKS proxy looks names up.
    pub resolves: bool,
    /// Who asks a SOCKS proxy; `null`: nobody in particular.
    pub user: Option<String>,
    pub password: Option<String>,
    /// How it is secured itself; `null`: it is not.
    pub tls: Option<u32>,
    pub servername: Option<String>,
    /// Header lines for it.
    pub fields: String,
    /// Its URL, without credentials.
    pub name: String,
}

impl TryFrom<BindingProfile> for Profile {
    type Error = napi::Error;

    fn try_from(profile: BindingProfile) -> Result<Self> {
        let invalid = |what: &str| napi::Error::new(Status::InvalidArg, format!("invalid {what}"));
        let local_address = profile.local_address.filter(|address| !address.is_empty());
        let tls = match profile.tls {
            None => None,
            Some(id) => Some(tls::Endpoint {
                tls: tls::get(id).ok_or_else(|| invalid("tls"))?,
                servername: profile.servername.unwrap_or_default(),
                keylog: profile.keylog.unwrap_or_default(),
            }),
        };
        let given = profile.proxy;
        let mut profile = Profile {
            host: profile.host,
            port: u16::try_from(profile.port).map_err(|_| invalid("port"))?,
            socket_path: profile.socket_path,
            family: u8::try_from(profile.family).map_err(|_| invalid("family"))?,
            local_address: local_address
                .map(|address| address.parse().map_err(|_| invalid("localAddress")))
                .transpose()?,
            local_port: u16::try_from(profile.local_port).map_err(|_| invalid("localPort"))?,
            keep_alive: profile.keep_alive,
            keep_alive_initial_delay_ms: profile.keep_alive_initial_delay_ms as u32,
            no_delay: profile.no_delay,
            auto_select_family: profile.auto_select_family,
            first_family: u8::try_from(profile.first_family).map_err(|_| invalid("firstFamily"))?,
            auto_select_family_attempt_timeout_ms: profile.attempt_timeout_ms as u32,
            connect_timeout_ms: profile.connect_timeout_ms as u32,
            tls,
            tcp_user_timeout_ms: profile.tcp_user_timeout_ms as u32,
            // Its agent's: the engine knows.
            names: None,
            spread: None,
            http2: profile.max_streams.map(|most| most as u32),
            asks: match profile.asks {
                0 => Asks::AsOthers,
                1 => Asks::ForNames,
                2 => Asks::Always,
                _ => Asks::AlwaysElse,
            },
            ping_after_ms: profile.ping_after_ms.unwrap_or_default() as u32,
            proxy: None,
        };
        if let Some(given) = given {
            let hop = Profile {
                host: given.host,
                port: u16::try_from(given.port).map_err(|_| invalid("port"))?,
                tls: match given.tls {
                    None => None,
                    Some(id) => Some(tls::Endpoint {
                        tls: tls::get(id).ok_or_else(|| invalid("tls"))?,
                        servername: given.servername.unwrap_or_default(),
                        keylog: false,
                    }),
                },
                http2: None,
                ..profile.clone()
            };
            let resolves = given.resolves;
            let way = match given.way {
                0 => Way::Tunnel,
                1 => Way::Forward,
                4 => Way::Socks {
                    version: Version::V4,
                    resolves,
                },
                5 => Way::Socks {
                    version: Version::V5,
                    resolves,
                },
                _ => return Err(invalid("way")),
            };
            profile.proxy = Some(Box::new(Proxy {
                hop,
                way,
                fields: given.fields,
                login: given.user.map(|user| Login {
                    user,
                    password: given.password.unwrap_or_default(),
                }),
                name: given.name,
                book: None,
            }));
        }
        Ok(profile)
    }
}

/// One JavaScript thread's way into the engine.
struct Port {
    completions: Arc<Completions>,
    bell: Arc<Bell>,
    active: bool,
}

/// The ports that are open, by number: JavaScript holds nothing of ours that its runtime could free too early. (Deno
/// frees instances of classes before its last wake-up.)
static PORTS: Lazy<Mutex<HashMap<PortId, Port>>> = Lazy::new(Mutex::default);

fn ports() -> MutexGuard<'static, HashMap<PortId, Port>> {
    PORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn completions(port: PortId) -> Option<Arc<Completions>> {
    ports().get(&port).map(|port| Arc::clone(&port.completions))
}

/// Gives the addon's exports what JavaScript does in the addon's own realm.
#[napi(module_exports)]
pub fn exports(exports: Object<'_>, env: Env) -> Result<()> {
    let run: Function<'_, Object<'_>, ()> = env.run_script(include_str!("contexts.js"))?;
    run.call(exports)
}

/// Opens a port for a context of this thread. `wake` is the environment's: called on this thread with the port's number when records
/// wait, once until `drain`; it keeps no process alive by itself. The port is open until its environment ends or it is closed.
#[napi]
pub fn open_port(env: Env, wake: Function<'_, PortId, ()>) -> Result<PortId> {
    let bell = Bell::of(&env, wake, shut_all)?;
    let number = Arc::new(OnceCell::new());
    let call: Wake = {
        let (bell, number) = (Arc::clone(&bell), Arc::clone(&number));
        Box::new(move || {
            if let Some(&port) = number.get() {
                bell.ring(port);
            }
        })
    };
    let completions = Completions::new(call);
    let id = ENGINE.open_port(Arc::clone(&completions) as _);
    number.get_or_init(|| id);
    let port = Port {
        completions,
        bell,
        active: false,
    };
    ports().insert(id, port);
    Ok(id)
}

/// Its context is gone: nobody asks for anything by this port any more.
#[napi]
pub fn close_port(env: Env, port: PortId) -> Result<()> {
    shut(port).map_or(Ok(()), |bell| bell.set_active(&env, false))
}

/// Nobody is woken any more, and what the port held is closed.
///
/// Returns what it kept the event loop alive by.
fn shut(id: PortId) -> Option<Arc<Bell>> {
    let port = ports().remove(&id)?;
    close_contents(id);
    in_loop::close(id);
    lending::reclaim_all(id);
    port.completions.close();
    io_thread::run(move || fetch::abort_port(id));
    ENGINE.close_port(id);
    port.active.then_some(port.bell)
}

/// The environment ends.
fn shut_all(bell: &Arc<Bell>) {
    let of_bell = |(&id, port): (&PortId, &Port)| Arc::ptr_eq(&port.bell, bell).then_some(id);
    let ids: Vec<PortId> = ports().iter().filter_map(of_bell).collect();
    for id in ids {
        shut(id);
    }
}

/// Has the port carry exchanges of BEGINs that allow it by itself, in the event loop of its environment; false: there is none that
/// could. `wake` as for `openPort`.
#[napi]
pub fn open_loop(env: Env, port: PortId, wake: Function<'_, PortId, ()>) -> bool {
    let opened = completions(port).zip(in_loop::open(&env, port, &wake));
    if let Some((completions, in_loop)) = &opened {
        completions.carry_by(Arc::clone(in_loop));
    }
    opened.is_some()
}

/// While `active` the event loop stays alive.
#[napi]
pub fn set_active(env: Env, port: PortId, active: bool) -> Result<()> {
    let bell = match ports().get_mut(&port) {
        Some(port) if port.active != active => {
            port.active = active;
            Arc::clone(&port.bell)
        }
        _ => return Ok(()),
    };
    bell.set_active(&env, active)
}

/// Whether whoever has the port looks names up: LOOKUP asks it. Else the system does.
#[napi]
pub fn set_looks_up(port: PortId, on: bool) {
    if let Some(completions) = completions(port) {
        completions.set_looks_up(on);
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

/// The number of texts in PEM, a NUL between any two, with trusted certificates: for the next `internTls`, or for all until
/// there is another default. Whose verdicts count: 1 BoringSSL's, 2 webpki's, else OpenSSL's.
#[napi]
pub fn intern_trust(pem: String, partial_chains: bool, is_default: bool, dialect: u32) -> u32 {
    let dialect = match dialect {
        1 => tls::Dialect::BoringSsl,
        2 => tls::Dialect::Webpki,
        _ => tls::Dialect::OpenSsl,
    };
    tls::intern_trust(pem.as_bytes(), partial_chains, is_default, dialect)
}

/// The number of TLS settings; `null` if the engine can't use them. Whoever is to keep them must say so next.
#[napi]
pub fn intern_tls(given: Object<'_>) -> Result<Option<u32>> {
    Ok(tls::intern(settings(&given)?).ok())
}

/// TLS settings are kept as long as an agent's origin.
#[napi]
pub fn hold_tls(agent: AgentId, key: KeyId, settings: u32) {
    ENGINE.hold_tls(agent, key, settings);
}

/// The connection is its user's alone: it is never shared.
#[napi]
pub fn bind(conn: u32) {
    ENGINE.bind(conn);
}

/// The type of service of what a connection sends, after setting it unless `class` is negative; minus the system's number of
/// an error; `null`: it has none, as a Unix socket or while it is being opened. Waits for the I/O thread.
#[napi]
pub fn type_of_service(conn: u32, class: i32) -> Option<i32> {
    let (tell, told) = std::sync::mpsc::channel();
    connections::run(move |all| {
        let done = match u8::try_from(class) {
            Ok(class) => all.set_option(conn, SocketOption::TypeOfService(class)),
            Err(_) => None,
        };
        let now = match done {
            Some(Err(err)) => Some(Err(err)),
            _ => all.type_of_service(conn),
        };
        drop(tell.send(now));
    });
    // Dropped unsent with its job, where there is no thread any more.
    match told.recv().ok()?? {
        Ok(class) => Some(class.into()),
        Err(err) => err.raw_os_error().map(|raw| -raw),
    }
}

/// Takes an exchange out of the queue; false if it has its turn already.
#[napi]
pub fn cancel(port: PortId, exchange: f64) -> bool {
    let exchange = exchange as ExchangeId;
    ENGINE.cancel(WaiterId { port, exchange })
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

/// Connections that closed while idle since the last call.
#[napi]
pub fn closed_idle(port: PortId) -> Option<Uint32Array> {
    let closed = completions(port)?.take_closed_idle();
    (!closed.is_empty()).then(|| Uint32Array::new(closed))
}

/// Moves records into `buffer`: bytes moved, 0 if there are none, or minus the bytes that the next record needs.
#[napi]
pub fn drain(port: PortId, mut buffer: BufferSlice<'_>) -> f64 {
    match completions(port).map(|completions| completions.fetch(&mut buffer)) {
        Some(Fetched::Bytes(count)) => count as f64,
        Some(Fetched::Needs(count)) => -(count as f64),
        None => 0.0,
    }
}

/// The next chunk that a DATA record announced: the buffer that was lent for it, else memory of the engine's, or `owned`, a copy.
#[napi]
pub fn take_chunk<'env>(
    env: &'env Env,
    port: PortId,
    owned: bool,
) -> Result<Either<BufferSlice<'env>, Buffer>> {
    let chunk = completions(port).and_then(|completions| completions.take_chunk());
    let bytes = match chunk {
        Some(Chunk::Lent(exchange)) => match lending::reclaim(port, exchange) {
            Some(buffer) => return Ok(Either::B(buffer)),
            // Whoever has lent it has given up.
            None => Bytes::new(),
        },
        Some(Chunk::Owned(bytes)) => bytes,
        None => Bytes::new(),
    };
    let chunk = if owned {
        let copy = BufferSlice::copy_from(env, &bytes);
        reader::recycle(bytes);
        copy
    } else {
        BufferSlice::from_data(env, bytes)
    };
    chunk.map(Either::A)
}

/// Asks for a connection, for a purpose: `conn * 8`, plus what came of it ([`leased`]), plus 2^32 times, for an idle
/// connection, how many ms it was, for one that is dialed, why ([`crate::pool::Miss::number`]).
#[napi]
pub fn lease(
    port: PortId,
    agent: AgentId,
    key: KeyId,
    profile: u32,
    exchange: f64,
    purpose: u32,
) -> f64 {
    let kind = match purpose {
        purpose::FALLBACK => Kind::Fallback,
        purpose::NOT_RETRYABLE => Kind::NotRetryable,
        _ => Kind::Retryable,
    };
    let exchange = exchange as ExchangeId;
    let waiter = WaiterId { port, exchange };
    let (lease, miss) = ENGINE.lease(agent, key, profile, waiter, kind);
    let (conn, code, more) = match lease {
        Lease::Queued => (0, leased::QUEUED, 0),
        Lease::Idle { conn, idle_ms } => {
            let idle_ms = idle_ms.min(MOST_IDLE_MS);
            (conn, leased::IDLE, idle_ms as u32)
        }
        Lease::Dial { conn } if miss == ADOPTS => (conn, leased::ADOPTING, 0),
        Lease::Dial { conn } => (conn, leased::DIALING, u32::from(miss)),
        Lease::Granted => (0, leased::FALLBACK, 0),
        Lease::QueueFull => (0, leased::QUEUE_FULL, 0),
    };
    f64::from(more) * 4_294_967_296.0 + f64::from(conn) * 8.0 + f64::from(code)
}

/// Ends the lease of a connection that is in order, and says how ([`checked`]). It may be idle for `idle_limit_ms`, which
/// may also be [`checked::UNUSED`] or, without a limit, another negative number.
#[napi]
pub fn check_in(conn: u32, idle_limit_ms: f64) -> u32 {
    let stay = match idle_limit_ms {
        limit if limit >= 0.0 => Stay::For(limit as u64),
        checked::UNUSED => Stay::Unused,
        _ => Stay::Unlimited,
    };
    match ENGINE.check_in(conn, stay) {
        CheckIn::Closed(_) | CheckIn::Unknown => checked::CLOSED,
        CheckIn::Idle => checked::IDLE,
        CheckIn::Handed(_) => checked::HANDED,
    }
}

/// Hands over the first `length` bytes of commands. `in_loop`: this thread may carry some of them out.
#[napi]
pub fn submit(port: PortId, commands: BufferSlice<'_>, length: u32, in_loop: bool) {
    hand_over(port, &commands, length, in_loop, None::<fn(&Connections)>);
}

/// Hands over a large piece of a request's body, and commands before it: the head is not sent by itself while the piece is
/// copied. Flags as of WRITE.
#[napi]
pub fn submit_body(
    port: PortId,
    exchange: f64,
    chunk: BufferSlice<'_>,
    flags: u32,
    commands: BufferSlice<'_>,
    length: u32,
) {
    let bytes = copies::copy(&chunk);
    let exchange = exchange as ExchangeId;
    let input = submission::write(bytes, flags as u8);
    let then = move |all: &Connections| submission::deliver(all, port, exchange, input);
    hand_over(port, &commands, length, false, Some(then));
}

/// Has this thread carry out what it may of commands (`in_loop`), and the I/O thread the rest, and `then` something else.
fn hand_over(
    port: PortId,
    commands: &[u8],
    length: u32,
    in_loop: bool,
    then: Option<impl FnOnce(&Connections) + Send + 'static>,
) {
    let length = (length as usize).min(commands.len());
    let bytes = Bytes::copy_from_slice(&commands[..length]);
    let submission = if in_loop || in_loop::is_busy() {
        let rest = in_loop::carry_out(port, Commands::new(bytes));
        if rest.is_empty() && then.is_none() {
            return;
        }
        Submission::of(port, rest)
    } else {
        Submission::new(port, bytes)
    };
    match io_thread::ready() {
        Ok(()) => connections::run(move |all| {
            submission.carry_out(all);
            if let Some(then) = then {
                then(all);
            }
        }),
        Err(failure) => submission.refuse(&failure),
    }
}
