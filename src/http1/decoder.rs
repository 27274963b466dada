//! The messages in the bytes that a peer sends: a state machine without I/O.
//!
//! It is fed one packet, what one read has brought, and asked for events until it has none. Pieces of a body are never joined
//! across packets and never cut within one, but where a chunk ends. What is left of a packet behind a message is its
//! surplus.

use bytes::{Buf, Bytes, BytesMut};

use super::chunked::{Chunked, Step};
use super::head::{Framing, Head, Progress};
use super::llhttp_errors::ParseFault;
use crate::config::MAX_INFORMATIONAL;

/// What a message consists of.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A head, informational or final.
    Head(Head),
    /// Bytes of the body.
    Data(Piece),
    /// The message is complete; the fields of its trailer section, `name\0value…`.
    End(Vec<u8>),
    /// It is none, in llhttp's words; the packet that shows it.
    Refused(ParseFault, Bytes),
}

/// Bytes of a body that came together.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// They may share the memory of their packet.
    pub bytes: Bytes,
    /// No other piece of the same packet came before.
    pub is_first: bool,
}

/// A head that is incomplete so far.
#[derive(Default)]
struct Incomplete {
    /// Its bytes.
    raw: BytesMut,
    progress: Progress,
    /// Empty lines before heads of this message.
    leading: usize,
}

enum State {
    /// No message is due.
    Idle,
    Head(Incomplete),
    /// So many bytes of the body are still to come.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// The message is none: nothing more comes of it.
    Refused,
}

/// Where the response to a request is.
pub struct Decoder {
    state: State,
    /// The response has no body, whatever its head says (HEAD).
    bodiless: bool,
    max_header_size: usize,
    informational: u32,
    /// What was read last, and how far it is decoded.
    packet: Bytes,
    at: usize,
    /// No piece of that was told yet.
    is_fresh: bool,
    /// The packet that a trailer section has come with.
    trailer_packet: Bytes,
}

impl Decoder {
    /// No message is due yet.
    pub fn new() -> Self {
        Self {
            state: State::Idle,
            bodiless: false,
            max_header_size: 0,
            informational: 0,
            packet: Bytes::new(),
            at: 0,
            is_fresh: false,
            trailer_packet: Bytes::new(),
        }
    }

    /// The next bytes belong to a response to a request of this kind.
    pub fn begin(&mut self, bodiless: bool, max_header_size: usize) {
        *self = Self {
            state: State::Head(Incomplete::default()),
            bodiless,
            max_header_size,
            ..Self::new()
        };
    }

    /// Takes what was read, all before it having been told.
    pub fn feed(&mut self, packet: Bytes) {
        (self.packet, self.at, self.is_fresh) = (packet, 0, true);
    }

    /// Whether no message is due.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Informational heads of the message so far.
    pub fn informational(&self) -> u32 {
        self.informational
    }

    /// The packet that was fed last, as far as it is not given away in pieces.
    pub fn packet(&self) -> Bytes {
        self.packet.clone()
    }

    /// What came along with the message after its end.
    pub fn surplus(&self) -> &[u8] {
        if self.is_idle() {
            &self.packet[self.at..]
        } else {
            &[]
        }
    }

    /// The next event; none before more is fed.
    pub fn next_event(&mut self) -> Option<Event> {
        let event = self.decode();
        if self.at == self.packet.len() {
            self.forget_packet();
        }
        event
    }

    fn decode(&mut self) -> Option<Event> {
        let left = self.packet.len() - self.at;
        match &mut self.state {
            State::Length(0) => Some(self.complete(Vec::new())),
            State::Idle | State::Refused => None,
            _ if left == 0 => None,
            State::Head(_) => self.next_head(),
            State::Length(length) => {
                let count = (*length).min(left as u64);
                *length -= count;
                Some(self.take(count as usize))
            }
            State::UntilClose => Some(self.take(left)),
            State::Chunked(_) => self.next_of_chunked(),
        }
    }

    /// The peer sends nothing more: whether that completes the message.
    pub fn ends_message(&mut self) -> Option<Event> {
        matches!(self.state, State::UntilClose).then(|| self.complete(Vec::new()))
    }

    fn next_head(&mut self) -> Option<Event> {
        let State::Head(so_far) = &mut self.state else {
            return None;
        };
        let mut fresh = &self.packet[self.at..];
        if so_far.raw.is_empty() {
            let is_empty = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let empty = fresh.iter().take_while(is_empty).count();
            fresh.advance(empty);
            so_far.leading += empty;
            if so_far.leading > self.max_header_size {
                return Some(self.refuse(ParseFault::overflow(self.packet.len())));
            }
            if fresh.is_empty() {
                self.at = self.packet.len();
                return None;
            }
        } else {
            so_far.raw.extend_from_slice(fresh);
        }
        let is_first = so_far.raw.is_empty();
        let input = if is_first { fresh } else { &so_far.raw[..] };
        let head = match (so_far.progress).parse(input, self.bodiless, self.max_header_size) {
            Ok(Some(head)) => head,
            Ok(None) => {
                if is_first {
                    so_far.raw = BytesMut::from(input);
                }
                self.at = self.packet.len();
                return None;
            }
            Err(fault) => return Some(self.refuse(fault)),
        };
        // What was not told of the head before is in this packet, and so is all behind it.
        self.at = self.packet.len() - (input.len() - head.len);
        (so_far.raw, so_far.progress) = Default::default();
        if head.is_informational() {
            self.informational += 1;
            if self.informational > MAX_INFORMATIONAL {
                return Some(self.refuse(ParseFault::overflow(0)));
            }
        } else {
            self.state = match head.framing {
                Framing::None => State::Length(0),
                Framing::Length(length) => State::Length(length),
                Framing::Chunked => State::Chunked(Chunked::new(self.max_header_size)),
                Framing::UntilClose => State::UntilClose,
            };
        }
        Some(Event::Head(head))
    }

    fn next_of_chunked(&mut self) -> Option<Event> {
        let State::Chunked(chunked) = &mut self.state else {
            return None;
        };
        let (taken, step) = chunked.next(&self.packet[self.at..]);
        self.at += taken;
        match step {
            Step::Hungry => None,
            Step::Data(count) => Some(self.take(count)),
            Step::Refused(code, reason) => {
                Some(self.refuse(ParseFault::new(code, reason, self.at)))
            }
            Step::Trailer => {
                let section = &self.packet[self.at..];
                if section != b"\r\n" {
                    self.trailer_packet = self.packet.clone();
                }
                let (at, before) = (self.at, chunked.section_len());
                let in_packet = |fault: ParseFault| ParseFault {
                    offset: (at + fault.offset).saturating_sub(before),
                    ..fault
                };
                match chunked.trailer(section) {
                    Ok(Some(taken)) => self.at += taken,
                    Ok(None) => {
                        self.at = self.packet.len();
                        return None;
                    }
                    Err(fault) => return Some(self.refuse(in_packet(fault))),
                }
                Some(match chunked.fields() {
                    Ok(trailers) => self.complete(trailers),
                    Err(fault) => {
                        self.packet = std::mem::take(&mut self.trailer_packet);
                        self.refuse(in_packet(fault))
                    }
                })
            }
        }
    }

    /// The next bytes of the packet; the packet itself if they are the rest of it, so that its memory can be had.
    fn take(&mut self, count: usize) -> Event {
        let end = self.at + count;
        let bytes = if end == self.packet.len() {
            let mut packet = std::mem::take(&mut self.packet);
            packet.advance(std::mem::take(&mut self.at));
            packet
        } else {
            let start = std::mem::replace(&mut self.at, end);
            self.packet.slice(start..end)
        };
        Event::Data(Piece {
            bytes,
            is_first: std::mem::take(&mut self.is_fresh),
        })
    }

    fn forget_packet(&mut self) {
        self.packet = Bytes::new();
        self.at = 0;
    }

    fn complete(&mut self, trailers: Vec<u8>) -> Event {
        self.state = State::Idle;
        self.trailer_packet = Bytes::new();
        Event::End(trailers)
    }

    fn refuse(&mut self, fault: ParseFault) -> Event {
        self.state = State::Refused;
        self.at = 0;
        Event::Refused(fault, std::mem::take(&mut self.packet))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn begun() -> Decoder {
        let mut decoder = Decoder::new();
        decoder.begin(false, 16 * 1024);
        decoder
    }

    fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Event> {
        decoder.feed(Bytes::copy_from_slice(bytes));
        std::iter::from_fn(|| decoder.next_event()).collect()
    }

    fn data(bytes: &'static [u8], is_first: bool) -> Event {
        Event::Data(Piece {
            bytes: Bytes::from_static(bytes),
            is_first,
        })
    }

    #[test]
    fn chunks_of_a_packet_are_pieces_of_their_own_and_a_chunk_in_two_packets_is_two() {
        let mut decoder = begun();
        let events = feed(&mut decoder, &[HEAD, b"3\r\nabc\r\n4\r\nde"].concat());
        assert_eq!(events[1..], [data(b"abc", true), data(b"de", false)]);
        let events = feed(&mut decoder, b"fg\r\n1\r\nh\r\n0\r\n\r\nmore");
        let end = Event::End(Vec::new());
        assert_eq!(events, [data(b"fg", true), data(b"h", false), end]);
        assert_eq!(decoder.surplus(), b"more");
    }

    #[test]
    fn a_packet_is_let_go_when_it_is_decoded() {
        let mut decoder = begun();
        let parts: [&[u8]; 5] = [
            &HEAD[..20],
            &HEAD[20..],
            b"3\r\nabc\r\n",
            b"0\r\nX: 1",
            b"\r\n\r\n",
        ];
        for part in parts {
            feed(&mut decoder, part);
            assert!(decoder.packet().is_empty(), "{part:?}");
        }
        assert!(decoder.is_idle());
    }

    #[test]
    fn faults_are_where_the_runtime_finds_them_in_the_packet_that_shows_them() {
        let cases: [(&[u8], &str, usize); 3] = [
            (b"3\r\nabcXX\r\n", "HPE_STRICT", 53),
            (b"3\r\nabc\r\nzz\r\n", "HPE_INVALID_CHUNK_SIZE", 55),
            (b"0\r\nb@d: 1\r\n\r\n", "HPE_INVALID_HEADER_TOKEN", 51),
        ];
        for (body, code, offset) in cases {
            let packet = [HEAD, body].concat();
            let events = feed(&mut begun(), &packet);
            let Some(Event::Refused(fault, shown)) = events.last() else {
                panic!("{events:?}");
            };
            assert_eq!((fault.code, fault.offset), (code, offset));
            assert_eq!(shown, &packet);
        }
    }

    #[test]
    fn a_flood_of_informational_heads_is_refused() {
        let mut decoder = begun();
        let flood = b"HTTP/1.1 103 Early\r\n\r\n".repeat(MAX_INFORMATIONAL as usize + 1);
        let events = feed(&mut decoder, &flood);
        assert_eq!(events.len(), MAX_INFORMATIONAL as usize + 1);
        assert!(matches!(events.last(), Some(Event::Refused(..))));
        let lines = feed(&mut begun(), &b"\r\n".repeat(16 * 1024));
        assert!(matches!(lines[..], [Event::Refused(..)]));
    }

    #[test]
    fn only_a_body_until_the_close_is_complete_when_the_peer_closes() {
        let mut decoder = begun();
        feed(&mut decoder, b"HTTP/1.1 200 OK\r\n\r\nabc");
        assert_eq!(decoder.ends_message(), Some(Event::End(Vec::new())));
        let cut: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"HTTP/1.1 200 OK\r\n",
        ];
        for bytes in cut {
            let mut decoder = begun();
            feed(&mut decoder, bytes);
            assert_eq!(decoder.ends_message(), None);
        }
    }
}
