//! TLS for whoever shakes hands by itself and can't judge the peer afterwards: a client of HTTP/2.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};

use super::settings::{SignaturesOnly, Tls};
use super::verify;
use crate::error::{Failure, Prospect};

/// A configuration that has these settings, and judges the peer within the handshake. A refusal is a [`Failure`] within
/// rustls' own error, see [`refusal`].
pub fn judging(tls: &Arc<Tls>) -> ClientConfig {
    let (mut config, signatures) = tls.config_and_signatures();
    config.resumption = Resumption::in_memory_sessions(tls.rules().sessions as usize);
    let verifier = AtOnce {
        tls: Arc::clone(tls),
        signatures,
    };
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(verifier));
    config
}

/// Why a peer was refused, or a handshake failed.
pub fn refusal(error: &Error) -> Failure {
    if let Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error {
        if let Some(failure) = inner.downcast_ref::<Failure>() {
            return failure.clone();
        }
    }
    super::fault::refused(error)
}

/// Who the peer is, and whether it is to be trusted.
#[derive(Debug)]
struct AtOnce {
    tls: Arc<Tls>,
    signatures: SignaturesOnly,
}

fn refused(failure: Failure) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(failure))))
}

impl ServerCertVerifier for AtOnce {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.tls.rules().reject_unauthorized {
            return Ok(ServerCertVerified::assertion());
        }
        let chain: Vec<CertificateDer<'static>> = std::iter::once(leaf)
            .chain(sent)
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        self.tls
            .trust()
            .verify(&chain, self.tls.revocations(), now)
            .map_err(|distrust| refused(distrust.failure()))?;
        let name = name.to_str();
        if !verify::is_for(&chain, &name) {
            let message = format!(
                "Hostname/IP does not match certificate's altnames: {name} is not in the cert's altnames"
            );
            let code = "ERR_TLS_CERT_ALTNAME_INVALID";
            // The subject may name it, which only the runtime says.
            return Err(refused(Failure {
                prospect: Prospect::Good,
                ..Failure::new(code, message)
            }));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signatures
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_verify_schemes()
    }
}
