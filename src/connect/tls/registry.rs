//! Trust and settings by number, process-wide: what many threads and agents share is compiled once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use once_cell::sync::Lazy;

use super::{Settings, SettingsError, Tls, Trust};

static REGISTRY: Lazy<Mutex<Registry>> = Lazy::new(Mutex::default);

#[derive(Default)]
struct Registry {
    trusts: Vec<Arc<Trust>>,
    trust_ids: HashMap<(Vec<u8>, bool), u32>,
    all: Vec<Arc<Tls>>,
    ids: HashMap<Settings, u32>,
}

fn with<R>(ask: impl FnOnce(&mut Registry) -> R) -> R {
    ask(&mut REGISTRY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The number of what trusts the certificates in `pem`; see [`Trust::from_pem`].
pub fn intern_trust(pem: &[u8], partial_chains: bool) -> u32 {
    with(|registry| {
        let key = (pem.to_vec(), partial_chains);
        if let Some(&id) = registry.trust_ids.get(&key) {
            return id;
        }
        let id = registry.trusts.len() as u32;
        let trust = Trust::from_pem(pem, partial_chains);
        registry.trusts.push(Arc::new(trust));
        registry.trust_ids.insert(key, id);
        id
    })
}

/// The number of `settings`.
///
/// # Errors
///
/// Those of [`Tls::new`].
pub fn intern(settings: Settings) -> Result<u32, SettingsError> {
    with(|registry| {
        if let Some(&id) = registry.ids.get(&settings) {
            return Ok(id);
        }
        let trust = registry.trusts.get(settings.roots as usize);
        let trust = Arc::clone(trust.ok_or(SettingsError("roots"))?);
        let id = registry.all.len() as u32;
        let tls = Tls::new(id, settings.clone(), trust)?;
        registry.all.push(Arc::new(tls));
        registry.ids.insert(settings, id);
        Ok(id)
    })
}

/// The settings of a number.
pub fn get(id: u32) -> Option<Arc<Tls>> {
    with(|registry| registry.all.get(id as usize).cloned())
}
