//! What JavaScript asked for: heads, read once for requests of the same text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::Url;

use super::stats::{self, Counters};
use crate::pool::ExchangeId;

/// A request's body.
#[derive(Debug)]
pub enum Body {
    /// None.
    None,
    /// Known, but still on its way here.
    Coming,
    /// All of it; may be sent again.
    Whole(Bytes),
    /// Piece by piece, once.
    Stream,
}

/// What a request says before its body.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The origin of `url`.
    pub origin: Arc<str>,
    /// The header fields.
    pub headers: HeaderMap,
    /// What is counted of the origin.
    pub counters: Arc<Counters>,
}

/// A fetch that was asked for.
#[derive(Debug)]
pub struct FetchRequest {
    /// The caller's number for it.
    pub exchange: ExchangeId,
    /// Shared by requests of the same text.
    pub head: Arc<RequestHead>,
    /// The request's body.
    pub body: Body,
    /// The number of its client (see [`super::clients`]).
    pub client: u32,
}

/// Most fields of a request's head; the client adds some, to a map that panics at 24,577.
const MOST_FIELDS: usize = 16 * 1024;
/// Most heads that are remembered.
const MOST_HEADS: usize = 256;
/// Longest text of a head that is remembered.
const LONGEST_TEXT: usize = 4096;

thread_local! {
    /// Heads by their texts: programs ask for the same again and again.
    static HEADS: RefCell<HashMap<Box<[u8]>, Arc<RequestHead>>> = RefCell::default();
}

/// Whether a URL can be the client's.
pub fn makes_sense(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.has_host() && http::Uri::try_from(url.as_str()).is_ok())
}

impl RequestHead {
    /// Reads `METHOD\0url\0name\0value…`; `None` if it makes no sense, which JavaScript sees to (`lib/fetch/head.js`).
    fn parse(text: &[u8]) -> Option<Self> {
        let mut fields = text.split(|&byte| byte == 0);
        let method = Method::from_bytes(fields.next()?).ok()?;
        let url = Url::parse(std::str::from_utf8(fields.next()?).ok()?).ok()?;
        let mut headers = HeaderMap::new();
        while let Some(name) = fields.next() {
            let name = HeaderName::from_bytes(name).ok()?;
            let value = HeaderValue::from_bytes(fields.next()?).ok()?;
            headers.try_append(name, value).ok()?;
        }
        if headers.len() > MOST_FIELDS {
            return None;
        }
        let origin: Arc<str> = url.origin().ascii_serialization().into();
        Some(Self {
            method,
            url,
            headers,
            counters: stats::of(&origin),
            origin,
        })
    }

    fn of(text: &[u8]) -> Option<Arc<Self>> {
        HEADS.with_borrow_mut(|heads| {
            if let Some(head) = heads.get(text) {
                return Some(Arc::clone(head));
            }
            let head = Arc::new(Self::parse(text)?);
            if text.len() <= LONGEST_TEXT {
                if heads.len() >= MOST_HEADS {
                    heads.clear();
                }
                heads.insert(text.into(), Arc::clone(&head));
            }
            Some(head)
        })
    }
}

impl FetchRequest {
    /// A request with this head ([`RequestHead`] says how it is written); `None` if it makes no sense.
    pub fn parse(exchange: ExchangeId, client: u32, text: &[u8], body: Body) -> Option<Self> {
        Some(Self {
            exchange,
            head: RequestHead::of(text)?,
            body,
            client,
        })
    }

    /// Whether its body is still on its way.
    pub fn waits_for_body(&self) -> bool {
        matches!(self.body, Body::Coming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_from_its_text() {
        let text = b"POST\0http://a.test/x?y\0a\x001\0set-b\x002\0set-b\x003";
        let request = FetchRequest::parse(7, 0, text, Body::Coming).unwrap();
        assert_eq!(request.head.method, Method::POST);
        assert_eq!(request.head.url.as_str(), "http://a.test/x?y");
        assert_eq!(request.head.headers.get_all("set-b").iter().count(), 2);
        assert!(request.waits_for_body());
    }

    #[test]
    fn more_fields_than_a_map_takes_are_no_request() {
        for (count, is_request) in [(MOST_FIELDS, true), (24_577, false), (40_000, false)] {
            let fields: String = (0..count).map(|i| format!("\0x-{i}\0")).collect();
            let text = format!("GET\0https://a/{fields}");
            let request = FetchRequest::parse(1, 0, text.as_bytes(), Body::None);
            assert_eq!(request.is_some(), is_request, "{count}");
        }
    }

    #[test]
    fn a_text_without_sense_is_no_request() {
        for text in [
            &b""[..],
            b"GET",
            b"GET\0x",
            b"GET\0http://a/\0na me\0v",
            b"GET\0http://a/\0n",
        ] {
            assert!(FetchRequest::parse(1, 0, text, Body::None).is_none());
        }
    }
}
