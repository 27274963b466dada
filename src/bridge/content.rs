//! Content codings of responses that came over the runtime's own sockets: the same decoders as for the engine's, on the
//! runtime's threads for such work, a piece at a time.

use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{header, HeaderMap, HeaderValue};
use napi::bindgen_prelude::{AsyncTask, Buffer, BufferSlice};
use napi::{Env, Error, Result, Status, Task};
use napi_derive::napi;
use once_cell::sync::Lazy;

use crate::error::Failure;
use crate::fetch::content::{codings, Content, Progress, PIECE};
use crate::pool::PortId;

/// Bodies being decoded, by port and number; one that is being worked on is `None`.
#[derive(Default)]
struct Open {
    contents: HashMap<(PortId, u32), Option<Content>>,
    latest: u32,
}

static OPEN: Lazy<Mutex<Open>> = Lazy::new(Mutex::default);

fn open() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a body with these `content-encoding` fields; 0: it is to be left as it is.
#[napi]
pub fn open_content(port: PortId, encodings: Vec<String>) -> Result<u32> {
    let mut headers = HeaderMap::new();
    for encoding in encodings {
        let value = HeaderValue::from_str(&encoding).unwrap_or(HeaderValue::from_static("?"));
        headers.append(header::CONTENT_ENCODING, value);
    }
    let codings =
        codings(&headers).map_err(|message| Error::new(Status::GenericFailure, message))?;
    if codings.is_empty() {
        return Ok(0);
    }
    let mut open = open();
    let mut number = open.latest;
    loop {
        number = number.wrapping_add(1).max(1);
        if !open.contents.contains_key(&(port, number)) {
            break;
        }
    }
    open.latest = number;
    open.contents
        .insert((port, number), Some(Content::new(&codings)));
    Ok(number)
}

/// Nobody wants it any more.
#[napi]
pub fn close_content(port: PortId, content: u32) {
    open().contents.remove(&(port, content));
}

/// All of a thread's.
pub fn close_contents(port: PortId) {
    open().contents.retain(|key, _| key.0 != port);
}

/// What decoding came to.
#[napi(object)]
pub struct BindingDecoded {
    pub bytes: Buffer,
    /// 0 there is more without further encoded bytes, 1 it needs some, 2 the content is over, 3 it failed.
    pub state: u32,
    /// Of a failure.
    pub code: String,
    pub message: String,
}

/// Decodes a piece. `chunk`: more encoded bytes, if it needed some; empty: there are no more.
#[napi]
pub fn decode_content(
    port: PortId,
    content: u32,
    chunk: Option<BufferSlice<'_>>,
) -> AsyncTask<Decode> {
    let key = (port, content);
    let taken = open().contents.get_mut(&key).and_then(Option::take);
    let mut content = taken.unwrap_or_default();
    match chunk {
        Some(chunk) if chunk.is_empty() => content.end(),
        Some(chunk) => content.feed(Bytes::copy_from_slice(&chunk)),
        None => {}
    }
    AsyncTask::new(Decode { key, content })
}

/// One piece of work.
pub struct Decode {
    key: (PortId, u32),
    content: Content,
}

impl Task for Decode {
    type Output = (Vec<u8>, u32, String, String);
    type JsValue = BindingDecoded;

    fn compute(&mut self) -> Result<Self::Output> {
        let content = &mut self.content;
        let worked = catch_unwind(AssertUnwindSafe(|| content.work(PIECE)));
        let bytes = std::mem::take(self.content.decoded());
        let (state, code, message) = match worked {
            Ok(Ok(Progress::Full | Progress::Paused)) => (0, String::new(), String::new()),
            Ok(Ok(Progress::Hungry)) => (1, String::new(), String::new()),
            Ok(Ok(Progress::Over)) => (2, String::new(), String::new()),
            Ok(Err(error)) => {
                let failure = error
                    .get_ref()
                    .and_then(|error| error.downcast_ref::<Failure>());
                let code = failure.map_or("Z_DATA_ERROR", |failure| &failure.code);
                (3, code.to_owned(), error.to_string())
            }
            Err(_) => (3, String::new(), "the decoder has failed".to_owned()),
        };
        Ok((bytes, state, code, message))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> Result<Self::JsValue> {
        if let Some(place) = open().contents.get_mut(&self.key) {
            *place = Some(std::mem::take(&mut self.content));
        }
        let (bytes, state, code, message) = output;
        Ok(BindingDecoded {
            bytes: bytes.into(),
            state,
            code,
            message,
        })
    }
}
