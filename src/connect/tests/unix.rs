//! Unix sockets, by path.

use super::*;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// A path of its own for each test, gone when the test ends.
struct Path(PathBuf);

fn path(name: &str) -> Path {
    Path(std::env::temp_dir().join(format!("keepwire-{}-{name}", std::process::id())))
}

impl Path {
    fn profile(&self) -> Profile {
        Profile {
            socket_path: Some(self.0.to_str().unwrap().to_owned()),
            ..profile(80)
        }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_socket_path_carries_bytes_both_ways() {
    let path = path("bytes");
    let listener = UnixListener::bind(&path.0).unwrap();
    let profile = Profile {
        no_delay: true,
        keep_alive: true,
        ..path.profile()
    };
    let mut connected = connect(&profile).await.unwrap();
    assert_eq!((connected.local, connected.remote), (None, None));
    let (mut peer, _) = listener.accept().await.unwrap();
    connected.transport.write_all(b"ping").await.unwrap();
    peer.write_all(b"pong").await.unwrap();
    let (mut asked, mut answered) = ([0; 4], [0; 4]);
    peer.read_exact(&mut asked).await.unwrap();
    connected.transport.read_exact(&mut answered).await.unwrap();
    assert_eq!((&asked, &answered), (b"ping", b"pong"));
}

#[tokio::test]
async fn a_missing_path_is_reported_as_the_address() {
    let path = path("missing");
    let failure = connect(&path.profile()).await.unwrap_err();
    let text = path.0.to_str().unwrap();
    assert_eq!(
        (&*failure.code, failure.errno, failure.syscall),
        ("ENOENT", -2, "connect")
    );
    assert_eq!(
        (failure.address.as_deref(), failure.port),
        (Some(text), None)
    );
    assert_eq!(failure.message, format!("connect ENOENT {text}"));
}

#[tokio::test]
async fn a_path_that_nobody_listens_on_refuses() {
    let path = path("stale");
    drop(UnixListener::bind(&path.0).unwrap());
    let failure = connect(&path.profile()).await.unwrap_err();
    assert_eq!(
        failure.message,
        format!("connect ECONNREFUSED {}", path.0.display())
    );
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_invalid() {
    let path = path(&"x".repeat(200));
    let failure = connect(&path.profile()).await.unwrap_err();
    assert_eq!((&*failure.code, failure.errno), ("EINVAL", -22));
}
