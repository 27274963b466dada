//! Distinguished names as OpenSSL compares them, and the names that authorities are limited to
//! ([RFC 5280, sections 7.1 and 4.2.1.10](https://www.rfc-editor.org/rfc/rfc5280#section-7.1)).

use super::der::{self, constructed, primitive, Reader, OBJECT_ID, SEQUENCE, SET, UTF8_STRING};

/// A name without what makes no difference: string types, letter case, spaces. A name that begins with another one's is within
/// its subtree.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(super) struct Name(Vec<u8>);

/// Of `commonName` and of PKCS #9's `emailAddress`.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];

impl Name {
    /// Reads the sets of a name; `None` if they make none.
    pub(super) fn of(sets: &[u8]) -> Option<Self> {
        let mut sets = Reader(sets);
        let mut name = Vec::new();
        while !sets.is_empty() {
            let mut attributes = Reader(sets.value(SET)?);
            let mut set: Vec<Vec<u8>> = Vec::new();
            while !attributes.is_empty() {
                let mut attribute = Reader(attributes.value(SEQUENCE)?);
                let mut canonical = Vec::new();
                der::write(&mut canonical, OBJECT_ID, attribute.value(OBJECT_ID)?);
                let (tag, text) = attribute.any()?;
                match folded(tag, text)? {
                    Some(text) => der::write(&mut canonical, UTF8_STRING, text.as_bytes()),
                    None => der::write(&mut canonical, tag, text),
                }
                let mut entry = Vec::new();
                der::write(&mut entry, SEQUENCE, &canonical);
                set.push(entry);
            }
            set.sort();
            der::write(&mut name, SET, &set.concat());
        }
        Some(Self(name))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The texts of its common names, in lower case.
    pub(super) fn common_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let mut sets = Reader(&self.0);
        while let Some(set) = sets.value(SET) {
            let mut entries = Reader(set);
            while let Some(mut entry) = entries.value(SEQUENCE).map(Reader) {
                if entry.value(OBJECT_ID) == Some(COMMON_NAME) {
                    let text = entry.value(UTF8_STRING);
                    names.extend(text.and_then(|text| std::str::from_utf8(text).ok()));
                }
            }
        }
        names
    }

    fn has(&self, attribute: &[u8]) -> bool {
        let mut sets = Reader(&self.0);
        while let Some(set) = sets.value(SET) {
            let mut entries = Reader(set);
            while let Some(entry) = entries.value(SEQUENCE) {
                if Reader(entry).value(OBJECT_ID) == Some(attribute) {
                    return true;
                }
            }
        }
        false
    }
}

/// A text in lower case, without outer spaces and with single ones. `Some(None)`: it is compared as it is.
fn folded(tag: u8, text: &[u8]) -> Option<Option<String>> {
    let text: String = match tag {
        UTF8_STRING => std::str::from_utf8(text).ok()?.to_owned(),
        // Printable, teletex, IA5 and visible strings: for OpenSSL, a byte of each is a character.
        0x13 | 0x14 | 0x16 | 0x1a => text.iter().copied().map(char::from).collect(),
        // BMP and universal strings.
        0x1e => characters::<2>(text)?,
        0x1c => characters::<4>(text)?,
        _ => return Some(None),
    };
    let is_space = |c: char| matches!(c, ' ' | '\t'..='\r');
    let words: Vec<&str> = text
        .split(is_space)
        .filter(|word| !word.is_empty())
        .collect();
    Some(Some(words.join(" ").to_ascii_lowercase()))
}

fn characters<const WIDTH: usize>(text: &[u8]) -> Option<String> {
    let chunks = text.chunks_exact(WIDTH);
    if !chunks.remainder().is_empty() {
        return None;
    }
    chunks
        .map(|bytes| {
            let number = bytes.iter().fold(0, |n, &byte| n << 8 | u32::from(byte));
            char::from_u32(number)
        })
        .collect()
}

pub(super) const EMAIL: u8 = primitive(1);
pub(super) const DNS: u8 = primitive(2);
const IP: u8 = primitive(7);
const DIRECTORY: u8 = constructed(4);

/// The tag and value of each of some general names; `None` if they are malformed.
pub(super) fn general_names(names: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut names = Reader(names);
    let mut all = Vec::new();
    while !names.is_empty() {
        all.push(general_name(&mut names)?);
    }
    Some(all)
}

fn general_name<'a>(names: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let (tag, value) = names.any()?;
    match tag {
        DIRECTORY => Some((tag, Reader(value).value(SEQUENCE)?)),
        // Other names, X.400 addresses and those of EDI parties have elements in them.
        0xa0 | 0xa3 | 0xa5 => Some((tag, value)),
        EMAIL | DNS | 0x86..=0x88 => Some((tag, value)),
        _ => None,
    }
}

/// What an authority may certify.
#[derive(Default, Debug)]
pub(super) struct Constraints {
    permitted: Vec<(u8, Vec<u8>)>,
    excluded: Vec<(u8, Vec<u8>)>,
}

/// How a name stands to constraints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Fine,
    NotPermitted,
    Excluded,
    /// It is of a kind that is not compared here.
    Unknown,
}

impl Constraints {
    /// Reads the extension's value. `Some(None)`: it has what is not understood here.
    pub(super) fn of(value: &[u8]) -> Option<Option<Self>> {
        let mut list = Reader(Reader(value).value(SEQUENCE)?);
        let Some(permitted) = subtrees(list.optional(constructed(0))?)? else {
            return Some(None);
        };
        let Some(excluded) = subtrees(list.optional(constructed(1))?)? else {
            return Some(None);
        };
        Some(Some(Self {
            permitted,
            excluded,
        }))
    }

    /// How a certificate's names stand to them.
    pub(super) fn judge(&self, subject: &Name, others: &[(u8, &[u8])], is_leaf: bool) -> Standing {
        let mut standing = Standing::Fine;
        if !subject.is_empty() {
            standing = self.judge_one(DIRECTORY, |base| match Name::of(base) {
                Some(base) => Some(subject.0.starts_with(&base.0)),
                None => None,
            });
            if subject.has(EMAIL_ADDRESS) {
                standing = or(standing, || self.judge_one(EMAIL, |_| None));
            }
        }
        for &(tag, name) in others {
            standing = or(standing, || {
                self.judge_one(tag, |base| is_within(tag, name, base))
            });
        }
        // Who has no other name is called by the common one.
        let is_called = is_leaf && others.iter().all(|&(tag, _)| tag != DNS);
        if is_called && subject.has(COMMON_NAME) {
            standing = or(standing, || self.judge_one(DNS, |_| None));
        }
        standing
    }

    fn judge_one(&self, tag: u8, within: impl Fn(&[u8]) -> Option<bool>) -> Standing {
        let of = |subtrees: &[(u8, Vec<u8>)]| -> Vec<Option<bool>> {
            let same = subtrees.iter().filter(|(kind, _)| *kind == tag);
            same.map(|(_, base)| within(base)).collect()
        };
        let (permitted, excluded) = (of(&self.permitted), of(&self.excluded));
        if permitted.contains(&None) || excluded.contains(&None) {
            Standing::Unknown
        } else if !permitted.is_empty() && !permitted.contains(&Some(true)) {
            Standing::NotPermitted
        } else if excluded.contains(&Some(true)) {
            Standing::Excluded
        } else {
            Standing::Fine
        }
    }
}

/// The first fault counts.
fn or(standing: Standing, next: impl FnOnce() -> Standing) -> Standing {
    match standing {
        Standing::Fine => next(),
        fault => fault,
    }
}

#[allow(
    clippy::type_complexity,
    reason = "malformed, not understood, or a list"
)]
fn subtrees(list: Option<&[u8]>) -> Option<Option<Vec<(u8, Vec<u8>)>>> {
    let mut list = Reader(list.unwrap_or_default());
    let mut all = Vec::new();
    let mut is_plain = true;
    while !list.is_empty() {
        let mut subtree = Reader(list.value(SEQUENCE)?);
        let (tag, base) = general_name(&mut subtree)?;
        all.push((tag, base.to_vec()));
        // Minimum and maximum are for nobody (RFC 5280).
        is_plain &= subtree.is_empty();
    }
    Some(is_plain.then_some(all))
}

fn is_within(tag: u8, name: &[u8], base: &[u8]) -> Option<bool> {
    match tag {
        DNS => Some(is_subdomain(name, base)),
        IP => is_in_network(name, base),
        DIRECTORY => Some(Name::of(name)?.0.starts_with(&Name::of(base)?.0)),
        _ => None,
    }
}

fn is_subdomain(name: &[u8], base: &[u8]) -> bool {
    let Some(at) = name.len().checked_sub(base.len()) else {
        return false;
    };
    let (before, end) = name.split_at(at);
    let is_bounded =
        before.is_empty() || base.first() == Some(&b'.') || before.last() == Some(&b'.');
    base.is_empty() || (is_bounded && end.eq_ignore_ascii_case(base))
}

fn is_in_network(address: &[u8], network: &[u8]) -> Option<bool> {
    if !matches!(address.len(), 4 | 16) || !matches!(network.len(), 8 | 32) {
        return None;
    }
    let (net, mask) = network.split_at(network.len() / 2);
    if net.len() != address.len() {
        return Some(false);
    }
    let mut bytes = address.iter().zip(net).zip(mask);
    Some(bytes.all(|((a, n), m)| a & m == n & m))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(parts: &[(&[u8], u8, &[u8])]) -> Name {
        let mut sets = Vec::new();
        for (id, tag, text) in parts {
            let mut attribute = Vec::new();
            der::write(&mut attribute, OBJECT_ID, id);
            der::write(&mut attribute, *tag, text);
            let mut set = Vec::new();
            der::write(&mut set, SEQUENCE, &attribute);
            der::write(&mut sets, SET, &set);
        }
        Name::of(&sets).unwrap()
    }

    #[test]
    fn names_are_equal_in_any_string_type_case_and_spacing() {
        let expected = name(&[(COMMON_NAME, UTF8_STRING, b"a root")]);
        let same: [(u8, &[u8]); 5] = [
            (0x13, b"A Root"),
            (0x16, b"  a \t ROOT "),
            (0x14, b"A  root"),
            (0x1e, b"\0a\0 \0R\0o\0o\0t"),
            (0x1c, b"\0\0\0a\0\0\0 \0\0\0R\0\0\0o\0\0\0o\0\0\0t"),
        ];
        for (tag, text) in same {
            assert_eq!(name(&[(COMMON_NAME, tag, text)]), expected, "{tag:x}");
        }
        assert_ne!(name(&[(COMMON_NAME, UTF8_STRING, b"aroot")]), expected);
        assert_ne!(name(&[(EMAIL_ADDRESS, UTF8_STRING, b"a root")]), expected);
        // A string of digits is compared as it is.
        assert_ne!(
            name(&[(COMMON_NAME, 0x12, b"1")]),
            name(&[(COMMON_NAME, UTF8_STRING, b"1")])
        );
    }

    #[test]
    fn domains_and_networks_contain_what_openssl_says() {
        for (name, base, expected) in [
            ("a.example.org", "example.org", true),
            ("EXAMPLE.org", "example.ORG", true),
            ("badexample.org", "example.org", false),
            ("a.example.org", ".example.org", true),
            ("example.org", ".example.org", false),
            ("anything", "", true),
        ] {
            assert_eq!(
                is_subdomain(name.as_bytes(), base.as_bytes()),
                expected,
                "{name} {base}"
            );
        }
        let network = [127, 0, 0, 0, 255, 0, 0, 0];
        assert_eq!(is_in_network(&[127, 9, 9, 9], &network), Some(true));
        assert_eq!(is_in_network(&[128, 0, 0, 1], &network), Some(false));
        assert_eq!(is_in_network(&[0; 16], &network), Some(false));
        assert_eq!(is_in_network(&[0; 5], &network), None);
    }
}
