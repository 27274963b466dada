//! Fetches with `client: 'reqwest'`, which go over that client and not over the engine's connections.
//!
//! * [`request`]: what JavaScript asked for.
//! * [`clients`]: one client for each set of TLS settings.
//! * [`dial_coalescing`]: sees to it that a client opens no connection that nobody needs.
//! * [`sending`], [`receiving`]: a request on its way out, again where that is safe; its response.
//! * [`failure`], [`stats`]: its errors in the engine's words; its counters.
//!
//! Here, too, a connection that can be reused is reused: the end of a response is told after its connection has come back to
//! the client's pool ([`clients::settled`]), and a dial that has become superfluous stands in for the next one
//! ([`dial_coalescing`]).

use std::sync::Arc;

use super::channel::Channel;
use super::under_way::{accompany, accompany_with_body};
use crate::exchange::events::Events;
use crate::pool::PortId;

use self::request::{Body, FetchRequest};

pub mod clients;
pub mod dial_coalescing;
pub mod failure;
pub mod receiving;
pub mod request;
pub mod sending;
pub mod stats;

/// Takes a request of a thread; it begins when its body is there. I/O thread only.
pub fn begin(port: PortId, request: FetchRequest, events: Arc<dyn Events>) {
    let uploads = matches!(request.body, Body::Stream);
    let channel = Arc::new(Channel::new(request.exchange, uploads, events));
    let told = Arc::clone(&channel);
    if request.waits_for_body() {
        accompany_with_body(port, channel, move |bytes| async move {
            let body = Body::Whole(bytes);
            sending::carry_out(FetchRequest { body, ..request }, &told).await;
        });
    } else {
        accompany(port, channel, async move {
            sending::carry_out(request, &told).await;
        });
    }
}
