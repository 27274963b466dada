//! An agent's memory for names (its option `dns`): what the resolver said, for a while, and longer while it can't be asked.
//!
//! `getaddrinfo` does not say how long an answer holds, so the user does. An answer past its time is given out all the same
//! while it is asked for again ("stale while revalidate", as in RFC 5861), up to a limit.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Failure;

/// What a resolver is asked: a name, and a family.
pub(super) type Question = (String, u8);
/// What it says: at least one address.
pub(super) type Answer = Result<Vec<SocketAddr>, Box<Failure>>;

/// How soon a resolver that could not answer is asked again for what is stale.
const ASK_AGAIN_MS: u64 = 1_000;

/// How long what is remembered.
#[derive(Clone, Copy, Debug)]
pub struct CacheSettings {
    /// How long addresses hold, less up to a tenth at random.
    pub ttl_ms: u64,
    /// How long it holds that there is no such name (RFC 2308); 0: not at all.
    pub negative_ttl_ms: u64,
    /// How long after their time addresses are given out while they are asked for again; 0: not at all.
    pub max_stale_ms: u64,
    /// Names at most; the one that was asked for longest ago goes.
    pub max_entries: usize,
    /// Threads at most that the process may have for look-ups when one is added for a name of this agent's.
    pub max_threads: usize,
    /// Connections leave addresses that their name stands for no more: it is asked for again whenever its time is over.
    pub rotates: bool,
}

/// What a cache has done so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CacheStats {
    pub entries: usize,
    /// Answers that held.
    pub hits: u64,
    /// Answers given out past their time.
    pub stale: u64,
    /// What was not known.
    pub misses: u64,
    /// Answers dropped because nobody could be reached at them.
    pub dropped: u64,
}

/// A cache, as those who use it have it: equal to itself only.
#[derive(Clone)]
pub struct Names(Arc<NameCache>);

struct NameCache {
    settings: CacheSettings,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Question, Entry>,
    stats: CacheStats,
    jitter: RandomState,
}

struct Entry {
    answer: Answer,
    /// It holds before.
    until: u64,
    /// It is not asked for again before; `u64::MAX`: that is under way.
    ask_again: u64,
    used: u64,
}

/// What a cache has for a question.
#[derive(Debug)]
pub(super) enum Found {
    Fresh(Answer),
    /// Past its time; `true`: whoever hears so asks again.
    Stale(Vec<SocketAddr>, bool),
    Nothing,
}

impl Names {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: CacheSettings) -> Self {
        Self(Arc::new(NameCache {
            settings,
            began: Instant::now(),
            state: Mutex::default(),
        }))
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let state = self.lock();
        CacheStats {
            entries: state.entries.len(),
            ..state.stats
        }
    }

    pub(super) fn max_threads(&self) -> usize {
        self.0.settings.max_threads
    }

    /// Without `by_stale` only what holds is known.
    pub(super) fn look(&self, question: &Question, by_stale: bool) -> Found {
        let now = self.now();
        self.lock().look(question, by_stale, now, &self.0.settings)
    }

    pub(super) fn store(&self, question: Question, answer: &Answer) {
        let now = self.now();
        self.lock().store(question, answer, now, &self.0.settings);
    }

    /// After which time names are asked for again whose connections are open; `None`: they are not.
    pub(super) fn rotation(&self) -> Option<Duration> {
        let CacheSettings {
            rotates, ttl_ms, ..
        } = self.0.settings;
        (rotates && ttl_ms > 0).then(|| Duration::from_millis(ttl_ms))
    }

    /// Stores what is news even if what is known holds.
    pub(super) fn renew(&self, question: Question, answer: &Answer) {
        let now = self.now();
        let mut state = self.lock();
        if answer.is_ok() {
            if let Some(entry) = state.entries.get_mut(&question) {
                entry.until = now.min(entry.until);
            }
        }
        state.store(question, answer, now, &self.0.settings);
    }

    /// Nobody could be reached at what it says.
    pub(super) fn forget(&self, question: &Question) {
        let mut state = self.lock();
        if state.entries.remove(question).is_some() {
            state.stats.dropped += 1;
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn look(
        &mut self,
        question: &Question,
        by_stale: bool,
        now: u64,
        settings: &CacheSettings,
    ) -> Found {
        let Some(entry) = self.entries.get_mut(question) else {
            self.stats.misses += 1;
            return Found::Nothing;
        };
        entry.used = now;
        if now < entry.until {
            self.stats.hits += 1;
            return Found::Fresh(entry.answer.clone());
        }
        match &entry.answer {
            Ok(addresses)
                if by_stale && now < entry.until.saturating_add(settings.max_stale_ms) =>
            {
                let asks = now >= entry.ask_again;
                if asks {
                    entry.ask_again = u64::MAX;
                }
                self.stats.stale += 1;
                Found::Stale(addresses.clone(), asks)
            }
            _ => {
                self.entries.remove(question);
                self.stats.misses += 1;
                Found::Nothing
            }
        }
    }

    fn store(&mut self, question: Question, answer: &Answer, now: u64, settings: &CacheSettings) {
        let known = self.entries.get_mut(&question);
        let ttl = match answer {
            Ok(_) => {
                settings.ttl_ms
                    - self.jitter.hash_one((&question, now)) % (settings.ttl_ms / 10).max(1)
            }
            Err(failure) if failure.code == "ENOTFOUND" => settings.negative_ttl_ms,
            // The resolver could not be asked: what was known stays.
            Err(_) => {
                if let Some(entry) = known {
                    entry.ask_again = now.saturating_add(ASK_AGAIN_MS);
                }
                return;
            }
        };
        // Of those who waited for the same answer, one is enough.
        if known.is_some_and(|entry| now < entry.until && entry.answer.is_ok() && answer.is_ok()) {
            return;
        }
        if ttl == 0 {
            self.entries.remove(&question);
            return;
        }
        self.make_room(&question, settings.max_entries);
        let entry = Entry {
            answer: answer.clone(),
            until: now.saturating_add(ttl),
            ask_again: 0,
            used: now,
        };
        self.entries.insert(question, entry);
    }

    fn make_room(&mut self, question: &Question, max_entries: usize) {
        if self.entries.len() < max_entries || self.entries.contains_key(question) {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        if let Some(oldest) = oldest.map(|(question, _)| question.clone()) {
            self.entries.remove(&oldest);
        }
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Names {}

impl Hash for Names {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Names").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: CacheSettings = CacheSettings {
        ttl_ms: 1_000,
        negative_ttl_ms: 100,
        max_stale_ms: 5_000,
        max_entries: 2,
        max_threads: 8,
        rotates: false,
    };

    fn question(name: &str) -> Question {
        (name.to_owned(), 0)
    }

    fn addresses(text: &str) -> Answer {
        Ok(vec![text.parse().unwrap()])
    }

    fn failed(code: &'static str) -> Answer {
        Err(Failure::lookup(code, -1, "a").into())
    }

    /// What is found, in short.
    fn found(state: &mut State, name: &str, now: u64) -> String {
        let texts = |addresses: &[SocketAddr]| addresses[0].ip().to_string();
        match state.look(&question(name), true, now, &SETTINGS) {
            Found::Fresh(Ok(found)) => texts(&found),
            Found::Fresh(Err(failure)) => failure.code.into_owned(),
            Found::Stale(found, true) => format!("{}, asks", texts(&found)),
            Found::Stale(found, false) => format!("{}, stale", texts(&found)),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn an_answer_holds_for_its_time_and_is_stale_while_one_asks_again() {
        let mut state = State::default();
        assert_eq!(found(&mut state, "a", 0), "nothing");
        state.store(question("a"), &addresses("1.1.1.1:0"), 0, &SETTINGS);
        assert_eq!(found(&mut state, "a", 899), "1.1.1.1");
        assert_eq!(found(&mut state, "a", 1_000), "1.1.1.1, asks");
        assert_eq!(found(&mut state, "a", 1_000), "1.1.1.1, stale");
        state.store(question("a"), &addresses("2.2.2.2:0"), 1_010, &SETTINGS);
        assert_eq!(found(&mut state, "a", 1_020), "2.2.2.2");
        assert_eq!(found(&mut state, "a", 1_010 + 1_000 + 5_000), "nothing");
        let CacheStats {
            hits,
            stale,
            misses,
            ..
        } = state.stats;
        assert_eq!((hits, stale, misses), (2, 2, 2));
    }

    #[test]
    fn a_resolver_that_cannot_be_asked_takes_no_answer_away() {
        let mut state = State::default();
        state.store(question("a"), &addresses("1.1.1.1:0"), 0, &SETTINGS);
        assert_eq!(found(&mut state, "a", 1_000), "1.1.1.1, asks");
        state.store(question("a"), &failed("EAI_AGAIN"), 1_100, &SETTINGS);
        assert_eq!(found(&mut state, "a", 1_200), "1.1.1.1, stale");
        assert_eq!(found(&mut state, "a", 2_100), "1.1.1.1, asks");
        // A name that is gone is gone.
        state.store(question("a"), &failed("ENOTFOUND"), 2_200, &SETTINGS);
        assert_eq!(found(&mut state, "a", 2_250), "ENOTFOUND");
        assert_eq!(found(&mut state, "a", 2_300), "nothing");
        state.store(question("a"), &failed("EAI_AGAIN"), 2_400, &SETTINGS);
        assert_eq!(found(&mut state, "a", 2_400), "nothing");
    }

    #[test]
    fn the_name_that_was_asked_for_longest_ago_makes_room() {
        let mut state = State::default();
        for (name, now) in [("a", 0), ("b", 1)] {
            state.store(question(name), &addresses("1.1.1.1:0"), now, &SETTINGS);
        }
        assert_eq!(found(&mut state, "a", 2), "1.1.1.1");
        state.store(question("c"), &addresses("1.1.1.1:0"), 3, &SETTINGS);
        assert_eq!(found(&mut state, "b", 4), "nothing");
        assert_eq!(found(&mut state, "a", 4), "1.1.1.1");
        assert_eq!(found(&mut state, "c", 4), "1.1.1.1");
    }

    #[test]
    fn a_time_to_live_is_shortened_by_up_to_a_tenth() {
        let mut ends = std::collections::HashSet::new();
        for number in 0..100 {
            let mut state = State::default();
            let name = number.to_string();
            state.store(question(&name), &addresses("1.1.1.1:0"), 0, &SETTINGS);
            let until = state.entries[&question(&name)].until;
            assert!((901..=1_000).contains(&until), "{until}");
            ends.insert(until);
        }
        assert!(ends.len() > 10);
    }
}
