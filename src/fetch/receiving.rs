//! The response's way to JavaScript.
//!
//! What is there at once goes with the head, in one record. The end is told when the connection is back in the pool.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::ext::ReasonPhrase;
use reqwest::Response;

use super::decoding::Incoming;
use super::failure;
use super::limits::Place;
use super::order::{Link, Order};
use super::settled;
use crate::config::INLINE_BODY;
use crate::error::{Failure, Phase};
use crate::exchange::events;
use crate::exchange::head::{Framing, Head};

/// Tells a response, from its head to its end.
///
/// # Errors
///
/// What breaks it off.
pub async fn deliver(
    response: Response,
    order: &Order,
    redirected: bool,
    link: &Arc<Link>,
    place: Option<Place>,
) -> Result<(), Failure> {
    let head = head(&response, order, redirected);
    let response = http::Response::<reqwest::Body>::from(response);
    let (parts, body) = response.into_parts();
    let mut body = Incoming::new(body, &parts.headers)
        .map_err(|message| Failure::new("", message, Phase::Head))?;

    let mut gathered = Gathered::default();
    while gathered.len() < INLINE_BODY {
        match now(body.piece()) {
            Poll::Ready(Some(Ok(piece))) => gathered.add(piece),
            // Told after the head.
            Poll::Ready(Some(Err(error))) => {
                tell_head(link, &head, &gathered.take(), false);
                return Err(broken(&*error, order));
            }
            Poll::Ready(None) => {
                finish(body, place).await;
                tell_head(link, &head, &gathered.take(), true);
                return Ok(());
            }
            Poll::Pending => break,
        }
    }
    let first = gathered.take();
    if first.len() < INLINE_BODY {
        tell_head(link, &head, &first, false);
    } else {
        tell_head(link, &head, &[], false);
        link.data(first, false);
    }
    loop {
        link.window().await;
        match body.piece().await {
            Some(Ok(piece)) => link.data(piece, false),
            Some(Err(error)) => return Err(broken(&*error, order)),
            None => break,
        }
    }
    finish(body, place).await;
    link.events.end(link.exchange, true, true, &[]);
    Ok(())
}

/// Nothing is told before the connection is where the next request looks for it.
async fn finish(body: Incoming, place: Option<Place>) {
    drop(body);
    settled().await;
    drop(place);
}

fn tell_head(link: &Link, head: &Head, body: &[u8], end: bool) {
    link.head_told.store(true, Ordering::Relaxed);
    let response = events::Response {
        head,
        body,
        end,
        request_written: true,
    };
    link.events.response(link.exchange, response);
}

fn broken(error: &(dyn std::error::Error + 'static), order: &Order) -> Failure {
    let host = order.head.url.host_str().unwrap_or_default();
    failure::describe(error, host, 0, Phase::Body)
}

/// `:url\0…` if it is not the one that was asked for, `name\0value…`, the reason.
fn head(response: &Response, order: &Order, redirected: bool) -> Head {
    let mut text = Vec::with_capacity(512);
    if redirected {
        text.extend_from_slice(b":url\0");
        text.extend_from_slice(order.head.url.as_str().as_bytes());
        text.push(0);
    }
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
        http10: false,
        keep_alive: true,
        framing: Framing::None,
        upgrades: false,
        len: text.len(),
        text,
    }
}

/// What `future` has to say without waiting.
pub fn now<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Pieces put together; a single one stays as it is.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    all: Vec<u8>,
}

impl Gathered {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn add(&mut self, piece: Bytes) {
        if self.first.is_empty() {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
    }

    fn take(&mut self) -> Bytes {
        if self.all.is_empty() {
            return std::mem::take(&mut self.first);
        }
        self.first = Bytes::new();
        std::mem::take(&mut self.all).into()
    }
}
