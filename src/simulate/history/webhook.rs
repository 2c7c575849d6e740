//! The bodies of order and refund events, in the shapes of Duda's own samples.
//!
//! Three shapes occur: the guide's (no ids, amounts as numbers, one name given twice), the
//! reference's (amounts as texts), and the newer one of orders created through an API (nulls).

use super::customer::Customer;
use super::json::{Fields, Json, Layout};
use super::shop::{Naming, Product, Shop, Variation};
use super::spelling::{NameForm, QuantityForm, StatusForm};

/// Which names an order has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// `id` and `invoice_number`.
    Id,
    /// All three.
    Several,
    /// All three, and the external id is the same for all orders of the shop.
    Constant,
    /// `external_id` and `invoice_number`.
    ExternalId,
    /// `invoice_number` alone.
    InvoiceNumber,
}

/// Which names one event carries, for an order that has an id and an external id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Borne {
    All,
    IdOnly,
    ExternalIdOnly,
}

/// The shape of an order's bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Guide,
    Reference,
    Api,
}

/// The parts of an order that do not change.
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
    /// Whether the ids of the order and of its lines are numbers.
    pub(super) has_numeric_ids: bool,
    /// Whether the shop's SKUs have white space around them.
    pub(super) pads_skus: bool,
    /// `None` leaves the field out of all events.
    pub(super) mode: Option<&'static str>,
    pub(super) created_at_ms: i64,
    pub(super) customer: Customer,
    pub(super) metadata: Json,
}

/// A line of an order.
#[derive(Debug, Clone)]
pub(super) struct OrderLine<'a> {
    pub(super) id: Option<String>,
    pub(super) product: &'a Product,
    pub(super) variation: Option<&'a Variation>,
    /// The quantity in quarters of a unit.
    pub(super) quarters: u64,
    /// Whether the product was deleted, so that its ids are no longer known.
    pub(super) is_discontinued: bool,
}

/// A refund of some lines of an order.
#[derive(Debug, Clone)]
pub(super) struct OrderRefund {
    pub(super) id: String,
    /// Line ids and quarters of a unit.
    pub(super) lines: Vec<(String, u64)>,
    pub(super) cents: u64,
    /// `created` as it is written; `None` leaves the field out.
    pub(super) created: Option<String>,
    /// Whether orders now list it without its lines.
    pub(super) is_stub: bool,
}

/// The state of an order at one moment.
#[derive(Debug, Clone)]
pub(super) struct Picture<'a> {
    pub(super) order: &'a Order<'a>,
    pub(super) lines: &'a [OrderLine<'a>],
    pub(super) refunds: &'a [OrderRefund],
    pub(super) status: &'static str,
    pub(super) wording: Wording,
}

/// How one event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wording {
    pub(super) borne: Borne,
    pub(super) has_mode: bool,
    pub(super) names: NameForm,
    pub(super) status: StatusForm,
}

impl OrderLine<'_> {
    /// Returns the line's price in cents.
    pub(super) fn cents(&self) -> u64 {
        self.product.price_cents * self.quarters / 4
    }

    fn fields(&self, order: &Order<'_>, names: NameForm) -> Fields {
        let product = self.product;
        let (variation, product_id, external_variation, external_product, sku) =
            match product.naming {
                // The names that the order's own table still has.
                Naming::Variation | Naming::Product | Naming::ExternalVariation
                    if self.is_discontinued =>
                {
                    (false, false, false, false, true)
                }
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
            fields.push(("id", names.write(id)));
        }
        let sku_form = if order.pads_skus { NameForm::Padded } else { NameForm::Text };
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
            // An empty name is not a name.
            ("sku", if sku { sku_form.write(&product.sku) } else { Json::text("") }),
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
    /// Returns the refund as an order lists it.
    fn listed(&self, order: &Order<'_>, names: NameForm) -> Fields {
        if self.is_stub {
            vec![
                ("id", Json::text(&self.id)),
                ("reason", Json::text("It was not the colour that the picture shows.")),
                ("total", Json::text(format!("-{}", amount(self.cents)))),
            ]
        } else {
            self.fields(order, names)
        }
    }

    /// Returns the refund as the data of an event.
    pub(super) fn fields(&self, order: &Order<'_>, names: NameForm) -> Fields {
        let lines = self.lines.iter().map(|(line, quarters)| {
            Json::Object(vec![
                ("id", names.write(line)),
                ("quantity", order.quantity_form.write(*quarters)),
                ("amount", Json::text(amount(self.cents))),
                ("taxes", Json::List(vec![tax(self.cents, order.shape)])),
            ])
        });
        let mut fields = vec![
            ("id", Json::text(&self.id)),
            ("order_id", names.write(&order.id)),
            ("transaction_id", Json::Null),
            ("reason", Json::text("It was not the colour that the picture shows.")),
            ("items", Json::List(lines.collect())),
            ("currency", Json::text("EUR")),
            ("subtotal", Json::text(amount(self.cents))),
            ("total", Json::text(amount(self.cents))),
        ];
        fields.extend(self.created.as_ref().map(|created| ("created", Json::text(created))));
        fields
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

/// Formats cents as an amount of money.
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
    /// Returns the `data` of an order event.
    pub(super) fn data(&self) -> Json {
        let order = self.order;
        let subtotal: u64 = self.lines.iter().map(OrderLine::cents).sum();
        let Wording { has_mode, names, status, .. } = self.wording;
        let lines = self.lines.iter().map(|line| Json::Object(line.fields(order, names)));
        let mut data = Vec::with_capacity(40);
        data.extend(order.mode.filter(|_| has_mode).map(|mode| ("mode", Json::text(mode))));
        data.extend(self.identity());
        data.extend([
            ("currency", Json::text("EUR")),
            ("status", status.write(self.status)),
            ("email", Json::text(order.customer.email())),
            ("items", Json::List(lines.collect())),
            ("billing_address", order.customer.postal_address()),
            ("shipping_address", order.customer.postal_address()),
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
            ("ip_address", Json::text(&order.customer.ip_address)),
            ("metadata", order.metadata.clone()),
        ]);
        Json::Object(data)
    }

    fn identity(&self) -> Fields {
        let order = self.order;
        let Wording { borne, names, .. } = self.wording;
        let id =
            ("id", names.write_or_null(Some(&order.id).filter(|_| borne != Borne::ExternalIdOnly)));
        let external = Some(&order.external_id).filter(|_| borne != Borne::IdOnly);
        let external = ("external_id", names.write_or_null(external));
        let invoice = ("invoice_number", names.write(&order.invoice_number));
        // The guide gives the number twice; the last one counts.
        let draft = ("invoice_number", Json::text(format!("{}-DRAFT", order.invoice_number)));
        match order.identity {
            Identity::Several | Identity::Constant => {
                vec![("source", Json::text("EXTERNAL")), id, external, invoice]
            }
            Identity::Id => vec![id, invoice],
            Identity::ExternalId => vec![draft, external, invoice],
            Identity::InvoiceNumber => vec![("external_id", Json::Null), draft, invoice],
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
        let names = self.wording.names;
        let refunds = self.refunds.iter().map(|refund| Json::Object(refund.listed(order, names)));
        let nothing = (order.shape == Shape::Guide).then(|| Json::Object(Vec::new()));
        Json::List(refunds.chain(nothing).collect())
    }
}

/// Returns the fields of a body around some data.
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

/// Formats a time as Duda writes it.
fn created(at_ms: i64) -> String {
    rfc3339(at_ms, time::UtcOffset::UTC)
}

/// Formats a time in RFC 3339.
pub(super) fn rfc3339(at_ms: i64, offset: time::UtcOffset) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000);
    let at = at.expect("the history is in 2024").to_offset(offset);
    at.format(&time::format_description::well_known::Rfc3339).expect("a year of four digits")
}
