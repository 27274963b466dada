//! The standard's rules for following a redirect (fetch.spec.whatwg.org, "HTTP-redirect fetch").

use std::sync::Arc;

use http::{header, HeaderMap, HeaderName, Method};
use reqwest::Url;

use super::order::{self, Body, Order, Redirect};
use super::stats;

/// Redirects that one fetch follows.
pub const MOST_REDIRECTS: u32 = 20;

/// What a response means for its fetch.
#[derive(Debug)]
pub enum Next {
    /// It is the fetch's response.
    Deliver,
    /// Another request follows, as the order now says.
    Follow,
}

/// Decides what a response means, and changes `order` for the next hop.
///
/// # Errors
///
/// What the standard calls a network error.
pub fn next(
    order: &mut Order,
    status: u16,
    headers: &HeaderMap,
    hops: u32,
) -> Result<Next, &'static str> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) || order.redirect == Redirect::Manual {
        return Ok(Next::Deliver);
    }
    if order.redirect == Redirect::Error {
        return Err("unexpected redirect");
    }
    let Some(location) = headers.get(header::LOCATION) else {
        return Ok(Next::Deliver);
    };
    let mut url = location_url(&order.head.url, location.as_bytes())
        .ok_or("Invalid URL in the Location header of a redirect")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("URL scheme must be a HTTP(S) scheme");
    }
    if hops >= MOST_REDIRECTS {
        return Err("redirect count exceeded");
    }
    let same_origin = url.origin() == order.head.url.origin();
    if !same_origin && (!url.username().is_empty() || url.password().is_some()) {
        return Err("cross origin not allowed for request mode \"cors\"");
    }
    // Those of the same origin are known to the server that names them; they are not for URLs that are shown.
    let _ = url.set_username("").and(url.set_password(None));
    if status != 303 && matches!(order.body, Body::Stream) {
        return Err("the body of the request can't be sent again");
    }
    if url.fragment().is_none() {
        url.set_fragment(order.head.url.fragment());
    }
    let becomes_get = match status {
        301 | 302 => order.head.method == Method::POST,
        303 => order.head.method != Method::GET && order.head.method != Method::HEAD,
        _ => false,
    };
    let head = Arc::make_mut(&mut order.head);
    if becomes_get {
        head.method = Method::GET;
        order.body = Body::None;
        for name in BODY_FIELDS {
            head.headers.remove(name);
        }
    }
    if !same_origin {
        for name in PRIVATE_FIELDS {
            head.headers.remove(name);
        }
    }
    if !same_origin {
        head.origin = order::origin(&url);
        head.figures = stats::of(&head.origin);
    }
    head.url = url;
    Ok(Next::Follow)
}

/// Those that describe a body, and go with it.
const BODY_FIELDS: [HeaderName; 5] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
];

/// Those that are meant for one origin only.
const PRIVATE_FIELDS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::HOST,
];

/// Location as bytes: servers send UTF-8, whatever the rules say.
fn location_url(base: &Url, location: &[u8]) -> Option<Url> {
    base.join(&String::from_utf8_lossy(location)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(method: &str) -> Order {
        let text = format!(
            "{method}\0http://a.test/one#here\0authorization\0x\0cookie\0y\0content-type\0z\0accept\0*/*"
        );
        let body = Body::Whole("body".into());
        Order::parse(1, text.as_bytes(), body, Redirect::Follow).unwrap()
    }

    fn location(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn methods_change_as_the_standard_says() {
        for (status, method, expected) in [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (301, "PUT", "PUT"),
            (303, "PUT", "GET"),
            (303, "HEAD", "HEAD"),
            (307, "POST", "POST"),
            (308, "POST", "POST"),
        ] {
            let mut order = order(method);
            assert!(matches!(
                next(&mut order, status, &location("/two"), 0),
                Ok(Next::Follow)
            ));
            assert_eq!(order.head.method.as_str(), expected, "{status} {method}");
            let kept = method == expected;
            assert_eq!(order.head.headers.contains_key("content-type"), kept);
            assert_eq!(matches!(order.body, Body::Whole(_)), kept);
            assert_eq!(order.head.url.as_str(), "http://a.test/two#here");
            assert!(order.head.headers.contains_key("authorization"));
        }
    }

    #[test]
    fn another_origin_gets_no_credentials() {
        let mut order = order("GET");
        next(&mut order, 302, &location("http://b.test/"), 0).unwrap();
        assert!(!order.head.headers.contains_key("authorization"));
        assert!(!order.head.headers.contains_key("cookie"));
        assert!(order.head.headers.contains_key("accept"));
    }

    #[test]
    fn what_is_no_redirect_is_delivered() {
        for (status, headers) in [
            (200, location("/")),
            (304, location("/")),
            (302, HeaderMap::new()),
        ] {
            let next = next(&mut order("GET"), status, &headers, 0);
            assert!(matches!(next, Ok(Next::Deliver)));
        }
    }

    #[test]
    fn bad_redirects_fail() {
        let fails =
            |order: &mut Order, to: &str, hops| next(order, 302, &location(to), hops).is_err();
        assert!(fails(&mut order("GET"), "/", MOST_REDIRECTS));
        assert!(!fails(&mut order("GET"), "/", MOST_REDIRECTS - 1));
        assert!(fails(&mut order("GET"), "ftp://a.test/", 0));
        assert!(fails(&mut order("GET"), "http://", 0));
        assert!(fails(&mut order("GET"), "http://me:secret@b.test/", 0));
        assert!(!fails(&mut order("GET"), "http://me:secret@a.test/", 0));
        let mut strict = order("GET");
        strict.redirect = Redirect::Error;
        assert!(fails(&mut strict, "/", 0));
        let mut stream = order("POST");
        stream.body = Body::Stream;
        assert!(fails(&mut stream, "/", 0));
    }
}
