//! The clients that carry fetches whose users have named reqwest: one for the TLS settings of each thread,
//! mostly the same.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::Lazy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::Client;

use super::dial_coalescing::DialCoalescing;
use crate::config::{SESSION_WINDOW, STREAM_WINDOW};
use crate::connect::{self, tls};
use crate::io_thread;

/// As our agents' defaults: idle connections for each origin, how long they are kept, and when they are probed.
const MOST_IDLE: usize = 256;
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Fields of a response's head: as many as fit into what the runtimes take by default, 16 KiB.
const MOST_FIELDS: usize = 4096;
const KEEP_ALIVE_DELAY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Registry {
    /// The clients' TLS settings.
    settings: Vec<Arc<tls::Tls>>,
    clients: HashMap<(u32, bool), Result<Client, String>>,
}

static REGISTRY: Lazy<Mutex<Registry>> = Lazy::new(|| {
    // The clients' connections end with the thread that they live on.
    io_thread::at_end(|| registry().clients.clear());
    Mutex::default()
});

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of the client that has these TLS settings: a process has a few at most. `None`: nobody has such settings.
pub fn intern(tls: u32) -> Option<u32> {
    let tls = tls::hold(tls)?;
    let settings = &mut registry().settings;
    let known = settings.iter().position(|known| *known == tls);
    let number = known.unwrap_or_else(|| {
        settings.push(tls);
        settings.len() - 1
    });
    Some(number as u32)
}

/// The client of a number. A `fresh` one uses no connection twice, and none that is there.
///
/// # Errors
///
/// What is wrong with its settings.
pub fn get(number: u32, fresh: bool) -> Result<Client, String> {
    thread_local! {
        /// The one used last, which mostly is the only one.
        static LATEST: RefCell<Option<(u32, Client)>> = const { RefCell::new(None) };
    }
    let latest = LATEST.with_borrow(|latest| match latest {
        Some((of, client)) if *of == number && !fresh => Some(client.clone()),
        _ => None,
    });
    if let Some(client) = latest {
        return Ok(client);
    }
    let client = made(number, fresh)?;
    if !fresh {
        LATEST.set(Some((number, client.clone())));
    }
    Ok(client)
}

fn made(number: u32, fresh: bool) -> Result<Client, String> {
    let registry = &mut *registry();
    if let Some(client) = registry.clients.get(&(number, fresh)) {
        return client.clone();
    }
    let tls = registry.settings.get(number as usize);
    let client = build(tls.ok_or("no such client")?, fresh);
    registry.clients.insert((number, fresh), client.clone());
    client
}

fn build(tls: &Arc<tls::Tls>, fresh: bool) -> Result<Client, String> {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .dns_resolver(System)
        .connector_layer(DialCoalescing::default())
        // As the engine's sessions: a response that nobody reads takes nothing from its siblings.
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(SESSION_WINDOW)
        .tls_backend_preconfigured(tls::judging(tls))
        .http1_max_headers(MOST_FIELDS)
        .pool_max_idle_per_host(if fresh { 0 } else { MOST_IDLE })
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_keepalive(KEEP_ALIVE_DELAY)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| error.to_string())
}

/// Turns after which whatever follows from a message's end, the return of its connection included, has been done.
const TURNS: usize = 2;

/// Waits until all that is ready by now has had its turn.
pub async fn settled() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// The system's resolver, with its errors.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = connect::lookup(name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
