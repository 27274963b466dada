//! Exchanges against scripted peers on real loopback sockets. Nothing waits for time: every step waits for its event.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet};

use super::context::{Host, Task};
use super::event_loop::{Carrier, EventLoop};
use super::events::{Assigned, Events, Replaces, Response};
use super::mailbox::{Begin, Input, Mailbox};
use super::owner::{Owner, Resumed};
use super::surroundings::Remote;
use crate::config::{RESPONSE_PIECES, RESPONSE_WINDOW};
use crate::connect::tests::profile;
use crate::connect::tls::Secured;
use crate::connect::Connected;
use crate::error::Failure;
use crate::pool::{CloseReason, ConnId, ExchangeId};

mod lending;
mod seat;

/// What an exchange heard, in order.
#[derive(Default)]
struct Recorder {
    watched: Arc<Watched>,
    log: Mutex<Vec<String>>,
    received: Mutex<usize>,
    news: Notify,
    /// Informational heads use up the task's turn.
    tires: AtomicBool,
}

/// tokio's own number is not public; it may be smaller.
const TOKIOS_BUDGET: u32 = 1_024;

/// From here on, whatever this task polls of tokio is pending until its next turn, as after very many reads.
fn use_up_turn() {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..TOKIOS_BUDGET {
        let _ = std::pin::pin!(tokio::task::consume_budget()).poll(&mut cx);
    }
}

impl Recorder {
    fn note(&self, line: String) {
        self.log.lock().unwrap().push(line);
        self.news.notify_waiters();
    }

    async fn until(&self, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        loop {
            let news = self.news.notified();
            let log = self.log.lock().unwrap().clone();
            if enough(&log) {
                return log;
            }
            news.await;
        }
    }

    async fn line(&self, start: &str) -> String {
        let log = self
            .until(|log| log.iter().any(|line| line.starts_with(start)))
            .await;
        log.into_iter()
            .find(|line| line.starts_with(start))
            .unwrap_or_default()
    }
}

impl Events for Recorder {
    fn response(&self, exchange: ExchangeId, response: Response<'_>) {
        let Response {
            head, body, end, ..
        } = response;
        *self.received.lock().unwrap() += body.len();
        if head.is_informational() && self.tires.load(Ordering::Relaxed) {
            use_up_turn();
        }
        let end = if end { " end" } else { "" };
        self.note(format!(
            "{exchange} {} {}{end}",
            head.status,
            String::from_utf8_lossy(body)
        ));
    }
    fn data(&self, exchange: ExchangeId, bytes: Bytes, end: bool) {
        *self.received.lock().unwrap() += bytes.len();
        let end = if end { " end" } else { "" };
        self.note(format!("{exchange} data {}{end}", bytes.len()));
    }
    fn end(&self, exchange: ExchangeId, _keep_alive: bool, _written: bool, trailers: &[u8]) {
        let trailers = String::from_utf8_lossy(trailers).replace('\0', "|");
        self.note(format!("{exchange} end {trailers}"));
    }
    fn failed(&self, exchange: ExchangeId, failure: &Failure, after_head: bool) {
        let when = if after_head { "late" } else { "early" };
        self.note(format!(
            "{exchange} failed {when} {} {}",
            failure.code, failure.message
        ));
    }
    fn written(&self, exchange: ExchangeId, bytes: u64, _eager: bool) {
        self.note(format!("{exchange} written {bytes}"));
    }
    fn assigned(&self, _exchange: ExchangeId, _conn: ConnId, _how: Assigned) {}
    fn connected(&self, _conn: ConnId, _connected: &Connected, _replaces: Option<Replaces>) {
        self.note("connected".into());
    }
    fn secured(&self, _conn: ConnId, _secured: &Secured) {}
    fn adopted(
        &self,
        _conn: ConnId,
        _local: Option<std::net::SocketAddr>,
        _remote: Option<std::net::SocketAddr>,
        _replaces: Option<Replaces>,
    ) {
    }
    fn closed(&self, _conn: ConnId, _reason: CloseReason, _idle: bool) {}
    fn evict_fallback(&self, _agent: u32, _key: u32) {}
    fn wake(&self) {}
    fn event_loop(&self) -> Option<Arc<dyn EventLoop>> {
        Some(Arc::clone(&self.watched) as _)
    }
}

/// Stands for an event loop: which connection it has.
#[derive(Default)]
struct Watched {
    seat: Mutex<Option<Arc<dyn Carrier>>>,
    news: Notify,
}

impl Watched {
    /// The connection, once it has left.
    async fn seat(&self) -> Arc<dyn Carrier> {
        loop {
            let news = self.news.notified();
            if let Some(seat) = &*self.seat.lock().unwrap() {
                return Arc::clone(seat);
            }
            news.await;
        }
    }
}

impl EventLoop for Watched {
    fn watch(&self, _conn: ConnId, _socket: i32, seat: &Arc<dyn Carrier>) -> bool {
        *self.seat.lock().unwrap() = Some(Arc::clone(seat));
        self.news.notify_waiters();
        true
    }
    fn unwatch(&self, _conn: ConnId, _socket: Option<i32>) {
        *self.seat.lock().unwrap() = None;
    }
}

/// Stands for the pool: whether the connection is on lease.
struct Leased(Rc<Cell<bool>>, Arc<Recorder>);

impl Host for Leased {
    fn remind(&self) {}
    fn connected(&self) {}
    fn died(&self, reason: CloseReason, _teaches: bool) -> bool {
        self.1.note(format!("died {reason:?}"));
        !self.0.get()
    }
    fn close_after_response(&self, reason: CloseReason) {
        self.1.note(format!("closed after {reason:?}"));
    }
    fn answered(&self, says_close: bool) {
        if says_close {
            self.1.note("answered for the last time".into());
        }
    }
    fn ended_by_peer(&self) {
        self.1.note("ended by peer".into());
    }
    fn redial(&self) {
        self.1.note("redial".into());
    }
    fn resumes(&self, resumed: Resumed) {
        self.1.note(format!("resumes {}", resumed.begin.exchange));
    }
    fn remote(&self) -> Arc<dyn Remote> {
        Arc::clone(&self.1) as _
    }
}

impl Remote for Recorder {
    fn answered(&self, says_close: bool) {
        if says_close {
            self.note("answered for the last time".into());
        }
    }
    fn close_after_response(&self, reason: CloseReason) {
        self.note(format!("closed after {reason:?}"));
    }
    fn ended_by_peer(&self) {
        self.note("ended by peer".into());
    }
}

struct Client {
    recorder: Arc<Recorder>,
    owner: Rc<Owner>,
    mailbox: Rc<Mailbox>,
    leased: Rc<Cell<bool>>,
    task: JoinHandle<CloseReason>,
}

impl Client {
    async fn connect() -> (Self, TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Arc::new(Recorder::default());
        let mailbox = Rc::new(Mailbox::default());
        let leased = Rc::new(Cell::new(true));
        let profile = profile(listener.local_addr().unwrap().port());
        let owner = Rc::new(Owner::new(
            1,
            Arc::new(profile),
            Arc::clone(&recorder) as _,
            Arc::default(),
        ));
        let task = Task {
            owner: Rc::clone(&owner),
            exchange: 1,
            mailbox: Rc::clone(&mailbox),
            host: Box::new(Leased(Rc::clone(&leased), Arc::clone(&recorder))),
            http2: None,
        };
        let task = tokio::task::spawn_local(task.run());
        let (peer, _) = listener.accept().await.unwrap();
        let client = Self {
            recorder,
            owner,
            mailbox,
            leased,
            task,
        };
        (client, listener, peer)
    }

    fn begin(&self, exchange: ExchangeId, idempotent: bool) {
        self.mailbox.push(Input::Begin(Begin {
            exchange,
            bodiless: false,
            idempotent,
            // The connection is opened for the first one.
            reused: exchange > 1,
            says_close: false,
            guarded: false,
            is_fetch: false,
            in_loop: false,
            is_alone: false,
            max_header_size: 16 * 1024,
        }));
    }

    fn write(&self, bytes: &'static str, end: bool) {
        let bytes = Bytes::from_static(bytes.as_bytes());
        self.mailbox.push(Input::Write {
            bytes,
            end,
            want_ack: false,
        });
    }

    fn get(&self, exchange: ExchangeId) {
        self.begin(exchange, true);
        self.write(GET, true);
    }

    fn post(&self, exchange: ExchangeId) {
        self.begin(exchange, false);
        self.write(POST, true);
    }

    /// What the engine does when the thread that has the connection asks for it.
    fn recall(&self) {
        if let Some(resumed) = self.owner.recall() {
            let exchange = resumed.begin.exchange;
            self.recorder.note(format!("resumes {exchange}"));
        }
        self.mailbox.wake();
    }

    async fn log(&self) -> Vec<String> {
        self.recorder.log.lock().unwrap().clone()
    }

    async fn close(self) -> CloseReason {
        self.mailbox.kill(CloseReason::UserAbort);
        self.task.await.unwrap()
    }
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

async fn expect(peer: &mut TcpStream, bytes: &str) {
    let mut got = vec![0; bytes.len()];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), bytes);
}

async fn assert_closed(peer: &mut TcpStream) {
    let rest = peer.read(&mut [0; 16]).await;
    assert!(
        matches!(rest, Ok(0) | Err(_)),
        "the connection is still open"
    );
}

fn reset(peer: TcpStream) {
    peer.set_zero_linger().unwrap();
    drop(peer);
}

fn run(test: impl std::future::Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn exchanges_follow_each_other_on_one_connection_with_their_own_bytes() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        for exchange in 1..=3 {
            client.get(exchange);
            expect(&mut peer, GET).await;
            peer.write_all(HELLO).await.unwrap();
            assert_eq!(
                client.recorder.line(&format!("{exchange} 2")).await,
                format!("{exchange} 200 hello end")
            );
        }
        assert_eq!(client.close().await, CloseReason::UserAbort);
        assert_closed(&mut peer).await;
    });
}

#[test]
fn a_peer_that_ends_right_behind_its_answer_is_told_as_such_before_the_end() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.get(1);
        expect(&mut peer, GET).await;
        peer.write_all(HELLO).await.unwrap();
        peer.shutdown().await.unwrap();
        client.recorder.line("1 200 hello end").await;
        client.recorder.line("ended by peer").await;
        client.close().await;
    });
}

#[test]
fn every_split_of_a_chunked_response_with_trailers_gives_the_same_message() {
    let raw = b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n";
    run(async {
        for split in 0..raw.len() {
            let (client, _listener, mut peer) = Client::connect().await;
            peer.set_nodelay(true).unwrap();
            client.get(1);
            expect(&mut peer, GET).await;
            peer.write_all(&raw[..split]).await.unwrap();
            tokio::task::yield_now().await;
            peer.write_all(&raw[split..]).await.unwrap();
            client.recorder.line("1 end").await;
            assert_eq!(
                *client.recorder.received.lock().unwrap(),
                5,
                "split at {split}"
            );
            let log = client.log().await;
            assert!(
                log.iter().any(|line| line.starts_with("1 103")),
                "split at {split}"
            );
            assert_eq!(log.last().unwrap(), "1 end X-Sum|1", "split at {split}");
            client.close().await;
        }
    });
}

#[test]
fn a_response_whose_head_comes_at_the_end_of_the_tasks_turn_is_not_lost() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.recorder.tires.store(true, Ordering::Relaxed);
        client.get(1);
        expect(&mut peer, GET).await;
        peer.write_all(b"HTTP/1.1 103 Early\r\n\r\n").await.unwrap();
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("1 103").await;
        let log = client.recorder.until(|log| log.len() > 2).await;
        assert_eq!(log[2], "1 200 hello end");
        client.close().await;
    });
}

#[test]
fn an_idle_connection_that_closes_resets_or_talks_is_given_up_with_its_reason() {
    run(async {
        for (what, reason) in [
            ("close", CloseReason::PeerClosed),
            ("reset", CloseReason::PeerReset),
            ("talk", CloseReason::UnsolicitedBytes),
        ] {
            let (client, _listener, mut peer) = Client::connect().await;
            client.get(1);
            expect(&mut peer, GET).await;
            peer.write_all(HELLO).await.unwrap();
            client.recorder.line("1 200").await;
            client.leased.set(false);
            match what {
                "close" => drop(peer),
                "reset" => reset(peer),
                _ => peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap(),
            }
            assert_eq!(client.task.await.unwrap(), reason, "{what}");
        }
    });
}

#[test]
fn a_request_on_a_connection_that_died_before_it_was_sent_goes_to_a_fresh_one_whatever_its_method()
{
    run(async {
        let (client, listener, mut peer) = Client::connect().await;
        client.get(1);
        expect(&mut peer, GET).await;
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("1 200").await;
        drop(peer);
        client.recorder.line("died").await;
        client.post(2);
        let (mut fresh, _) = listener.accept().await.unwrap();
        expect(&mut fresh, POST).await;
        fresh.write_all(HELLO).await.unwrap();
        assert_eq!(client.recorder.line("2 2").await, "2 200 hello end");
        client.close().await;
    });
}

#[test]
fn a_reused_connection_dropped_unanswered_resends_a_get_once_and_fails_a_post() {
    run(async {
        let (client, listener, mut peer) = Client::connect().await;
        client.get(1);
        expect(&mut peer, GET).await;
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("1 200").await;
        client.get(2);
        expect(&mut peer, GET).await;
        drop(peer);
        let (mut fresh, _) = listener.accept().await.unwrap();
        expect(&mut fresh, GET).await;
        fresh.write_all(HELLO).await.unwrap();
        assert_eq!(client.recorder.line("2 2").await, "2 200 hello end");
        client.post(3);
        expect(&mut fresh, POST).await;
        drop(fresh);
        let failed = client.recorder.line("3 failed").await;
        assert_eq!(failed, "3 failed early ECONNRESET socket hang up");
        assert_eq!(client.task.await.unwrap(), CloseReason::Error);
    });
}

#[test]
fn a_fresh_connection_dropped_unanswered_is_the_peers_answer() {
    run(async {
        for answer in ["", "HTTP/1.1 200 OK\r\nConte"] {
            let (client, _listener, mut peer) = Client::connect().await;
            client.get(1);
            expect(&mut peer, GET).await;
            peer.write_all(answer.as_bytes()).await.unwrap();
            drop(peer);
            let failed = client.recorder.line("1 failed").await;
            assert_eq!(failed, "1 failed early ECONNRESET socket hang up");
            client.task.await.unwrap();
        }
    });
}

#[test]
fn a_peer_that_talks_first_on_a_fresh_connection_answers_its_first_request() {
    run(async {
        for ends in [false, true] {
            let (client, _listener, mut peer) = Client::connect().await;
            client.recorder.line("connected").await;
            peer.write_all(HELLO).await.unwrap();
            let kept = if ends { None } else { Some(peer) };
            client.get(1);
            assert_eq!(client.recorder.line("1 2").await, "1 200 hello end");
            drop(kept);
            client.close().await;
        }
    });
}

#[test]
fn a_fresh_connection_that_ends_before_its_first_request_is_replaced_once() {
    run(async {
        let (client, listener, peer) = Client::connect().await;
        client.recorder.line("connected").await;
        drop(peer);
        client.post(1);
        drop(listener.accept().await.unwrap());
        let failed = client.recorder.line("1 failed").await;
        assert!(failed.starts_with("1 failed early"), "{failed}");
        client.task.await.unwrap();
    });
}

#[test]
fn a_fresh_connection_that_ended_before_its_request_is_the_answer_where_no_other_is_to_be_had() {
    run(async {
        for (idle, resets) in [(false, false), (false, true), (true, false), (true, true)] {
            let (client, listener, peer) = Client::connect().await;
            client.recorder.line("connected").await;
            drop(listener);
            if idle {
                // It is noticed before there is a request.
                client.mailbox.push(Input::Idle);
            }
            let message = if resets {
                reset(peer);
                "read ECONNRESET"
            } else {
                drop(peer);
                "socket hang up"
            };
            if idle {
                client.recorder.line("died").await;
            }
            client.get(1);
            assert_eq!(
                client.recorder.line("1 failed").await,
                format!("1 failed early ECONNRESET {message}")
            );
            client.task.await.unwrap();
        }
    });
}

#[test]
fn a_fresh_connection_that_goes_unused_is_watched() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.mailbox.push(Input::Idle);
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("died").await;
        client.close().await;
    });
}

#[test]
fn a_response_byte_forbids_the_resend() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.get(1);
        expect(&mut peer, GET).await;
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("1 200").await;
        client.get(2);
        expect(&mut peer, GET).await;
        peer.write_all(b"H").await.unwrap();
        drop(peer);
        assert_eq!(
            client.recorder.line("2 failed").await,
            "2 failed early ECONNRESET socket hang up"
        );
        client.task.await.unwrap();
    });
}

#[test]
fn a_body_cut_short_fails_after_its_head_by_close_and_by_reset() {
    run(async {
        for by_reset in [false, true] {
            let (client, _listener, mut peer) = Client::connect().await;
            client.get(1);
            expect(&mut peer, GET).await;
            peer.write_all(&HELLO[..HELLO.len() - 1]).await.unwrap();
            client.recorder.line("1 200 hell").await;
            if by_reset {
                reset(peer);
            } else {
                drop(peer);
            }
            let message = if by_reset {
                "read ECONNRESET"
            } else {
                "aborted"
            };
            assert_eq!(
                client.recorder.line("1 failed").await,
                format!("1 failed late ECONNRESET {message}")
            );
            client.task.await.unwrap();
        }
    });
}

#[test]
fn a_reset_while_bytes_wait_to_be_written_is_told_by_who_reads() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.begin(1, false);
        // More than any kernel takes of it while nobody reads.
        client.mailbox.push(Input::Write {
            bytes: Bytes::from(vec![b'x'; 64 * 1024 * 1024]),
            end: true,
            want_ack: false,
        });
        peer.read_exact(&mut [0; 16]).await.unwrap();
        reset(peer);
        assert_eq!(
            client.recorder.line("1 failed").await,
            "1 failed early ECONNRESET read ECONNRESET"
        );
        client.task.await.unwrap();
    });
}

#[test]
fn bytes_after_the_end_are_told_to_their_request_and_reach_no_other() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.get(1);
        expect(&mut peer, GET).await;
        peer.write_all(&[HELLO, b"JUNK"].concat()).await.unwrap();
        client.recorder.line("1 failed").await;
        let log = client.log().await;
        assert!(log.contains(&"1 200 hello end".to_owned()), "{log:?}");
        assert!(
            log.last()
                .unwrap()
                .starts_with("1 failed late HPE_INVALID_CONSTANT"),
            "{log:?}"
        );
        client.task.await.unwrap();
        assert_closed(&mut peer).await;
    });
}

#[test]
fn a_reader_that_does_not_acknowledge_stops_the_body_at_the_window() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.get(1);
        expect(&mut peer, GET).await;
        let total = 16 * RESPONSE_WINDOW;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n");
        let sender = tokio::task::spawn_local(async move {
            peer.write_all(head.as_bytes()).await.unwrap();
            peer.write_all(&vec![7; total]).await.unwrap();
            peer
        });
        let received = || *client.recorder.received.lock().unwrap();
        let mut acknowledged = 0;
        while acknowledged < total {
            client
                .recorder
                .until(|_| received() >= (acknowledged + RESPONSE_WINDOW).min(total))
                .await;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let ahead = received() - acknowledged;
            // One read may exceed the window.
            assert!(ahead <= RESPONSE_WINDOW + 256 * 1024, "{ahead} bytes ahead");
            acknowledged += ahead;
            client.mailbox.push(Input::Ack(ahead));
        }
        assert_eq!(received(), total);
        sender.await.unwrap();
        client.close().await;
    });
}

#[test]
fn a_reader_that_does_not_acknowledge_stops_short_chunks_at_the_window_as_well() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.get(1);
        expect(&mut peer, GET).await;
        let total = 4 * RESPONSE_PIECES;
        let text = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            "1\r\nx\r\n".repeat(total)
        );
        let sender = tokio::task::spawn_local(async move {
            peer.write_all(text.as_bytes()).await.unwrap();
            peer
        });
        let received = || *client.recorder.received.lock().unwrap();
        let mut acknowledged = 0;
        while acknowledged < total {
            let most = (acknowledged + RESPONSE_PIECES).min(total);
            client.recorder.until(|_| received() >= most).await;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(received(), most);
            acknowledged += RESPONSE_PIECES / 4;
            client.mailbox.push(Input::Ack(RESPONSE_PIECES / 4));
        }
        sender.await.unwrap();
        client.close().await;
    });
}

#[test]
fn an_early_answer_does_not_stop_the_request() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.begin(1, false);
        client.write("POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n", false);
        expect(&mut peer, "POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n").await;
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("1 200 hello end").await;
        client.write("hi", true);
        expect(&mut peer, "hi").await;
        client.get(2);
        expect(&mut peer, GET).await;
        client.close().await;
    });
}

#[test]
fn a_killed_connection_closes_in_every_phase() {
    run(async {
        let phases: [&[u8]; 4] = [
            b"",
            b"HTTP/1.1 2",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
            HELLO,
        ];
        for answer in phases {
            let (client, _listener, mut peer) = Client::connect().await;
            client.get(1);
            expect(&mut peer, GET).await;
            peer.write_all(answer).await.unwrap();
            assert_eq!(client.close().await, CloseReason::UserAbort);
            assert_closed(&mut peer).await;
        }
    });
}

#[test]
fn a_failed_dial_is_told_to_the_exchange_it_was_for() {
    run(async {
        let (client, listener, mut peer) = Client::connect().await;
        client.get(1);
        expect(&mut peer, GET).await;
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("1 200").await;
        drop(listener);
        drop(peer);
        client.recorder.line("died").await;
        client.get(7);
        let failed = client.recorder.line("7 failed").await;
        assert!(
            failed.starts_with("7 failed early ECONNREFUSED connect ECONNREFUSED 127.0.0.1:"),
            "{failed}"
        );
        client.task.await.unwrap();
    });
}

#[test]
fn a_connection_with_bytes_behind_a_response_is_its_last_before_its_end_is_told() {
    let surplus: [&[u8]; 2] = [HELLO, b"what nobody asked for"];
    run(async {
        for behind in surplus {
            let (client, _listener, mut peer) = Client::connect().await;
            client.get(1);
            expect(&mut peer, GET).await;
            peer.write_all(&[HELLO, behind].concat()).await.unwrap();
            client.recorder.line("1 200 hello end").await;
            let log = client.log().await;
            let at = |start: &str| log.iter().position(|line| line.starts_with(start));
            assert!(at("closed after UnsolicitedBytes").unwrap() < at("1 200").unwrap());
            client.task.await.unwrap();
        }
    });
}
