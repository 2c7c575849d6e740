//! What `INFO` reports over every new connection: whether the server may hold the Store, and whether
//! it is the one that held it before.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::{RedisError, Value};

use super::connection::Connection;
use super::rights::{REPLICA, Rights};

/// Releases before this one do not know scripts that are refused before their first write.
const VERSION_MIN: (u32, u32) = (7, 0);

/// What was learned of the servers.
#[derive(Debug, Default)]
pub(super) struct Servers {
    allow_volatile: bool,
    has_warned: AtomicBool,
    /// Whether some node keeps nothing of its last writes on disk; `None` if that is not known.
    is_volatile: Mutex<Option<bool>>,
    /// `maxmemory` of the smallest; 0 where there is none.
    memory_max: AtomicU64,
    histories: Mutex<Histories>,
    failovers: AtomicU64,
    /// Whether it was said that the rights of the user are not known.
    has_warned_of_rights: AtomicBool,
    /// The greatest count of leaders that was seen.
    count_seen: AtomicU64,
    /// When data was last found to be lost; `None` before the first look.
    data_lost_at: Mutex<Option<u64>>,
}

/// The names of histories of data.
#[derive(Debug, Default)]
struct Histories {
    /// Those that were ever seen.
    seen: BTreeSet<String>,
    /// Those that the last check found.
    present: BTreeSet<String>,
}

/// Why a check failed.
#[derive(Debug)]
pub(super) enum Finding {
    /// There was no answer.
    Failed(RedisError),
    /// The server must not hold the Store, and what to set.
    Unfit(String),
}

impl Servers {
    pub(super) fn new(allow_volatile: bool) -> Self {
        Self { allow_volatile, ..Self::default() }
    }

    /// Whether a server keeps nothing of its last writes on disk, as of the last check.
    pub(super) fn is_volatile(&self) -> Option<bool> {
        *self.is_volatile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes the smallest server may take, as of the last check.
    pub(super) fn memory_max(&self) -> Option<u64> {
        Some(self.memory_max.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }

    /// How often data of another history was found where the Store was.
    pub(super) fn failovers(&self) -> u64 {
        self.failovers.load(Ordering::Relaxed)
    }

    /// Checks the server, or every node of a cluster.
    pub(super) async fn check(&self, connection: &mut Connection) -> Result<(), Finding> {
        let answer = connection.send(&redis::cmd("INFO")).await.and_then(Value::extract_error);
        let nodes = match answer {
            Ok(answer) => nodes_of(answer),
            Err(error) if matches!(error.code(), Some("NOPERM" | "ERR")) => {
                self.warn(
                    "redis does not allow INFO: see to it that maxmemory-policy is noeviction and \
                     appendonly is on. Lost data is noticed by a count that the leader raises each \
                     second; what is lost of the last second before a failover, or of other nodes \
                     of a cluster, is not",
                );
                return Ok(());
            }
            Err(error) => return Err(Finding::Failed(error)),
        };
        let volatile = nodes.iter().filter_map(|info| Info(info).is_volatile());
        // One of several is enough.
        let is_volatile = volatile.max();
        *self.is_volatile.lock().unwrap_or_else(PoisonError::into_inner) = is_volatile;
        let memory = nodes.iter().filter_map(|info| Info(info).field("maxmemory")?.parse().ok());
        let memory_max = memory.filter(|bytes: &u64| *bytes > 0).min();
        self.memory_max.store(memory_max.unwrap_or(0), Ordering::Relaxed);
        let mut present = BTreeSet::new();
        for info in nodes {
            let info = Info(&info);
            info.fitness().map_err(Finding::Unfit)?;
            // Of a cluster, the client library knows who takes writes.
            if !connection.is_cluster() && info.field("role") == Some("slave") {
                return Err(Finding::Unfit(REPLICA.to_owned()));
            }
            if info.is_volatile() == Some(true) && !self.allow_volatile {
                self.warn(
                    "redis keeps nothing of its last writes on disk: set appendonly to yes, \
                           or redis.allow_volatile to true if that is meant",
                );
            }
            present.extend(info.field("master_replid").map(str::to_owned));
        }
        self.remember(present);
        Ok(())
    }

    /// Records what is known of the rights of the user.
    pub(super) fn record_rights(&self, rights: &Rights) {
        if *rights == Rights::Unknown && !self.has_warned_of_rights.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "redis does not say what its user may do, as it is older than 7.0: see to it that \
                 the user has all rights that deploy/README.md names"
            );
        }
    }

    /// The greatest count of leaders that this process saw.
    pub(super) fn count_seen(&self) -> u64 {
        self.count_seen.load(Ordering::Relaxed)
    }

    /// When data was last found to be lost, as of the last look; 0 for never.
    pub(super) fn data_lost_at(&self) -> u64 {
        self.lost_at().unwrap_or_default()
    }

    /// Remembers the count of leaders, and when data was last found to be lost.
    pub(super) fn remember_count(&self, count: u64, lost_at: u64) {
        self.count_seen.fetch_max(count, Ordering::Relaxed);
        let before = self.lost_at().replace(lost_at);
        // Where `INFO` is allowed, that says it.
        if self.histories().is_empty()
            && lost_at > 0
            && before.is_some_and(|before| before != lost_at)
        {
            self.failovers.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                "redis has older data than it had, or nobody led for a minute and saw what it had: \
                 writes may be lost"
            );
        }
    }

    fn lost_at(&self) -> MutexGuard<'_, Option<u64>> {
        self.data_lost_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The histories that the last check found.
    pub(super) fn histories(&self) -> BTreeSet<String> {
        self.known().present.clone()
    }

    fn warn(&self, what: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("{what}");
        }
    }

    /// Another history is that of a replica which was promoted, or of a server that began anew. It
    /// may have an address that was never seen: a cluster shows its masters only.
    fn remember(&self, present: BTreeSet<String>) {
        let mut histories = self.known();
        let is_first = histories.seen.is_empty();
        let has_news = !present.is_subset(&histories.seen);
        histories.seen.extend(present.iter().cloned());
        histories.present = present;
        drop(histories);
        if has_news && !is_first {
            self.failovers.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                "redis has data of another history: writes of the last moments may be lost"
            );
        }
    }

    fn known(&self) -> MutexGuard<'_, Histories> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to `INFO`, of each node.
fn nodes_of(answer: Value) -> Vec<String> {
    let text = |value| redis::from_redis_value::<String>(value).ok();
    if let Value::Map(nodes) = answer {
        return nodes.into_iter().filter_map(|(_, info)| text(info)).collect();
    }
    text(answer).into_iter().collect()
}

/// The lines of `INFO`.
struct Info<'a>(&'a str);

impl Info<'_> {
    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.lines().filter_map(|line| line.trim_end().split_once(':'));
        fields.find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// Whether it keeps nothing of its last writes on disk.
    fn is_volatile(&self) -> Option<bool> {
        match self.field("aof_enabled")? {
            "0" => Some(true),
            "1" => Some(false),
            _ => None,
        }
    }

    /// Whether the server may hold the Store; if not, why, and what to set.
    fn fitness(&self) -> Result<(), String> {
        if let Some(version) = self.field("redis_version") {
            let mut numbers = version.split('.').map_while(|part| part.parse::<u32>().ok());
            let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            if found < VERSION_MIN {
                return Err(format!("is too old ({version}); run 7.0 or a later release"));
            }
        }
        match self.field("maxmemory_policy") {
            Some("noeviction") | None => Ok(()),
            Some(policy) => Err(format!(
                "would drop orders when it is full, as its maxmemory-policy is {policy}; set it to \
                 noeviction"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_an_append_only_file_is_volatile() {
        for (info, is_volatile) in [
            ("aof_enabled:0\r\n", Some(true)),
            ("aof_enabled:1\r\n", Some(false)),
            ("redis_version:7.0.15\r\n", None),
        ] {
            assert_eq!(Info(info).is_volatile(), is_volatile, "{info}");
        }
    }

    #[test]
    fn a_history_that_was_never_seen_is_a_failover_wherever_it_is_found() {
        let servers = Servers::new(true);
        let look = |names: &[&str]| {
            servers.remember(names.iter().map(|name| (*name).to_owned()).collect());
            servers.failovers()
        };
        assert_eq!(look(&["a", "b"]), 0, "all are new at first");
        assert_eq!(look(&["b"]), 0, "one is away");
        assert_eq!(look(&["b", "c"]), 1, "a replica took its place");
        assert_eq!(look(&["b", "c"]), 1);
        assert_eq!(look(&["a", "c"]), 1, "it is back as it was");
        assert_eq!(servers.histories(), ["a", "c"].map(str::to_owned).into());
    }

    #[test]
    fn a_server_that_forgets_or_is_too_old_is_refused() {
        for (info, word) in [
            ("redis_version:6.2.14\r\nmaxmemory_policy:noeviction\r\n", "too old"),
            ("redis_version:7.0.15\r\nmaxmemory_policy:allkeys-lru\r\n", "allkeys-lru"),
            ("maxmemory_policy:volatile-ttl\r\n", "noeviction"),
        ] {
            let why = Info(info).fitness().unwrap_err();
            assert!(why.contains(word), "{why}");
        }
        for info in ["", "# Server\r\nredis_version:8.4.0\r\nmaxmemory_policy:noeviction\r\n"] {
            assert_eq!(Info(info).fitness(), Ok(()));
        }
    }
}
