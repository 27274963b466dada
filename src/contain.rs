//! A panic ends what it is part of, and nothing else: whatever the I/O thread runs, it runs contained.
//!
//! State that a panic leaves behind belongs to what has failed with it, and goes with that; what is shared is changed by
//! code that does not panic.

use std::any::Any;
use std::future::Future;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{Failure, ENGINE_FAILED};

/// Does `work`; a panic becomes a failure.
///
/// # Errors
///
/// What it panicked with.
pub fn contain<R>(work: impl FnOnce() -> R) -> Result<R, Box<Failure>> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| failure(&*payload))
}

/// A future whose panic becomes a failure.
pub struct Contained<F>(Pin<Box<F>>);

impl<F: Future> Contained<F> {
    /// Contains `future`.
    pub fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, Box<Failure>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match contain(|| self.0.as_mut().poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }
}

fn failure(payload: &(dyn Any + Send)) -> Box<Failure> {
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic");
    let message = format!("keepwire's engine failed: {said}");
    Box::new(Failure::new(ENGINE_FAILED, message))
}
