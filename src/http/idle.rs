//! The connections of a listener that do nothing, so that the one that is idle longest can be
//! closed when another client needs its place.
//!
//! A connection is idle while no request is under way: until the head of a request has arrived
//! completely, and again once its answer was written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The idle connections of one listener.
#[derive(Debug, Default)]
pub(super) struct IdleConnections {
    state: Mutex<IdleState>,
    /// Notified when a connection becomes idle.
    changed: Notify,
}

#[derive(Debug, Default)]
struct IdleState {
    /// How often a connection became idle.
    count: u64,
    /// What closes each idle connection, the one that became idle first before the others.
    idle: BTreeMap<u64, CancellationToken>,
}

impl IdleConnections {
    /// Adds a connection, which is idle at first.
    pub(super) fn add(self: &Arc<Self>) -> Activity {
        let activity = Activity {
            all: Arc::clone(self),
            shed: CancellationToken::new(),
            place: Mutex::default(),
        };
        activity.end_request();
        activity
    }

    /// Tells the connection that is idle longest to close; waits while none is idle. Cancel safe.
    pub(super) async fn shed_oldest(&self) {
        loop {
            let changed = self.changed.notified();
            let oldest = self.state().idle.pop_first();
            if let Some((_, shed)) = oldest {
                return shed.cancel();
            }
            changed.await;
        }
    }

    /// Adds the newest idle connection; returns its place.
    fn enter(&self, shed: CancellationToken) -> u64 {
        let mut state = self.state();
        state.count += 1;
        let place = state.count;
        state.idle.insert(place, shed);
        place
    }

    /// Never held across an await.
    fn state(&self) -> MutexGuard<'_, IdleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one connection is idle. HTTP/1 has one request of a connection under way at a time.
#[derive(Debug)]
pub(super) struct Activity {
    all: Arc<IdleConnections>,
    shed: CancellationToken,
    /// Its place among the idle connections; `None` while a request is under way.
    place: Mutex<Option<u64>>,
}

impl Activity {
    /// Waits until the connection shall close. Cancel safe.
    pub(super) async fn shed(&self) {
        self.shed.cancelled().await;
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.place().is_some()
    }

    /// Records that a request has begun, until what is returned is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestUnderWay {
        self.leave();
        RequestUnderWay(Arc::clone(self))
    }

    fn end_request(&self) {
        let place = self.all.enter(self.shed.clone());
        *self.place() = Some(place);
        self.all.changed.notify_one();
    }

    fn leave(&self) {
        let place = self.place().take();
        if let Some(place) = place {
            self.all.state().idle.remove(&place);
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<u64>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A request whose answer is not written yet.
#[derive(Debug)]
pub(super) struct RequestUnderWay(Arc<Activity>);

impl RequestUnderWay {
    /// Returns an error of the answer's body as it is: whatever maps errors by this keeps the
    /// request under way until the body ends.
    #[expect(clippy::unused_self, reason = "whoever calls it keeps it")]
    pub(super) fn keep<E>(&self, error: E) -> E {
        error
    }
}

impl Drop for RequestUnderWay {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn the_connection_that_is_idle_longest_is_shed_and_a_busy_one_never() {
        let all = Arc::new(IdleConnections::default());
        let [first, second, third] = [(); 3].map(|()| Arc::new(all.add()));
        let request = first.begin_request();
        assert!(!first.is_idle());
        all.shed_oldest().await;
        assert!(second.shed.is_cancelled() && !third.shed.is_cancelled());
        drop(request);
        drop(third);
        all.shed_oldest().await;
        assert!(first.shed.is_cancelled(), "it was idle again");
    }

    #[tokio::test]
    async fn shedding_waits_until_a_connection_is_idle() {
        let all = Arc::new(IdleConnections::default());
        let connection = Arc::new(all.add());
        let request = connection.begin_request();
        let mut shedding = pin!(all.shed_oldest());
        assert!(poll!(&mut shedding).is_pending());
        drop(request);
        assert!(poll!(&mut shedding).is_ready());
        assert!(connection.shed.is_cancelled());
    }
}
