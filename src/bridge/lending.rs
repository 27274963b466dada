//! Buffers that JavaScript lends the engine for bodies whose length is known.
//!
//! What a body is read into must be memory of the runtime's own, else it can't be transferred to other threads. So JavaScript
//! makes the buffer, and the engine writes to it what it reads, on its own thread: nothing is copied on JavaScript's.
//!
//! JavaScript shows a buffer to nobody before it has it back, and its thread alone lets go of it: before its environment ends, and
//! never while a write is under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use once_cell::sync::Lazy;

use crate::fetch::channel::Room;
use crate::pool::{ExchangeId, PortId};

struct Lent {
    /// `None`: JavaScript has it back.
    buffer: Mutex<Option<Buffer>>,
    len: usize,
}

/// Known by this alone to whoever only writes: tests of the engine are linked without napi.
trait Reclaim: Room {
    fn reclaim(&self) -> Option<Buffer>;
}

impl Reclaim for Lent {
    fn reclaim(&self) -> Option<Buffer> {
        self.buffer().take()
    }
}

impl Lent {
    fn buffer(&self) -> MutexGuard<'_, Option<Buffer>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room for Lent {
    fn len(&self) -> usize {
        self.len
    }

    fn put(&self, at: usize, bytes: &[u8]) -> bool {
        let mut buffer = self.buffer();
        let place = buffer
            .as_mut()
            .and_then(|buffer| buffer.get_mut(at..at.checked_add(bytes.len())?));
        place.is_some_and(|place| {
            place.copy_from_slice(bytes);
            true
        })
    }
}

type All = HashMap<(PortId, ExchangeId), Arc<dyn Reclaim>>;

static LENT: Lazy<Mutex<All>> = Lazy::new(Mutex::default);

fn all_lent() -> MutexGuard<'static, All> {
    LENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lends a buffer for the body of an exchange's response, which is to fill it.
#[napi]
pub fn lend_buffer(port: PortId, exchange: f64, buffer: Buffer) {
    let lent = Arc::new(Lent {
        len: buffer.len(),
        buffer: Mutex::new(Some(buffer)),
    });
    all_lent().insert((port, exchange as ExchangeId), lent);
}

/// The engine may not write to it any more.
#[napi]
pub fn reclaim_buffer(port: PortId, exchange: f64) {
    drop(reclaim(port, exchange as ExchangeId));
}

/// The buffer that was lent for an exchange.
pub fn reclaim(port: PortId, exchange: ExchangeId) -> Option<Buffer> {
    let lent = all_lent().remove(&(port, exchange))?;
    lent.reclaim()
}

/// All of a thread's.
pub fn reclaim_all(port: PortId) {
    let keys: Vec<_> = all_lent()
        .keys()
        .filter(|key| key.0 == port)
        .copied()
        .collect();
    for (port, exchange) in keys {
        drop(reclaim(port, exchange));
    }
}

/// How many are lent.
pub fn count() -> usize {
    all_lent().len()
}

/// Where the body of an exchange's response goes, if a buffer was lent for it.
pub fn room(port: PortId, exchange: ExchangeId) -> Option<Arc<dyn Room>> {
    let lent = all_lent().get(&(port, exchange)).map(Arc::clone)?;
    Some(lent)
}
