//! Panics on demand, for tests of what becomes of them. Outside of tests there is nothing here to set off.

/// Where a panic can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FaultPoint {
    /// A job of the I/O thread.
    Job,
    /// A connection is opened.
    Dial,
    /// TLS shakes hands.
    Handshake,
    /// A response's head is read.
    Head,
    /// Its body is.
    Body,
    /// A part of it has been told.
    Told,
    /// The body of a fetch is told, without its content codings.
    Decode,
    /// The client of HTTP/2 sends a request.
    Client,
    /// A command is carried out.
    Bridge,
    /// The I/O thread itself.
    Thread,
}

#[cfg(not(any(test, feature = "fault-injection")))]
#[inline(always)]
pub(crate) fn at(_point: FaultPoint) {}

#[cfg(any(test, feature = "fault-injection"))]
pub use injected::*;

#[cfg(any(test, feature = "fault-injection"))]
mod injected {
    use std::cell::Cell;

    use super::FaultPoint;

    impl FaultPoint {
        /// The point of that name.
        #[cfg(feature = "fault-injection")]
        pub(crate) fn named(name: &str) -> Option<Self> {
            [
                Self::Job,
                Self::Dial,
                Self::Handshake,
                Self::Head,
                Self::Body,
                Self::Told,
                Self::Decode,
                Self::Client,
                Self::Bridge,
                Self::Thread,
            ]
            .into_iter()
            .find(|point| format!("{point:?}") == name)
        }
    }

    thread_local! {
        static NEXT: Cell<Option<FaultPoint>> = const { Cell::new(None) };
    }

    /// The next time that this thread comes to `point`, it panics.
    pub fn inject(point: FaultPoint) {
        NEXT.set(Some(point));
    }

    #[allow(clippy::panic)]
    pub(crate) fn at(point: FaultPoint) {
        if NEXT.get() == Some(point) {
            NEXT.set(None);
            panic!("injected at {point:?}");
        }
    }
}
