//! What several tests need: seeds, deadlines, and the real binary as a child process.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use storekeeper::app::Addresses;
use storekeeper::broker::{Envelope, EnvelopeKind};
use storekeeper::clock;
use storekeeper::domain::{MessageId, PolicyOrigin};
use tokio::time::Instant;
use uuid::Uuid;

/// How long anything may take before a test gives up on it.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const MIB: u64 = 1024 * 1024;
/// How often a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Whether the long form of the tests was asked for.
pub(crate) fn is_long() -> bool {
    variable("STOREKEEPER_TEST_LONG").is_some_and(|value| value == "1")
}

/// The seed of a random test, printed so that a failure can be played again.
#[expect(clippy::print_stderr, reason = "the test runner shows it when the test fails")]
pub(crate) fn seed() -> u64 {
    let seed = variable("STOREKEEPER_TEST_SEED").map_or_else(rand::random, |seed| {
        seed.parse().expect("STOREKEEPER_TEST_SEED is a whole number")
    });
    eprintln!("STOREKEEPER_TEST_SEED={seed}");
    seed
}

/// Says something to whoever runs the tests, also of a test that passes: the runner keeps what is
/// printed in the usual way to itself.
pub(crate) fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "these variables are for tests and no settings")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Who puts policies in force in tests, now.
pub(crate) fn origin() -> PolicyOrigin {
    PolicyOrigin { actor: "anna".to_owned(), at: clock::now() }
}

/// Waits until `look` finds what it looks for.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, look).await
}

/// Waits no longer than that until `look` finds what it looks for.
pub(crate) async fn eventually_within<T>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    eventually_or_told(deadline, what, async || look().await.ok_or("nothing else is known")).await
}

/// Waits no longer than that until `look` finds what it looks for; a failure tells what was there
/// instead.
pub(crate) async fn eventually_or_told<T, E: Display>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let give_up = Instant::now() + deadline;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(told) if Instant::now() >= give_up => {
                panic!("not within {deadline:?}: {what}; {told}")
            }
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// A webhook that has just been received, for the queue.
pub(crate) fn webhook(body: impl Into<Bytes>) -> Envelope {
    Envelope {
        message_id: MessageId(Uuid::now_v7()),
        kind: EnvelopeKind::Webhook,
        received_at: clock::now(),
        source: "duda".into(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: body.into(),
    }
}

/// The most memory that a process has had, in bytes.
pub(crate) fn peak_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The memory limit of a container, in bytes: the last of a manifest, or that of a service.
pub(crate) fn memory_limit(text: &str) -> u64 {
    let value = text.rsplit("memory: ").next().unwrap();
    let (digits, _) = value.split_once('M').unwrap();
    digits.parse::<u64>().unwrap() * MIB
}

/// The real binary as a child process, which may not be ready.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    ready: PathBuf,
}

impl Process {
    /// Starts a command that stays, on a directory.
    pub(crate) fn start(role: &str, directory: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_under(&[], role, directory, settings)
    }

    /// The same under a program, given by the words that come before the command: it must leave the
    /// process id to the command, for signals.
    pub(crate) fn start_under(
        words: &[String],
        role: &str,
        directory: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        let ready = directory.join(format!("{role}.json"));
        // Left by a server that was killed: it would be taken for this one's.
        std::fs::remove_file(&ready).ok();
        let log = directory.join(format!("{role}.log"));
        let append = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = under(words, &command(directory, settings))
            .args([role, "--ready-file"])
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(append)
            .spawn()
            .unwrap_or_else(|error| panic!("{words:?} is not installed: {error}"));
        Self { child, log, ready }
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(mut self) -> Server {
        let addresses = eventually("the server is ready", async || {
            if let Some(status) = self.has_ended() {
                panic!("it ended: {status}\n{}", self.log());
            }
            let text = std::fs::read(&self.ready).ok()?;
            Some(serde_json::from_slice(&text).unwrap())
        });
        Server { addresses: addresses.await, process: self }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        eventually("the server ends", async || self.has_ended()).await
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// The last lines that it logged.
    pub(crate) fn log(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test runner shows it when the test fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the end of {}:\n{}", self.log.display(), self.log());
        }
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The real binary, serving on files that outlive it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    pub(crate) addresses: Addresses,
}

impl Server {
    /// Starts `serve` on a directory and waits until it is ready.
    pub(crate) async fn start(directory: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_as("serve", directory, settings).await
    }

    /// Starts a command that stays on a directory and waits until it is ready.
    pub(crate) async fn start_as(role: &str, directory: &Path, settings: &[(&str, &str)]) -> Self {
        Process::start(role, directory, settings).ready().await
    }

    /// Where webhooks are posted to.
    pub(crate) fn webhooks(&self) -> String {
        format!("http://{}/webhooks/duda", self.addresses.ingress.unwrap())
    }

    /// An address of the operator API.
    pub(crate) fn console(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses.console.unwrap())
    }

    /// Ends the process without a chance to do anything.
    pub(crate) fn kill(self) {
        drop(self.process);
    }

    /// The process alone, which may be made to end.
    pub(crate) fn into_process(self) -> Process {
        self.process
    }
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A command of the real binary on a directory, with nothing of the surroundings.
pub(crate) fn command(directory: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_storekeeper"));
    command.env_clear().current_dir(directory).env("STOREKEEPER__EMBEDDED__PATH", "data");
    for listener in ["INGRESS", "CONSOLE", "PROBES"] {
        command.env(format!("STOREKEEPER__{listener}__LISTEN"), "127.0.0.1:0");
    }
    for (setting, value) in settings {
        command.env(setting, value);
    }
    command.stdin(Stdio::null());
    command
}

/// As Debian's package has it; `tests/run` installs that.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// The settings of a process whose clock is off by that much, as `-1h`.
pub(crate) fn faketime(by: &str) -> [(&'static str, &str); 3] {
    let library = FAKETIME.into_iter().find(|library| Path::new(library).exists());
    let library = library.expect("the package faketime is missing");
    [("LD_PRELOAD", library), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
}

/// A command after the words of a program that runs it.
fn under(words: &[String], command: &Command) -> Command {
    let command_words = words.iter().map(OsStr::new).chain([command.get_program()]);
    let mut command_words = command_words.chain(command.get_args());
    let mut under = Command::new(command_words.next().unwrap());
    under.args(command_words).env_clear().stdin(Stdio::null());
    under.env("PATH", variable("PATH").unwrap_or_default());
    under.current_dir(command.get_current_dir().unwrap());
    under.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    under
}

/// A port that is free, below those that the system gives to outgoing connections: a server that
/// is started again on it finds it free again.
pub(crate) fn free_port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(20_000..32_000)).find(free).unwrap()
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
