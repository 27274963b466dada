//! Opens connections: name → addresses → socket, each step as the runtime's `net` takes it, with its wording when it fails.
//!
//! * `dns`: the system's own resolver, off the I/O thread (`threads`), one question at a time per name (`flights`).
//! * `name_cache`: what an agent may remember of names.
//! * `spread`: which of several addresses that are as good has fewest connections.
//! * `race`: the order in which several addresses are tried, and how long each may take.
//! * `tcp`: one attempt: socket, local end, `connect`, options.
//! * `proxy`: what a proxy on the way is told; `socks`: in that protocol's words.
//! * `socket_options`: what may change while it is open.
//! * [`tls`]: what makes it a secure one.
//! * `transport`: the open connection, whatever carries it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use spread::Counted;
use tokio::net::TcpStream;
use tokio::time::{timeout, Instant};

use crate::config::GRACE;
use crate::error::Failure;
use crate::faults::{self, FaultPoint};

mod answer;
mod dns;
mod flights;
mod name_cache;
mod proxy;
mod race;
mod socket_options;
mod socks;
mod spread;
mod tcp;
mod tcp_socket;
mod threads;
pub mod tls;
mod transport;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use dns::lookup;
pub(crate) use dns::{refresh, Rotation};
pub use name_cache::{CacheSettings, CacheStats, Names};
pub use proxy::{Proxy, ProxyCounters, Way};
pub use socket_options::{KeepAlive, SocketOption, SocketOptions};
pub use socks::{Login, Version};
pub use spread::Spread;
pub use transport::{IdleState, Transport};

/// Where and how to connect. Everything in here distinguishes connections, so it is part of a pool key.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Profile {
    /// A name or a literal address without brackets; empty: `localhost`.
    pub host: String,
    pub port: u16,
    /// A Unix socket; host and port do not count then.
    pub socket_path: Option<String>,
    /// 4 or 6: only addresses of that family; 0: any. A literal address overrules it.
    pub family: u8,
    pub local_address: Option<IpAddr>,
    /// 0: any.
    pub local_port: u16,
    /// TCP keep-alive probes, see [`Transport::set_keepalive`].
    pub keep_alive: bool,
    pub keep_alive_initial_delay_ms: u32,
    pub no_delay: bool,
    /// Try every address of a name; applies without `family` and `local_address` only.
    pub auto_select_family: bool,
    /// 4 or 6: addresses of that family are tried first; 0: in the resolver's order.
    pub first_family: u8,
    /// How long an address may take while there is another to try; below 10 counts as 10.
    pub auto_select_family_attempt_timeout_ms: u32,
    /// For name, connection and TLS together; 0: no limit.
    pub connect_timeout_ms: u32,
    /// TLS over it; `None`: plain text.
    pub tls: Option<tls::Endpoint>,
    /// How long sent bytes may stay unacknowledged before the connection ends, see [`Transport::set_user_timeout`], and an
    /// attempt to connect unanswered; 0: the system's own limits.
    pub tcp_user_timeout_ms: u32,
    /// What is remembered of names; `None`: nothing.
    pub names: Option<Names>,
    /// Where connections are counted, so that they go to each address of a name; `None`: in the resolver's order.
    pub spread: Option<Spread>,
    /// How many exchanges at a time a connection may carry if its peer speaks HTTP/2, as it is known to in plain text; `None`: none
    /// may speak it.
    pub http2: Option<u32>,
    /// After how long a silence such a peer is asked whether it is there; 0: never.
    pub ping_after_ms: u32,
    /// When whoever the connection is opened for says what to connect to, in place of the system.
    pub asks: Asks,
    /// What it goes through; `None`: straight to its target.
    pub proxy: Option<Box<Proxy>>,
}

/// Whether a connection's owner is asked for its addresses, see [`connect_by`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Asks {
    /// As everybody does at the time.
    #[default]
    AsOthers,
    /// If there is a name to look up.
    ForNames,
    /// Whatever its host is: nothing is connected to that its owner has not agreed to.
    Always,
    /// The same, and its owner has other means to look names up than the system.
    AlwaysElse,
}

impl Asks {
    fn is_always(self) -> bool {
        matches!(self, Asks::Always | Asks::AlwaysElse)
    }
}

/// An open connection and how it came about.
#[derive(Debug)]
pub struct Connected {
    pub transport: Transport,
    /// Both ends; `None` for a Unix socket.
    pub local: Option<SocketAddr>,
    pub remote: Option<SocketAddr>,
    /// Time until the name was resolved; 0 if there was none to resolve.
    pub dns_ms: f64,
    /// Time from there to the open connection, attempts that failed included.
    pub connect_ms: f64,
    /// Time from there until the proxy had let it through; 0: there is none.
    pub proxy_ms: f64,
    /// What its handshake came to; `None`: plain text.
    pub secured: Option<Box<tls::Secured>>,
}

/// An address to try, and how an error spells it: as the user wrote it, if he wrote it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Target {
    addr: SocketAddr,
    text: String,
}

/// What is offered of the application protocols that a profile names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offer {
    All,
    /// All but HTTP/2.
    WithoutHttp2,
}

/// Opens a connection. A name's addresses are what `lookup` says, if it is given: it is called if there is a name to look up,
/// or always, as the profile says.
///
/// # Errors
///
/// What the runtime reports: `ENOTFOUND` and its like for the name, `ECONNREFUSED` and its like for the connection (all of them
/// in [`Failure::causes`] if several addresses were tried), what [`tls`] reports, and `ERR_KEEPWIRE_CONNECT_TIMEOUT` when the profile's time is up.
///
/// # Cancel safety
///
/// Dropping the future closes the socket that is under way. A lookup cannot be interrupted: it ends on its own thread and
/// nobody hears of it.
pub async fn connect_by<L: Future<Output = Vec<String>>>(
    profile: &Profile,
    lookup: Option<impl Fn() -> L>,
    offer: Offer,
) -> Result<Connected, Failure> {
    let phase = Phase::default();
    let opened = in_time(profile, open(profile, lookup, offer, &phase)).await;
    match opened {
        Ok(opened) => opened,
        Err(mut late) => {
            if !phase.get().is_empty() {
                late.message = format!("{}: {}", late.message, phase.get());
            }
            match &profile.proxy {
                Some(proxy) if ![TARGETS_NAME, TARGETS_TURN].contains(&phase.get()) => {
                    let mut late = Err(late);
                    proxy.count(&mut late);
                    late
                }
                _ => Err(late),
            }
        }
    }
}

/// What an attempt waits for, where a proxy is on the way.
type Phase = Cell<&'static str>;

/// The proxy is not to blame for these.
const TARGETS_NAME: &str = "the target's name is not resolved";
const TARGETS_TURN: &str = "the TLS handshake with the target is not over";

/// What comes of `future`, which is a step on the way to a connection.
///
/// # Errors
///
/// `ERR_KEEPWIRE_CONNECT_TIMEOUT` when the profile's time is up.
pub async fn in_time<F: Future>(profile: &Profile, future: F) -> Result<F::Output, Failure> {
    if profile.connect_timeout_ms == 0 {
        return Ok(future.await);
    }
    let limit = Duration::from_millis(profile.connect_timeout_ms.into());
    within(limit, future)
        .await
        .ok_or_else(|| timed_out(profile))
}

/// The same with the system's resolver.
#[cfg(test)]
pub async fn connect(profile: &Profile) -> Result<Connected, Failure> {
    connect_by(
        profile,
        None::<fn() -> std::future::Ready<Vec<String>>>,
        Offer::All,
    )
    .await
}

/// Waits for `future` no longer than `limit`.
///
/// A process that was stopped (SIGSTOP, a paused container) may find that over and the answer in the kernel. The signal that
/// lets it go on ends the wait for the kernel with nothing heard, so it is waited once more.
async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    if let Ok(outcome) = timeout(limit, future.as_mut()).await {
        return Some(outcome);
    }
    timeout(GRACE, future).await.ok()
}

async fn open<L: Future<Output = Vec<String>>>(
    profile: &Profile,
    lookup: Option<impl Fn() -> L>,
    offer: Offer,
    phase: &Phase,
) -> Result<Connected, Failure> {
    faults::at(FaultPoint::Dial);
    let opened = match &profile.proxy {
        Some(proxy) => {
            let mut lookup = lookup;
            let mut addresses = Vec::new();
            if proxy.way.asks_for_target() {
                phase.set(TARGETS_NAME);
                // A name that is asked for here is the only one: the proxy's own is the system's to tell then.
                let is_literal = dns::is_literal(dns::host(profile));
                let asked = if is_literal { None } else { lookup.take() };
                let targets = resolve(profile, asked).await?;
                addresses.extend(targets.into_iter().map(|target| target.addr));
            }
            let mut opened = open_through(proxy, profile, &addresses, lookup, phase).await;
            proxy.count(&mut opened);
            opened?
        }
        None => open_direct(profile, lookup).await?,
    };
    match &profile.tls {
        Some(endpoint) => {
            if profile.proxy.is_some() {
                phase.set(TARGETS_TURN);
            }
            faults::at(FaultPoint::Handshake);
            tls::secure(endpoint, profile, opened, offer).await
        }
        None => Ok(opened),
    }
}

/// Opens a connection through a proxy, up to where it is one to the target.
async fn open_through<L: Future<Output = Vec<String>>>(
    proxy: &Proxy,
    profile: &Profile,
    addresses: &[SocketAddr],
    lookup: Option<impl Fn() -> L>,
    phase: &Phase,
) -> Result<Connected, Failure> {
    phase.set("the proxy has not been reached");
    let opened = open_direct(&proxy.profile, lookup).await?;
    let opened = proxy::reach(proxy, opened, phase).await?;
    proxy::pass(proxy, profile, addresses, opened, phase).await
}

async fn open_direct<L: Future<Output = Vec<String>>>(
    profile: &Profile,
    lookup: Option<impl Fn() -> L>,
) -> Result<Connected, Failure> {
    if let Some(path) = &profile.socket_path {
        if let Some(lookup) = lookup.filter(|_| profile.asks.is_always()) {
            lookup().await;
        }
        return open_path(path).await;
    }
    let began = Instant::now();
    if let Some(known) = dns::known(profile, lookup.is_some()) {
        let targets = known?;
        let tried = attempts(profile, targets.clone());
        match open_any(profile, targets, millis_since(began)).await {
            Ok(connected) => return Ok(connected),
            Err(failure) => {
                // The service may have moved: no request fails that would not without a cache.
                dns::forget(profile);
                let now = resolve(profile, lookup).await?;
                if attempts(profile, now.clone())
                    .iter()
                    .all(|target| tried.contains(target))
                {
                    dns::forget(profile);
                    return Err(failure);
                }
                return open_resolved(profile, now, millis_since(began)).await;
            }
        }
    }
    let targets = resolve(profile, lookup).await?;
    let is_literal = dns::is_literal(dns::host(profile));
    let dns_ms = if is_literal { 0.0 } else { millis_since(began) };
    open_resolved(profile, targets, dns_ms).await
}

async fn resolve<L: Future<Output = Vec<String>>>(
    profile: &Profile,
    lookup: Option<impl Fn() -> L>,
) -> Result<Vec<Target>, Failure> {
    match lookup {
        Some(lookup) if profile.asks.is_always() || !dns::is_literal(dns::host(profile)) => {
            dns::targets(profile, &lookup().await).await
        }
        _ => dns::resolve(profile).await,
    }
}

async fn open_resolved(
    profile: &Profile,
    targets: Vec<Target>,
    dns_ms: f64,
) -> Result<Connected, Failure> {
    let opened = open_any(profile, targets, dns_ms).await;
    if opened.is_err() {
        dns::forget(profile);
    }
    opened
}

/// Connects to the first of `targets`, in the resolver's order, that answers.
async fn open_any(
    profile: &Profile,
    targets: Vec<Target>,
    dns_ms: f64,
) -> Result<Connected, Failure> {
    let began = Instant::now();
    let spread = profile.spread.as_ref();
    let targets = attempts(profile, targets);
    let attempt_delay =
        Duration::from_millis(profile.auto_select_family_attempt_timeout_ms.max(10).into());
    let begun = RefCell::new(Vec::new());
    let (stream, remote, counted) = race::race(&targets, attempt_delay, |target| {
        let counted = spread.map(|spread| spread.count(target.addr));
        begun.borrow_mut().push(target.addr);
        attempt(target, profile, counted)
    })
    .await?;
    if let (Some(spread), Some(counted)) = (spread, &counted) {
        spread.trust(counted.addr());
        // Those before it had not answered in time.
        for addr in begun.take() {
            if addr != counted.addr() {
                spread.avoid(addr);
            }
        }
    }
    let local = stream.local_addr().ok();
    let transport = Transport::Tcp(stream.into(), counted);
    // A peer that has reset the connection already makes these fail on some systems; reading will tell, as with the runtime.
    if profile.no_delay {
        let _ = transport.set_nodelay(true);
    }
    if profile.keep_alive {
        let _ = transport.set_keepalive(KeepAlive::after_ms(profile.keep_alive_initial_delay_ms));
    }
    if profile.tcp_user_timeout_ms > 0 {
        let _ = transport.set_user_timeout(profile.tcp_user_timeout_ms);
    }
    Ok(Connected {
        transport,
        local,
        remote: Some(remote),
        dns_ms,
        connect_ms: millis_since(began),
        proxy_ms: 0.0,
        secured: None,
    })
}

/// One attempt at an address, and its part in the count.
async fn attempt(
    target: &Target,
    profile: &Profile,
    counted: Option<Counted>,
) -> Result<(TcpStream, SocketAddr, Option<Counted>), Failure> {
    match tcp::open(target, profile).await {
        Ok((stream, remote)) => Ok((stream, remote, counted)),
        Err(failure) => {
            if let Some(spread) = &profile.spread {
                spread.avoid(target.addr);
            }
            Err(failure)
        }
    }
}

/// Those that are tried, in that order.
fn attempts(profile: &Profile, mut targets: Vec<Target>) -> Vec<Target> {
    if let Some(spread) = &profile.spread {
        spread.sort(&mut targets);
    }
    if races(profile) {
        race::order(targets)
    } else {
        targets.into_iter().take(1).collect()
    }
}

/// The runtime looks at one address only if the user has narrowed the choice.
fn races(profile: &Profile) -> bool {
    profile.auto_select_family && profile.family == 0 && profile.local_address.is_none()
}

#[cfg(unix)]
async fn open_path(path: &str) -> Result<Connected, Failure> {
    let began = Instant::now();
    match tokio::net::UnixStream::connect(path).await {
        Ok(stream) => Ok(Connected {
            transport: Transport::Unix(stream),
            local: None,
            remote: None,
            dns_ms: 0.0,
            connect_ms: millis_since(began),
            proxy_ms: 0.0,
            secured: None,
        }),
        Err(err) => Err(Failure::from_io(&err, "connect", Some(path), None)),
    }
}

#[cfg(not(unix))]
async fn open_path(path: &str) -> Result<Connected, Failure> {
    let failure = Failure::from_name("ENOTSUP", "connect", Some(path), None);
    let message = format!(
        "{}: named pipes are left to the runtime's sockets",
        failure.message
    );
    Err(Failure { message, ..failure })
}

fn timed_out(profile: &Profile) -> Failure {
    let peer = match &profile.socket_path {
        Some(path) => path.clone(),
        None => format!("{}:{}", dns::host(profile), profile.port),
    };
    let peer = match &profile.proxy {
        Some(proxy) => format!("{peer} via {}", proxy.name),
        None => peer,
    };
    let message = format!(
        "No connection to {peer} within connectTimeout, {} ms",
        profile.connect_timeout_ms
    );
    Failure::new("ERR_KEEPWIRE_CONNECT_TIMEOUT", message)
}

fn millis_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}
