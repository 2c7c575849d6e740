//! The exit status of a failed command.

use std::io;

use super::ExitStatus;
use super::import::ItemsUnresolved;
use crate::broker::BrokerError;
use crate::console::lookup::OrderError;
use crate::requests::AskError;
use crate::requests::corrections::CorrectionError;
use crate::requests::items::ItemError;
use crate::requests::receipts::ReceiptError;
use crate::store::StoreError;

/// The exit status of a command that failed with this error.
///
/// A closed pipe, as after `head`, is not a failure. An error of neither a Store nor a Broker is a
/// mistake in the command or its environment.
pub fn exit_status(error: &anyhow::Error) -> ExitStatus {
    let of_cause = |cause: &(dyn std::error::Error + 'static)| {
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            return Some(of_backend(error.is_transient()));
        }
        if let Some(error) = cause.downcast_ref::<BrokerError>() {
            return Some(of_backend(error.is_transient()));
        }
        if let Some(status) = of_request(cause) {
            return Some(status);
        }
        let error = cause.downcast_ref::<io::Error>()?;
        (error.kind() == io::ErrorKind::BrokenPipe).then_some(ExitStatus::Done)
    };
    error.chain().find_map(of_cause).unwrap_or(ExitStatus::Usage)
}

/// The exit status of a refused change, or of a name that was not found. Errors of backends are
/// further down the chain.
fn of_request(cause: &(dyn std::error::Error + 'static)) -> Option<ExitStatus> {
    if let Some(error) = cause.downcast_ref::<ReceiptError>() {
        return match error {
            ReceiptError::ReferenceReused { .. }
            | ReceiptError::Voided(_)
            | ReceiptError::NotTracked(_) => Some(ExitStatus::NotHeld),
            ReceiptError::DifferenceTooLarge => None,
            ReceiptError::Ask(error) => of_asking(error),
        };
    }
    if let Some(error) = cause.downcast_ref::<CorrectionError>() {
        return match error {
            CorrectionError::Unknown { .. }
            | CorrectionError::NoSnapshot(_)
            | CorrectionError::Outdated(_)
            | CorrectionError::ReferenceReused(_) => Some(ExitStatus::NotHeld),
            CorrectionError::Ask(error) => of_asking(error),
        };
    }
    if let Some(error) = cause.downcast_ref::<ItemError>() {
        return match error {
            ItemError::Ambiguous { .. }
            | ItemError::Unknown { .. }
            | ItemError::UnknownSite { .. } => Some(ExitStatus::NotHeld),
            ItemError::Invalid { .. } | ItemError::Store(_) => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<OrderError>() {
        return match error {
            OrderError::Ambiguous { .. }
            | OrderError::Closed { .. }
            | OrderError::Unknown { .. }
            | OrderError::UnknownSite(_) => Some(ExitStatus::NotHeld),
            OrderError::Invalid { .. } | OrderError::Store(_) => None,
        };
    }
    cause.is::<ItemsUnresolved>().then_some(ExitStatus::NotHeld)
}

const fn of_asking(error: &AskError) -> Option<ExitStatus> {
    match error {
        AskError::DeadLetter { .. } => Some(ExitStatus::NotHeld),
        AskError::Unconfirmed => Some(ExitStatus::Unreachable),
        AskError::Broker(_) | AskError::Store(_) => None,
    }
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
        let asked = |error| exit_status(&ReceiptError::Ask(error).into());
        assert_eq!(asked(AskError::Broker(away)), ExitStatus::Unreachable);
        assert_eq!(asked(AskError::Unconfirmed), ExitStatus::Unreachable);
        assert_eq!(exit_status(&ReceiptError::DifferenceTooLarge.into()), ExitStatus::Usage);
        let site = || crate::domain::Site::parse("shop").unwrap();
        let unknown = ItemError::UnknownSite { site: site(), nearest: Vec::new() };
        assert_eq!(exit_status(&unknown.into()), ExitStatus::NotHeld);
        let unknown = OrderError::UnknownSite(site());
        assert_eq!(exit_status(&unknown.into()), ExitStatus::NotHeld);
        let away = StoreError::Unavailable { source: source() };
        assert_eq!(exit_status(&OrderError::Store(away).into()), ExitStatus::Unreachable);
        let away = AskError::Store(StoreError::Unavailable { source: source() });
        assert_eq!(exit_status(&CorrectionError::Ask(away).into()), ExitStatus::Unreachable);
        assert_eq!(exit_status(&anyhow::anyhow!("no such file")), ExitStatus::Usage);
    }
}
