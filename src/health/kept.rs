//! A reading of a backend that is taken at most once a second, however many clients ask.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// How long a reading is reused at least.
const KEPT: Duration = Duration::from_secs(1);

/// The last reading, or the one that is being taken.
#[derive(Debug)]
pub(super) struct Kept<T> {
    last: Mutex<Option<Reading<T>>>,
    /// A reading is reused for so many times as long as it took.
    share: u32,
}

/// A reading, and when the next one may be taken; no reading if taking it panicked.
type Reading<T> = Shared<BoxFuture<'static, (Option<T>, Instant)>>;

impl<T: Clone + Send + Sync + 'static> Kept<T> {
    /// Creates one for readings that always take about the same.
    pub(super) const fn new() -> Self {
        Self::for_share(0)
    }

    /// Creates one for readings that take longer in a larger shop: they take at most one part in
    /// so many of the backend's time.
    pub(super) const fn for_share(share: u32) -> Self {
        Self { last: Mutex::new(None), share }
    }

    /// Returns the last reading, or takes one if that is too old.
    pub(super) async fn get(&self, read: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.reading(read).await.0
    }

    /// A reading is a task of its own: if it depended on the client that caused it, clients that
    /// hang up could have readings begun without an end.
    fn reading(&self, read: impl Future<Output = T> + Send + 'static) -> Reading<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_use =
            |reading: &&Reading<T>| reading.peek().is_none_or(|(_, next)| Instant::now() < *next);
        if let Some(reading) = last.as_ref().filter(is_of_use) {
            return reading.clone();
        }
        let (begun, share) = (Instant::now(), self.share);
        let task = TaskTracker::new().spawn(read);
        let ended = async move {
            let read = task.await.ok();
            let took = begun.elapsed();
            (read, Instant::now() + KEPT.max(took * share))
        };
        last.insert(ended.boxed().shared()).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A reading that takes so long, and counts itself.
    fn taking(long: Duration, taken: &Arc<AtomicU32>) -> impl Future<Output = u32> + use<> {
        let taken = Arc::clone(taken);
        async move {
            let number = taken.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::time::sleep(long).await;
            number
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_at_one_time_share_a_reading_and_so_does_whoever_comes_soon_after() {
        let (kept, taken) = (Kept::new(), Arc::default());
        let long = Duration::from_millis(500);
        let both = tokio::join!(kept.get(taking(long, &taken)), kept.get(taking(long, &taken)));
        assert_eq!(both, (Some(1), Some(1)));
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(kept.get(taking(long, &taken)).await, Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(kept.get(taking(long, &taken)).await, Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hangs_up_does_not_have_a_reading_begun_again() {
        let (kept, taken) = (Kept::new(), Arc::default());
        let long = Duration::from_millis(500);
        for _ in 0..3 {
            let hung_up = tokio::time::timeout(long / 10, kept.get(taking(long, &taken)));
            assert!(hung_up.await.is_err());
        }
        assert_eq!(kept.get(taking(long, &taken)).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_long_is_kept_longer() {
        let (kept, taken) = (Kept::for_share(20), Arc::default());
        let long = Duration::from_millis(500);
        assert_eq!(kept.get(taking(long, &taken)).await, Some(1));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!(kept.get(taking(long, &taken)).await, Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(kept.get(taking(long, &taken)).await, Some(2));
    }

    #[tokio::test]
    async fn a_reading_that_panics_is_none_and_not_the_last() {
        let kept = Kept::new();
        assert_eq!(kept.get(async { panic!("on purpose") }).await, None::<u32>);
        tokio::time::pause();
        tokio::time::advance(KEPT).await;
        assert_eq!(kept.get(async { 1 }).await, Some(1));
    }
}
