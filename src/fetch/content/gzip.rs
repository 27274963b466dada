//! gzip: what is around deflate.

use std::io;

use flate2::{Crc, Decompress};

use super::inflate::{inflate, undecodable};

/// gzip (RFC 1952): a header, deflate without one, and a footer that says what it must have come to.
pub struct Gzip {
    part: GzipPart,
    inner: Decompress,
    crc: Crc,
    /// Bytes of the header's or the footer's numbers that have come.
    number: [u8; 8],
    filled: usize,
    flags: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum GzipPart {
    /// Ten bytes: magic, method, flags, time and others.
    Fixed,
    ExtraLength,
    /// So many bytes of the extra field are to come.
    Extra(u16),
    Name,
    Comment,
    HeaderCrc,
    Body,
    Footer,
    Done,
}

pub const FIXED: usize = 10;
pub const HAS_CRC: u8 = 2;
pub const HAS_EXTRA: u8 = 4;
pub const HAS_NAME: u8 = 8;
pub const HAS_COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

impl Default for Gzip {
    fn default() -> Self {
        Self {
            part: GzipPart::Fixed,
            inner: Decompress::new(false),
            crc: Crc::new(),
            number: [0; 8],
            filled: 0,
            flags: 0,
        }
    }
}

impl Gzip {
    pub fn begin_again(&mut self) {
        self.inner.reset(false);
        self.crc.reset();
        self.part = GzipPart::Fixed;
        self.filled = 0;
    }

    pub fn decode(&mut self, input: &[u8], room: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        let mut read = 0;
        while !matches!(self.part, GzipPart::Body | GzipPart::Done) {
            let Some(&byte) = input.get(read) else {
                return Ok((read, 0, false));
            };
            read += 1;
            self.take(byte)?;
        }
        if self.part == GzipPart::Done {
            return Ok((read, 0, true));
        }
        let (taken, written, is_done) = inflate(&mut self.inner, &input[read..], room)?;
        read += taken;
        self.crc.update(&room[..written]);
        if is_done {
            self.part = GzipPart::Footer;
            self.filled = 0;
            while self.part == GzipPart::Footer {
                let Some(&byte) = input.get(read) else { break };
                read += 1;
                self.take(byte)?;
            }
        }
        Ok((read, written, self.part == GzipPart::Done))
    }

    /// Takes a byte of the header or the footer.
    fn take(&mut self, byte: u8) -> io::Result<()> {
        let at = self.filled;
        self.filled += 1;
        match self.part {
            GzipPart::Fixed => {
                match (at, byte) {
                    (0, 0x1f) | (1, 0x8b) | (2, 8) | (4.., _) => {}
                    (0 | 1, _) => return Err(undecodable("incorrect header check")),
                    (2, _) => return Err(undecodable("unknown compression method")),
                    (_, flags) if flags & RESERVED != 0 => {
                        return Err(undecodable("unknown header flags set"));
                    }
                    (_, flags) => self.flags = flags,
                }
                if self.filled == FIXED {
                    self.next_part(GzipPart::Fixed);
                }
            }
            GzipPart::ExtraLength | GzipPart::HeaderCrc => {
                self.number[at] = byte;
                if self.filled == 2 {
                    let length = u16::from_le_bytes([self.number[0], self.number[1]]);
                    match self.part {
                        GzipPart::ExtraLength if length > 0 => self.part = GzipPart::Extra(length),
                        GzipPart::ExtraLength => self.next_part(GzipPart::Extra(0)),
                        part => self.next_part(part),
                    }
                }
            }
            GzipPart::Extra(length) => {
                if length > 1 {
                    self.part = GzipPart::Extra(length - 1);
                } else {
                    self.next_part(GzipPart::Extra(0));
                }
            }
            GzipPart::Name | GzipPart::Comment if byte == 0 => self.next_part(self.part),
            GzipPart::Name | GzipPart::Comment => {}
            GzipPart::Footer => {
                self.number[at] = byte;
                if self.filled == self.number.len() {
                    self.check()?;
                    self.part = GzipPart::Done;
                }
            }
            GzipPart::Body | GzipPart::Done => {}
        }
        Ok(())
    }

    /// What of the header comes after `part`.
    fn next_part(&mut self, part: GzipPart) {
        self.filled = 0;
        let has = |flag: u8| self.flags & flag != 0;
        self.part = match part {
            GzipPart::Fixed if has(HAS_EXTRA) => GzipPart::ExtraLength,
            GzipPart::Fixed | GzipPart::Extra(_) if has(HAS_NAME) => GzipPart::Name,
            GzipPart::Fixed | GzipPart::Extra(_) | GzipPart::Name if has(HAS_COMMENT) => {
                GzipPart::Comment
            }
            // Not checked: it guards the header's ornaments alone.
            GzipPart::Fixed | GzipPart::Extra(_) | GzipPart::Name | GzipPart::Comment
                if has(HAS_CRC) =>
            {
                GzipPart::HeaderCrc
            }
            _ => GzipPart::Body,
        };
    }

    fn check(&self) -> io::Result<()> {
        let (sum, length) = self.number.split_at(4);
        if sum != self.crc.sum().to_le_bytes() {
            return Err(undecodable("incorrect data check"));
        }
        if length != self.crc.amount().to_le_bytes() {
            return Err(undecodable("incorrect length check"));
        }
        Ok(())
    }
}
