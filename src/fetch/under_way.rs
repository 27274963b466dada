//! The fetches under way that are told from here, whatever carries them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::order::{self, Link, Order};
use super::sending;
use crate::contain::{contain, Contained};
use crate::engine::connections;
use crate::error::Failure;
use crate::exchange::events::Events;
use crate::exchange::mailbox::Input;
use crate::io_thread;
use crate::pool::{CloseReason, ExchangeId, PortId};

thread_local! {
    /// The fetches under way; I/O thread only.
    static UNDER_WAY: RefCell<HashMap<(PortId, ExchangeId), UnderWay>> = RefCell::default();
}

struct UnderWay {
    link: Arc<Link>,
    task: Option<AbortHandle>,
    /// Not begun yet: its body comes with the next command.
    order: Option<Order>,
}

/// Takes an order of a thread; it begins when its body is there. I/O thread only.
pub fn begin(port: PortId, order: Order, events: Arc<dyn Events>) {
    let exchange = order.exchange;
    let uploads = matches!(order.body, order::Body::Stream);
    let link = Arc::new(Link::new(exchange, uploads, events));
    let waits = order.waits_for_body();
    let mut under_way = UnderWay {
        link,
        task: None,
        order: Some(order),
    };
    if !waits {
        under_way.start(port);
    }
    UNDER_WAY.with_borrow_mut(|all| all.insert((port, exchange), under_way));
}

impl UnderWay {
    fn start(&mut self, port: PortId) {
        let Some(order) = self.order.take() else {
            return;
        };
        let link = Arc::clone(&self.link);
        let carried_out = Arc::clone(&link);
        self.task = Some(spawn(port, link, async move {
            sending::carry_out(order, &carried_out).await;
        }));
    }
}

/// Does `work` for a fetch, which fails with it.
fn spawn(
    port: PortId,
    link: Arc<Link>,
    work: impl Future<Output = ()> + Send + 'static,
) -> AbortHandle {
    let ending = Ending { port, link };
    // Not a task of the thread's LocalSet: all that takes part then waits in one queue, first come, first served.
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
    link: Arc<Link>,
}

impl Ending {
    /// What was under way; none: it was given up, or has been forgotten.
    fn forget(&self) -> Option<UnderWay> {
        let key = (self.port, self.link.exchange);
        let forgotten = UNDER_WAY.try_with(|all| all.borrow_mut().remove(&key));
        forgotten.ok().flatten()
    }

    fn fail(&self, failure: &Failure) {
        if self.forget().is_none() {
            return;
        }
        let (port, exchange) = (self.port, self.link.exchange);
        // The connection of an exchange has no reader any more.
        connections::run(move |all| all.kill_exchange(port, exchange, CloseReason::Error));
        let after_head = self.link.head_told.load(Ordering::Relaxed);
        self.link.events.failed(exchange, failure, after_head);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        drop(contain(|| self.fail(&io_thread::ended())));
    }
}

/// Does `work` for an exchange whose response is told by `link`, until it is given up.
pub(super) fn accompany(
    port: PortId,
    link: Arc<Link>,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let exchange = link.exchange;
    let task = Some(spawn(port, Arc::clone(&link), work));
    let under_way = UnderWay {
        link,
        task,
        order: None,
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
            fetch.link.acknowledge(bytes);
        }
        found.is_some()
    })
}

/// Somebody reads the body of a response that is told from here, and may have made room for it. I/O thread only.
pub fn read(
    port: PortId,
    exchange: ExchangeId,
    wanted: order::Wanted,
    room: Option<Arc<dyn order::Room>>,
) {
    UNDER_WAY.with_borrow(|all| {
        if let Some(fetch) = all.get(&(port, exchange)) {
            fetch.link.want(wanted, room);
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
        match &mut fetch.order {
            Some(order) => {
                order.body = order::Body::Whole(bytes);
                fetch.start(port);
            }
            None => fetch.link.feed(bytes, end),
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
