//! A request's body on its way out: as much as there is and the server has room for.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::SendStream;

use super::super::state::Exchange;
use crate::config::TURN_WRITTEN;
use crate::http2::{Body, Piece};

/// What is left of one, and where it goes.
pub(super) struct Upload {
    sending: SendStream<Bytes>,
    body: Body,
    /// Data of it whose framing is off already: bytes at the front of the request.
    data: usize,
}

/// What has become of an upload.
pub(super) enum Uploaded {
    /// It waits for more of it, or for room.
    Waits,
    /// All is sent, or the server wants no more of it.
    Over,
    /// Its bytes make no sense.
    Broken,
}

impl Upload {
    /// Nothing of the body is sent yet.
    pub(super) fn new(sending: SendStream<Bytes>, body: Body) -> Self {
        Self {
            sending,
            body,
            data: 0,
        }
    }

    /// Sends what there is and fits.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Uploaded {
        if self.sending.poll_reset(cx).is_ready() {
            // Whoever reads hears why; a response that is complete stands.
            return Uploaded::Over;
        }
        let request = &mut exchange.request;
        let until = request.written() + TURN_WRITTEN;
        loop {
            if request.written() >= until {
                cx.waker().wake_by_ref();
                return Uploaded::Waits;
            }
            if self.data > 0 {
                self.sending.reserve_capacity(self.data);
                let mut room = self.sending.capacity();
                if room == 0 {
                    room = match self.sending.poll_capacity(cx) {
                        Poll::Pending => return Uploaded::Waits,
                        Poll::Ready(Some(Ok(room))) => room,
                        Poll::Ready(Some(Err(_)) | None) => return Uploaded::Over,
                    };
                }
                let count = room.min(self.data);
                let Some(bytes) = request.front().map(|front| front.slice(..count)) else {
                    return Uploaded::Broken;
                };
                let is_last = self.body.ends_with_request() && request.ends_after(count);
                request.wrote(count);
                self.data -= count;
                if self.sending.send_data(bytes, is_last).is_err() || is_last {
                    return Uploaded::Over;
                }
                continue;
            }
            let (taken, piece) = match request.front() {
                Some(front) => self.body.next(front),
                None => (0, Piece::Hungry),
            };
            request.wrote(taken);
            match piece {
                Piece::Data(count) => self.data = count,
                Piece::End(None) => {
                    let _ = self.sending.send_data(Bytes::new(), true);
                    return Uploaded::Over;
                }
                Piece::End(Some(fields)) => {
                    let _ = self.sending.send_trailers(fields);
                    return Uploaded::Over;
                }
                Piece::Broken => return Uploaded::Broken,
                Piece::Hungry if taken > 0 => {}
                Piece::Hungry => {
                    if !request.is_finished() {
                        return Uploaded::Waits;
                    }
                    let _ = self.sending.send_data(Bytes::new(), true);
                    return Uploaded::Over;
                }
            }
        }
    }
}
