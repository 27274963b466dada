//! Sees to it that a client opens no connection that nobody needs.
//!
//! The client's pool races each dial against the return of another connection. When the latter wins, the dial goes on by
//! itself, and ends as an idle connection: an *orphan*. Left alone, 50 requests in a closed loop open up to twice as many
//! connections. So, before a dial begins, orphans of that origin that are still being opened are counted: for each, one
//! request waits for it in place of dialing. What it becomes is given to whoever has waited longest, and whoever is served
//! leaves a dial, an orphan again, so that nobody waits in vain.
//!
//! A dial knows that it is an orphan by who polls it: as long as its request waits, the request's own task.

use std::collections::HashMap;
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::Notify;
use tower_layer::Layer;
use tower_service::Service;

use super::stats::{Counted, Counters};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Turns that a connection on its way from its dial, through its handshake, to the request that waits for it may take.
const TURNS: usize = 8;

tokio::task_local! {
    /// The attempt that the current task is waiting for.
    static CURRENT: Arc<Attempt>;
}

/// One attempt to send a request.
pub struct Attempt {
    origin: Arc<str>,
    counters: Arc<Counters>,
    dialed: AtomicBool,
}

impl Attempt {
    /// An attempt at `origin`.
    pub fn new(origin: Arc<str>, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            origin,
            counters,
            dialed: AtomicBool::new(false),
        })
    }

    /// Whether a connection was dialed for it; else it went out on one that was there already.
    pub fn dialed(&self) -> bool {
        self.dialed.load(Ordering::Relaxed)
    }

    /// Runs `future`, whose dials are this attempt's.
    pub async fn scope<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        CURRENT.scope(Arc::clone(self), future).await
    }

    /// Whether this attempt's own task is polling.
    fn is_waiting(self: &Arc<Self>) -> bool {
        CURRENT
            .try_with(|current| Arc::ptr_eq(current, self))
            .unwrap_or(false)
    }
}

/// The orphans of one client.
#[derive(Clone, Default)]
pub struct DialCoalescing {
    origins: Arc<Mutex<HashMap<Arc<str>, Origin>>>,
}

#[derive(Default)]
struct Origin {
    orphans: usize,
    waiting: usize,
    changed: Arc<Notify>,
}

impl DialCoalescing {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Origin>> {
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while an orphan stands in for this dial; false: it is no longer needed.
    async fn turn(&self, attempt: &Arc<Attempt>) -> bool {
        loop {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
                if !attempt.is_waiting() {
                    return false;
                }
            }
            let changed = {
                let mut origins = self.lock();
                let Some(state) = origins.get_mut(&attempt.origin) else {
                    return true;
                };
                if state.waiting >= state.orphans {
                    return true;
                }
                state.waiting += 1;
                Arc::clone(&state.changed)
            };
            let _claim = Claim {
                dials: self,
                origin: &attempt.origin,
            };
            // All of this is one thread's: nothing has changed since.
            let mut change = pin!(changed.notified());
            let needed = poll_fn(|cx| {
                if attempt.is_waiting() {
                    change.as_mut().poll(cx).map(|()| true)
                } else {
                    Poll::Ready(false)
                }
            });
            if !needed.await {
                return false;
            }
        }
    }

    fn orphans_changed(&self, origin: &Arc<str>, more: bool) {
        let mut origins = self.lock();
        let state = origins.entry(Arc::clone(origin)).or_default();
        state.orphans = if more {
            state.orphans + 1
        } else {
            state.orphans.saturating_sub(1)
        };
        state.changed.notify_waiters();
        if state.orphans == 0 && state.waiting == 0 {
            origins.remove(origin);
        }
    }
}

/// A request that waits for an orphan.
struct Claim<'a> {
    dials: &'a DialCoalescing,
    origin: &'a Arc<str>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut origins = self.dials.lock();
        if let Some(state) = origins.get_mut(self.origin) {
            state.waiting -= 1;
            if state.orphans == 0 && state.waiting == 0 {
                origins.remove(self.origin);
            }
        }
    }
}

/// A dial under way.
struct Dial<F> {
    future: Pin<Box<F>>,
    attempt: Arc<Attempt>,
    dials: DialCoalescing,
    orphan: bool,
    begun: Instant,
}

impl<F: Future<Output = Result<T, BoxError>>, T> Future for Dial<F> {
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.orphan && !self.attempt.is_waiting() {
            self.orphan = true;
            self.dials.orphans_changed(&self.attempt.origin, true);
        }
        let result = std::task::ready!(self.future.as_mut().poll(cx));
        if result.is_ok() {
            let metrics = &self.attempt.counters.metrics;
            metrics.created.fetch_add(1, Ordering::Relaxed);
            metrics.connect.record(self.begun.elapsed());
        }
        Poll::Ready(result)
    }
}

impl<F> Drop for Dial<F> {
    fn drop(&mut self) {
        if self.orphan {
            self.dials.orphans_changed(&self.attempt.origin, false);
        }
    }
}

impl<S> Layer<S> for DialCoalescing {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector {
            inner,
            dials: self.clone(),
        }
    }
}

/// A client's connector whose dials wait for their turn.
#[derive(Clone)]
pub struct Connector<S> {
    inner: S,
    dials: DialCoalescing,
}

impl<S, R> Service<R> for Connector<S>
where
    S: Service<R, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let attempt = CURRENT.try_with(Arc::clone);
        let mut inner = self.inner.clone();
        let dials = self.dials.clone();
        Box::pin(async move {
            let Ok(attempt) = attempt else {
                return inner.call(target).await;
            };
            if !dials.turn(&attempt).await {
                return Err("no longer needed".into());
            }
            attempt.dialed.store(true, Ordering::Relaxed);
            let counters = Arc::clone(&attempt.counters);
            let _dialing = Counted::new(&counters.dialing);
            let dial = Dial {
                future: Box::pin(inner.call(target)),
                attempt,
                dials,
                orphan: false,
                begun: Instant::now(),
            };
            dial.await
        })
    }
}
