//! What wakes a JavaScript thread: one thread-safe function for all ports of an environment. It keeps what was current where it was
//! made, an `AsyncLocalStorage`'s store for one, as long as it lives, so it must not be one for each context that comes and goes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status};

use super::in_loop;
use crate::pool::PortId;

type Ring = ThreadsafeFunction<PortId, (), PortId, Status, false, true>;

pub struct Bell {
    ring: Mutex<Option<Ring>>,
    /// Ports that keep the event loop alive. Only the JavaScript thread changes it.
    active: AtomicU32,
}

thread_local! {
    /// By environment: a thread has more than one if the addon was loaded more than once.
    static BELLS: RefCell<HashMap<usize, Arc<Bell>>> = RefCell::default();
}

impl Bell {
    /// The environment's; `wake` is called with the port's number. `ended` runs when the environment ends.
    pub fn of(
        env: &Env,
        wake: Function<'_, PortId, ()>,
        ended: fn(&Arc<Bell>),
    ) -> Result<Arc<Bell>> {
        let key = env.raw() as usize;
        if let Some(bell) = BELLS.with_borrow(|bells| bells.get(&key).cloned()) {
            return Ok(bell);
        }
        let ring: Ring = wake
            .build_threadsafe_function::<PortId>()
            .callee_handled::<false>()
            .weak::<true>()
            .build()?;
        let bell = Arc::new(Bell {
            ring: Mutex::new(Some(ring)),
            active: AtomicU32::new(0),
        });
        BELLS.with_borrow_mut(|bells| bells.insert(key, Arc::clone(&bell)));
        let ending = Arc::clone(&bell);
        env.add_env_cleanup_hook((), move |()| {
            // The thread's own may have gone before.
            let _ = BELLS.try_with(|bells| bells.borrow_mut().remove(&key));
            ended(&ending);
            drop(ending.lock().take());
        })?;
        Ok(bell)
    }

    /// Wakes a port, from any thread.
    pub fn ring(&self, port: PortId) {
        if in_loop::is_called(port) {
            return;
        }
        if let Some(ring) = &*self.lock() {
            ring.call(port, ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// One port more, or less, keeps the event loop alive.
    pub fn set_active(&self, env: &Env, active: bool) -> Result<()> {
        let before = if active {
            self.active.fetch_add(1, Ordering::Relaxed)
        } else {
            self.active.fetch_sub(1, Ordering::Relaxed) - 1
        };
        let mut ring = self.lock();
        let Some(ring) = ring.as_mut().filter(|_| before == 0) else {
            return Ok(());
        };
        // Deprecated in favour of clones, which can't be weak and strong in turn.
        #[allow(deprecated)]
        if active {
            ring.refer(env)
        } else {
            ring.unref(env)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ring>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
