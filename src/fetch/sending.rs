//! One request after another, until a response is the fetch's own.
//!
//! A request is sent a second time only if its connection was there already, the method is safe, the whole request is
//! known and not one byte of a response has come; then once, on a fresh connection (RFC 9110, section 9.2.2).

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use http::Method;
use http_body_util::BodyExt;
use reqwest::{Request, Response, Url};
use tokio::time::timeout;

use super::dials::Attempt;
use super::failure;
use super::limits::{self, Place};
use super::order::{Body, Link, Order};
use super::receiving;
use super::redirect::{self, Next};
use super::stats::{Counted, Figures};
use super::{clients, settled};
use crate::error::{Failure, Phase};

/// Bytes of a redirect's body that are read so that its connection can be used again.
const MOST_DISCARDED: usize = 64 * 1024;

/// Carries a fetch out, and tells its failure.
///
/// # Cancel safety
///
/// Dropping it closes its connection unless the response is complete; nothing is told then.
pub async fn carry_out(order: Order, link: &Arc<Link>) {
    let figures = Arc::clone(&order.head.figures);
    let result = match order.timeout {
        // Boxed: most fetches have none, and need no room for it.
        Some(limit) => match Box::pin(timeout(limit, exchange(order, link))).await {
            Ok(result) => result,
            Err(_elapsed) => Err(timed_out()),
        },
        None => exchange(order, link).await,
    };
    if let Err(failure) = result {
        let code = if failure.code.is_empty() {
            "refused".into()
        } else {
            failure.code.clone()
        };
        figures.metrics.errors.add(code);
        let after_head = link.head_told.load(Relaxed);
        link.events.failed(link.exchange, &failure, after_head);
    }
}

fn timed_out() -> Failure {
    let message = "The operation was aborted due to timeout";
    Failure::new("ERR_KEEPWIRE_FETCH_TIMEOUT", message, Phase::Head)
}

async fn exchange(mut order: Order, link: &Arc<Link>) -> Result<(), Failure> {
    let limits = limits::get(order.limits);
    let mut hops = 0;
    loop {
        let origin = Arc::clone(&order.head.origin);
        let figures = Arc::clone(&order.head.figures);
        let place = match &limits {
            Some(limits) => Some(waited(limits.place(&origin), &figures).await?),
            None => None,
        };
        let _under_way = Counted::new(&figures.under_way);
        let response = send(&order, link, &origin).await?;
        let status = response.status().as_u16();
        match redirect::next(&mut order, status, response.headers(), hops).map_err(refused)? {
            Next::Deliver => {
                let redirected = hops > 0;
                return receiving::deliver(response, &order, redirected, link, place).await;
            }
            Next::Follow => Box::pin(discard(response, place)).await,
        }
        hops += 1;
    }
}

/// Counts who waits, and how long.
async fn waited<F: Future>(place: F, figures: &Figures) -> F::Output {
    let mut place = pin!(place);
    // Most need not wait.
    if let Poll::Ready(output) = receiving::now(place.as_mut()) {
        return output;
    }
    let _queued = Counted::new(&figures.queued);
    let begun = Instant::now();
    let output = place.await;
    figures.metrics.wait.record(begun.elapsed());
    output
}

/// Reads what is left of a response, so that its connection can be used again; a long one closes it.
async fn discard(response: Response, place: Option<Place>) {
    let mut body = http::Response::<reqwest::Body>::from(response).into_body();
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, bytes::Bytes::len);
        if read > MOST_DISCARDED {
            break;
        }
    }
    drop(body);
    settled().await;
    drop(place);
}

async fn send(order: &Order, link: &Arc<Link>, origin: &Arc<str>) -> Result<Response, Failure> {
    let client = clients::get(order.identity, false).map_err(unusable)?;
    let safe = is_safe(&order.head.method);
    if !safe {
        // What the kernel knows by now of a connection's end is heard before it is chosen.
        settled().await;
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
        return Err(described(&error, &order.head.url));
    }
    metrics.retried.fetch_add(1, Relaxed);
    let client = clients::get(order.identity, true).map_err(unusable)?;
    let attempt = Attempt::new(Arc::clone(origin), Arc::clone(&order.head.figures));
    attempt
        .scope(client.execute(request(order, link).map_err(refused)?))
        .await
        .map_err(|error| described(&error, &order.head.url))
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
    Failure::new("", message, Phase::Head)
}

fn unusable(message: String) -> Failure {
    Failure::new("ERR_INVALID_ARG_VALUE", message, Phase::Connect)
}

fn described(error: &reqwest::Error, url: &Url) -> Failure {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    failure::describe(error, host, port, Phase::Head)
}
