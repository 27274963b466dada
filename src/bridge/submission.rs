//! Commands: from the bytes of one submission to what the I/O thread does.
//!
//! The bytes come from our own JavaScript, but a wrong one must cost no more than what it is about: each command says how
//! long it is, so one that makes no sense is refused by itself and those behind it are carried out.

use bytes::{Buf, Bytes};

use super::copies;
use super::layout::{command, ALIGN, COMMAND_HEADER};
use super::lending;
use crate::connect::{KeepAlive, SocketOption};
use crate::contain::contain;
use crate::engine::connections::Connections;
use crate::engine::ENGINE;
use crate::error::{Failure, ENGINE_FAILED};
use crate::exchange::mailbox::{Begin, Input, Piece};
use crate::exchange::timeouts::Timeouts;
use crate::faults::{self, FaultPoint};
use crate::fetch;
use crate::fetch::channel::Wanted;
use crate::fetch::reqwest::request::{Body, FetchRequest};
use crate::io_thread;
use crate::pool::{CloseReason, ConnId, ExchangeId, PortId};

/// One decoded command.
#[derive(Debug)]
pub enum Command {
    /// An exchange begins on a connection.
    Begin(ConnId, Begin),
    /// For an exchange.
    Exchange(ExchangeId, Input),
    /// An option of a connection's socket.
    Socket(ConnId, SocketOption),
    /// The connection is closed.
    Close(ConnId),
    /// A fetch begins.
    Fetch(Box<FetchRequest>),
    /// A fetch is given up.
    FetchAbort(ExchangeId),
    /// Somebody reads the body of a fetch's response.
    FetchRead(ExchangeId, Wanted),
    /// The connection's peer is the right one.
    Approve(ConnId),
    /// What the connection's name stands for.
    Resolved(ConnId, Vec<String>),
    /// It makes no sense; its exchange, if it names one, can't go on.
    Refused(ExchangeId, &'static str),
}

impl Command {
    /// The exchange that it is about; 0: none.
    fn exchange(&self) -> ExchangeId {
        match self {
            Self::Begin(_, begin) => begin.exchange,
            Self::Fetch(request) => request.exchange,
            Self::Exchange(exchange, _)
            | Self::FetchAbort(exchange)
            | Self::FetchRead(exchange, _)
            | Self::Refused(exchange, _) => *exchange,
            Self::Socket(..) | Self::Close(_) | Self::Approve(_) | Self::Resolved(..) => 0,
        }
    }

    /// The connection that it is about, if it names one.
    fn connection(&self) -> Option<ConnId> {
        match self {
            Self::Begin(conn, _)
            | Self::Socket(conn, _)
            | Self::Close(conn)
            | Self::Approve(conn) => Some(*conn),
            _ => None,
        }
    }
}

/// The commands of one submission.
pub struct Commands(Bytes);

impl Commands {
    /// Reads commands off `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Iterator for Commands {
    type Item = Command;

    fn next(&mut self) -> Option<Command> {
        if self.0.len() < COMMAND_HEADER {
            return None;
        }
        let op = self.0.get_u8();
        let flags = self.0.get_u8();
        let aux = self.0.get_u16_le();
        let len = self.0.get_u32_le() as usize;
        let id = self.0.get_u64_le();
        let Some(payload) = self.payload(len) else {
            return Some(Command::Refused(id, "it is longer than its batch"));
        };
        Some(decode(op, flags, aux, id, payload).unwrap_or_else(|why| Command::Refused(id, why)))
    }
}

impl Commands {
    /// The next `len` bytes; if there are fewer, nothing can follow.
    fn payload(&mut self, len: usize) -> Option<Bytes> {
        if len > self.0.len() {
            self.0.clear();
            return None;
        }
        let payload = self.0.split_to(len);
        let padding = len.next_multiple_of(ALIGN) - len;
        self.0.advance(padding.min(self.0.len()));
        Some(payload)
    }
}

fn decode(
    op: u8,
    flags: u8,
    aux: u16,
    id: u64,
    mut payload: Bytes,
) -> Result<Command, &'static str> {
    const SHORT: &str = "it is too short";
    let connection = || ConnId::try_from(id).map_err(|_| "there is no such connection");
    let mut number = || payload.try_get_u32_le().map_err(|_| SHORT);
    Ok(match op {
        command::BEGIN => {
            let max_header_size = number()? as usize;
            let conn = number()?;
            let begin = Begin {
                exchange: id,
                bodiless: flags & command::BODILESS != 0,
                idempotent: flags & command::IDEMPOTENT != 0,
                reused: flags & command::REUSED != 0,
                says_close: flags & command::KEEP == 0,
                guarded: flags & command::GUARDED != 0,
                is_fetch: flags & command::FETCHED != 0,
                in_loop: flags & command::IN_LOOP != 0,
                is_alone: flags & command::ALONE != 0,
                max_header_size,
            };
            Command::Begin(conn, begin)
        }
        command::WRITE => Command::Exchange(id, write(payload, flags)),
        command::END => Command::Exchange(id, write(Bytes::new(), command::LAST)),
        command::ABORT => Command::Close(number()?),
        command::ACK => Command::Exchange(id, Input::Ack(number()? as usize)),
        command::SOCKOPT => match aux {
            command::NO_DELAY => Command::Socket(connection()?, SocketOption::NoDelay(flags != 0)),
            command::KEEP_ALIVE => {
                let probes = KeepAlive {
                    enable: flags != 0,
                    delay_s: number()?,
                    interval_s: number()?,
                    count: number()?,
                };
                Command::Socket(connection()?, SocketOption::KeepAlive(probes))
            }
            _ => return Err("there is no such option"),
        },
        command::CLOSE => Command::Close(connection()?),
        command::FETCH => Command::Fetch(Box::new(fetch_request(id, aux, flags, &payload)?)),
        command::FETCH_ABORT => Command::FetchAbort(id),
        command::FETCH_READ if flags & command::WHOLE == 0 => {
            Command::FetchRead(id, Wanted::Pieces)
        }
        command::FETCH_READ => {
            let most = number()?;
            Command::FetchRead(id, Wanted::Whole { most })
        }
        command::APPROVE => Command::Approve(connection()?),
        command::RESOLVED => {
            let connection = connection()?;
            let text = std::str::from_utf8(&payload).map_err(|_| "its addresses are none")?;
            let addresses = text.split('\0').map(str::to_owned).collect();
            Command::Resolved(connection, addresses)
        }
        command::TIMEOUTS => {
            let timeouts = Timeouts {
                headers_ms: number()?,
                body_ms: number()?,
            };
            Command::Exchange(id, Input::Timeouts(timeouts))
        }
        _ => return Err("there is no such command"),
    })
}

fn fetch_request(
    exchange: ExchangeId,
    client: u16,
    flags: u8,
    text: &[u8],
) -> Result<FetchRequest, &'static str> {
    let body = match flags & (command::BODY_WHOLE | command::BODY_STREAM) {
        0 => Body::None,
        command::BODY_WHOLE => Body::Coming,
        _ => Body::Stream,
    };
    FetchRequest::parse(exchange, client.into(), text, body).ok_or("its request can't be sent")
}

/// Request bytes with the flags of a WRITE.
fn write(bytes: Bytes, flags: u8) -> Input {
    Input::Write {
        bytes,
        end: flags & command::LAST != 0,
        want_ack: flags & command::WANT_ACK != 0,
    }
}

/// A large piece of a request's body, with the flags of a WRITE.
pub fn piece(bytes: &[u8], flags: u8) -> Piece<'_> {
    Piece {
        bytes,
        end: flags & command::LAST != 0,
        want_ack: flags & command::WANT_ACK != 0,
        copy: copies::copy,
    }
}

/// A batch of `port`'s commands on its way to the I/O thread.
pub struct Submission {
    port: PortId,
    commands: Batch,
}

/// What it consists of.
enum Batch {
    Encoded(Commands),
    Decoded(std::vec::IntoIter<Command>),
}

impl Iterator for Batch {
    type Item = Command;

    fn next(&mut self) -> Option<Command> {
        match self {
            Self::Encoded(commands) => commands.next(),
            Self::Decoded(commands) => commands.next(),
        }
    }
}

impl Submission {
    /// The batch that consists of these commands.
    pub fn new(port: PortId, commands: Commands) -> Self {
        let commands = Batch::Encoded(commands);
        Self { port, commands }
    }

    /// What is left of one.
    pub fn of(port: PortId, commands: Vec<Command>) -> Self {
        let commands = Batch::Decoded(commands.into_iter());
        Self { port, commands }
    }

    /// Carries out each of its commands, whatever becomes of those before it.
    pub fn carry_out(mut self, connections: &Connections) {
        for command in &mut self.commands {
            let exchange = command.exchange();
            let conn = command.connection();
            if let Err(failure) = contain(|| dispatch(connections, self.port, command)) {
                // What JavaScript takes for gone is, and whoever waits for what was not done hears of its end.
                if let Some(conn) = conn {
                    connections.kill(conn, CloseReason::Error);
                }
                connections.kill_exchange(self.port, exchange, CloseReason::Error);
                fetch::abort(self.port, exchange);
                fail(self.port, exchange, &failure);
            }
        }
    }

    /// There is nobody to carry it out. Exchanges on connections hear of that from those.
    pub fn refuse(mut self, failure: &Failure) {
        self.tell_fetches(failure);
    }

    fn tell_fetches(&mut self, failure: &Failure) {
        for command in &mut self.commands {
            if let Command::Fetch(request) = command {
                fail(self.port, request.exchange, failure);
            }
        }
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        self.tell_fetches(&io_thread::ended());
    }
}

fn fail(port: PortId, exchange: ExchangeId, failure: &Failure) {
    if exchange == 0 {
        return;
    }
    if let Some(events) = ENGINE.events(port) {
        events.failed(exchange, failure, false);
    }
}

/// Delivers a command of an exchange to its connection, or to the fetch of that number; one that has ended hears nothing.
pub fn deliver(connections: &Connections, port: PortId, exchange: ExchangeId, input: Input) {
    if let Input::Ack(bytes) = input {
        if fetch::acknowledge(port, exchange, bytes) {
            return;
        }
    }
    if let Some(input) = connections.input(port, exchange, input) {
        fetch::input(port, exchange, input);
    }
}

/// Carries out a command of `port`.
fn dispatch(connections: &Connections, port: PortId, command: Command) {
    faults::at(FaultPoint::Bridge);
    match command {
        Command::Begin(conn, begin) => {
            if begin.is_fetch {
                fetch::relay::attach(connections, port, conn);
            }
            connections.begin(port, conn, begin);
        }
        Command::Exchange(exchange, input) => deliver(connections, port, exchange, input),
        // A socket that is closing may refuse it; to the runtime that is no error.
        Command::Socket(conn, option) => drop(connections.set_option(conn, option)),
        Command::Close(conn) => connections.kill(conn, CloseReason::UserAbort),
        Command::Fetch(request) => {
            if let Some(events) = ENGINE.events(port) {
                fetch::reqwest::begin(port, *request, events);
            }
        }
        Command::FetchAbort(exchange) => fetch::abort(port, exchange),
        Command::FetchRead(exchange, wanted) => {
            fetch::read(port, exchange, wanted, lending::room(port, exchange));
        }
        Command::Approve(conn) => connections.approve(conn),
        Command::Resolved(conn, addresses) => connections.resolved(conn, addresses),
        Command::Refused(exchange, why) => {
            connections.kill_exchange(port, exchange, CloseReason::Error);
            fetch::abort(port, exchange);
            let message = format!("keepwire's engine refused a command: {why}");
            fail(port, exchange, &Failure::new(ENGINE_FAILED, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn command(op: u8, flags: u8, aux: u16, id: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![op, flags];
        bytes.extend(aux.to_le_bytes());
        bytes.extend((payload.len() as u32).to_le_bytes());
        bytes.extend(id.to_le_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        bytes
    }

    #[test]
    fn commands_follow_each_other_padded() {
        let exchange = (1 << 53) - 1;
        let mut bytes = command(command::WRITE, command::LAST, 0, exchange, b"hello");
        bytes.extend(command(command::CLOSE, 0, 0, 9, &[]));
        let mut commands = Commands::new(bytes.into());
        let Some(Command::Exchange(
            id,
            Input::Write {
                bytes,
                end: true,
                want_ack: false,
            },
        )) = commands.next()
        else {
            panic!("a write");
        };
        assert_eq!((id, &*bytes), (exchange, &b"hello"[..]));
        assert!(matches!(commands.next(), Some(Command::Close(9))));
        assert!(commands.next().is_none());
    }

    #[test]
    fn a_command_that_makes_no_sense_is_refused_and_those_behind_it_are_not() {
        let no_order = b"GET\0https://xn--a-/";
        let bad: [(Vec<u8>, u64); 8] = [
            (command(command::BEGIN, 0, 0, 7, &[1, 0, 0, 0]), 7),
            (command(command::ACK, 0, 0, 8, &[1]), 8),
            (command(command::ABORT, 0, 0, 9, &[]), 9),
            (command(command::TIMEOUTS, 0, 0, 10, &[0; 4]), 10),
            (command(command::FETCH, 0, 0, 11, no_order), 11),
            (command(command::FETCH, 0, 0, 12, &[]), 12),
            (command(0, 0, 0, 13, b"unknown"), 13),
            (command(command::CLOSE, 0, 0, 1 << 40, &[]), 1 << 40),
        ];
        let mut batch = Vec::new();
        for (bytes, _) in &bad {
            batch.extend(bytes);
            batch.extend(command(command::END, 0, 0, 1, &[]));
        }
        let mut commands = Commands::new(batch.into());
        for (_, exchange) in &bad {
            assert!(
                matches!(commands.next(), Some(Command::Refused(id, _)) if id == *exchange),
                "{exchange}"
            );
            let behind = commands.next();
            assert!(
                matches!(behind, Some(Command::Exchange(1, _))),
                "{exchange}"
            );
        }
        assert!(commands.next().is_none());
    }

    #[test]
    fn a_command_longer_than_its_batch_is_refused() {
        for len in [1, 100, u32::MAX] {
            let mut bytes = command(command::WRITE, 0, 0, 7, &[]);
            bytes[4..8].copy_from_slice(&len.to_le_bytes());
            let mut commands = Commands::new(bytes.into());
            assert!(matches!(commands.next(), Some(Command::Refused(7, _))));
            assert!(commands.next().is_none());
        }
    }

    /// The short version of `fuzz/fuzz_targets/batches.rs`.
    #[test]
    fn in_any_batch_the_good_commands_are_found_and_the_bad_ones_refused() {
        let mut random = Random::new(1);
        let mut next = |end: u64| random.next() % end;
        for _ in 0..2_000 {
            let mut batch = Vec::new();
            let mut expected = Vec::new();
            for _ in 0..next(20) {
                let id = [1 + next(4), (1 << 53) - 1 - next(4)][next(2) as usize];
                let payload = vec![b'x'; next(9) as usize];
                let (op, payload, is_good) = match next(6) {
                    0 => (command::WRITE, payload, true),
                    1 => (command::ACK, vec![0; 4], true),
                    2 => (command::BEGIN, vec![0; 8], true),
                    3 => (command::BEGIN, vec![0; next(8) as usize], false),
                    4 => (100, payload, false),
                    _ => (command::FETCH, payload, false),
                };
                batch.extend(command(op, 0, 0, id, &payload));
                expected.push((id, is_good));
            }
            let found: Vec<(u64, bool)> = Commands::new(batch.into())
                .map(|command| {
                    let is_good = !matches!(command, Command::Refused(..));
                    (command.exchange(), is_good)
                })
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn any_bytes_decode_without_panic() {
        let mut random = Random::new(1);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..64).map(|_| random.below(9) as u8).collect();
            let decoded = Commands::new(bytes.into()).count();
            assert!(decoded <= 64 / COMMAND_HEADER);
        }
    }
}
