//! The exit status of a failed command, and its problem details.

use std::io;

use super::ExitStatus;
use super::import::ItemsUnresolved;
use super::output::Output;
use crate::broker::BrokerError;
use crate::console::lookup::OrderError;
use crate::domain::causes;
use crate::http::problem::{Problem, ProblemCode};
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

/// The problem of a command that failed with this error, with the code that the API has for it.
pub fn problem(error: &anyhow::Error) -> Problem {
    let code = error.chain().find_map(code_of).unwrap_or(ProblemCode::RequestInvalid);
    let candidates = error.chain().map(candidates_of).find(|candidates| !candidates.is_empty());
    Problem::new(code, causes(error.as_ref())).with_candidates(candidates.unwrap_or_default())
}

/// Reports what was not found as its sentence, or as problem details, but not as a failure.
pub(super) fn not_found(
    error: impl Into<anyhow::Error>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    output.problem(&problem(&error.into()), "")?;
    Ok(ExitStatus::NotHeld)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<ProblemCode> {
    if let Some(error) = cause.downcast_ref::<StoreError>() {
        let is_away = error.is_transient();
        return Some(if is_away { ProblemCode::StoreUnavailable } else { ProblemCode::Internal });
    }
    if let Some(error) = cause.downcast_ref::<BrokerError>() {
        return Some(match error {
            BrokerError::Unavailable { .. } => ProblemCode::BrokerUnavailable,
            BrokerError::Blocked => ProblemCode::BrokerBlocked,
            BrokerError::Full => ProblemCode::BrokerFull,
            BrokerError::Corrupt { .. } | BrokerError::Rejected { .. } => ProblemCode::Internal,
        });
    }
    if let Some(error) = cause.downcast_ref::<ReceiptError>() {
        return match error {
            ReceiptError::ReferenceReused { .. } | ReceiptError::Voided(_) => {
                Some(ProblemCode::ReceiptReferenceReused)
            }
            ReceiptError::NotTracked(_) | ReceiptError::DifferenceTooLarge => None,
            ReceiptError::Ask(error) => code_of_asking(error, ProblemCode::ReceiptDeadLetter),
        };
    }
    if let Some(error) = cause.downcast_ref::<CorrectionError>() {
        return match error {
            CorrectionError::Unknown { .. } => Some(ProblemCode::OrderUnknown),
            CorrectionError::NoSnapshot(_) => Some(ProblemCode::CorrectionNoSnapshot),
            CorrectionError::Outdated(_) => Some(ProblemCode::CorrectionOutdated),
            CorrectionError::ReferenceReused(_) => Some(ProblemCode::CorrectionReferenceReused),
            CorrectionError::Ask(error) => code_of_asking(error, ProblemCode::CorrectionDeadLetter),
        };
    }
    if let Some(error) = cause.downcast_ref::<ItemError>() {
        return match error {
            ItemError::Ambiguous { .. } => Some(ProblemCode::StockAmbiguous),
            ItemError::Unknown { can_create: true, .. }
            | ItemError::UnknownSite { can_create: true, .. } => {
                Some(ProblemCode::StockCreateNeeded)
            }
            ItemError::Unknown { .. } => Some(ProblemCode::StockUnknown),
            ItemError::UnknownSite { .. } => Some(ProblemCode::SiteUnknown),
            ItemError::Invalid { .. } | ItemError::Store(_) => None,
        };
    }
    match cause.downcast_ref::<OrderError>()? {
        OrderError::Ambiguous { .. } => Some(ProblemCode::OrderAmbiguous),
        OrderError::Closed { .. } => Some(ProblemCode::OrderClosed),
        OrderError::Unknown { .. } => Some(ProblemCode::OrderUnknown),
        OrderError::UnknownSite(_) => Some(ProblemCode::SiteUnknown),
        OrderError::Invalid { .. } | OrderError::Store(_) => None,
    }
}

const fn code_of_asking(error: &AskError, dead_letter: ProblemCode) -> Option<ProblemCode> {
    match error {
        AskError::DeadLetter { .. } => Some(dead_letter),
        AskError::Unconfirmed => Some(ProblemCode::BrokerUnavailable),
        AskError::Broker(_) | AskError::Store(_) => None,
    }
}

/// The names that a person can choose from.
fn candidates_of(cause: &(dyn std::error::Error + 'static)) -> Vec<String> {
    if let Some(OrderError::Ambiguous { candidates, .. }) = cause.downcast_ref() {
        return candidates.iter().map(ToString::to_string).collect();
    }
    match cause.downcast_ref::<ItemError>() {
        Some(
            ItemError::Ambiguous { candidates, .. }
            | ItemError::Unknown { nearest: candidates, .. },
        ) => candidates.iter().map(ToString::to_string).collect(),
        Some(ItemError::UnknownSite { nearest, .. }) => {
            nearest.iter().map(ToString::to_string).collect()
        }
        Some(ItemError::Invalid { .. } | ItemError::Store(_)) | None => Vec::new(),
    }
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
    fn a_failure_has_the_problem_code_of_the_api_and_all_its_causes() {
        let away: BrokerError = BrokerError::Blocked;
        let error = anyhow::Error::from(ReceiptError::Ask(AskError::Broker(away)));
        let found = problem(&error.context("cannot count"));
        assert_eq!(found.code(), ProblemCode::BrokerBlocked);
        assert!(found.detail().starts_with("cannot count: the broker did not take it"));
        let site = |name| crate::domain::Site::parse(name).unwrap();
        let unknown = ItemError::UnknownSite {
            site: site("nort"),
            nearest: vec![site("north")],
            can_create: true,
        };
        let found = problem(&unknown.into());
        assert_eq!(found.code(), ProblemCode::StockCreateNeeded);
        let body: serde_json::Value = serde_json::from_slice(&found.body()).unwrap();
        assert_eq!((&body["status"], &body["candidates"][0]), (&409.into(), &"north".into()));
        let other = problem(&anyhow::anyhow!("no such file"));
        assert_eq!(other.code(), ProblemCode::RequestInvalid);
    }

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
        let unknown =
            ItemError::UnknownSite { site: site(), nearest: Vec::new(), can_create: true };
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
