//! What RabbitMQ and Redis take of the processor, if they run on this machine.

use std::fs;
use std::path::PathBuf;

use reqwest::Url;

use crate::Arguments;

/// Ticks of the processor's clock in a second, as Linux counts the time of processes.
const TICKS: f64 = 100.0;
/// How Linux calls the state of a socket that listens.
const LISTENS: &str = "0A";

/// The processes of the two servers; `None` for one that is not found here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Servers {
    rabbitmq: Option<u32>,
    redis: Option<u32>,
}

/// The seconds that both have had; `None` for one that is not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServersCpu {
    pub(crate) rabbitmq: Option<f64>,
    pub(crate) redis: Option<f64>,
}

impl Servers {
    /// Finds the processes that listen at these addresses.
    pub(crate) fn find(arguments: &Arguments) -> Self {
        let found = |name, url: &str, port| {
            let process = process_at(url, port);
            if process.is_none() {
                println!(
                    "the process of {name} is not seen from here (another machine, container or \
                     user): its time on the processor is left out"
                );
            }
            process
        };
        Self {
            rabbitmq: found("RabbitMQ", &arguments.rabbitmq, 5672),
            redis: found("Redis", &arguments.redis, 6379),
        }
    }

    pub(crate) fn cpu(self) -> ServersCpu {
        ServersCpu { rabbitmq: self.rabbitmq.map(cpu), redis: self.redis.map(cpu) }
    }
}

/// The seconds that a process has had of the processor.
pub(crate) fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may have spaces; behind it, the 12th and 13th fields are ticks.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// The process that listens at an address of this machine.
fn process_at(url: &str, usual_port: u16) -> Option<u32> {
    let url = Url::parse(url).ok()?;
    if !matches!(url.host_str()?, "127.0.0.1" | "[::1]" | "localhost") {
        return None;
    }
    let socket = listener(url.port().unwrap_or(usual_port))?;
    let socket = PathBuf::from(format!("socket:[{socket}]"));
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.find(|process: &u32| {
        let files = fs::read_dir(format!("/proc/{process}/fd"));
        let mut files = files.into_iter().flatten().flatten();
        files.any(|file| fs::read_link(file.path()).is_ok_and(|to| to == socket))
    })
}

/// The inode of the socket that listens on a port.
fn listener(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let local = format!(":{port:04X}");
    tables.into_iter().flatten().find_map(|table| {
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_it = fields.get(1)?.ends_with(&local) && fields.get(3) == Some(&LISTENS);
            is_it.then(|| fields.get(9).map(|&inode| inode.to_owned()))?
        })
    })
}
