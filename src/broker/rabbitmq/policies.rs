//! What policies of an operator let RabbitMQ do to our queues.
//!
//! RabbitMQ applies a policy to any queue whose name fits its pattern, and `.*` fits all. One that
//! expires or limits messages makes it do what nobody here asked for. Nothing is lost by that, as
//! long as every queue has a way out, but webhooks become dead letters or are refused; and a queue
//! of retries that `expires` takes is gone with what is in it. Policies are read from the management
//! API, where it is configured.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;
use super::management::PolicedQueue;
use super::topology::UNROUTED;
use crate::broker::BrokerWarnings;

/// How often policies are read.
const READ_INTERVAL: Duration = Duration::from_secs(10);
/// What a policy must not set for a queue of ours. RabbitMQ applies none of them to a stream.
const HARMFUL: [&str; 4] = ["message-ttl", "expires", "max-length", "max-length-bytes"];

impl Shared {
    /// What an operator must put right, as of the last reading.
    pub(super) fn warnings(&self) -> BrokerWarnings {
        self.locked_warnings().clone()
    }

    /// Reads the policies now and then, and logs what changes; never ends.
    pub(super) async fn watch_policies(&self) {
        // The way that expired messages go ends there: those of other queues are on it for a moment.
        let last = self.topology.name(UNROUTED);
        let mut was_stuck = false;
        loop {
            // Another login may take its place, but it does not come and go.
            let Some(management) = self.management() else { return std::future::pending().await };
            let read = match management.policed(self.topology.namespace()).await {
                Ok(queues) => {
                    let stuck = queues.iter().find(|it| it.name == last && it.stuck() > 0);
                    let expired = stuck.filter(|_| was_stuck).map(expired);
                    let conflicts = queues.iter().flat_map(conflicts).chain(expired).collect();
                    was_stuck = stuck.is_some();
                    BrokerWarnings { policy_conflicts: Some(conflicts), management: None }
                }
                Err(error) => BrokerWarnings { policy_conflicts: None, management: Some(error) },
            };
            let before = std::mem::replace(&mut *self.locked_warnings(), read.clone());
            log_changes(&before, &read);
            sleep(READ_INTERVAL).await;
        }
    }

    fn locked_warnings(&self) -> MutexGuard<'_, BrokerWarnings> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_changes(before: &BrokerWarnings, now: &BrokerWarnings) {
    if let Some(error) = &now.management
        && before.management.is_none()
    {
        tracing::warn!(
            error,
            "cannot read the management API: policies and what other processes have in flight are \
             unknown"
        );
    }
    let known = before.policy_conflicts.as_deref().unwrap_or_default();
    let found = now.policy_conflicts.as_deref().unwrap_or_default();
    for conflict in found.iter().filter(|conflict| !known.contains(conflict)) {
        tracing::error!(
            conflict,
            "a policy of RabbitMQ's applies to a queue of ours, or did: webhooks may expire, be \
             refused or get lost; change its pattern so that it spares the namespace"
        );
    }
    if now.policy_conflicts.is_some() && found.is_empty() && !known.is_empty() {
        tracing::info!("no policy of RabbitMQ's conflicts with our queues any more");
    }
}

/// What became of messages that a policy has let expire once too often, and what puts it right.
fn expired(queue: &PolicedQueue) -> String {
    let PolicedQueue { name, .. } = queue;
    let messages = queue.stuck();
    format!(
        "queue {name} keeps {messages} messages that a policy has let expire, and gives them to \
         nobody: run `storekeeper journal replay`, which has them applied, and then `rabbitmqctl \
         delete_queue {name}`, which is declared again"
    )
}

/// What policies set for a queue and must not, in words.
fn conflicts(queue: &PolicedQueue) -> Vec<String> {
    if queue.kind == "stream" {
        return Vec::new();
    }
    let names = [("policy", &queue.policy), ("operator policy", &queue.operator_policy)];
    let names: Vec<String> = names
        .into_iter()
        .filter_map(|(kind, name)| Some(format!("{kind} {:?}", name.as_deref()?)))
        .filter(|name| !name.ends_with("\"\""))
        .collect();
    let definition = &queue.effective_policy_definition;
    let set = HARMFUL.into_iter().filter_map(|key| Some((key, definition.get(key)?)));
    set.map(|(key, value)| {
        format!("{} sets {key} = {value} for queue {}", names.join(" and "), queue.name)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn queue(kind: &str, definition: serde_json::Value) -> PolicedQueue {
        PolicedQueue {
            name: "sk.work".into(),
            kind: kind.into(),
            policy: Some("ttl".into()),
            operator_policy: Some(String::new()),
            effective_policy_definition: definition,
            ..PolicedQueue::default()
        }
    }

    #[test]
    fn what_expires_or_limits_messages_is_a_conflict_and_nothing_else() {
        let found = conflicts(&queue("quorum", json!({"message-ttl": 1000, "delivery-limit": 3})));
        assert_eq!(found, ["policy \"ttl\" sets message-ttl = 1000 for queue sk.work"]);
        assert_eq!(conflicts(&queue("quorum", json!([]))), [""; 0]);
        assert_eq!(conflicts(&queue("stream", json!({"max-length-bytes": 1000}))), [""; 0]);
    }
}
