//! The fetches under way that are told from here, whatever carries them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::AbortHandle;

use super::channel::{Channel, Room, Wanted};
use crate::contain::{contain, Contained};
use crate::engine::connections;
use crate::error::Failure;
use crate::exchange::mailbox::Input;
use crate::io_thread;
use crate::pool::{CloseReason, ExchangeId, PortId};

thread_local! {
    /// The fetches under way; I/O thread only.
    static UNDER_WAY: RefCell<HashMap<(PortId, ExchangeId), UnderWay>> = RefCell::default();
}

/// What a fetch does once it has its request's body.
type Start = Box<dyn FnOnce(Bytes) -> AbortHandle>;

struct UnderWay {
    channel: Arc<Channel>,
    task: Option<AbortHandle>,
    /// Not begun yet: its request's body comes with the next command.
    start: Option<Start>,
}

/// Does `work` for a fetch, which fails with it.
fn spawn(
    port: PortId,
    channel: Arc<Channel>,
    work: impl Future<Output = ()> + Send + 'static,
) -> AbortHandle {
    let ending = Ending { port, channel };
    // Not on the thread's LocalSet, so that it shares one queue with the client's own tasks: first come, first served.
    let task = tokio::spawn(async move {
        match Contained::new(work).await {
            Ok(()) => drop(ending.forget()),
            Err(failure) => ending.fail(&failure),
        }
    });
    task.abort_handle()
}

/// Sees to it that a fetch ends that nobody has given up, whatever ends its task.
struct Ending {
    port: PortId,
    channel: Arc<Channel>,
}

impl Ending {
    /// What was under way; none: it was given up, or has been forgotten.
    fn forget(&self) -> Option<UnderWay> {
        let key = (self.port, self.channel.exchange);
        let forgotten = UNDER_WAY.try_with(|all| all.borrow_mut().remove(&key));
        forgotten.ok().flatten()
    }

    fn fail(&self, failure: &Failure) {
        if self.forget().is_none() {
            return;
        }
        let (port, exchange) = (self.port, self.channel.exchange);
        // The connection of an exchange has no reader any more.
        connections::run(move |all| all.kill_exchange(port, exchange, CloseReason::Error));
        let after_head = self.channel.head_told.load(Ordering::Relaxed);
        self.channel.events.failed(exchange, failure, after_head);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        drop(contain(|| self.fail(&io_thread::ended())));
    }
}

/// Does `work` for an exchange whose response is told by `channel`, until it is given up. I/O thread only.
pub(super) fn accompany(
    port: PortId,
    channel: Arc<Channel>,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let task = Some(spawn(port, Arc::clone(&channel), work));
    insert(port, channel, task, None);
}

/// The same once a piece of the request's body is there, which is all of it: `work` gets it.
pub(super) fn accompany_with_body<F>(
    port: PortId,
    channel: Arc<Channel>,
    work: impl FnOnce(Bytes) -> F + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let told = Arc::clone(&channel);
    let start: Start = Box::new(move |body| spawn(port, told, work(body)));
    insert(port, channel, None, Some(start));
}

fn insert(port: PortId, channel: Arc<Channel>, task: Option<AbortHandle>, start: Option<Start>) {
    let exchange = channel.exchange;
    let under_way = UnderWay {
        channel,
        task,
        start,
    };
    UNDER_WAY.with_borrow_mut(|all| all.insert((port, exchange), under_way));
}

/// Delivers what JavaScript has consumed of a response that is told from here; false: it is not. I/O thread only.
pub fn acknowledge(port: PortId, exchange: ExchangeId, bytes: usize) -> bool {
    UNDER_WAY.with_borrow(|all| {
        let found = if all.is_empty() {
            None
        } else {
            all.get(&(port, exchange))
        };
        if let Some(fetch) = found {
            fetch.channel.acknowledge(bytes);
        }
        found.is_some()
    })
}

/// Somebody reads the body of a response that is told from here, and may have made room for it. I/O thread only.
pub fn read(port: PortId, exchange: ExchangeId, wanted: Wanted, room: Option<Arc<dyn Room>>) {
    UNDER_WAY.with_borrow(|all| {
        if let Some(fetch) = all.get(&(port, exchange)) {
            fetch.channel.want(wanted, room);
        }
    });
}

/// Delivers a piece of a request's body; one that is over takes none. I/O thread only.
pub fn input(port: PortId, exchange: ExchangeId, input: Input) {
    let Input::Write { bytes, end, .. } = input else {
        return;
    };
    UNDER_WAY.with_borrow_mut(|all| {
        let Some(fetch) = all.get_mut(&(port, exchange)) else {
            return;
        };
        match fetch.start.take() {
            Some(start) => fetch.task = Some(start(bytes)),
            None => fetch.channel.feed(bytes, end),
        }
    });
}

/// Gives a fetch up: its connection closes unless its response is complete. I/O thread only.
pub fn abort(port: PortId, exchange: ExchangeId) {
    let fetch = UNDER_WAY.with_borrow_mut(|all| all.remove(&(port, exchange)));
    if let Some(task) = fetch.and_then(|fetch| fetch.task) {
        task.abort();
    }
}

/// Gives up all fetches of a thread. I/O thread only.
pub fn abort_port(port: PortId) {
    let fetches: Vec<UnderWay> = UNDER_WAY.with_borrow_mut(|all| {
        let keys: Vec<_> = all.keys().filter(|key| key.0 == port).copied().collect();
        keys.iter().filter_map(|key| all.remove(key)).collect()
    });
    for task in fetches.into_iter().filter_map(|fetch| fetch.task) {
        task.abort();
    }
}
