//! TLS over an open connection: rustls on the I/O thread, with the runtime's trust and the runtime's words for what fails.
//!
//! * `settings`: what a user may set, compiled once for all connections that share it.
//! * `registry`: settings and trust by number.
//! * `trust`, `pem`: the certificates that a user trusts.
//! * `verify`: whether a chain is to be trusted, and what OpenSSL calls it when it is not.
//! * `certificate`, `names`, `revocation`, `der`: what a chain and lists of revoked certificates say.
//! * `client`: for whoever shakes hands by itself.
//! * `sessions`: what later handshakes resume, never across settings or endpoints.
//! * `stream`: the encrypted connection, and whether an idle one is still fit for a request.
//! * `records`: which of the caller's bytes are in the kernel, and how many records a peer has begun.
//! * `sha1`: signatures that only some runtimes take.
//! * `fault`: alerts and refusals in OpenSSL's words.
//!
//! As in the runtime, a handshake is completed before the peer's certificate is judged: who wants an unauthorized peer gets
//! one, and learns why it is none. Nothing of a request is written before the judgement.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConnection, HandshakeKind, ProtocolVersion};
use tokio::time::Instant;

use super::{dns, millis_since, Connected, Offer, Profile, Transport};
use crate::error::{Failure, Prospect};

mod certificate;
mod client;
mod der;
mod fault;
mod handshake_signature;
mod names;
mod pem;
mod records;
mod registry;
mod revocation;
mod sessions;
mod settings;
mod sha1;
mod stream;
mod trust;
mod verify;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
pub(crate) mod tests;

pub use client::{judging, refusal};
pub use registry::{get, held, hold, intern, intern_trust};
pub use settings::{Settings, SettingsError, Tls};
pub use stream::TlsStream;
pub use trust::{Dialect, Trust};
pub use verify::Distrust;

/// TLS for one kind of connection: part of a [`Profile`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// What to trust and to show, and how.
    pub tls: Arc<Tls>,
    /// The name sent to the server (SNI); empty: none is sent.
    pub servername: String,
    /// Whether the secrets of its sessions are reported, for those who decrypt captured traffic.
    pub keylog: bool,
}

/// What a handshake came to.
#[derive(Clone, Debug)]
pub struct Secured {
    /// `TLSv1.3` or `TLSv1.2`.
    pub protocol: &'static str,
    /// The cipher suite, as the IANA names it.
    pub cipher: String,
    /// The application protocol agreed on; empty: none.
    pub alpn: Vec<u8>,
    /// It continues an earlier session.
    pub resumed: bool,
    /// Why the peer is not authorized; only where that is allowed.
    pub distrust: Option<Distrust>,
    /// The certificate is the peer's but may not be for this name: whoever reads it decides before a request is sent.
    pub ask: bool,
    /// The peer's certificate and what it sent along.
    pub chain: Vec<CertificateDer<'static>>,
    /// Lines in NSS key log format.
    pub keylog: Vec<String>,
    /// Time from the open connection to here.
    pub tls_ms: f64,
}

impl Secured {
    /// The same, for whoever has to judge the peer, or has not.
    pub fn asking(&self, ask: bool) -> Self {
        Self {
            ask,
            ..self.clone()
        }
    }
}

thread_local! {
    /// Where the secrets of the handshake under way go: rustls does not say whose they are.
    static SECRETS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Makes an open connection a secure one.
///
/// # Errors
///
/// OpenSSL's codes and words, as the runtime reports them: `EPROTO` and `ERR_SSL_*` for a handshake that failed,
/// `DEPTH_ZERO_SELF_SIGNED_CERT` and its like for a certificate that is not trusted.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub(super) async fn secure(
    endpoint: &Endpoint,
    profile: &Profile,
    opened: Connected,
    offer: Offer,
) -> Result<Connected, Failure> {
    let began = Instant::now();
    let name = server_name(endpoint, profile);
    let config = endpoint.tls.config_for(endpoint, profile, offer);
    let session = ClientConnection::new(config, name).map_err(|error| fault::refused(&error))?;
    let mut stream = TlsStream::new(opened.transport, session);
    let keylog = match stream.handshake(endpoint.keylog).await {
        Ok(keylog) => keylog,
        Err(error) => {
            let is_answered = stream.session().protocol_version().is_some();
            return Err(handshake_failure(&error, is_answered, profile));
        }
    };
    let session = stream.session();
    let chain: Vec<CertificateDer<'static>> = session
        .peer_certificates()
        .map(|chain| {
            chain
                .iter()
                .cloned()
                .map(CertificateDer::into_owned)
                .collect()
        })
        .unwrap_or_default();
    let rules = endpoint.tls.rules();
    let verdict = endpoint
        .tls
        .trust()
        .verify(&chain, endpoint.tls.revocations(), UnixTime::now());
    let distrust = match verdict {
        Ok(()) => None,
        Err(distrust) if rules.reject_unauthorized || distrust.is_doubtful() => {
            return Err(distrust.failure());
        }
        Err(distrust) => Some(distrust),
    };
    let ask = distrust.is_none()
        && (rules.ask_identity || !verify::is_for(&chain, identity(endpoint, profile)));
    let secured = Secured {
        protocol: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str().map(str::to_owned))
            .unwrap_or_default(),
        alpn: session
            .alpn_protocol()
            .map(<[u8]>::to_vec)
            .unwrap_or_default(),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        distrust,
        ask,
        chain,
        keylog,
        tls_ms: millis_since(began),
    };
    Ok(Connected {
        transport: Transport::Tls(Box::new(stream)),
        secured: Some(Box::new(secured)),
        ..opened
    })
}

/// Whether the peer is the proxy that was meant: nobody else is asked about one, so its subject counts where the runtime would
/// look at it.
pub(super) fn is_meant(secured: &Secured, endpoint: &Endpoint, profile: &Profile) -> bool {
    let is_asked = endpoint.tls.rules().ask_identity;
    let host = identity(endpoint, profile);
    !secured.ask || (!is_asked && verify::is_named_by_subject(&secured.chain, host))
}

/// The name that the certificate is to be for.
fn identity<'a>(endpoint: &'a Endpoint, profile: &'a Profile) -> &'a str {
    match endpoint.servername.as_str() {
        "" => dns::host(profile),
        name => name,
    }
}

/// What rustls calls the server. It is sent only if the endpoint has a `servername`; sessions do not depend on it.
fn server_name(endpoint: &Endpoint, profile: &Profile) -> ServerName<'static> {
    ServerName::try_from(identity(endpoint, profile))
        .map_or_else(|_| unnamed(), |name| name.to_owned())
}

fn unnamed() -> ServerName<'static> {
    ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]))
}

/// `is_answered`: the peer has chosen a version.
fn handshake_failure(error: &io::Error, is_answered: bool, profile: &Profile) -> Failure {
    let prospect = if is_answered {
        Prospect::None
    } else {
        Prospect::Faint
    };
    if error.kind() != io::ErrorKind::UnexpectedEof {
        let failure = Failure::from_handshake(error);
        return match &*failure.code {
            "ECONNRESET" => Failure {
                prospect,
                ..failure
            },
            _ => failure,
        };
    }
    let message = "Client network socket disconnected before secure TLS connection was established";
    Failure {
        hostname: Some(dns::host(profile).to_owned()),
        port: Some(profile.port),
        prospect,
        ..Failure::new("ECONNRESET", message)
    }
}
