//! Memory of which there is so much that giving it back takes long.

use std::ops::{Deref, DerefMut};

use tokio::runtime::Handle;

/// Less is given back in about a millisecond.
const LARGE: usize = 4 * 1024 * 1024;

/// Bytes that a thread of their own frees if there are many. On the I/O thread everybody's requests would wait until the system
/// has taken the pages back: 16 ms for 64 MB.
#[derive(Default)]
pub struct Large(Vec<u8>);

impl Large {
    pub fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Whether to free it here would hold up the I/O thread, the only one that is tokio's.
    fn goes_elsewhere(&self) -> bool {
        self.0.capacity() >= LARGE && Handle::try_current().is_ok()
    }
}

impl From<Vec<u8>> for Large {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Large {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Large {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for Large {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        if !self.goes_elsewhere() {
            return;
        }
        let bytes = std::mem::take(&mut self.0);
        // Without a thread for it, it is freed here.
        let _ = std::thread::Builder::new()
            .name("keepwire-free".into())
            .spawn(move || drop(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_taken_out_is_not_freed() {
        let mut large = Large::from(vec![1; LARGE]);
        let place = large.as_ptr();
        large[0] = 2;
        let bytes = large.into_vec();
        assert_eq!((bytes.as_ptr(), bytes[0], bytes[1]), (place, 2, 1));
    }

    #[tokio::test]
    async fn much_of_it_goes_elsewhere_than_where_exchanges_are_carried() {
        let [little, much] = [1, LARGE].map(|length| Large::from(vec![1; length]));
        assert_eq!(
            (little.goes_elsewhere(), much.goes_elsewhere()),
            (false, true)
        );
        let elsewhere = std::thread::spawn(move || much.goes_elsewhere());
        assert!(!elsewhere.join().unwrap(), "a decoder frees it itself");
    }
}
