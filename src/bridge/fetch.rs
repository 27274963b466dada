//! What `fetch()` registers before it sends commands: identities and limits.

use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::fetch::clients::{self, Identity};
use crate::fetch::limits::{self, Allowed};

/// How connections are made and kept.
#[napi(object)]
pub struct BindingIdentity {
    pub trust: u32,
    pub verify: bool,
    pub certificate: String,
    pub key: String,
    pub local_address: Option<String>,
    pub socket_path: Option<String>,
    pub keep_alive: bool,
    pub idle_timeout_ms: f64,
    pub most_idle: f64,
    pub keep_alive_initial_delay_ms: f64,
    pub no_delay: bool,
    pub connect_timeout_ms: f64,
}

/// An agent's limits. `Infinity` means none.
#[napi(object)]
pub struct BindingAllowed {
    pub per_origin: f64,
    pub in_total: f64,
    pub pending: f64,
}

impl From<BindingAllowed> for Allowed {
    fn from(allowed: BindingAllowed) -> Self {
        // `as` saturates: Infinity is the largest number.
        Allowed {
            per_origin: allowed.per_origin as u32,
            in_total: allowed.in_total as u32,
            pending: allowed.pending as u32,
        }
    }
}

/// Keeps a bundle of certificate authorities; its number.
#[napi]
pub fn fetch_trust(pem: String) -> u32 {
    clients::trust(&pem)
}

/// The number of an identity.
#[napi]
pub fn fetch_identity(identity: BindingIdentity) -> Result<u32> {
    let local_address = identity.local_address.filter(|address| !address.is_empty());
    let invalid = |_| Error::new(Status::InvalidArg, "invalid localAddress");
    let number = clients::intern(Identity {
        trust: identity.trust,
        verify: identity.verify,
        certificate: identity.certificate,
        key: identity.key,
        local_address: local_address
            .map(|address| address.parse().map_err(invalid))
            .transpose()?,
        socket_path: identity.socket_path,
        keep_alive: identity.keep_alive,
        idle_timeout_ms: identity.idle_timeout_ms as u64,
        most_idle: identity.most_idle as usize,
        keep_alive_initial_delay_ms: identity.keep_alive_initial_delay_ms as u64,
        no_delay: identity.no_delay,
        connect_timeout_ms: identity.connect_timeout_ms as u64,
    });
    // What a command has room for.
    if number > u16::MAX.into() {
        let message = "too many agents with settings of their own";
        return Err(Error::new(Status::GenericFailure, message));
    }
    Ok(number)
}

/// The number of an agent's limits, never 0; with one given, that one's are changed.
#[napi]
pub fn fetch_limits(number: u32, allowed: BindingAllowed) -> u32 {
    match limits::get(number) {
        Some(limits) => {
            limits.set(allowed.into());
            number
        }
        None => limits::register(allowed.into()),
    }
}

/// Forgets the limits of an agent that is gone.
#[napi]
pub fn forget_fetch_limits(number: u32) {
    limits::forget(number);
}
