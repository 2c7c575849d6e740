//! The processes that are measured: roles of a Storekeeper, or those of the bare pipeline.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use storekeeper::app::Addresses;

use crate::corpus::Corpus;
use crate::load::{self, Answered, Pace};
use crate::place::Place;

/// The poll interval while something is waited for.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// What a worker counts of events that have their outcome.
const SETTLED: &str = "storekeeper_events_settled_total";
/// What a leader shows of the duty that could replay the journal.
const RECOVERY: &str = "storekeeper_duty_last_success_timestamp_seconds{duty=\"recover\"}";

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contender {
    /// The bare pipeline.
    Bare,
    /// A Storekeeper, by its executable.
    Storekeeper { name: &'static str, executable: PathBuf },
}

impl Contender {
    /// The Storekeeper of this build.
    pub(crate) fn own() -> Self {
        let executable = env!("CARGO_BIN_EXE_storekeeper").into();
        Self::Storekeeper { name: "storekeeper", executable }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Storekeeper { name, .. } => name,
        }
    }
}

pub(crate) struct Process {
    child: Child,
    role: &'static str,
    addresses: Addresses,
}

impl Process {
    /// Starts a role at a place, and waits until it is ready.
    pub(crate) async fn start(
        contender: &Contender,
        role: &'static str,
        place: &Place,
        announces: bool,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ready = directory.path().join("ready.json");
        let mut command = match contender {
            Contender::Bare => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.arg("--bare");
                command
            }
            Contender::Storekeeper { executable, .. } => Command::new(executable),
        };
        command.arg(role).arg("--ready-file").arg(&ready).env_clear().stderr(Stdio::inherit());
        let announces = if announces { "true" } else { "false" }.to_owned();
        let mut settings = place.settings();
        settings.push(("CHANGES__ANNOUNCE", announces));
        // A mixed history has dead letters, and each is a warning.
        settings.push(("LOG__LEVEL", "error".to_owned()));
        for listener in ["INGRESS__LISTEN", "CONSOLE__LISTEN", "PROBES__LISTEN"] {
            settings.push((listener, "127.0.0.1:0".to_owned()));
        }
        for (setting, value) in settings {
            command.env(format!("STOREKEEPER__{setting}"), value);
        }
        let mut child = command.spawn().unwrap();
        let addresses = loop {
            if let Ok(text) = std::fs::read(&ready) {
                break serde_json::from_slice(&text).unwrap();
            }
            assert!(child.try_wait().unwrap().is_none(), "{} {role} ended", contender.name());
            tokio::time::sleep(POLL_INTERVAL).await;
        };
        Self { child, role, addresses }
    }

    pub(crate) const fn role(&self) -> &'static str {
        self.role
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn post(
        &self,
        corpus: &Arc<Corpus>,
        places: Range<usize>,
        pace: Pace,
    ) -> Answered {
        load::post(self.addresses.ingress.unwrap(), corpus, places, pace).await
    }

    /// How many events have had their outcome in this process.
    async fn done(&self) -> usize {
        let metrics = self.metrics().await;
        let counts = metrics.lines().filter(|line| line.starts_with(SETTLED));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }

    /// Waits until a new leader has looked through the journal: what is posted before might be
    /// replayed.
    pub(crate) async fn leads(&self) {
        loop {
            let metrics = self.metrics().await;
            let found = metrics.lines().find_map(|line| line.strip_prefix(RECOVERY));
            if found.is_some_and(|at| at.trim().parse::<f64>().unwrap() > 0.0) {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn metrics(&self) -> String {
        let probes: SocketAddr = self.addresses.probes;
        load::ask(probes, "/metrics").await
    }

    /// The most memory that the process has had, in mebibytes.
    pub(crate) fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then the benchmark has failed already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits until the processes together have given so many events their outcome.
pub(crate) async fn settled(place: &Place, processes: &[Process], events: usize) {
    // A scrape costs the worker something, and more for more sites.
    place.queue().await.is_empty().await;
    loop {
        let mut done = 0;
        for process in processes {
            done += process.done().await;
        }
        if done >= events {
            return;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
