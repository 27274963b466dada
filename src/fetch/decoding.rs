//! A response's body as JavaScript gets it: without its content codings, which other threads take off ([`super::decoders`]).
//!
//! Encoded bytes are read when a decoder wants them, and it works when somebody wants what comes of it: of a body that
//! nobody reads there is one piece in each place. Dropped, all that is under way for it is dropped.

use std::io;
use std::task::{ready, Poll};

use bytes::Bytes;
use http::{header, HeaderMap};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::channel::Room;
use super::content::{codings, Content, Progress, PIECE};
use super::decoders::{self, Worked};
use super::gathered::{now, Gathered};
use super::pace::Pace;
use crate::error::Failure;
use crate::large::Large;

/// What ends a body early.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The code by which JavaScript knows a body beyond its limit.
pub const TOO_LARGE: &str = "ERR_KEEPWIRE_RESPONSE_TOO_LARGE";

/// A body as it comes over a connection.
type Encoded = UnsyncBoxBody<Bytes, BoxError>;

/// A response's body, decoded if need be.
pub enum Incoming {
    /// As it came.
    Identity(Encoded),
    /// Through decoders.
    Decoded(Box<Decoded>),
}

/// A body on its way through its decoders.
pub struct Decoded {
    encoded: Encoded,
    state: State,
    /// How fast pieces may be told.
    pace: Pace,
    /// It can't go on without more encoded bytes.
    is_hungry: bool,
    is_over: bool,
    /// A decoder's error, told after what was decoded before it.
    fault: Option<BoxError>,
    /// The connection's error, told after what came before it is decoded.
    broken: Option<BoxError>,
}

enum State {
    Resting(Content),
    Working(oneshot::Receiver<Worked>),
}

impl Incoming {
    /// The body of a response that has these header fields.
    ///
    /// # Errors
    ///
    /// More codings than may be.
    pub fn new<B>(body: B, headers: &HeaderMap) -> Result<Self, &'static str>
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let body = body.map_err(Into::into).boxed_unsync();
        if !headers.contains_key(header::CONTENT_ENCODING) || body.is_end_stream() {
            return Ok(Self::Identity(body));
        }
        let codings = codings(headers)?;
        if codings.is_empty() {
            return Ok(Self::Identity(body));
        }
        Ok(Self::Decoded(Box::new(Decoded {
            encoded: body,
            state: State::Resting(Content::new(&codings)),
            pace: Pace::default(),
            is_hungry: true,
            is_over: false,
            fault: None,
            broken: None,
        })))
    }

    /// The next piece; `None` once the message is complete.
    ///
    /// # Errors
    ///
    /// The connection's or a decoder's.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping it.
    pub async fn piece(&mut self) -> Option<Result<Bytes, BoxError>> {
        match self {
            Self::Identity(body) => frame(body).await,
            Self::Decoded(decoded) => match decoded.piece(true).await {
                Poll::Ready(piece) => piece,
                Poll::Pending => None,
            },
        }
    }

    /// The next piece, if what it is made of is here.
    ///
    /// # Errors
    ///
    /// As [`Self::piece`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping it.
    pub async fn piece_now(&mut self) -> Poll<Option<Result<Bytes, BoxError>>> {
        match self {
            Self::Identity(body) => now(frame(body)),
            Self::Decoded(decoded) => decoded.piece(false).await,
        }
    }

    /// Whether it has no codings: its length is that of the message.
    pub fn is_identity(&self) -> bool {
        matches!(self, Self::Identity(_))
    }

    /// Puts all of it into room that was made for it: what is there already, and what is still to come.
    ///
    /// # Errors
    ///
    /// As [`Self::piece`]; it has another length.
    pub async fn fill(&mut self, first: Bytes, room: &dyn Room) -> Result<(), BoxError> {
        let mut filled = 0;
        let mut next = Some(first);
        while let Some(piece) = next {
            if !room.put(filled, &piece) {
                return Err(misfit());
            }
            filled += piece.len();
            next = self.piece().await.transpose()?;
        }
        if filled == room.len() {
            Ok(())
        } else {
            Err(misfit())
        }
    }

    /// All that is still to come, behind what is there already.
    ///
    /// # Errors
    ///
    /// As [`Self::piece`]; more than `most` bytes altogether.
    pub async fn rest(&mut self, all: Vec<u8>, most: usize) -> Result<Vec<u8>, BoxError> {
        match self {
            Self::Identity(body) => {
                let mut all = Large::from(all);
                while let Some(piece) = frame(body).await {
                    let piece = piece?;
                    if all.len() + piece.len() > most {
                        return Err(too_large(most));
                    }
                    all.extend_from_slice(&piece);
                }
                Ok(all.into_vec())
            }
            Self::Decoded(decoded) => decoded.rest(all, most).await,
        }
    }
}

/// A body of more than `most` bytes.
pub fn too_large(most: usize) -> BoxError {
    let message = format!("The response's body has more than {most} bytes");
    Failure::new(TOO_LARGE, message).into()
}

/// A body that is not as long as its message says. HTTP's framing does not let that happen.
fn misfit() -> BoxError {
    let message = "the response's body has another length than its head says";
    Failure::new("", message).into()
}

/// The next bytes of a body as it came.
async fn frame(body: &mut Encoded) -> Option<Result<Bytes, BoxError>> {
    loop {
        match body.frame().await? {
            Ok(frame) => match frame.into_data() {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Some(Ok(bytes)),
                Err(_trailers) => {}
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

impl Decoded {
    /// The next piece. Pending: not without further encoded bytes, or not yet, and it was not to wait for that.
    async fn piece(&mut self, waits: bool) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            if let State::Resting(content) = &mut self.state {
                let decoded = std::mem::take(content.decoded());
                if !decoded.is_empty() {
                    self.pace.told(decoded.len());
                    return Poll::Ready(Some(Ok(decoded.into())));
                }
                if let Some(fault) = self.fault.take() {
                    return Poll::Ready(Some(Err(fault)));
                }
            }
            if self.is_over {
                let surplus = self.surplus();
                let ended = if waits {
                    surplus.await
                } else {
                    ready!(now(surplus))
                };
                return Poll::Ready(ended.err().map(Err));
            }
            if self.is_hungry {
                let feed = self.feed();
                let fed = if waits { feed.await } else { ready!(now(feed)) };
                if let Err(error) = fed {
                    return Poll::Ready(Some(Err(error)));
                }
            }
            if waits {
                self.pace.due().await;
            } else if !self.pace.is_due() {
                return Poll::Pending;
            }
            self.work(PIECE).await;
        }
    }

    async fn rest(&mut self, all: Vec<u8>, most: usize) -> Result<Vec<u8>, BoxError> {
        // First, the piece that is being decoded.
        if matches!(self.state, State::Working(_)) {
            self.work(PIECE).await;
        }
        if let State::Resting(content) = &mut self.state {
            let decoded = std::mem::replace(content.decoded(), all);
            content.decoded().extend_from_slice(&decoded);
        }
        loop {
            if let State::Resting(content) = &mut self.state {
                if content.decoded().len() > most {
                    return Err(too_large(most));
                }
                if let Some(fault) = self.fault.take() {
                    return Err(fault);
                }
                if self.is_over {
                    let all = Large::from(std::mem::take(content.decoded()));
                    self.surplus().await?;
                    return Ok(all.into_vec());
                }
            }
            if self.is_hungry {
                self.feed().await?;
            }
            self.work(most.saturating_add(1)).await;
        }
    }

    /// Gives the decoders what comes next; what is there already goes together.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping it.
    async fn feed(&mut self) -> Result<(), BoxError> {
        let State::Resting(content) = &mut self.state else {
            return Ok(());
        };
        let mut gathered = Gathered::default();
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        match frame(&mut self.encoded).await {
            Some(Ok(bytes)) => gathered.add(bytes),
            Some(Err(error)) => return Err(error),
            None => content.end(),
        }
        while !gathered.is_empty() && gathered.len() < PIECE {
            match now(frame(&mut self.encoded)) {
                Poll::Ready(Some(Ok(bytes))) => gathered.add(bytes),
                Poll::Ready(Some(Err(error))) => {
                    self.broken = Some(error);
                    break;
                }
                Poll::Ready(None) => {
                    content.end();
                    break;
                }
                Poll::Pending => break,
            }
        }
        self.pace.came(gathered.len());
        content.feed(gathered.take());
        self.is_hungry = false;
        Ok(())
    }

    /// Has the decoders work.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it goes on at the next call.
    async fn work(&mut self, most: usize) {
        if let State::Resting(content) = &mut self.state {
            let worth = content
                .decoded()
                .len()
                .saturating_add(self.pace.allowance());
            match decoders::decode(std::mem::take(content), most, worth) {
                Ok(worked) => self.state = State::Working(worked),
                Err(error) => self.fault = Some(error.into()),
            }
        }
        let State::Working(worked) = &mut self.state else {
            return;
        };
        let given_up = || io::Error::other("the decoder has failed");
        let (content, progress) = worked
            .await
            .unwrap_or_else(|_| (Content::default(), Err(given_up())));
        self.state = State::Resting(content);
        match progress {
            Ok(Progress::Hungry) => self.is_hungry = true,
            Ok(Progress::Over) => self.is_over = true,
            Ok(Progress::Full | Progress::Paused) => {}
            Err(error) => self.fault = Some(error.into()),
        }
    }

    /// Reads what follows the content's end: the connection is free only after the whole message.
    async fn surplus(&mut self) -> Result<(), BoxError> {
        while let Some(bytes) = frame(&mut self.encoded).await {
            bytes?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Place(Mutex<Vec<u8>>);

    impl Room for Place {
        fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }

        fn put(&self, at: usize, bytes: &[u8]) -> bool {
            let mut all = self.0.lock().unwrap();
            let Some(place) = all.get_mut(at..at + bytes.len()) else {
                return false;
            };
            place.copy_from_slice(bytes);
            true
        }
    }

    #[tokio::test]
    async fn a_body_fills_the_room_that_was_made_for_it_and_no_other() {
        for (len, fits) in [(11, true), (10, false), (12, false), (5, false)] {
            let body = http_body_util::Full::from("and so on");
            let mut incoming = Incoming::new(body, &HeaderMap::new()).unwrap();
            assert!(incoming.is_identity());
            let place = Place(Mutex::new(vec![0; len]));
            let filled = incoming.fill(Bytes::from_static(b"1,"), &place).await;
            assert_eq!(filled.is_ok(), fits, "{len}");
            if fits {
                assert_eq!(&place.0.into_inner().unwrap()[..], b"1,and so on");
            }
        }
    }
}
