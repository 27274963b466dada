//! What makes two connections interchangeable.
//!
//! An identity is a string of bytes that its maker fills with everything that distinguishes connections: the agent's
//! name for the origin (host, port, local address, family, socket path) and whatever else was fixed when the
//! connection was opened. Connections are interchangeable if and only if their identities are equal byte for byte.
//!
//! Invariant: one identity has one [`KeyId`] for the life of the process. Keys are not given back, because
//! JavaScript keeps them in its own table; one costs its bytes and some 40 more.

use std::collections::HashMap;

use super::types::KeyId;

/// The table of identities. Hosts come from users' input, so it is hashed with std's keyed hash.
#[derive(Default)]
pub(super) struct Keys {
    by_identity: HashMap<Box<[u8]>, KeyId>,
}

impl Keys {
    pub fn intern(&mut self, identity: &[u8]) -> KeyId {
        if let Some(&key) = self.by_identity.get(identity) {
            return key;
        }
        let key = self.by_identity.len() as KeyId;
        self.by_identity.insert(identity.into(), key);
        key
    }
}
