//! A response of the client's. Its end is told when its connection is back in the client's pool.

use std::sync::Arc;
use std::time::Instant;

use hyper::ext::ReasonPhrase;
use reqwest::Response;

use super::clients;
use super::failure;
use super::request::{FetchRequest, RequestHead};
use crate::error::Failure;
use crate::fetch::channel::Channel;
use crate::fetch::decoding::Incoming;
use crate::fetch::response;
use crate::http1::head::{Framing, Head};
use crate::http1::version::Version;
use crate::metrics::method_number;

/// Tells a response, from its head to its end, to a request that began at `begun`.
///
/// # Errors
///
/// What breaks it off.
pub async fn deliver(
    received: Response,
    request: &FetchRequest,
    channel: &Arc<Channel>,
    begun: Instant,
) -> Result<(), Failure> {
    let head = head(&received);
    let expected = received.content_length().unwrap_or_default();
    let (parts, body) = http::Response::<reqwest::Body>::from(received).into_parts();
    let mut body =
        Incoming::new(body, &parts.headers).map_err(|message| Failure::new("", message))?;
    let written = true;
    let rest = response::tell(&head, &mut body, channel, written, expected)
        .await
        .map_err(|error| broken(&*error, request))?;
    // Nothing is told before the connection is where the next request looks for it.
    drop(body);
    clients::settled().await;
    let RequestHead {
        counters, method, ..
    } = &*request.head;
    let method = method_number(method.as_str().as_bytes());
    counters
        .metrics
        .durations
        .record(method, head.status, begun.elapsed());
    rest.tell(&head, channel, written, true);
    Ok(())
}

fn broken(error: &(dyn std::error::Error + 'static), request: &FetchRequest) -> Failure {
    let host = request.head.url.host_str().unwrap_or_default();
    failure::describe(error, host, 0, true)
}

/// `name\0value…`, the reason.
fn head(response: &Response) -> Head {
    let mut text = Vec::with_capacity(512);
    for (name, value) in response.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(0);
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    let status = response.status();
    match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => text.extend_from_slice(reason.as_bytes()),
        // HTTP/2 has none; over HTTP/1 hyper keeps the ones that are not the usual.
        None if response.version() == http::Version::HTTP_2 => {}
        None => text.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes()),
    }
    Head {
        status: status.as_u16(),
        version: Version::Http11,
        keep_alive: true,
        framing: Framing::None,
        upgrades: false,
        len: text.len(),
        text,
    }
}
