//! How a backend learns what becomes of its deliveries: by their numbers, on one channel a session.

use tokio::sync::mpsc;

use super::Disposition;

/// A delivery by its number, and what shall become of it; `None` if it was dropped.
pub(super) type Returned = (u64, Option<Disposition>);

/// Reports what shall become of one delivery, once it is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) number: u64,
    pub(super) disposition: Option<Disposition>,
    /// Has room for each delivery that is in flight.
    pub(super) reports: mpsc::Sender<Returned>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // An error means that the session is over: the envelope is delivered again.
        self.reports.try_send((self.number, self.disposition.take())).ok();
    }
}
