//! Which of a name's addresses a new connection goes to (the agent option `addresses: 'spread'`): the one that has fewest of the
//! agent's connections, those that are being opened included. Within the family that the resolver puts first: the other one
//! is there for when that fails, as without the option. An address that has failed comes last for a while, or every new
//! connection would try it first.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Target;

/// How long an address comes last that could not be reached.
const AVOIDED: Duration = Duration::from_secs(10);

/// An agent's connections by their addresses: equal to itself only.
#[derive(Clone, Default)]
pub struct Spread(Arc<Mutex<HashMap<SocketAddr, Used>>>);

#[derive(Default)]
struct Used {
    connections: usize,
    avoided_until: Option<Instant>,
}

/// A connection's part in the count, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    spread: Spread,
    addr: SocketAddr,
}

impl Spread {
    /// Puts first where a connection should go.
    pub(super) fn sort(&self, targets: &mut [Target]) {
        let Some(first_is_v4) = targets.first().map(|target| target.addr.is_ipv4()) else {
            return;
        };
        let now = Instant::now();
        let used = self.lock();
        targets.sort_by_cached_key(|target| {
            let (avoided, connections) = used.get(&target.addr).map_or((false, 0), |used| {
                let avoided = used.avoided_until.is_some_and(|until| now < until);
                (avoided, used.connections)
            });
            (target.addr.is_ipv4() != first_is_v4, avoided, connections)
        });
    }

    /// A connection is being opened to an address.
    pub(super) fn count(&self, addr: SocketAddr) -> Counted {
        self.lock().entry(addr).or_default().connections += 1;
        Counted {
            spread: self.clone(),
            addr,
        }
    }

    /// An address could not be reached.
    pub(super) fn avoid(&self, addr: SocketAddr) {
        let now = Instant::now();
        let mut used = self.lock();
        // Nothing is to be known any more of those that are gone.
        used.retain(|_, used| {
            used.connections > 0 || used.avoided_until.is_some_and(|until| now < until)
        });
        used.entry(addr).or_default().avoided_until = Some(now + AVOIDED);
    }

    /// An address was reached.
    pub(super) fn trust(&self, addr: SocketAddr) {
        if let Some(used) = self.lock().get_mut(&addr) {
            used.avoided_until = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Used>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    /// Where the connection goes.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut used = self.spread.lock();
        let Some(here) = used.get_mut(&self.addr) else {
            return;
        };
        here.connections -= 1;
        if here.connections == 0 && here.avoided_until.is_none() {
            used.remove(&self.addr);
        }
    }
}

impl PartialEq for Spread {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Spread {}

impl Hash for Spread {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Spread")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::tests::target;

    const ALL: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"];

    fn order(spread: &Spread) -> Vec<String> {
        let mut targets: Vec<Target> = ALL.iter().map(|ip| target(ip, 80)).collect();
        spread.sort(&mut targets);
        targets.into_iter().map(|target| target.text).collect()
    }

    fn addr(ip: &str) -> SocketAddr {
        target(ip, 80).addr
    }

    #[test]
    fn where_there_are_fewest_comes_first_and_the_other_family_last() {
        let spread = Spread::default();
        assert_eq!(order(&spread), ALL);
        let one = spread.count(addr("10.0.0.1"));
        let two = [
            spread.count(addr("10.0.0.2")),
            spread.count(addr("10.0.0.2")),
        ];
        assert_eq!(order(&spread), ["10.0.0.3", "10.0.0.1", "10.0.0.2", "::1"]);
        drop(two);
        assert_eq!(order(&spread), ["10.0.0.2", "10.0.0.3", "10.0.0.1", "::1"]);
        drop(one);
        assert_eq!(order(&spread), ALL);
        assert!(spread.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_has_failed_comes_last_of_its_family_for_a_while() {
        let spread = Spread::default();
        spread.avoid(addr("10.0.0.1"));
        let busy = spread.count(addr("10.0.0.2"));
        assert_eq!(order(&spread), ["10.0.0.3", "10.0.0.2", "10.0.0.1", "::1"]);
        tokio::time::sleep(AVOIDED).await;
        assert_eq!(order(&spread), ["10.0.0.1", "10.0.0.3", "10.0.0.2", "::1"]);
        drop(busy);
        spread.avoid(addr("10.0.0.3"));
        spread.trust(addr("10.0.0.3"));
        assert_eq!(order(&spread), ALL);
    }
}
