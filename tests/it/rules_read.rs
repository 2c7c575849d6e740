//! Which paths of a webhook the rules read.
//!
//! Written from the specification, not from the decoder: it is what the decoder is held to.

/// Whether any rule reads this path of such an event; list elements are written `[]`.
pub(crate) fn is_read(event_type: &str, path: &str) -> bool {
    let read: &[&[&str]] = match event_type {
        "ECOMM_ORDER_CREATED" | "ECOMM_ORDER_UPDATED" | "ECOMM_ORDER_STATUS_UPDATED" => {
            &[ENVELOPE, ORDER_NAMES, ORDER, LINE_NAMES, REFUNDS]
        }
        "ECOMM_ORDER_DELETED" => &[ENVELOPE, ORDER_NAMES, REFUNDS],
        "ECOMM_REFUND_CREATED" => &[ENVELOPE, REFUND],
        "ECOMM_PRODUCT_CREATED"
        | "ECOMM_PRODUCT_UPDATED"
        | "PRODUCT_CREATED"
        | "PRODUCT_UPDATED" => &[ENVELOPE, PRODUCT],
        "ECOMM_CATEGORY_CREATED"
        | "ECOMM_CATEGORY_UPDATED"
        | "CATEGORY_CREATED"
        | "CATEGORY_UPDATED" => &[ENVELOPE, CATEGORY],
        "ECOMM_PRODUCT_DELETED"
        | "PRODUCT_DELETED"
        | "ECOMM_CATEGORY_DELETED"
        | "CATEGORY_DELETED" => &[ENVELOPE, &["data.id"]],
        "STORE_ORDER_CREATED" | "STORE_ORDER_UPDATED" | "STORE_ORDER_DELETED" => {
            &[ENVELOPE, NOTICE, STORE_ORDER]
        }
        "STORE_PRODUCT_CREATED"
        | "STORE_PRODUCT_UPDATED"
        | "STORE_PRODUCT_DELETED"
        | "STORE_CATEGORY_CREATED"
        | "STORE_CATEGORY_UPDATED"
        | "STORE_CATEGORY_DELETED" => &[ENVELOPE, NOTICE],
        _ => &[&["event_type"]],
    };
    read.iter().any(|paths| paths.contains(&path))
}

const ENVELOPE: &[&str] =
    &["event_type", "resource_data", "resource_data.site_name", "event_timestamp", "data"];
/// What a deletion says of its order, too.
const ORDER_NAMES: &[&str] =
    &["data.id", "data.external_id", "data.invoice_number", "data.status", "data.mode"];
const ORDER: &[&str] =
    &["data.items", "data.items[]", "data.items[].quantity", "data.items[].name"];
const LINE_NAMES: &[&str] = &[
    "data.items[].id",
    "data.items[].variation_id",
    "data.items[].product_id",
    "data.items[].external_variation_id",
    "data.items[].external_product_id",
    "data.items[].sku",
];
const REFUNDS: &[&str] = &[
    "data.refunds",
    "data.refunds[]",
    "data.refunds[].id",
    "data.refunds[].created",
    "data.refunds[].items",
    "data.refunds[].items[]",
    "data.refunds[].items[].id",
    "data.refunds[].items[].quantity",
];
const REFUND: &[&str] = &[
    "data.id",
    "data.order_id",
    "data.created",
    "data.items",
    "data.items[]",
    "data.items[].id",
    "data.items[].quantity",
];
const PRODUCT: &[&str] = &[
    "data.id",
    "data.name",
    "data.type",
    "data.managed_inventory",
    "data.external_id",
    "data.sku",
    "data.variations",
    "data.variations[]",
    "data.variations[].id",
    "data.variations[].external_id",
    "data.variations[].sku",
];
const CATEGORY: &[&str] = &["data.id", "data.title"];
const NOTICE: &[&str] = &["data.siteAlias", "data.storeId", "data.entityId"];
const STORE_ORDER: &[&str] = &[
    "data.data",
    "data.data.orderId",
    "data.data.newPaymentStatus",
    "data.data.newFulfillmentStatus",
];
