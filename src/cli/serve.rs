//! `serve`, `ingress`, `worker`, `console` and `leader`: the long-running processes.

use tokio_util::sync::CancellationToken;

use super::{ExitStatus, ServeArgs};
use crate::app::signals::Signals;
use crate::app::telemetry;
use crate::app::{App, Roles, StartError};
use crate::config::Settings;
use crate::worker::Drained;

/// Serves these roles until a signal, then drains.
pub async fn run(settings: Settings, roles: Roles, args: &ServeArgs) -> anyhow::Result<ExitStatus> {
    let logs = telemetry::init(&settings.log)?;
    for warning in settings.exposed_files() {
        tracing::warn!("{warning}");
    }
    let signals = Signals::install()?;
    let app = App::start(settings, roles).await?;
    let stop = CancellationToken::new();
    let drained = tokio::select! {
        drained = app.run(args.ready_file.as_deref(), stop.clone()) => drained,
        never = signals.watch(stop) => never,
        never = logs.report() => never,
    };
    logs.report_now();
    Ok(exit_status(drained?))
}

/// The exit status of a process that has drained.
pub(super) const fn exit_status(drained: Drained) -> ExitStatus {
    match drained {
        Drained::Whole => ExitStatus::Done,
        Drained::InPart => ExitStatus::DrainDeadline,
    }
}

/// The exit status of a process that could not start: mostly for configuration errors.
pub(super) const fn start_failed(error: &StartError) -> ExitStatus {
    let is_transient = match error {
        StartError::Listen { .. } | StartError::Lease(_) => false,
        StartError::Broker(error) => error.is_transient(),
        StartError::Store(error) => error.is_transient(),
    };
    if is_transient { ExitStatus::Unreachable } else { ExitStatus::Usage }
}
