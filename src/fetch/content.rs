//! Content codings: gzip, deflate, br and zstd, one upon another, taken off a bounded amount of work at a time.
//!
//! [`Content`] is a pure state machine: encoded bytes go in, decoded ones come out, and no call does more than `BUDGET`
//! allows, whatever the bytes say. A few kilobytes may stand for terabytes, or for hours of work that comes to nothing.

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf, Bytes};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use http::{header, HeaderMap};
use zstd::stream::raw::{DParameter, Decoder as Zstd, Operation};

use crate::error::Failure;

/// Most codings of one body; more are an attack.
const MOST_CODINGS: usize = 5;
/// Decoded bytes that are made room for at once.
pub const PIECE: usize = 64 * 1024;
/// Between two codings.
const BETWEEN: usize = 32 * 1024;
/// Bytes read and written, in all codings together, after which a call pauses.
const BUDGET: usize = 256 * 1024;
/// What a call of a decoder costs beyond its bytes, and what a new member does.
const CALL: usize = 64;
const MEMBER: usize = 8 * 1024;
/// Largest window of zstd that a content coding may ask for: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of a response in the order in which they were applied; none if there is one that nobody knows.
///
/// # Errors
///
/// Too many of them.
pub fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, &'static str> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for name in value.to_str().unwrap_or("?").split(',') {
            codings.push(match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Ok(Vec::new()),
            });
        }
    }
    if codings.len() > MOST_CODINGS {
        return Err("too many content-encodings in the response");
    }
    Ok(codings)
}

/// Why a call of [`Content::work`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It needs more encoded bytes.
    Hungry,
    /// There are as many decoded bytes as were asked for.
    Full,
    /// It has worked long enough: others are next.
    Paused,
    /// The content is complete.
    Over,
}

/// A body on its way through its decoders.
#[derive(Default)]
pub struct Content {
    /// The first one reads what came.
    stages: Vec<Stage>,
    encoded: Bytes,
    is_last: bool,
    decoded: Vec<u8>,
}

impl Content {
    /// Content to which `codings` were applied in that order.
    pub fn new(codings: &[Coding]) -> Self {
        Self {
            stages: codings.iter().rev().copied().map(Stage::new).collect(),
            ..Self::default()
        }
    }

    /// Gives it more encoded bytes. It has to be hungry.
    pub fn feed(&mut self, bytes: Bytes) {
        self.encoded = bytes;
    }

    /// There are no more encoded bytes.
    pub fn end(&mut self) {
        self.is_last = true;
    }

    /// What has been decoded and not been taken.
    pub fn decoded(&mut self) -> &mut Vec<u8> {
        &mut self.decoded
    }

    /// Decodes until there are `most` bytes, or something else is in the way.
    ///
    /// # Errors
    ///
    /// What is wrong with the content; what came before that has been decoded.
    pub fn work(&mut self, most: usize) -> io::Result<Progress> {
        let mut budget = BUDGET;
        loop {
            let start = self.decoded.len();
            if start >= most {
                return Ok(Progress::Full);
            }
            self.decoded.resize(start + PIECE.min(most - start), 0);
            let mut written = 0;
            let room = &mut self.decoded[start..];
            let source = (&mut self.encoded, self.is_last);
            let progress = fill(&mut self.stages, source, room, &mut written, &mut budget);
            self.decoded.truncate(start + written);
            match progress {
                Ok(Progress::Full) => {}
                Ok(Progress::Over) => {
                    let source = (&mut self.encoded, self.is_last);
                    return finish(&mut self.stages, source, &mut budget);
                }
                other => return other,
            }
        }
    }
}

/// The last of `stages` is over. What those before it still have is nobody's business, but it must be sound to its end:
/// else it would depend on how the bytes came whether a fault in it is noticed.
fn finish(
    stages: &mut [Stage],
    source: (&mut Bytes, bool),
    budget: &mut usize,
) -> io::Result<Progress> {
    let (encoded, is_last) = source;
    let mut before = match stages.split_last_mut() {
        Some((_, before)) => before,
        None => return Ok(Progress::Over),
    };
    while let Some(last) = before.last_mut() {
        last.start = last.buffer.len();
        match refill(before, (&mut *encoded, is_last), budget)? {
            Progress::Full => {}
            Progress::Over => {
                let rest = before.len() - 1;
                before = &mut before[..rest];
            }
            other => return Ok(other),
        }
    }
    Ok(Progress::Over)
}

/// Has the last of `stages` fill `room`.
fn fill(
    stages: &mut [Stage],
    source: (&mut Bytes, bool),
    room: &mut [u8],
    written: &mut usize,
    budget: &mut usize,
) -> io::Result<Progress> {
    let (encoded, is_last) = source;
    let Some((stage, before)) = stages.split_last_mut() else {
        return Ok(Progress::Over);
    };
    while *written < room.len() {
        if stage.phase == StagePhase::Over {
            return Ok(Progress::Over);
        }
        if *budget == 0 {
            return Ok(Progress::Paused);
        }
        let waiting = match before.last() {
            None => &encoded[..],
            Some(last) => last.buffered(),
        };
        if waiting.is_empty() && !stage.holds_back {
            let more = match before.is_empty() {
                true if is_last => Progress::Over,
                true => Progress::Hungry,
                false => refill(before, (&mut *encoded, is_last), budget)?,
            };
            match more {
                Progress::Full => {}
                Progress::Over => stage.end()?,
                other => return Ok(other),
            }
            continue;
        }
        let step = stage.step(waiting, &mut room[*written..])?;
        match before.last_mut() {
            None => encoded.advance(step.read),
            Some(last) => last.start += step.read,
        }
        *written += step.written;
        *budget = budget.saturating_sub(step.cost);
    }
    Ok(Progress::Full)
}

/// Has the last of `stages` fill its empty buffer; full: there is something in it.
fn refill(
    stages: &mut [Stage],
    source: (&mut Bytes, bool),
    budget: &mut usize,
) -> io::Result<Progress> {
    let Some(last) = stages.last_mut() else {
        return Ok(Progress::Over);
    };
    let mut buffer = std::mem::take(&mut last.buffer);
    buffer.resize(BETWEEN, 0);
    let mut written = 0;
    let progress = fill(stages, source, &mut buffer, &mut written, budget);
    if let Some(last) = stages.last_mut() {
        buffer.truncate(written);
        last.buffer = buffer;
        last.start = 0;
    }
    match progress {
        // Whatever stopped it will do so again.
        Ok(_) if written > 0 => Ok(Progress::Full),
        other => other,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StagePhase {
    /// Nothing has come.
    Fresh,
    Within,
    /// A member is complete; another one may follow.
    Between,
    Over,
}

/// One coding on its way off.
struct Stage {
    coding: Coding,
    phase: StagePhase,
    decoder: Option<Decoder>,
    /// Its last call has filled its room: there may be more that needs no further bytes.
    holds_back: bool,
    /// What it has decoded for the next one; empty for the last.
    buffer: Vec<u8>,
    start: usize,
}

struct Step {
    read: usize,
    written: usize,
    cost: usize,
}

impl Stage {
    fn new(coding: Coding) -> Self {
        Self {
            coding,
            phase: StagePhase::Fresh,
            decoder: None,
            holds_back: false,
            buffer: Vec::new(),
            start: 0,
        }
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// There are no more bytes for it.
    fn end(&mut self) -> io::Result<()> {
        if self.phase == StagePhase::Within {
            return Err(truncated());
        }
        // No content at all is no fault.
        self.phase = StagePhase::Over;
        Ok(())
    }

    fn step(&mut self, input: &[u8], room: &mut [u8]) -> io::Result<Step> {
        let mut cost = CALL;
        if matches!(self.phase, StagePhase::Fresh | StagePhase::Between) {
            let first = input.first().copied().unwrap_or_default();
            // Zeros fill gzip up to the size of a block.
            if self.phase == StagePhase::Between && self.coding == Coding::Gzip && first == 0 {
                self.phase = StagePhase::Over;
                return Ok(Step {
                    read: 0,
                    written: 0,
                    cost,
                });
            }
            match &mut self.decoder {
                Some(decoder) => decoder.begin_again()?,
                decoder => *decoder = Some(Decoder::new(self.coding, first)?),
            }
            self.phase = StagePhase::Within;
            cost += MEMBER;
        }
        let Some(decoder) = &mut self.decoder else {
            return Err(undecodable("no decoder"));
        };
        let (read, written, is_done) = decoder.decode(input, room)?;
        if read == 0 && written == 0 && !is_done && !input.is_empty() {
            return Err(undecodable("no progress"));
        }
        self.holds_back = !is_done && written == room.len();
        if is_done {
            self.phase = match self.coding {
                Coding::Gzip | Coding::Zstd => StagePhase::Between,
                // What follows is nobody's business, as to the runtime.
                Coding::Deflate | Coding::Brotli => StagePhase::Over,
            };
        }
        Ok(Step {
            read,
            written,
            cost: cost + read + written,
        })
    }
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

enum Decoder {
    Gzip(Gzip),
    Deflate(Decompress),
    Brotli(Box<Brotli>),
    Zstd(Zstd<'static>),
}

impl Decoder {
    /// `first`: the first byte that it will get.
    fn new(coding: Coding, first: u8) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Gzip::default()),
            // Some servers leave the zlib header out; its first byte gives it away.
            Coding::Deflate => Self::Deflate(Decompress::new(first & 0x0f == 8)),
            // Without the large windows that no content coding has.
            Coding::Brotli => Self::Brotli(Box::new(Brotli::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Coding::Zstd => {
                let mut decoder = Zstd::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                Self::Zstd(decoder)
            }
        })
    }

    /// Another member follows.
    fn begin_again(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(gzip) => gzip.begin_again(),
            Self::Zstd(decoder) => decoder.reinit()?,
            Self::Deflate(_) | Self::Brotli(_) => {}
        }
        Ok(())
    }

    /// Bytes read, bytes written, whether the member is complete.
    fn decode(&mut self, input: &[u8], room: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        match self {
            Self::Gzip(gzip) => gzip.decode(input, room),
            Self::Deflate(decoder) => inflate(decoder, input, room),
            Self::Brotli(state) => {
                let (mut read, mut written) = (0, 0);
                let result = BrotliDecompressStream(
                    &mut input.len(),
                    &mut read,
                    input,
                    &mut room.len(),
                    &mut written,
                    room,
                    &mut 0,
                    state,
                );
                match result {
                    BrotliResult::ResultFailure => Err(undecodable("Decompression failed")),
                    BrotliResult::ResultSuccess => Ok((read, written, true)),
                    _ => Ok((read, written, false)),
                }
            }
            Self::Zstd(decoder) => {
                let status = decoder
                    .run_on_buffers(input, room)
                    .map_err(|error| undecodable(error.to_string()))?;
                let is_done = status.remaining == 0;
                Ok((status.bytes_read, status.bytes_written, is_done))
            }
        }
    }
}

fn inflate(
    decoder: &mut Decompress,
    input: &[u8],
    room: &mut [u8],
) -> io::Result<(usize, usize, bool)> {
    let (read, written) = (decoder.total_in(), decoder.total_out());
    let status = decoder
        .decompress(input, room, FlushDecompress::None)
        .map_err(|error| undecodable(error.to_string()))?;
    Ok((
        (decoder.total_in() - read) as usize,
        (decoder.total_out() - written) as usize,
        status == Status::StreamEnd,
    ))
}

/// gzip (RFC 1952): a header, deflate without one, and a footer that says what it must have come to.
struct Gzip {
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

const FIXED: usize = 10;
const HAS_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
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
    fn begin_again(&mut self) {
        self.inner.reset(false);
        self.crc.reset();
        self.part = GzipPart::Fixed;
        self.filled = 0;
    }

    fn decode(&mut self, input: &[u8], room: &mut [u8]) -> io::Result<(usize, usize, bool)> {
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

/// In zlib's words, as the runtimes'.
fn undecodable(message: impl Into<String>) -> io::Error {
    io::Error::other(Failure::new("Z_DATA_ERROR", message))
}

fn truncated() -> io::Error {
    io::Error::other(Failure::new("Z_BUF_ERROR", "unexpected end of file"))
}

/// Content whose decoders panic.
#[cfg(test)]
pub fn panicking() -> Content {
    let mut content = Content::new(&[Coding::Gzip, Coding::Gzip]);
    content.stages[0].start = 1;
    content
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use flate2::Compression;

    use super::*;

    /// What `BR` stands for, 40 times.
    const UNIT: &str = "keepwire ";
    const BR: &[u8] = &[
        0x1b, 0x67, 0x01, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0xb4, 0x2e, 0x4b, 0x5b, 0xbb, 0xd3, 0x20,
        0x65, 0x70, 0x72, 0x82, 0xb7, 0x60, 0x60, 0x46, 0xd8, 0x0e,
    ];

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn samples() -> Vec<(Coding, Vec<u8>)> {
        let text = UNIT.repeat(40);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(text.as_bytes()).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(text.as_bytes()).unwrap();
        vec![
            (Coding::Gzip, gzip(text.as_bytes())),
            (Coding::Deflate, zlib.finish().unwrap()),
            (Coding::Deflate, raw.finish().unwrap()),
            (Coding::Brotli, BR.to_vec()),
            (Coding::Zstd, zstd::encode_all(text.as_bytes(), 3).unwrap()),
        ]
    }

    /// Feeds `encoded` in pieces of `size`, and takes pieces of `most`.
    fn decode(codings: &[Coding], encoded: &[u8], size: usize, most: usize) -> io::Result<Vec<u8>> {
        let mut content = Content::new(codings);
        let mut rest = encoded.chunks(size.max(1));
        let mut all = Vec::new();
        for _ in 0..10_000_000 {
            let progress = content.work(most);
            assert!(content.decoded().len() <= most);
            all.append(content.decoded());
            match progress? {
                Progress::Hungry => match rest.next() {
                    Some(piece) => content.feed(Bytes::copy_from_slice(piece)),
                    None => content.end(),
                },
                Progress::Over => return Ok(all),
                Progress::Full | Progress::Paused => {}
            }
        }
        panic!("no end");
    }

    fn code(result: io::Result<Vec<u8>>) -> String {
        let error = result.unwrap_err();
        let failure = error.get_ref().unwrap().downcast_ref::<Failure>();
        failure.unwrap().code.to_string()
    }

    fn named(values: &[&str]) -> Result<Vec<Coding>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        }
        codings(&headers)
    }

    #[test]
    fn codings_are_named_in_one_field_or_in_several() {
        use Coding::{Brotli, Gzip, Zstd};
        assert_eq!(named(&["gzip, BR"]), Ok(vec![Gzip, Brotli]));
        assert_eq!(named(&["x-gzip", "zstd"]), Ok(vec![Gzip, Zstd]));
        assert_eq!(named(&["gzip, unknown"]), Ok(vec![]));
        assert_eq!(named(&["identity"]), Ok(vec![]));
        assert!(named(&["gzip,gzip,gzip,gzip,gzip,gzip"]).is_err());
    }

    #[test]
    fn content_is_the_same_however_its_bytes_come_and_go() {
        let text = UNIT.repeat(40);
        for (coding, encoded) in samples() {
            for size in [1, 2, 7, 10_000] {
                for most in [1, 3, 100, 10_000] {
                    let decoded = decode(&[coding], &encoded, size, most).unwrap();
                    assert_eq!(decoded, text.as_bytes(), "{coding:?} {size} {most}");
                }
                let twice = decode(&[coding, Coding::Gzip], &gzip(&encoded), size, 9).unwrap();
                assert_eq!(twice, text.as_bytes(), "{coding:?}, gzip {size}");
            }
        }
    }

    #[test]
    fn content_that_breaks_off_anywhere_is_an_error() {
        for (coding, encoded) in samples() {
            for end in 1..encoded.len() {
                let cut = decode(&[coding], &encoded[..end], 10_000, 10_000);
                assert_eq!(code(cut), "Z_BUF_ERROR", "{coding:?} {end}");
            }
            assert_eq!(decode(&[coding], &[], 1, 10).unwrap(), b"");
        }
    }

    #[test]
    fn a_fault_behind_the_end_of_the_inner_content_is_noticed_however_the_bytes_come() {
        let text = UNIT.repeat(40);
        for (coding, encoded) in samples() {
            if matches!(coding, Coding::Gzip | Coding::Zstd) {
                continue; // There, another member may follow.
            }
            let surplus = gzip(&[&encoded[..], &vec![b'x'; 100_000]].concat());
            let mut broken = surplus.clone();
            let at = broken.len() - 5;
            broken[at] ^= 1;
            for size in [1, 100, 1_000_000] {
                let decoded = decode(&[coding, Coding::Gzip], &surplus, size, 1_000);
                assert_eq!(decoded.unwrap(), text.as_bytes(), "{coding:?} {size}");
                let decoded = decode(&[coding, Coding::Gzip], &broken, size, 1_000);
                assert_eq!(code(decoded), "Z_DATA_ERROR", "{coding:?} {size}");
                let cut = &surplus[..surplus.len() - 9];
                let decoded = decode(&[coding, Coding::Gzip], cut, size, 1_000);
                assert_eq!(code(decoded), "Z_BUF_ERROR", "{coding:?} {size}");
            }
        }
        // As cargo-fuzz found it: an empty brotli stream, and raw deflate that breaks behind it.
        let found = [
            50, 255, 255, 255, 255, 5, 49, 0, 107, 68, 4, 43, 43, 198, 5, 49, 0, 107, 68,
        ];
        for size in 1..20 {
            let decoded = decode(&[Coding::Brotli, Coding::Deflate], &found, size, 1_000);
            assert_eq!(code(decoded), "Z_DATA_ERROR", "{size}");
        }
    }

    #[test]
    fn members_follow_each_other_and_zeros_may_fill_gzip_up() {
        let (one, other) = (gzip(b"one "), gzip(b"other"));
        let both = [&one[..], &other[..]].concat();
        let padded = [&both[..], &[0; 600]].concat();
        for size in [1, 10_000] {
            let decode = |bytes| decode(&[Coding::Gzip], bytes, size, 100);
            assert_eq!(decode(&both).unwrap(), b"one other");
            assert_eq!(decode(&padded).unwrap(), b"one other");
            let junk = [&both[..], b"junk"].concat();
            assert_eq!(code(decode(&junk)), "Z_DATA_ERROR");
        }
        let frames = [
            zstd::encode_all(&b"a"[..], 1).unwrap(),
            zstd::encode_all(&b"b"[..], 1).unwrap(),
        ];
        let decoded = decode(&[Coding::Zstd], &frames.concat(), 3, 100).unwrap();
        assert_eq!(decoded, b"ab");
    }

    #[test]
    fn gzip_headers_may_say_more_and_footers_are_checked() {
        let plain = gzip(b"hello");
        let rest = &plain[FIXED..];
        let mut head = plain[..FIXED].to_vec();
        head[3] = HAS_CRC | HAS_EXTRA | HAS_NAME | HAS_COMMENT;
        let told = [
            &head[..],
            b"\x03\0abc",
            b"name\0",
            b"comment\0",
            b"\x12\x34",
            rest,
        ]
        .concat();
        for size in [1, 10_000] {
            let decoded = decode(&[Coding::Gzip], &told, size, 100).unwrap();
            assert_eq!(decoded, b"hello");
        }
        for at in plain.len() - 8..plain.len() {
            let mut wrong = plain.clone();
            wrong[at] ^= 1;
            let decoded = decode(&[Coding::Gzip], &wrong, 10_000, 100);
            assert_eq!(code(decoded), "Z_DATA_ERROR");
        }
    }

    #[test]
    fn a_call_does_little_however_much_the_bytes_stand_for() {
        // 1 GiB of zeros, and the same number of members without content.
        let zeros = gzip(&gzip(&gzip(&vec![0; 16 << 20]).repeat(64)));
        let nothing = gzip(&gzip(&gzip(b"").repeat(50_000)));
        for bomb in [zeros, nothing] {
            let mut content = Content::new(&[Coding::Gzip; 3]);
            content.feed(bomb.into());
            content.end();
            let mut paused = 0;
            while paused < 100 {
                match content.work(1 << 20) {
                    Ok(Progress::Paused) => paused += 1,
                    Ok(Progress::Full) => content.decoded().clear(),
                    other => panic!("{other:?} after {paused}"),
                }
                assert!(content.decoded().capacity() < 4 << 20);
            }
        }
    }

    #[test]
    fn any_bytes_come_to_an_end_without_a_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let samples = samples();
        for _ in 0..4_000 {
            let (coding, encoded) = &samples[next(samples.len())];
            let (codings, mut bytes) = match next(3) {
                0 => (vec![*coding, Coding::Gzip], gzip(encoded)),
                1 => (vec![Coding::Deflate, *coding], encoded.clone()),
                _ => (vec![*coding], encoded.clone()),
            };
            for _ in 0..1 + next(4) {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            bytes.truncate(1 + next(bytes.len()));
            let size = 1 + next(50);
            let whole = decode(&codings, &bytes, bytes.len(), 1 << 16);
            let pieces = decode(&codings, &bytes, size, 1 + next(200));
            assert_eq!(
                whole.is_ok(),
                pieces.is_ok(),
                "{codings:?} {bytes:?} {size}"
            );
            if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
                assert_eq!(whole, pieces, "{codings:?} {bytes:?} {size}");
            }
        }
    }
}
