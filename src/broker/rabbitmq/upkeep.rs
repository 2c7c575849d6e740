//! Whether exchanges, queues and bindings stand, and declaring again what was removed.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::failure::{CALL_TIMEOUT, within};
use super::{Shared, topology, unrouted};
use crate::broker::BrokerError;
use crate::domain::causes;

/// How often everything that was declared is checked, and how soon after a fault.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);
const CHECK_INTERVAL_AFTER_FAULT: Duration = Duration::from_secs(1);

impl Shared {
    /// Whether a message would be taken now, and get to where it belongs.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        self.publisher.check()?;
        match &*self.fault() {
            Some(fault) => Err(BrokerError::Unavailable { source: fault.clone().into() }),
            None => Ok(()),
        }
    }

    fn fault(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares again what an operator or an accident has removed, for ever.
    pub(super) async fn keep_up(&self) {
        // What was never there was not deleted.
        let mut has_stood = false;
        loop {
            let connection = self.consuming.connected().await;
            let (fault, is_repaired) = match self.repair(&connection, has_stood).await {
                Ok(found) => {
                    has_stood = true;
                    let is_repaired = found.is_some();
                    (found, is_repaired)
                }
                Err(error) => {
                    let error = causes(&error);
                    tracing::error!(error, "queues or bindings do not stand");
                    (Some(error), false)
                }
            };
            let pause = if fault.is_some() { CHECK_INTERVAL_AFTER_FAULT } else { CHECK_INTERVAL };
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
        has_stood: bool,
    ) -> Result<Option<String>, BrokerError> {
        let late = format!("RabbitMQ did not answer within {CALL_TIMEOUT:?}");
        let declared = within(CALL_TIMEOUT, &late, self.declare(connection, has_stood)).await;
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
        has_stood: bool,
    ) -> Result<Option<String>, BrokerError> {
        let missing = if has_stood { self.topology.missing(connection).await? } else { Vec::new() };
        let found = (!missing.is_empty()).then(|| {
            let missing = missing.join(", ");
            tracing::error!(
                missing,
                "queues were deleted, with what was in them; declaring them again. What the \
                 journal has can be restored with `storekeeper journal replay`"
            );
            format!("queues were deleted: {missing}")
        });
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
}
