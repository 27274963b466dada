//! Commands: from the bytes of one submission to what the I/O thread does.
//!
//! The bytes come from our own JavaScript, but a wrong length must not become a wrong request: decoding stops at the
//! first command that does not fit.

use bytes::{Buf, Bytes};

use super::layout::{command, ALIGN, COMMAND_HEADER};
use crate::agent::{PortId, ENGINE};
use crate::exchange::mailbox::{Begin, Input};
use crate::exchange::patience::Patience;
use crate::fetch;
use crate::fetch::engine::Content;
use crate::fetch::order::{Body, Order, Wanted};
use crate::pool::{CloseReason, ConnId};
use crate::runtime::Io;

/// One decoded command.
#[derive(Debug)]
pub enum Command {
    /// An exchange begins on a connection.
    Begin(ConnId, Begin, Content),
    /// For an exchange.
    Exchange(u32, Input),
    /// For a connection.
    Socket(ConnId, Input),
    /// The connection is closed.
    Close(ConnId),
    /// A fetch begins.
    Fetch(Box<Order>),
    /// A fetch is given up.
    FetchAbort(u32),
    /// Somebody reads the body of a fetch's response.
    FetchRead(u32, Wanted),
    /// The connection's peer is the right one.
    Approve(ConnId),
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
        loop {
            if self.0.len() < COMMAND_HEADER {
                return None;
            }
            let op = self.0.get_u8();
            let flags = self.0.get_u8();
            let aux = self.0.get_u16_le();
            let id = self.0.get_u32_le();
            let len = self.0.get_u32_le();
            let payload = match op {
                command::BEGIN | command::WRITE | command::FETCH => self.payload(len as usize)?,
                command::PATIENCE => self.payload(ALIGN)?,
                _ => Bytes::new(),
            };
            return Some(match op {
                command::BEGIN => {
                    let mut payload = payload;
                    if payload.len() < 8 {
                        return None;
                    }
                    let max_header_size = payload.get_u32_le() as usize;
                    let conn = payload.get_u32_le();
                    let begin = Begin {
                        exchange: id,
                        bodiless: flags & command::BODILESS != 0,
                        idempotent: flags & command::IDEMPOTENT != 0,
                        reused: flags & command::REUSED != 0,
                        says_close: flags & command::KEEP == 0,
                        max_header_size,
                    };
                    let content = if flags & command::FETCHED == 0 {
                        Content::AsItComes
                    } else {
                        Content::Fetched
                    };
                    Command::Begin(conn, begin, content)
                }
                command::WRITE => Command::Exchange(id, write(payload, flags)),
                command::END => Command::Exchange(id, write(Bytes::new(), command::LAST)),
                command::ABORT => Command::Close(len),
                command::ACK => Command::Exchange(id, Input::Ack(len as usize)),
                command::SOCKOPT => match aux {
                    command::NO_DELAY => Command::Socket(id, Input::NoDelay(flags != 0)),
                    command::KEEP_ALIVE => Command::Socket(id, Input::KeepAlive(flags != 0, len)),
                    _ => continue,
                },
                command::CLOSE => Command::Close(id),
                command::FETCH => Command::Fetch(Box::new(order(id, aux, flags, &payload)?)),
                command::FETCH_ABORT => Command::FetchAbort(id),
                command::FETCH_READ if flags & command::WHOLE == 0 => {
                    Command::FetchRead(id, Wanted::Pieces)
                }
                command::FETCH_READ => Command::FetchRead(id, Wanted::Whole),
                command::APPROVE => Command::Approve(id),
                command::PATIENCE => {
                    let patience = Patience {
                        headers_ms: len,
                        body_ms: payload.clone().get_u32_le(),
                    };
                    Command::Exchange(id, Input::Patience(patience))
                }
                _ => return None,
            });
        }
    }
}

impl Commands {
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

fn order(exchange: u32, client: u16, flags: u8, text: &[u8]) -> Option<Order> {
    let body = match flags & (command::BODY_WHOLE | command::BODY_STREAM) {
        0 => Body::None,
        command::BODY_WHOLE => Body::Coming,
        _ => Body::Stream,
    };
    Order::parse(exchange, client.into(), text, body)
}

/// Request bytes with the flags of a WRITE.
pub fn write(bytes: Bytes, flags: u8) -> Input {
    Input::Write {
        bytes,
        end: flags & command::LAST != 0,
        want_ack: flags & command::WANT_ACK != 0,
    }
}

/// Carries out a command of `port`.
pub fn dispatch(io: &Io, port: PortId, command: Command) {
    match command {
        Command::Begin(conn, begin, content) => io.begin(port, conn, begin, content),
        Command::Exchange(exchange, input) => io.input(port, exchange, input),
        Command::Socket(conn, input) => io.socket(conn, input),
        Command::Close(conn) => io.kill(conn, CloseReason::UserAbort),
        Command::Fetch(order) => {
            if let Some(events) = ENGINE.events(port) {
                fetch::begin(port, *order, events);
            }
        }
        Command::FetchAbort(exchange) => fetch::abort(port, exchange),
        Command::FetchRead(exchange, wanted) => fetch::read(port, exchange, wanted),
        Command::Approve(conn) => io.approve(conn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(op: u8, flags: u8, aux: u16, id: u32, len: u32) -> Vec<u8> {
        let mut bytes = vec![op, flags];
        bytes.extend(aux.to_le_bytes());
        bytes.extend(id.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes
    }

    #[test]
    fn commands_follow_each_other_padded() {
        let mut bytes = header(command::WRITE, command::LAST, 0, 7, 5);
        bytes.extend(b"hello\0\0\0");
        bytes.extend(header(command::CLOSE, 0, 0, 9, 0));
        let mut commands = Commands::new(bytes.into());
        let Some(Command::Exchange(
            7,
            Input::Write {
                bytes,
                end: true,
                want_ack: false,
            },
        )) = commands.next()
        else {
            panic!("a write");
        };
        assert_eq!(bytes, "hello");
        assert!(matches!(commands.next(), Some(Command::Close(9))));
        assert!(commands.next().is_none());
    }

    #[test]
    fn a_length_beyond_the_buffer_ends_the_submission() {
        for len in [1, 100, u32::MAX] {
            let bytes = header(command::WRITE, 0, 0, 7, len);
            assert!(Commands::new(bytes.into()).next().is_none());
        }
        let short = header(command::BEGIN, 0, 0, 7, 0);
        assert!(Commands::new(short.into()).next().is_none());
    }

    #[test]
    fn any_bytes_decode_without_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..64)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state % 9) as u8
                })
                .collect();
            let decoded = Commands::new(bytes.into()).count();
            assert!(decoded <= 64 / COMMAND_HEADER);
        }
    }
}
