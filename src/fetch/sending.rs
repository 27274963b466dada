//! One request, sent, and sent again where that is safe.
//!
//! A request is sent a second time only if its connection was there already, the method is safe, the whole request is
//! known and not one byte of a response has come; then once, on a fresh connection (RFC 9110, section 9.2.2).

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use reqwest::{Request, Response};

use super::clients;
use super::dials::Attempt;
use super::failure;
use super::order::{Body, Head, Link, Order};
use super::receiving;
use super::stats::Counted;
use crate::error::{Failure, Prospect};
use crate::faults::{self, Stage};

/// Carries an order out, and tells its failure.
///
/// # Cancel safety
///
/// Dropping it closes its connection unless the response is complete; nothing is told then.
pub async fn carry_out(order: Order, link: &Arc<Link>) {
    let figures = Arc::clone(&order.head.figures);
    let result = exchange(&order, link).await;
    if let Err(failure) = result {
        let code = if failure.code.is_empty() {
            "refused".into()
        } else {
            failure.code.clone()
        };
        if matches!(failure.prospect, Prospect::None | Prospect::Later) {
            // Else the runtime's own TLS is to try, and what comes of that is counted.
            figures.metrics.errors.add(code);
        }
        let after_head = link.head_told.load(Relaxed);
        link.events.failed(link.exchange, &failure, after_head);
    }
}

async fn exchange(order: &Order, link: &Arc<Link>) -> Result<(), Failure> {
    let _under_way = Counted::new(&order.head.figures.under_way);
    let response = send(order, link).await?;
    receiving::deliver(response, order, link).await
}

async fn send(order: &Order, link: &Arc<Link>) -> Result<Response, Failure> {
    faults::at(Stage::Client);
    let origin = &order.head.origin;
    let client = clients::get(order.client, false).map_err(unusable)?;
    let safe = is_safe(&order.head.method);
    if !safe {
        // What the kernel knows by now of a connection's end is heard before it is chosen.
        clients::settled().await;
    }
    let attempt = Attempt::new(Arc::clone(origin), Arc::clone(&order.head.figures));
    let metrics = &order.head.figures.metrics;
    let begun = Instant::now();
    let error = match attempt
        .scope(client.execute(request(order, link).map_err(refused)?))
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
    let known = !matches!(order.body, Body::Stream);
    if attempt.dialed() || !safe || !known || !failure::is_lost_connection(&error) {
        return Err(described(&error, order));
    }
    metrics.retried.fetch_add(1, Relaxed);
    let client = clients::get(order.client, true).map_err(unusable)?;
    let attempt = Attempt::new(Arc::clone(origin), Arc::clone(&order.head.figures));
    attempt
        .scope(client.execute(request(order, link).map_err(refused)?))
        .await
        .map_err(|error| described(&error, order))
}

/// Methods that change nothing (RFC 9110, section 9.2.1).
fn is_safe(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

fn request(order: &Order, link: &Arc<Link>) -> Result<Request, &'static str> {
    let mut request = Request::new(order.head.method.clone(), order.head.url.clone());
    *request.headers_mut() = order.head.headers.clone();
    *request.body_mut() = match &order.body {
        Body::None | Body::Coming => None,
        Body::Whole(bytes) => Some(bytes.clone().into()),
        Body::Stream => {
            let gone = "the body of the request can't be sent again";
            Some(reqwest::Body::wrap(link.upload().ok_or(gone)?))
        }
    };
    Ok(request)
}

fn refused(message: &'static str) -> Failure {
    Failure::new("", message)
}

fn unusable(message: String) -> Failure {
    Failure::new("ERR_INVALID_ARG_VALUE", message)
}

fn described(error: &reqwest::Error, order: &Order) -> Failure {
    let Head { figures, url, .. } = &*order.head;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let failure = failure::describe(error, host, port, false);
    // A server that has shaken hands before can do it.
    if failure.prospect == Prospect::Faint && figures.metrics.created.load(Relaxed) > 0 {
        return Failure {
            prospect: Prospect::None,
            ..failure
        };
    }
    failure
}
