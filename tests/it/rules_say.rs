//! What the rules say of a body when a place that they read holds a wrong thing.
//!
//! Written from the specification, as [`crate::rules_read`] is: a wrong thing is refused for one
//! code, or it is taken, and then it is told as what.

use storekeeper::domain::Code;

use Then::{AsTheModelSays, AsWithout, Counts, Nameless, Refused};
use Thing::{
    Control, Empty, EmptyList, Exact, Huge, HugeText, ListOfLists, ListOfObjects, Long, LongList,
    Missing, NegativeZero, Null, Object, Text, Whole, WithLines, WordOfEvents, WordOfModes,
    WordOfStatuses,
};

/// Kinds of wrong things. Things of one kind end the same wherever they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    /// The place is not there.
    Missing,
    /// `null`
    Null,
    /// A text without anything in it.
    Empty,
    /// A text that may name something.
    Text,
    /// The text of a status that a rule knows.
    WordOfStatuses,
    /// The text of the one mode that a rule knows.
    WordOfModes,
    /// The text of a deletion's event type.
    WordOfEvents,
    /// The digits of a time in milliseconds, as text.
    HugeText,
    /// A text with control characters.
    Control,
    /// A text of more than 256 bytes.
    Long,
    /// A text that is none: half of a surrogate pair.
    BrokenText,
    /// A small number of units.
    Whole,
    /// Zero with a minus sign.
    NegativeZero,
    /// A time in milliseconds.
    Huge,
    /// A number that is negative, no integer, or out of every range.
    Odd,
    /// `true` or `false`
    Flag,
    /// An object without anything that a rule reads.
    Object,
    /// An object with an id and with a line of no quantity.
    WithLines,
    /// A list without anything in it.
    EmptyList,
    /// A list of one empty object.
    ListOfObjects,
    /// A list whose first element is a list.
    ListOfLists,
    /// A list of 1,001 lines.
    LongList,
    /// What stands there already.
    Exact,
}

/// What becomes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is a dead letter of this code.
    Refused(Code),
    /// It means what it would without the place.
    AsWithout,
    /// The same; but if nothing else names what it is about, it is refused for this code.
    Nameless(Code),
    /// It means something else, by what stands there now.
    Counts,
    /// It means what it did: what it is a part of says nothing.
    AsBefore,
    /// It is another event, or a deletion, of which so much is not read: the model alone says
    /// what it means.
    AsTheModelSays,
}

/// What a place is to the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    EventType,
    Resource,
    Site,
    /// The site of a notice, which must be the same as its `siteAlias`.
    NoticeSite,
    Timestamp,
    /// The object `data`, without which there is no name: the code of that.
    Data(Code),
    /// The `data` of a deletion or of a catalogue entry, of which nothing but a name is required.
    NamedData(Code),
    /// An identifier that something goes by, unless another field names it.
    Name(Code),
    /// An identifier that need not be there.
    OptionalName,
    SiteAlias,
    /// An identifier of a third-party store: an integer or a text.
    StoreName(Code),
    /// The details of a third-party order: an object, or as if there were none.
    Details,
    /// The lines of an order.
    Lines,
    /// The lines of a refund.
    RefundedLines,
    /// The refunds of an order.
    Refunds,
    Line,
    Refund,
    Quantity,
    Status,
    Mode,
    /// A text to show: cut to size, never refused.
    Title,
    /// An identifier that is left out if it is none.
    LenientName,
    /// The variations of a product, and one of them: left out if they are none.
    Variations,
    Variation,
    /// The refunds of a deletion: they count as a whole or not at all.
    DeletedRefunds,
}

/// What a place is to the rules; `None` if none of them reads it.
pub(crate) fn role(event_type: &str, path: &str) -> Option<Role> {
    let is = |words: &[&str]| words.iter().any(|word| event_type.contains(word));
    let is_deletion = event_type == "ECOMM_ORDER_DELETED";
    let is_notice = event_type.starts_with("STORE_");
    let nameless = match event_type {
        _ if is_notice => Code::NoticeNoIdentity,
        "ECOMM_REFUND_CREATED" => Code::RefundNoOrder,
        _ if is(&["PRODUCT_", "CATEGORY_"]) => Code::CatalogueNoIdentity,
        _ => Code::NoIdentity,
    };
    let is_refund = nameless == Code::RefundNoOrder;
    let is_entry = nameless == Code::CatalogueNoIdentity;
    Some(match path {
        "event_type" => Role::EventType,
        "resource_data" => Role::Resource,
        "resource_data.site_name" if is_notice => Role::NoticeSite,
        "resource_data.site_name" => Role::Site,
        "event_timestamp" => Role::Timestamp,
        "data" if is_deletion || is_entry => Role::NamedData(nameless),
        "data" => Role::Data(nameless),
        "data.external_id" if is_entry => Role::LenientName,
        "data.order_id" | "data.id" | "data.external_id" | "data.invoice_number"
            if !(is_refund && path == "data.id") =>
        {
            Role::Name(nameless)
        }
        "data.siteAlias" => Role::SiteAlias,
        "data.storeId" | "data.entityId" | "data.data.orderId" => Role::StoreName(nameless),
        "data.data" => Role::Details,
        "data.status" => Role::Status,
        "data.mode" => Role::Mode,
        "data.name" | "data.title" => Role::Title,
        "data.data.newPaymentStatus"
        | "data.data.newFulfillmentStatus"
        | "data.sku"
        | "data.variations[].id"
        | "data.variations[].external_id"
        | "data.variations[].sku" => Role::LenientName,
        "data.variations" => Role::Variations,
        "data.variations[]" => Role::Variation,
        _ if is_deletion && path.starts_with("data.refunds") => Role::DeletedRefunds,
        "data.items" if is_refund => Role::RefundedLines,
        "data.items" => Role::Lines,
        "data.refunds" => Role::Refunds,
        "data.refunds[]" => Role::Refund,
        "data.refunds[].items" => Role::RefundedLines,
        "data.items[]" | "data.refunds[].items[]" => Role::Line,
        "data.items[].quantity" | "data.refunds[].items[].quantity" => Role::Quantity,
        "data.id"
        | "data.refunds[].id"
        | "data.refunds[].items[].id"
        | "data.items[].id"
        | "data.items[].variation_id"
        | "data.items[].product_id"
        | "data.items[].external_variation_id"
        | "data.items[].external_product_id"
        | "data.items[].sku" => Role::OptionalName,
        _ => return None,
    })
}

/// What says that nothing is there.
const ABSENT: &[Thing] = &[Missing, Null, Empty];
/// What may name something.
const NAMES: &[Thing] = &[Text, HugeText, WordOfStatuses, WordOfModes, WordOfEvents];
/// What is an integer.
const INTEGERS: &[Thing] = &[Whole, NegativeZero, Huge];

/// The first line that has the thing; what is in none ends otherwise.
fn find(thing: Thing, table: &[(&[Thing], Then)], otherwise: Then) -> Then {
    let line = table.iter().find(|(things, _)| things.contains(&thing));
    line.map_or(otherwise, |(_, then)| *then)
}

/// What becomes of a body with such a thing at such a place.
pub(crate) fn then(role: Role, thing: Thing) -> Then {
    if thing == Exact {
        return AsTheModelSays;
    }
    let in_table = |table: &[(&[Thing], Then)], otherwise| find(thing, table, otherwise);
    match role {
        // Another name is another event; one that no rule knows is ignored.
        Role::EventType => in_table(
            &[(&[WordOfEvents], AsTheModelSays), (NAMES, Counts)],
            Refused(Code::InvalidEventType),
        ),
        Role::Resource => Refused(Code::MissingSite),
        Role::Site => in_table(
            &[(NAMES, Counts), (&[Control, Long], Refused(Code::InvalidIdentifier))],
            Refused(Code::MissingSite),
        ),
        Role::NoticeSite => in_table(
            &[
                (NAMES, Refused(Code::SiteMismatch)),
                (&[Control, Long], Refused(Code::InvalidIdentifier)),
            ],
            Refused(Code::MissingSite),
        ),
        Role::Timestamp => {
            in_table(&[(&[Huge, HugeText], Counts)], Refused(Code::InvalidTimestamp))
        }
        Role::Data(nameless) => {
            // The lines are read only of an order, whose name is found before.
            let is_order = nameless == Code::NoIdentity;
            let lines = if is_order { Code::InvalidQuantity } else { nameless };
            in_table(
                &[(&[Object], Refused(nameless)), (&[WithLines], Refused(lines))],
                Refused(Code::MissingData),
            )
        }
        Role::NamedData(nameless) => in_table(
            &[(&[Object], Refused(nameless)), (&[WithLines], Counts)],
            Refused(Code::MissingData),
        ),
        Role::OptionalName => name(thing, AsWithout, Counts),
        Role::SiteAlias => name(thing, AsWithout, Refused(Code::SiteMismatch)),
        Role::StoreName(_) if INTEGERS.contains(&thing) => Counts,
        Role::Name(nameless) | Role::StoreName(nameless) => name(thing, Nameless(nameless), Counts),
        Role::Details => Nameless(Code::NoticeNoIdentity),
        Role::Lines | Role::RefundedLines | Role::Refunds => list(role, thing),
        Role::Line => in_table(
            &[(&[Missing], AsWithout), (&[Object, WithLines], Refused(Code::InvalidQuantity))],
            Refused(Code::InvalidLine),
        ),
        Role::Refund => in_table(
            &[(&[Missing, Object], AsWithout), (&[WithLines], Refused(Code::InvalidQuantity))],
            Refused(Code::InvalidLine),
        ),
        Role::Quantity => in_table(&[(&[Whole], Counts)], Refused(Code::InvalidQuantity)),
        Role::Status => in_table(&[(&[WordOfStatuses], Counts)], AsWithout),
        Role::Mode => in_table(&[(&[WordOfModes], Counts)], AsWithout),
        Role::Title => in_table(&[(NAMES, Counts), (&[Control, Long], Counts)], AsWithout),
        Role::LenientName => in_table(&[(NAMES, Counts)], AsWithout),
        Role::Variations => AsWithout,
        Role::Variation => in_table(&[(&[WithLines], Counts)], AsWithout),
        Role::DeletedRefunds => AsTheModelSays,
    }
}

/// What becomes of a body with such a thing in the place of an identifier: what an absent one
/// means, and another.
fn name(thing: Thing, absent: Then, named: Then) -> Then {
    find(thing, &[(ABSENT, absent), (NAMES, named)], Refused(Code::InvalidIdentifier))
}

/// What becomes of a body with such a thing in the place of a list.
fn list(role: Role, thing: Thing) -> Then {
    // An order without lines holds nothing, which is no order that says nothing of its lines.
    let (absent, empty) = if role == Role::Lines {
        (Refused(Code::InvalidItems), Counts)
    } else {
        (AsWithout, AsWithout)
    };
    // An empty refund says nothing; an empty line lacks its quantity.
    let of_objects = if role == Role::Refunds { AsWithout } else { Refused(Code::InvalidQuantity) };
    find(
        thing,
        &[
            (&[Missing, Null], absent),
            (&[EmptyList], empty),
            (&[ListOfObjects], of_objects),
            (&[ListOfLists], Refused(Code::InvalidLine)),
            (&[LongList], Refused(Code::TooManyLines)),
        ],
        Refused(Code::InvalidItems),
    )
}
