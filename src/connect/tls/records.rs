//! TLS records: those that carry the caller's bytes to the kernel, and those that begin in what a peer sends.

use bytes::Buf;

/// The most that one record holds.
pub(super) const RECORD: usize = 16 * 1024;

/// How many records are handed to the kernel at once: a system call is dear beside sealing one.
const BATCH: usize = 8;

/// A record's header: its kind, a version, and how much follows.
const RECORD_HEADER: usize = 5;

/// Records of the caller's bytes on their way to the kernel.
#[derive(Default)]
pub(super) struct Unreported {
    /// Of each record the caller's bytes, and where it ends in what is sent.
    records: [(u16, u32); BATCH],
    /// How many there are, and how many of them are reported.
    count: usize,
    reported: usize,
    /// What the kernel has taken since the first of them was sealed.
    pub(super) sent: usize,
}

impl Unreported {
    pub(super) fn is_empty(&self) -> bool {
        self.reported == self.count
    }

    /// As many as are handed over at once.
    pub(super) fn is_full(&self) -> bool {
        self.count == BATCH
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A record of so many bytes was sealed; `end`: what is to be sent with it and all before it.
    pub(super) fn push(&mut self, bytes: usize, end: usize) {
        self.records[self.count] = (bytes as u16, end as u32);
        self.count += 1;
    }

    /// The caller's bytes in records that are in the kernel, once; `all`: that has everything.
    pub(super) fn take_sent(&mut self, all: bool) -> usize {
        let mut bytes = 0;
        while self.reported < self.count {
            let (of_record, end) = self.records[self.reported];
            if !all && end as usize > self.sent {
                break;
            }
            bytes += usize::from(of_record);
            self.reported += 1;
        }
        bytes
    }
}

/// Finds the records in what a peer sends.
#[derive(Default)]
pub(super) struct Records {
    /// Bytes of the record under way that are still to come.
    left: usize,
    /// Its header, as far as it has come.
    header: [u8; RECORD_HEADER],
    known: usize,
}

impl Records {
    /// How many begin in `bytes`.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut count = 0;
        loop {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes.advance(skipped);
            let Some((&byte, rest)) = bytes.split_first() else {
                return count;
            };
            if self.known == 0 {
                count += 1;
            }
            self.header[self.known] = byte;
            self.known += 1;
            bytes = rest;
            if self.known == RECORD_HEADER {
                self.known = 0;
                self.left = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_reported_once_and_only_when_the_kernel_has_it_whole() {
        let mut unreported = Unreported::default();
        unreported.push(100, 122);
        unreported.push(50, 194);
        unreported.push(7, 223);
        let mut reported = Vec::new();
        for _ in 0..223 {
            unreported.sent += 1;
            let bytes = unreported.take_sent(false);
            if bytes > 0 {
                reported.push((unreported.sent, bytes));
            }
        }
        assert_eq!(reported, [(122, 100), (194, 50), (223, 7)]);
        assert!(unreported.is_empty());
    }

    #[test]
    fn all_is_reported_when_nothing_waits_any_more() {
        let mut unreported = Unreported::default();
        unreported.push(100, 122);
        unreported.push(50, usize::MAX);
        assert_eq!(unreported.take_sent(true), 150);
        assert_eq!(unreported.take_sent(true), 0);
    }

    #[test]
    fn a_record_is_counted_where_it_begins_however_it_is_cut() {
        let bytes = [[23, 3, 3, 0, 2, 7, 7].as_slice(), &[21, 3, 3, 0, 0]].concat();
        for first in 0..bytes.len() {
            let mut records = Records::default();
            let (before, after) = bytes.split_at(first);
            let begun = usize::from(first > 0) + usize::from(first > 7);
            assert_eq!(records.count(before), begun, "in {first} bytes");
            assert_eq!(records.count(after), 2 - begun, "after {first} bytes");
        }
    }
}
