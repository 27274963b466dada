//! Handshakes with a server of rustls's own over loopback, which then does what the test says.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{generate_simple_self_signed, CertifiedKey};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::*;
use crate::connect::tests::profile;
use crate::connect::{connect, IdleState};

type Peer = StreamOwned<ServerConnection, TcpStream>;

/// A server that runs `script` on each connection, one after another, in a thread that ends with its last one.
struct Server {
    profile: Profile,
    config: Arc<ServerConfig>,
    listener: Arc<TcpListener>,
}

impl Server {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut settings = settings();
        change(&mut settings);
        let trust = Arc::new(Trust::from_pem(
            cert.pem().as_bytes(),
            false,
            Dialect::OpenSsl,
        ));
        let endpoint = Endpoint {
            tls: Arc::new(Tls::new(0, settings, trust).unwrap()),
            servername: "localhost".to_owned(),
            keylog: false,
        };
        Self {
            profile: Profile {
                tls: Some(endpoint),
                ..profile(listener.local_addr().unwrap().port())
            },
            config: Arc::new(config),
            listener: Arc::new(listener),
        }
    }

    /// Serves the next connection.
    fn serve<R: Send + 'static>(
        &self,
        script: impl FnOnce(&mut Peer) -> R + Send + 'static,
    ) -> tokio::task::JoinHandle<R> {
        let (listener, config) = (Arc::clone(&self.listener), Arc::clone(&self.config));
        tokio::task::spawn_blocking(move || {
            let (socket, _) = listener.accept().unwrap();
            let mut peer = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
            peer.conn.complete_io(&mut peer.sock).unwrap();
            script(&mut peer)
        })
    }
}

fn settings() -> Settings {
    Settings {
        roots: 0,
        certs: Vec::new(),
        keys: Vec::new(),
        crls: Vec::new(),
        reject_unauthorized: true,
        ask_identity: false,
        tls12: true,
        tls13: true,
        ciphers: Vec::new(),
        alpn: Vec::new(),
        sessions: 10,
    }
}

fn secured(connected: &Connected) -> &Secured {
    connected.secured.as_deref().unwrap()
}

/// The state once the peer's doing has arrived.
async fn settled(connected: &mut Connected) -> IdleState {
    loop {
        match connected.transport.idle_state() {
            IdleState::Open => tokio::time::sleep(Duration::from_millis(1)).await,
            state => return state,
        }
    }
}

#[tokio::test]
async fn tickets_on_an_idle_connection_are_taken_in_and_resumed_with() {
    let server = Server::new(|_| {});
    let (told, tell) = std::sync::mpsc::channel::<()>();
    let first = server.serve(move |_| {
        // The handshake's tickets are on their way; the connection stays open until the client has looked.
        tell.recv().unwrap();
    });
    let mut connected = connect(&server.profile).await.unwrap();
    assert!(!secured(&connected).resumed);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(connected.transport.idle_state(), IdleState::Open);
    }
    told.send(()).unwrap();
    first.await.unwrap();
    let second = server.serve(|_| {});
    let again = connect(&server.profile).await.unwrap();
    assert!(secured(&again).resumed);
    assert_eq!(secured(&again).chain, secured(&connected).chain);
    second.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_tells_what_it_has_come_to() {
    type Script = fn(&mut Peer);
    let cases: [(IdleState, Script); 5] = [
        (IdleState::TalkingUnasked, |peer| {
            peer.write_all(b"HTTP/1.1 408").unwrap();
        }),
        (IdleState::Closed, |peer| {
            peer.conn.send_close_notify();
            peer.conn.complete_io(&mut peer.sock).unwrap();
        }),
        (IdleState::Closed, |peer| {
            peer.sock.shutdown(Shutdown::Both).unwrap();
        }),
        (IdleState::Reset, |peer| {
            SockRef::from(&peer.sock)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }),
        (IdleState::Reset, |peer| {
            peer.sock.write_all(b"this is no record at all").unwrap();
        }),
    ];
    for (state, script) in cases {
        let server = Server::new(|_| {});
        let serving = server.serve(script);
        let mut connected = connect(&server.profile).await.unwrap();
        assert_eq!(settled(&mut connected).await, state);
        serving.await.unwrap();

        let serving = server.serve(script);
        let mut connected = connect(&server.profile).await.unwrap();
        let waited = poll_fn(|cx| connected.transport.poll_idle(cx)).await;
        assert_eq!(waited, state, "the same for who waits");
        serving.await.unwrap();
    }
}

/// Whether an error tells of the TLS session, not of the socket.
fn is_tls(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<crate::error::TlsFault>())
}

#[tokio::test]
async fn what_a_peer_has_said_is_why_a_look_finds_its_connection_dead() {
    let server = Server::new(|_| {});
    let serving = server.serve(|peer| peer.sock.write_all(b"this is no record at all").unwrap());
    let mut connected = connect(&server.profile).await.unwrap();
    serving.await.unwrap();
    let error = loop {
        match connected.transport.look() {
            Ok(IdleState::Open) => tokio::time::sleep(Duration::from_millis(1)).await,
            Ok(state) => panic!("{state:?}"),
            Err(error) => break error,
        }
    };
    assert!(is_tls(&error), "{error:?}");
}

#[tokio::test]
async fn what_a_peer_has_said_is_read_after_a_write_has_failed() {
    let server = Server::new(|_| {});
    let serving = server.serve(|peer| {
        peer.write_all(b"HTTP/1.1 413").unwrap();
        peer.sock.write_all(b"this is no record at all").unwrap();
    });
    let mut connected = connect(&server.profile).await.unwrap();
    serving.await.unwrap();
    let Transport::Tls(stream) = &connected.transport else {
        panic!("this is no TLS connection");
    };
    // The kernel takes nothing more, as after a reset.
    crate::connect::tests::tcp_socket(stream.socket())
        .shutdown(Shutdown::Write)
        .unwrap();
    let refused = connected.transport.write_all(b"GET / HTTP/1.1").await;
    assert!(!is_tls(&refused.unwrap_err()));
    let mut received = Vec::new();
    let error = connected.transport.read_to_end(&mut received).await;
    assert_eq!(received, b"HTTP/1.1 413");
    assert!(is_tls(&error.unwrap_err()));
}

#[tokio::test]
async fn what_is_not_reported_as_written_cannot_be_read() {
    let server = Server::new(|_| {});
    let (told, tell) = std::sync::mpsc::channel::<()>();
    let serving = server.serve(move |peer| {
        tell.recv().unwrap();
        // The end comes without a word in TLS, in the middle of a record.
        let mut bytes = Vec::new();
        let _ = peer.read_to_end(&mut bytes);
        bytes.len()
    });
    let mut connected = connect(&server.profile).await.unwrap();
    let bytes = vec![7; 100_000];
    let mut reported = 0;
    // Until the kernel takes no more, which the peer does not read.
    loop {
        let wrote = poll_fn(|cx| {
            let polled = std::pin::Pin::new(&mut connected.transport).poll_write(cx, &bytes);
            std::task::Poll::Ready(match polled {
                std::task::Poll::Ready(count) => count.unwrap(),
                std::task::Poll::Pending => 0,
            })
        })
        .await;
        if wrote == 0 {
            break;
        }
        reported += wrote;
    }
    assert!(reported > 0);
    let Transport::Tls(stream) = &connected.transport else {
        panic!("this is no TLS connection");
    };
    crate::connect::tests::tcp_socket(stream.socket())
        .shutdown(Shutdown::Write)
        .unwrap();
    told.send(()).unwrap();
    assert_eq!(serving.await.unwrap(), reported);
}

#[tokio::test]
async fn a_long_stream_arrives_unchanged() {
    let server = Server::new(|_| {});
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 31 % 251) as u8).collect();
    let expected = sent.clone();
    let serving = server.serve(move |peer| {
        peer.write_all(&sent).unwrap();
        peer.conn.send_close_notify();
        peer.conn.complete_io(&mut peer.sock).unwrap();
    });
    let mut connected = connect(&server.profile).await.unwrap();
    let mut received = Vec::new();
    connected
        .transport
        .read_to_end(&mut received)
        .await
        .unwrap();
    assert!(received == expected);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_not_trusted_ends_the_connection_or_is_shown() {
    let trust = || Arc::new(Trust::default());
    let server = Server::new(|_| {});
    let with = |reject_unauthorized| {
        let settings = Settings {
            reject_unauthorized,
            ..settings()
        };
        let mut profile = server.profile.clone();
        if let Some(endpoint) = &mut profile.tls {
            endpoint.tls = Arc::new(Tls::new(1, settings, trust()).unwrap());
        }
        profile
    };
    let serving = server.serve(|_| {});
    let failure = connect(&with(true)).await.unwrap_err();
    assert_eq!(failure.code, "DEPTH_ZERO_SELF_SIGNED_CERT");
    serving.await.unwrap();
    let serving = server.serve(|_| {});
    let connected = connect(&with(false)).await.unwrap();
    let distrust = secured(&connected).distrust.unwrap();
    assert_eq!(distrust.code, "DEPTH_ZERO_SELF_SIGNED_CERT");
    serving.await.unwrap();
}

#[tokio::test]
async fn another_name_is_asked_about() {
    let server = Server::new(|_| {});
    for (servername, ask) in [("localhost", false), ("elsewhere", true), ("", true)] {
        let mut profile = server.profile.clone();
        if let Some(endpoint) = &mut profile.tls {
            endpoint.servername = servername.to_owned();
        }
        let serving = server.serve(|_| {});
        let connected = connect(&profile).await.unwrap();
        assert_eq!(secured(&connected).ask, ask, "{servername}");
        serving.await.unwrap();
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |change: fn(&mut Settings)| {
        let mut settings = settings();
        change(&mut settings);
        Tls::new(0, settings, Arc::default()).unwrap_err().0
    };
    assert_eq!(refused(|to| to.ciphers.push("NULL".into())), "ciphers");
    assert_eq!(refused(|to| to.certs.push("none".into())), "cert");
    assert_eq!(refused(|to| to.keys.push("none".to_owned().into())), "key");
    assert_eq!(refused(|to| to.crls.push("none".into())), "crl");
}

#[test]
fn an_anchor_out_of_its_time_anchors_nothing() {
    let CertifiedKey { cert, .. } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let trust = Trust::from_pem(cert.pem().as_bytes(), false, Dialect::OpenSsl);
    let chain = [CertificateDer::from(cert.der().to_vec())];
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let code = |seconds| {
        trust
            .verify(&chain, &[], at(seconds))
            .map_err(|fault| fault.code)
    };
    assert_eq!(code(1_700_000_000), Ok(()));
    assert_eq!(code(0), Err("CERT_NOT_YET_VALID"));
    assert_eq!(code(100_000_000_000), Err("CERT_HAS_EXPIRED"));
}

#[tokio::test]
async fn a_handshake_that_failed_tells_whether_another_tls_may_do_better() {
    let alert = |number: u8| vec![21, 3, 3, 0, 2, 2, number];
    let cases = [
        (alert(40), Prospect::Good),
        (alert(70), Prospect::Good),
        (alert(71), Prospect::Good),
        (alert(48), Prospect::None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Prospect::None),
        (Vec::new(), Prospect::Faint),
    ];
    for (answer, prospect) in cases {
        let server = Server::new(|_| {});
        let listener = Arc::clone(&server.listener);
        let said = answer.clone();
        let peer = tokio::task::spawn_blocking(move || {
            let (mut socket, _) = listener.accept().unwrap();
            // The greeting, whole: what is left unread would become a reset.
            socket.read_exact(&mut [0; 5]).unwrap();
            socket.set_nonblocking(true).unwrap();
            while socket.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
            socket.write_all(&said).unwrap();
        });
        let failure = connect(&server.profile).await.unwrap_err();
        peer.await.unwrap();
        assert_eq!(failure.prospect, prospect, "after {answer:?}: {failure}");
    }
}
