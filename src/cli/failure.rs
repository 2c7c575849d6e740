//! What a failed command means for the exit code.

use std::io;

use super::ExitStatus;
use crate::broker::BrokerError;
use crate::receipts::ReceiptError;
use crate::store::StoreError;

/// How a process ends whose command failed with this error.
///
/// A reader that went away, as `head` does, is no failure. What neither a Store nor a Broker said
/// is a mistake in the command or its surroundings.
pub fn exit_status(error: &anyhow::Error) -> ExitStatus {
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            return Some(of_backend(error.is_transient()));
        }
        if let Some(error) = cause.downcast_ref::<BrokerError>() {
            return Some(of_backend(error.is_transient()));
        }
        match cause.downcast_ref::<ReceiptError>() {
            Some(ReceiptError::ReferenceReused(_) | ReceiptError::DeadLetter { .. }) => {
                return Some(ExitStatus::NotHeld);
            }
            Some(ReceiptError::Unconfirmed) => return Some(ExitStatus::Unreachable),
            // What a backend said is further down.
            Some(
                ReceiptError::DifferenceTooLarge | ReceiptError::Broker(_) | ReceiptError::Store(_),
            )
            | None => {}
        }
        let error = cause.downcast_ref::<io::Error>()?;
        (error.kind() == io::ErrorKind::BrokenPipe).then_some(ExitStatus::Done)
    };
    error.chain().find_map(of_cause).unwrap_or(ExitStatus::Usage)
}

const fn of_backend(is_transient: bool) -> ExitStatus {
    if is_transient { ExitStatus::Unreachable } else { ExitStatus::Usage }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_failure_ends_with_the_exit_code_of_its_cause() {
        let source = || -> Box<dyn std::error::Error + Send + Sync> { "locked".into() };
        let status = |error: Result<(), StoreError>| {
            exit_status(&error.context("cannot list the stock").unwrap_err())
        };
        let away = StoreError::Unavailable { source: source() };
        assert_eq!(status(Err(away)), ExitStatus::Unreachable);
        let newer = StoreError::Corrupt { detail: "of a newer release".into() };
        assert_eq!(status(Err(newer)), ExitStatus::Usage);
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(exit_status(&pipe.into()), ExitStatus::Done);
        let away = BrokerError::Unavailable { source: source() };
        assert_eq!(exit_status(&away.into()), ExitStatus::Unreachable);
        let away = BrokerError::Unavailable { source: source() };
        assert_eq!(exit_status(&ReceiptError::from(away).into()), ExitStatus::Unreachable);
        assert_eq!(exit_status(&ReceiptError::Unconfirmed.into()), ExitStatus::Unreachable);
        assert_eq!(exit_status(&ReceiptError::DifferenceTooLarge.into()), ExitStatus::Usage);
        assert_eq!(exit_status(&anyhow::anyhow!("no such file")), ExitStatus::Usage);
    }
}
