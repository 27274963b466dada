//! What there is of a body at once.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::channel::Channel;

/// What `future` has to say without waiting.
pub fn now<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Pieces put together; a single one stays as it is.
#[derive(Default)]
pub struct Gathered {
    first: Bytes,
    all: Vec<u8>,
}

impl Gathered {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    /// All of it, with room for so many bytes altogether.
    pub fn into_vec(mut self, room: usize) -> Vec<u8> {
        let mut all = if self.all.is_empty() {
            Vec::from(self.take())
        } else {
            self.all
        };
        if all.capacity() < room {
            all.reserve_exact(room - all.len());
        }
        all
    }

    /// Puts a piece behind the others.
    pub fn add(&mut self, piece: Bytes) {
        if self.first.is_empty() {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
    }

    pub fn tell(&mut self, channel: &Channel) {
        if !self.is_empty() {
            channel.data(self.take(), false);
        }
    }

    /// Empties it.
    pub fn take(&mut self) -> Bytes {
        if self.all.is_empty() {
            return std::mem::take(&mut self.first);
        }
        self.first = Bytes::new();
        std::mem::take(&mut self.all).into()
    }
}
