//! Whether exchanges, queues and bindings stand, and declaring again what was removed.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::depth::UNACKED_MICROS_MAX;
use super::failure::{CALL_TIMEOUT, REFUSED, within};
use super::standing::Standing;
use super::{Shared, topology, unrouted};
use crate::broker::BrokerError;
use crate::clock;
use crate::domain::{Timestamp, causes};

/// How often everything that was declared is checked, and how soon after a fault.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
const CHECK_INTERVAL_AFTER_FAULT: Duration = Duration::from_secs(1);

/// What looks at all queues found so far: above all since when nothing that was received can be lost.
#[derive(Debug, Default)]
struct Looks {
    /// When the last look was that found all queues empty, if the one after it did too.
    known: Option<Timestamp>,
    /// When the last look was, if it found all empty.
    last: Option<Timestamp>,
    /// The queues that the last look did not find.
    missing: Vec<String>,
}

impl Looks {
    /// Records a look. What a worker had in hand meanwhile, the next look would find in a queue.
    fn record(&mut self, looked_at: Timestamp, is_empty: bool) {
        if is_empty {
            self.known = self.last.or(self.known);
            self.last = Some(looked_at);
        } else {
            self.last = None;
        }
    }

    /// The command that puts back what was lost with a queue.
    fn command(&self) -> String {
        // What a worker has had unacked since before may have come back.
        match self.known.map(|known| known.plus_micros(-UNACKED_MICROS_MAX)) {
            Some(since) => format!("storekeeper journal replay --since {since}"),
            None => "storekeeper journal replay".to_owned(),
        }
    }
}

impl Shared {
    /// Whether a message would be taken now, and get to where it belongs.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        self.publisher.check()?;
        let fault = self.fault().clone();
        match fault.or_else(|| self.unreadable()) {
            Some(fault) => Err(BrokerError::Unavailable { source: fault.into() }),
            None => Ok(()),
        }
    }

    fn fault(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares again what an operator or an accident has removed, for ever.
    pub(super) async fn keep_up(&self) {
        // What was never there was not deleted.
        let mut stood: Option<Looks> = None;
        let mut logged = None;
        loop {
            let connection = self.consuming.connected().await;
            let looked = match self.repair(&connection, stood.as_mut()).await {
                Ok(found) => {
                    stood.get_or_insert_default();
                    self.refused_right().await.map_or(Ok(found), Err)
                }
                Err(error) => Err(error),
            };
            let (fault, is_repaired) = match looked {
                Ok(found) => {
                    logged = None;
                    let is_repaired = found.is_some();
                    (found, is_repaired)
                }
                Err(error) => {
                    let error = Some(causes(&error));
                    if logged != error {
                        tracing::error!(error, "queues, bindings or rights do not stand");
                        logged.clone_from(&error);
                    }
                    (error, false)
                }
            };
            // RabbitMQ logs each refusal as an error.
            let is_refused = fault.as_ref().is_some_and(|fault| fault.contains(REFUSED));
            let is_urgent = fault.is_some() && !is_refused;
            let pause = if is_urgent { CHECK_INTERVAL_AFTER_FAULT } else { CHECK_INTERVAL };
            *self.fault() = fault;
            drop(connection);
            if is_repaired {
                // Until the next look finds that all stands: not ready for so short that nobody
                // sees it would be no word at all.
                sleep(pause).await;
                continue;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.topology.invalidated() => {}
            }
        }
    }

    /// Waits until there is something to consume.
    pub(super) async fn declared(&self) {
        // The sender is a field of the same struct: it cannot be gone.
        self.was_declared.subscribe().wait_for(|declared| *declared).await.ok();
    }

    /// Declares everything, and reroutes what found no queue; returns what was wrong until then.
    async fn repair(
        &self,
        connection: &lapin::Connection,
        stood: Option<&mut Looks>,
    ) -> Result<Option<String>, BrokerError> {
        let late = format!("RabbitMQ did not answer within {CALL_TIMEOUT:?}");
        let declared = within(CALL_TIMEOUT, &late, self.declare(connection, stood)).await;
        // What will never stand is no reason not to consume what does.
        if declared.as_ref().err().is_none_or(|error| !error.is_transient()) {
            self.was_declared.send_replace(true);
        }
        let mut found = declared?;
        let messages = unrouted::reroute(self, connection).await?;
        if messages > 0 {
            tracing::error!(
                messages,
                "a queue was deleted, or its bindings were removed; what found no queue meanwhile \
                 is rerouted"
            );
            found.get_or_insert_with(|| format!("{messages} messages had found no queue"));
        }
        Ok(found)
    }

    async fn declare(
        &self,
        connection: &lapin::Connection,
        stood: Option<&mut Looks>,
    ) -> Result<Option<String>, BrokerError> {
        let mut found = None;
        if let Some(looks) = stood {
            let looked_at = clock::now();
            let Standing { missing, ready } = self.topology.look(connection).await?;
            let own = self.work.count().2.or_else(|| self.dead.count().2);
            looks.record(looked_at, missing.is_empty() && ready == 0 && own.is_none());
            found = (!missing.is_empty()).then(|| self.report_missing(&missing, looks));
            looks.missing = missing;
        }
        if found.is_some() {
            (*self.fault()).clone_from(&found);
        }
        self.topology.declare(connection).await?;
        // The other connection may stand still while this one does not.
        if self.publishing.takes_messages().is_ok() {
            let channel = topology::open(&*self.publishing.connection()?).await?;
            topology::close(&channel).await;
        }
        Ok(found)
    }

    /// Logs which queues were deleted, or have expired, and what puts back what was in them.
    fn report_missing(&self, missing: &[String], looks: &Looks) -> String {
        let is_journal = |name: &String| *name == self.topology.name("journal");
        let names = missing.join(", ");
        let command = looks.command();
        // Those that could not be declared again are logged once.
        let is_new = missing != looks.missing;
        if is_new && missing.iter().any(is_journal) {
            tracing::error!(
                missing = names,
                "the journal was deleted: nothing that was received before now can be rebuilt; \
                 declaring it again"
            );
        } else if is_new {
            tracing::error!(
                missing = names,
                command,
                "queues were deleted or have expired, with what was in them; declaring them again. \
                 The command puts back what the journal has of it"
            );
        }
        if missing.iter().all(is_journal) {
            return format!("queues were deleted: {names}");
        }
        format!("queues were deleted: {names}; run `{command}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_begins_where_two_looks_in_a_row_found_nothing() {
        let at = |minutes: i64| Timestamp::from_micros(minutes * 60_000_000);
        let mut emptied = Looks::default();
        assert_eq!(emptied.command(), "storekeeper journal replay");
        emptied.record(at(100), true);
        assert_eq!(emptied.known, None);
        emptied.record(at(101), true);
        assert_eq!(emptied.known, Some(at(100)));
        emptied.record(at(102), false);
        emptied.record(at(103), true);
        assert_eq!(emptied.known, Some(at(100)));
        let since = at(60);
        assert_eq!(emptied.command(), format!("storekeeper journal replay --since {since}"));
    }
}
