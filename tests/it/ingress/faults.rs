//! What senders hear when the broker fails.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use storekeeper::broker::{
    Broker, BrokerError, Envelope, JournalExtent, JournalPosition, JournalRecord, Queue,
    QueueDepth, Subscription,
};
use storekeeper::config::{Expired, IngressSettings};
use storekeeper::domain::{Rejection, Timestamp};

use super::harness::{BODY, Service, expired, refused, settings, taken};

/// How a publish fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Unavailable,
    Blocked,
    Full,
    Rejected,
    Corrupt,
    /// It is published, and nobody is told.
    Silence,
    /// It stays queued for the broker's writer, also when nobody waits for it any more.
    Stuck,
    Panic,
}

/// A broker whose `nth` publish, counted from 1, fails.
#[derive(Debug)]
struct Failing {
    inner: Arc<dyn Broker>,
    nth: usize,
    fault: Fault,
    publishes: AtomicUsize,
    stuck: Mutex<Vec<Envelope>>,
}

impl Failing {
    async fn fail(&self, envelope: Envelope) -> BrokerError {
        let source = "the tests want it so".into();
        match self.fault {
            Fault::Unavailable => BrokerError::Unavailable { source },
            Fault::Blocked => BrokerError::Blocked,
            Fault::Full => BrokerError::Full,
            Fault::Rejected => BrokerError::Rejected { source },
            Fault::Corrupt => BrokerError::Corrupt { detail: "the tests want it so".to_owned() },
            Fault::Silence => {
                self.inner.publish(envelope).await.unwrap();
                pending().await
            }
            Fault::Stuck => {
                self.stuck.lock().unwrap().push(envelope);
                pending().await
            }
            Fault::Panic => panic!("the tests want it so"),
        }
    }
}

#[async_trait]
impl Broker for Failing {
    async fn publish(&self, envelope: Envelope) -> Result<(), BrokerError> {
        if self.publishes.fetch_add(1, Ordering::SeqCst) + 1 == self.nth {
            return Err(self.fail(envelope).await);
        }
        self.inner.publish(envelope).await
    }

    async fn publish_dead(
        &self,
        envelope: Envelope,
        rejection: Rejection,
    ) -> Result<(), BrokerError> {
        if self.publishes.fetch_add(1, Ordering::SeqCst) + 1 == self.nth {
            return Err(self.fail(envelope).await);
        }
        self.inner.publish_dead(envelope, rejection).await
    }

    async fn replay(&self, envelopes: Vec<Envelope>) -> Result<(), BrokerError> {
        self.inner.replay(envelopes).await
    }

    async fn subscribe(&self, queue: Queue, prefetch: usize) -> Result<Subscription, BrokerError> {
        self.inner.subscribe(queue, prefetch).await
    }

    async fn settled_before(&self) -> Result<Option<Timestamp>, BrokerError> {
        self.inner.settled_before().await
    }

    async fn depth(&self) -> Result<QueueDepth, BrokerError> {
        self.inner.depth().await
    }

    async fn journal(
        &self,
        after: Option<JournalPosition>,
        limit: usize,
    ) -> Result<Vec<JournalRecord>, BrokerError> {
        self.inner.journal(after, limit).await
    }

    async fn journal_extent(&self, since: Option<Timestamp>) -> Result<JournalExtent, BrokerError> {
        self.inner.journal_extent(since).await
    }

    async fn check(&self) -> Result<(), BrokerError> {
        self.inner.check().await
    }

    async fn is_consumed(&self) -> Result<bool, BrokerError> {
        self.inner.is_consumed().await
    }

    fn reconnects(&self) -> u64 {
        0
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

async fn failing(settings: IngressSettings, nth: usize, fault: Fault) -> Service {
    failing_behind(settings, nth, fault).await.0
}

/// A service and its broker.
async fn failing_behind(
    settings: IngressSettings,
    nth: usize,
    fault: Fault,
) -> (Service, Arc<Failing>) {
    let mut failing = None;
    let decorate = |inner| {
        let (publishes, stuck) = (AtomicUsize::new(0), Mutex::default());
        let broker = Arc::new(Failing { inner, nth, fault, publishes, stuck });
        Arc::clone(failing.insert(broker)) as Arc<dyn Broker>
    };
    let service = Service::start_behind(settings, decorate).await;
    (service, failing.unwrap())
}

#[tokio::test]
async fn a_webhook_that_the_broker_did_not_take_is_not_answered_with_200() {
    for (fault, code) in [
        (Fault::Unavailable, "broker.unavailable"),
        (Fault::Blocked, "broker.blocked"),
        (Fault::Full, "broker.full"),
        (Fault::Rejected, "broker.unavailable"),
        (Fault::Corrupt, "broker.unavailable"),
    ] {
        let service = failing(settings(), 2, fault).await;
        taken(service.signed(BODY)).await;
        refused(service.signed(BODY), 503, code).await;
        taken(service.signed(BODY)).await;
        assert_eq!(service.published().await.len(), 2, "{fault:?}");
        assert_eq!((service.count(code), service.count("ok")), (1, 2), "{fault:?}");
    }
}

#[tokio::test]
async fn an_expired_webhook_that_could_not_be_parked_is_not_answered_with_200() {
    let settings = IngressSettings { expired: Expired::Park, ..settings() };
    let service = failing(settings, 1, Fault::Full).await;
    refused(expired(&service), 503, "broker.full").await;
    taken(expired(&service)).await;
    assert_eq!(service.published().await.len(), 1);
}

#[tokio::test]
async fn a_confirm_that_does_not_come_is_not_waited_for() {
    let settings = IngressSettings { publish_timeout: Duration::from_secs(1), ..settings() };
    let service = failing(settings, 1, Fault::Silence).await;
    refused(service.signed(BODY), 503, "broker.unavailable").await;
    // The sender cannot know that it was published; it sends again, and that is one more.
    taken(service.signed(BODY)).await;
    assert_eq!(service.published().await.len(), 2);
}

#[tokio::test]
async fn a_webhook_that_is_still_queued_keeps_its_place_and_more_are_refused_at_once() {
    let publish_timeout = Duration::from_millis(100);
    let settings = IngressSettings { in_flight_max: 1, publish_timeout, ..settings() };
    let (service, broker) = failing_behind(settings, 1, Fault::Stuck).await;
    refused(service.signed(BODY), 503, "broker.unavailable").await;
    // Nobody waits for it any more, but its body is there.
    refused(service.signed(BODY), 503, "ingress.busy").await;
    // Whoever is not authentic hears only that.
    refused(service.webhook(), 401, "signature.missing").await;
    broker.stuck.lock().unwrap().clear();
    for _ in 0..3 {
        taken(service.signed(BODY)).await;
    }
    assert_eq!((service.count("ingress.busy"), service.count("ok")), (1, 3));
}

#[tokio::test]
async fn a_panic_is_answered_and_the_service_goes_on() {
    let settings = IngressSettings { in_flight_max: 1, ..settings() };
    let service = failing(settings, 1, Fault::Panic).await;
    refused(service.signed(BODY), 500, "internal").await;
    taken(service.signed(BODY)).await;
    assert_eq!((service.count("internal"), service.count("ok")), (1, 1));
}
