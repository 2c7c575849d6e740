//! What failures mean to a caller: each becomes a problem with a stable code.
//!
//! Failures of the backends are logged here, because the answer says less about them.

use super::items::site_unknown;
use super::request::invalid;
use crate::broker::BrokerError;
use crate::console::lookup::OrderError;
use crate::domain::causes;
use crate::http::problem::{Problem, ProblemCode};
use crate::requests::AskError;
use crate::requests::corrections::CorrectionError;
use crate::requests::receipts::ReceiptError;
use crate::store::StoreError;
use crate::store::changes::FeedError;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = causes(&error), "cannot use the store");
        match error {
            StoreError::Unavailable { .. } => Self::new(
                ProblemCode::StoreUnavailable,
                "the store is unavailable; try again later",
            ),
            StoreError::Corrupt { .. } | StoreError::Newer { .. } | StoreError::Older { .. } => {
                Self::new(ProblemCode::Internal, error.to_string())
            }
            StoreError::Rejected { .. } => {
                Self::new(ProblemCode::Internal, "the store refused the call; the log says why")
            }
        }
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Self {
        tracing::warn!(error = causes(&error), "cannot use the broker");
        let (code, detail) = match error {
            BrokerError::Unavailable { .. } => {
                (ProblemCode::BrokerUnavailable, "the broker is unavailable; try again later")
            }
            BrokerError::Blocked => {
                (ProblemCode::BrokerBlocked, "the broker accepts nothing for now")
            }
            BrokerError::Full => (ProblemCode::BrokerFull, "the broker has no room left"),
            BrokerError::Corrupt { .. } => {
                return Self::new(ProblemCode::Internal, error.to_string());
            }
            BrokerError::Rejected { .. } => {
                (ProblemCode::Internal, "the broker refused the call; the log says why")
            }
        };
        Self::new(code, detail)
    }
}

/// What failed of a change, whose dead letter has this code.
fn of_change(error: AskError, dead_letter: ProblemCode) -> Problem {
    match error {
        AskError::Broker(error) => error.into(),
        AskError::Store(error) => error.into(),
        AskError::Unconfirmed => Problem::new(ProblemCode::BrokerUnavailable, error.to_string()),
        AskError::DeadLetter { .. } => Problem::new(dead_letter, error.to_string()),
    }
}

impl From<ReceiptError> for Problem {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::ReferenceReused { .. } | ReceiptError::Voided(_) => {
                Self::new(ProblemCode::ReceiptReferenceReused, error.to_string())
            }
            ReceiptError::NotTracked(_) => invalid(error.to_string()),
            ReceiptError::DifferenceTooLarge => invalid(format!("on_hand: {error}")),
            ReceiptError::Ask(error) => of_change(error, ProblemCode::ReceiptDeadLetter),
        }
    }
}

impl From<CorrectionError> for Problem {
    fn from(error: CorrectionError) -> Self {
        let code = match error {
            CorrectionError::Unknown { .. } => ProblemCode::OrderUnknown,
            CorrectionError::NoSnapshot(_) => ProblemCode::CorrectionNoSnapshot,
            CorrectionError::Outdated(_) => ProblemCode::CorrectionOutdated,
            CorrectionError::ReferenceReused(_) => ProblemCode::CorrectionReferenceReused,
            CorrectionError::Ask(error) => {
                return of_change(error, ProblemCode::CorrectionDeadLetter);
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let detail = error.to_string();
        match error {
            OrderError::Ambiguous { candidates, .. } => {
                let candidates = candidates.iter().map(ToString::to_string).collect();
                Self::new(ProblemCode::OrderAmbiguous, detail).with_candidates(candidates)
            }
            OrderError::Closed { before, .. } => {
                let detail = format!(
                    "{detail}; nothing had arrived for it since before {before}, and \
                     orders.retention says when orders are closed"
                );
                Self::new(ProblemCode::OrderClosed, detail)
            }
            OrderError::Unknown { .. } => Self::new(ProblemCode::OrderUnknown, detail),
            OrderError::UnknownSite(site) => site_unknown(&site),
            OrderError::Invalid { source, .. } => invalid(format!("order: {source}")),
            OrderError::Store(error) => error.into(),
        }
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::CursorGone => Self::new(ProblemCode::ChangesCursorGone, error.to_string()),
            FeedError::Store(error) => error.into(),
        }
    }
}
