//! A response's way to JavaScript.
//!
//! What is there at once goes with the head, in one record; the rest when somebody reads it, whole or piece by piece. The end
//! is left to whoever knows when the connection is free for the next request.

use std::sync::atomic::Ordering;
use std::task::Poll;

use bytes::Bytes;

use super::channel::{Channel, Wanted};
use super::content::PIECE;
use super::decoding::{too_large, BoxError, Incoming};
use super::gathered::Gathered;
use crate::config::{INLINE_BODY, RESPONSE_WINDOW};
use crate::exchange::events;
use crate::http1::head::Head;

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
