//! An order of the usual size and shape.

use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::end_to_end::{LINES, PRODUCTS};

/// Orders are of so many sites in turn.
pub(crate) const SITES: u32 = 4;

/// The body, where every second part is the name of what stands there: making one must cost the
/// clients little.
static PARTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let text = template().replace("\"~timestamp~\"", "~timestamp~");
    text.split('~').map(str::to_owned).collect()
});

/// The creation of this order.
pub(crate) fn of(order: u32) -> String {
    let value = |name: &str| match name {
        "order" => u64::from(order),
        "site" => u64::from(order % SITES),
        "timestamp" => 1_705_083_178_000 + u64::from(order),
        line => u64::from((order * 7 + line.parse::<u32>().unwrap() * 131) % PRODUCTS),
    };
    let mut body = String::with_capacity(3000);
    for (index, part) in PARTS.iter().enumerate() {
        if index % 2 == 0 {
            body.push_str(part);
        } else {
            write!(body, "{}", value(part)).unwrap();
        }
    }
    body
}

fn template() -> String {
    let address = json!({
        "name": "Example Buyer", "first_name": "Example", "last_name": "Buyer",
        "full_name": "Example Buyer", "address_1": "1 Example Street", "address_2": null,
        "street_number": "1", "street_name": "Example Street", "city": "Example",
        "sub_locality": null, "region": "EX", "country": "US", "postal_code": "00000",
        "phone": "000-0000",
    });
    let items: Vec<Value> = (0..LINES)
        .map(|line| {
            json!({
                "id": format!("line-~order~-{line}"), "product_id": format!("product-~{line}~"),
                "variation_id": null, "name": "An example of a product", "quantity": 1 + line,
                "image": "https://shop.example.com/images/an-example-of-a-product.jpg",
                "options": [{"name": "Size", "value": "Small"}], "unit_price": "45.00",
                "unit_weight": null, "unit_dimensions": null, "total": "45.00",
                "combined_weight": 0, "metadata": {},
            })
        })
        .collect();
    json!({
        "data": {
            "mode": "LIVE", "id": "order-~order~", "status": "PROCESSED",
            "email": "buyer@example.com", "invoice_number": "EX-~order~", "items": items,
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
        "event_type": "ECOMM_ORDER_CREATED",
    })
    .to_string()
}
