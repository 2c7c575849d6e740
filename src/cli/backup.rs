//! `backup`: copies the files of a service, even while it runs.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::{ExitStatus, progress};
use crate::app::back_up;
use crate::config::{Backend, Settings};

/// The options of `backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The directory to create; it must not exist yet.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// The result in JSON.
#[derive(Serialize)]
struct View {
    directory: String,
    /// The time from which to replay the journal after a restore.
    replay_since: String,
}

/// Writes the backup.
pub async fn run(
    settings: &Settings,
    args: &BackupArgs,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    if settings.backend == Backend::Distributed {
        output.say(
            "backup copies the files of the embedded backend; Redis and RabbitMQ are backed up with \
             their own tools, and `storekeeper journal replay --since` brings an old Redis up to date",
        )?;
        return Ok(ExitStatus::Usage);
    }
    let bar = progress::bar("copying");
    let shown = bar.clone();
    let since = back_up(&settings.embedded.path, &args.directory, move |file, done, all| {
        shown.set_message(file);
        shown.set_length(all);
        shown.set_position(done);
    });
    let since = since.await;
    bar.finish_and_clear();
    let since = since?;
    let directory = args.directory.display().to_string();
    let sentence = format!(
        "{directory} holds store.db and broker.db. To restore: stop the service, copy both to \
         embedded.path in place of what is there (with their -wal and -shm files) and start it. If only \
         store.db was lost, copy only that: the rest is applied again from the journal in broker.db"
    );
    output.verdict(sentence, &View { directory, replay_since: since.to_string() })?;
    Ok(ExitStatus::Done)
}
