//! What a proxy is told and says, by the text.

use super::*;
use crate::connect::{Login, Proxy, Way};

fn through(way: Way, host: &str, port: u16) -> Profile {
    let mut through = profile(port);
    host.clone_into(&mut through.host);
    through.proxy = Some(Box::new(Proxy {
        profile: profile(3128),
        way,
        fields: "proxy-authorization: Basic abc\r\n".to_owned(),
        login: Some(Login {
            user: "abc".to_owned(),
            password: "abc".to_owned(),
        }),
        name: "http://127.0.0.1:3128".to_owned(),
        counters: None,
    }));
    through
}

fn rewritten(host: &str, port: u16, request: &str) -> Option<String> {
    let through = through(Way::Forward, host, port);
    let proxy = through.proxy.as_ref().unwrap();
    let bytes = proxy.rewrite(&through, request.as_bytes())?;
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn a_target_becomes_absolute_and_the_fields_come_first() {
    for (host, port, target, absolute) in [
        ("a.test", 8080, "/x?y", "http://a.test:8080/x?y"),
        ("a.test", 80, "/", "http://a.test/"),
        ("::1", 81, "/", "http://[::1]:81/"),
        ("a.test", 80, "*", "http://a.test"),
        ("a.test", 80, "http://b.test/", "http://b.test/"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\nbody");
        let expected = format!(
            "GET {absolute} HTTP/1.1\r\nproxy-authorization: Basic abc\r\nHost: a\r\n\r\nbody"
        );
        assert_eq!(rewritten(host, port, &request), Some(expected));
    }
}

#[test]
fn what_is_no_request_is_left_as_it_is() {
    assert_eq!(rewritten("a.test", 80, "GET / HTTP/1.1"), None);
    assert_eq!(rewritten("a.test", 80, "\r\n\r\n"), None);
    let tunnel = through(Way::Tunnel, "a.test", 80);
    let proxy = tunnel.proxy.as_ref().unwrap();
    assert_eq!(proxy.rewrite(&tunnel, b"GET / HTTP/1.1\r\n\r\n"), None);
}

#[test]
fn nothing_that_is_printed_shows_credentials() {
    let shown = format!("{:?}", through(Way::Tunnel, "a.test", 80));
    assert!(!shown.contains("abc"), "{shown}");
}

#[tokio::test]
async fn no_proxy_is_told_of_a_host_that_would_be_more_than_a_host() {
    let (listener, port) = listener().await;
    let mut through = through(Way::Tunnel, "a.test\r\nx: y", 443);
    through.proxy.as_mut().unwrap().profile.port = port;
    let failure = connect(&through).await.unwrap_err();
    assert_eq!(failure.code, "ERR_PROXY_TUNNEL");
    drop(listener);
}
