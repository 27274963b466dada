//! Whether a chain is to be trusted, and what OpenSSL calls it when it is not.
//!
//! webpki decides. A refusal is then given the name that OpenSSL's own walk through the chain would end with: it goes on
//! after a fault, and the last one counts.

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::der::Outline;
use super::Trust;
use crate::error::{Failure, Phase, Prospect};

/// Why a peer is not authorized: OpenSSL's code and sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Distrust {
    /// Such as `CERT_HAS_EXPIRED`.
    pub code: &'static str,
    /// Such as `certificate has expired`.
    pub message: &'static str,
}

macro_rules! distrusts {
    ($($code:ident $message:literal)*) => {
        $(const $code: Distrust = Distrust { code: stringify!($code), message: $message };)*
    };
}

distrusts! {
    CERT_HAS_EXPIRED "certificate has expired"
    CERT_NOT_YET_VALID "certificate is not yet valid"
    CERT_REVOKED "certificate revoked"
    CERT_SIGNATURE_FAILURE "certificate signature failure"
    CERT_UNTRUSTED "certificate not trusted"
    CRL_HAS_EXPIRED "CRL has expired"
    CRL_SIGNATURE_FAILURE "CRL signature failure"
    DEPTH_ZERO_SELF_SIGNED_CERT "self-signed certificate"
    INVALID_CA "invalid CA certificate"
    INVALID_PURPOSE "unsuitable certificate purpose"
    PATH_LENGTH_EXCEEDED "path length constraint exceeded"
    SELF_SIGNED_CERT_IN_CHAIN "self-signed certificate in certificate chain"
    UNABLE_TO_GET_CRL "unable to get certificate CRL"
    UNABLE_TO_GET_ISSUER_CERT "unable to get issuer certificate"
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY "unable to get local issuer certificate"
    UNABLE_TO_VERIFY_LEAF_SIGNATURE "unable to verify the first certificate"
}

/// OpenSSL has no code of its own for it, and the runtime shows none.
const NAME_CONSTRAINTS: Distrust = Distrust {
    code: "UNSPECIFIED",
    message: "permitted subtree violation",
};

impl Distrust {
    /// Whether it may be for want of what webpki leaves out: keys, signatures, extensions, versions. The runtime may know
    /// better.
    pub(super) fn is_doubtful(self) -> bool {
        matches!(self, CERT_SIGNATURE_FAILURE | CERT_UNTRUSTED | INVALID_CA)
    }

    /// What becomes of a request to such a peer.
    pub(super) fn failure(self) -> Failure {
        let prospect = if self.is_doubtful() {
            Prospect::Good
        } else {
            Prospect::None
        };
        Failure {
            prospect,
            ..Failure::new(self.code, self.message, Phase::Connect)
        }
    }
}

impl Trust {
    /// Judges a server's certificate and what it sent along.
    ///
    /// # Errors
    ///
    /// OpenSSL's name for why it is not trusted.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'static>],
        crls: &[&CertRevocationList<'_>],
        now: UnixTime,
    ) -> Result<(), Distrust> {
        let Some((leaf, sent)) = chain.split_first() else {
            return Err(UNABLE_TO_GET_ISSUER_CERT);
        };
        if self.anchored.contains(leaf) && crls.is_empty() {
            let walk = Walk::of(self, chain);
            let fault = walk.untimely(now).or_else(|| walk.misused());
            return fault.map_or(Ok(()), Err);
        }
        let revocation = RevocationOptionsBuilder::new(crls).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let links: Vec<CertificateDer<'_>> = sent.iter().chain(&self.links).cloned().collect();
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let judged = EndEntityCert::try_from(leaf).and_then(|leaf| {
            leaf.verify_for_usage(
                algorithms.all,
                &self.anchors,
                &links,
                now,
                KeyUsage::server_auth(),
                revocation,
                None,
            )
            .map(|path| self.is_timely(&path.anchor().subject, now))
        });
        let walk = Walk::of(self, chain);
        let fault = match judged {
            Ok(true) => walk.misused(),
            Ok(false) => Some(walk.untimely(now).unwrap_or(CERT_HAS_EXPIRED)),
            Err(error) => Some(walk.name(&error, now)),
        };
        fault.map_or(Ok(()), Err)
    }

    /// Whether an anchor of this name is valid now.
    fn is_timely(&self, subject: &[u8], now: UnixTime) -> bool {
        let now = now.as_secs();
        let times = self.times.get(subject).map(Vec::as_slice);
        times
            .unwrap_or_default()
            .iter()
            .any(|(from, until)| (*from..=*until).contains(&now))
    }
}

/// Whether a certificate names `host` among its alternative names. If it does not, its subject may, or the user may have
/// a way of its own.
pub(super) fn is_for(chain: &[CertificateDer<'static>], host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let named = |leaf: &CertificateDer<'_>| {
        let name = ServerName::try_from(host).ok()?;
        EndEntityCert::try_from(leaf)
            .ok()?
            .verify_is_valid_for_subject_name(&name)
            .ok()
    };
    chain.first().and_then(named).is_some()
}

/// The chain as OpenSSL would build it, by names alone.
struct Walk<'a> {
    path: Vec<Outline<'a>>,
    /// It ends at an anchor.
    anchored: bool,
    /// A link of it comes from the user's list.
    own_link: bool,
}

/// The longest chain that is walked, as OpenSSL's default.
const MOST_LINKS: usize = 100;

impl<'a> Walk<'a> {
    fn of(trust: &'a Trust, chain: &'a [CertificateDer<'static>]) -> Self {
        let mut walk = Self {
            path: Vec::new(),
            anchored: false,
            own_link: false,
        };
        let mut next = chain.first().and_then(|leaf| Outline::of(leaf));
        walk.anchored = chain
            .first()
            .is_some_and(|leaf| trust.anchored.contains(leaf));
        while let Some(outline) = next.take() {
            walk.path.push(outline);
            let last = &walk.path[walk.path.len() - 1];
            if last.is_self_issued() || walk.anchored || walk.path.len() == MOST_LINKS {
                break;
            }
            let issuer = |certificate: &'a CertificateDer<'static>| {
                Outline::of(certificate).filter(|outline| outline.may_have_issued(last))
            };
            next = trust.anchored.iter().find_map(issuer);
            walk.anchored = next.is_some();
            if next.is_none() {
                next = trust.links.iter().find_map(issuer);
                walk.own_link |= next.is_some();
            }
            next = next.or_else(|| chain.iter().skip(1).find_map(issuer));
        }
        walk
    }

    /// The certificate nearest to the leaf that is out of its time.
    fn untimely(&self, now: UnixTime) -> Option<Distrust> {
        let now = now.as_secs();
        self.path.iter().find_map(|outline| {
            if now < outline.not_before {
                Some(CERT_NOT_YET_VALID)
            } else if now > outline.not_after {
                Some(CERT_HAS_EXPIRED)
            } else {
                None
            }
        })
    }

    /// The server's key is not meant for what it does.
    fn misused(&self) -> Option<Distrust> {
        let misused = self
            .path
            .first()
            .is_some_and(|leaf| !leaf.may_shake_hands());
        misused.then_some(INVALID_PURPOSE)
    }

    /// What OpenSSL would call webpki's refusal.
    fn name(&self, error: &Error, now: UnixTime) -> Distrust {
        let incomplete = self.incomplete();
        self.untimely(now)
            .or_else(|| incomplete.filter(|code| *code == UNABLE_TO_VERIFY_LEAF_SIGNATURE))
            .or_else(|| self.misused())
            .or(incomplete)
            .unwrap_or_else(|| name(error))
    }

    /// Why the chain ends before an anchor.
    fn incomplete(&self) -> Option<Distrust> {
        if self.anchored {
            return None;
        }
        let alone = self.path.len() == 1;
        Some(match self.path.last() {
            Some(last) if last.is_self_issued() && alone => DEPTH_ZERO_SELF_SIGNED_CERT,
            Some(last) if last.is_self_issued() => SELF_SIGNED_CERT_IN_CHAIN,
            _ if alone => UNABLE_TO_VERIFY_LEAF_SIGNATURE,
            _ if self.own_link => UNABLE_TO_GET_ISSUER_CERT,
            _ => UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        })
    }
}

/// A refusal that has nothing to do with the chain's links and times.
fn name(error: &Error) -> Distrust {
    match error {
        Error::CertRevoked => CERT_REVOKED,
        Error::UnknownRevocationStatus => UNABLE_TO_GET_CRL,
        Error::CrlExpired { .. } => CRL_HAS_EXPIRED,
        Error::InvalidCrlSignatureForPublicKey | Error::IssuerNotCrlSigner => CRL_SIGNATURE_FAILURE,
        Error::CertExpired { .. } => CERT_HAS_EXPIRED,
        Error::CertNotValidYet { .. } => CERT_NOT_YET_VALID,
        Error::RequiredEkuNotFoundContext(_) => INVALID_PURPOSE,
        Error::NameConstraintViolation => NAME_CONSTRAINTS,
        Error::InvalidSignatureForPublicKey => CERT_SIGNATURE_FAILURE,
        Error::PathLenConstraintViolated => PATH_LENGTH_EXCEEDED,
        Error::EndEntityUsedAsCa => INVALID_CA,
        Error::UnknownIssuer => UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        _ => CERT_UNTRUSTED,
    }
}
