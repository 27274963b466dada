//! Whether a chain is to be trusted, and what the runtime calls it when it is not.
//!
//! This is OpenSSL's own walk (`X509_verify_cert`): a chain is built by names and kinds of keys, the user's certificates
//! first, then each rule is applied to each certificate. The walk goes on after a fault, and the last one counts.
//!
//! What it does not know (kinds of keys, rare extensions, malformed certificates) it leaves to the runtime's own TLS: its
//! verdict is then [`CERT_UNTRUSTED`], which is doubtful. So are unusual chains where the runtime is not built on OpenSSL.

use std::cell::Cell;
use std::net::IpAddr;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::certificate::{Certificate, Rank};
use super::names::{Standing, DNS};
use super::revocation::RevocationList;
use super::trust::{Dialect, Trust, Trusted, Word};
use crate::error::{Failure, Prospect};

/// Why a peer is not authorized: OpenSSL's code and sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Distrust {
    /// Such as `CERT_HAS_EXPIRED`.
    pub code: &'static str,
    /// Such as `certificate has expired`.
    pub message: &'static str,
}

macro_rules! distrusts {
    ($($name:ident $code:literal $message:literal)*) => {
        $(const $name: Distrust = Distrust { code: $code, message: $message };)*
    };
}

distrusts! {
    CERT_CHAIN_TOO_LONG "CERT_CHAIN_TOO_LONG" "certificate chain too long"
    CERT_HAS_EXPIRED "CERT_HAS_EXPIRED" "certificate has expired"
    CERT_NOT_YET_VALID "CERT_NOT_YET_VALID" "certificate is not yet valid"
    CERT_REJECTED "CERT_REJECTED" "certificate rejected"
    CERT_REVOKED "CERT_REVOKED" "certificate revoked"
    CERT_SIGNATURE_FAILURE "CERT_SIGNATURE_FAILURE" "certificate signature failure"
    CERT_UNTRUSTED "CERT_UNTRUSTED" "certificate not trusted"
    CRL_HAS_EXPIRED "CRL_HAS_EXPIRED" "CRL has expired"
    CRL_NOT_YET_VALID "CRL_NOT_YET_VALID" "CRL is not yet valid"
    CRL_SIGNATURE_FAILURE "CRL_SIGNATURE_FAILURE" "CRL signature failure"
    DEPTH_ZERO_SELF_SIGNED_CERT "DEPTH_ZERO_SELF_SIGNED_CERT" "self-signed certificate"
    INVALID_CA "INVALID_CA" "invalid CA certificate"
    INVALID_PURPOSE "INVALID_PURPOSE" "unsuitable certificate purpose"
    PATH_LENGTH_EXCEEDED "PATH_LENGTH_EXCEEDED" "path length constraint exceeded"
    SELF_SIGNED_CERT_IN_CHAIN "SELF_SIGNED_CERT_IN_CHAIN" "self-signed certificate in certificate chain"
    UNABLE_TO_GET_CRL "UNABLE_TO_GET_CRL" "unable to get certificate CRL"
    UNABLE_TO_GET_ISSUER_CERT "UNABLE_TO_GET_ISSUER_CERT" "unable to get issuer certificate"
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" "unable to get local issuer certificate"
    UNABLE_TO_VERIFY_LEAF_SIGNATURE "UNABLE_TO_VERIFY_LEAF_SIGNATURE" "unable to verify the first certificate"
    // OpenSSL has numbers for them, and the runtime shows none of these.
    EXCLUDED_VIOLATION "UNSPECIFIED" "excluded subtree violation"
    KEYUSAGE_NO_CERTSIGN "UNSPECIFIED" "key usage does not include certificate signing"
    KEYUSAGE_NO_CRL_SIGN "UNSPECIFIED" "key usage does not include CRL signing"
    PERMITTED_VIOLATION "UNSPECIFIED" "permitted subtree violation"
    UNABLE_TO_GET_CRL_ISSUER "UNSPECIFIED" "unable to get CRL issuer certificate"
    UNHANDLED_CRITICAL_EXTENSION "UNSPECIFIED" "unhandled critical extension"
}

/// Verdicts that OpenSSL, BoringSSL and we give for the same reasons.
const COMMON: [Distrust; 9] = [
    CERT_HAS_EXPIRED,
    CERT_NOT_YET_VALID,
    CERT_REVOKED,
    DEPTH_ZERO_SELF_SIGNED_CERT,
    INVALID_PURPOSE,
    SELF_SIGNED_CERT_IN_CHAIN,
    UNABLE_TO_GET_ISSUER_CERT,
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
    UNABLE_TO_VERIFY_LEAF_SIGNATURE,
];

impl Distrust {
    /// Whether the runtime has the last word.
    pub(super) fn is_doubtful(self) -> bool {
        self == CERT_UNTRUSTED
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
            ..Failure::new(self.code, self.message)
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
        lists: &[RevocationList],
        now: UnixTime,
    ) -> Result<(), Distrust> {
        let sent: Option<Vec<Certificate>> = chain.iter().cloned().map(Certificate::of).collect();
        let sent = sent.filter(|sent| !sent.is_empty()).ok_or(CERT_UNTRUSTED)?;
        let mut walk = Walk::of(
            self,
            &sent,
            i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        );
        walk.build();
        walk.refuse_what_is_unknown()?;
        walk.check_extensions();
        if !lists.is_empty() {
            walk.check_revocation(lists)?;
        }
        walk.check_signatures_and_times()?;
        walk.check_names()?;
        let verdict = walk.fault.map_or(Ok(()), Err);
        match (self.dialect, verdict) {
            // What could not be read may be what is missing.
            (_, Err(_)) if self.is_incomplete => Err(CERT_UNTRUSTED),
            (Dialect::OpenSsl, verdict) => verdict,
            (_, Err(fault)) if !COMMON.contains(&fault) => Err(CERT_UNTRUSTED),
            _ if !walk.is_plain() => Err(CERT_UNTRUSTED),
            // Deno has its own names for a chain that can't be linked.
            (Dialect::Webpki, Err(UNABLE_TO_VERIFY_LEAF_SIGNATURE)) if sent.len() > 1 => {
                Err(CERT_UNTRUSTED)
            }
            (Dialect::Webpki, Ok(())) if !self.anchors_for_webpki(chain, now) => {
                Err(CERT_UNTRUSTED)
            }
            (_, verdict) => verdict,
        }
    }

    /// The same for lists of revoked certificates in PEM, which are passed over if they can't be read.
    ///
    /// # Errors
    ///
    /// As of a handshake's.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn judge(
        &self,
        chain: &[CertificateDer<'static>],
        lists: &[&[u8]],
        now: UnixTime,
    ) -> Result<(), Distrust> {
        let lists = lists.iter().filter_map(|pem| RevocationList::from_pem(pem));
        let lists: Vec<RevocationList> = lists.flatten().collect();
        self.verify(chain, &lists, now)
    }

    /// Whether webpki trusts a chain as well.
    fn anchors_for_webpki(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> bool {
        let Some((leaf, sent)) = chain.split_first() else {
            return false;
        };
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let usage = KeyUsage::server_auth();
        EndEntityCert::try_from(leaf).is_ok_and(|leaf| {
            leaf.verify_for_usage(algorithms.all, &self.anchors, sent, now, usage, None, None)
                .is_ok()
        })
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

/// Whether a certificate without alternative names of hosts has `host` for a common name, as `tls.checkServerIdentity()` takes
/// it. A wildcard stands for a whole first label only, of three at least.
pub(super) fn is_named_by_subject(chain: &[CertificateDer<'static>], host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let leaf = chain.first().cloned().and_then(Certificate::of);
    let is_address = host.parse::<IpAddr>().is_ok();
    let Some(leaf) = leaf.filter(|_| !is_address) else {
        return false;
    };
    if leaf.alt_names().iter().any(|&(tag, _)| tag == DNS) {
        return false;
    }
    let fits = |name: &str| {
        let name = name.strip_suffix('.').unwrap_or(name);
        match (name.strip_prefix("*."), host.split_once('.')) {
            (Some(rest), Some((label, parent))) => {
                !label.is_empty() && rest == parent && rest.contains('.')
            }
            _ => name == host,
        }
    };
    leaf.subject.common_names().into_iter().any(fits)
}

/// The longest chain without its leaf, as OpenSSL's default.
const MOST_LINKS: usize = 100;

/// What a walk through a chain has come to.
struct Walk<'a> {
    trust: &'a Trust,
    sent: &'a [Certificate],
    now: i64,
    /// From the leaf on.
    path: Vec<&'a Certificate>,
    /// What the user says of those that are the user's own: the last ones.
    words: Vec<Word>,
    /// The last fault that was found.
    fault: Option<Distrust>,
    /// Of several issuers, one was taken.
    has_chosen: Cell<bool>,
}

impl<'a> Walk<'a> {
    fn of(trust: &'a Trust, sent: &'a [Certificate], now: i64) -> Self {
        Self {
            trust,
            sent,
            now,
            path: vec![&sent[0]],
            words: Vec::new(),
            fault: None,
            has_chosen: Cell::new(false),
        }
    }

    fn note(&mut self, is_fault: bool, distrust: Distrust) {
        if is_fault {
            self.fault = Some(distrust);
        }
    }

    /// How many certificates of the path are the server's.
    fn untrusted(&self) -> usize {
        self.path.len() - self.words.len()
    }

    /// Follows issuers until one is trusted: the user's certificates first, and nobody else's after one of them.
    fn build(&mut self) {
        let mut left: Vec<&'a Certificate> = self.sent.iter().collect();
        loop {
            let last = self.path[self.path.len() - 1];
            let is_at_limit = self.path.len() > MOST_LINKS + 1;
            if let Some(issuer) = self.trusted_issuer(last).filter(|_| !is_at_limit) {
                let is_last = last.is_self_signed();
                // An anchor that the server sends must be the user's, not its double.
                if !is_last || issuer.certificate.der == last.der {
                    if is_last {
                        self.path.pop();
                    }
                    self.path.push(&issuer.certificate);
                    self.words.push(issuer.word);
                    let is_self_signed = issuer.certificate.is_self_signed();
                    match issuer.word {
                        Word::Trusted => return,
                        Word::Rejected => self.note(true, CERT_REJECTED),
                        Word::None if is_self_signed || self.trust.partial_chains => return,
                        Word::None => {}
                    }
                    if !is_self_signed {
                        continue;
                    }
                }
            }
            let may_follow = self.words.is_empty() && !last.is_self_signed() && !is_at_limit;
            let issuer = may_follow.then(|| self.sent_issuer(&left, last)).flatten();
            let Some(issuer) = issuer else {
                return self.end_untrusted();
            };
            left.retain(|&other| !std::ptr::eq(other, issuer));
            self.path.push(issuer);
        }
    }

    fn end_untrusted(&mut self) {
        let (leaf, last) = (self.path[0], self.path[self.path.len() - 1]);
        if self.words.is_empty() && self.trust.partial_chains {
            if let Some(trusted) = self.trust.find(leaf) {
                self.path = vec![&trusted.certificate];
                self.words.push(trusted.word);
                self.note(trusted.word == Word::Rejected, CERT_REJECTED);
                if trusted.word != Word::Rejected {
                    return;
                }
            }
        }
        let is_alone = self.path.len() == 1;
        self.note(
            true,
            match () {
                () if self.path.len() > MOST_LINKS + 1 => CERT_CHAIN_TOO_LONG,
                () if last.is_self_signed() && is_alone => DEPTH_ZERO_SELF_SIGNED_CERT,
                () if last.is_self_signed() => SELF_SIGNED_CERT_IN_CHAIN,
                () if self.words.is_empty() => UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
                () => UNABLE_TO_GET_ISSUER_CERT,
            },
        );
    }

    fn trusted_issuer(&self, of: &Certificate) -> Option<&'a Trusted> {
        let namesakes = self.trust.named(&of.issuer);
        let issuers = namesakes.filter(|trusted| trusted.certificate.may_have_issued(of));
        self.best(issuers, |trusted| &trusted.certificate)
    }

    fn sent_issuer(&self, left: &[&'a Certificate], of: &Certificate) -> Option<&'a Certificate> {
        let issuers = left.iter().copied().filter(|candidate| {
            let is_new = self.path.iter().all(|link| link.der != candidate.der);
            is_new && candidate.may_have_issued(of)
        });
        self.best(issuers, |candidate| candidate)
    }

    /// The first one in its time, else the one that lasts longest.
    fn best<T: Copy>(
        &self,
        candidates: impl Iterator<Item = T>,
        certificate: impl Fn(T) -> &'a Certificate,
    ) -> Option<T> {
        let mut best = None;
        let mut candidates = candidates.peekable();
        while let Some(candidate) = candidates.next() {
            let is_only = best.is_none() && candidates.peek().is_none();
            self.has_chosen.set(self.has_chosen.get() || !is_only);
            if self.time_fault(certificate(candidate)).is_none() {
                return Some(candidate);
            }
            let until = |of| certificate(of).not_after;
            if best.is_none_or(|best| until(candidate) > until(best)) {
                best = Some(candidate);
            }
        }
        best
    }

    /// The last one, as everywhere.
    fn time_fault(&self, certificate: &Certificate) -> Option<Distrust> {
        if certificate.not_after <= self.now {
            Some(CERT_HAS_EXPIRED)
        } else if certificate.not_before > self.now {
            Some(CERT_NOT_YET_VALID)
        } else {
            None
        }
    }

    /// What only the runtime can judge.
    fn refuse_what_is_unknown(&self) -> Result<(), Distrust> {
        for (depth, link) in self.path.iter().enumerate() {
            let is_end =
                depth + 1 == self.path.len() && (link.is_self_signed() || self.is_own(depth));
            let is_known = link.has_usual_key()
                && (is_end || link.has_usual_signature())
                && !link.extensions.is_invalid
                && !link.extensions.is_unusual;
            if !is_known {
                return Err(CERT_UNTRUSTED);
            }
        }
        Ok(())
    }

    /// Whether the user has it.
    fn is_own(&self, depth: usize) -> bool {
        depth >= self.untrusted()
    }

    /// Whether the chain has nothing that runtimes judge in different ways.
    fn is_plain(&self) -> bool {
        let mut links = self.path.iter().enumerate();
        links.all(|(depth, link)| link.is_plain(depth == 0))
            && self.words.iter().all(|&word| word == Word::None)
            && !self.has_chosen.get()
            && (!self.words.is_empty() || !self.has_namesakes_of_the_next())
    }

    /// Whether there are certificates of the name that is missing, all of which were passed over.
    fn has_namesakes_of_the_next(&self) -> bool {
        let last = self.path[self.path.len() - 1];
        let is_namesake =
            |other: &Certificate| other.subject == last.issuer && other.der != last.der;
        let mut trusted = self.trust.named(&last.issuer);
        trusted.any(|trusted| is_namesake(&trusted.certificate))
            || self.sent.iter().any(is_namesake)
    }

    fn check_extensions(&mut self) {
        let mut below = 0;
        for depth in 0..self.path.len() {
            let link = self.path[depth];
            let is_issuer = depth > 0;
            let is_last = depth + 1 == self.path.len();
            self.note(link.extensions.is_unhandled, UNHANDLED_CRITICAL_EXTENSION);
            let rank = link.rank();
            // Links must say what they are; an anchor may be one by custom.
            let has_rank = rank == Rank::Authority || (is_last && rank != Rank::No);
            self.note(is_issuer && !has_rank, INVALID_CA);
            let word = if self.is_own(depth) {
                self.words[depth - self.untrusted()]
            } else {
                Word::None
            };
            let suits = match word {
                Word::Trusted => true,
                Word::Rejected => false,
                Word::None => link.suits(is_issuer),
            };
            self.note(!suits, INVALID_PURPOSE);
            let is_too_long = link.path_len().is_some_and(|most| below > most);
            self.note(depth > 1 && is_too_long, PATH_LENGTH_EXCEEDED);
            if is_issuer && !link.is_self_issued() {
                below += 1;
            }
        }
    }

    /// As with OpenSSL's `X509_V_FLAG_CRL_CHECK_ALL`: every certificate needs a list, the anchor as well.
    fn check_revocation(&mut self, lists: &[RevocationList]) -> Result<(), Distrust> {
        for depth in 0..self.path.len() {
            let link = self.path[depth];
            let namesakes = || lists.iter().filter(|list| list.issuer == link.issuer);
            if namesakes().any(|list| list.is_unusual) {
                return Err(CERT_UNTRUSTED);
            }
            let next = self.path.get(depth + 1).copied();
            let issuer = next.unwrap_or(link);
            let of_issuer = namesakes().filter(|list| issuer.has_authority(&list.authority));
            // The latest of those in their time, if there is one.
            let list =
                of_issuer.max_by_key(|list| (self.list_fault(list).is_none(), list.this_update));
            let Some(list) = list else {
                if namesakes().next().is_some() {
                    // An authority further up may have signed it.
                    return Err(CERT_UNTRUSTED);
                }
                self.note(true, UNABLE_TO_GET_CRL);
                continue;
            };
            self.note(
                next.is_none() && !link.may_have_issued(link),
                UNABLE_TO_GET_CRL_ISSUER,
            );
            self.note(!issuer.may_sign_lists(), KEYUSAGE_NO_CRL_SIGN);
            self.fault = self.list_fault(list).or(self.fault);
            let is_signed = list.is_by(issuer).ok_or(CERT_UNTRUSTED)?;
            self.note(!is_signed, CRL_SIGNATURE_FAILURE);
            self.note(list.has(link), CERT_REVOKED);
        }
        Ok(())
    }

    fn list_fault(&self, list: &RevocationList) -> Option<Distrust> {
        if list.next_update.is_some_and(|until| until <= self.now) {
            Some(CRL_HAS_EXPIRED)
        } else if list.this_update > self.now {
            Some(CRL_NOT_YET_VALID)
        } else {
            None
        }
    }

    /// From the anchor to the leaf.
    fn check_signatures_and_times(&mut self) -> Result<(), Distrust> {
        let top = self.path.len() - 1;
        let last = self.path[top];
        // Of a last one that did not issue itself, only a user's own is an end.
        let is_openssl = self.trust.dialect == Dialect::OpenSsl;
        let ends_anywhere = self.trust.partial_chains && (is_openssl || !self.words.is_empty());
        let is_end = last.may_have_issued(last) || ends_anywhere;
        if !is_end && top == 0 {
            self.note(true, UNABLE_TO_VERIFY_LEAF_SIGNATURE);
        }
        for depth in (0..=top).rev() {
            let link = self.path[depth];
            if depth < top {
                let issuer = self.path[depth + 1];
                self.note(!issuer.may_sign_certificates(), KEYUSAGE_NO_CERTSIGN);
                let is_signed = link.signed.is_by(&link.der, issuer).ok_or(CERT_UNTRUSTED)?;
                self.note(!is_signed, CERT_SIGNATURE_FAILURE);
            }
            if depth < top || is_end || top == 0 {
                self.fault = self.time_fault(link).or(self.fault);
            }
        }
        Ok(())
    }

    /// From the anchor to the leaf, against the constraints of each authority above.
    fn check_names(&mut self) -> Result<(), Distrust> {
        for depth in (0..self.path.len()).rev() {
            let link = self.path[depth];
            if depth > 0 && link.is_self_issued() {
                continue;
            }
            let names = link.alt_names();
            for above in (depth + 1..self.path.len()).rev() {
                let Some(constraints) = &self.path[above].extensions.constraints else {
                    continue;
                };
                match constraints.judge(&link.subject, &names, depth == 0) {
                    Standing::Fine => {}
                    Standing::NotPermitted => self.note(true, PERMITTED_VIOLATION),
                    Standing::Excluded => self.note(true, EXCLUDED_VIOLATION),
                    Standing::Unknown => return Err(CERT_UNTRUSTED),
                }
            }
        }
        Ok(())
    }
}
