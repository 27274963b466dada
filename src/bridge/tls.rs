//! TLS at the border: settings in, the facts of a handshake out.

use napi::bindgen_prelude::{JsObjectValue, Object};
use napi::Result;
use zeroize::Zeroizing;

use crate::connect::tls::{Secured, Settings};

/// What connections with TLS have in common.
pub(super) fn settings(given: &Object<'_>) -> Result<Settings> {
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
