//! What lapin's errors mean to a caller.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use crate::broker::BrokerError;

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
