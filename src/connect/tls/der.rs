//! What is needed of an X.509 certificate beside its verification: whose it is, who issued it, and when it is valid
//! ([RFC 5280, section 4.1](https://www.rfc-editor.org/rfc/rfc5280#section-4.1)).

/// The outline of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    pub(super) issuer: &'a [u8],
    pub(super) subject: &'a [u8],
    /// Seconds since 1970.
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// Which key this is, and which key signed it, as certificates name keys.
    key: Option<&'a [u8]>,
    signed_by: Option<&'a [u8]>,
    /// The first eight of the uses that its key is limited to.
    key_usage: Option<u8>,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const EXTENSIONS: u8 = 0xa3;
const KEY_ID: u8 = 0x80;

/// Of 2.5.29, where the extensions are.
const SUBJECT_KEY_ID: [u8; 3] = [0x55, 0x1d, 14];
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 15];
const AUTHORITY_KEY_ID: [u8; 3] = [0x55, 0x1d, 35];

/// Signing, agreeing on and encrypting keys: what a handshake needs at least one of.
const USES_OF_TLS: u8 = 0b1010_1000;

impl<'a> Outline<'a> {
    /// Reads a certificate's outline; `None` if it is none.
    pub(super) fn of(certificate: &'a [u8]) -> Option<Self> {
        let mut outer = Reader(certificate);
        let mut certificate = Reader(outer.value(SEQUENCE)?);
        let mut body = Reader(certificate.value(SEQUENCE)?);
        if body.0.first() == Some(&VERSION) {
            body.any()?;
        }
        body.value(INTEGER)?;
        body.value(SEQUENCE)?;
        let issuer = body.value(SEQUENCE)?;
        let mut validity = Reader(body.value(SEQUENCE)?);
        let not_before = validity.time()?;
        let not_after = validity.time()?;
        let subject = body.value(SEQUENCE)?;
        let mut outline = Self {
            issuer,
            subject,
            not_before,
            not_after,
            key: None,
            signed_by: None,
            key_usage: None,
        };
        while let Some((tag, value)) = body.any() {
            if tag == EXTENSIONS {
                outline.read_extensions(value)?;
            }
        }
        Some(outline)
    }

    fn read_extensions(&mut self, extensions: &'a [u8]) -> Option<()> {
        let mut list = Reader(Reader(extensions).value(SEQUENCE)?);
        while let Some((SEQUENCE, extension)) = list.any() {
            let mut extension = Reader(extension);
            let id = extension.value(OBJECT_ID)?;
            let (mut tag, mut value) = extension.any()?;
            if tag != OCTET_STRING {
                // Whether it is critical.
                (tag, value) = extension.any()?;
            }
            let mut value = Reader((tag == OCTET_STRING).then_some(value)?);
            if id == SUBJECT_KEY_ID {
                self.key = value.value(OCTET_STRING);
            } else if id == AUTHORITY_KEY_ID {
                self.signed_by = Reader(value.value(SEQUENCE)?).value(KEY_ID);
            } else if id == KEY_USAGE {
                self.key_usage = value.value(BIT_STRING)?.get(1).copied();
            }
        }
        Some(())
    }

    /// Whether it may have issued `other`, by names of subjects and keys.
    pub(super) fn may_have_issued(&self, other: &Outline<'_>) -> bool {
        let same_key = match (self.key, other.signed_by) {
            (Some(key), Some(signed_by)) => key == signed_by,
            _ => true,
        };
        self.subject == other.issuer && same_key
    }

    /// Whether its key may be used in a handshake.
    pub(super) fn may_shake_hands(&self) -> bool {
        self.key_usage.is_none_or(|uses| uses & USES_OF_TLS != 0)
    }

    /// Whether it names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element, whatever it is.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let len = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                bytes
                    .iter()
                    .fold(0, |len, &byte| len << 8 | usize::from(byte))
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, value))
    }

    fn value(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.any()
            .and_then(|(tag, value)| (tag == expected).then_some(value))
    }

    fn time(&mut self) -> Option<u64> {
        let (tag, text) = self.any()?;
        let number = |at: usize, len: usize| -> Option<u64> {
            std::str::from_utf8(text.get(at..at + len)?)
                .ok()?
                .parse()
                .ok()
        };
        let (year, at) = match tag {
            UTC_TIME => {
                let year = number(0, 2)?;
                (year + if year < 50 { 2000 } else { 1900 }, 2)
            }
            GENERALIZED_TIME => (number(0, 4)?, 4),
            _ => return None,
        };
        let (month, day) = (number(at, 2)?, number(at + 2, 2)?);
        let (hour, minute, second) = (number(at + 4, 2)?, number(at + 6, 2)?, number(at + 8, 2)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let days = days_since_1970(year, month, day)?;
        Some(((days * 24 + hour) * 60 + minute) * 60 + second)
    }
}

/// Of the Gregorian calendar; `None` before 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag, 0x82];
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes
    }

    #[test]
    fn times_of_both_kinds_are_read() {
        let time = |tag, text: &str| Reader(&element(tag, text.as_bytes())).time();
        assert_eq!(time(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, "240229120000Z"), Some(1_709_208_000));
        assert_eq!(
            time(GENERALIZED_TIME, "20500101000000Z"),
            Some(2_524_608_000)
        );
        assert_eq!(time(GENERALIZED_TIME, "2050"), None);
        assert_eq!(time(UTC_TIME, "241301000000Z"), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_outline() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..48)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    [SEQUENCE, INTEGER, 0x80, 0x84, 0, 1, 40, 200][(state % 8) as usize]
                })
                .collect();
            assert_eq!(Outline::of(&bytes), None);
        }
    }
}
