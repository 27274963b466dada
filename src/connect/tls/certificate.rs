//! What is needed of an X.509 certificate to judge it ([RFC 5280, section 4](https://www.rfc-editor.org/rfc/rfc5280#section-4)),
//! as OpenSSL reads it.

use std::ops::Range;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};

use super::der::{
    constructed, primitive, Reader, BIT_STRING, BOOLEAN, INTEGER, OBJECT_ID, OCTET_STRING, SEQUENCE,
};
use super::names::{general_names, Constraints, Name};

/// A certificate, read.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) signed: Signed,
    pub(super) subject: Name,
    pub(super) issuer: Name,
    pub(super) serial: Range<usize>,
    /// Seconds since 1970.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    /// Key and algorithm, as they stand there.
    pub(super) key_info: Range<usize>,
    key_algorithm: Range<usize>,
    key: Range<usize>,
    pub(super) is_version_1: bool,
    pub(super) extensions: Extensions,
}

/// What was signed, how, and the signature.
#[derive(Debug)]
pub(super) struct Signed {
    body: Range<usize>,
    algorithm: Range<usize>,
    signature: Range<usize>,
    /// Whether the algorithm that was signed is the one that is used.
    is_consistent: bool,
}

/// What a certificate says of itself.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    /// One of them is malformed or there twice.
    pub(super) is_invalid: bool,
    /// One of them must be understood and is not.
    pub(super) is_unhandled: bool,
    /// There are some that OpenSSL looks at and this judge does not.
    pub(super) is_unusual: bool,
    /// There are some that not every runtime takes.
    is_rare: bool,
    basic: Option<Basic>,
    /// A bit for each use, the first one is the highest of the first byte.
    key_usage: Option<[u8; 2]>,
    /// Whether the purposes have that of a server.
    serves: Option<bool>,
    netscape_type: Option<u8>,
    key_id: Option<Range<usize>>,
    pub(super) authority: Authority,
    alt_names: Option<Range<usize>>,
    pub(super) constraints: Option<Constraints>,
}

/// Which key has signed, as far as the signed one says.
#[derive(Debug, Default)]
pub(super) struct Authority {
    key_id: Option<Vec<u8>>,
    serial: Option<Vec<u8>>,
    issuer: Option<Name>,
}

#[derive(Debug)]
struct Basic {
    is_authority: bool,
    path_len: Option<u64>,
}

/// The kind of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Rsa,
    RsaPss,
    Dsa,
    Ec,
    Ed25519,
    Ed448,
    Unknown,
}

/// How a certificate may be an authority's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rank {
    No,
    /// It says so.
    Authority,
    /// It is so old, or has other extensions that say so.
    ByCustom,
    /// Only Netscape's extension says so.
    ByNetscape {
        tls: bool,
    },
}

// Of 2.5.29, where most extensions are.
const KEY_ID: &[u8] = &[0x55, 0x1d, 14];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const ALT_NAMES: &[u8] = &[0x55, 0x1d, 17];
const BASIC: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const CRL_PLACES: &[u8] = &[0x55, 0x1d, 31];
const POLICIES: &[u8] = &[0x55, 0x1d, 32];
const POLICY_MAPPINGS: &[u8] = &[0x55, 0x1d, 33];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const POLICY_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 36];
const PURPOSES: &[u8] = &[0x55, 0x1d, 37];
const ANY_POLICY: &[u8] = &[0x55, 0x1d, 54];
const NETSCAPE_TYPE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x42, 1, 1];
/// Of PKIX' own: address blocks, numbers of autonomous systems, proxies.
const UNUSUAL: [&[u8]; 3] = [
    &[0x2b, 6, 1, 5, 5, 7, 1, 7],
    &[0x2b, 6, 1, 5, 5, 7, 1, 8],
    &[0x2b, 6, 1, 5, 5, 7, 1, 14],
];
const NO_OCSP_CHECK: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 5];

/// A server's, and the two for strong cryptography where it was not for everybody.
pub(super) const SERVER_PURPOSES: [&[u8]; 3] = [
    &[0x2b, 6, 1, 5, 5, 7, 3, 1],
    &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3],
    &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x42, 4, 1],
];

/// Signing, agreeing on and encrypting keys: what a handshake needs at least one of.
const USES_OF_TLS: u8 = 0b1010_1000;
const SIGNS_CERTIFICATES: u8 = 0b0000_0100;
const SIGNS_LISTS: u8 = 0b0000_0010;

const NETSCAPE_SERVER: u8 = 0x40;
const NETSCAPE_TLS_AUTHORITY: u8 = 0x04;
const NETSCAPE_AUTHORITIES: u8 = 0x07;

fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    ring::default_provider()
        .signature_verification_algorithms
        .all
}

impl Signed {
    /// Reads the body that was signed, and goes on to what follows it.
    pub(super) fn of(der: &[u8]) -> Option<(Self, Reader<'_>)> {
        let mut whole = Reader(der);
        let mut outer = Reader(whole.value(SEQUENCE)?);
        let body = outer.whole()?;
        let algorithm = outer.value(SEQUENCE)?;
        let (unused, signature) = outer.value(BIT_STRING)?.split_first()?;
        if *unused != 0 || !outer.is_empty() || !whole.is_empty() {
            return None;
        }
        let signed = Self {
            body: range(der, body),
            algorithm: range(der, algorithm),
            signature: range(der, signature),
            is_consistent: true,
        };
        Some((signed, Reader(Reader(body).value(SEQUENCE)?)))
    }

    /// Takes down the algorithm as it was signed.
    pub(super) fn expect(&mut self, der: &[u8], algorithm: &[u8]) {
        self.is_consistent = der[self.algorithm.clone()] == *algorithm;
    }

    /// Whether `by` has signed it; `None`: that can't be said here.
    pub(super) fn is_by(&self, der: &[u8], by: &Certificate) -> Option<bool> {
        if !self.is_consistent {
            return Some(false);
        }
        let at = |range: &Range<usize>| &der[range.clone()];
        let fits = |known: &&&dyn SignatureVerificationAlgorithm| {
            known.public_key_alg_id().as_ref() == by.at(&by.key_algorithm)
                && known.signature_alg_id().as_ref() == at(&self.algorithm)
        };
        let known = algorithms().iter().find(fits)?;
        let key = by.at(&by.key);
        let verified = known.verify_signature(key, at(&self.body), at(&self.signature));
        Some(verified.is_ok())
    }
}

/// Where a part of `whole` is in it.
fn range(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}

impl Certificate {
    /// Reads a certificate; `None` if it is none, or has what is not read here.
    pub(super) fn of(certificate: CertificateDer<'static>) -> Option<Self> {
        let der: &[u8] = &certificate;
        let (mut signed, mut body) = Signed::of(der)?;
        let version = body.optional(constructed(0))?;
        let version = version.map(|version| Reader(version).value(INTEGER));
        let is_version_1 = matches!(version, None | Some(Some([0])));
        let serial = range(der, minimal(body.value(INTEGER)?)?);
        signed.expect(der, body.value(SEQUENCE)?);
        let issuer = Name::of(body.value(SEQUENCE)?)?;
        let mut validity = Reader(body.value(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = Name::of(body.value(SEQUENCE)?)?;
        let key_info = body.whole()?;
        let mut key = Reader(Reader(key_info).value(SEQUENCE)?);
        let key_algorithm = range(der, key.value(SEQUENCE)?);
        let (_, key) = key.value(BIT_STRING)?.split_first()?;
        let key = range(der, key);
        body.optional(primitive(1))?;
        body.optional(primitive(2))?;
        let extensions = match body.optional(constructed(3))? {
            Some(list) => Extensions::of(der, Reader(list).value(SEQUENCE)?)?,
            None => Extensions::default(),
        };
        if !body.is_empty() {
            return None;
        }
        Some(Self {
            signed,
            subject,
            issuer,
            serial,
            not_before,
            not_after,
            key_info: range(der, key_info),
            key_algorithm,
            key,
            is_version_1,
            extensions,
            der: certificate,
        })
    }

    pub(super) fn at(&self, range: &Range<usize>) -> &[u8] {
        &self.der[range.clone()]
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether it seems to have signed itself.
    pub(super) fn is_self_signed(&self) -> bool {
        self.is_self_issued()
            && self.has_authority(&self.extensions.authority)
            && self.could_sign(self)
    }

    /// Whether it seems to have issued `other`, by names and kinds of keys.
    pub(super) fn may_have_issued(&self, other: &Self) -> bool {
        self.subject == other.issuer
            && !self.extensions.is_invalid
            && !other.extensions.is_invalid
            && self.has_authority(&other.extensions.authority)
            && self.could_sign(other)
    }

    /// Whether it is the one that an authority's name means.
    pub(super) fn has_authority(&self, authority: &Authority) -> bool {
        let key_id = self.extensions.key_id.as_ref();
        let same_key = match (key_id, &authority.key_id) {
            (Some(key_id), Some(wanted)) => self.at(key_id) == wanted,
            _ => true,
        };
        let same_serial = authority.serial.as_ref();
        same_key
            && same_serial.is_none_or(|serial| self.at(&self.serial) == serial)
            && authority
                .issuer
                .as_ref()
                .is_none_or(|issuer| self.issuer == *issuer)
    }

    fn could_sign(&self, other: &Self) -> bool {
        let (key, signature) = (self.family(), other.signature_family());
        key == signature || (key == Family::Rsa && signature == Family::RsaPss)
    }

    fn family(&self) -> Family {
        match Reader(self.at(&self.key_algorithm)).value(OBJECT_ID) {
            Some([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]) => Family::Rsa,
            Some([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10]) => Family::RsaPss,
            Some([0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]) => Family::Ec,
            Some([0x2a, 0x86, 0x48, 0xce, 0x38, ..]) => Family::Dsa,
            Some([0x2b, 0x65, 112]) => Family::Ed25519,
            Some([0x2b, 0x65, 113]) => Family::Ed448,
            _ => Family::Unknown,
        }
    }

    fn signature_family(&self) -> Family {
        match Reader(self.at(&self.signed.algorithm)).value(OBJECT_ID) {
            Some([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10]) => Family::RsaPss,
            Some([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, _]) => Family::Rsa,
            Some([0x2a, 0x86, 0x48, 0xce, 0x3d, 4, ..]) => Family::Ec,
            Some([0x2a, 0x86, 0x48, 0xce, 0x38, ..]) => Family::Dsa,
            Some([0x2b, 0x65, 112]) => Family::Ed25519,
            Some([0x2b, 0x65, 113]) => Family::Ed448,
            _ => Family::Unknown,
        }
    }

    /// Whether signatures of its key can be verified here, and nobody takes it for too weak.
    pub(super) fn has_usual_key(&self) -> bool {
        let algorithm = self.at(&self.key_algorithm);
        let key = self.at(&self.key);
        let is_known = algorithms()
            .iter()
            .any(|known| known.public_key_alg_id().as_ref() == algorithm);
        is_known
            && match self.family() {
                // A point that is compressed is not read here.
                Family::Ec => key.first() == Some(&4),
                Family::Rsa => is_usual_modulus(key),
                _ => true,
            }
    }

    /// Whether its signature is of a kind that can be verified here.
    pub(super) fn has_usual_signature(&self) -> bool {
        let algorithm = self.at(&self.signed.algorithm);
        algorithms()
            .iter()
            .any(|known| known.signature_alg_id().as_ref() == algorithm)
    }

    /// Whether it says all that an authority's, or a server's, says since version 3.
    pub(super) fn is_plain(&self, is_leaf: bool) -> bool {
        !self.is_version_1
            && !self.extensions.is_rare
            && !self.extensions.is_invalid
            && self.extensions.netscape_type.is_none()
            && self.extensions.constraints.is_none()
            && self.is_self_issued() == self.is_self_signed()
            && self.not_before < self.not_after
            && (is_leaf || self.is_authority())
            && (self.is_authority() || self.path_len().is_none())
    }

    pub(super) fn rank(&self) -> Rank {
        let extensions = &self.extensions;
        if extensions.is_invalid || !extensions.allows(SIGNS_CERTIFICATES) {
            return Rank::No;
        }
        match (&extensions.basic, extensions.netscape_type) {
            (Some(basic), _) if basic.is_authority => Rank::Authority,
            (Some(_), _) => Rank::No,
            _ if self.is_version_1 && self.is_self_signed() => Rank::ByCustom,
            _ if extensions.key_usage.is_some() => Rank::ByCustom,
            (_, Some(kinds)) if kinds & NETSCAPE_AUTHORITIES != 0 => Rank::ByNetscape {
                tls: kinds & NETSCAPE_TLS_AUTHORITY != 0,
            },
            _ => Rank::No,
        }
    }

    /// Whether its key is meant for what it does: `as_authority` of servers, or as one.
    pub(super) fn suits(&self, as_authority: bool) -> bool {
        let extensions = &self.extensions;
        // OpenSSL passes over the purposes of those that it can't read.
        if extensions.is_invalid {
            return true;
        }
        if extensions.serves == Some(false) {
            return false;
        }
        if as_authority {
            return !matches!(self.rank(), Rank::No | Rank::ByNetscape { tls: false });
        }
        let is_server = |kinds| kinds & NETSCAPE_SERVER != 0;
        extensions.netscape_type.is_none_or(is_server) && extensions.allows(USES_OF_TLS)
    }

    pub(super) fn may_sign_certificates(&self) -> bool {
        self.extensions.allows(SIGNS_CERTIFICATES)
    }

    pub(super) fn may_sign_lists(&self) -> bool {
        self.extensions.allows(SIGNS_LISTS)
    }

    pub(super) fn is_authority(&self) -> bool {
        self.extensions
            .basic
            .as_ref()
            .is_some_and(|basic| basic.is_authority)
    }

    pub(super) fn path_len(&self) -> Option<u64> {
        self.extensions
            .basic
            .as_ref()
            .and_then(|basic| basic.path_len)
    }

    pub(super) fn alt_names(&self) -> Vec<(u8, &[u8])> {
        let names = self.extensions.alt_names.as_ref();
        names
            .and_then(|names| general_names(self.at(names)))
            .unwrap_or_default()
    }
}

/// The bytes of a number, if none is superfluous.
fn minimal(number: &[u8]) -> Option<&[u8]> {
    match number {
        [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => None,
        _ => Some(number),
    }
}

/// From 2,048 to 8,192 bits.
fn is_usual_modulus(key: &[u8]) -> bool {
    let modulus = Reader(key).value(SEQUENCE);
    let modulus = modulus.and_then(|numbers| Reader(numbers).value(INTEGER));
    modulus.is_some_and(|number| {
        let zeros = number.iter().take_while(|&&byte| byte == 0).count();
        let number = &number[zeros..];
        (256..=1024).contains(&number.len()) && number[0] & 0x80 != 0
    })
}

impl Extensions {
    fn of(der: &[u8], list: &[u8]) -> Option<Self> {
        let mut all = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        let mut list = Reader(list);
        while !list.is_empty() {
            let (id, is_critical, value) = extension(&mut list)?;
            let is_known = all.read(der, id, value);
            if is_known.is_none() || (is_known == Some(true) && seen.contains(&id)) {
                all.is_invalid = true;
            }
            seen.push(id);
            let is_supported = is_known != Some(false)
                || [
                    POLICIES,
                    POLICY_MAPPINGS,
                    POLICY_CONSTRAINTS,
                    ANY_POLICY,
                    NO_OCSP_CHECK,
                ]
                .contains(&id);
            all.is_unhandled |= is_critical && !is_supported;
            let is_common = [BASIC, KEY_USAGE, PURPOSES, ALT_NAMES, NAME_CONSTRAINTS].contains(&id);
            all.is_rare |= is_critical && !is_common;
            all.is_rare |= [POLICY_MAPPINGS, POLICY_CONSTRAINTS, ANY_POLICY].contains(&id);
            // Versions of OpenSSL differ.
            all.is_unusual |= is_critical && [KEY_ID, AUTHORITY_KEY_ID].contains(&id);
        }
        Some(all)
    }

    /// `Some(false)`: it is none of those that are read; `None`: it is malformed.
    fn read(&mut self, der: &[u8], id: &[u8], bytes: &[u8]) -> Option<bool> {
        let mut value = Reader(bytes);
        match id {
            KEY_ID => self.key_id = Some(range(der, value.value(OCTET_STRING)?)),
            AUTHORITY_KEY_ID => self.authority = Authority::of(bytes)?,
            KEY_USAGE => {
                let bits = bits(value.value(BIT_STRING)?)?;
                self.key_usage = Some(bits);
                if bits == [0, 0] {
                    return None;
                }
            }
            NETSCAPE_TYPE => self.netscape_type = Some(bits(value.value(BIT_STRING)?)?[0]),
            BASIC => self.basic = Some(Basic::of(value.value(SEQUENCE)?)?),
            PURPOSES => {
                let mut purposes = Reader(value.value(SEQUENCE)?);
                let mut all = Vec::new();
                while !purposes.is_empty() {
                    all.push(purposes.value(OBJECT_ID)?);
                }
                let serves = SERVER_PURPOSES.iter().any(|purpose| all.contains(purpose));
                self.serves = Some(serves);
                self.is_rare |= serves && !all.contains(&SERVER_PURPOSES[0]);
            }
            ALT_NAMES => {
                let names = value.value(SEQUENCE)?;
                general_names(names)?;
                self.alt_names = Some(range(der, names));
            }
            NAME_CONSTRAINTS => match Constraints::of(bytes)? {
                Some(constraints) => self.constraints = Some(constraints),
                None => self.is_unusual = true,
            },
            CRL_PLACES => {
                let mut places = Reader(value.value(SEQUENCE)?);
                while !places.is_empty() {
                    places.value(SEQUENCE)?;
                }
            }
            _ if UNUSUAL.contains(&id) => self.is_unusual = true,
            _ => return Some(false),
        }
        Some(true)
    }

    fn allows(&self, uses: u8) -> bool {
        self.key_usage.is_none_or(|[first, _]| first & uses != 0)
    }
}

/// Its id, whether it must be understood, and its value.
pub(super) fn extension<'a>(list: &mut Reader<'a>) -> Option<(&'a [u8], bool, &'a [u8])> {
    let mut extension = Reader(list.value(SEQUENCE)?);
    let id = extension.value(OBJECT_ID)?;
    let is_critical = match extension.optional(BOOLEAN)? {
        Some([value]) => *value != 0,
        Some(_) => return None,
        None => false,
    };
    Some((id, is_critical, extension.value(OCTET_STRING)?))
}

/// The first two bytes of a string of bits, without those that are not used.
fn bits(string: &[u8]) -> Option<[u8; 2]> {
    let (&unused, bytes) = string.split_first()?;
    if unused > 7 {
        return None;
    }
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last &= 0xff << unused;
    }
    let byte = |at| bytes.get(at).copied().unwrap_or(0);
    Some([byte(0), byte(1)])
}

impl Basic {
    fn of(value: &[u8]) -> Option<Self> {
        let mut value = Reader(value);
        let is_authority = match value.optional(BOOLEAN)? {
            Some([byte]) => *byte != 0,
            Some(_) => return None,
            None => false,
        };
        let path_len = match value.optional(INTEGER)? {
            None => None,
            // Nobody has a negative length.
            Some([] | [0x80..=0xff, ..]) => return None,
            Some(bytes) => Some(bytes.iter().fold(0_u64, |number, &byte| {
                number.saturating_mul(256).saturating_add(u64::from(byte))
            })),
        };
        Some(Self {
            is_authority,
            path_len,
        })
    }
}

impl Authority {
    pub(super) fn of(value: &[u8]) -> Option<Self> {
        let mut value = Reader(Reader(value).value(SEQUENCE)?);
        let key_id = value.optional(primitive(0))?;
        let names = general_names(value.optional(constructed(1))?.unwrap_or_default())?;
        let serial = value.optional(primitive(2))?;
        // The first name of a directory counts.
        let issuer = names.iter().find(|(tag, _)| *tag == constructed(4));
        let issuer = match issuer {
            Some((_, name)) => Some(Name::of(name)?),
            None => None,
        };
        Some(Self {
            key_id: key_id.map(<[u8]>::to_vec),
            serial: serial.map(<[u8]>::to_vec),
            issuer,
        })
    }
}
