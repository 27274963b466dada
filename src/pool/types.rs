//! The words that the pool and its callers share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// An agent in the pool. Ids of removed agents name nothing.
pub type AgentId = u32;

/// What makes connections interchangeable, see [`super::key`].
pub type KeyId = u32;

/// A connection, from its dial to its end: 1 to 2^29 - 1. A number comes back only after all others: JavaScript can't even
/// keep in mind as many connections whose end it has not heard of.
pub type ConnId = u32;

/// A JavaScript thread's way into the engine.
pub type PortId = u32;

/// An exchange, in its port's numbering: 1 to 2^53 - 1. No number comes back (`lib/bridge/numbers.js`), so whatever is late
/// about an exchange, in either direction, reaches nobody else.
pub type ExchangeId = u64;

/// Who waits: an exchange of a port. Unique among those that wait.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaiterId {
    /// The JavaScript thread's port.
    pub port: PortId,
    /// The exchange.
    pub exchange: ExchangeId,
}

/// Who uses a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A connection of the engine, with a [`ConnId`], for a request that may be sent a second time.
    Retryable,
    /// The same, for a request that may not: a connection that its peer may be about to close won't do.
    NotRetryable,
    /// A socket of the runtime; the pool only counts it.
    Fallback,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Being opened for the exchange that leased it.
    Dialing,
    /// Open, used by one exchange.
    Leased,
    /// Open, used by none.
    Idle,
}

/// Why a connection was closed. The numbers are those of CLOSED records; the pool itself gives the reasons from
/// `IdleTimeout` to `AgentDestroyed` and from `NotReusable` on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum CloseReason {
    /// The peer sent FIN.
    PeerClosed = 1,
    /// The peer sent RST.
    PeerReset = 2,
    /// Bytes that belong to no response.
    UnsolicitedBytes = 3,
    /// Idle for as long as the agent's option or the server's hint allows.
    IdleTimeout = 4,
    /// Its slot went to a waiter that it blocked.
    Evicted = 5,
    /// Its agent was destroyed.
    AgentDestroyed = 6,
    /// The user gave up the exchange on it.
    UserAbort = 7,
    /// Request or response said close, or the hint leaves no time.
    NotReusable = 8,
    /// It served as many requests as the agent allows.
    MaxRequests = 9,
    /// An error on the connection.
    Error = 10,
    /// The agent keeps no idle connections.
    KeepAliveOff = 11,
    /// More connections, or more idle ones, than the agent allows.
    Limits = 12,
    /// It lived as long as the agent allows.
    ActiveTtl = 13,
    /// The peer took longer than `headersTimeout` or `bodyTimeout` allows.
    TimedOut = 14,
    /// It went to another agent that shares, under another number.
    Lent = 15,
    /// Its name does not stand for its address any more.
    AddressGone = 16,
}

impl CloseReason {
    /// Whether it was the peer's doing.
    pub fn is_peers(self) -> bool {
        matches!(
            self,
            CloseReason::PeerClosed | CloseReason::PeerReset | CloseReason::UnsolicitedBytes
        )
    }
}

/// Why a request's connection was opened for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Miss {
    /// There was none before, or the last one's end is long forgotten.
    NoneIdle,
    /// All that there are were in use.
    AllBusy,
    /// Those that are idle have been so for too long for a request that may not be sent twice.
    IdleTooLong,
    /// The last one was closed.
    Closed(CloseReason),
}

impl Miss {
    /// 0, 254, 255, or the number of the close reason.
    pub fn number(self) -> u16 {
        match self {
            Miss::NoneIdle => 0,
            Miss::IdleTooLong => 254,
            Miss::AllBusy => 255,
            Miss::Closed(reason) => reason as u16,
        }
    }
}

/// The answer to [`Pool::lease`](super::Pool::lease).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lease {
    /// The exchange has this live connection.
    Idle {
        /// The connection.
        conn: ConnId,
        /// How long it was idle.
        idle_ms: u64,
    },
    /// The exchange has a slot: the caller opens this connection for it.
    Dial {
        /// The new connection.
        conn: ConnId,
    },
    /// The runtime's own socket has a slot.
    Granted,
    /// No slot; an [`Effect`] of a later call will name the waiter, once.
    Queued,
    /// No slot and no room in the queue (or no such agent); nothing was recorded.
    QueueFull,
}

/// What is known of a connection that is checked in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stay {
    /// It served its exchange, and the peer has set no limit.
    Unlimited,
    /// The same, and the peer lets it be idle for so many ms; 0: it is to be closed.
    For(u64),
    /// Nothing was sent on it: to its peer it has been idle all the time.
    Unused,
}

/// What the I/O thread notes of the last response on a connection, without the pool's lock.
#[derive(Default)]
pub struct LastAnswer {
    /// When it was complete; 0: there was none yet.
    at: AtomicU64,
    /// Its request or the response itself said that it is the last one on the connection.
    says_close: AtomicBool,
}

impl LastAnswer {
    /// A response was complete at `now`; `says_close`: client or server announced that the connection ends with it.
    pub fn note(&self, now: u64, says_close: bool) {
        self.says_close.store(says_close, Relaxed);
        self.at.store(now, Relaxed);
    }

    pub(super) fn at(&self) -> u64 {
        self.at.load(Relaxed)
    }

    pub(super) fn says_close(&self) -> bool {
        self.says_close.load(Relaxed)
    }
}

/// What became of a connection that was checked in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckIn {
    /// It is idle.
    Idle,
    /// It belongs to this waiter now; [`Effect::Assign`] says so too.
    Handed(WaiterId),
    /// It may not be used again: the caller closes it. No [`Effect::Close`] is given for it.
    Closed(CloseReason),
    /// It was not on lease: closed before, or checked in already. Nothing changed.
    Unknown,
}

/// What the caller must carry out after unlocking, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// A queued waiter got a slot: open this connection for it.
    Dial {
        /// Who waited.
        waiter: WaiterId,
        /// The new connection.
        conn: ConnId,
    },
    /// A queued waiter got this live connection.
    Assign {
        /// Who waited.
        waiter: WaiterId,
        /// The connection.
        conn: ConnId,
    },
    /// A queued fallback waiter got a slot.
    Grant {
        /// Who waited.
        waiter: WaiterId,
    },
    /// Close this idle connection; the pool has forgotten it already.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// This idle connection outlives its agent, for others that share.
    Leave {
        /// The connection.
        conn: ConnId,
    },
    /// An idle socket of the runtime blocks a waiter: its owner destroys one of this key, if one is idle still.
    EvictFallback {
        /// Whose socket.
        agent: AgentId,
        /// Of which key.
        key: KeyId,
    },
}

/// A connection, as it is at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its number.
    pub conn: ConnId,
    /// Whose it is.
    pub agent: AgentId,
    /// What it is interchangeable by.
    pub key: KeyId,
    /// Where it is in its life.
    pub state: State,
    /// Since it was dialed.
    pub age_ms: u64,
    /// Since it went idle; 0: it isn't.
    pub idle_ms: u64,
    /// Exchanges finished.
    pub uses: u32,
}

/// What an agent holds, of one key or of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Connections being opened.
    pub dialing: u32,
    /// Connections in use.
    pub leased: u32,
    /// Connections that are idle.
    pub idle: u32,
    /// Sockets of the runtime, idle ones included.
    pub fallback: u32,
    /// Those of `fallback` that are idle.
    pub fallback_idle: u32,
    /// Waiters.
    pub queued: u32,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.dialing += other.dialing;
        self.leased += other.leased;
        self.idle += other.idle;
        self.fallback += other.fallback;
        self.fallback_idle += other.fallback_idle;
        self.queued += other.queued;
    }
}

#[cfg(test)]
impl Counts {
    /// Slots in use: everything that counts against a limit.
    pub fn live(&self) -> u32 {
        self.dialing + self.leased + self.idle + self.fallback
    }
}
