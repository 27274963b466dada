//! What comes of a response does not depend on how its bytes were split on the way: its heads, its body, its trailers, how it
//! ends, and what is left behind its end. The first byte of the input says what was asked for, the next ones where the response
//! is split.

#![no_main]

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use keepwire::fuzzing::{Event, Fault, Reader};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, ReadBuf};

const SPLITS: usize = 8;
const MAX_HEADER_SIZE: usize = 512;

/// Gives its pieces one at a time, then the end.
struct Script(VecDeque<Vec<u8>>);

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(out.remaining()));
            out.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    /// Complete, with these trailers; so much is left.
    End(Vec<u8>, usize),
    Refused,
    Eof,
}

/// The heads, the body, and how it ends.
#[derive(Debug, PartialEq)]
struct Response {
    heads: Vec<(u16, Vec<u8>)>,
    body: Vec<u8>,
    outcome: Outcome,
}

fn read(pieces: Vec<Vec<u8>>, bodiless: bool) -> Response {
    let mut reader = Reader::new(Script(pieces.into()));
    reader.begin(bodiless, MAX_HEADER_SIZE);
    let mut cx = Context::from_waker(Waker::noop());
    let (mut heads, mut body) = (Vec::<(u16, Vec<u8>)>::new(), Vec::new());
    let outcome = loop {
        reader.begin_turn();
        match reader.poll_event(&mut cx) {
            // There is always something to read: it has had its turn, and goes on in the next one.
            Poll::Pending => {}
            Poll::Ready(Event::Head(head)) => heads.push((head.status, head.text)),
            Poll::Ready(Event::Data(piece)) => {
                assert!(!piece.bytes.is_empty());
                body.extend_from_slice(&piece.bytes);
            }
            Poll::Ready(Event::End(trailers)) => {
                let unread: usize = reader.transport.0.iter().map(Vec::len).sum();
                break Outcome::End(trailers, reader.surplus().len() + unread);
            }
            Poll::Ready(Event::Broken) => match reader.take_fault() {
                // What is wrong with a line of a head is judged once it has ended, or by as much as came at once.
                Some(Fault::Parse(..)) if !heads.last().is_some_and(|head| head.0 >= 200) => {
                    break Outcome::Eof
                }
                Some(Fault::Parse(..)) => break Outcome::Refused,
                Some(Fault::Eof) => break Outcome::Eof,
                fault => panic!("{fault:?}"),
            },
        }
    };
    Response {
        heads,
        body,
        outcome,
    }
}

fuzz_target!(|input: &[u8]| {
    if input.len() < SPLITS + 1 {
        return;
    }
    let (control, response) = input.split_at(SPLITS + 1);
    let bodiless = control[0] & 1 == 1;
    let whole = read(vec![response.to_vec()], bodiless);
    let mut pieces = Vec::new();
    let mut rest = response;
    for &split in &control[1..] {
        let (piece, more) = rest.split_at(usize::from(split).min(rest.len()));
        if !piece.is_empty() {
            pieces.push(piece.to_vec());
        }
        rest = more;
    }
    if !rest.is_empty() {
        pieces.push(rest.to_vec());
    }
    assert_eq!(whole, read(pieces, bodiless));
    let bytes = response.iter().map(|&byte| vec![byte]).collect();
    assert_eq!(whole, read(bytes, bodiless));
});
