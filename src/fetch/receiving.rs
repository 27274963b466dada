//! The response's way to JavaScript.
//!
//! What is there at once goes with the head, in one record; the rest when somebody reads it, whole or piece by piece. The end
//! is told when the connection is back in the pool.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use hyper::ext::ReasonPhrase;
use reqwest::Response;

use super::clients;
use super::content::PIECE;
use super::decoding::{too_large, BoxError, Incoming};
use super::failure;
use super::gathered::Gathered;
use super::request::{Channel, FetchRequest, RequestHead, Wanted};
use crate::config::{INLINE_BODY, RESPONSE_WINDOW};
use crate::error::Failure;
use crate::exchange::events;
use crate::http1::head::{Framing, Head};
use crate::http1::version::Version;
use crate::metrics::method_number;

/// Tells a response, from its head to its end, to a request that began at `begun`.
///
/// # Errors
///
/// What breaks it off.
pub async fn deliver(
    response: Response,
    request: &FetchRequest,
    channel: &Arc<Channel>,
    begun: Instant,
) -> Result<(), Failure> {
    let head = head(&response);
    let expected = response.content_length().unwrap_or_default();
    let response = http::Response::<reqwest::Body>::from(response);
    let (parts, body) = response.into_parts();
    let mut body =
        Incoming::new(body, &parts.headers).map_err(|message| Failure::new("", message))?;
    let written = true;
    let rest = tell(&head, &mut body, channel, written, expected)
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

/// What is still to be told of a response that is complete.
pub enum Rest {
    /// Head and body.
    All(Bytes),
    /// The end.
    End,
}

impl Rest {
    /// Tells it. `keep_alive`: the message allows another one on its connection.
    pub fn tell(self, head: &Head, channel: &Channel, written: bool, keep_alive: bool) {
        match self {
            Self::All(body) if body.len() < INLINE_BODY => {
                tell_head(channel, head, &body, true, written);
            }
            Self::All(body) => {
                tell_head(channel, head, &[], false, written);
                channel.data(body, false);
                channel
                    .events
                    .end(channel.exchange, keep_alive, written, &[]);
            }
            Self::End => channel
                .events
                .end(channel.exchange, keep_alive, written, &[]),
        }
    }
}

/// Tells a response as far as it comes before its end; what is there at once goes with the head. `written`: the whole
/// request is in the kernel; `expected`: bytes of the body, as far as known.
///
/// # Errors
///
/// What breaks it off; its head has been told.
pub async fn tell(
    head: &Head,
    body: &mut Incoming,
    channel: &Channel,
    written: bool,
    expected: u64,
) -> Result<Rest, BoxError> {
    let mut gathered = Gathered::default();
    while gathered.len() < INLINE_BODY {
        match body.piece_now().await {
            Poll::Ready(Some(Ok(piece))) => gathered.add(piece),
            // Told after the head.
            Poll::Ready(Some(Err(error))) => {
                tell_head(channel, head, &gathered.take(), false, written);
                return Err(error);
            }
            Poll::Ready(None) => return Ok(Rest::All(gathered.take())),
            Poll::Pending => break,
        }
    }
    tell_head(channel, head, &[], false, written);
    // Until somebody reads the body it waits here, as far as the window allows: read whole, it goes whole.
    loop {
        match channel.wanted() {
            Some(Wanted::Pieces) => break,
            Some(Wanted::Whole { most }) => {
                let most = most as usize;
                if expected > most as u64 || gathered.len() > most {
                    return Err(too_large(most));
                }
                if let Some(room) = channel.room(expected).filter(|_| body.is_identity()) {
                    body.fill(gathered.take(), &*room).await?;
                    channel.events.filled(channel.exchange, room.len());
                    return Ok(Rest::End);
                }
                let reserved = expected.min(MOST_RESERVED) as usize;
                let all = body.rest(gathered.into_vec(reserved), most).await?;
                if !all.is_empty() {
                    channel.data(all.into(), false);
                }
                return Ok(Rest::End);
            }
            None => {}
        }
        let has_room = gathered.len() < RESPONSE_WINDOW;
        if !has_room {
            channel.events.stalled(channel.exchange);
        }
        let piece = tokio::select! {
            biased;
            () = channel.asked() => continue,
            piece = body.piece(), if has_room => piece,
        };
        match piece {
            Some(Ok(piece)) => gathered.add(piece),
            Some(Err(error)) => return Err(error),
            None => {
                gathered.tell(channel);
                return Ok(Rest::End);
            }
        }
    }
    gathered.tell(channel);
    loop {
        channel.window().await;
        match body.piece().await {
            Some(Ok(piece)) => gathered.add(piece),
            Some(Err(error)) => return Err(error),
            None => return Ok(Rest::End),
        }
        // Small pieces that are there go together.
        let ended = loop {
            if gathered.len() >= PIECE {
                break None;
            }
            match body.piece_now().await {
                Poll::Ready(Some(Ok(piece))) => gathered.add(piece),
                Poll::Ready(Some(Err(error))) => break Some(Err(error)),
                Poll::Ready(None) => break Some(Ok(Rest::End)),
                Poll::Pending => break None,
            }
        };
        gathered.tell(channel);
        if let Some(ended) = ended {
            return ended;
        }
    }
}

/// What is set aside at once for a body that says its length: no server decides about more.
const MOST_RESERVED: u64 = 16 * 1024 * 1024;

fn tell_head(channel: &Channel, head: &Head, body: &[u8], end: bool, request_written: bool) {
    channel.head_told.store(true, Ordering::Relaxed);
    let response = events::Response {
        head,
        body,
        end,
        request_written,
    };
    channel.events.response(channel.exchange, response);
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
