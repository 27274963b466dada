//! Sessions that later handshakes continue.
//!
//! They belong to one [`super::Tls`], so agents that differ in what they trust or show never share one. Within it they are
//! kept by endpoint, at most as many endpoints as the user allows; the one used longest ago goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::NamedGroup;

/// Tickets kept of one endpoint. Servers send one or two with each full handshake, and each is used once.
const TICKETS: usize = 8;

/// The sessions of one [`super::Tls`].
#[derive(Debug)]
pub(super) struct Sessions {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_endpoint: HashMap<String, Entry>,
    /// Used longest ago first.
    order: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Entry {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl Sessions {
    /// Keeps those of at most `limit` endpoints.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            kept: Mutex::default(),
        })
    }

    /// The sessions of one endpoint, as rustls asks for them.
    pub(super) fn of(self: &Arc<Self>, endpoint: String) -> Arc<dyn ClientSessionStore> {
        Arc::new(OfEndpoint {
            sessions: Arc::clone(self),
            endpoint,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, endpoint: &str, change: impl FnOnce(&mut Entry) -> R) -> R {
        let mut kept = self.lock();
        let Kept { by_endpoint, order } = &mut *kept;
        if let Some(at) = order.iter().position(|known| known == endpoint) {
            order.remove(at);
        } else if order.len() >= self.limit.max(1) {
            if let Some(oldest) = order.pop_front() {
                by_endpoint.remove(&oldest);
            }
        }
        order.push_back(endpoint.to_owned());
        change(by_endpoint.entry(endpoint.to_owned()).or_default())
    }
}

/// rustls's key, the server's name, is left aside: an endpoint has one.
#[derive(Debug)]
struct OfEndpoint {
    sessions: Arc<Sessions>,
    endpoint: String,
}

impl OfEndpoint {
    fn look<R>(&self, look: impl FnOnce(&mut Entry) -> Option<R>) -> Option<R> {
        self.sessions
            .lock()
            .by_endpoint
            .get_mut(&self.endpoint)
            .and_then(look)
    }
}

impl ClientSessionStore for OfEndpoint {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.sessions
            .change(&self.endpoint, |entry| entry.group = Some(group));
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.look(|entry| entry.group)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.sessions
            .change(&self.endpoint, |entry| entry.tls12 = Some(value));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.look(|entry| entry.tls12.clone())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.look(|entry| entry.tls12.take());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.sessions.change(&self.endpoint, |entry| {
            if entry.tls13.len() == TICKETS {
                entry.tls13.pop_front();
            }
            entry.tls13.push_back(value);
        });
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.look(|entry| entry.tls13.pop_back())
    }
}
