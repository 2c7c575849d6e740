//! The resources that the process uses, under the names that all exporters use.
//!
//! They are read from `/proc/self`; values that the system does not report are left out.

use std::time::Duration;

use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{seconds_since_1970, set, total};
use crate::domain::Timestamp;

/// The readings of the process itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessReadings {
    pub(super) started_at: Timestamp,
    pub(super) cpu: Duration,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) open_files_max: Option<u64>,
}

impl ProcessReadings {
    /// Takes the readings now, for a process that started at the given time.
    pub fn read(started_at: Timestamp) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = std::fs::read_to_string("/proc/self/status").ok();
        let files = std::fs::read_dir("/proc/self/fd").ok();
        Self {
            started_at,
            cpu: Duration::try_from(cpu).unwrap_or_default(),
            resident_bytes: status.as_deref().and_then(resident_bytes),
            // One of them is the open directory itself.
            open_files: files.map(|files| u64::try_from(files.count()).unwrap_or(0).max(1) - 1),
            open_files_max: getrlimit(Resource::Nofile).current,
        }
    }

    pub(super) fn show_in(&self, r: &mut Registry) {
        let started = seconds_since_1970(self.started_at);
        set(r, "start_time_seconds", "When the process started, in seconds since 1970", started);
        total(r, "cpu_seconds", "Time of processors that was used", self.cpu.as_secs_f64());
        let shown = [
            ("resident_memory_bytes", "Memory that is resident", self.resident_bytes),
            ("open_fds", "Open files and connections", self.open_files),
            ("max_fds", "Open files and connections that are allowed", self.open_files_max),
        ];
        for (name, help, value) in shown {
            if let Some(value) = value {
                set(r, name, help, value);
            }
        }
    }
}

/// Returns the resident memory according to `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_files_and_time_of_processors() {
        let read = ProcessReadings::read(Timestamp::from_micros(0));
        assert!(read.resident_bytes.unwrap() > 1024 * 1024, "{read:?}");
        assert!(read.open_files.unwrap() >= 3, "{read:?}");
        assert!(read.open_files_max.is_none_or(|max| max >= read.open_files.unwrap()), "{read:?}");
        assert!(read.cpu > Duration::ZERO, "{read:?}");
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident_bytes("Name:\ta\nVmRSS:\t   12 kB\nThreads:\t3\n"), Some(12 * 1024));
        assert_eq!(resident_bytes("Name:\ta\n"), None);
    }
}
