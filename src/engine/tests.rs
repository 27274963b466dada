//! Whose socket is closed before another one's is opened. The kernel's word counts: on loopback a FIN is there as soon as `close` has returned.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::connect::{tests::profile, Connected};
use crate::error::Failure;
use crate::exchange::events::Response;
use crate::pool::tests::UNLIMITED;
use crate::pool::{CheckIn, ExchangeId, KeyId, Kind, Lease, Limits, Stay};

const WAITING: ExchangeId = 4;

/// Tells the test who got what, and whether by then the server's only connection was closed.
struct Watcher {
    server: Mutex<Option<TcpStream>>,
    told: Mutex<Sender<Told>>,
}

#[derive(PartialEq, Debug)]
enum Told {
    Assigned {
        exchange: ExchangeId,
        how: &'static str,
        after_close: bool,
    },
    Connected(ConnId),
}

impl Watcher {
    fn tell(&self, told: Told) {
        let _ = self.told.lock().unwrap().send(told);
    }

    /// Whether the client's FIN has arrived at the server.
    fn is_closed(&self) -> bool {
        let server = self.server.lock().unwrap();
        server.as_ref().is_some_and(|socket| {
            socket.set_nonblocking(true).unwrap();
            matches!(socket.peek(&mut [0]), Ok(0))
        })
    }
}

impl Events for Watcher {
    fn response(&self, _exchange: ExchangeId, _response: Response<'_>) {}
    fn data(&self, _exchange: ExchangeId, _bytes: Bytes, _end: bool) {}
    fn end(
        &self,
        _exchange: ExchangeId,
        _keep_alive: bool,
        _request_written: bool,
        _trailers: &[u8],
    ) {
    }
    fn failed(&self, _exchange: ExchangeId, _failure: &Failure, _after_head: bool) {}
    fn written(&self, _exchange: ExchangeId, _bytes: u64, _eager: bool) {}
    fn assigned(&self, exchange: ExchangeId, _conn: ConnId, how: Assigned) {
        let how = match how {
            Assigned::Idle => "idle",
            Assigned::Dialing => "dialing",
            Assigned::Fallback => "fallback",
        };
        let after_close = self.is_closed();
        self.tell(Told::Assigned {
            exchange,
            how,
            after_close,
        });
    }
    fn connected(
        &self,
        conn: ConnId,
        _connected: &Connected,
        _replaces: Option<crate::exchange::events::Replaces>,
    ) {
        self.tell(Told::Connected(conn));
    }
    fn adopted(
        &self,
        _conn: ConnId,
        _local: Option<std::net::SocketAddr>,
        _remote: Option<std::net::SocketAddr>,
        _replaces: Option<crate::exchange::events::Replaces>,
    ) {
    }
    fn closed(&self, _conn: ConnId, _reason: CloseReason, _idle: bool) {}
    fn evict_fallback(&self, _agent: u32, _key: u32) {}
    fn wake(&self) {}
}

fn limits(max_sockets: u32) -> Limits {
    Limits {
        max_sockets,
        max_free_sockets: 1,
        ..UNLIMITED
    }
}

/// An agent with room for one connection, which is on lease.
struct Scene {
    _turn: MutexGuard<'static, ()>,
    watcher: Arc<Watcher>,
    told: Receiver<Told>,
    port: PortId,
    agent: AgentId,
    key: KeyId,
    profile: u32,
    conn: ConnId,
    /// Keeps the port open.
    listener: TcpListener,
}

impl Scene {
    fn new(name: &str) -> Self {
        let turn = crate::io_thread::tests::turn();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (sender, told) = channel();
        let watcher = Arc::new(Watcher {
            server: Mutex::new(None),
            told: Mutex::new(sender),
        });
        let port = ENGINE.open_port(Arc::clone(&watcher) as _);
        let agent = ENGINE.add_agent(port, limits(1));
        let key = ENGINE.open_origin(agent, name, name, name, "");
        let profile = profile(listener.local_addr().unwrap().port());
        let profile = ENGINE.intern_profile(agent, key, profile);
        let mut scene = Scene {
            _turn: turn,
            watcher,
            told,
            port,
            agent,
            key,
            profile,
            conn: 0,
            listener,
        };
        let Lease::Dial { conn } = scene.lease(1, Kind::Retryable) else {
            panic!("there is nothing to reuse yet");
        };
        scene.conn = conn;
        assert_eq!(scene.told(), Told::Connected(conn));
        *scene.watcher.server.lock().unwrap() = Some(scene.listener.accept().unwrap().0);
        scene
    }

    fn lease(&self, exchange: ExchangeId, kind: Kind) -> Lease {
        let waiter = WaiterId {
            port: self.port,
            exchange,
        };
        let (lease, _) = ENGINE.lease(self.agent, self.key, self.profile, waiter, kind);
        lease
    }

    fn told(&self) -> Told {
        // The deadline only turns a hang into a message.
        let told = self.told.recv_timeout(Duration::from_secs(10));
        told.expect("to be told something")
    }

    fn expect(&self, exchange: ExchangeId, how: &'static str) {
        let assigned = Told::Assigned {
            exchange,
            how,
            after_close: true,
        };
        assert_eq!(self.told(), assigned);
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        ENGINE.close_port(self.port);
    }
}

#[test]
fn a_slot_for_a_real_socket_comes_after_the_idle_connection_that_made_room_is_closed() {
    let scene = Scene::new("made room while idle");
    assert_eq!(ENGINE.check_in(scene.conn, Stay::Unlimited), CheckIn::Idle);
    assert_eq!(scene.lease(WAITING, Kind::Fallback), Lease::Queued);
    scene.expect(WAITING, "fallback");
}

#[test]
fn a_slot_for_a_real_socket_comes_after_the_connection_that_had_it_is_closed() {
    let scene = Scene::new("made room at check-in");
    assert_eq!(scene.lease(WAITING, Kind::Fallback), Lease::Queued);
    let evicted = CheckIn::Closed(CloseReason::Evicted);
    assert_eq!(ENGINE.check_in(scene.conn, Stay::Unlimited), evicted);
    scene.expect(WAITING, "fallback");
}

#[test]
fn a_waiter_that_gives_up_while_its_turn_is_being_told_is_told_all_the_same() {
    let scene = Scene::new("given up");
    let waiter = WaiterId {
        port: scene.port,
        exchange: WAITING,
    };
    assert_eq!(scene.lease(WAITING, Kind::Retryable), Lease::Queued);
    let mut effects = Vec::new();
    let not_reusable = Stay::For(0);
    ENGINE
        .lock()
        .pool
        .check_in(scene.conn, not_reusable, 0, &mut effects);
    assert!(!ENGINE.cancel(waiter), "its turn has come");
    ENGINE.carry_out(effects.remove(0));
    let Told::Assigned { exchange, how, .. } = scene.told() else {
        panic!("nothing is opened before it is told");
    };
    assert_eq!((exchange, how), (WAITING, "dialing"));
}

#[test]
fn a_slot_that_is_free_is_granted_at_once() {
    let scene = Scene::new("free");
    ENGINE.set_limits(scene.agent, limits(2));
    assert_eq!(scene.lease(WAITING, Kind::Fallback), Lease::Granted);
}
