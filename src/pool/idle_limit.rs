//! How long a peer lets connections be idle: learned from those that it closed, so that a request which may not be sent
//! twice does not run into the next one's end.
//!
//! An observation is the idle age at which the peer ended a connection, or took no notice of the request on it; an end
//! behind an answer counts from that, also before whoever reads it is done. One or two may have other causes. The
//! [`LEAST`]-lowest counts, less a quarter and at least [`MARGIN_MS`]: for the way there, and for what a server's timer
//! is early or late.
//!
//! Two kinds of ends are none (`Pool::ended_by_peer`): those that client or server announced, with `Connection: close` or a
//! body until the close; and those of connections that have been idle for as long before, and were used again.
//!
//! Connections also end for other reasons: a server restarts, or makes room. So an observation is given up as soon as a
//! connection is seen open that has been idle for twice as long (and [`SLACK_MS`]), and in any case after ten times its
//! age, at least [`LIFE_MS`].

/// Observations kept: the lowest. A server that stalls for a moment closes many late, all at once.
const KEPT: usize = 8;
/// Observations that make a limit.
pub(super) const LEAST: usize = 3;
/// What a limit is below the lowest age, at least.
const MARGIN_MS: u64 = 10;
/// What ages may differ by because a thread, or the peer, was late.
const SLACK_MS: u64 = 500;
/// How long the youngest ages are believed.
const LIFE_MS: u64 = 60_000;

/// What was seen of a peer, by age.
#[derive(Default)]
pub(super) struct IdleLimit(Vec<Observation>);

struct Observation {
    age: u64,
    until: u64,
}

impl IdleLimit {
    /// The peer ended a connection that had been idle for `age` ms.
    pub fn observe(&mut self, age: u64, now: u64) {
        self.0.retain(|seen| seen.until > now);
        let until = now.saturating_add(age.saturating_mul(10).max(LIFE_MS));
        let at = self.0.partition_point(|seen| seen.age <= age);
        self.0.insert(at, Observation { age, until });
        self.0.truncate(KEPT);
    }

    /// A connection is open that has been idle for `age` ms.
    pub fn outlived(&mut self, age: u64) {
        self.0.retain(|seen| 2 * seen.age + SLACK_MS > age);
    }

    /// From which idle age on, in ms, a connection may be closed under a request; `None`: nothing is known.
    pub fn get(&mut self, now: u64) -> Option<u64> {
        self.0.retain(|seen| seen.until > now);
        let Observation { age, .. } = self.0.get(LEAST - 1)?;
        Some(age.saturating_sub(MARGIN_MS.max(age / 4)))
    }

    /// Whether anything was seen at all.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ages: &[u64]) -> IdleLimit {
        let mut limit = IdleLimit::default();
        for &age in ages {
            limit.observe(age, 1_000);
        }
        limit
    }

    #[test]
    fn the_third_lowest_observation_counts_less_a_quarter() {
        assert_eq!(seen(&[5_000, 4_000]).get(1_000), None);
        assert_eq!(seen(&[8_000, 5_000, 6_000]).get(1_000), Some(6_000));
        let mut limit = seen(&[4_000; LEAST]);
        for age in [8_000; 2 * KEPT] {
            limit.observe(age, 1_000);
        }
        assert_eq!(limit.get(1_000), Some(3_000));
        assert_eq!(limit.0.len(), KEPT);
        limit.observe(100, 1_000);
        limit.observe(100, 1_000);
        assert_eq!(limit.get(1_000), Some(3_000));
    }

    #[test]
    fn a_peer_that_closes_at_once_has_a_limit_that_nothing_is_below() {
        assert_eq!(seen(&[0, 3, 1]).get(1_000), Some(0));
        assert_eq!(seen(&[9, 10, 9]).get(1_000), Some(0));
        assert_eq!(seen(&[20; 3]).get(1_000), Some(10));
    }

    #[test]
    fn what_a_connection_has_outlived_clearly_is_forgotten() {
        let mut limit = seen(&[0, 10, 40, 5_000, 5_000, 5_000]);
        limit.outlived(499);
        assert_eq!(limit.get(1_000), Some(30));
        limit.outlived(600);
        assert_eq!(limit.get(1_000), Some(3_750));
        limit.outlived(5_000);
        assert_eq!(limit.get(1_000), Some(3_750));
    }

    #[test]
    fn observations_are_believed_for_ten_times_their_age_and_a_minute_at_least() {
        assert_eq!(seen(&[40; 3]).get(60_999), Some(30));
        assert_eq!(seen(&[40; 3]).get(61_000), None);
        assert_eq!(seen(&[65_000; 3]).get(650_999), Some(48_750));
        assert_eq!(seen(&[65_000; 3]).get(651_000), None);
    }
}
