//! The response's way to JavaScript.
//!
//! What is there at once goes with the head, in one record; the rest when somebody reads it, whole or piece by piece. The end
//! is told when the connection is back in the pool.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::ext::ReasonPhrase;
use reqwest::Response;

use super::clients;
use super::content::PIECE;
use super::decoding::{too_large, BoxError, Incoming};
use super::failure;
use super::gathered::Gathered;
use super::order::{Link, Order, Wanted};
use crate::config::{INLINE_BODY, RESPONSE_WINDOW};
use crate::error::Failure;
use crate::exchange::events;
use crate::http1::head::{Framing, Head};
use crate::http1::version::Version;

/// Tells a response, from its head to its end.
///
/// # Errors
///
/// What breaks it off.
pub async fn deliver(response: Response, order: &Order, link: &Arc<Link>) -> Result<(), Failure> {
    let head = head(&response);
    let expected = response.content_length().unwrap_or_default();
    let response = http::Response::<reqwest::Body>::from(response);
    let (parts, body) = response.into_parts();
    let mut body =
        Incoming::new(body, &parts.headers).map_err(|message| Failure::new("", message))?;
    let written = true;
    let rest = tell(&head, &mut body, link, written, expected)
        .await
        .map_err(|error| broken(&*error, order))?;
    // Nothing is told before the connection is where the next request looks for it.
    drop(body);
    clients::settled().await;
    rest.tell(&head, link, written, true);
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
    pub fn tell(self, head: &Head, link: &Link, written: bool, keep_alive: bool) {
        match self {
            Self::All(body) if body.len() < INLINE_BODY => {
                tell_head(link, head, &body, true, written);
            }
            Self::All(body) => {
                tell_head(link, head, &[], false, written);
                link.data(body, false);
                link.events.end(link.exchange, keep_alive, written, &[]);
            }
            Self::End => link.events.end(link.exchange, keep_alive, written, &[]),
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
    link: &Link,
    written: bool,
    expected: u64,
) -> Result<Rest, BoxError> {
    let mut gathered = Gathered::default();
    while gathered.len() < INLINE_BODY {
        match body.piece_now().await {
            Poll::Ready(Some(Ok(piece))) => gathered.add(piece),
            // Told after the head.
            Poll::Ready(Some(Err(error))) => {
                tell_head(link, head, &gathered.take(), false, written);
                return Err(error);
            }
            Poll::Ready(None) => return Ok(Rest::All(gathered.take())),
            Poll::Pending => break,
        }
    }
    tell_head(link, head, &[], false, written);
    // Until somebody reads the body it waits here, as far as the window allows: read whole, it goes whole.
    loop {
        match link.wanted() {
            Some(Wanted::Pieces) => break,
            Some(Wanted::Whole { most }) => {
                let most = most as usize;
                if expected > most as u64 || gathered.len() > most {
                    return Err(too_large(most));
                }
                if let Some(room) = link.room(expected).filter(|_| body.is_plain()) {
                    body.fill(gathered.take(), &*room).await?;
                    link.events.filled(link.exchange, room.len());
                    return Ok(Rest::End);
                }
                let reserved = expected.min(MOST_RESERVED) as usize;
                let all = body.rest(gathered.into_vec(reserved), most).await?;
                if !all.is_empty() {
                    link.data(all.into(), false);
                }
                return Ok(Rest::End);
            }
            None => {}
        }
        let has_room = gathered.len() < RESPONSE_WINDOW;
        if !has_room {
            link.events.stalled(link.exchange);
        }
        let piece = tokio::select! {
            biased;
            () = link.asked() => continue,
            piece = body.piece(), if has_room => piece,
        };
        match piece {
            Some(Ok(piece)) => gathered.add(piece),
            Some(Err(error)) => return Err(error),
            None => {
                gathered.tell(link);
                return Ok(Rest::End);
            }
        }
    }
    gathered.tell(link);
    loop {
        link.window().await;
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
        gathered.tell(link);
        if let Some(ended) = ended {
            return ended;
        }
    }
}

/// What is set aside at once for a body that says its length: no server decides about more.
const MOST_RESERVED: u64 = 16 * 1024 * 1024;

fn tell_head(link: &Link, head: &Head, body: &[u8], end: bool, request_written: bool) {
    link.head_told.store(true, Ordering::Relaxed);
    let response = events::Response {
        head,
        body,
        end,
        request_written,
    };
    link.events.response(link.exchange, response);
}

fn broken(error: &(dyn std::error::Error + 'static), order: &Order) -> Failure {
    let host = order.head.url.host_str().unwrap_or_default();
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
