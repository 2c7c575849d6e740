//! What the rules say of a body when a place that they read holds a wrong thing.
//!
//! Written from the specification, as [`crate::rules_read`] is: a wrong thing is refused for one
//! code, or it is taken, and then it is told as what.

use storekeeper::domain::Code;

use Then::{
    AsLive, AsTheModelSays, AsUnreadable, AsWithout, Counts, Nameless, Refused, Unreadable,
};
use Thing::{
    Blank, Control, Empty, EmptyList, Exact, Fine, Huge, HugeText, ListOfLists, ListOfObjects,
    Long, LongList, Missing, No, Null, Object, Text, Time, Whole, WithLines, WordOfEvents,
    WordOfGoods, WordOfModes, WordOfStatuses, Zero,
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
    /// A text of nothing but white space.
    Blank,
    /// A text that may name something.
    Text,
    /// A text that may name something, too, and is a time.
    Time,
    /// The text of a status that a rule knows.
    WordOfStatuses,
    /// The text of the one mode that a rule knows.
    WordOfModes,
    /// The text of a deletion's event type.
    WordOfEvents,
    /// The text of a type of goods that have no stock.
    WordOfGoods,
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
    /// Zero: a number of units, and no name.
    Zero,
    /// A number of units with more than six decimals.
    Fine,
    /// A time in milliseconds.
    Huge,
    /// A number that is negative, or out of every range.
    Odd,
    /// `true`
    Yes,
    /// `false`
    No,
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
    /// The same, and a name is counted that could not be read.
    AsUnreadable,
    /// It means what it would with a mode that is no special one.
    AsLive,
    /// It means what it would without the place; but if nothing else names what it is about, it is
    /// refused for this code.
    Nameless(Code),
    /// A name that cannot be read; it is refused for that unless something else, which is no
    /// invoice number, names what it is about.
    Unreadable,
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
    /// The identifier that something goes by.
    OnlyName(Code),
    /// An invoice number: it tells no order from another where a better name cannot be read.
    Invoice,
    /// An identifier that need not be there.
    OptionalName,
    SiteAlias,
    /// The details of a third-party order: an object, or as if there were none.
    Details,
    /// The lines of an order.
    Lines,
    /// The lines of a refund.
    RefundedLines,
    /// The refunds of an order.
    Refunds,
    Line,
    /// A line of a refund.
    RefundedLine,
    Refund,
    Quantity,
    /// The quantity of a refunded line, without which it is about money.
    RefundedQuantity,
    /// When a refund was made.
    Created,
    Status,
    Mode,
    /// The type of a product.
    Goods,
    /// Whether the shop counts a product.
    Managed,
    /// A text to show: cut to size, never refused.
    Title,
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
    let is_notice_of_order = event_type.starts_with("STORE_ORDER_");
    Some(match path {
        "event_type" => Role::EventType,
        "resource_data" => Role::Resource,
        "resource_data.site_name" if is_notice => Role::NoticeSite,
        "resource_data.site_name" => Role::Site,
        "event_timestamp" => Role::Timestamp,
        "data" if is_deletion || is_entry => Role::NamedData(nameless),
        "data" => Role::Data(nameless),
        "data.external_id" if is_entry => Role::OptionalName,
        "data.id" if is_refund => Role::OptionalName,
        "data.id" if is_entry => Role::OnlyName(nameless),
        "data.order_id" | "data.storeId" => Role::OnlyName(nameless),
        "data.entityId" if !is_notice_of_order => Role::OnlyName(nameless),
        "data.id" | "data.external_id" | "data.entityId" | "data.data.orderId" => {
            Role::Name(nameless)
        }
        "data.invoice_number" => Role::Invoice,
        "data.siteAlias" => Role::SiteAlias,
        "data.data" => Role::Details,
        "data.status" => Role::Status,
        "data.mode" => Role::Mode,
        "data.type" => Role::Goods,
        "data.managed_inventory" => Role::Managed,
        "data.data.newPaymentStatus"
        | "data.data.newFulfillmentStatus"
        | "data.name"
        | "data.title"
        | "data.items[].name" => Role::Title,
        "data.sku"
        | "data.variations[].id"
        | "data.variations[].external_id"
        | "data.variations[].sku" => Role::OptionalName,
        "data.variations" => Role::Variations,
        "data.variations[]" => Role::Variation,
        _ if is_deletion && path.starts_with("data.refunds") => Role::DeletedRefunds,
        "data.refunds" => Role::Refunds,
        "data.refunds[]" => Role::Refund,
        _ => return role_in_lines(path, is_refund),
    })
}

/// What a place in lines and refunds is to the rules.
fn role_in_lines(path: &str, is_refund: bool) -> Option<Role> {
    Some(match path {
        "data.items" if is_refund => Role::RefundedLines,
        "data.items[]" if is_refund => Role::RefundedLine,
        "data.items[].quantity" if is_refund => Role::RefundedQuantity,
        "data.items" => Role::Lines,
        "data.items[]" => Role::Line,
        "data.items[].quantity" => Role::Quantity,
        "data.refunds[].items" => Role::RefundedLines,
        "data.refunds[].items[]" => Role::RefundedLine,
        "data.refunds[].items[].quantity" => Role::RefundedQuantity,
        "data.refunds[].created" | "data.created" => Role::Created,
        "data.refunds[].id"
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
const ABSENT: &[Thing] = &[Missing, Null, Empty, Blank];
/// What may name something.
const NAMES: &[Thing] =
    &[Text, Time, HugeText, Whole, Huge, WordOfStatuses, WordOfModes, WordOfEvents, WordOfGoods];
/// Texts that say something; numbers do not.
const TEXTS: &[Thing] =
    &[Text, Time, HugeText, WordOfStatuses, WordOfModes, WordOfEvents, WordOfGoods, Control, Long];

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
            &[
                (&[WordOfEvents], AsTheModelSays),
                (&[Whole, Huge], Refused(Code::InvalidEventType)),
                (NAMES, Counts),
            ],
            Refused(Code::InvalidEventType),
        ),
        Role::Resource => Refused(Code::MissingSite),
        Role::Site | Role::NoticeSite => {
            let another = if role == Role::Site { Counts } else { Refused(Code::SiteMismatch) };
            in_table(
                &[(NAMES, another), (&[Control, Long], Refused(Code::InvalidIdentifier))],
                Refused(Code::MissingSite),
            )
        }
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
        Role::OptionalName => in_table(&[(ABSENT, AsWithout), (NAMES, Counts)], AsUnreadable),
        Role::SiteAlias => in_table(&[(NAMES, Refused(Code::SiteMismatch))], AsWithout),
        Role::Name(nameless) => {
            in_table(&[(ABSENT, Nameless(nameless)), (NAMES, Counts)], Unreadable)
        }
        Role::OnlyName(nameless) => in_table(
            &[(ABSENT, Refused(nameless)), (NAMES, Counts)],
            Refused(Code::InvalidIdentifier),
        ),
        Role::Invoice => {
            in_table(&[(ABSENT, Nameless(Code::NoIdentity)), (NAMES, Counts)], Unreadable)
        }
        Role::Details => Nameless(Code::NoticeNoIdentity),
        Role::Created => in_table(&[(&[Time], Counts)], AsWithout),
        Role::Status | Role::Title => in_table(&[(TEXTS, Counts)], AsWithout),
        Role::Mode => in_table(&[(&[WordOfModes], AsTheModelSays), (TEXTS, AsLive)], AsWithout),
        Role::Goods => in_table(&[(&[WordOfGoods], AsTheModelSays)], AsWithout),
        Role::Managed => in_table(&[(&[No], AsTheModelSays)], AsWithout),
        Role::Variations => AsWithout,
        Role::Variation => in_table(&[(&[WithLines], Counts)], AsWithout),
        Role::DeletedRefunds => AsTheModelSays,
        Role::Lines | Role::RefundedLines | Role::Refunds => list(role, thing),
        Role::Line => element(thing, NO_QUANTITY, NO_QUANTITY),
        // Without a quantity it is about money.
        Role::RefundedLine => element(thing, AsWithout, AsWithout),
        Role::Refund => element(thing, AsWithout, NO_QUANTITY),
        Role::Quantity => quantity(thing, NO_QUANTITY),
        Role::RefundedQuantity => quantity(thing, AsWithout),
    }
}

/// A quantity is needed, or is there and is none.
const NO_QUANTITY: Then = Refused(Code::InvalidQuantity);

/// What becomes of a body with such a thing in the place of a line or refund: what an empty one
/// means, and one with lines of its own.
fn element(thing: Thing, empty: Then, with_lines: Then) -> Then {
    find(
        thing,
        &[(&[Missing], AsWithout), (&[Object], empty), (&[WithLines], with_lines)],
        Refused(Code::InvalidLine),
    )
}

/// What becomes of a body with such a thing in the place of a quantity, and what without one.
fn quantity(thing: Thing, absent: Then) -> Then {
    find(thing, &[(&[Whole, Zero, Fine], Counts), (&[Missing, Null], absent)], NO_QUANTITY)
}

/// What becomes of a body with such a thing in the place of a list.
fn list(role: Role, thing: Thing) -> Then {
    // An order without lines holds nothing, which is no order that says nothing of its lines.
    let (absent, empty) = if role == Role::Lines {
        (Refused(Code::InvalidItems), Counts)
    } else {
        (AsWithout, AsWithout)
    };
    // An empty refund says nothing, and so does an empty line of one; a line lacks its quantity.
    let of_objects = if role == Role::Lines { Refused(Code::InvalidQuantity) } else { AsWithout };
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
