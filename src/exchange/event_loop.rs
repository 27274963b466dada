//! A thread that carries exchanges in its own event loop, and a connection as it sees that.

use std::sync::Arc;
use std::time::Duration;

use super::mailbox::{Begin, Input, Piece};
use crate::error::Failure;
use crate::pool::ConnId;

/// The event loop of a thread that carries exchanges.
pub trait EventLoop: Send + Sync {
    /// [`Carrier::turn`] is called when something comes on the connection, whose socket this is, or again and again while something is
    /// awaited there. False: it can't be watched.
    fn watch(&self, conn: ConnId, socket: i32, carrier: &Arc<dyn Carrier>) -> bool;
    /// No more. No socket: it is closed already.
    fn unwatch(&self, conn: ConnId, socket: Option<i32>);
}

/// A connection that is there, as long as the I/O thread does not take it back.
pub trait Carrier: Send + Sync {
    /// An exchange begins. False: not here.
    fn begin(&self, begin: Begin) -> bool;
    /// A command of the exchange under way. It comes back if it is under way here no more.
    fn input(&self, input: Input) -> Option<Input>;
    /// A piece of its request's body, which whoever calls has back at once. False: its exchange is under way here no more.
    ///
    /// # Errors
    ///
    /// As of [`Self::turn`].
    fn lend(&self, piece: &Piece<'_>) -> Result<bool, Box<Failure>>;
    /// Does what can be done; `has_news`: something has come. `is_lone`: whoever carries it carries nothing else.
    ///
    /// # Errors
    ///
    /// It panicked: the connection is closed, and whoever carries it tells whose exchange that ends.
    fn turn(&self, has_news: bool, is_lone: bool) -> Result<Next, Box<Failure>>;
    /// The I/O thread is to go on with it.
    fn leave(&self) -> Next;
    /// It was looked at in vain: whether its exchange waits on here, or has been under way for so long and leaves, whatever has come of it.
    fn looked(&self, wait: Duration) -> Next;
}

/// What is to be done with the connection after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing: its exchange is over, or it has none.
    Rests,
    /// Its exchange waits for the peer.
    Waits,
    /// The I/O thread takes it back.
    Leaves,
    /// It is not here any more.
    IsGone,
}
