//! Random responses, most of them in order, in random segments: whatever the segments, the reader tells what a decoder that
//! has the whole response before it finds. `fuzz/fuzz_targets/reader.rs` is the long form for any bytes.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};

use super::decoder::Piece;
use super::reader::{Event, Fault, Reader};
use crate::random::Random;

const SEEDS: u64 = 8;
const ROUNDS: usize = 60;
const MAX_HEADER_SIZE: usize = 1024;

impl Random {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn size(&mut self) -> usize {
        match self.below(6) {
            0 => 0,
            1 if self.one_in(8) => self.below(100_000),
            1 => self.below(3_000),
            _ => self.below(40),
        }
    }
}

/// How a response is made, and so what is in it.
#[derive(Default, Debug)]
struct Script {
    wire: Vec<u8>,
    bodiless: bool,
    expected: Expected,
}

/// What a decoder of the whole response finds.
#[derive(Default, Debug, PartialEq, Eq)]
struct Expected {
    /// Where its heads end.
    heads: Vec<usize>,
    /// Where the body's bytes are, chunk by chunk.
    data: Vec<Range<usize>>,
    outcome: Outcome,
}

#[derive(Default, Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// Complete, with these trailers; what comes behind begins here.
    End(Vec<u8>, usize),
    Refused(&'static str),
    /// Cut off.
    #[default]
    Eof,
}

impl Script {
    fn new(random: &mut Random) -> Self {
        let mut script = Self::default();
        for _ in 0..random.below(3) {
            let status = [100, 102, 103][random.below(3)];
            if random.one_in(4) {
                script.wire.extend_from_slice(b"\r\n");
            }
            script.head(status, "Link: a\r\n");
        }
        script.bodiless = random.one_in(8);
        let status = [200, 204, 304, 404, 206][random.below(5)];
        let has_none = script.bodiless || status == 204 || status == 304;
        match random.below(5) {
            0 | 1 => {
                let len = random.size();
                script.head(status, &format!("Content-Length: {len}\r\n"));
                if has_none {
                    script.complete(Vec::new());
                } else {
                    script.body(&random.bytes(len));
                    script.complete(Vec::new());
                }
            }
            2 | 3 => {
                script.head(status, "Transfer-Encoding: chunked\r\n");
                if has_none {
                    script.complete(Vec::new());
                } else {
                    script.chunks(random);
                }
            }
            _ => {
                script.head(status, "");
                if !has_none {
                    let len = random.size();
                    script.body(&random.bytes(len));
                }
                script.complete(Vec::new());
                if !has_none {
                    return script;
                }
            }
        }
        if random.one_in(8) {
            let junk = random.below(30);
            script.wire.extend_from_slice(&random.bytes(junk));
        } else if random.one_in(8) {
            script.cut(random);
        }
        script
    }

    fn head(&mut self, status: u16, fields: &str) {
        let head = format!("HTTP/1.1 {status} Some Reason\r\nX-Y: z\r\n{fields}\r\n");
        self.wire.extend_from_slice(head.as_bytes());
        self.expected.heads.push(self.wire.len());
    }

    fn body(&mut self, bytes: &[u8]) {
        let start = self.wire.len();
        self.wire.extend_from_slice(bytes);
        if !bytes.is_empty() {
            self.expected.data.push(start..self.wire.len());
        }
    }

    fn complete(&mut self, trailers: Vec<u8>) {
        self.expected.outcome = Outcome::End(trailers, self.wire.len());
    }

    fn chunks(&mut self, random: &mut Random) {
        for _ in 0..random.below(12) {
            let len = 1 + random.size();
            let extension = ["", ";a=b", ";x=\"é\"", ";;="][random.below(4)];
            let zeros = "0".repeat(if random.one_in(4) {
                random.below(30)
            } else {
                0
            });
            let size = format!("{zeros}{len:x}{extension}\r\n");
            self.wire.extend_from_slice(size.as_bytes());
            self.body(&random.bytes(len));
            if random.one_in(60) {
                return self.refuse(random, "HPE_STRICT", b"xx");
            }
            if random.one_in(60) {
                return self.refuse(random, "HPE_CR_EXPECTED", b"\n");
            }
            self.wire.extend_from_slice(b"\r\n");
            if random.one_in(60) {
                return self.refuse(random, "HPE_INVALID_CHUNK_SIZE", b"3 \r\n");
            }
        }
        self.wire.extend_from_slice(b"0\r\n");
        let mut trailers = String::new();
        for n in 0..random.below(4) {
            let _ = write!(trailers, "X-{n}\0{n}\0");
            let field = format!("X-{n}:  {n} \r\n");
            self.wire.extend_from_slice(field.as_bytes());
        }
        if random.one_in(20) {
            let long = "a".repeat(MAX_HEADER_SIZE + 8);
            return self.refuse(random, "HPE_HEADER_OVERFLOW", long.as_bytes());
        }
        self.wire.extend_from_slice(b"\r\n");
        trailers.pop();
        self.complete(trailers.into_bytes());
    }

    fn refuse(&mut self, random: &mut Random, code: &'static str, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
        let more = random.below(20);
        self.wire.extend_from_slice(&random.bytes(more));
        self.expected.outcome = Outcome::Refused(code);
    }

    /// The peer ends before the response does.
    fn cut(&mut self, random: &mut Random) {
        let Outcome::End(_, end) = self.expected.outcome else {
            return;
        };
        let at = random.below(end);
        self.wire.truncate(at);
        for range in &mut self.expected.data {
            *range = range.start.min(at)..range.end.min(at);
        }
        self.expected.data.retain(|range| !range.is_empty());
        self.expected.heads.retain(|&head| head <= at);
        self.expected.outcome = Outcome::Eof;
    }

    /// The pieces of the body that come out if it is cut at these places, and which are the first of their segment.
    fn pieces(&self, cuts: &[usize]) -> Vec<(Range<usize>, bool)> {
        let mut pieces = Vec::new();
        let mut last_segment = None;
        for range in &self.expected.data {
            let mut at = range.start;
            while at < range.end {
                let segment = cuts.partition_point(|&cut| cut <= at);
                let end = cuts
                    .get(segment)
                    .map_or(range.end, |&cut| cut.min(range.end));
                pieces.push((at..end, last_segment != Some(segment)));
                last_segment = Some(segment);
                at = end;
            }
        }
        pieces
    }
}

/// Gives its segments one at a time, sometimes after a while, then the end.
struct Peer<'a> {
    segments: VecDeque<&'a [u8]>,
    random: Random,
    ends_badly: bool,
}

impl AsyncRead for Peer<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.random.one_in(3) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.segments.pop_front() {
            Some(segment) => {
                out.put_slice(segment);
                Poll::Ready(Ok(()))
            }
            None if self.ends_badly => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Cuts that no segment between is larger than one read.
fn cuts(random: &mut Random, len: usize) -> Vec<usize> {
    let mut cuts = Vec::new();
    let most = [1, 3, 40, 5_000, 60_000][random.below(5)].max(len / 1_000);
    let mut at = 0;
    loop {
        at += 1 + random.below(most);
        if at >= len {
            cuts.push(len);
            return cuts;
        }
        cuts.push(at);
    }
}

/// Whether the peer ends with an error, and between which bytes its segments are.
struct Way<'a> {
    cuts: &'a [usize],
    ends_badly: bool,
}

/// What comes of a response, and the bytes behind it that were not told.
#[derive(Debug, PartialEq)]
struct Found {
    heads: Vec<(u16, Vec<u8>)>,
    pieces: Vec<Piece>,
    outcome: Outcome,
    surplus: Range<usize>,
}

fn read(wire: &[u8], bodiless: bool, way: &Way<'_>, random: &mut Random) -> Found {
    let starts = [0].into_iter().chain(way.cuts.iter().copied());
    let mut reader = Reader::new(Peer {
        segments: starts
            .zip(way.cuts)
            .map(|(start, &end)| &wire[start..end])
            .filter(|segment| !segment.is_empty())
            .collect(),
        random: Random::new(random.next()),
        ends_badly: way.ends_badly,
    });
    reader.begin(bodiless, MAX_HEADER_SIZE);
    let mut cx = Context::from_waker(Waker::noop());
    let (mut heads, mut pieces) = (Vec::new(), Vec::new());
    let mut surplus = 0..0;
    let outcome = loop {
        reader.begin_turn();
        match reader.poll_event(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(Event::Head(head)) => heads.push((head.status, head.text)),
            Poll::Ready(Event::Data(piece)) => pieces.push(piece),
            Poll::Ready(Event::End(trailers)) => {
                let unread: usize = reader.transport.segments.iter().map(|s| s.len()).sum();
                let read = wire.len() - unread;
                surplus = read - reader.surplus().len()..read;
                break Outcome::End(trailers, surplus.start);
            }
            Poll::Ready(Event::Broken) => match reader.take_fault() {
                Some(Fault::Parse(fault, packet)) => {
                    assert!(!packet.is_empty() && packet.len() <= wire.len());
                    break Outcome::Refused(fault.code);
                }
                Some(Fault::Eof | Fault::Io(_)) => break Outcome::Eof,
                fault => panic!("{fault:?}"),
            },
        }
    };
    Found {
        heads,
        pieces,
        outcome,
        surplus,
    }
}

#[test]
fn any_response_in_any_segments_is_what_a_decoder_of_the_whole_finds() {
    for seed in 1..=SEEDS {
        let mut random = Random::new(seed);
        for round in 0..ROUNDS {
            let script = Script::new(&mut random);
            for _ in 0..4 {
                let cuts = cuts(&mut random, script.wire.len());
                check(
                    &script,
                    &cuts,
                    &mut random,
                    &format!("seed {seed} round {round}"),
                );
            }
        }
    }
}

fn check(script: &Script, cuts: &[usize], random: &mut Random, what: &str) {
    let expected = &script.expected;
    let way = Way {
        cuts,
        ends_badly: random.one_in(4) && expected.outcome == Outcome::Eof,
    };
    let found = read(&script.wire, script.bodiless, &way, random);
    assert_eq!(found.outcome, expected.outcome, "{what}");
    let reasons = found
        .heads
        .iter()
        .filter(|(_, text)| text.ends_with(b"\0Some Reason"));
    assert_eq!(reasons.count(), expected.heads.len(), "{what}");
    if let Outcome::End(_, end) = expected.outcome {
        // The segment of the last byte is read, and no other.
        let segment = cuts.iter().find(|&&cut| cut >= end);
        assert_eq!(found.surplus, end..*segment.unwrap_or(&end), "{what}");
    }
    let pieces = script.pieces(cuts);
    assert_eq!(found.pieces.len(), pieces.len(), "{what}");
    for (Piece { bytes, is_first }, (range, first)) in found.pieces.into_iter().zip(pieces) {
        assert_eq!(
            (&bytes[..], is_first),
            (&script.wire[range], first),
            "{what}"
        );
    }
}

#[test]
fn a_response_that_was_changed_at_random_comes_to_the_same_in_any_segments() {
    // Other seeds than above, so other responses.
    for seed in SEEDS + 1..=2 * SEEDS {
        let mut random = Random::new(seed);
        for round in 0..ROUNDS {
            let script = Script::new(&mut random);
            let mut wire = script.wire;
            wire.truncate(3_000);
            for _ in 0..1 + random.below(3) {
                let (at, byte) = (random.below(wire.len() + 1), random.next() as u8);
                match random.below(3) {
                    0 => wire.insert(at, byte),
                    1 if at < wire.len() => drop(wire.remove(at)),
                    _ if at < wire.len() => wire[at] ^= 1 << random.below(8),
                    _ => {}
                }
            }
            let mut told = |cuts: &[usize]| {
                let way = Way {
                    cuts,
                    ends_badly: false,
                };
                let found = read(&wire, script.bodiless, &way, &mut random);
                let body: Vec<u8> = found
                    .pieces
                    .iter()
                    .flat_map(|piece| piece.bytes.to_vec())
                    .collect();
                let is_final = |(status, _): &(u16, _)| *status >= 200;
                let outcome = match found.outcome {
                    // What is wrong with a line of a head is judged once it has ended, or by as much as came at once.
                    Outcome::Refused(_) if !found.heads.last().is_some_and(is_final) => {
                        Outcome::Eof
                    }
                    outcome => outcome,
                };
                (found.heads, body, outcome)
            };
            let whole = told(&[wire.len()]);
            let bytes: Vec<usize> = (1..=wire.len()).collect();
            let what = format!("seed {seed} round {round}");
            assert_eq!(whole, told(&bytes), "{what}");
            let some: Vec<usize> = (1..=wire.len())
                .filter(|at| at * 7 % 11 < 2)
                .chain([wire.len()])
                .collect();
            assert_eq!(whole, told(&some), "{what}");
        }
    }
}
