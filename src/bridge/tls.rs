//! TLS at the border: settings and trusted certificates in, by number from then on; the facts of a handshake out.

use napi::bindgen_prelude::{JsObjectValue, Object};
use napi::Result;
use napi_derive::napi;
use zeroize::Zeroizing;

use crate::connect::tls::{self, Secured, Settings};
use crate::engine::ENGINE;
use crate::pool::{AgentId, KeyId};

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

/// What connections with TLS have in common.
fn settings(given: &Object<'_>) -> Result<Settings> {
    // Saturates: any number of sessions may be allowed.
    let sessions = given.get_named_property::<f64>("sessions")? as u32;
    let keys: Vec<String> = given.get_named_property("keys")?;
    Ok(Settings {
        roots: given.get_named_property("roots")?,
        certs: given.get_named_property("certs")?,
        keys: keys.into_iter().map(Zeroizing::new).collect(),
        crls: given.get_named_property("crls")?,
        reject_unauthorized: given.get_named_property("rejectUnauthorized")?,
        ask_identity: given.get_named_property("askIdentity")?,
        tls12: given.get_named_property("tls12")?,
        tls13: given.get_named_property("tls13")?,
        ciphers: given.get_named_property("ciphers")?,
        alpn: given.get_named_property("alpn")?,
        sessions,
    })
}

/// A handshake's facts, joined by NUL: `protocol, cipher, alpn, tlsMs, distrust, keylog`, then the peer's certificates in DER,
/// each after its length (u32).
pub(super) fn secured_text(secured: &Secured) -> Vec<u8> {
    let mut bytes = Vec::new();
    let tls_ms = secured.tls_ms.to_string();
    let keylog = secured.keylog.concat();
    let distrust = secured.distrust.map_or("", |distrust| distrust.code);
    let fields: [&[u8]; 6] = [
        secured.protocol.as_bytes(),
        secured.cipher.as_bytes(),
        &secured.alpn,
        tls_ms.as_bytes(),
        distrust.as_bytes(),
        keylog.as_bytes(),
    ];
    for field in fields {
        bytes.extend_from_slice(field);
        bytes.push(0);
    }
    for certificate in &secured.chain {
        bytes.extend((certificate.len() as u32).to_le_bytes());
        bytes.extend_from_slice(certificate);
    }
    bytes
}
