//! What SIGTERM and SIGINT do: the first asks the process to stop, the second ends it. The same
//! signal within a second is the first one: supervisors and shells send it to a group, too.
//!
//! The token is passed in, so a test or the demo can stop the same way without a signal. This
//! module decides nothing about the order of a shutdown; whoever holds the token does.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal: 128 and the number of SIGINT.
pub const SECOND_SIGNAL_CODE: u8 = 130;

/// How long the same signal again is no second one.
const REPEATED_WITHIN: Duration = Duration::from_secs(1);

/// The two signals that ask a process to stop.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes over both signals: from now on they no longer end the process by themselves.
    ///
    /// Needs a running tokio runtime. Call it before anything is started, so that no signal
    /// falls between.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Cancels `stop` at the first signal and exits, with [`SECOND_SIGNAL_CODE`], at the second.
    ///
    /// Never returns: run it beside the work and drop it when that has ended.
    pub async fn watch(mut self, stop: CancellationToken) -> ! {
        let first = self.next().await;
        let begun = Instant::now();
        tracing::info!(signal = first, "stopping; a second signal exits at once");
        stop.cancel();
        let mut name = self.next().await;
        while name == first && begun.elapsed() < REPEATED_WITHIN {
            name = self.next().await;
        }
        tracing::warn!(signal = name, "exiting at once; what is in flight is delivered again");
        exit_at_once()
    }

    async fn next(&mut self) -> &'static str {
        // A stream of signals ends only with the runtime, and this future ends before that.
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[expect(clippy::exit, reason = "a second signal says that waiting is no longer wanted")]
fn exit_at_once() -> ! {
    std::process::exit(i32::from(SECOND_SIGNAL_CODE))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[tokio::test]
    async fn the_first_signal_cancels_the_token_and_the_process_lives_on() {
        let signals = Signals::install().unwrap();
        let stop = CancellationToken::new();
        let kill = Command::new("kill").args(["-TERM", &id().to_string()]).status().unwrap();
        assert!(kill.success());
        let stopped = tokio::time::timeout(Duration::from_secs(10), async {
            tokio::select! {
                () = stop.cancelled() => {}
                never = signals.watch(stop.clone()) => never,
            }
        });
        assert!(stopped.await.is_ok(), "the token was not cancelled within 10 s");
    }
}
