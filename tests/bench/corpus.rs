//! Webhooks of orders: bodies of the usual size and shape, the same for the same numbers.

use std::fmt::Write;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// How many lines an order has, in the mean.
pub(crate) const LINES: u32 = 3;
const SITES: u32 = 20;
/// How many products each site has.
pub(crate) const PRODUCTS: u32 = 200;
/// How many places late a webhook of [`mixed`] may be.
const LATE_MAX: u32 = 400;
const FIRST_MS: u64 = 1_705_083_178_000;

/// The body of an order and that of a line, in which every second part is the name of a value.
static ORDER: LazyLock<Vec<String>> = LazyLock::new(|| parts(&order_template()));
static LINE: LazyLock<Vec<String>> = LazyLock::new(|| parts(&line_template()));

/// What a webhook says of an order.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    order: u32,
    site: u32,
    at_ms: u64,
    kind: &'static str,
    status: &'static str,
    /// Product and quantity of each line.
    lines: Vec<(u32, u32)>,
}

impl Webhook {
    /// The creation of an order of these products.
    pub(crate) fn creation(order: u32, site: u32, products: impl IntoIterator<Item = u32>) -> Self {
        let lines = products.into_iter().zip(1..).collect();
        let (kind, status) = ("ECOMM_ORDER_CREATED", "PROCESSED");
        Self { order, site, at_ms: FIRST_MS + u64::from(order) * 40, kind, status, lines }
    }

    /// The creation of an order of three lines, at one of the sites in turn.
    pub(crate) fn usual(order: u32) -> Self {
        let products = (0..LINES).map(|line| (order / SITES * 7 + line * 61) % PRODUCTS);
        Self::creation(order, order % SITES, products)
    }

    /// An update of the order so many milliseconds later, with one more of its first line.
    pub(crate) fn update(mut self, later_ms: u64) -> Self {
        self.lines.iter_mut().take(1).for_each(|(_, quantity)| *quantity += 1);
        Self { at_ms: self.at_ms + later_ms, kind: "ECOMM_ORDER_UPDATED", ..self }
    }

    pub(crate) fn body(&self) -> String {
        let mut body = String::with_capacity(4096);
        fill(&mut body, &ORDER, &|body, name| match name {
            "order" => write!(body, "{}", self.order),
            "site" => write!(body, "{}", self.site),
            "timestamp" => write!(body, "{}", self.at_ms),
            "kind" => body.write_str(self.kind),
            "status" => body.write_str(self.status),
            _ => {
                for (number, (product, quantity)) in self.lines.iter().enumerate() {
                    body.push_str(if number == 0 { "" } else { "," });
                    fill(body, &LINE, &|body, name| match name {
                        "order" => write!(body, "{}", self.order),
                        "line" => write!(body, "{number}"),
                        "product" => write!(body, "{product}"),
                        _ => write!(body, "{quantity}"),
                    });
                }
                Ok(())
            }
        });
        body
    }
}

/// Webhooks of orders of one to five lines, of which some are updated, cancelled or deleted; they
/// are late by up to [`LATE_MAX`] places, and a tenth is repeated.
pub(crate) fn mixed(webhooks: usize) -> Vec<Webhook> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut written: Vec<Webhook> = Vec::new();
    for order in 0.. {
        // What is late at the end needs something to be later than.
        if written.len() > webhooks + LATE_MAX as usize {
            break;
        }
        let products: Vec<u32> = (0..random.random_range(1..2 * LINES))
            .map(|_| random.random_range(0..PRODUCTS))
            .collect();
        let mut last = Webhook::creation(order, random.random_range(0..SITES), products);
        written.push(last.clone());
        for _ in 0..[0, 0, 1, 1, 2][random.random_range(0..5)] {
            last = last.update(random.random_range(1..20_000));
            written.push(last.clone());
        }
        if random.random_bool(0.12) {
            last = Webhook { status: "CANCELLED", ..last.update(random.random_range(1..20_000)) };
            written.push(last.clone());
        }
        if random.random_bool(0.08) {
            let kind = "ECOMM_ORDER_DELETED";
            written.push(Webhook { kind, ..last.update(random.random_range(1..20_000)) });
        }
    }
    written.sort_by_key(|webhook| webhook.at_ms);
    let mut placed = Vec::new();
    for (place, webhook) in (0..).zip(written) {
        for _ in 0..=u32::from(random.random_bool(0.1)) {
            placed.push((place + random.random_range(0..LATE_MAX), webhook.clone()));
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, webhook)| webhook).take(webhooks).collect()
}

/// Requests that are ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Corpus {
    text: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Corpus {
    /// The requests with these bodies.
    pub(crate) fn of<B: AsRef<[u8]>>(bodies: impl IntoIterator<Item = B>) -> Arc<Self> {
        let mut corpus = Self::default();
        for body in bodies {
            let (began, body) = (corpus.text.len(), body.as_ref());
            let head = format!(
                "POST /webhooks/duda HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n",
                body.len()
            );
            corpus.text.extend_from_slice(head.as_bytes());
            corpus.text.extend_from_slice(body);
            corpus.places.push(began..corpus.text.len());
        }
        Arc::new(corpus)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// How large a request is, in the mean.
    pub(crate) fn bytes_mean(&self) -> usize {
        self.text.len() / self.places.len()
    }

    pub(crate) fn request(&self, place: usize) -> &[u8] {
        &self.text[self.places[place].clone()]
    }
}

fn fill(
    body: &mut String,
    parts: &[String],
    value: &dyn Fn(&mut String, &str) -> std::fmt::Result,
) {
    for (index, part) in parts.iter().enumerate() {
        if index % 2 == 0 {
            body.push_str(part);
        } else {
            value(body, part).unwrap();
        }
    }
}

/// Cuts a template at its names, those in capitals with the quotes around them.
fn parts(template: &serde_json::Value) -> Vec<String> {
    let text = template.to_string();
    let bare = ["timestamp", "items", "quantity"];
    let text = bare.into_iter().fold(text, |text, name| {
        let name = format!("~{name}~");
        text.replace(&format!("\"{name}\""), &name)
    });
    text.split('~').map(str::to_owned).collect()
}

fn line_template() -> serde_json::Value {
    json!({
        "id": "line-~order~-~line~", "product_id": "product-~product~", "variation_id": null,
        "name": "An example of a product", "quantity": "~quantity~",
        "image": "https://shop.example.com/images/an-example-of-a-product.jpg",
        "options": [{"name": "Size", "value": "Small"}], "unit_price": "45.00",
        "unit_weight": null, "unit_dimensions": null, "total": "45.00", "combined_weight": 0,
        "metadata": {},
    })
}

fn order_template() -> serde_json::Value {
    let address = json!({
        "name": "Example Buyer", "first_name": "Example", "last_name": "Buyer",
        "full_name": "Example Buyer", "address_1": "1 Example Street", "address_2": null,
        "street_number": "1", "street_name": "Example Street", "city": "Example",
        "sub_locality": null, "region": "EX", "country": "US", "postal_code": "00000",
        "phone": "000-0000",
    });
    json!({
        "data": {
            "mode": "LIVE", "id": "order-~order~", "status": "~status~",
            "email": "buyer@example.com", "invoice_number": "EX-~order~", "items": ["~items~"],
            "billing_address": address, "shipping_address": address,
            "shipping_method": {"name": "Zone 1", "cost": "14.00"},
            "shipping_instructions": "Leave it at the door", "discounts": [],
            "taxes": [{"name": "Tax", "amount": "8.85", "rate": 0.15}], "subtotal": "90.00",
            "total": "112.85", "refunds": [], "tracking_url": null, "tracking_number": null,
            "payment": {
                "transaction_id": "tx-~order~", "status": "PAID", "currency": "USD",
                "method": "CreditCard", "card_brand": "EXAMPLE", "card_last_4": "0000",
            },
            "created": "2024-01-12T18:12:58Z", "ip_address": "192.0.2.1",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) ExampleBrowser/1.0", "metadata": {},
        },
        "source": null,
        "resource_data": {"site_name": "shop-~site~"},
        "event_timestamp": "~timestamp~",
        "event_type": "~kind~",
    })
}
