//! How many requests an agent allows at a time, in total and for each origin.
//!
//! A request holds its place until its connection is idle again, so the places taken are the connections in use. Waiting
//! requests of an origin are served first come, first served; origins take turns.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::sync::Lazy;
use tokio::sync::oneshot;

use crate::error::{Failure, Phase};

/// What an agent allows.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// Requests under way at one origin.
    pub per_origin: u32,
    /// Requests under way altogether.
    pub in_total: u32,
    /// Requests that may wait for one origin.
    pub pending: u32,
}

#[derive(Default)]
struct State {
    busy: u32,
    origins: HashMap<Arc<str>, Origin>,
    /// Origins that have waiting requests, the next one to be served first.
    turns: VecDeque<Arc<str>>,
}

#[derive(Default)]
struct Origin {
    busy: u32,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

/// The requests of one agent.
pub struct Limits {
    allowed: Mutex<Allowed>,
    state: Mutex<State>,
}

/// A request's place; given on when it is dropped.
pub struct Place {
    limits: Arc<Limits>,
    origin: Arc<str>,
    /// Not if nobody was there any more to take it.
    counts: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limits {
    /// The limits of an agent without requests.
    pub fn new(allowed: Allowed) -> Arc<Self> {
        Arc::new(Self {
            allowed: Mutex::new(allowed),
            state: Mutex::default(),
        })
    }

    /// Changes what is allowed; counts from the next request, or the next one's end.
    pub fn set(&self, allowed: Allowed) {
        *lock(&self.allowed) = allowed;
    }

    /// Waits for a place at `origin`.
    ///
    /// # Errors
    ///
    /// `ERR_KEEPWIRE_QUEUE_FULL` if as many requests wait for that origin as may.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, its place goes to the next.
    pub async fn place(self: &Arc<Self>, origin: &Arc<str>) -> Result<Place, Failure> {
        let turn = {
            let allowed = *lock(&self.allowed);
            let mut state = lock(&self.state);
            let in_total = state.busy;
            let here = state.origins.entry(Arc::clone(origin)).or_default();
            here.waiting.retain(|waiting| !waiting.is_closed());
            if here.waiting.is_empty()
                && here.busy < allowed.per_origin
                && in_total < allowed.in_total
            {
                here.busy += 1;
                state.busy += 1;
                return Ok(self.place_at(origin));
            }
            if here.waiting.len() >= allowed.pending as usize {
                return Err(Failure::new(
                    "ERR_KEEPWIRE_QUEUE_FULL",
                    "Too many requests are waiting for a connection",
                    Phase::Queue,
                ));
            }
            let (sender, turn) = oneshot::channel();
            here.waiting.push_back(sender);
            if !state.turns.contains(origin) {
                state.turns.push_back(Arc::clone(origin));
            }
            turn
        };
        // The sender is in the queue until it has sent.
        turn.await
            .map_err(|_| Failure::new("ECONNRESET", "socket hang up", Phase::Queue))
    }

    fn place_at(self: &Arc<Self>, origin: &Arc<str>) -> Place {
        Place {
            limits: Arc::clone(self),
            origin: Arc::clone(origin),
            counts: true,
        }
    }

    fn release(self: &Arc<Self>, origin: &Arc<str>) {
        let allowed = *lock(&self.allowed);
        let mut state = lock(&self.state);
        state.busy -= 1;
        if let Some(here) = state.origins.get_mut(origin) {
            here.busy -= 1;
        }
        let mut looked = 0;
        while state.busy < allowed.in_total && looked < state.turns.len() {
            let Some(next) = state.turns.pop_front() else {
                break;
            };
            let Some(here) = state.origins.get_mut(&next) else {
                continue;
            };
            let mut served = false;
            if here.busy < allowed.per_origin {
                while let Some(waiting) = here.waiting.pop_front() {
                    match waiting.send(self.place_at(&next)) {
                        Ok(()) => {
                            here.busy += 1;
                            served = true;
                            break;
                        }
                        Err(mut place) => place.counts = false,
                    }
                }
            }
            if served {
                state.busy += 1;
                looked = 0;
            } else {
                looked += 1;
            }
            if state
                .origins
                .get(&next)
                .is_some_and(|here| !here.waiting.is_empty())
            {
                state.turns.push_back(next);
            }
        }
        if state
            .origins
            .get(origin)
            .is_some_and(|here| here.busy == 0 && here.waiting.is_empty())
        {
            state.origins.remove(origin);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.counts {
            self.limits.release(&self.origin);
        }
    }
}

#[derive(Default)]
struct Registry {
    all: HashMap<u32, Arc<Limits>>,
    latest: u32,
}

static REGISTRY: Lazy<Mutex<Registry>> = Lazy::new(Mutex::default);

/// Registers an agent's limits; their number, never 0.
pub fn register(allowed: Allowed) -> u32 {
    let mut registry = lock(&REGISTRY);
    registry.latest += 1;
    let number = registry.latest;
    registry.all.insert(number, Limits::new(allowed));
    number
}

/// Forgets the limits of an agent that is gone; requests that have them keep them.
pub fn forget(number: u32) {
    lock(&REGISTRY).all.remove(&number);
}

/// The limits of a number.
pub fn get(number: u32) -> Option<Arc<Limits>> {
    if number == 0 {
        return None;
    }
    lock(&REGISTRY).all.get(&number).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(per_origin: u32, in_total: u32, pending: u32) -> Arc<Limits> {
        Limits::new(Allowed {
            per_origin,
            in_total,
            pending,
        })
    }

    async fn polled<F: std::future::Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn places_of_an_origin_are_given_first_come_first_served() {
        let limits = allowed(1, 9, 9);
        let a: Arc<str> = "a".into();
        let first = limits.place(&a).await.unwrap();
        let mut second = Box::pin(limits.place(&a));
        let mut third = Box::pin(limits.place(&a));
        assert!(polled(&mut second).await.is_none());
        assert!(polled(&mut third).await.is_none());
        drop(first);
        assert!(polled(&mut third).await.is_none());
        let second = second.await.unwrap();
        drop(second);
        assert!(third.await.is_ok());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_place_to_the_next() {
        let limits = allowed(1, 9, 9);
        let a: Arc<str> = "a".into();
        let first = limits.place(&a).await.unwrap();
        let mut second = Box::pin(limits.place(&a));
        let mut third = Box::pin(limits.place(&a));
        assert!(polled(&mut second).await.is_none());
        assert!(polled(&mut third).await.is_none());
        drop(second);
        drop(first);
        drop(third.await.unwrap());
        assert_eq!(lock(&limits.state).busy, 0);
        assert!(lock(&limits.state).origins.is_empty());
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_refused() {
        let limits = allowed(1, 9, 1);
        let a: Arc<str> = "a".into();
        let _first = limits.place(&a).await.unwrap();
        let mut second = Box::pin(limits.place(&a));
        assert!(polled(&mut second).await.is_none());
        let refused = limits.place(&a).await.err().unwrap();
        assert_eq!(refused.code, "ERR_KEEPWIRE_QUEUE_FULL");
    }

    #[tokio::test]
    async fn under_a_total_limit_origins_take_turns() {
        let limits = allowed(9, 1, 9);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = limits.place(&a).await.unwrap();
        let mut a2 = Box::pin(limits.place(&a));
        let mut a3 = Box::pin(limits.place(&a));
        let mut b1 = Box::pin(limits.place(&b));
        for waiting in [&mut a2, &mut a3] {
            assert!(polled(waiting).await.is_none());
        }
        assert!(polled(&mut b1).await.is_none());
        drop(first);
        let a2 = polled(&mut a2).await.unwrap();
        assert!(polled(&mut b1).await.is_none());
        drop(a2);
        assert!(polled(&mut a3).await.is_none());
        drop(polled(&mut b1).await.unwrap());
        assert!(polled(&mut a3).await.is_some());
    }
}
