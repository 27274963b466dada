//! What a user may set for TLS, compiled once for all connections that share it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, KeyLog, SignatureScheme, SupportedProtocolVersion,
};
use zeroize::{Zeroize, Zeroizing};

use super::revocation::RevocationList;
use super::sessions::Sessions;
use super::sha1::with_sha1;
use super::{handshake_signature, Dialect, Endpoint, Trust, SECRETS};
use crate::connect::{Offer, Profile};

/// What a user may set, less what differs from host to host. Two connections with equal settings are interchangeable.
pub struct Settings {
    /// The number of the [`Trust`].
    pub roots: u32,
    /// Client certificates with what they are issued by, PEM; a chain each.
    pub certs: Vec<String>,
    /// Their keys, PEM, not encrypted; in any order. Wiped with the settings.
    pub keys: Vec<Zeroizing<String>>,
    /// Revocation lists, PEM; none: revocation is not looked at.
    pub crls: Vec<String>,
    /// An unauthorized peer ends the connection.
    pub reject_unauthorized: bool,
    /// The reader of [`super::Secured::ask`] decides about every peer.
    pub ask_identity: bool,
    /// TLS 1.2 or 1.3: `(3, 3)` is 1.2 as bytes on the wire.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
    /// IANA names of the cipher suites to offer, most wanted first; empty: all there are.
    pub ciphers: Vec<String>,
    /// Application protocols to offer.
    pub alpn: Vec<String>,
    /// Endpoints whose sessions are kept; 0: none is resumed.
    pub sessions: u32,
}

/// What tells contents apart.
pub(super) type Digest = [u8; 32];

/// The SHA-256 of parts, which are told from one another.
pub(super) fn digest(parts: &[&[u8]]) -> Digest {
    let suite = TLS13_AES_128_GCM_SHA256.tls13();
    // It is what its name says.
    let suite = suite.expect("a suite of TLS 1.3");
    let mut hash = suite.common.hash_provider.start();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(hash.finish().as_ref());
    digest
}

impl Settings {
    /// Equal for equal settings only.
    pub(super) fn digest(&self) -> Digest {
        // Whoever adds a field decides here what it means.
        let Self {
            roots,
            certs,
            keys,
            crls,
            reject_unauthorized,
            ask_identity,
            tls12,
            tls13,
            ciphers,
            alpn,
            sessions,
        } = self;
        let flags = [*reject_unauthorized, *ask_identity, *tls12, *tls13].map(u8::from);
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let list = |texts: &[String]| {
            let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            digest(&texts)
        };
        digest(&[
            &roots.to_le_bytes(),
            &list(certs),
            &digest(&keys),
            &list(crls),
            &flags,
            &list(ciphers),
            &list(alpn),
            &sessions.to_le_bytes(),
        ])
    }
}

/// Why settings cannot be used. The runtime's own complaint about them is better.
#[derive(Debug, PartialEq, Eq)]
pub struct SettingsError(pub &'static str);

/// What is asked of settings after they are compiled.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// An unauthorized peer ends the connection.
    pub reject_unauthorized: bool,
    /// Somebody else decides about every peer.
    pub ask_identity: bool,
    /// Endpoints whose sessions are kept.
    pub sessions: u32,
}

/// Settings ready for use. Equal if it is the same one: they are compiled once for each number.
pub struct Tls {
    id: u32,
    rules: Rules,
    trust: Arc<Trust>,
    config: ClientConfig,
    sessions: Option<Arc<Sessions>>,
    crls: Vec<RevocationList>,
}

impl Tls {
    /// Compiles `settings`, whose roots are those of `trust`.
    ///
    /// # Errors
    ///
    /// What of it cannot be read, or not be combined.
    pub fn new(id: u32, settings: Settings, trust: Arc<Trust>) -> Result<Self, SettingsError> {
        let provider = Arc::new(provider(&settings.ciphers, trust.dialect)?);
        let mut versions: Vec<&SupportedProtocolVersion> = Vec::new();
        versions.extend(settings.tls13.then_some(&TLS13));
        versions.extend(settings.tls12.then_some(&TLS12));
        let verifier = SignaturesOnly(Arc::clone(&provider));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|_| SettingsError("no cipher suite of these versions"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let identities = identities(&settings)?;
        let mut config = if identities.is_empty() {
            builder.with_no_client_auth()
        } else {
            builder.with_client_cert_resolver(Arc::new(Identities(identities)))
        };
        config.alpn_protocols = settings
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config.key_log = Arc::new(Secrets);
        config.resumption = Resumption::disabled();
        let sessions = (settings.sessions > 0).then(|| Sessions::new(settings.sessions as usize));
        let lists = settings
            .crls
            .iter()
            .map(|pem| RevocationList::from_pem(pem.as_bytes()));
        let crls: Option<Vec<Vec<RevocationList>>> = lists.collect();
        let crls = crls.ok_or(SettingsError("crl"))?.into_iter().flatten();
        let crls = crls.collect();
        let rules = Rules {
            reject_unauthorized: settings.reject_unauthorized,
            ask_identity: settings.ask_identity,
            sessions: settings.sessions,
        };
        Ok(Self {
            id,
            rules,
            trust,
            config,
            sessions,
            crls,
        })
    }

    /// The settings for handshakes with anybody, and how these verify signatures.
    pub(super) fn config_and_signatures(&self) -> (ClientConfig, SignaturesOnly) {
        let provider = Arc::clone(self.config.crypto_provider());
        (self.config.clone(), SignaturesOnly(provider))
    }

    /// What applies to every handshake.
    pub fn rules(&self) -> Rules {
        self.rules
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(super) fn revocations(&self) -> &[RevocationList] {
        &self.crls
    }

    /// The settings for a handshake with an endpoint.
    pub(super) fn config_for(
        &self,
        endpoint: &Endpoint,
        profile: &Profile,
        offer: Offer,
    ) -> Arc<ClientConfig> {
        let mut config = self.config.clone();
        if offer == Offer::WithoutHttp2 {
            config.alpn_protocols.retain(|name| name != b"h2");
        }
        config.enable_sni = !endpoint.servername.is_empty();
        if let Some(sessions) = &self.sessions {
            let place = match &profile.socket_path {
                Some(path) => format!("{}\0{path}", endpoint.servername),
                None => format!(
                    "{}\0{}\0{}",
                    endpoint.servername, profile.host, profile.port
                ),
            };
            config.resumption = Resumption::store(sessions.of(place));
        }
        Arc::new(config)
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Tls {}

impl Hash for Tls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Debug for Tls {
    // Not the settings: they hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.id).finish()
    }
}

fn provider(ciphers: &[String], dialect: Dialect) -> Result<CryptoProvider, SettingsError> {
    let mut provider = ring::default_provider();
    // OpenSSL refuses it at the security level that Node has by default; Deno's TLS is rustls.
    if dialect == Dialect::BoringSsl {
        provider.signature_verification_algorithms = with_sha1();
    }
    if !ciphers.is_empty() {
        let mut wanted = Vec::new();
        for name in ciphers {
            let suite = provider
                .cipher_suites
                .iter()
                .find(|suite| suite.suite().as_str() == Some(name));
            wanted.push(*suite.ok_or(SettingsError("ciphers"))?);
        }
        provider.cipher_suites = wanted;
    }
    Ok(provider)
}

/// Brings certificates and keys together.
fn identities(settings: &Settings) -> Result<Vec<Arc<CertifiedKey>>, SettingsError> {
    let mut keys = Vec::new();
    for pem in &settings.keys {
        let mut der =
            PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| SettingsError("key"))?;
        let key = any_supported_type(&der);
        der.zeroize();
        keys.push(key.map_err(|_| SettingsError("key"))?);
    }
    let mut identities = Vec::new();
    for pem in &settings.certs {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| SettingsError("cert"))?;
        if chain.is_empty() {
            return Err(SettingsError("cert"));
        }
        let identity = keys
            .iter()
            .map(|key| CertifiedKey::new(chain.clone(), Arc::clone(key)))
            .find(|identity| identity.keys_match().is_ok())
            .ok_or(SettingsError("key of a certificate"))?;
        identities.push(Arc::new(identity));
    }
    Ok(identities)
}

/// Client certificates: the first whose key can sign what the server takes.
#[derive(Debug)]
struct Identities(Vec<Arc<CertifiedKey>>);

impl ResolvesClientCert for Identities {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0
            .iter()
            .find(|identity| identity.key.choose_scheme(schemes).is_some())
            .cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The handshake proves that the peer has its certificate's key; whether that certificate is trusted is judged after it.
#[derive(Debug)]
pub(super) struct SignaturesOnly(Arc<CryptoProvider>);

impl ServerCertVerifier for SignaturesOnly {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        handshake_signature::verify_tls12(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        handshake_signature::verify_tls13(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Gives the secrets of a session to the handshake that is being polled, if it wants them.
#[derive(Debug)]
struct Secrets;

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", Hex(client_random), Hex(secret));
        SECRETS.with_borrow_mut(|secrets| {
            if let Some(secrets) = secrets {
                secrets.push(line);
            }
        });
    }

    fn will_log(&self, _: &str) -> bool {
        SECRETS.with_borrow(Option::is_some)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
