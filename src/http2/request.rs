//! A request's bytes, as they would go over HTTP/1, made into what HTTP/2 sends.

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri};

use crate::config::MAX_HEADER_FIELDS;
use crate::http1::chunked::{Chunked, Step};

/// A request's head.
#[derive(Debug)]
pub struct Head {
    /// What is sent.
    pub request: Request<()>,
    /// How its body is framed in the bytes that follow.
    pub body: Body,
}

/// A body's framing.
#[derive(Debug)]
pub enum Body {
    /// None: it is what follows, to the end of the request.
    Plain,
    /// It has no bytes.
    Empty,
    /// Chunked transfer coding.
    Chunked(Box<Chunked>),
    /// It was complete.
    Over,
}

/// What comes next in a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Nothing before more bytes come.
    Hungry,
    /// So many bytes of data.
    Data(usize),
    /// It ends, with these trailers.
    End(Option<HeaderMap>),
    /// Bytes that its framing does not allow.
    Broken,
}

/// The most that trailers may say; their sender is the program itself.
const MAX_TRAILERS: usize = 1 << 20;

/// Values so short could be guessed, byte by byte, if they were kept for later requests.
const SHORT_COOKIE: usize = 20;

/// The head in `bytes`, which end with its blank line; `None`: HTTP/2 can't say it, or not so that it means the same.
pub fn head_of(bytes: &[u8], scheme: Scheme) -> Option<Head> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let (method, target) = request_line(&bytes[..end])?;
    let lines = bytes[end..].iter().filter(|&&byte| byte == b'\n').count();
    let mut fields = vec![httparse::EMPTY_HEADER; lines.min(MAX_HEADER_FIELDS)];
    let httparse::Status::Complete((_, fields)) =
        httparse::parse_headers(&bytes[end + 2..], &mut fields).ok()?
    else {
        return None;
    };
    let is = |field: &httparse::Header<'_>, name: &str| field.name.eq_ignore_ascii_case(name);
    let mut named: Vec<&[u8]> = Vec::new();
    for field in fields.iter().filter(|field| is(field, "connection")) {
        named.extend(
            field
                .value
                .split(|&byte| byte == b',')
                .map(<[u8]>::trim_ascii),
        );
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    let (mut host, mut body, mut wants_trailers) = (None, Body::Plain, false);
    for field in fields.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        match name.as_str() {
            "host" => {
                if host.replace(field.value).is_some() {
                    return None;
                }
            }
            "upgrade" | "http2-settings" => return None,
            "transfer-encoding" => {
                if !field.value.eq_ignore_ascii_case(b"chunked") {
                    return None;
                }
                body = Body::Chunked(Box::new(Chunked::new(MAX_TRAILERS)));
            }
            "te" => {
                wants_trailers |= field
                    .value
                    .split(|&byte| byte == b',')
                    .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"));
            }
            "connection" | "keep-alive" | "proxy-connection" => {}
            name if named
                .iter()
                .any(|token| token.eq_ignore_ascii_case(name.as_bytes())) => {}
            "cookie" => {
                for crumb in crumbs(field.value) {
                    let mut value = HeaderValue::from_bytes(crumb).ok()?;
                    value.set_sensitive(crumb.len() < SHORT_COOKIE);
                    headers.append(&name, value);
                }
            }
            said => {
                if said == "content-length" && field.value == b"0" {
                    body = Body::Empty;
                }
                let mut value = HeaderValue::from_bytes(field.value).ok()?;
                value.set_sensitive(matches!(said, "authorization" | "proxy-authorization"));
                headers.append(&name, value);
            }
        }
    }
    if wants_trailers {
        headers.append("te", HeaderValue::from_static("trailers"));
    }
    let host = std::str::from_utf8(host?).ok()?;
    if host.is_empty() || host.contains('@') {
        return None;
    }
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(Authority::try_from(host).ok()?)
        .path_and_query(PathAndQuery::try_from(target).ok()?)
        .build()
        .ok()?;
    // What could not be said is not to be left out.
    if uri.path_and_query().map(PathAndQuery::as_str) != std::str::from_utf8(target).ok() {
        return None;
    }
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = headers;
    Some(Head { request, body })
}

fn request_line(line: &[u8]) -> Option<(Method, &[u8])> {
    let line = line.strip_suffix(b" HTTP/1.1")?;
    let space = line.iter().position(|&byte| byte == b' ')?;
    let (method, target) = (&line[..space], &line[space + 1..]);
    let method = Method::from_bytes(method).ok()?;
    let is_path = target.first() == Some(&b'/') || target == b"*" && method == Method::OPTIONS;
    (is_path && method != Method::CONNECT).then_some((method, target))
}

/// The pairs of a cookie field, each a field by itself, so that one that changes does not hide those that don't.
fn crumbs(mut value: &[u8]) -> Vec<&[u8]> {
    let mut crumbs = Vec::new();
    while let Some(at) = value.windows(2).position(|two| two == b"; ") {
        crumbs.push(&value[..at]);
        value = &value[at + 2..];
    }
    crumbs.push(value);
    crumbs
}

impl Body {
    /// Takes framing off the front of `bytes`: how many bytes that were, and what follows them. Of data, the caller takes all
    /// that it is told.
    pub fn next(&mut self, bytes: &Bytes) -> (usize, Piece) {
        let chunked = match self {
            Self::Plain | Self::Empty if bytes.is_empty() => return (0, Piece::Hungry),
            Self::Plain | Self::Empty => return (0, Piece::Data(bytes.len())),
            // Nothing belongs there.
            Self::Over => return (bytes.len(), Piece::Hungry),
            Self::Chunked(chunked) => chunked,
        };
        let (taken, step) = chunked.next(bytes);
        match step {
            Step::Hungry => (taken, Piece::Hungry),
            Step::Data(count) => (taken, Piece::Data(count)),
            Step::Refused(..) => (taken, Piece::Broken),
            Step::Trailer => {
                let mut section = bytes.clone();
                section.advance(taken);
                match chunked.trailer(&section) {
                    Err(_) => (taken, Piece::Broken),
                    Ok(None) => (bytes.len(), Piece::Hungry),
                    Ok(Some(count)) => {
                        let fields = chunked.fields().ok().and_then(|text| fields_of(&text));
                        *self = Self::Over;
                        match fields {
                            None => (taken, Piece::Broken),
                            Some(fields) => {
                                let fields = (!fields.is_empty()).then_some(fields);
                                (taken + count, Piece::End(fields))
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether nothing but the end of the request says where it ends.
    pub fn ends_with_request(&self) -> bool {
        matches!(self, Self::Plain | Self::Empty)
    }

    /// Whether its end is known before it comes: there is nothing of it.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// `name\0value…` as fields.
fn fields_of(text: &[u8]) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    if text.is_empty() {
        return Some(fields);
    }
    let mut parts = text.split(|&byte| byte == 0);
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        let name = HeaderName::from_bytes(name).ok()?;
        fields.append(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(head: &str) -> Head {
        head_of(head.as_bytes(), Scheme::HTTPS).expect("HTTP/2 can say it")
    }

    fn lines(head: &Head) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        head.request.headers().iter().map(line).collect()
    }

    #[test]
    fn names_are_lower_case_and_what_is_about_the_connection_stays_behind() {
        let head = translated(
            "POST /a?b=c%20d HTTP/1.1\r\nX-One: 1\r\nHost: example.org:8443\r\nConnection: keep-alive, X-Hop\r\n\
             X-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: gzip, Trailers\r\nExpect: 100-continue\r\nCookie: a=1; b=2\r\n\
             Content-Length: 3\r\n\r\n",
        );
        assert_eq!(head.request.uri(), "https://example.org:8443/a?b=c%20d");
        assert_eq!(head.request.method(), Method::POST);
        assert_eq!(
            lines(&head),
            [
                "x-one: 1",
                "expect: 100-continue",
                "cookie: a=1",
                "cookie: b=2",
                "content-length: 3",
                "te: trailers"
            ]
        );
        assert!(matches!(head.body, Body::Plain));
    }

    #[test]
    fn credentials_are_not_kept_by_either_side() {
        let head =
            translated("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nCookie: sid=1\r\n\r\n");
        assert!(head.request.headers()["authorization"].is_sensitive());
        assert!(head.request.headers()["cookie"].is_sensitive());
    }

    #[test]
    fn what_http2_cannot_say_is_refused() {
        for head in [
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(head_of(head.as_bytes(), Scheme::HTTPS).is_none(), "{head}");
        }
        let odd = translated("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(odd.request.uri().path(), "*");
    }

    #[test]
    fn every_split_of_a_chunked_body_gives_its_data_and_trailers() {
        let body = b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n";
        for split in 0..=body.len() {
            let Head { mut body, .. } = {
                let raw = body;
                let mut head =
                    translated("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
                let (mut data, mut end) = (Vec::new(), None);
                for part in [&raw[..split], &raw[split..]] {
                    let mut part = Bytes::copy_from_slice(part);
                    loop {
                        let (taken, piece) = head.body.next(&part);
                        part.advance(taken);
                        match piece {
                            Piece::Hungry => break,
                            Piece::Data(count) => data.extend_from_slice(&part.split_to(count)),
                            Piece::End(fields) => end = fields,
                            Piece::Broken => panic!("split at {split}"),
                        }
                    }
                    assert!(part.is_empty(), "split at {split}");
                }
                assert_eq!(data, b"abcde", "split at {split}");
                assert_eq!(end.expect("trailers")["x-sum"], "1", "split at {split}");
                head
            };
            let rest = Bytes::from_static(b"surplus");
            assert_eq!(body.next(&rest), (rest.len(), Piece::Hungry));
        }
    }
}
