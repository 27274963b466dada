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
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

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
        Some(Self {
            issuer,
            subject,
            not_before,
            not_after,
        })
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
