//! The elements of DER: a tag, a length, a value (X.690).

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// A tag of the context's own, with one value.
pub(super) const fn primitive(number: u8) -> u8 {
    0x80 | number
}

/// A tag of the context's own, with elements in it.
pub(super) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

/// Reads elements one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Option<(u8, &'a [u8])> {
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
        // Tags of more than one byte occur nowhere in certificates.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The value of the next element, which has this tag.
    pub(super) fn value(&mut self, expected: u8) -> Option<&'a [u8]> {
        self.any()
            .and_then(|(tag, value)| (tag == expected).then_some(value))
    }

    /// The value of the next element if it has this tag; else it stays the next one.
    pub(super) fn optional(&mut self, expected: u8) -> Option<Option<&'a [u8]>> {
        match self.0.first() {
            Some(&tag) if tag == expected => self.any().map(|(_, value)| Some(value)),
            _ => Some(None),
        }
    }

    /// The next element with its tag and length.
    pub(super) fn whole(&mut self) -> Option<&'a [u8]> {
        let before = self.0;
        self.any()?;
        Some(&before[..before.len() - self.0.len()])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A time in seconds since 1970. One without seconds or without a `Z` is none.
    pub(super) fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.any()?;
        match tag {
            UTC_TIME | GENERALIZED_TIME => seconds(tag, text),
            _ => None,
        }
    }
}

fn seconds(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    let year_digits = if tag == UTC_TIME { 2 } else { 4 };
    if digits.len() != year_digits + 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: usize, len: usize| {
        digits[at..at + len]
            .iter()
            .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let year = match number(0, year_digits) {
        year @ 0..=49 if tag == UTC_TIME => 2000 + year,
        year if tag == UTC_TIME => 1900 + year,
        year => year,
    };
    let at = |field: usize| number(year_digits + 2 * field, 2);
    let (month, day) = (at(0), at(1));
    let (hour, minute, second) = (at(2), at(3), at(4));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

/// Appends an element.
pub(super) fn write(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let len = value.len();
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let skipped = bytes.iter().take_while(|&&byte| byte == 0).count();
        out.push(0x80 | (bytes.len() - skipped) as u8);
        out.extend(&bytes[skipped..]);
    }
    out.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_kinds_are_read() {
        let time = |tag, text: &str| {
            let mut bytes = Vec::new();
            write(&mut bytes, tag, text.as_bytes());
            Reader(&bytes).time()
        };
        let at = Some;
        assert_eq!(time(UTC_TIME, "700101000000Z"), at(0));
        assert_eq!(time(UTC_TIME, "500101000000Z"), at(-631_152_000));
        assert_eq!(time(UTC_TIME, "240229120000Z"), at(1_709_208_000));
        assert_eq!(time(GENERALIZED_TIME, "20500101000000Z"), at(2_524_608_000));
        for malformed in [
            "2050",
            "20500101000000",
            "20500101000000.5Z",
            "20501301000000Z",
        ] {
            assert_eq!(time(GENERALIZED_TIME, malformed), None, "{malformed}");
        }
        assert_eq!(time(UTC_TIME, "230229000000Z"), None);
        assert_eq!(time(INTEGER, "700101000000Z"), None);
    }

    #[test]
    fn what_was_written_is_read() {
        for len in [0, 1, 127, 128, 255, 256, 70_000] {
            let value = vec![7; len];
            let mut bytes = Vec::new();
            write(&mut bytes, OCTET_STRING, &value);
            assert_eq!(Reader(&bytes).value(OCTET_STRING), Some(&value[..]));
        }
    }
}
