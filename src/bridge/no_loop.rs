//! Where no event loop can be had: the I/O thread carries every exchange.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::Function;
use napi::Env;

use super::submission::Command;
use crate::exchange::event_loop::{Carrier, EventLoop};
use crate::exchange::mailbox::Piece;
use crate::pool::{ConnId, ExchangeId, PortId};

/// There is none.
pub enum InLoop {}

impl EventLoop for InLoop {
    fn watch(&self, _conn: ConnId, _socket: i32, _seat: &Arc<dyn Carrier>) -> bool {
        false
    }

    fn unwatch(&self, _conn: ConnId, _socket: Option<i32>) {}
}

pub fn open(
    _env: &Env,
    _port: PortId,
    _wake: Option<&Function<'_, PortId, ()>>,
) -> Option<Arc<InLoop>> {
    None
}

pub fn look(_port: PortId, _wait: Duration) -> u32 {
    0
}

pub fn close(_port: PortId) {}

pub fn is_called(_port: PortId) -> bool {
    false
}

pub fn is_busy() -> bool {
    false
}

pub fn heard(_port: PortId, work: impl FnOnce()) -> bool {
    work();
    false
}

pub fn carry_out(
    _port: PortId,
    commands: impl Iterator<Item = Command>,
    piece: Option<(ExchangeId, Piece<'_>)>,
) -> Vec<Command> {
    let piece = piece.map(|(exchange, piece)| Command::Exchange(exchange, piece.kept()));
    commands.chain(piece).collect()
}
