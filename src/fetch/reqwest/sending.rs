//! One request, sent, and sent again where that is safe.
//!
//! A request is sent a second time only if its connection was there already, the method is safe, the whole request is
//! known and not one byte of a response has come; then once, on a fresh connection (RFC 9110, section 9.2.2). One that the
//! server says it has not begun to process goes to another connection, whatever its method (RFC 9113, section 8.7).

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use reqwest::{Request, Response};

use super::clients;
use super::dial_coalescing::Attempt;
use super::failure;
use super::receiving;
use super::request::{Body, FetchRequest, RequestHead};
use super::stats::Counted;
use crate::config::MAX_MOVES;
use crate::error::{Failure, Prospect};
use crate::faults::{self, FaultPoint};
use crate::fetch::channel::Channel;

/// Carries a request out, and tells its failure.
///
/// # Cancel safety
///
/// Dropping it closes its connection unless the response is complete; nothing is told then.
pub async fn carry_out(request: FetchRequest, channel: &Arc<Channel>) {
    let counters = Arc::clone(&request.head.counters);
    let result = exchange(&request, channel).await;
    if let Err(failure) = result {
        let code = if failure.code.is_empty() {
            "refused".into()
        } else {
            failure.code.clone()
        };
        if matches!(failure.prospect, Prospect::None | Prospect::Later) {
            // Else the runtime's own TLS is to try, and what comes of that is counted.
            counters.metrics.errors.add(code);
        }
        let after_head = channel.head_told.load(Relaxed);
        channel
            .events
            .failed(channel.exchange, &failure, after_head);
    }
}

async fn exchange(request: &FetchRequest, channel: &Arc<Channel>) -> Result<(), Failure> {
    let _under_way = Counted::new(&request.head.counters.under_way);
    let begun = Instant::now();
    let response = send(request, channel).await?;
    receiving::deliver(response, request, channel, begun).await
}

async fn send(request: &FetchRequest, channel: &Arc<Channel>) -> Result<Response, Failure> {
    faults::at(FaultPoint::Client);
    let origin = &request.head.origin;
    let client = clients::get(request.client, false).map_err(unusable)?;
    let safe = is_safe(&request.head.method);
    if !safe {
        // What the kernel knows by now of a connection's end is heard before it is chosen.
        clients::settled().await;
    }
    let metrics = &request.head.counters.metrics;
    let known = !matches!(request.body, Body::Stream);
    let mut moves = 0;
    let (attempt, error) = loop {
        let attempt = Attempt::new(Arc::clone(origin), Arc::clone(&request.head.counters));
        let begun = Instant::now();
        let error = match attempt
            .scope(client.execute(to_send(request, channel).map_err(refused)?))
            .await
        {
            Ok(response) => {
                if !attempt.dialed() {
                    metrics.reused.fetch_add(1, Relaxed);
                }
                metrics.first_byte.record(begun.elapsed());
                return Ok(response);
            }
            Err(error) => error,
        };
        // What the server has not looked at may be sent again, whatever it is.
        if !known || moves >= MAX_MOVES || !failure::is_unprocessed(&error) {
            break (attempt, error);
        }
        moves += 1;
        metrics.retried.fetch_add(1, Relaxed);
        clients::settled().await;
    };
    if attempt.dialed() || !safe || !known || !failure::is_lost_connection(&error) {
        return Err(described(&error, request));
    }
    metrics.retried.fetch_add(1, Relaxed);
    let client = clients::get(request.client, true).map_err(unusable)?;
    let attempt = Attempt::new(Arc::clone(origin), Arc::clone(&request.head.counters));
    attempt
        .scope(client.execute(to_send(request, channel).map_err(refused)?))
        .await
        .map_err(|error| described(&error, request))
}

/// Methods that change nothing (RFC 9110, section 9.2.1).
fn is_safe(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

fn to_send(request: &FetchRequest, channel: &Arc<Channel>) -> Result<Request, &'static str> {
    let mut sent = Request::new(request.head.method.clone(), request.head.url.clone());
    *sent.headers_mut() = request.head.headers.clone();
    *sent.body_mut() = match &request.body {
        Body::None | Body::Coming => None,
        Body::Whole(bytes) => Some(bytes.clone().into()),
        Body::Stream => {
            let gone = "the body of the request can't be sent again";
            Some(reqwest::Body::wrap(channel.upload().ok_or(gone)?))
        }
    };
    Ok(sent)
}

fn refused(message: &'static str) -> Failure {
    Failure::new("", message)
}

fn unusable(message: String) -> Failure {
    Failure::new("ERR_INVALID_ARG_VALUE", message)
}

fn described(error: &reqwest::Error, request: &FetchRequest) -> Failure {
    let RequestHead { counters, url, .. } = &*request.head;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let failure = failure::describe(error, host, port, false);
    // A server that has shaken hands before can do it.
    if failure.prospect == Prospect::Faint && counters.metrics.created.load(Relaxed) > 0 {
        return Failure {
            prospect: Prospect::None,
            ..failure
        };
    }
    failure
}
