//! Time that passes faster: what waits for seconds waits for milliseconds.
//!
//! The clock of tokio is paused and set forward a little every millisecond. Left to itself, a paused
//! clock leaps to the next deadline whenever all tasks wait, and would not let a disk answer
//! first; it does not while something blocks a thread, which the one that ticks does.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::advance;

/// How often the clock is set forward.
const TICK: Duration = Duration::from_millis(1);
/// How far.
const STRIDE: Duration = Duration::from_millis(20);

/// Runs a future to its end while time passes twenty times as fast.
pub(super) fn hurried<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (ticked, mut ticks) = mpsc::channel(1);
        let (_ended, ending) = channel::<()>();
        drop(tokio::task::spawn_blocking(move || {
            while ending.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                // A tick that finds another waiting is left out: time waits for the tasks.
                ticked.try_send(()).ok();
            }
        }));
        let time = async {
            while ticks.recv().await.is_some() {
                advance(STRIDE).await;
            }
        };
        tokio::select! {
            ended = future => ended,
            () = time => unreachable!("it ticks until the future has ended"),
        }
    })
}
