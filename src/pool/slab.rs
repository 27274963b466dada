//! Storage of the pool: slabs whose values keep their index for life, and doubly linked lists that run through
//! them. Linking, unlinking and look-up are a few memory accesses whatever the size, and nothing is allocated
//! once a slab has grown to its working size.
//!
//! Invariant: an index is used only between its `insert` and its `remove`; the owners of the lists see to that.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::{Index, IndexMut};

/// The index that means "none".
pub(super) const NIL: u32 = u32::MAX;

/// The id of a value that is gone.
const NOBODY: u32 = 0;

/// Values by index. A freed index is the next one to be taken: it is still in the processor's cache.
pub(super) struct Slab<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Slab {
            items: Vec::new(),
            free: Vec::new(),
        }
    }

    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.items[index as usize] = value;
            return index;
        }
        self.items.push(value);
        (self.items.len() - 1) as u32
    }

    pub fn remove(&mut self, index: u32) {
        self.free.push(index);
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        &self.items[index as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }
}

/// Values by index that are also known outside by an id, 1 to 2^`id_bits` - 1. Ids are given in turn: one comes back only
/// when all others have had theirs, however few values there are and however fast they come and go.
pub(super) struct IdSlab<T> {
    items: Vec<(u32, T)>,
    free: Vec<u32>,
    by_id: HashMap<u32, u32, IdHash>,
    latest: u32,
    most: usize,
    last: u32,
}

impl<T> IdSlab<T> {
    /// Ids have `id_bits`; 2^`live_bits` values may live at the same time, fewer than there are ids.
    pub fn new(id_bits: u32, live_bits: u32) -> Self {
        debug_assert!(live_bits < id_bits);
        IdSlab {
            items: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::default(),
            latest: 0,
            most: 1 << live_bits,
            last: u32::MAX >> (32 - id_bits),
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_full(&self) -> bool {
        self.by_id.len() >= self.most
    }

    /// Must not be called when [`is_full`](Self::is_full). Returns index and id.
    pub fn insert(&mut self, value: T) -> (u32, u32) {
        let id = self.next_id();
        let index = if let Some(index) = self.free.pop() {
            self.items[index as usize] = (id, value);
            index
        } else {
            self.items.push((id, value));
            (self.items.len() - 1) as u32
        };
        self.by_id.insert(id, index);
        (index, id)
    }

    /// The next id in turn that no living value has.
    fn next_id(&mut self) -> u32 {
        loop {
            self.latest = if self.latest == self.last {
                1
            } else {
                self.latest + 1
            };
            if !self.by_id.contains_key(&self.latest) {
                return self.latest;
            }
        }
    }

    pub fn remove(&mut self, index: u32) {
        self.by_id.remove(&self.id(index));
        self.items[index as usize].0 = NOBODY;
        self.free.push(index);
    }

    pub fn find(&self, id: u32) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub fn id(&self, index: u32) -> u32 {
        self.items[index as usize].0
    }

    /// Ids and values, in no order; as they lie in memory, since there may be many.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let living = self.items.iter().filter(|(id, _)| *id != NOBODY);
        living.map(|(id, value)| (*id, value))
    }
}

impl<T> Index<u32> for IdSlab<T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        &self.items[index as usize].1
    }
}

impl<T> IndexMut<u32> for IdSlab<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize].1
    }
}

/// A value's place in one list.
#[derive(Clone, Copy)]
pub(super) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    /// The value after this one.
    pub fn following(&self) -> Option<u32> {
        (self.next != NIL).then_some(self.next)
    }
}

impl Default for Link {
    fn default() -> Self {
        Link {
            prev: NIL,
            next: NIL,
        }
    }
}

/// A doubly linked list through the values of a slab; `link` picks the values' [`Link`] of this list.
#[derive(Clone, Copy)]
pub(super) struct List {
    head: u32,
    tail: u32,
    pub len: u32,
}

impl Default for List {
    fn default() -> Self {
        List {
            head: NIL,
            tail: NIL,
            len: 0,
        }
    }
}

impl List {
    pub fn first(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }

    pub fn last(&self) -> Option<u32> {
        (self.tail != NIL).then_some(self.tail)
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push_back<T, S>(&mut self, slab: &mut S, index: u32, link: fn(&mut T) -> &mut Link)
    where
        S: IndexMut<u32, Output = T>,
    {
        *link(&mut slab[index]) = Link {
            prev: self.tail,
            next: NIL,
        };
        match self.tail {
            NIL => self.head = index,
            tail => link(&mut slab[tail]).next = index,
        }
        self.tail = index;
        self.len += 1;
    }

    pub fn remove<T, S>(&mut self, slab: &mut S, index: u32, link: fn(&mut T) -> &mut Link)
    where
        S: IndexMut<u32, Output = T>,
    {
        let Link { prev, next } = std::mem::take(link(&mut slab[index]));
        match prev {
            NIL => self.head = next,
            prev => link(&mut slab[prev]).next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => link(&mut slab[next]).prev = prev,
        }
        self.len -= 1;
    }
}

/// Hashes the small integers that this module makes itself; nobody outside can choose them to collide.
#[derive(Default)]
pub(super) struct IdHasher(u64);

pub(super) type IdHash = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    // The product's high bits are its good ones; a hash table picks its bucket by the low ones.
    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn an_id_comes_back_only_after_all_others() {
        let mut slab = IdSlab::new(4, 3);
        let (first, one) = slab.insert('a');
        assert_eq!(one, 1);
        slab.remove(first);
        for expected in (2..=15).chain([1]) {
            let (index, id) = slab.insert('b');
            assert_eq!(id, expected);
            slab.remove(index);
        }
    }

    #[test]
    fn a_living_values_id_is_passed_over_and_a_former_one_names_nothing() {
        let mut slab = IdSlab::new(3, 2);
        let mut random = Random::new(1);
        let mut living: Vec<(u32, u32, u32)> = Vec::new();
        for step in 0..10_000 {
            if !slab.is_full() && (living.is_empty() || random.one_in(2)) {
                let (index, id) = slab.insert(step);
                assert!((1..=7).contains(&id));
                assert!(living.iter().all(|other| other.0 != index && other.1 != id));
                living.push((index, id, step));
            } else {
                let (index, id, value) = living.swap_remove(random.below(living.len()));
                assert_eq!((slab.find(id), slab[index]), (Some(index), value));
                slab.remove(index);
                assert_eq!(slab.find(id), None);
            }
            assert_eq!(slab.len(), living.len());
            for &(index, id, value) in &living {
                assert_eq!(
                    (slab.find(id), slab.id(index), slab[index]),
                    (Some(index), id, value)
                );
            }
        }
    }
}
