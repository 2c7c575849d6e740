//! Why a body can never be applied: the stable codes of dead letters.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Identifier, OrderId, Site};

/// Declares the codes once: variant, text and description.
macro_rules! codes {
    ($($variant:ident = $text:literal, $doc:literal;)*) => {
        /// The stable reason of a dead letter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "&'static str")]
        pub enum Code {
            $(#[doc = $doc] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as it is written everywhere.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

codes! {
    NotJson = "decode.not_json", "The body is not JSON in UTF-8.";
    NotAnObject = "decode.not_an_object", "The body is JSON, but no object.";
    MissingSite = "decode.missing_site", "`resource_data.site_name` is missing or empty.";
    InvalidEventType = "decode.invalid_event_type", "`event_type` is missing or no name.";
    InvalidTimestamp = "decode.invalid_timestamp",
        "`event_timestamp` is no number of milliseconds, or not between 2010 and 2100.";
    MissingData = "decode.missing_data", "`data` is missing or no object.";
    InvalidItems = "decode.invalid_items", "A list of lines or refunds is missing or no list.";
    InvalidLine = "decode.invalid_line", "A line or refund is no object.";
    InvalidQuantity = "decode.invalid_quantity",
        "A quantity is missing, no number, negative or over 1e9.";
    InvalidIdentifier = "decode.invalid_identifier",
        "No name by which the order can be told can be read.";
    TooManyLines = "decode.too_many_lines", "The order has more than 1,000 lines.";
    NoIdentity = "order.no_identity", "Nothing in the body names the order.";
    TooManyRefunds = "order.too_many_refunds",
        "The order would have more than 1,000 refunds or 10,000 refunded lines.";
    TooManyNames = "order.too_many_names", "More than 64 second names would lead to the order.";
    CorrectionInvalid = "correction.invalid",
        "The correction is not of its form, or the order has 64 of them.";
    OrderExpired = "order.expired", "The order was closed, and this event came after that.";
    RefundNoOrder = "refund.no_order", "The refund names no order.";
    CatalogueNoIdentity = "catalogue.no_identity", "Nothing in the body names the entry.";
    NoticeNoIdentity = "notice.no_identity", "The notice names no store or no entity.";
    SiteMismatch = "store.site_mismatch", "`data.siteAlias` is another site than `site_name`.";
    SiteNotAllowed = "site.not_allowed", "The source of the body may not write this site.";
    StockOverflow = "stock.overflow",
        "A stock item's total would pass 4e12 units, or fall below nothing.";
    ReceiptInvalid = "receipt.invalid", "The receipt is not of its form.";
    EditInvalid = "edit.invalid", "The edit or discard of a dead letter is not of its form.";
    SignatureExpired = "signature.expired", "The signature was older than the replay window.";
    WorkerPanic = "worker.panic", "The program failed on this body; please report it.";
    RetryExhausted = "retry.exhausted", "It failed for as long as retries go on.";
    DeliveryLimit = "poison.delivery_limit", "It was delivered too often without an outcome.";
    Unrouted = "broker.unrouted", "The broker had no queue for it.";
}

impl Code {
    /// The code of that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
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

/// A text that is no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no dead letter's reason")]
pub struct UnknownCode(String);

impl TryFrom<String> for Code {
    type Error = UnknownCode;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or(UnknownCode(text))
    }
}

/// Why an envelope becomes a dead letter, and what is known of it.
///
/// The detail names the JSON path, what was expected and the type that was found, never a value:
/// a value may be personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Rejection {
    /// The stable reason.
    pub code: Code,
    /// What was wrong, and where.
    pub detail: String,
    /// The site, as far as the body was understood.
    #[serde(default)]
    pub site: Option<Site>,
    /// The event's name, as far as the body was understood.
    #[serde(default)]
    pub event_type: Option<Identifier>,
    /// The order, as far as the body was understood.
    #[serde(default)]
    pub order: Option<OrderId>,
}

impl Rejection {
    /// A rejection of which nothing more is known.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), site: None, event_type: None, order: None }
    }
}
