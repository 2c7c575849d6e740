//! The bodies of order and refund events, in the shapes of Duda's own samples.
//!
//! Three shapes occur: the guide's (no ids, amounts as numbers, a name given twice), the
//! reference's (amounts as texts) and the newer one of orders that an API created (nulls). All
//! people, addresses and cards are invented.

use super::dice::Dice;
use super::json::{Fields, Json, Layout};
use super::shop::{Naming, Product, Shop, Variation};

/// What names an order; the same in all its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// `id`, and often the others too.
    Id,
    /// `external_id` and `invoice_number`.
    ExternalId,
    /// `invoice_number` alone.
    InvoiceNumber,
}

/// The shape of an order's bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Guide,
    Reference,
    Api,
}

/// How quantities are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuantityForm {
    /// `2` or `1.25`
    Plain,
    /// `2.00` or `1.25`
    Decimals,
    /// `"2"`
    Text,
    /// `20e-1`
    Exponent,
}

/// What does not change in an order.
#[derive(Debug, Clone)]
pub(super) struct Order<'a> {
    pub(super) shop: &'a Shop,
    pub(super) identity: Identity,
    pub(super) shape: Shape,
    pub(super) quantity_form: QuantityForm,
    pub(super) layout: Layout,
    pub(super) id: String,
    pub(super) external_id: String,
    pub(super) invoice_number: String,
    /// `None` leaves the field out.
    pub(super) mode: Option<&'static str>,
    pub(super) created_at_ms: i64,
    pub(super) customer: Customer,
    pub(super) metadata: Json,
}

/// An invented person.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    first_name: &'static str,
    last_name: &'static str,
    street: &'static str,
    number: u64,
    city: (&'static str, &'static str, &'static str),
    card: String,
    address: String,
}

/// A line of an order.
#[derive(Debug, Clone)]
pub(super) struct OrderLine<'a> {
    pub(super) id: Option<String>,
    pub(super) product: &'a Product,
    pub(super) variation: Option<&'a Variation>,
    /// The quantity in quarters of a unit.
    pub(super) quarters: u64,
}

/// A refund of some lines of an order.
#[derive(Debug, Clone)]
pub(super) struct OrderRefund {
    pub(super) id: String,
    /// Line ids and quarters of a unit.
    pub(super) lines: Vec<(String, u64)>,
    pub(super) cents: u64,
}

/// An order at one moment.
#[derive(Debug, Clone)]
pub(super) struct Picture<'a> {
    pub(super) order: &'a Order<'a>,
    pub(super) lines: &'a [OrderLine<'a>],
    pub(super) refunds: &'a [OrderRefund],
    pub(super) status: &'static str,
}

const FIRST_NAMES: [&str; 8] =
    ["Anouk", "Björn", "Chidi", "Dolores", "Emre", "Frida", "Gaël", "Hanako"];
const LAST_NAMES: [&str; 8] =
    ["Abbott", "Benoît", "Castellanos", "Dvořák", "Eriksen", "Fujimoto", "Grünwald", "Hollis"];
const STREETS: [&str; 6] =
    ["Quarry Lane", "Rue des Tilleuls", "Mill Road", "Lindenstraße", "Harbour Walk", "Calle Mayor"];
const CITIES: [(&str, &str, &str); 6] = [
    ("Northfield", "CO", "US"),
    ("Lille", "Hauts-de-France", "FR"),
    ("Eastbrook", "ON", "CA"),
    ("Köln", "NW", "DE"),
    ("Port Alma", "QLD", "AU"),
    ("Zaragoza", "AR", "ES"),
];

impl Customer {
    pub(super) fn invent(dice: &mut Dice) -> Self {
        Self {
            first_name: *dice.pick(&FIRST_NAMES),
            last_name: *dice.pick(&LAST_NAMES),
            street: *dice.pick(&STREETS),
            number: dice.between(1, 240),
            city: *dice.pick(&CITIES),
            card: format!("{:04}", dice.below(10_000)),
            // A block that is kept for documentation.
            address: format!("192.0.2.{}", dice.between(1, 254)),
        }
    }

    fn email(&self) -> String {
        format!("customer.{}.{}@example.com", self.card, self.number)
    }

    fn address(&self) -> Json {
        let (city, region, country) = self.city;
        let full_name = format!("{} {}", self.first_name, self.last_name);
        Json::Object(vec![
            ("name", Json::text(&full_name)),
            ("first_name", Json::text(self.first_name)),
            ("last_name", Json::text(self.last_name)),
            ("full_name", Json::text(&full_name)),
            ("address_1", Json::text(format!("{} {}", self.number, self.street))),
            ("address_2", Json::Null),
            ("street_number", Json::text(self.number.to_string())),
            ("street_name", Json::text(self.street)),
            ("city", Json::text(city)),
            ("sub_locality", Json::Null),
            ("region", Json::text(region)),
            ("country", Json::text(country)),
            ("postal_code", Json::text(format!("{:05}", self.number * 271))),
            ("phone", Json::text(format!("555-01{:02}", self.number % 100))),
        ])
    }
}

impl OrderLine<'_> {
    /// The line's price, in cents.
    pub(super) fn cents(&self) -> u64 {
        self.product.price_cents * self.quarters / 4
    }

    fn fields(&self, order: &Order<'_>) -> Fields {
        let product = self.product;
        let (variation, product_id, external_variation, external_product, sku) =
            match product.naming {
                Naming::Variation => (true, true, false, true, true),
                Naming::Product => (false, true, false, order.shape == Shape::Api, true),
                Naming::ExternalVariation => (false, false, true, true, true),
                Naming::ExternalProduct => (false, false, false, true, true),
                Naming::Sku => (false, false, false, false, true),
                Naming::Bespoke => (false, false, false, false, false),
            };
        let of_variation = |wanted: bool, name: fn(&Variation) -> &String| {
            Json::or_null(self.variation.filter(|_| wanted).map(name))
        };
        let when = |wanted: bool, name: &String| Json::or_null(wanted.then_some(name));
        let options = self.variation.map(|variation| {
            Json::Object(vec![("name", Json::text("Size")), ("value", Json::text(variation.label))])
        });
        let mut fields = Vec::with_capacity(20);
        if let Some(id) = &self.id {
            fields.push(("id", Json::text(id)));
        }
        fields.extend([
            ("product_id", when(product_id, &product.id)),
            ("variation_id", of_variation(variation, |variation| &variation.id)),
            ("external_product_id", when(external_product, &product.external_id)),
            (
                "external_variation_id",
                of_variation(external_variation, |variation| &variation.external_id),
            ),
            ("name", Json::text(product.name)),
            ("image", Json::text(format!("https://img.example.com/{}.jpg", product.sku))),
            // An empty name is no name.
            ("sku", if sku { Json::text(&product.sku) } else { Json::text("") }),
            ("options", Json::List(options.into_iter().collect())),
            ("quantity", order.quantity_form.write(self.quarters)),
            ("shippable", Json::Bool(product.naming != Naming::Bespoke)),
            ("unit_price", order.shape.amount(product.price_cents)),
            ("unit_weight", Json::Null),
            ("unit_dimensions", Json::Null),
            ("total", order.shape.amount(self.cents())),
            ("combined_weight", Json::number(0)),
            ("metadata", order.metadata.clone()),
        ]);
        fields
    }
}

impl OrderRefund {
    /// The refund as an order carries it, and as the data of an event.
    pub(super) fn fields(&self, order: &Order<'_>) -> Fields {
        let lines = self.lines.iter().map(|(line, quarters)| {
            Json::Object(vec![
                ("id", Json::text(line)),
                ("quantity", order.quantity_form.write(*quarters)),
                ("amount", Json::text(amount(self.cents))),
                ("taxes", Json::List(vec![tax(self.cents, order.shape)])),
            ])
        });
        vec![
            ("id", Json::text(&self.id)),
            ("order_id", Json::text(&order.id)),
            ("transaction_id", Json::Null),
            ("reason", Json::text("It was not the colour that the picture shows.")),
            ("items", Json::List(lines.collect())),
            ("currency", Json::text("EUR")),
            ("subtotal", Json::text(amount(self.cents))),
            ("total", Json::text(amount(self.cents))),
        ]
    }
}

impl Shape {
    fn amount(self, cents: u64) -> Json {
        match self {
            Self::Guide => Json::Number(amount(cents)),
            Self::Reference | Self::Api => Json::Text(amount(cents)),
        }
    }
}

impl QuantityForm {
    fn write(self, quarters: u64) -> Json {
        let (units, hundredths) = (quarters / 4, quarters % 4 * 25);
        match self {
            Self::Decimals => Json::Number(format!("{units}.{hundredths:02}")),
            Self::Exponent => Json::Number(format!("{}e-2", units * 100 + hundredths)),
            Self::Plain | Self::Text => {
                let plain = match hundredths {
                    0 => units.to_string(),
                    50 => format!("{units}.5"),
                    _ => format!("{units}.{hundredths:02}"),
                };
                if self == Self::Plain { Json::Number(plain) } else { Json::Text(plain) }
            }
        }
    }
}

/// Cents as an amount of money.
pub(super) fn amount(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn tax(cents: u64, shape: Shape) -> Json {
    Json::Object(vec![
        ("name", Json::text("Sales tax")),
        ("amount", shape.amount(cents / 10)),
        ("rate", Json::Number("0.10".to_owned())),
    ])
}

impl Picture<'_> {
    /// The `data` of an order event.
    pub(super) fn data(&self) -> Json {
        let order = self.order;
        let subtotal: u64 = self.lines.iter().map(OrderLine::cents).sum();
        let lines = self.lines.iter().map(|line| Json::Object(line.fields(order)));
        let mut data = Vec::with_capacity(40);
        data.extend(order.mode.map(|mode| ("mode", Json::text(mode))));
        data.extend(self.identity());
        data.extend([
            ("currency", Json::text("EUR")),
            ("status", Json::text(self.status)),
            ("email", Json::text(order.customer.email())),
            ("items", Json::List(lines.collect())),
            ("billing_address", order.customer.address()),
            ("shipping_address", order.customer.address()),
            ("shipping_method", self.shipping_method()),
            ("shipping_instructions", Json::text("Please ring twice;\tthe bell is shy.")),
            ("discounts", Json::List(Vec::new())),
            ("taxes", Json::List(vec![tax(subtotal, order.shape)])),
            ("subtotal", order.shape.amount(subtotal)),
            ("total", order.shape.amount(subtotal + 650)),
            ("payment", self.payment()),
            ("refunds", self.refunds()),
            ("tracking_url", Json::Null),
            ("tracking_number", Json::Null),
            ("created", Json::text(created(order.created_at_ms))),
            (
                "user_agent",
                Json::text(
                    "Mozilla/5.0 (compatible; ExampleBrowser/118.2; simulated) Gecko/20240101",
                ),
            ),
            ("ip_address", Json::text(&order.customer.address)),
            ("metadata", order.metadata.clone()),
        ]);
        Json::Object(data)
    }

    fn identity(&self) -> Fields {
        let order = self.order;
        let id = ("id", Json::text(&order.id));
        let external = ("external_id", Json::text(&order.external_id));
        let invoice = ("invoice_number", Json::text(&order.invoice_number));
        // The guide gives the number twice; the last one counts.
        let draft = ("invoice_number", Json::text(format!("{}-DRAFT", order.invoice_number)));
        match (order.identity, order.shape) {
            (Identity::Id, Shape::Api) => {
                vec![("source", Json::text("EXTERNAL")), id, external, invoice]
            }
            (Identity::Id, _) => vec![id, invoice],
            (Identity::ExternalId, _) => vec![draft, external, invoice],
            (Identity::InvoiceNumber, _) => vec![("external_id", Json::Null), draft, invoice],
        }
    }

    fn shipping_method(&self) -> Json {
        Json::Object(vec![
            ("name", Json::text("Parcel post")),
            ("cost", self.order.shape.amount(650)),
        ])
    }

    fn payment(&self) -> Json {
        let order = self.order;
        let is_card = order.shape != Shape::Api;
        Json::Object(vec![
            ("transaction_id", Json::text(format!("tx_{}", order.id))),
            ("status", Json::text("PAID")),
            ("currency", Json::text("EUR")),
            ("method", Json::text(if is_card { "CreditCard" } else { "Other" })),
            ("card_brand", Json::or_null(is_card.then_some("EXAMPLE"))),
            ("card_last_4", Json::or_null(is_card.then_some(&order.customer.card))),
        ])
    }

    fn refunds(&self) -> Json {
        let order = self.order;
        let refunds = self.refunds.iter().map(|refund| Json::Object(refund.fields(order)));
        let nothing = (order.shape == Shape::Guide).then(|| Json::Object(Vec::new()));
        Json::List(refunds.chain(nothing).collect())
    }
}

/// The fields of a body around some data.
pub(super) fn envelope(data: Option<Json>, site: &str, at_ms: i64, event_type: &str) -> Fields {
    let mut fields: Fields = data.into_iter().map(|data| ("data", data)).collect();
    fields.extend([
        ("source", Json::Null),
        ("resource_data", Json::Object(vec![("site_name", Json::text(site))])),
        ("event_timestamp", Json::number(at_ms)),
        ("event_type", Json::text(event_type)),
    ]);
    fields
}

/// A time as Duda writes it.
fn created(at_ms: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000);
    let at = at.expect("the history is in 2024");
    at.format(&time::format_description::well_known::Rfc3339).expect("a year of four digits")
}
