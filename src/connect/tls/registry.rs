//! Trust and settings by number, process-wide: what many threads and agents share is compiled once.
//!
//! The registry owns nothing. Settings live as long as an origin, a profile, a connection or a client has them; a list of
//! trusted certificates as long as settings use it, or as a thread's default. Contents are known by their digests, so no
//! key outlives its last user here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use once_cell::sync::Lazy;

use super::settings::{digest, Digest};
use super::{Dialect, Settings, SettingsError, Tls, Trust};

static REGISTRY: Lazy<Mutex<Registry>> = Lazy::new(Mutex::default);

thread_local! {
    /// What this thread asked for last: nobody else holds it until it is used.
    static FRESH_TRUST: Cell<Option<Arc<Trust>>> = const { Cell::new(None) };
    static FRESH_TLS: Cell<Option<Arc<Tls>>> = const { Cell::new(None) };
    /// What this thread's runtime trusts by default, without partial chains and with them.
    static DEFAULTS: RefCell<[Option<Arc<Trust>>; 2]> = const { RefCell::new([None, None]) };
}

#[derive(Default)]
struct Registry {
    trusts: Shelf<Trust>,
    all: Shelf<Tls>,
}

/// Things by number and by digest, as long as somebody has them.
struct Shelf<T> {
    by_id: HashMap<u32, (Digest, Weak<T>)>,
    ids: HashMap<Digest, u32>,
    next: u32,
    sweep_at: usize,
}

/// Entries of which some may be gone, before anybody looks.
const SWEEP_AT: usize = 16;

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            ids: HashMap::new(),
            next: 0,
            sweep_at: SWEEP_AT,
        }
    }
}

impl<T> Shelf<T> {
    fn get(&self, id: u32) -> Option<Arc<T>> {
        self.by_id.get(&id).and_then(|(_, known)| known.upgrade())
    }

    fn find(&self, digest: &Digest) -> Option<(u32, Arc<T>)> {
        let &id = self.ids.get(digest)?;
        Some((id, self.get(id)?))
    }

    /// The number that the next one gets. None comes back.
    fn reserve(&mut self) -> u32 {
        let id = self.next;
        self.next += 1;
        id
    }

    fn add(&mut self, id: u32, digest: Digest, thing: &Arc<T>) {
        if self.by_id.len() >= self.sweep_at {
            self.sweep();
        }
        self.by_id.insert(id, (digest, Arc::downgrade(thing)));
        self.ids.insert(digest, id);
    }

    fn sweep(&mut self) {
        self.by_id.retain(|_, (_, known)| known.strong_count() > 0);
        let Self { by_id, ids, .. } = self;
        ids.retain(|_, id| by_id.contains_key(id));
        self.sweep_at = SWEEP_AT.max(2 * self.by_id.len());
    }
}

fn with<R>(ask: impl FnOnce(&mut Registry) -> R) -> R {
    ask(&mut REGISTRY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The number of what trusts the certificates in `pem`; see [`Trust::from_pem`]. It is good for the next [`intern`] of this
/// thread; `is_default`: until this thread has another default.
pub fn intern_trust(pem: &[u8], partial_chains: bool, is_default: bool, dialect: Dialect) -> u32 {
    let digest = digest(&[&[u8::from(partial_chains)], pem]);
    let (id, trust) = with(|registry| {
        registry.trusts.find(&digest).unwrap_or_else(|| {
            let trust = Arc::new(Trust::from_pem(pem, partial_chains, dialect));
            let id = registry.trusts.reserve();
            registry.trusts.add(id, digest, &trust);
            (id, trust)
        })
    });
    if is_default {
        DEFAULTS.with_borrow_mut(|defaults| defaults[usize::from(partial_chains)] = Some(trust));
    } else {
        FRESH_TRUST.set(Some(trust));
    }
    id
}

/// The number of `settings`. It is good until this thread asks for others, or as long as somebody holds what [`hold`] gives.
///
/// # Errors
///
/// Those of [`Tls::new`].
pub fn intern(settings: Settings) -> Result<u32, SettingsError> {
    // Before the lock is released: the settings that it had may be the last user's.
    let _fresh = FRESH_TRUST.take();
    let digest = settings.digest();
    let (id, tls) = with(|registry| {
        if let Some(known) = registry.all.find(&digest) {
            return Ok(known);
        }
        let trust = registry.trusts.get(settings.roots);
        let id = registry.all.reserve();
        let tls = Arc::new(Tls::new(
            id,
            settings,
            trust.ok_or(SettingsError("roots"))?,
        )?);
        registry.all.add(id, digest, &tls);
        Ok((id, tls))
    })?;
    FRESH_TLS.set(Some(tls));
    Ok(id)
}

/// The settings of a number, if somebody has them.
pub fn get(id: u32) -> Option<Arc<Tls>> {
    with(|registry| registry.all.get(id))
}

/// The settings of a number, for who keeps them alive from now on.
pub fn hold(id: u32) -> Option<Arc<Tls>> {
    let held = get(id);
    FRESH_TLS.set(None);
    held
}

/// How many lists and settings somebody has.
pub fn held() -> (usize, usize) {
    with(|registry| {
        registry.trusts.sweep();
        registry.all.sweep();
        (registry.trusts.by_id.len(), registry.all.by_id.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_any_more_is_gone_and_its_number_does_not_come_back() {
        let mut shelf = Shelf::<u8>::default();
        let kept = Arc::new(7);
        let id = shelf.reserve();
        shelf.add(id, [255; 32], &kept);
        for number in 0..1000_u32 {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&number.to_le_bytes());
            let thing = Arc::new(0);
            let id = shelf.reserve();
            shelf.add(id, digest, &thing);
            assert_eq!(shelf.find(&digest).map(|(id, _)| id), Some(id));
            drop(thing);
            assert!(shelf.find(&digest).is_none() && shelf.get(id).is_none());
        }
        assert!(shelf.by_id.len() <= SWEEP_AT && shelf.ids.len() <= SWEEP_AT);
        assert_eq!(shelf.find(&[255; 32]), Some((id, kept)));
        assert_eq!(shelf.next, 1001);
    }
}
