//! Whether the user may publish what this process publishes.
//!
//! RabbitMQ says so only when a message comes. So one is published that it refuses to whoever may
//! publish too, for its expiration, which is no number; but first it refuses who may not.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection};

use super::Shared;
use super::failure::{CALL_TIMEOUT, REFUSED, refusal, within, words};
use super::topology::{close, open, short};
use crate::broker::BrokerError;

/// What RabbitMQ says of the message that is never taken.
const MALFORMED: &str = "expiration";

impl Shared {
    /// What the user may not publish to, if that is not known to be nothing.
    pub(super) async fn refused_right(
        &self,
        connection: &Connection,
    ) -> Result<Option<BrokerError>, BrokerError> {
        if !self.publisher.is_in_doubt() {
            return Ok(None);
        }
        for exchange in self.publishes_to {
            let late = "RabbitMQ does not say whether it takes messages";
            let refused = within(CALL_TIMEOUT, late, self.refused(connection, exchange)).await?;
            if refused.is_some() {
                return Ok(refused);
            }
        }
        self.publisher.may_publish();
        Ok(None)
    }

    async fn refused(
        &self,
        connection: &Connection,
        exchange: &str,
    ) -> Result<Option<BrokerError>, BrokerError> {
        let doing = format!("cannot publish to {}", self.topology.name(exchange));
        let channel = open(connection).await?;
        let selected = channel.confirm_select(ConfirmSelectOptions::default()).await;
        selected.map_err(|error| refusal(&doing, &error))?;
        let exchange = self.topology.exchange(exchange);
        let (options, never) = (BasicPublishOptions::default(), "never".into());
        let properties = BasicProperties::default().with_expiration(never);
        let published = channel.basic_publish(exchange, short(""), options, &[], properties).await;
        let answer = match published {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if words(&error).contains(MALFORMED) => Ok(None),
            Err(error) if words(&error).contains(REFUSED) => Ok(Some(refusal(&doing, &error))),
            Err(error) => Err(refusal(&doing, &error)),
            // It was taken by a server that has no such rule, and found no queue.
            Ok(_) => {
                close(&channel).await;
                Ok(None)
            }
        }
    }
}
