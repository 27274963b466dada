//! Large pieces of requests, copied out of JavaScript's memory.
//!
//! They can't be read where they are: whoever has written one may transfer its memory to another thread, which frees it, while the
//! I/O thread still reads. The copy goes into memory that was used before, since the pages of a fresh piece cost as much as what is
//! copied into it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::large::Large;

/// Of larger pieces no memory is kept.
const LARGEST: usize = 2 << 20;
/// So many bytes are kept at most.
const MOST_KEPT: usize = 8 << 20;

/// Memory that nobody uses.
struct Spare(Mutex<Vec<Vec<u8>>>);

static SPARE: Spare = Spare(Mutex::new(Vec::new()));

impl Spare {
    fn buffers(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer for so many bytes; none that is much larger.
    fn take(&self, len: usize) -> Vec<u8> {
        let fits = |buffer: &Vec<u8>| (len..=4 * len).contains(&buffer.capacity());
        let mut buffers = self.buffers();
        let found = buffers.iter().position(fits).map(|at| buffers.remove(at));
        drop(buffers);
        found.unwrap_or_else(|| Vec::with_capacity(len))
    }

    /// Keeps a buffer, in place of the oldest ones if there are too many.
    fn put(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() > LARGEST {
            return;
        }
        buffer.clear();
        let mut gone = Vec::new();
        let mut buffers = self.buffers();
        buffers.push(buffer);
        let mut kept: usize = buffers.iter().map(Vec::capacity).sum();
        while kept > MOST_KEPT {
            let oldest = buffers.remove(0);
            kept -= oldest.capacity();
            gone.push(oldest);
        }
        drop(buffers);
        drop(gone);
    }
}

/// A piece whose memory is used again.
struct Piece(Vec<u8>);

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        SPARE.put(std::mem::take(&mut self.0));
    }
}

/// Copies a piece.
pub fn copy(piece: &[u8]) -> Bytes {
    if piece.len() > LARGEST {
        return Bytes::from_owner(Large::from(piece.to_vec()));
    }
    let mut buffer = SPARE.take(piece.len());
    buffer.extend_from_slice(piece);
    Bytes::from_owner(Piece(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nobody_has_the_piece() {
        let piece = copy(&[1; 100_000]);
        let place = piece.as_ptr();
        let held = piece.slice(5..10);
        drop(piece);
        let other = copy(&[2; 100_000]);
        assert_ne!(other.as_ptr(), place);
        assert_eq!(&held[..], [1; 5]);
        drop(held);
        let again = copy(&[3; 99_000]);
        assert_eq!((again.as_ptr(), &again[..]), (place, &[3; 99_000][..]));
    }

    #[test]
    fn no_more_is_kept_than_has_a_limit() {
        let spare = Spare(Mutex::new(Vec::new()));
        let kept = || spare.buffers().iter().map(Vec::capacity).sum::<usize>();
        for _ in 0..20 {
            spare.put(Vec::with_capacity(1 << 20));
        }
        assert_eq!(kept(), MOST_KEPT);
        spare.put(Vec::with_capacity(LARGEST + 1));
        assert_eq!(kept(), MOST_KEPT);
        assert!(
            spare.take(1_000).capacity() < 5_000,
            "a large one is not for little"
        );
        assert_eq!(kept(), MOST_KEPT);
    }
}
