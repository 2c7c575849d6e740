//! Deliveries that are out with a subscriber, and what became of them.

use std::future::Future;
use std::pin::Pin;

use futures_util::FutureExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::unconstrained;

/// What became of a delivery, once that is known.
pub(super) type Out<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// All that is known by now, however much it is; the rest is let go.
///
/// Each is asked by itself: the set, and tokio's budget, put an end to asking after some of them,
/// and a broker that is closed asks no second time.
pub(super) fn known_now<T>(out: FuturesUnordered<Out<T>>) -> Vec<T> {
    out.into_iter().filter_map(|out| unconstrained(out).now_or_never()).collect()
}
