//! Storage of the pool: slabs whose values keep their index for life, and doubly linked lists that run through
//! them. Linking, unlinking and look-up are a few memory accesses whatever the size, and nothing is allocated
//! once a slab has grown to its working size.
//!
//! Invariant: an index is used only between its `insert` and its `remove`; the owners of the lists see to that.

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::{Index, IndexMut};

/// The index that means "none".
pub(super) const NIL: u32 = u32::MAX;

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

/// Values by index that are also known outside by an id: the index below, a generation above, so that an id of the
/// past names nothing. Ids are never 0, and freed indexes rest in a queue so that an id comes back late.
pub(super) struct IdSlab<T> {
    items: Vec<(u32, T)>,
    resting: VecDeque<u32>,
    live: usize,
    index_bits: u32,
    generations: u32,
    rest: usize,
}

impl<T> IdSlab<T> {
    /// Ids have `id_bits`, of which `index_bits` count the values that may live at the same time; at least `rest`
    /// freed indexes wait before the first of them is taken again.
    pub fn new(id_bits: u32, index_bits: u32, rest: usize) -> Self {
        let generations = (1u64 << (id_bits - index_bits)) as u32;
        IdSlab {
            items: Vec::new(),
            resting: VecDeque::new(),
            live: 0,
            index_bits,
            generations,
            rest,
        }
    }

    pub fn len(&self) -> usize {
        self.live
    }

    pub fn is_full(&self) -> bool {
        self.live + self.rest >= 1 << self.index_bits
    }

    /// Must not be called when [`is_full`](Self::is_full). Returns index and id.
    pub fn insert(&mut self, value: T) -> (u32, u32) {
        self.live += 1;
        if self.resting.len() > self.rest {
            if let Some(index) = self.resting.pop_front() {
                let id = self.next_id(index);
                self.items[index as usize] = (id, value);
                return (index, id);
            }
        }
        let index = self.items.len() as u32;
        let id = 1 << self.index_bits | index;
        self.items.push((id, value));
        (index, id)
    }

    pub fn remove(&mut self, index: u32) {
        self.live -= 1;
        self.resting.push_back(index);
        // Until it is taken again, the entry carries the id that comes next: no id in circulation names it.
        self.items[index as usize].0 = self.next_id(index);
    }

    pub fn find(&self, id: u32) -> Option<u32> {
        let index = id & ((1 << self.index_bits) - 1);
        self.items
            .get(index as usize)
            .is_some_and(|item| item.0 == id)
            .then_some(index)
    }

    pub fn id(&self, index: u32) -> u32 {
        self.items[index as usize].0
    }

    fn next_id(&self, index: u32) -> u32 {
        let generation = (self.items[index as usize].0 >> self.index_bits) + 1;
        let generation = if generation >= self.generations {
            1
        } else {
            generation
        };
        generation << self.index_bits | index
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
