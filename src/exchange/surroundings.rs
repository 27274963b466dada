//! What carrying an exchange takes beside its connection: who is told, what is counted, what follows for the lease. The same for
//! the I/O thread and for a JavaScript thread that carries it itself.

use std::sync::Arc;

use super::events::Events;
use crate::metrics::Metrics;
use crate::pool::CloseReason;

pub(super) trait Surroundings {
    /// Who is told.
    fn events(&self) -> Arc<dyn Events>;
    /// Counts where the connection counts.
    fn count(&self, what: impl FnOnce(&Metrics));
    /// Counts a complete response to a request with a method of this number.
    fn count_response(&self, method: usize, status: u16);
    /// [`Host::answered`](super::context::Host::answered).
    fn answered(&self, says_close: bool);
    /// [`Host::close_after_response`](super::context::Host::close_after_response).
    fn close_after_response(&self, reason: CloseReason);
    /// [`Host::ended_by_peer`](super::context::Host::ended_by_peer).
    fn ended_by_peer(&self);
    /// Whether there is something to say of what was written, a little later.
    fn put_off_word(&self, is_due: bool);
}

/// What is asked of the engine for a connection that is away, from another thread.
pub trait Remote: Send + Sync {
    /// [`Host::answered`](super::context::Host::answered).
    fn answered(&self, says_close: bool);
    /// [`Host::close_after_response`](super::context::Host::close_after_response).
    fn close_after_response(&self, reason: CloseReason);
    /// [`Host::ended_by_peer`](super::context::Host::ended_by_peer).
    fn ended_by_peer(&self);
}
