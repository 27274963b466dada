//! What reaches a connection's task from outside: commands of the exchange that holds it, and orders to close.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::Bytes;

use super::timeouts::Timeouts;
use crate::pool::{CloseReason, ExchangeId};

/// The opening of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// The caller's number for it.
    pub exchange: ExchangeId,
    /// The response has no body, whatever its head says (HEAD).
    pub bodiless: bool,
    /// The request may be sent a second time (RFC 9110, section 9.2.2).
    pub idempotent: bool,
    /// The connection was there before the request.
    pub reused: bool,
    /// The request says that the connection ends with it.
    pub says_close: bool,
    /// Listeners of its socket judge each connection before anything is written to it: a replacement waits for their
    /// word, as a peer's identity does.
    pub guarded: bool,
    /// A fetch's: its response waits until it is read, and comes without its content codings.
    pub is_fetch: bool,
    /// Its thread may carry it itself, if it has the connection, or have that for the next one.
    pub in_loop: bool,
    /// Its thread has had no other one under way of late.
    pub is_alone: bool,
    /// Largest response head.
    pub max_header_size: usize,
}

/// A piece of a request's body where its caller has it, who gets it back at once.
pub struct Piece<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The request is complete with them.
    pub end: bool,
    /// Tell when all are in the kernel.
    pub want_ack: bool,
    /// Copies what has to be kept of them.
    pub copy: fn(&[u8]) -> Bytes,
}

impl Piece<'_> {
    /// The same as a command, for whoever carries it out later.
    pub fn kept(&self) -> Input {
        Input::Write {
            bytes: (self.copy)(self.bytes),
            end: self.end,
            want_ack: self.want_ack,
        }
    }
}

/// A command.
#[derive(Debug)]
pub enum Input {
    /// An exchange begins.
    Begin(Begin),
    /// Request bytes.
    Write {
        /// The bytes, verbatim.
        bytes: Bytes,
        /// The request is complete with them.
        end: bool,
        /// Tell when all are in the kernel.
        want_ack: bool,
    },
    /// How long the exchange waits for its peer.
    Timeouts(Timeouts),
    /// So many body bytes were consumed.
    Ack(usize),
    /// The exchange that it was opened for needs it no more.
    Idle,
    /// Tell now what was written, if nothing else was said since.
    Tick,
}

/// A connection's mailbox; I/O thread only.
#[derive(Default)]
pub struct Mailbox {
    inputs: RefCell<VecDeque<Input>>,
    kill: Cell<Option<CloseReason>>,
    waker: RefCell<Option<Waker>>,
    /// A written request has not been acknowledged yet.
    pub ack_pending: Cell<bool>,
    approved: Cell<bool>,
    addresses: RefCell<Option<Vec<String>>>,
}

impl Mailbox {
    /// Delivers a command.
    pub fn push(&self, input: Input) {
        self.inputs.borrow_mut().push_back(input);
        self.wake();
    }

    /// Orders the connection to close, whatever it is doing.
    pub fn kill(&self, reason: CloseReason) {
        if self.kill.get().is_none() {
            self.kill.set(Some(reason));
        }
        self.wake();
    }

    /// The peer is the right one.
    pub fn approve(&self) {
        self.approved.set(true);
        self.wake();
    }

    /// Whether the peer was approved since the last time this was asked.
    pub fn take_approval(&self) -> bool {
        self.approved.take()
    }

    /// The name that was asked about stands for these addresses.
    pub fn resolve(&self, addresses: Vec<String>) {
        self.addresses.replace(Some(addresses));
        self.wake();
    }

    /// The answer to what was asked about the name, once.
    pub fn take_addresses(&self) -> Option<Vec<String>> {
        self.addresses.take()
    }

    /// The order to close.
    pub fn killed(&self) -> Option<CloseReason> {
        self.kill.get()
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.inputs.borrow().is_empty()
    }

    /// Forgets what reminds of bytes to be told as written: nothing is, of a connection that is away.
    pub fn forget_ticks(&self) {
        let is_tick = |input: &Input| matches!(input, Input::Tick);
        self.inputs.borrow_mut().retain(|input| !is_tick(input));
    }

    /// The next command.
    pub fn pop(&self) -> Option<Input> {
        self.inputs.borrow_mut().pop_front()
    }

    /// Makes `cx` be woken by the next delivery.
    pub fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Has the task look at what has changed.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
