//! One client for each identity: what makes the connections of two fetches interchangeable.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::Lazy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::Client;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::dials::Dials;
use crate::connect;

/// How the connections of a fetch are made and kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Trusted certificate authorities, PEM; the number under which [`trust`] keeps them.
    pub trust: u32,
    /// Whether a server's certificate is verified.
    pub verify: bool,
    /// The client's certificate chain and its key, PEM; empty: none.
    pub certificate: String,
    /// See `certificate`.
    pub key: String,
    /// The local end.
    pub local_address: Option<IpAddr>,
    /// A Unix socket in place of the origin's host and port.
    pub socket_path: Option<String>,
    /// Whether connections are kept.
    pub keep_alive: bool,
    /// How long an idle connection is kept; 0: no limit.
    pub idle_timeout_ms: u64,
    /// Idle connections kept for each origin.
    pub most_idle: usize,
    /// Delay of the first TCP keep-alive probe.
    pub keep_alive_initial_delay_ms: u64,
    /// TCP_NODELAY.
    pub no_delay: bool,
    /// How long opening a connection may take; 0: no limit.
    pub connect_timeout_ms: u64,
}

#[derive(Default)]
struct Registry {
    identities: Vec<Identity>,
    numbers: HashMap<Identity, u32>,
    clients: HashMap<(u32, bool), Result<Client, String>>,
    trusts: Vec<Arc<str>>,
}

static REGISTRY: Lazy<Mutex<Registry>> = Lazy::new(Mutex::default);

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a bundle of certificate authorities; its number, the same for the same bundle.
pub fn trust(pem: &str) -> u32 {
    let trusts = &mut registry().trusts;
    let known = trusts.iter().position(|known| &**known == pem);
    let number = known.unwrap_or_else(|| {
        trusts.push(pem.into());
        trusts.len() - 1
    });
    number as u32
}

/// The number of an identity.
pub fn intern(identity: Identity) -> u32 {
    let registry = &mut *registry();
    if let Some(&number) = registry.numbers.get(&identity) {
        return number;
    }
    let number = registry.identities.len() as u32;
    registry.identities.push(identity.clone());
    registry.numbers.insert(identity, number);
    number
}

/// The client of an identity. A `fresh` one uses no connection twice, and none that is there.
///
/// # Errors
///
/// What is wrong with the identity.
pub fn get(number: u32, fresh: bool) -> Result<Client, String> {
    thread_local! {
        /// The one used last, which mostly is the only one.
        static LATEST: RefCell<Option<(u32, Client)>> = const { RefCell::new(None) };
    }
    let latest = LATEST.with_borrow(|latest| match latest {
        Some((of, client)) if *of == number && !fresh => Some(client.clone()),
        _ => None,
    });
    if let Some(client) = latest {
        return Ok(client);
    }
    let client = made(number, fresh)?;
    if !fresh {
        LATEST.set(Some((number, client.clone())));
    }
    Ok(client)
}

fn made(number: u32, fresh: bool) -> Result<Client, String> {
    let registry = &mut *registry();
    if let Some(client) = registry.clients.get(&(number, fresh)) {
        return client.clone();
    }
    let identity = registry
        .identities
        .get(number as usize)
        .ok_or("no such identity")?;
    let pem = registry.trusts.get(identity.trust as usize);
    let client = build(identity, pem.map_or("", |pem| pem), fresh);
    registry.clients.insert((number, fresh), client.clone());
    client
}

fn build(identity: &Identity, trusted: &str, fresh: bool) -> Result<Client, String> {
    let optional = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
    let kept = if identity.keep_alive && !fresh {
        identity.most_idle
    } else {
        0
    };
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .dns_resolver(System)
        .connector_layer(Dials::default())
        .tls_backend_preconfigured(tls(identity, trusted)?)
        .pool_max_idle_per_host(kept)
        .pool_idle_timeout(optional(identity.idle_timeout_ms))
        .tcp_keepalive(optional(identity.keep_alive_initial_delay_ms))
        .tcp_nodelay(identity.no_delay)
        .local_address(identity.local_address);
    if let Some(timeout) = optional(identity.connect_timeout_ms) {
        builder = builder.connect_timeout(timeout);
    }
    #[cfg(unix)]
    if let Some(path) = &identity.socket_path {
        builder = builder.unix_socket(path.as_str());
    }
    builder.build().map_err(|error| error.to_string())
}

fn tls(identity: &Identity, trusted: &str) -> Result<ClientConfig, String> {
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    // One that cannot be read is left out, as the runtime does.
    roots.add_parsable_certificates(
        CertificateDer::pem_slice_iter(trusted.as_bytes()).filter_map(Result::ok),
    );
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let verified = if identity.verify && !roots.is_empty() {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| wrong(&error))?;
        versions.with_webpki_verifier(verifier)
    } else if identity.verify {
        versions.with_root_certificates(roots)
    } else {
        versions
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    };
    let mut config = if identity.certificate.is_empty() {
        verified.with_no_client_auth()
    } else {
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(&error))?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
            .map_err(|error| wrong(&error))?;
        verified
            .with_client_auth_cert(chain, key)
            .map_err(|error| wrong(&error))?
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// `rejectUnauthorized: false`: whoever holds the certificate's key, whatever the certificate says.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let supported = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, supported)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let supported = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, supported)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The system's resolver, with its errors.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = connect::lookup(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
