//! The clients that carry fetches over TLS without an agent: one for what each thread trusts, mostly the same.

use std::cell::RefCell;
use std::collections::HashMap;
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
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::dials::Dials;
use crate::connect;

/// As our agents' defaults: idle connections for each origin, how long they are kept, and when they are probed.
const MOST_IDLE: usize = 256;
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const KEEP_ALIVE_DELAY: Duration = Duration::from_secs(1);

/// What tells one client from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Trusted certificate authorities, PEM.
    pub trusted: String,
    /// Whether a server's certificate is verified.
    pub verify: bool,
}

#[derive(Default)]
struct Registry {
    identities: Vec<Identity>,
    clients: HashMap<(u32, bool), Result<Client, String>>,
}

static REGISTRY: Lazy<Mutex<Registry>> = Lazy::new(Mutex::default);

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of an identity, the same for equal ones: a process has a few at most.
pub fn intern(identity: Identity) -> u32 {
    let identities = &mut registry().identities;
    let known = identities.iter().position(|known| *known == identity);
    let number = known.unwrap_or_else(|| {
        identities.push(identity);
        identities.len() - 1
    });
    number as u32
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
    let client = build(identity, fresh);
    registry.clients.insert((number, fresh), client.clone());
    client
}

fn build(identity: &Identity, fresh: bool) -> Result<Client, String> {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .dns_resolver(System)
        .connector_layer(Dials::default())
        .tls_backend_preconfigured(tls(identity)?)
        .pool_max_idle_per_host(if fresh { 0 } else { MOST_IDLE })
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_keepalive(KEEP_ALIVE_DELAY)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| error.to_string())
}

fn tls(identity: &Identity) -> Result<ClientConfig, String> {
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    // One that cannot be read is left out, as the runtime does.
    roots.add_parsable_certificates(
        CertificateDer::pem_slice_iter(identity.trusted.as_bytes()).filter_map(Result::ok),
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
    let mut config = verified.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// `NODE_TLS_REJECT_UNAUTHORIZED=0`: whoever holds the certificate's key, whatever the certificate says.
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
