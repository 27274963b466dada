//! Handshakes with a server of rustls's own over loopback, which then does what the test says.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{generate_simple_self_signed, CertifiedKey};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::cipher::{MessageEncrypter, OutboundPlainMessage};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ServerConfig, ServerConnection, SignatureScheme,
    StreamOwned, SupportedCipherSuite,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::*;
use crate::config::TURN_BYTES;
use crate::connect::tests::profile;
use crate::connect::{connect, IdleState};

pub(crate) type Peer = StreamOwned<ServerConnection, TcpStream>;

/// A server that runs `script` on each connection, one after another, in a thread that ends with its last one.
struct Server {
    profile: Profile,
    config: Arc<ServerConfig>,
    listener: Arc<TcpListener>,
}

impl Server {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        Self::configured(change, |_| {})
    }

    fn configured(
        change: impl FnOnce(&mut Settings),
        configure: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .unwrap();
        configure(&mut config);
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

    /// Accepts no connection's handshake before it is told to, in a thread that says when it has answered the greeting.
    fn answer_when_told(
        &self,
        greeted: tokio::sync::oneshot::Sender<()>,
        go: std::sync::mpsc::Receiver<()>,
        answered: std::sync::mpsc::Sender<()>,
    ) -> tokio::task::JoinHandle<()> {
        let (listener, config) = (Arc::clone(&self.listener), Arc::clone(&self.config));
        tokio::task::spawn_blocking(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut conn = ServerConnection::new(config).unwrap();
            while !conn.wants_write() {
                conn.read_tls(&mut socket).unwrap();
                conn.process_new_packets().unwrap();
            }
            greeted.send(()).unwrap();
            go.recv().unwrap();
            while conn.wants_write() {
                conn.write_tls(&mut socket).unwrap();
            }
            answered.send(()).unwrap();
            conn.complete_io(&mut socket).unwrap();
        })
    }

    /// Serves the next connection.
    fn serve<R: Send + 'static>(
        &self,
        script: impl FnOnce(&mut Peer) -> R + Send + 'static,
    ) -> tokio::task::JoinHandle<R> {
        self.serve_whole(|mut peer| script(&mut peer))
    }

    fn serve_whole<R: Send + 'static>(
        &self,
        script: impl FnOnce(Peer) -> R + Send + 'static,
    ) -> tokio::task::JoinHandle<R> {
        let (listener, config) = (Arc::clone(&self.listener), Arc::clone(&self.config));
        tokio::task::spawn_blocking(move || {
            let (socket, _) = listener.accept().unwrap();
            let mut peer = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
            peer.conn.complete_io(&mut peer.sock).unwrap();
            script(peer)
        })
    }
}

/// A server that has each connection answered, until the process ends. How to connect to it.
pub(crate) fn serve_all(answer: fn(&mut Peer)) -> Profile {
    let Server {
        profile,
        config,
        listener,
    } = Server::new(|_| {});
    std::thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let conn = ServerConnection::new(config).unwrap();
                answer(&mut StreamOwned::new(conn, socket));
            });
        }
    });
    profile
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
async fn settled(connected: &mut Connected) -> Option<IdleState> {
    loop {
        match connected.transport.look().ok() {
            Some(IdleState::Open) => tokio::time::sleep(Duration::from_millis(1)).await,
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
        assert_eq!(connected.transport.look().ok(), Some(IdleState::Open));
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
    let cases: [(Option<IdleState>, Script); 5] = [
        (Some(IdleState::TalkingUnasked), |peer| {
            peer.write_all(b"HTTP/1.1 408").unwrap();
        }),
        (Some(IdleState::Closed), |peer| {
            peer.conn.send_close_notify();
            peer.conn.complete_io(&mut peer.sock).unwrap();
        }),
        (Some(IdleState::Closed), |peer| {
            peer.sock.shutdown(Shutdown::Both).unwrap();
        }),
        (None, |peer| {
            SockRef::from(&peer.sock)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }),
        (None, |peer| {
            peer.sock.write_all(b"this is no record at all").unwrap();
        }),
    ];
    for (state, script) in cases {
        let server = Server::new(|_| {});
        let serving = server.serve(script);
        let mut connected = connect(&server.profile).await.unwrap();
        assert_eq!(settled(&mut connected).await, state);
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
fn signatures_with_sha1_are_for_the_runtime_that_takes_them() {
    for dialect in [Dialect::OpenSsl, Dialect::BoringSsl, Dialect::Webpki] {
        let trust = Arc::new(Trust::from_pem(b"", false, dialect));
        let (_, signatures) = Tls::new(0, settings(), trust)
            .unwrap()
            .config_and_signatures();
        let schemes = signatures.supported_verify_schemes();
        // The one that is wanted least.
        let has_it = schemes.last() == Some(&SignatureScheme::RSA_PKCS1_SHA1);
        assert_eq!(has_it, dialect == Dialect::BoringSsl, "{dialect:?}");
        assert_eq!(schemes.contains(&SignatureScheme::RSA_PKCS1_SHA1), has_it);
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

#[tokio::test]
async fn an_answer_that_came_while_the_process_stood_still_is_read_before_a_deadline_is_told() {
    const LIMIT: Duration = Duration::from_millis(500);
    let server = Server::new(|_| {});
    let (greeted, is_greeted) = tokio::sync::oneshot::channel();
    let (tell, go) = std::sync::mpsc::channel();
    let (answered, is_answered) = std::sync::mpsc::channel();
    let serving = server.answer_when_told(greeted, go, answered);
    let mut profile = server.profile.clone();
    profile.connect_timeout_ms = LIMIT.as_millis() as u32;
    let dial = connect(&profile);
    let stand_still = async {
        is_greeted.await.unwrap();
        tell.send(()).unwrap();
        is_answered.recv().unwrap();
        std::thread::sleep(2 * LIMIT);
    };
    let (connected, ()) = tokio::join!(dial, stand_still);
    assert!(connected.is_ok(), "{:?}", connected.err());
    drop(connected);
    serving.await.unwrap();
}

/// The records of a server, made by hand.
struct Records {
    socket: TcpStream,
    encrypter: Box<dyn MessageEncrypter>,
    number: u64,
}

impl Records {
    fn of(peer: Peer) -> Self {
        let (conn, socket) = peer.into_parts();
        let Some(SupportedCipherSuite::Tls13(suite)) = conn.negotiated_cipher_suite() else {
            panic!("this is not TLS 1.3");
        };
        let (number, secrets) = conn.dangerous_extract_secrets().unwrap().tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("an unknown kind of secrets");
        };
        Self {
            socket,
            encrypter: suite.aead_alg.encrypter(key, iv),
            number,
        }
    }

    /// Sends so many records that say the same. False: the peer has closed.
    fn send(&mut self, count: usize, typ: ContentType, said: &[u8]) -> bool {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let message = OutboundPlainMessage {
                typ,
                version: ProtocolVersion::TLSv1_3,
                payload: said.into(),
            };
            let record = self.encrypter.encrypt(message, self.number).unwrap();
            self.number += 1;
            bytes.extend_from_slice(&record.encode());
        }
        self.socket.write_all(&bytes).is_ok()
    }
}

/// A session for later, of the shortest kind: lifetime, age, no nonce, a ticket of a byte, no extensions.
const TICKET: &[u8] = &[4, 0, 0, 14, 0, 0, 14, 16, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0];

fn by_hand() -> Server {
    Server::configured(|_| {}, |config| config.enable_secret_extraction = true)
}

/// As many records as fill several turns.
const MANY: usize = 6_000;

/// A turn's work, and what comes with the last read of it: 4 KiB of the smallest records.
const MOST_WORK: usize = TURN_BYTES + 4 * 1024 + 4 * 1024 / 23 * 512;

/// Reads to the end: what was read, the work it was, and the most that a single call did of it but the first, which finds out
/// that records are small.
async fn read_in_turns(transport: &mut Transport) -> (Vec<u8>, usize, usize) {
    let (mut received, mut work, mut most) = (Vec::new(), 0, None);
    loop {
        let read = poll_fn(|cx| {
            let mut buffer = [0; 8 * 1024];
            let mut out = ReadBuf::new(&mut buffer);
            let polled = std::pin::Pin::new(&mut *transport).poll_read(cx, &mut out);
            let done = transport.take_work();
            work += done;
            most = match most {
                None if done == 0 => None,
                None => Some(0),
                Some(most) => Some(done.max(most)),
            };
            polled.map(|read| read.map(|()| out.filled().to_vec()))
        });
        let bytes = read.await.unwrap();
        if bytes.is_empty() {
            return (received, work, most.unwrap_or(0));
        }
        received.extend_from_slice(&bytes);
    }
}

#[tokio::test]
async fn records_are_work_however_little_they_say() {
    for (typ, said) in [
        (ContentType::Handshake, TICKET),
        (ContentType::ApplicationData, b"x"),
    ] {
        let server = by_hand();
        let serving = server.serve_whole(move |peer| {
            Records::of(peer).send(MANY, typ, said);
        });
        let mut connected = connect(&server.profile).await.unwrap();
        // All that fits is in the kernel, so that a call could read on and on.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (received, work, most) = read_in_turns(&mut connected.transport).await;
        serving.await.unwrap();
        let data = if said == TICKET { 0 } else { MANY };
        assert_eq!(received.len(), data, "{typ:?}");
        assert!(work > MANY * 512, "{typ:?}: {work} in all");
        assert!(most < MOST_WORK, "{typ:?}: {most} at once");
    }
}

#[tokio::test]
async fn large_records_are_hardly_more_work_than_their_bytes() {
    let server = by_hand();
    let serving = server.serve_whole(|peer| {
        Records::of(peer).send(40, ContentType::ApplicationData, &[7; 16 * 1024]);
    });
    let mut connected = connect(&server.profile).await.unwrap();
    let (received, work, _) = read_in_turns(&mut connected.transport).await;
    serving.await.unwrap();
    assert_eq!(received.len(), 40 * 16 * 1024);
    assert!(work < received.len() * 21 / 20, "{work}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_without_end_has_no_connection_fit_for_a_request() {
    let server = by_hand();
    let serving = server.serve_whole(|peer| {
        let mut records = Records::of(peer);
        while records.send(100, ContentType::Handshake, TICKET) {}
    });
    let mut connected = connect(&server.profile).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(
        settled(&mut connected).await,
        Some(IdleState::TalkingUnasked)
    );
    drop(connected);
    serving.await.unwrap();
}

#[tokio::test]
async fn what_is_too_much_of_nothing_is_told_in_openssls_words() {
    let server = by_hand();
    let serving = server.serve_whole(|peer| {
        Records::of(peer).send(100, ContentType::ApplicationData, b"");
    });
    let mut connected = connect(&server.profile).await.unwrap();
    let ended = connected.transport.read(&mut [0; 16]).await;
    serving.await.unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "record too small");
}
