//! What lapin's errors mean to a caller, in words that name what to do.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use tokio::time::timeout;

use crate::broker::BrokerError;

/// How long one call to RabbitMQ may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What RabbitMQ says when it refuses for a reason that a person can do something about, and what
/// that is.
const REMEDIES: [(&str, Remedy); 7] = [
    // Of a virtual host or of a user; others may close theirs.
    (
        "connection limit",
        Remedy::Passes(
            "close other connections, or raise max-connections with \
         `rabbitmqctl set_vhost_limits` or `set_user_limits`",
        ),
    ),
    (
        "number of channels opened",
        Remedy::Passes(
            "close other channels, or raise max-channels with \
         `rabbitmqctl set_user_limits`",
        ),
    ),
    ("queue limit", Remedy::Stays("raise max-queues with `rabbitmqctl set_vhost_limits`")),
    ("is down", Remedy::Passes("it works once RabbitMQ has started it")),
    ("Login was refused", Remedy::Stays("check user and password in rabbitmq.url")),
    (
        "refused for user",
        Remedy::Stays(
            "give the user of rabbitmq.url that right; deploy/README.md \
         lists the rights of each role",
        ),
    ),
    ("NOT_ALLOWED - vhost", Remedy::Stays("check the virtual host in rabbitmq.url")),
];

/// What to do about a refusal.
#[derive(Debug, Clone, Copy)]
enum Remedy {
    /// It may pass by itself too.
    Passes(&'static str),
    Stays(&'static str),
}

/// What a caller can do about an error of lapin.
pub(super) fn refusal(doing: &str, error: &lapin::Error) -> BrokerError {
    let text = words(error);
    let ErrorKind::ProtocolError(protocol) = error.kind() else {
        return BrokerError::unavailable(format!("{doing}: {text}"));
    };
    let remedy = REMEDIES.into_iter().find(|(said, _)| text.contains(said));
    match remedy {
        Some((_, Remedy::Passes(remedy))) => {
            return BrokerError::unavailable(format!("{doing}: {text}; {remedy}"));
        }
        Some((_, Remedy::Stays(remedy))) => {
            return BrokerError::rejected(format!("{doing}: {text}; {remedy}"));
        }
        None => {}
    }
    let source = format!("{doing}: {text}");
    match protocol.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
        | AMQPErrorKind::Hard(
            AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH | AMQPHardError::NOTIMPLEMENTED,
        ) => BrokerError::rejected(source),
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => BrokerError::unavailable(source),
    }
}

/// Why a queue or an exchange could not be declared.
pub(super) fn undeclared(what: &str, error: &lapin::Error) -> BrokerError {
    let text = words(error);
    if text.contains("inequivalent arg") {
        return BrokerError::rejected(format!(
            "{what} is there with other arguments ({text}); delete it when it is empty, or choose \
             another rabbitmq.namespace"
        ));
    }
    if is_about_queue_type(&text) {
        return BrokerError::rejected(format!(
            "cannot declare {what}: {text}; Storekeeper needs quorum queues and streams: use a \
             RabbitMQ that has them, or enable them with `rabbitmqctl enable_feature_flag all`"
        ));
    }
    refusal(&format!("cannot declare {what}"), error)
}

/// Whether a server says that it has no queues of a type: a RabbitMQ without its feature flag, or
/// a server of another make.
fn is_about_queue_type(text: &str) -> bool {
    ["x-queue-type", "feature flag", "queue type", "queue of type"]
        .iter()
        .any(|said| text.contains(said))
        || text.contains("stream") && text.contains("NOT_IMPLEMENTED")
}

/// What RabbitMQ calls it when the user may not do something.
pub(super) const REFUSED: &str = "ACCESS_REFUSED";

/// Whether RabbitMQ says that the user may not do something.
pub(super) fn is_no_right(error: &BrokerError) -> bool {
    matches!(error, BrokerError::Rejected { source } if source.to_string().contains(REFUSED))
}

/// The words of an error, once: lapin puts its own in front of those of RabbitMQ.
pub(super) fn words(error: &lapin::Error) -> String {
    if let ErrorKind::ProtocolError(error) = error.kind()
        && !error.get_message().as_str().is_empty()
    {
        return error.get_message().as_str().to_owned();
    }
    if let ErrorKind::IOError(error) = error.kind() {
        return error.to_string();
    }
    error.to_string()
}

/// An error of what was done at a server, with the server's address.
pub(super) fn at(place: impl std::fmt::Display, error: BrokerError) -> BrokerError {
    match error {
        BrokerError::Unavailable { source } => {
            BrokerError::unavailable(format!("{place}: {source}"))
        }
        BrokerError::Rejected { source } => BrokerError::rejected(format!("{place}: {source}")),
        other @ (BrokerError::Blocked | BrokerError::Full | BrokerError::Corrupt { .. }) => other,
    }
}

/// What RabbitMQ answers within a time; `late` is the text of the error if it does not.
pub(super) async fn within<T>(
    limit: Duration,
    late: &str,
    answer: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    timeout(limit, answer).await.unwrap_or_else(|_| Err(BrokerError::unavailable(late)))
}
