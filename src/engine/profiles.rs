//! Ways to connect.

use std::collections::HashMap;
use std::sync::Arc;

use crate::connect::Profile;

/// Ways to connect by number, as long as an origin holds them.
#[derive(Default)]
pub(super) struct Profiles {
    by_id: HashMap<u32, (Arc<Profile>, u32)>,
    ids: HashMap<Arc<Profile>, u32>,
    next: u32,
}

impl Profiles {
    /// The number of a profile; the caller holds it.
    pub fn intern(&mut self, profile: Profile) -> u32 {
        if let Some(&id) = self.ids.get(&profile) {
            return id;
        }
        let profile = Arc::new(profile);
        let id = self.next;
        // JavaScript counts from 1 in 31 bits; by the time they come back, the old ones are long gone.
        self.next = (self.next + 1) & 0x3fff_ffff;
        self.by_id.insert(id, (Arc::clone(&profile), 0));
        self.ids.insert(profile, id);
        id
    }

    pub fn hold(&mut self, id: u32) {
        if let Some((_, holders)) = self.by_id.get_mut(&id) {
            *holders += 1;
        }
    }

    pub fn release(&mut self, id: u32) {
        let Some((profile, holders)) = self.by_id.get_mut(&id) else {
            return;
        };
        *holders -= 1;
        if *holders == 0 {
            self.ids.remove(profile);
            self.by_id.remove(&id);
        }
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn get(&self, id: u32) -> Option<Arc<Profile>> {
        self.by_id.get(&id).map(|(profile, _)| Arc::clone(profile))
    }
}
