//! A private RabbitMQ node.
//!
//! It runs under a small shell that does what it reads from a pipe: start, kill, freeze. When the
//! pipe closes, which the system sees to however the test process ends, the shell kills the node
//! and removes its directory. Node name, cookie, ports and port mapper are the node's own, so that
//! several test runs go on beside each other.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{eventually, free_port, tail, variable};

/// What the shell does; `$1` is the node's directory.
const WATCHDOG: &str = r#"
    trap '' INT TERM HUP PIPE
    epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 >/dev/null 2>&1 </dev/null & mapper=$!
    while read -r word; do case $word in
        start) setsid "$2/rabbitmq-server" >>"$1/log" 2>&1 </dev/null & node=$! ;;
        kill) kill -s KILL -- "-$node"; wait "$node" 2>/dev/null ;;
        *) kill -s "$word" -- "-$node" ;;
    esac; echo done; done
    kill -s KILL -- "-$node" "$mapper" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && break; sleep 0.1; done
"#;

/// Two threads that sleep when there is nothing to do, and nobody from another machine.
const ERLANG: &str = "+S 2:2 +sbwt none +sbwtdcpu none -kernel inet_dist_use_interface {127,0,0,1}";

/// A node, started and ready.
#[derive(Debug)]
pub(crate) struct RabbitMq {
    watchdog: Child,
    /// What it reads, and where it says that it has done so.
    words: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    directory: TempDir,
    place: Place,
    management_port: u16,
}

/// Where a node is, and how those of its cluster know it for one of theirs.
#[derive(Debug, Clone)]
pub(super) struct Place {
    port: u16,
    mapper_port: u16,
    cookie: String,
}

impl Place {
    /// One apart from all others.
    pub(super) fn free() -> Self {
        let cookie = format!("{:032x}", rand::random::<u128>());
        Self { port: free_port(), mapper_port: free_port(), cookie }
    }

    /// Another one of the same cluster.
    pub(super) fn beside(&self) -> Self {
        Self { port: free_port(), ..self.clone() }
    }

    /// What the node there is called.
    pub(super) fn node(&self) -> String {
        format!("test{}@localhost", self.port)
    }
}

impl RabbitMq {
    /// The node that all tests share which do no harm to it.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceLock<RabbitMq> = OnceLock::new();
        let shared = tokio::task::spawn_blocking(|| {
            SHARED.get_or_init(|| Self::spawn(Place::free(), "", None, |_| String::new()))
        });
        let shared = shared.await.unwrap();
        shared.ready().await;
        shared
    }

    /// A node of a test's own.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// A node of a test's own, with more lines in its configuration.
    pub(crate) async fn start_with(settings: &str) -> Self {
        let server = Self::start_at(Place::free(), settings);
        server.ready().await;
        server
    }

    /// The same at a place that others know of, and waits for nothing.
    pub(super) fn start_at(place: Place, settings: &str) -> Self {
        Self::spawn(place, "", None, |_| settings.to_owned())
    }

    /// A node of a test's own that has quorum queues and no streams, as some that others manage.
    pub(crate) async fn start_without_streams() -> Self {
        let flags = Some("implicit_default_bindings,quorum_queue,virtual_host_metadata");
        let server = Self::spawn(Place::free(), "", flags, |_| String::new());
        server.ready().await;
        server
    }

    /// A node of a test's own whose management API says how long queues are: as they were so
    /// long ago or, since it samples no more often, a second. By default that is 5 s.
    pub(crate) async fn start_with_management(old: Duration) -> Self {
        let old = old.as_millis();
        let server = Self::spawn(Place::free(), "rabbitmq_management", None, |port| {
            // The API shows samples, and by default it takes one every 5 s.
            let samples = ["global", "basic", "detailed"]
                .map(|of| format!("management.sample_retention_policies.{of}.minute = 1\n"));
            format!(
                "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n\
                 collect_statistics_interval = {old}\n{}",
                samples.concat()
            )
        });
        server.ready().await;
        // Quorum queues count for themselves; those that are declared from now on do so as often.
        let set = format!("application:set_env(rabbit, quorum_tick_interval, {old}).");
        server.control(&["eval", &set]).await;
        server
    }

    /// Starts a node with that plugin, with the feature flags that are named or all, and with the
    /// settings for its management port.
    fn spawn(
        place: Place,
        plugin: &str,
        flags: Option<&str>,
        settings: impl FnOnce(u16) -> String,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [distribution, management_port] = [(); 2].map(|()| free_port());
        let port = place.port;
        let settings = settings(management_port);
        let path = |name: &str| directory.path().join(name);
        let configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.console.level = warning\n\
             log.file = false\ndisk_free_limit.absolute = 1MB\n\
             vm_memory_high_watermark.absolute = 2GB\nraft.wal_max_size_bytes = 33554432\n\
             {settings}"
        );
        std::fs::write(path("rabbitmq.conf"), configuration).unwrap();
        std::fs::write(path("enabled_plugins"), format!("[{plugin}].\n")).unwrap();
        std::fs::write(path(".erlang.cookie"), &place.cookie).unwrap();
        // Erlang takes no cookie that others may read.
        std::fs::set_permissions(path(".erlang.cookie"), Permissions::from_mode(0o400)).unwrap();
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(directory.path())
            .arg(programs())
            .env("HOME", directory.path())
            .env("RABBITMQ_NODENAME", place.node())
            .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
            .env("RABBITMQ_LOG_BASE", path("logs"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_PID_FILE", path("pid"))
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG)
            .env("ERL_EPMD_PORT", place.mapper_port.to_string())
            .envs(flags.map(|flags| ("RABBITMQ_FEATURE_FLAGS", flags)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, done) = (watchdog.stdin.take(), watchdog.stdout.take());
        let words = Mutex::new(said.zip(done.map(BufReader::new)));
        let server = Self { watchdog, words, directory, place, management_port };
        server.tell("start");
        server
    }

    /// Where it is, with the login.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.place.port)
    }

    /// Where the management API is, of a node that was started with it.
    pub(crate) fn management_url(&self) -> String {
        format!("http://guest:guest@127.0.0.1:{}", self.management_port)
    }

    /// Waits until a client can connect.
    pub(crate) async fn ready(&self) {
        let url = self.url();
        eventually("RabbitMQ takes clients", async || {
            // lapin waits for ever for a node that dies while it shakes hands.
            let connect = Connection::connect(&url, ConnectionProperties::default());
            timeout(Duration::from_secs(5), connect).await.ok()?.ok()
        })
        .await;
    }

    /// A connection for what a test does to the node behind a broker's back.
    pub(crate) async fn connection(&self) -> Connection {
        Connection::connect(&self.url(), ConnectionProperties::default()).await.unwrap()
    }

    /// Kills the node, as a power failure does, and waits until it is gone. It must have a stream.
    pub(crate) async fn kill(&self) {
        self.has_streams_on_disk().await;
        self.tell("kill");
        eventually("RabbitMQ is gone", async || {
            TcpStream::connect(("127.0.0.1", self.place.port)).await.err()
        })
        .await;
    }

    /// RabbitMQ 3.10 writes a moment after the first stream was declared that there are any. Killed
    /// before, it never finds them again.
    async fn has_streams_on_disk(&self) {
        const COORDINATOR: &[u8] = b"rabbit_stream_coordinator";
        let node = self.node();
        let place = format!("mnesia/{node}/coordination/{node}/names.dets");
        eventually("RabbitMQ has on disk that it has streams", async || {
            let names = std::fs::read(self.directory.path().join(&place)).ok()?;
            names.windows(COORDINATOR.len()).any(|found| found == COORDINATOR).then_some(())
        })
        .await;
    }

    /// Starts it again on what it has on disk.
    pub(crate) fn start_again(&self) {
        self.tell("start");
    }

    /// Lets it stand still: connections stay, and nothing answers.
    pub(crate) async fn freeze(&self) {
        self.tell("STOP");
        let id = std::fs::read_to_string(self.directory.path().join("pid")).unwrap();
        let threads = format!("/proc/{}/task", id.trim());
        // On a busy machine, other threads go on until the one has run that gets the signal.
        eventually("RabbitMQ stands still", async || {
            let mut threads = std::fs::read_dir(&threads).unwrap().map(|thread| {
                std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default()
            });
            threads.all(|stat| stat.contains(") T ")).then_some(())
        })
        .await;
    }

    pub(crate) fn thaw(&self) {
        self.tell("CONT");
    }

    /// Runs a command of `rabbitmqctl` to its end; gives what it printed.
    pub(crate) async fn control(&self, arguments: &[&str]) -> String {
        // A node takes clients a moment before it says that it runs.
        let starts = "requires the 'rabbit' app to be running";
        let ran =
            eventually("the node has started", async || match self.try_control(arguments).await {
                Err(complaint) if complaint.contains(starts) => None,
                ran => Some(ran),
            });
        ran.await.unwrap_or_else(|complaint| panic!("{complaint}"))
    }

    /// The same of a node that may not run yet; an error is what was printed of it.
    pub(super) async fn try_control(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(format!("{}/rabbitmqctl", programs()));
        command
            .args(arguments)
            .env("HOME", self.directory.path())
            .env("RABBITMQ_NODENAME", self.place.node())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("ERL_EPMD_PORT", self.place.mapper_port.to_string());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        output.status.success().then(|| text(output.stdout)).ok_or_else(|| text(output.stderr))
    }

    /// What it is called in its cluster.
    pub(super) fn node(&self) -> String {
        self.place.node()
    }

    /// What it has said of errors and warnings.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn tell(&self, word: &str) {
        let mut words = self.words.lock().unwrap();
        let (said, done) = words.as_mut().unwrap();
        writeln!(said, "{word}").unwrap();
        let mut answer = String::new();
        done.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "the shell is gone");
    }
}

impl Drop for RabbitMq {
    #[expect(clippy::print_stderr, reason = "the test runner shows it when the test fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what RabbitMQ says:\n{}", tail(&self.directory.path().join("log")));
        }
        drop(self.words.lock().unwrap().take());
        self.watchdog.wait().unwrap();
    }
}

/// Where RabbitMQ's own programs are, not the wrappers that change the user.
fn programs() -> String {
    variable("STOREKEEPER_TEST_RABBITMQ").unwrap_or_else(|| {
        let versions = std::fs::read_dir("/usr/lib/rabbitmq/lib").expect("RabbitMQ is installed");
        let version = versions.map(|entry| entry.unwrap().path()).max().unwrap();
        version.join("sbin").display().to_string()
    })
}
