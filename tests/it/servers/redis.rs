//! A private Redis.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

use crate::harness::free_port;

/// Does what its input says, answers when it is done, and cleans up when the input ends.
///
/// Nobody may listen to its answers any more: that must not end it before it has cleaned up.
const WATCHDOG: &str = r#"
trap '' INT TERM HUP PIPE
port=$1; directory=$2; shift 2
is_ours() {
    test -f "$directory/sentinel.conf" ||
        test "$(redis-cli -p "$port" config get dir 2>/dev/null | tail -n 1)" = "$directory" ||
        return 1
    test "$(redis-cli -p "$port" ping 2>/dev/null)" = PONG
}
start() {
    if test -f "$directory/sentinel.conf"; then
        set -- "$directory/sentinel.conf" --sentinel --port "$port"
    else
        set -- --port "$port" --bind 127.0.0.1 --dir "$directory" --save '' "$@"
    fi
    redis-server "$@" </dev/null >>"$directory/log" 2>&1 &
    server=$!
    until is_ours; do
        kill -0 $server 2>/dev/null || { echo failed; return; }
        sleep 0.02
    done
    echo done
}
while read -r order; do
    case $order in
        start) start "$@" ;;
        kill) kill -9 $server; wait $server 2>/dev/null; echo done ;;
        freeze) kill -STOP $server; echo done ;;
        thaw) kill -CONT $server; echo done ;;
    esac
done
kill -9 $server 2>/dev/null
wait $server 2>/dev/null
rm -rf "$directory"
"#;

/// A Redis that is there as long as this value, or the test process, is.
#[derive(Debug)]
pub(crate) struct RedisServer {
    port: u16,
    directory: PathBuf,
    watchdog: Mutex<Watchdog>,
}

#[derive(Debug)]
struct Watchdog {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The one Redis of this test binary; each test has a prefix of its own there.
pub(crate) fn shared_redis() -> &'static RedisServer {
    static SHARED: OnceLock<RedisServer> = OnceLock::new();
    SHARED.get_or_init(|| RedisServer::start(&[]))
}

impl RedisServer {
    /// Starts a server with these settings, and keeps nothing on disk unless they say so.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_with(settings, None)
    }

    /// Starts a Sentinel that alone decides who is the master, and does so within a second.
    pub(crate) fn start_sentinel(master: &Self) -> Self {
        Self::start_sentinel_with(master, "")
    }

    /// The same, with more lines of its configuration.
    pub(crate) fn start_sentinel_with(master: &Self, lines: &str) -> Self {
        let watched = format!("sentinel monitor mymaster 127.0.0.1 {} 1", master.port);
        let times = "sentinel down-after-milliseconds mymaster 300\n\
                     sentinel failover-timeout mymaster 1000\n";
        Self::start_with(&[], Some(&format!("bind 127.0.0.1\n{watched}\n{times}{lines}")))
    }

    fn start_with(settings: &[&str], sentinel: Option<&str>) -> Self {
        // A free port may be taken until the server listens: then another is tried.
        for _ in 0..10 {
            let port = free_port();
            let directory = tempfile::tempdir().unwrap().keep();
            let watchdog = Mutex::new(Watchdog::start(port, &directory, settings, sentinel));
            let server = Self { port, directory, watchdog };
            if server.order("start") == "done" {
                return server;
            }
        }
        panic!("redis-server does not start; is it installed, with redis-cli?");
    }

    /// The port that it listens to, of this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A connection for looking at it, and for breaking things.
    pub(crate) fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// What it answers, if it does.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> Option<T> {
        let mut connection = redis::Client::open(self.url()).ok()?.get_connection().ok()?;
        redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).ok()
    }

    /// Has it do something that it must do.
    pub(crate) fn tell(&self, command: &[&str]) {
        redis::cmd(command[0]).arg(&command[1..]).exec(&mut self.connection()).unwrap();
    }

    /// Ends it without a chance to do anything.
    pub(crate) fn kill(&self) {
        assert_eq!(self.order("kill"), "done");
    }

    /// Starts it again after a kill, with what it kept on disk.
    pub(crate) fn start_again(&self) {
        assert_eq!(self.order("start"), "done");
    }

    /// Keeps it from running, with its connections open.
    pub(crate) fn freeze(&self) {
        assert_eq!(self.order("freeze"), "done");
    }

    /// Lets it run again.
    pub(crate) fn thaw(&self) {
        assert_eq!(self.order("thaw"), "done");
    }

    /// Copies its append-only files as they are now, which is a backup; gives the copy's place.
    pub(crate) fn back_up(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        Self::copy(&self.directory, copy.path());
        copy
    }

    /// Puts a backup in the place of the files of a server that was killed.
    pub(crate) fn restore(&self, backup: &TempDir) {
        std::fs::remove_dir_all(self.directory.join("appendonlydir")).unwrap();
        Self::copy(backup.path(), &self.directory);
    }

    /// Puts an empty directory in the place of that of a server that was killed.
    pub(crate) fn lose_all(&self) {
        std::fs::remove_dir_all(&self.directory).unwrap();
        std::fs::create_dir(&self.directory).unwrap();
    }

    fn copy(from: &Path, to: &Path) {
        let (from, to) = (from.join("appendonlydir"), to.join("appendonlydir"));
        let copied = Command::new("cp").arg("-r").args([&from, &to]).status().unwrap();
        assert!(copied.success(), "{} cannot be copied", from.display());
    }

    fn order(&self, order: &str) -> String {
        let mut watchdog = self.watchdog.lock().unwrap();
        writeln!(watchdog.orders.as_mut().unwrap(), "{order}").unwrap();
        let mut answer = String::new();
        watchdog.answers.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

impl Watchdog {
    fn start(port: u16, directory: &Path, settings: &[&str], sentinel: Option<&str>) -> Self {
        if let Some(sentinel) = sentinel {
            std::fs::write(directory.join("sentinel.conf"), sentinel).unwrap();
        }
        let mut process = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &port.to_string()])
            .arg(directory)
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Of its own, so that it outlives an interrupt at the keyboard.
            .process_group(0)
            .spawn()
            .unwrap();
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, orders, answers }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.process.wait().ok();
    }
}
