//! How fast a body comes that is next to nothing on the wire.
//!
//! Some kilobytes may stand for terabytes. Whoever reads those piece by piece has JavaScript's thread copy them and collect
//! them, as fast as they are decoded, and every other request of that thread waits meanwhile. So each encoded byte is good for
//! some decoded ones, and what a body has beyond that comes at a speed which all such bodies share: about the one at which
//! the runtimes' own decoders tell theirs. Nothing that is worth its bytes is ever held up.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep_until, Instant};

/// Decoded bytes that each body may have, however short it is on the wire.
const ALLOWANCE: u64 = 1024 * 1024;
/// Those that each encoded byte is good for: what people compress on purpose hardly comes to so much.
const PER_BYTE: u64 = 32;
/// The speed of all that is beyond.
const BYTES_PER_MS: u64 = 64 * 1024;
/// What a timer that rings late may make up for.
const SLACK: Duration = Duration::from_millis(5);

/// When the next piece beyond its allowance may come, of any body.
struct Turns(Mutex<Option<Instant>>);

static TURNS: Turns = Turns(Mutex::new(None));

impl Turns {
    /// When it is that `bytes` more have had their time.
    fn take(&self, bytes: u64, now: Instant) -> Instant {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(SLACK).unwrap_or(now);
        let begin = next.map_or(earliest, |next| next.max(earliest));
        let end = begin + Duration::from_nanos(bytes * 1_000_000 / BYTES_PER_MS);
        *next = Some(end);
        end
    }
}

/// Of one body.
pub struct Pace {
    /// Decoded bytes that may come at once.
    allowance: u64,
    /// When it may go on.
    due: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            allowance: ALLOWANCE,
            due: None,
        }
    }
}

impl Pace {
    /// So many encoded bytes have come.
    pub fn came(&mut self, bytes: usize) {
        self.allowance += PER_BYTE * bytes as u64;
    }

    /// Decoded bytes that its encoded ones are good for.
    pub fn allowance(&self) -> usize {
        usize::try_from(self.allowance).unwrap_or(usize::MAX)
    }

    /// So many decoded bytes are told.
    pub fn told(&mut self, bytes: usize) {
        self.tell(bytes as u64, &TURNS);
    }

    fn tell(&mut self, bytes: u64, turns: &Turns) {
        let beyond = bytes.saturating_sub(self.allowance);
        self.allowance -= bytes - beyond;
        self.due = (beyond > 0).then(|| turns.take(beyond, Instant::now()));
    }

    /// Whether more may be told now.
    pub fn is_due(&self) -> bool {
        self.due.is_none_or(|due| due <= Instant::now())
    }

    /// Waits until more may be told.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the next call waits for the rest.
    pub async fn due(&self) {
        if let Some(due) = self.due {
            sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells `bytes` in pieces; how long that took.
    async fn took(pace: &mut Pace, bytes: u64, turns: &Turns) -> Duration {
        let begun = Instant::now();
        for _ in 0..bytes / BYTES_PER_MS {
            pace.due().await;
            pace.tell(BYTES_PER_MS, turns);
        }
        pace.due().await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_worth_its_bytes_never_waits() {
        let turns = Turns(Mutex::default());
        let mut pace = Pace::default();
        assert_eq!(took(&mut pace, ALLOWANCE, &turns).await, Duration::ZERO);
        for _ in 0..1_000 {
            pace.came((BYTES_PER_MS / PER_BYTE) as usize);
            pace.tell(BYTES_PER_MS, &turns);
            assert!(pace.is_due());
        }
        assert!(turns.0.into_inner().unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_stand_for_much_more_share_one_speed() {
        let turns = Turns(Mutex::default());
        let (mut one, mut other) = (Pace::default(), Pace::default());
        let most = ALLOWANCE + 500 * BYTES_PER_MS;
        let begun = Instant::now();
        let (_, _) = tokio::join!(took(&mut one, most, &turns), took(&mut other, most, &turns));
        let millis = begun.elapsed().as_millis();
        assert!((990..=1_010).contains(&millis), "{millis} ms");
        assert!(one.is_due());
        one.tell(100 * BYTES_PER_MS, &turns);
        assert!(!one.is_due());
    }
}
