//! What a panic on the I/O thread ends, and what it does not: whole exchanges over loopback, on the process's one engine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::layout::{command, ALIGN};
use super::submission::{Commands, Submission};
use crate::connect::tests::profile;
use crate::connect::{tls, Connected, Profile};
use crate::engine::{connections, ENGINE};
use crate::error::{Failure, ENGINE_FAILED};
use crate::exchange::events::{Assigned, Events, Replaces, Response};
use crate::faults::{self, FaultPoint};
use crate::io_thread::{self, tests::turn};
use crate::pool::tests::UNLIMITED;
use crate::pool::{
    AgentId, CheckIn, CloseReason, ConnId, ExchangeId, KeyId, Kind, Lease, Limits, PortId, Stay,
    WaiterId,
};

/// Only turns a hang into a message.
const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Ended(ExchangeId),
    Failed(ExchangeId, String),
}

struct Listener(Mutex<Sender<Told>>);

impl Listener {
    fn tell(&self, told: Told) {
        let _ = self.0.lock().unwrap().send(told);
    }
}

impl Events for Listener {
    fn response(&self, exchange: ExchangeId, response: Response<'_>) {
        if response.end {
            self.tell(Told::Ended(exchange));
        }
    }
    fn data(&self, exchange: ExchangeId, _bytes: Bytes, end: bool) {
        if end {
            self.tell(Told::Ended(exchange));
        }
    }
    fn end(&self, exchange: ExchangeId, _keep_alive: bool, _written: bool, _trailers: &[u8]) {
        self.tell(Told::Ended(exchange));
    }
    fn failed(&self, exchange: ExchangeId, failure: &Failure, _after_head: bool) {
        self.tell(Told::Failed(exchange, failure.code.clone().into_owned()));
    }
    fn written(&self, _exchange: ExchangeId, _bytes: u64, _eager: bool) {}
    fn assigned(&self, _exchange: ExchangeId, _conn: ConnId, _how: Assigned) {}
    fn connected(&self, _conn: ConnId, _connected: &Connected, _replaces: Option<Replaces>) {}
    fn adopted(
        &self,
        _conn: ConnId,
        _local: Option<SocketAddr>,
        _remote: Option<SocketAddr>,
        _replaces: Option<Replaces>,
    ) {
    }
    fn closed(&self, _conn: ConnId, _reason: CloseReason, _idle: bool) {}
    fn evict_fallback(&self, _agent: u32, _key: u32) {}
    fn wake(&self) {}
}

/// Answers whatever it reads, on each connection.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || serve_one(socket));
        }
    });
    port
}

fn serve_one(mut socket: TcpStream) {
    socket.set_nodelay(true).unwrap();
    answer(&mut socket);
}

fn answer(socket: &mut (impl Read + Write)) {
    let mut buffer = [0; 4096];
    while matches!(socket.read(&mut buffer), Ok(read) if read > 0) {
        // In chunks, so that the end is something to be read by itself.
        const RESPONSE: &[u8] =
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        if socket.write_all(RESPONSE).is_err() {
            return;
        }
    }
}

/// A thread of a program's, with an agent.
struct Scene {
    port: PortId,
    agent: AgentId,
    key: KeyId,
    profile: u32,
    told: Receiver<Told>,
    exchanges: ExchangeId,
}

impl Scene {
    fn new(server: u16) -> Self {
        Self::over(profile(server))
    }

    fn over(profile: Profile) -> Self {
        let (sender, told) = channel();
        let port = ENGINE.open_port(Arc::new(Listener(Mutex::new(sender))));
        let limits = Limits {
            max_sockets: 1,
            max_free_sockets: 1,
            max_pending: 0,
            ..UNLIMITED
        };
        let agent = ENGINE.add_agent(port, limits);
        let name = format!("{port}");
        let key = ENGINE.open_origin(agent, &name, &name, &name, "");
        let profile = ENGINE.intern_profile(agent, key, profile);
        Self {
            port,
            agent,
            key,
            profile,
            told,
            exchanges: 0,
        }
    }

    fn submit(&self, commands: &[Vec<u8>]) {
        let submission = Submission::new(self.port, Commands::new(commands.concat().into()));
        connections::run(move |all| submission.carry_out(all));
    }

    /// Sends a request on a connection.
    fn send(&mut self, flags: u8) -> ConnId {
        self.exchanges += 1;
        let exchange = self.exchanges;
        let waiter = WaiterId {
            port: self.port,
            exchange,
        };
        let deadline = Instant::now() + DEADLINE;
        let conn = loop {
            let (lease, _) =
                ENGINE.lease(self.agent, self.key, self.profile, waiter, Kind::Retryable);
            match lease {
                Lease::Idle { conn, .. } | Lease::Dial { conn } => break conn,
                // A connection ends a moment after its exchange has heard of that.
                Lease::QueueFull if Instant::now() < deadline => std::thread::yield_now(),
                other => panic!("{other:?} in place of a connection for exchange {exchange}"),
            }
        };
        let begin = [16_384_u32.to_le_bytes(), conn.to_le_bytes()].concat();
        self.submit(&[
            encode(command::BEGIN, flags, exchange, &begin),
            encode(
                command::WRITE,
                command::LAST,
                exchange,
                b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
            ),
        ]);
        conn
    }

    fn told(&self) -> Told {
        let told = self.told.recv_timeout(DEADLINE);
        told.expect("to be told what became of a request")
    }

    /// Sends a request, and says what became of it.
    fn get(&mut self) -> Told {
        self.get_as(0)
    }

    fn get_as(&mut self, flags: u8) -> Told {
        let conn = self.send(flags);
        let told = self.told();
        if told == Told::Ended(self.exchanges) {
            assert_eq!(ENGINE.check_in(conn, Stay::Unlimited), CheckIn::Idle);
        }
        told
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        ENGINE.close_port(self.port);
    }
}

fn encode(op: u8, flags: u8, exchange: ExchangeId, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![op, flags, 0, 0];
    bytes.extend((payload.len() as u32).to_le_bytes());
    bytes.extend(exchange.to_le_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    bytes
}

/// Has the I/O thread panic when it comes to `stage`.
fn arm(stage: FaultPoint) {
    let (sender, armed) = channel();
    io_thread::run(move || {
        faults::inject(stage);
        let _ = sender.send(());
    });
    armed.recv_timeout(DEADLINE).unwrap();
}

/// The next thousand requests of both succeed.
fn go_on(scenes: &mut [Scene; 2], after: FaultPoint) {
    for _ in 0..1_000 {
        for scene in &mut *scenes {
            let told = scene.get();
            assert_eq!(told, Told::Ended(scene.exchanges), "after {after:?}");
        }
    }
}

#[test]
fn a_panic_at_any_stage_fails_one_request_and_the_next_thousand_succeed_in_all_threads() {
    let _turn = turn();
    let server = server();
    let mut scenes = [Scene::new(server), Scene::new(server)];
    for stage in [
        FaultPoint::Dial,
        FaultPoint::Job,
        FaultPoint::Head,
        FaultPoint::Body,
        FaultPoint::Decode,
        FaultPoint::Bridge,
    ] {
        if matches!(stage, FaultPoint::Dial | FaultPoint::Job) {
            // Without a connection that is there.
            scenes = [Scene::new(server), Scene::new(server)];
        }
        arm(stage);
        let flags = match stage {
            FaultPoint::Decode => command::FETCHED,
            _ => 0,
        };
        let told = scenes[0].get_as(flags);
        let failed = Told::Failed(scenes[0].exchanges, ENGINE_FAILED.to_owned());
        assert_eq!(told, failed, "{stage:?}");
        go_on(&mut scenes, stage);
    }
}

#[test]
fn a_panic_while_hands_are_shaken_fails_one_request_and_the_next_thousand_succeed() {
    let _turn = turn();
    let secure = tls::tests::serve_all(answer);
    let mut scenes = [Scene::over(secure), Scene::new(server())];
    arm(FaultPoint::Handshake);
    assert_eq!(scenes[0].get(), Told::Failed(1, ENGINE_FAILED.to_owned()));
    go_on(&mut scenes, FaultPoint::Handshake);
}

#[test]
fn a_panic_in_the_client_fails_one_fetch_and_the_next_requests_succeed() {
    let _turn = turn();
    let server = server();
    let mut scenes = [Scene::new(server), Scene::new(server)];
    let fetch = |exchange| encode(command::FETCH, 0, exchange, b"GET\0https://127.0.0.1:1/");
    arm(FaultPoint::Client);
    scenes[0].submit(&[fetch(1), fetch(2)]);
    scenes[0].exchanges = 2;
    let told = [scenes[0].told(), scenes[0].told()];
    let is_failed = |exchange| {
        told.iter()
            .any(|told| matches!(told, Told::Failed(id, _) if *id == exchange))
    };
    assert!(is_failed(1) && is_failed(2), "{told:?}");
    let engine = |told: &&Told| matches!(told, Told::Failed(_, code) if code == ENGINE_FAILED);
    assert_eq!(told.iter().filter(engine).count(), 1, "{told:?}");
    go_on(&mut scenes, FaultPoint::Client);
}

#[test]
fn if_the_thread_ends_all_that_is_under_way_fails_and_the_next_requests_start_another_one() {
    let _turn = turn();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut waiting = Scene::new(silent.local_addr().unwrap().port());
    let mut scenes = [server(), server()].map(Scene::new);
    for scene in &mut scenes {
        assert_eq!(scene.get(), Told::Ended(1));
    }
    waiting.send(0);
    let (mut socket, _) = silent.accept().unwrap();
    assert!(socket.read(&mut [0; 16]).unwrap() > 0);
    io_thread::run(|| faults::inject(FaultPoint::Thread));
    assert_eq!(waiting.told(), Told::Failed(1, ENGINE_FAILED.to_owned()));
    go_on(&mut scenes, FaultPoint::Thread);
    // Its connection has gone with it.
    while socket.read(&mut [0; 64]).unwrap_or_default() > 0 {}
}

#[test]
fn a_command_that_is_refused_fails_its_exchange_and_those_behind_it_are_carried_out() {
    let _turn = turn();
    let scene = Scene::new(server());
    let batch: Vec<Vec<u8>> = (1..=8)
        .map(|exchange| match exchange % 4 {
            0 => encode(command::FETCH, 0, exchange, b"GET\0https://xn--a-/"),
            1 => encode(command::FETCH, 0, exchange, b"GET\0https://a/\0x\0\x7f"),
            2 => encode(command::BEGIN, 0, exchange, &[]),
            _ => encode(99, 0, exchange, b"?"),
        })
        .collect();
    scene.submit(&batch);
    for exchange in 1..=8 {
        assert_eq!(
            scene.told(),
            Told::Failed(exchange, ENGINE_FAILED.to_owned())
        );
    }
}
