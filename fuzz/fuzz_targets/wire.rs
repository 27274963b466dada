//! A response's heads and body do not depend on how its bytes were split on the way, and nothing behind its end gets to
//! hyper. The first byte of the input says what was asked for, the next ones where the response is split.

#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use keepwire::exchange::wire::{UnderHyper, Wire};
use libfuzzer_sys::fuzz_target;
use tokio::io::{join, sink, AsyncRead, ReadBuf};

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

/// The texts of the heads, and what hyper gets.
fn read(pieces: Vec<Vec<u8>>, bodiless: bool) -> (Vec<(u16, Vec<u8>)>, Vec<u8>) {
    let mut wire = Wire::new(join(Script(pieces.into()), sink()));
    wire.begin(bodiless, MAX_HEADER_SIZE);
    let wire = Rc::new(RefCell::new(wire));
    let mut under = UnderHyper(Rc::clone(&wire));
    let mut cx = Context::from_waker(Waker::noop());
    let mut got = Vec::new();
    let mut buffer = [0; 256];
    loop {
        let mut out = ReadBuf::new(&mut buffer);
        match Pin::new(&mut under).poll_read(&mut cx, &mut out) {
            Poll::Ready(Ok(())) if !out.filled().is_empty() => got.extend_from_slice(out.filled()),
            _ => break,
        }
    }
    let mut wire = wire.borrow_mut();
    let mut heads = Vec::new();
    while let Some(head) = wire.next_head() {
        heads.push((head.status, head.text.clone()));
    }
    (heads, got)
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
