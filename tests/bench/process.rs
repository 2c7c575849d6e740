//! The server in a role, or a part of the bare pipeline, as a process.

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use storekeeper::app::Addresses;

use crate::end_to_end::post;
use crate::place::Place;
use crate::servers;

/// How often a process is asked whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// What the server counts of events that have their outcome.
const SETTLED: &str = "storekeeper_events_settled_total";

pub(crate) struct Process {
    child: Child,
    _directory: tempfile::TempDir,
    addresses: Addresses,
    is_bare: bool,
    announces: bool,
    client: reqwest::Client,
}

impl Process {
    /// A role of the server, with its changes of stock told to listeners or not.
    pub(crate) async fn role(role: &str, place: &Place, announces: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ready: PathBuf = directory.path().join("ready.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_storekeeper"));
        command.args([role, "--ready-file"]).arg(&ready).env_clear();
        command.current_dir(directory.path()).stderr(Stdio::inherit());
        for (setting, value) in [
            ("BACKEND", "distributed"),
            ("RABBITMQ__URL", &place.rabbitmq),
            ("RABBITMQ__NAMESPACE", &place.namespace),
            ("REDIS__URL", &place.redis),
            ("REDIS__PREFIX", &place.namespace),
            ("REDIS__ALLOW_VOLATILE", "true"),
            ("INGRESS__LISTEN", "127.0.0.1:0"),
            ("CONSOLE__LISTEN", "127.0.0.1:0"),
            ("PROBES__LISTEN", "127.0.0.1:0"),
            ("LOG__LEVEL", "error"),
            ("CHANGES__ANNOUNCE", if announces { "true" } else { "false" }),
        ] {
            command.env(format!("STOREKEEPER__{setting}"), value);
        }
        let child = command.spawn().unwrap();
        let addresses = loop {
            if let Ok(text) = std::fs::read(&ready) {
                break serde_json::from_slice(&text).unwrap();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let client = client();
        Self { child, _directory: directory, addresses, is_bare: false, announces, client }
    }

    /// The bare pipeline, or its consumer alone.
    pub(crate) fn bare(place: &Place, consumes_only: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let part = if consumes_only { "--bare-consumer" } else { "--bare-pipeline" };
        command.args([part, &place.namespace, "--rabbitmq", &place.rabbitmq]);
        command.args(["--redis", &place.redis]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        let addresses = Addresses { ingress: Some(address), console: None, probes: address };
        let (is_bare, announces, client) = (true, false, client());
        Self { child, _directory: directory, addresses, is_bare, announces, client }
    }

    pub(crate) async fn post(&self, orders: Range<u32>, clients: u32) {
        let url = format!("http://{}/webhooks/duda", self.addresses.ingress.unwrap());
        post(&self.client, &url, orders, clients).await;
    }

    /// How many events have had their outcome in this process.
    async fn done(&self) -> u32 {
        if self.is_bare {
            return self.ask("/done").await.parse().unwrap();
        }
        let metrics = self.ask("/metrics").await;
        let counts = metrics.lines().filter(|line| line.starts_with(SETTLED));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum()
    }

    /// Waits until nothing is left of what the start of a new place takes.
    pub(crate) async fn is_settled_in(&self, place: &Place) {
        if !self.is_bare {
            place.is_known().await;
        }
    }

    /// Waits until what goes on behind the events is done.
    pub(crate) async fn is_through(&self, place: &Place) {
        if self.announces {
            place.is_announced().await;
        }
    }

    async fn ask(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.addresses.probes);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The seconds that the process has had of the processor.
    pub(crate) fn cpu(&self) -> f64 {
        servers::cpu(self.child.id())
    }
}

/// Waits until the processes together have given so many events their outcome.
pub(crate) async fn settled(place: &Place, processes: &[Process], events: u32) {
    place.is_taken().await;
    loop {
        let mut done = 0;
        for process in processes {
            done += process.done().await;
        }
        if done >= events {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(512).build().unwrap()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then the benchmark has failed already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
