//! Whether the user may publish what this process publishes.
//!
//! RabbitMQ says so only when a message comes: so a marker is published, which the journal's readers
//! pass over. That happens once at the start, and again after each refusal.

use bytes::Bytes;
use uuid::Uuid;

use super::failure::REFUSED;
use super::topology::MARKER_KEY;
use super::{Shared, wire};
use crate::broker::BrokerError;
use crate::domain::causes;

impl Shared {
    /// Why the user may not publish, if that is known.
    pub(super) async fn refused_right(&self) -> Option<BrokerError> {
        if !self.publisher.is_in_doubt() {
            return None;
        }
        for exchange in self.publishes_to {
            let marker = wire::marker(&Uuid::now_v7());
            let marker = self.message(exchange, MARKER_KEY, marker, Bytes::new());
            match self.publisher.publish(marker).await.map_err(|error| causes(&error)) {
                Ok(()) => {}
                Err(why) if why.contains(REFUSED) => {
                    let exchange = self.topology.name(exchange);
                    return Some(BrokerError::rejected(format!(
                        "cannot publish to {exchange}: {why}; give the user of rabbitmq.url that \
                         right; deploy/README.md lists the rights of each role"
                    )));
                }
                // Others say why nothing can be published for now.
                Err(_) => return None,
            }
        }
        self.publisher.may_publish();
        None
    }
}
