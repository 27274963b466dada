//! Whether a handshake was signed with the key of a certificate.
//!
//! webpki does that, but reads no certificates of version 1, as `openssl x509 -req` makes where nobody names extensions: of
//! those it is given the key. Whether such a certificate is trusted is judged elsewhere, as every other one.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
    WebPkiSupportedAlgorithms,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use webpki::RawPublicKeyEntity;

use super::certificate::Certificate;

/// Checks a signature of TLS 1.2.
///
/// # Errors
///
/// It is none of that key.
pub(super) fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let Some(key) = key_of_version_1(certificate) else {
        return verify_tls12_signature(message, certificate, signature, algorithms);
    };
    let key = RawPublicKeyEntity::try_from(&key).map_err(|_| CertificateError::BadEncoding)?;
    let mut mapping = algorithms.mapping.iter();
    let (_, possible) = mapping
        .find(|(scheme, _)| *scheme == signature.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    let is_signed = possible.iter().any(|algorithm| {
        key.verify_signature(*algorithm, message, signature.signature())
            .is_ok()
    });
    if is_signed {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(CertificateError::BadSignature.into())
    }
}

/// Checks a signature of TLS 1.3.
///
/// # Errors
///
/// It is none of that key.
pub(super) fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    match key_of_version_1(certificate) {
        Some(key) => verify_tls13_signature_with_raw_key(message, &key, signature, algorithms),
        None => verify_tls13_signature(message, certificate, signature, algorithms),
    }
}

fn key_of_version_1(certificate: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let certificate = Certificate::of(certificate.clone().into_owned())?;
    let key = certificate.at(&certificate.key_info).to_vec();
    certificate.is_version_1.then(|| key.into())
}
