//! The certificates that a user trusts.
//!
//! As for OpenSSL, an anchor is a certificate that issued itself; others in the list are links that a chain may use, or
//! anchors as well if the user says so (`allowPartialTrustChain`).

use std::collections::HashMap;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::certificate::{Certificate, SERVER_PURPOSES};
use super::der::{constructed, Reader, OBJECT_ID, SEQUENCE};
use super::names::Name;
use super::pem::Blocks;

/// Whose verdicts count: no peer is trusted that the runtime would not trust.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Dialect {
    /// Node's.
    #[default]
    OpenSsl,
    /// Bun's.
    BoringSsl,
    /// Deno's: every certificate of the list is an anchor.
    Webpki,
}

/// What the verification of a certificate starts from.
#[derive(Debug, Default)]
pub struct Trust {
    pub(super) dialect: Dialect,
    /// Any certificate of the list ends a chain.
    pub(super) partial_chains: bool,
    /// Something in the list could not be read, and the runtime may have read it.
    pub(super) is_incomplete: bool,
    all: Vec<Trusted>,
    by_subject: HashMap<Name, Vec<usize>>,
    /// For [`Dialect::Webpki`].
    pub(super) anchors: Vec<TrustAnchor<'static>>,
}

#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) certificate: Certificate,
    pub(super) word: Word,
}

/// What a user says beside a certificate (`TRUSTED CERTIFICATE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    None,
    /// It anchors chains of servers, whatever it is.
    Trusted,
    Rejected,
}

impl Trust {
    /// Reads texts in PEM, a NUL between any two. As in the runtime, what is no certificate is passed over, and a text is
    /// read as far as it is well-formed.
    pub fn from_pem(texts: &[u8], partial_chains: bool, dialect: Dialect) -> Self {
        let mut trust = Self {
            dialect,
            partial_chains: partial_chains || dialect == Dialect::Webpki,
            ..Self::default()
        };
        for text in texts.split(|&byte| byte == 0) {
            trust.is_incomplete |= trust.read(text).is_none();
        }
        trust
    }

    fn read(&mut self, text: &[u8]) -> Option<()> {
        if self.dialect == Dialect::Webpki {
            return self.read_as_rustls(text);
        }
        let is_openssl = self.dialect == Dialect::OpenSsl;
        for block in Blocks::of(text, is_openssl) {
            let (label, bytes) = block.ok()?;
            match label {
                b"CERTIFICATE" => {}
                b"X509 CERTIFICATE" => {}
                b"TRUSTED CERTIFICATE" if is_openssl => {}
                _ => continue,
            }
            let mut rest = Reader(&bytes);
            let der = CertificateDer::from(rest.whole()?.to_vec());
            let word = Word::of(rest)?;
            self.add(Certificate::of(der)?, word);
        }
        Some(())
    }

    fn read_as_rustls(&mut self, text: &[u8]) -> Option<()> {
        for der in CertificateDer::pem_slice_iter(text) {
            self.add(Certificate::of(der.ok()?)?, Word::None);
        }
        // Labels other than the usual one.
        (!self.all.is_empty()).then_some(())
    }

    fn add(&mut self, certificate: Certificate, word: Word) {
        if self.has(&certificate) {
            return;
        }
        if self.dialect == Dialect::Webpki {
            match webpki::anchor_from_trusted_cert(&certificate.der) {
                Ok(anchor) => self.anchors.push(anchor.to_owned()),
                Err(_) => self.is_incomplete = true,
            }
        }
        let namesakes = self.by_subject.entry(certificate.subject.clone());
        namesakes.or_default().push(self.all.len());
        self.all.push(Trusted { certificate, word });
    }

    /// Those that have this name.
    pub(super) fn named(&self, subject: &Name) -> impl Iterator<Item = &Trusted> {
        let namesakes = self.by_subject.get(subject).map(Vec::as_slice);
        namesakes
            .unwrap_or_default()
            .iter()
            .map(|&at| &self.all[at])
    }

    pub(super) fn find(&self, certificate: &Certificate) -> Option<&Trusted> {
        self.named(&certificate.subject)
            .find(|trusted| trusted.certificate.der == certificate.der)
    }

    fn has(&self, certificate: &Certificate) -> bool {
        self.find(certificate).is_some()
    }
}

impl Word {
    /// Reads what follows a certificate.
    fn of(mut rest: Reader<'_>) -> Option<Self> {
        if rest.is_empty() {
            return Some(Self::None);
        }
        let mut list = Reader(rest.value(SEQUENCE)?);
        let trusted = list.optional(SEQUENCE)?;
        let rejected = list.optional(constructed(0))?;
        if names_servers(rejected.unwrap_or_default())? {
            return Some(Self::Rejected);
        }
        Some(match trusted {
            Some(purposes) if names_servers(purposes)? => Self::Trusted,
            // For other purposes only.
            Some(_) => Self::Rejected,
            None => Self::None,
        })
    }
}

/// Whether a list of purposes has that of a server, or any purpose.
fn names_servers(purposes: &[u8]) -> Option<bool> {
    const ANY: &[u8] = &[0x55, 0x1d, 37, 0];
    let mut purposes = Reader(purposes);
    let mut names = false;
    while !purposes.is_empty() {
        let purpose = purposes.value(OBJECT_ID)?;
        names |= purpose == ANY || purpose == SERVER_PURPOSES[0];
    }
    Some(names)
}
