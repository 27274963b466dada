//! Lists of revoked certificates ([RFC 5280, section 5](https://www.rfc-editor.org/rfc/rfc5280#section-5)).

use std::collections::HashSet;

use super::certificate::{extension, Authority, Certificate, Signed};
use super::der::{constructed, Reader, GENERALIZED_TIME, INTEGER, SEQUENCE, UTC_TIME};
use super::names::Name;
use super::pem::Blocks;

/// What an authority has revoked.
#[derive(Debug)]
pub(super) struct RevocationList {
    der: Vec<u8>,
    signed: Signed,
    pub(super) issuer: Name,
    /// Seconds since 1970.
    pub(super) this_update: i64,
    pub(super) next_update: Option<i64>,
    pub(super) authority: Authority,
    revoked: HashSet<Vec<u8>>,
    /// It is not about all certificates of its issuer, or has what is not understood here.
    pub(super) is_unusual: bool,
}

const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const NUMBER: &[u8] = &[0x55, 0x1d, 20];
const REASON: &[u8] = &[0x55, 0x1d, 21];
const INVALIDITY_DATE: &[u8] = &[0x55, 0x1d, 24];

impl RevocationList {
    /// Reads the lists of a text in PEM; `None`: there is none, or one that can't be read.
    pub(super) fn from_pem(text: &[u8]) -> Option<Vec<Self>> {
        let mut lists = Vec::new();
        for block in Blocks::of(text, true) {
            let (label, bytes) = block.ok()?;
            if label == b"X509 CRL" {
                lists.push(Self::of(bytes)?);
            }
        }
        // Some versions of the runtime read the first one only.
        let are_several = lists.len() > 1;
        for list in &mut lists {
            list.is_unusual |= are_several;
        }
        (!lists.is_empty()).then_some(lists)
    }

    fn of(der: Vec<u8>) -> Option<Self> {
        let (mut signed, mut body) = Signed::of(&der)?;
        body.optional(INTEGER)?;
        signed.expect(&der, body.value(SEQUENCE)?);
        let issuer = Name::of(body.value(SEQUENCE)?)?;
        let this_update = body.time()?;
        let next_update = match body.0.first() {
            Some(&(UTC_TIME | GENERALIZED_TIME)) => Some(body.time()?),
            _ => None,
        };
        let mut list = Self {
            signed,
            issuer,
            this_update,
            next_update,
            authority: Authority::default(),
            revoked: HashSet::new(),
            is_unusual: false,
            der: Vec::new(),
        };
        let mut entries = Reader(body.optional(SEQUENCE)?.unwrap_or_default());
        while !entries.is_empty() {
            let mut entry = Reader(entries.value(SEQUENCE)?);
            list.revoked.insert(entry.value(INTEGER)?.to_vec());
            entry.time()?;
            let mut extensions = Reader(entry.optional(SEQUENCE)?.unwrap_or_default());
            while !extensions.is_empty() {
                let (id, _, value) = extension(&mut extensions)?;
                // What was on hold may have been let go.
                let is_let_go = id == REASON && value.last() == Some(&8);
                list.is_unusual |= is_let_go || ![REASON, INVALIDITY_DATE].contains(&id);
            }
        }
        if let Some(extensions) = body.optional(constructed(0))? {
            let mut extensions = Reader(Reader(extensions).value(SEQUENCE)?);
            while !extensions.is_empty() {
                let (id, _, value) = extension(&mut extensions)?;
                match id {
                    AUTHORITY_KEY_ID => list.authority = Authority::of(value)?,
                    NUMBER => {}
                    _ => list.is_unusual = true,
                }
            }
        }
        list.der = der;
        Some(list)
    }

    pub(super) fn has(&self, certificate: &Certificate) -> bool {
        self.revoked.contains(certificate.at(&certificate.serial))
    }

    /// Whether `by` has signed it; `None`: that can't be said here.
    pub(super) fn is_by(&self, by: &Certificate) -> Option<bool> {
        self.signed.is_by(&self.der, by)
    }
}
