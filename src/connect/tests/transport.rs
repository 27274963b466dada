//! What an open connection tells and takes.

use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpListener, TcpStream};

use super::tcp_socket;
use crate::connect::{IdleState, KeepAlive, Transport};

async fn tcp_pair() -> (Transport, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    (
        Transport::Tcp(ours.into(), None),
        listener.accept().await.unwrap().0,
    )
}

#[cfg(unix)]
fn unix_pair() -> (Transport, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    (Transport::Unix(ours), peer)
}

/// The state once the peer's doing has arrived.
async fn settled(transport: &mut Transport) -> Option<IdleState> {
    loop {
        match transport.look().ok() {
            Some(IdleState::Open) => tokio::task::yield_now().await,
            state => return state,
        }
    }
}

#[tokio::test]
async fn a_quiet_connection_is_open() {
    let (mut ours, _peer) = tcp_pair().await;
    assert_eq!(ours.look().ok(), Some(IdleState::Open));
    assert_eq!(
        ours.look().ok(),
        Some(IdleState::Open),
        "and looking changes nothing"
    );
    #[cfg(unix)]
    {
        let (mut ours, _peer) = unix_pair();
        assert_eq!(ours.look().ok(), Some(IdleState::Open));
    }
}

#[tokio::test]
async fn a_peer_that_closes_is_seen() {
    let (mut ours, peer) = tcp_pair().await;
    drop(peer);
    assert_eq!(settled(&mut ours).await, Some(IdleState::Closed));
    #[cfg(unix)]
    {
        let (mut ours, peer) = unix_pair();
        drop(peer);
        assert_eq!(ours.look().ok(), Some(IdleState::Closed));
    }
}

#[tokio::test]
async fn a_peer_that_resets_is_seen() {
    let (mut ours, peer) = tcp_pair().await;
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    assert_eq!(settled(&mut ours).await, None);
}

#[tokio::test]
async fn a_peer_that_talks_unasked_is_seen_and_its_bytes_stay() {
    let (mut ours, mut peer) = tcp_pair().await;
    peer.write_all(b"HTTP/1.1 408").await.unwrap();
    drop(peer);
    assert_eq!(settled(&mut ours).await, Some(IdleState::TalkingUnasked));
    let mut bytes = Vec::new();
    ours.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"HTTP/1.1 408");
    #[cfg(unix)]
    {
        let (mut ours, mut peer) = unix_pair();
        peer.write_all(b"x").await.unwrap();
        assert_eq!(ours.look().ok(), Some(IdleState::TalkingUnasked));
    }
}

#[tokio::test]
async fn pieces_are_written_in_one_call_and_the_end_reaches_the_peer() {
    let (mut ours, mut peer) = tcp_pair().await;
    assert!(ours.is_write_vectored());
    let pieces = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    assert_eq!(ours.write_vectored(&pieces).await.unwrap(), 8);
    ours.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"headbody");
}

#[tokio::test]
async fn keep_alive_counts_whole_seconds_as_the_runtime_does() {
    let (ours, _peer) = tcp_pair().await;
    let socket = tcp_socket(&ours);
    ours.set_keepalive(KeepAlive::after_ms(999)).unwrap();
    assert!(socket.keepalive().unwrap());
    ours.set_keepalive(KeepAlive {
        enable: false,
        ..KeepAlive::after_ms(5_000)
    })
    .unwrap();
    assert!(!socket.keepalive().unwrap());
    ours.set_keepalive(KeepAlive::after_ms(65_500)).unwrap();
    assert!(socket.keepalive().unwrap());
    #[cfg(unix)]
    {
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(65)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(1)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 10);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn probes_come_as_they_were_asked_for_and_a_zero_changes_none_of_the_numbers() {
    let (ours, _peer) = tcp_pair().await;
    let socket = tcp_socket(&ours);
    let numbers = || {
        (
            socket.tcp_keepalive_time().unwrap().as_secs(),
            socket.tcp_keepalive_interval().unwrap().as_secs(),
            socket.tcp_keepalive_retries().unwrap(),
        )
    };
    let asked = KeepAlive {
        enable: true,
        delay_s: 12,
        interval_s: 3,
        count: 7,
    };
    ours.set_keepalive(asked).unwrap();
    assert!(socket.keepalive().unwrap());
    assert_eq!(numbers(), (12, 3, 7));
    for zero in [
        KeepAlive {
            delay_s: 0,
            ..asked
        },
        KeepAlive {
            interval_s: 0,
            ..asked
        },
        KeepAlive { count: 0, ..asked },
    ] {
        socket.set_keepalive(false).unwrap();
        let other = KeepAlive {
            delay_s: zero.delay_s * 2,
            ..zero
        };
        ours.set_keepalive(other).unwrap();
        assert!(socket.keepalive().unwrap());
        assert_eq!(numbers(), (12, 3, 7));
    }
    // More than the system can: its own error, as the runtime's.
    let endless = KeepAlive {
        delay_s: u32::MAX,
        ..asked
    };
    assert!(ours.set_keepalive(endless).is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_type_of_service_is_what_the_kernel_makes_of_it() {
    let (ours, _peer) = tcp_pair().await;
    assert_eq!(ours.type_of_service().unwrap().unwrap(), 0);
    ours.set_type_of_service(16).unwrap().unwrap();
    assert_eq!(tcp_socket(&ours).tos_v4().unwrap(), 16);
    // The bits of congestion are the kernel's.
    ours.set_type_of_service(255).unwrap().unwrap();
    assert_eq!(ours.type_of_service().unwrap().unwrap(), 252);
    let Ok(listener) = TcpListener::bind((std::net::Ipv6Addr::LOCALHOST, 0)).await else {
        return; // No IPv6 here.
    };
    let stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let ours = Transport::Tcp(stream.into(), None);
    ours.set_type_of_service(32).unwrap().unwrap();
    assert_eq!(tcp_socket(&ours).tclass_v6().unwrap(), 32);
    assert_eq!(ours.type_of_service().unwrap().unwrap(), 32);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_takes_tcps_options_without_complaint() {
    let (ours, _peer) = unix_pair();
    assert!(ours.set_type_of_service(16).is_none());
    assert!(ours.type_of_service().is_none());
    ours.set_nodelay(true).unwrap();
    ours.set_keepalive(KeepAlive::after_ms(1_000)).unwrap();
}
