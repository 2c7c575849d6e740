//! The readings that each scrape takes of the queue, the Store and the process itself.

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{PREFIX, ProcessReadings, seconds_between, set, total};
use crate::broker::{BrokerError, QueueDepth};
use crate::domain::{Code, Timestamp};

/// The readings of queue, Store and process; `None` if the backend did not answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// The state of the queue.
    pub broker: BrokerReading,
    /// Whether the Store could load and commit, if the process uses it.
    pub store_up: Option<bool>,
    /// Whether the Store's data would be lost with its server.
    pub store_volatile: Option<bool>,
    /// How many policies of RabbitMQ's conflict with its queues, where they can be read.
    pub policy_conflicts: Option<u64>,
    /// The depths of the queues.
    pub depth: Option<QueueDepth>,
    /// How many dead letters are parked for each reason, where reasons without any may be left out,
    /// and how many bytes their bodies take.
    pub parked: Option<(Vec<(Code, u64)>, u64)>,
    /// How many stock items have negative availability.
    pub oversold: Option<u64>,
    /// How many orders have no snapshot, but only refunds, corrections or notices.
    pub waiting: Option<u64>,
    /// Whether a person has paused the work queue.
    pub paused: Option<bool>,
    /// How often this process reconnected to the queue.
    pub reconnects: u64,
    /// How often another server was found in place of the Store's, if the process uses the Store.
    pub failovers: Option<u64>,
    /// The resources that the process uses.
    pub process: ProcessReadings,
    /// When the readings were taken.
    pub now: Timestamp,
}

/// Whether the queue would accept a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerReading {
    /// It would accept one.
    Taking,
    /// It is reachable, but has no room or memory for one.
    Blocked,
    /// Unknown: the queue is unavailable or incomplete.
    Away,
}

impl BrokerReading {
    /// Returns the reading for the result of [`Broker::check`](crate::broker::Broker::check).
    pub const fn of(answer: &Result<(), BrokerError>) -> Self {
        match answer {
            Ok(()) => Self::Taking,
            Err(BrokerError::Blocked | BrokerError::Full) => Self::Blocked,
            Err(
                BrokerError::Unavailable { .. }
                | BrokerError::Rejected { .. }
                | BrokerError::Corrupt { .. },
            ) => Self::Away,
        }
    }
}

/// The reason of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Readings {
    pub(super) fn into_registry(self) -> Registry {
        let mut registry = Registry::default();
        self.process.show_in(registry.sub_registry_with_prefix("process"));
        let r = registry.sub_registry_with_prefix(PREFIX);
        self.show_backends_in(r);
        if let Some(depth) = self.depth {
            show_queue(r, &depth, self.now);
        }
        if let Some((parked, bytes)) = self.parked {
            let help = "Bytes that the bodies of parked dead letters take";
            set(r, "dead_letters_bytes", help, bytes);
            let family = Family::<ReasonLabel, Gauge>::default();
            let parked: BTreeMap<Code, u64> = parked.into_iter().collect();
            // All reasons, so that a count that falls to zero shows as 0 and not as a gap.
            for code in Code::ALL {
                let count = parked.get(&code).copied().unwrap_or(0);
                let gauge = family.get_or_create_owned(&ReasonLabel { reason: code.as_str() });
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            r.register("dead_letters_parked", "Parked dead letters by reason", family);
        }
        if let Some(oversold) = self.oversold {
            let help = "Stock items with less than nothing available";
            set(r, "stock_items_oversold", help, oversold);
        }
        if let Some(waiting) = self.waiting {
            let help = "Orders of which only refunds, corrections or notices are known";
            set(r, "orders_waiting", help, waiting);
        }
        if let Some(is_paused) = self.paused {
            let help = "Whether a person has paused the work queue";
            set(r, "queue_paused", help, u64::from(is_paused));
        }
        registry
    }

    fn show_backends_in(&self, r: &mut Registry) {
        let is_there = self.broker != BrokerReading::Away;
        set(r, "broker_up", "Whether the queue is there and whole", u64::from(is_there));
        // Unknown if the queue is unavailable.
        if is_there {
            let is_blocked = u64::from(self.broker == BrokerReading::Blocked);
            set(r, "broker_blocked", "Whether the queue takes nothing for now", is_blocked);
        }
        if let Some(conflicts) = self.policy_conflicts {
            let help = "Settings of RabbitMQ's policies that make it drop or refuse messages";
            set(r, "rabbitmq_policy_conflicts", help, conflicts);
        }
        total(r, "broker_reconnects", "Connections to the queue made anew", self.reconnects);
        if let Some(is_up) = self.store_up {
            set(r, "store_up", "Whether the Store can load and commit", u64::from(is_up));
        }
        if let Some(is_volatile) = self.store_volatile {
            let help = "Whether what the Store holds is gone with its server";
            set(r, "store_volatile", help, u64::from(is_volatile));
        }
        if let Some(failovers) = self.failovers {
            total(r, "store_failovers", "Servers that took the Store's place", failovers);
        }
    }
}

fn show_queue(r: &mut Registry, depth: &QueueDepth, now: Timestamp) {
    let (ready, in_flight) = (depth.work_ready, depth.work_in_flight);
    set(r, "queue_ready", "Envelopes that wait for a worker", ready);
    set(r, "queue_in_flight", "Envelopes that a worker has", in_flight);
    let help = "Envelopes that wait for their next attempt";
    set(r, "queue_retry_ready", help, depth.retry_ready);
    set(r, "queue_unroutable", "Messages that are not ours, or found no queue", depth.unroutable);
    set(r, "dead_letters_intake", "Dead letters that are not parked yet", depth.dead_intake);
    // If envelopes are unsettled and their age is unknown, no age is shown: 0 would be wrong.
    let age = match depth.work_oldest {
        Some(oldest) => Some(seconds_between(oldest, now)),
        None => (ready == 0 && in_flight == 0).then_some(0.0),
    };
    if let Some(age) = age {
        set(r, "queue_oldest_age_seconds", "Age of the oldest unsettled envelope", age);
    }
}
