//! Look-ups that are under way, by their question: who asks the same one waits for the answer that is coming ("single
//! flight"). A burst of connections to one name is one question to the resolver.

use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot::{self, Sender};

use super::threads::Threads;
use crate::contain::contain;

/// Questions under way, and who waits for each answer.
pub(super) struct Flights<Q, A> {
    under_way: Mutex<HashMap<Q, Vec<Waiter<A>>>>,
    resolve: fn(&Q) -> A,
}

enum Waiter<A> {
    Future(Sender<A>),
    Callback(Box<dyn FnOnce(A) + Send>),
}

impl<A> Waiter<A> {
    fn has_left(&self) -> bool {
        match self {
            Self::Future(sender) => sender.is_closed(),
            Self::Callback(_) => false,
        }
    }

    fn tell(self, answer: A) {
        match self {
            Self::Future(sender) => drop(sender.send(answer)),
            Self::Callback(callback) => callback(answer),
        }
    }
}

impl<Q: Clone + Eq + Hash + Send + 'static, A: Clone + Send + 'static> Flights<Q, A> {
    pub(super) fn new(resolve: fn(&Q) -> A) -> Self {
        Self {
            under_way: Mutex::default(),
            resolve,
        }
    }

    /// The answer to `question`, found out on one of `threads`, of which there may be `most`.
    ///
    /// # Errors
    ///
    /// The system's, if there is no thread to ask on, and [`io::ErrorKind::Interrupted`] if asking panicked.
    ///
    /// # Cancel safety
    ///
    /// A question that has not been asked yet, and whose answer nobody waits for any more, is not asked.
    pub(super) async fn ask(
        &'static self,
        threads: &Threads,
        most: usize,
        question: Q,
    ) -> io::Result<A> {
        let (sender, answer) = oneshot::channel();
        self.join(threads, most, question, Waiter::Future(sender))?;
        threads.wait(answer, most).await
    }

    /// Gives the answer to `callback`, on one of `threads`; it is dropped if asking panics.
    ///
    /// # Errors
    ///
    /// The system's, if there is no thread to ask on.
    pub(super) fn then(
        &'static self,
        threads: &Threads,
        most: usize,
        question: Q,
        callback: impl FnOnce(A) + Send + 'static,
    ) -> io::Result<()> {
        self.join(
            threads,
            most,
            question,
            Waiter::Callback(Box::new(callback)),
        )
    }

    fn join(
        &'static self,
        threads: &Threads,
        most: usize,
        question: Q,
        waiter: Waiter<A>,
    ) -> io::Result<()> {
        let mut under_way = self.lock();
        let waiting = match under_way.entry(question) {
            Entry::Occupied(mut others) => {
                push(others.get_mut(), waiter);
                return Ok(());
            }
            Entry::Vacant(first) => first,
        };
        let question = waiting.key().clone();
        threads.run(Box::new(move || self.answer(&question)), most)?;
        waiting.insert(vec![waiter]);
        Ok(())
    }

    /// On a thread for what blocks.
    fn answer(&self, question: &Q) {
        {
            let mut under_way = self.lock();
            let waits = |waiting: &Vec<Waiter<A>>| !waiting.iter().all(Waiter::has_left);
            if !under_way.get(question).is_some_and(waits) {
                under_way.remove(question);
                return;
            }
        }
        let answer = contain(|| (self.resolve)(question));
        let waiting = self.lock().remove(question).unwrap_or_default();
        // Who waited for an answer that did not come hears so by the end of its sender.
        if let Ok(answer) = answer {
            for waiter in waiting {
                waiter.tell(answer.clone());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Q, Vec<Waiter<A>>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has given up leaves when there would be no room: a name that never answers may be asked for again and again.
fn push<A>(waiting: &mut Vec<Waiter<A>>, waiter: Waiter<A>) {
    if waiting.len() == waiting.capacity() {
        waiting.retain(|other| !other.has_left());
    }
    waiting.push(waiter);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar};
    use std::task::Poll;
    use std::time::Duration;

    use once_cell::sync::Lazy;

    use super::*;
    use crate::connect::threads::{start, MOST};

    /// A resolver that answers when it is let, and counts how often it was asked.
    #[derive(Default)]
    struct Resolver {
        asked: AtomicUsize,
        open: Mutex<bool>,
        opened: Condvar,
    }

    impl Resolver {
        fn resolve(&self) -> usize {
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let open = self.open.lock().unwrap();
            drop(self.opened.wait_while(open, |open| !*open).unwrap());
            number
        }

        fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.opened.notify_all();
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    type Question = (&'static str, Arc<Resolver>);

    /// A question is the same as another if its name is.
    #[derive(Clone)]
    struct ByName(Question);

    impl PartialEq for ByName {
        fn eq(&self, other: &Self) -> bool {
            self.0 .0 == other.0 .0
        }
    }
    impl Eq for ByName {}
    impl Hash for ByName {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0 .0.hash(state);
        }
    }

    static THREADS: Lazy<Threads> = Lazy::new(|| Threads::new(start));
    static FLIGHTS: Lazy<Flights<ByName, usize>> = Lazy::new(|| {
        Flights::new(|question| {
            assert_ne!(question.0 .0, "panics", "a panic");
            question.0 .1.resolve()
        })
    });

    fn ask(
        name: &'static str,
        resolver: &Arc<Resolver>,
    ) -> std::pin::Pin<Box<impl std::future::Future<Output = io::Result<usize>>>> {
        Box::pin(FLIGHTS.ask(&THREADS, MOST, ByName((name, Arc::clone(resolver)))))
    }

    async fn begin<F: std::future::Future + Unpin>(asking: &mut F) {
        std::future::poll_fn(|cx| {
            let polled = std::pin::Pin::new(&mut *asking).poll(cx);
            assert!(polled.is_pending());
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_burst_for_one_name_is_one_question() {
        let resolver = Arc::default();
        let mut burst: Vec<_> = (0..1_000).map(|_| ask("burst", &resolver)).collect();
        for asking in &mut burst {
            begin(asking).await;
        }
        resolver.open();
        for asking in burst {
            assert_eq!(asking.await.unwrap(), 1);
        }
        // An answer is for those who waited for it.
        assert_eq!(ask("burst", &resolver).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn who_gives_up_takes_nobody_along() {
        let resolver = Arc::default();
        let (mut first, mut second) = (ask("left", &resolver), ask("left", &resolver));
        begin(&mut first).await;
        begin(&mut second).await;
        drop(first);
        resolver.open();
        assert_eq!(second.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn slow_names_hold_no_other_back_and_what_nobody_waits_for_is_not_asked() {
        let slow: Arc<Resolver> = Arc::default();
        let names: Vec<&'static str> = (0..200)
            .map(|number| &*Box::leak(format!("slow-{number}").into_boxed_str()))
            .collect();
        let mut waiting: Vec<_> = names[..20].iter().map(|name| ask(name, &slow)).collect();
        for asking in &mut waiting {
            begin(asking).await;
        }
        let quick: Arc<Resolver> = Arc::default();
        quick.open();
        assert_eq!(ask("quick", &quick).await.unwrap(), 1);
        // As many as there may be threads are asked; the others, given up, never are.
        waiting.extend(names[20..].iter().map(|name| ask(name, &slow)));
        for asking in &mut waiting {
            begin(asking).await;
        }
        waiting.drain(20..);
        slow.open();
        for asking in waiting {
            asking.await.unwrap();
        }
        let is_known = |key: &ByName| key.0 .0.starts_with("slow");
        let forgotten = async {
            while FLIGHTS.lock().keys().any(is_known) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), forgotten)
            .await
            .unwrap();
        assert!(slow.asked() < 100, "{} were asked", slow.asked());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_those_who_asked() {
        let resolver = Arc::default();
        let error = ask("panics", &resolver).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
        assert!(ask("panics", &resolver).await.is_err());
    }
}
