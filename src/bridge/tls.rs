//! TLS at the border: settings in, the facts of a handshake out.

use napi_derive::napi;

use crate::connect::tls::{Secured, Settings};

/// What connections with TLS have in common.
#[napi(object)]
pub struct BindingTls {
    pub roots: u32,
    pub certs: Vec<String>,
    pub keys: Vec<String>,
    pub crls: Vec<String>,
    pub reject_unauthorized: bool,
    pub ask_identity: bool,
    pub tls12: bool,
    pub tls13: bool,
    pub ciphers: Vec<String>,
    pub alpn: Vec<String>,
    pub sessions: f64,
}

impl From<BindingTls> for Settings {
    fn from(tls: BindingTls) -> Self {
        Self {
            roots: tls.roots,
            certs: tls.certs,
            keys: tls.keys,
            crls: tls.crls,
            reject_unauthorized: tls.reject_unauthorized,
            ask_identity: tls.ask_identity,
            tls12: tls.tls12,
            tls13: tls.tls13,
            ciphers: tls.ciphers,
            alpn: tls.alpn,
            // Saturates: any number of sessions may be allowed.
            sessions: tls.sessions as u32,
        }
    }
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
