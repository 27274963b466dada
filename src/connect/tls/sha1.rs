//! Signatures with SHA-1 in handshakes of TLS 1.2, for runtimes that take them: servers that can do nothing else are served by
//! the engine then, as by the runtime. Certificates that are signed so are another matter (`verify`), and TLS 1.3 has none.

use std::sync::LazyLock;

use ring::signature::{UnparsedPublicKey, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY};
use rustls::crypto::{ring as provider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    alg_id, AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm,
};
use rustls::SignatureScheme;

/// What is verified beside it, the others more wanted.
pub(super) fn with_sha1() -> WebPkiSupportedAlgorithms {
    static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
        let others = provider::default_provider().signature_verification_algorithms;
        let mut mapping = others.mapping.to_vec();
        mapping.push((SignatureScheme::RSA_PKCS1_SHA1, &[&RsaSha1]));
        WebPkiSupportedAlgorithms {
            // Once in a process.
            mapping: mapping.leak(),
            ..others
        }
    });
    *ALGORITHMS
}

#[derive(Debug)]
struct RsaSha1;

impl SignatureVerificationAlgorithm for RsaSha1 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, public_key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::RSA_ENCRYPTION
    }

    /// sha1WithRSAEncryption (RFC 8017, appendix C), without parameters but NULL.
    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        AlgorithmIdentifier::from_slice(&[
            0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05, 0x05, 0x00,
        ])
    }
}
