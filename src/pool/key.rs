//! What makes two connections interchangeable.
//!
//! An identity is a text that its maker fills with everything that distinguishes connections: the agent's name for the
//! origin (host, port, local address, family, socket path) and whatever else was fixed when the connection was opened.
//! Connections are interchangeable if and only if their identities are equal.
//!
//! Invariant: an identity has one [`KeyId`] for as long as anybody holds it, and the number of one that was let go names
//! no other for a long time.

use std::collections::HashMap;
use std::sync::Arc;

use super::slab::IdSlab;
use super::types::KeyId;

/// The identities that are held. Hosts come from users' input, so it is hashed with std's keyed hash.
pub struct Keys {
    by_identity: HashMap<Arc<str>, u32>,
    entries: IdSlab<Entry>,
}

struct Entry {
    identity: Arc<str>,
    holders: u32,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            by_identity: HashMap::new(),
            entries: IdSlab::new(32, 24),
        }
    }
}

impl Keys {
    /// The key of an identity, held once more.
    ///
    /// # Panics
    /// With sixteen million identities at a time: memory ends before.
    pub fn hold(&mut self, identity: &str) -> KeyId {
        if let Some(&index) = self.by_identity.get(identity) {
            self.entries[index].holders += 1;
            return self.entries.id(index);
        }
        assert!(!self.entries.is_full(), "too many origins");
        let identity: Arc<str> = identity.into();
        let (index, key) = self.entries.insert(Entry {
            identity: Arc::clone(&identity),
            holders: 1,
        });
        self.by_identity.insert(identity, index);
        key
    }

    /// Held once less.
    pub fn release(&mut self, key: KeyId) {
        let Some(index) = self.entries.find(key) else {
            return;
        };
        let entry = &mut self.entries[index];
        entry.holders -= 1;
        if entry.holders == 0 {
            let identity = std::mem::replace(&mut entry.identity, "".into());
            self.by_identity.remove(&identity);
            self.entries.remove(index);
        }
    }

    /// What a key stands for; `None` if nobody holds it.
    #[cfg(test)]
    pub fn identity(&self, key: KeyId) -> Option<&str> {
        let index = self.entries.find(key)?;
        Some(&self.entries[index].identity)
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}
