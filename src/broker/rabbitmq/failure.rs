//! What lapin's errors mean to a caller.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use tokio::time::timeout;

use crate::broker::BrokerError;

/// How long one call to RabbitMQ may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a caller can do about an error of lapin.
pub(super) fn refusal(doing: &str, error: &lapin::Error) -> BrokerError {
    let source = format!("{doing}: {error}").into();
    let ErrorKind::ProtocolError(protocol) = error.kind() else {
        return BrokerError::Unavailable { source };
    };
    match protocol.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED | AMQPHardError::INVALIDPATH) => {
            BrokerError::Rejected { source }
        }
        AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => BrokerError::Unavailable { source },
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
