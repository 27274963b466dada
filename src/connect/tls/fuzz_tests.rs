//! Certificates and lists that were changed at random: there is a verdict on each, and nothing that was changed is trusted.
//! `fuzz/fuzz_targets/certificates.rs` is the long form.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::{CertificateDer, UnixTime};

use super::{Dialect, Trust};
use crate::random::Random;

const SEEDS: u64 = 8;
const ROUNDS: usize = 400;

impl Random {
    /// Changes some bytes, or takes some away, or adds some.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next() as u8),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => {
                    let copied = bytes[at..].to_vec();
                    bytes.splice(at..at, copied);
                }
                _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => {}
            }
            if bytes.is_empty() {
                return;
            }
        }
    }
}

struct Chain {
    root: String,
    sent: Vec<Vec<u8>>,
    list: String,
}

fn chain() -> Chain {
    let authority = |path_len| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(path_len);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    };
    let root_key = KeyPair::generate().unwrap();
    let mut root = authority(BasicConstraints::Unconstrained);
    root.distinguished_name
        .push(rcgen::DnType::CommonName, "Root");
    let root_certificate = root.self_signed(&root_key).unwrap();
    let root = Issuer::new(root, root_key);
    let link_key = KeyPair::generate().unwrap();
    let mut link = authority(BasicConstraints::Constrained(0));
    link.distinguished_name
        .push(rcgen::DnType::CommonName, "Link");
    let link_certificate = link.signed_by(&link_key, &root).unwrap();
    let link = Issuer::new(link, link_key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &link).unwrap();
    let list = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2040, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    Chain {
        root: root_certificate.pem(),
        sent: vec![leaf.der().to_vec(), link_certificate.der().to_vec()],
        list: list.signed_by(&link).unwrap().pem().unwrap(),
    }
}

fn sent(chain: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    chain.iter().cloned().map(CertificateDer::from).collect()
}

#[test]
fn what_was_changed_on_its_way_is_not_trusted() {
    let chain = chain();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    for dialect in [Dialect::OpenSsl, Dialect::BoringSsl, Dialect::Webpki] {
        let trust = Trust::from_pem(chain.root.as_bytes(), false, dialect);
        assert_eq!(
            trust.judge(&sent(&chain.sent), &[], now),
            Ok(()),
            "{dialect:?}"
        );
        for seed in 1..=SEEDS {
            let mut random = Random::new(seed);
            for _ in 0..ROUNDS {
                let mut changed = chain.sent.clone();
                let at = random.below(changed.len());
                random.change(&mut changed[at]);
                let verdict = trust.judge(&sent(&changed), &[], now);
                assert!(
                    verdict.is_err() || changed == chain.sent,
                    "seed {seed}: {changed:?}"
                );
            }
        }
    }
}

#[test]
fn there_is_a_verdict_whatever_is_trusted_and_listed() {
    let chain = chain();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    for seed in 1..=SEEDS {
        let mut random = Random::new(seed);
        for _ in 0..ROUNDS / 4 {
            let (mut root, mut list) = (
                chain.root.clone().into_bytes(),
                chain.list.clone().into_bytes(),
            );
            random.change(&mut root);
            random.change(&mut list);
            let trust = Trust::from_pem(&root, random.one_in(2), Dialect::OpenSsl);
            let _ = trust.judge(&sent(&chain.sent), &[&list], now);
            // Nobody has said that the root holds still.
            let whole = Trust::from_pem(chain.root.as_bytes(), false, Dialect::OpenSsl);
            assert!(whole
                .judge(&sent(&chain.sent), &[chain.list.as_bytes()], now)
                .is_err());
        }
    }
}
