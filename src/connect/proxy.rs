//! Through a proxy: what it is told before a connection is one to its target.
//!
//! A [`Proxy`] is part of a [`Profile`], so connections are interchangeable only if they go through the same proxy, with the same
//! credentials. Those are in `fields` and `login`, which nothing prints.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{timeout, Instant};

use super::answer::{Answer, Answering};
use super::socks::{self, failed, Login, Place, Version};
use super::{dns, millis_since, tls, Connected, Offer, Phase, Profile};
use crate::config::{PROXY_HEAD, PROXY_TIMEOUT};
use crate::error::Failure;
use crate::metrics::proxies::Passages;

const NO_HOST: &str = "Failed to establish tunnel: no proxy can be told of such a host";

const AUTHORIZATION: &[u8] = b"proxy-authorization:";

/// How much of a malformed status line an error quotes, in bytes.
const LONGEST_LINE: usize = 256;

/// A proxy on the way to a target.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// How to connect to the proxy itself.
    pub profile: Profile,
    pub way: Way,
    /// Header lines for the proxy alone, each with its CRLF: among them its credentials.
    pub fields: String,
    /// Who asks, of a SOCKS proxy.
    pub login: Option<Login>,
    /// What it is called in errors: its URL without credentials.
    pub name: String,
    /// Where what it does is counted; `None`: nowhere.
    pub counters: Option<ProxyCounters>,
}

/// Where what a proxy does is counted: for an agent, and for the process.
#[derive(Clone)]
pub struct ProxyCounters {
    pub own: Arc<Passages>,
    pub all: Arc<Passages>,
}

impl PartialEq for ProxyCounters {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.own, &other.own)
    }
}

impl Eq for ProxyCounters {}

impl Hash for ProxyCounters {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.own).hash(state);
    }
}

/// How a proxy is told where to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// By CONNECT (RFC 9110, section 9.3.6): the connection is one to the target from then on.
    Tunnel,
    /// By each request, whose target is in absolute form (RFC 9112, section 3.2.2).
    Forward,
    /// By SOCKS. If it `resolves`, it is told the target's name, else one of its addresses.
    Socks { version: Version, resolves: bool },
}

impl Way {
    /// Whether the target's name is looked up here.
    pub(super) fn asks_for_target(self) -> bool {
        matches!(
            self,
            Way::Socks {
                resolves: false,
                ..
            }
        )
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("way", &self.way)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Has the proxy at the other end of `opened` make it a connection to the profile's target.
///
/// # Errors
///
/// `ERR_PROXY_TUNNEL` with the runtime's words; a refusal has its status in [`Failure::status`] and its head in
/// [`Failure::packet`].
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub(super) async fn pass(
    proxy: &Proxy,
    profile: &Profile,
    addresses: &[SocketAddr],
    opened: Connected,
    phase: &Phase,
) -> Result<Connected, Failure> {
    if proxy.way == Way::Forward {
        return Ok(opened);
    }
    let began = Instant::now();
    let Connected { mut transport, .. } = opened;
    let asking = async {
        match proxy.way {
            Way::Socks { version, .. } => {
                phase.set("the SOCKS proxy has not answered");
                by_socks(proxy, profile, version, addresses, &mut transport).await
            }
            _ => {
                phase.set("the proxy has not answered CONNECT");
                tunnel(proxy, profile, &mut transport).await
            }
        }
    };
    match timeout(PROXY_TIMEOUT, asking).await {
        Ok(told) => told?,
        Err(_) => {
            return Err(failed(format!(
                "Connection to establish proxy tunnel timed out after {}ms",
                PROXY_TIMEOUT.as_millis()
            )));
        }
    }
    Ok(Connected {
        transport,
        proxy_ms: millis_since(began),
        ..opened
    })
}

/// Asks a SOCKS proxy for a connection to the target, or to one of its addresses if it is not to look for them itself.
async fn by_socks<T: AsyncRead + AsyncWrite + Unpin>(
    proxy: &Proxy,
    profile: &Profile,
    version: Version,
    addresses: &[SocketAddr],
    transport: &mut T,
) -> Result<(), Failure> {
    let Some(target) = authority(profile) else {
        return Err(failed(NO_HOST));
    };
    let said = (&*target, &*proxy.name);
    let knows = |address: &&SocketAddr| version == Version::V5 || address.is_ipv4();
    let place = match addresses.iter().find(knows) {
        Some(address) => Place::Address(*address),
        None if !addresses.is_empty() => {
            return Err(failed(format!(
                "Failed to establish tunnel to {target} via {}: SOCKS4 has no IPv6 addresses",
                proxy.name
            )));
        }
        None => Place::Name(dns::host(profile), profile.port),
    };
    socks::ask(version, proxy.login.as_ref(), &place, said, transport).await
}

/// Asks for a tunnel, and reads the answer's head.
async fn tunnel<T: AsyncRead + AsyncWrite + Unpin>(
    proxy: &Proxy,
    profile: &Profile,
    transport: &mut T,
) -> Result<(), Failure> {
    let Some(target) = authority(profile) else {
        return Err(failed(NO_HOST));
    };
    let request = format!(
        "CONNECT {target} HTTP/1.1\r\n{}host: {target}\r\n\r\n",
        proxy.fields
    );
    if let Err(error) = transport.write_all(request.as_bytes()).await {
        return Err(Failure::from_io(&error, "write", None, None));
    }
    let mut read = BytesMut::with_capacity(1024);
    let mut answering = Answering::default();
    loop {
        match transport.read_buf(&mut read).await {
            Ok(0) => {
                return Err(failed(
                    "Connection to establish proxy tunnel ended unexpectedly",
                ));
            }
            Ok(_) => {}
            Err(error) => return Err(Failure::from_io(&error, "read", None, None)),
        }
        match answering.answer(&read) {
            Answer::Partial if read.len() < PROXY_HEAD => {}
            Answer::Partial => {
                return Err(failed(format!(
                    "Proxy response headers exceeded {PROXY_HEAD} bytes"
                )));
            }
            // The target says nothing before it is asked, so bytes behind the head are the proxy's own.
            Answer::Head { status, len } if (200..300).contains(&status) => {
                return match read.len() - len {
                    0 => Ok(()),
                    more => Err(failed(format!(
                        "Failed to establish tunnel to {target} via {}: the proxy sent {more} bytes of its own through it",
                        proxy.name
                    ))),
                };
            }
            Answer::Head { status, len } => {
                let line = status_line(&read);
                let name = &proxy.name;
                return Err(Failure {
                    status: Some(status),
                    packet: read.freeze().slice(..len),
                    ..failed(format!(
                        "Failed to establish tunnel to {target} via {name}: {line}"
                    ))
                });
            }
            Answer::Garbage => {
                let line = status_line(&read);
                return Err(failed(format!(
                    "Failed to establish tunnel to {target} via {}: {line}",
                    proxy.name
                )));
            }
        }
    }
}

/// The first line, as far as it can be shown.
fn status_line(read: &[u8]) -> String {
    let line = read.split(|&byte| byte == b'\r' || byte == b'\n').next();
    let line = line.unwrap_or_default();
    let shown = |&byte: &u8| match byte {
        b' '..=b'~' => char::from(byte),
        _ => '?',
    };
    line.iter().take(LONGEST_LINE).map(shown).collect()
}

/// The target as a request to a proxy names it; `None`: no proxy can be told of such a host.
fn authority(profile: &Profile) -> Option<String> {
    let host = dns::host(profile);
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte);
    if !host.bytes().all(is_plain) {
        return None;
    }
    Some(match host.contains(':') {
        true => format!("[{host}]:{}", profile.port),
        false => format!("{host}:{}", profile.port),
    })
}

impl Proxy {
    /// Counts how a connection through it came out.
    pub(super) fn count(&self, came: &mut Result<Connected, Failure>) {
        if let Err(failure) = came {
            failure.is_proxys = true;
        }
        let Some(ProxyCounters { own, all }) = &self.counters else {
            return;
        };
        for counters in [own, all] {
            match came {
                Ok(opened) => {
                    let took = (self.way != Way::Forward).then_some(opened.proxy_ms / 1000.0);
                    counters.pass(took.map(Duration::from_secs_f64));
                }
                Err(failure) => {
                    let refusal = failure.status.map(|status| status.to_string());
                    let refusal = refusal.as_deref().or(failure.refusal.as_deref());
                    counters.fail(&failure.code, &failure.message, refusal);
                }
            }
        }
    }

    /// A request whose first bytes are `bytes`, as a proxy that forwards it wants it: with its target in absolute form, and with
    /// what is for the proxy. `None`: there is nothing to change.
    pub fn rewrite(&self, profile: &Profile, bytes: &[u8]) -> Option<Bytes> {
        if self.way != Way::Forward {
            return None;
        }
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let method = bytes[..line].iter().position(|&byte| byte == b' ')? + 1;
        let target = &bytes[method..line];
        let authority = authority(profile)?;
        let authority = authority.strip_suffix(":80").unwrap_or(&authority);
        let mut out =
            BytesMut::with_capacity(bytes.len() + authority.len() + self.fields.len() + 8);
        out.extend_from_slice(&bytes[..method]);
        // `*` means the server itself: RFC 9112, section 3.2.4.
        let rest = match target {
            [b'*', b' ', ..] => Some(&target[1..]),
            [b'/' | b'?', ..] => Some(target),
            _ => None,
        };
        if let Some(rest) = rest {
            out.extend_from_slice(b"http://");
            out.extend_from_slice(authority.as_bytes());
            out.extend_from_slice(rest);
        } else {
            out.extend_from_slice(target);
        }
        out.extend_from_slice(b"\r\n");
        // Credentials in the request itself take precedence.
        let has_own = says(&bytes[line..], AUTHORIZATION);
        for field in self.fields.split_inclusive('\n') {
            if !(has_own && starts(field.as_bytes(), AUTHORIZATION)) {
                out.extend_from_slice(field.as_bytes());
            }
        }
        out.extend_from_slice(&bytes[line + 2..]);
        Some(out.freeze())
    }
}

/// Whether `bytes` begin with the name of a field, whatever its case.
fn starts(bytes: &[u8], name: &[u8]) -> bool {
    bytes
        .get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Whether a head, from its first line's end on, has a field.
fn says(head: &[u8], name: &[u8]) -> bool {
    let mut rest = head;
    while let Some(line) = rest.strip_prefix(b"\r\n") {
        if line.starts_with(b"\r\n") {
            return false;
        }
        if starts(line, name) {
            return true;
        }
        let end = line.windows(2).position(|two| two == b"\r\n");
        rest = end.map_or(&[], |end| &line[end..]);
    }
    false
}

/// Opens what leads to the profile's proxy.
pub(super) async fn reach(
    proxy: &Proxy,
    opened: Connected,
    phase: &Phase,
) -> Result<Connected, Failure> {
    match &proxy.profile.tls {
        None => Ok(opened),
        Some(endpoint) => {
            phase.set("the TLS handshake with the proxy is not over");
            let opened = tls::secure(endpoint, &proxy.profile, opened, Offer::WithoutHttp2).await?;
            let secured = opened.secured.as_ref();
            if secured.is_some_and(|secured| !tls::is_meant(secured, endpoint, &proxy.profile)) {
                let name = &proxy.name;
                let why = match endpoint.tls.rules().ask_identity {
                    true => format!("Nobody can ask the tls.checkServerIdentity of this program about the certificate of the proxy {name}"),
                    false => format!("Hostname/IP does not match certificate's altnames: that of the proxy {name} is another's"),
                };
                return Err(Failure::new("ERR_TLS_CERT_ALTNAME_INVALID", why));
            }
            Ok(Connected {
                secured: None,
                ..opened
            })
        }
    }
}
