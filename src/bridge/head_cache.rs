//! Response heads that repeat, told once.
//!
//! A server's heads differ by little more than the second of their Date. JavaScript keeps what it made of a head under a
//! small number when it comes a second time; from the third on only the number travels. A head that never repeats costs
//! one hash.

/// Numbers are 1 to this; they ride in the upper bits of a record's `aux`.
pub const SLOTS: usize = 32;
const SEEN: usize = 64;
/// Bytes of a head that is kept. A thread's heads come to 128 KiB at most, here and in JavaScript.
const LONGEST: usize = 4 * 1024;
/// Whose value must not outlive its response.
const CREDENTIAL: &[u8] = b"set-cookie";

/// How a head is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// In full.
    Once,
    /// In full, to be kept under this number.
    Keep(u16),
    /// By the number it was kept under.
    Again(u16),
}

/// The heads that JavaScript knows by number.
pub struct HeadCache {
    kept: Vec<(u64, Vec<u8>)>,
    next: usize,
    seen: [u64; SEEN],
}

impl Default for HeadCache {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            next: 0,
            seen: [0; SEEN],
        }
    }
}

impl HeadCache {
    /// Decides how `head` is told; both sides must carry the decision out.
    pub fn tell(&mut self, head: &[u8]) -> Told {
        // A text of no length says that the head is a kept one.
        if head.is_empty() || head.len() > LONGEST {
            return Told::Once;
        }
        let hash = hash(head);
        let known = self
            .kept
            .iter()
            .position(|(kept, bytes)| *kept == hash && bytes == head);
        if let Some(slot) = known {
            return Told::Again(slot as u16 + 1);
        }
        let seen = &mut self.seen[hash as usize % SEEN];
        if *seen != hash {
            *seen = hash;
            return Told::Once;
        }
        if has_credential(head) {
            return Told::Once;
        }
        let slot = self.next;
        self.next = (slot + 1) % SLOTS;
        if slot == self.kept.len() {
            self.kept.push((hash, head.to_vec()));
        } else {
            self.kept[slot] = (hash, head.to_vec());
        }
        Told::Keep(slot as u16 + 1)
    }
}

/// Whether a name in it, or a value, is that of a credential: all are joined by NUL.
fn has_credential(head: &[u8]) -> bool {
    head.split(|&byte| byte == 0)
        .any(|text| text.len() == CREDENTIAL.len() && text.eq_ignore_ascii_case(CREDENTIAL))
}

/// Eight bytes at a time; equality is checked on the bytes, so collisions cost nothing but time.
fn hash(bytes: &[u8]) -> u64 {
    let mut state = bytes.len() as u64 ^ 0x51_7c_c1_b7_27_22_0a_95;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        state = (state.rotate_left(5) ^ word).wrapping_mul(0x51_7c_c1_b7_27_22_0a_95);
    }
    for &byte in chunks.remainder() {
        state = (state.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x51_7c_c1_b7_27_22_0a_95);
    }
    state ^ (state >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_kept_at_its_second_coming_and_only_numbered_from_the_third() {
        let mut heads = HeadCache::default();
        assert_eq!(heads.tell(b"Server\0x\0OK"), Told::Once);
        assert_eq!(heads.tell(b"Server\0x\0OK"), Told::Keep(1));
        assert_eq!(heads.tell(b"Server\0x\0OK"), Told::Again(1));
        assert_eq!(heads.tell(b"Server\0y\0OK"), Told::Once);
        assert_eq!(heads.tell(b""), Told::Once);
        assert_eq!(heads.tell(b""), Told::Once);
        assert_eq!(heads.tell(b"Server\0x\0OK"), Told::Again(1));
    }

    #[test]
    fn heads_that_are_long_or_set_cookies_are_never_kept() {
        let mut heads = HeadCache::default();
        let long = [b"x\0", &b"y".repeat(LONGEST)[..], b"\0OK"].concat();
        for head in [&long[..], b"Set-Cookie\0id=1\0OK", b"a\0b\0set-cookie\0c\0"] {
            for _ in 0..5 {
                assert_eq!(heads.tell(head), Told::Once);
            }
        }
        assert!(heads.kept.is_empty());
        let fits = &long[..LONGEST];
        assert_eq!(heads.tell(fits), Told::Once);
        assert_eq!(heads.tell(fits), Told::Keep(1));
    }

    #[test]
    fn numbers_are_used_again_and_name_the_latest_head() {
        let mut heads = HeadCache::default();
        for n in 0..3 * SLOTS {
            let head = format!("n\0{n}\0OK").into_bytes();
            heads.tell(&head);
            let told = heads.tell(&head);
            let Told::Keep(slot) = told else {
                panic!("{told:?}");
            };
            assert_eq!(heads.tell(&head), Told::Again(slot));
        }
        assert_ne!(heads.tell(b"n\x000\0OK"), Told::Again(1));
    }
}
