//! What JavaScript was told of a body and has not acknowledged: nothing more is read while that is too much.

use std::collections::VecDeque;

use crate::config::{RESPONSE_PIECES, RESPONSE_WINDOW};

/// The pieces of one body, in order.
#[derive(Default)]
pub struct Backlog {
    /// Bytes of each.
    pieces: VecDeque<usize>,
    bytes: usize,
}

impl Backlog {
    /// Whether it has to shrink before anything comes behind it and `more` bytes.
    pub fn is_full(&self, more: usize) -> bool {
        self.bytes + more >= RESPONSE_WINDOW || self.pieces.len() >= RESPONSE_PIECES
    }

    /// A piece was told.
    pub fn told(&mut self, bytes: usize) {
        if bytes > 0 {
            self.pieces.push_back(bytes);
            self.bytes += bytes;
        }
    }

    /// So many bytes more have been consumed.
    pub fn acknowledged(&mut self, bytes: usize) {
        let mut rest = bytes.min(self.bytes);
        self.bytes -= rest;
        while let Some(first) = self.pieces.front_mut() {
            if *first > rest {
                *first -= rest;
                break;
            }
            rest -= *first;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_pieces_fill_it_and_both_are_acknowledged() {
        let mut backlog = Backlog::default();
        assert!(backlog.is_full(RESPONSE_WINDOW));
        backlog.told(RESPONSE_WINDOW - 1);
        assert!(!backlog.is_full(0));
        assert!(backlog.is_full(1));
        backlog.told(1);
        assert!(backlog.is_full(0));
        backlog.acknowledged(RESPONSE_WINDOW - 1);
        for _ in 1..RESPONSE_PIECES {
            assert!(!backlog.is_full(0));
            backlog.told(2);
        }
        assert!(backlog.is_full(0));
        // Half of a piece is none.
        backlog.acknowledged(2);
        assert!(!backlog.is_full(0));
        backlog.told(7);
        assert!(backlog.is_full(0));
        backlog.acknowledged(1);
        assert!(!backlog.is_full(0));
        backlog.acknowledged(usize::MAX);
        assert!(backlog.pieces.is_empty());
        assert_eq!(backlog.bytes, 0);
    }
}
