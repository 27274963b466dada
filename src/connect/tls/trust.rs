//! The certificates that a user trusts.
//!
//! As for OpenSSL, an anchor is a certificate that issued itself; others in the list are links that a chain may use, or
//! anchors as well if the user says so (`allowPartialTrustChain`). A certificate in the list is trusted as a server's own.

use std::collections::{HashMap, HashSet};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::der::Outline;

/// What the verification of a certificate starts from.
#[derive(Debug, Default)]
pub struct Trust {
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    /// The anchors' certificates as they are.
    pub(super) anchored: HashSet<CertificateDer<'static>>,
    pub(super) links: Vec<CertificateDer<'static>>,
    /// When the anchors of a name are valid, in seconds since 1970: webpki does not ask.
    pub(super) times: HashMap<Vec<u8>, Vec<(u64, u64)>>,
}

impl Trust {
    /// Reads certificates in PEM; what is none is passed over, as in the runtime.
    pub fn from_pem(pem: &[u8], partial_chains: bool) -> Self {
        let mut trust = Self::default();
        for certificate in CertificateDer::pem_slice_iter(pem).flatten() {
            trust.add(certificate, partial_chains);
        }
        trust
    }

    fn add(&mut self, certificate: CertificateDer<'static>, partial_chains: bool) {
        let Some(outline) = Outline::of(&certificate) else {
            return;
        };
        if !partial_chains && !outline.is_self_issued() {
            self.links.push(certificate);
            return;
        }
        if let Ok(anchor) = webpki::anchor_from_trusted_cert(&certificate) {
            self.anchors.push(anchor.to_owned());
        }
        self.times
            .entry(outline.subject.to_vec())
            .or_default()
            .push((outline.not_before, outline.not_after));
        self.anchored.insert(certificate);
    }
}
