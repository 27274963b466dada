//! What `fetch()` needs beside the engine.
//!
//! Fetches over an agent's connections are exchanges of the engine; what is theirs alone is [`engine`]: a body that does not
//! come with its head waits until it is read, and content codings are taken off. Those over TLS without an agent go over a shared `reqwest` client, for HTTP/2:
//!
//! * [`order`]: what JavaScript asked for, and what reaches a request under way.
//! * [`clients`]: one client for what is trusted.
//! * [`dials`]: sees to it that a client opens no connection that nobody needs.
//! * [`sending`]: one request, sent, and sent again where that is safe.
//! * [`receiving`], [`decoding`]: the response's way to JavaScript.
//! * [`failure`]: errors in the engine's words.
//!
//! Reuse is exact there too: the end of a response is told after its connection has come back to the client's pool
//! ([`settled`]), and a dial that has become superfluous stands in for the next one ([`dials`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::agent::PortId;
use crate::exchange::events::Events;
use crate::exchange::mailbox::Input;

pub mod clients;
pub mod decoding;
pub mod dials;
pub mod engine;
pub mod failure;
pub mod order;
pub mod receiving;
pub mod sending;
pub mod stats;

use order::{Link, Order};

thread_local! {
    /// The fetches under way; I/O thread only.
    static UNDER_WAY: RefCell<HashMap<(PortId, u32), UnderWay>> = RefCell::default();
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
        let exchange = order.exchange;
        self.task = Some(spawn(port, exchange, async move {
            sending::carry_out(order, &link).await;
        }));
    }
}

fn spawn(
    port: PortId,
    exchange: u32,
    work: impl Future<Output = ()> + Send + 'static,
) -> AbortHandle {
    // Not a task of the thread's LocalSet: all that takes part then waits in one queue, first come, first served.
    let task = tokio::spawn(async move {
        work.await;
        drop(UNDER_WAY.with_borrow_mut(|all| all.remove(&(port, exchange))));
    });
    task.abort_handle()
}

/// Does `work` for an exchange whose response is told by `link`, until it is given up.
fn accompany(port: PortId, link: Arc<Link>, work: impl Future<Output = ()> + Send + 'static) {
    let exchange = link.exchange;
    let task = Some(spawn(port, exchange, work));
    let under_way = UnderWay {
        link,
        task,
        order: None,
    };
    UNDER_WAY.with_borrow_mut(|all| all.insert((port, exchange), under_way));
}

/// Delivers what JavaScript has consumed of a response that is told from here; false: it is not. I/O thread only.
pub fn acknowledge(port: PortId, exchange: u32, bytes: usize) -> bool {
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

/// Somebody reads the body of a response that is told from here. I/O thread only.
pub fn read(port: PortId, exchange: u32, wanted: order::Wanted) {
    UNDER_WAY.with_borrow(|all| {
        if let Some(fetch) = all.get(&(port, exchange)) {
            fetch.link.want(wanted);
        }
    });
}

/// Delivers a piece of a request's body; one that is over takes none. I/O thread only.
pub fn input(port: PortId, exchange: u32, input: Input) {
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
pub fn abort(port: PortId, exchange: u32) {
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

/// Turns after which whatever follows from a message's end, the return of its connection included, has been done.
const TURNS: usize = 2;

/// Waits until all that is ready by now has had its turn.
pub async fn settled() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}
