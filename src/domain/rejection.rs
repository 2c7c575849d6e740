//! Why a body can never be applied: the stable codes of dead letters.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::named::named;
use super::{Identifier, OrderId, Site};

named! {
    /// The stable reason of a dead letter.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String", into = "&'static str")]
    pub enum Code {
        /// The body is not JSON in UTF-8.
        NotJson = "decode.not_json",
        /// The body is JSON, but not an object.
        NotAnObject = "decode.not_an_object",
        /// `resource_data.site_name` is missing or empty.
        MissingSite = "decode.missing_site",
        /// `event_type` is missing or not a name.
        InvalidEventType = "decode.invalid_event_type",
        /// `event_timestamp` is not a number of milliseconds, or not between 2010 and 2100.
        InvalidTimestamp = "decode.invalid_timestamp",
        /// `data` is missing or not an object.
        MissingData = "decode.missing_data",
        /// A list of lines or refunds is missing or not a list.
        InvalidItems = "decode.invalid_items",
        /// A line or refund is not an object.
        InvalidLine = "decode.invalid_line",
        /// A quantity is missing, not a number, negative or over 1e9.
        InvalidQuantity = "decode.invalid_quantity",
        /// No name that could identify the order is readable.
        InvalidIdentifier = "decode.invalid_identifier",
        /// The order has more than 1,000 lines.
        TooManyLines = "decode.too_many_lines",
        /// Nothing in the body names the order.
        NoIdentity = "order.no_identity",
        /// The order would have more than 1,000 refunds or 10,000 refunded lines.
        TooManyRefunds = "order.too_many_refunds",
        /// More than 64 second names would lead to the order.
        TooManyNames = "order.too_many_names",
        /// The correction is malformed, or the order already has 64 of them.
        CorrectionInvalid = "correction.invalid",
        /// The order was closed before this event arrived.
        OrderExpired = "order.expired",
        /// The refund names no order.
        RefundNoOrder = "refund.no_order",
        /// Nothing in the body names the entry.
        CatalogueNoIdentity = "catalogue.no_identity",
        /// The notice names no store or no entity.
        NoticeNoIdentity = "notice.no_identity",
        /// `data.siteAlias` names another site than `site_name`.
        SiteMismatch = "store.site_mismatch",
        /// The source of the body may not write to this site.
        SiteNotAllowed = "site.not_allowed",
        /// No worker knew its source until the last retry.
        SourceUnknown = "source.unknown",
        /// A stock item's total would pass 4e12 units, or fall below zero.
        StockOverflow = "stock.overflow",
        /// The receipt is malformed.
        ReceiptInvalid = "receipt.invalid",
        /// The edit or discard of a dead letter is malformed.
        EditInvalid = "edit.invalid",
        /// The signature was older than the replay window.
        SignatureExpired = "signature.expired",
        /// The program failed on this body; please report it.
        WorkerPanic = "worker.panic",
        /// It failed until the last retry.
        RetryExhausted = "retry.exhausted",
        /// It was delivered too many times without an outcome.
        DeliveryLimit = "poison.delivery_limit",
        /// The broker had no queue for it.
        Unrouted = "broker.unrouted",
        /// A policy of the broker let it expire before it was applied.
        BrokerExpired = "broker.expired",
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Code> for &'static str {
    fn from(code: Code) -> Self {
        code.as_str()
    }
}

/// A text that is not a code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no dead letter's reason")]
pub struct UnknownCode(String);

impl TryFrom<String> for Code {
    type Error = UnknownCode;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or(UnknownCode(text))
    }
}

/// Why an envelope becomes a dead letter, and what is known about it.
///
/// The detail names the JSON path, what was expected and the type that was found. It never has a
/// value, which may be personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Rejection {
    /// The stable reason.
    pub code: Code,
    /// What was wrong, and where.
    pub detail: String,
    /// The site, if the body was understood that far.
    #[serde(default)]
    pub site: Option<Site>,
    /// The event's name, if the body was understood that far.
    #[serde(default)]
    pub event_type: Option<Identifier>,
    /// The order, if the body was understood that far.
    #[serde(default)]
    pub order: Option<OrderId>,
}

impl Rejection {
    /// Creates a rejection about which nothing more is known.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), site: None, event_type: None, order: None }
    }
}
