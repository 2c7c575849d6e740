//! What the description of the API says of texts: which of them are accepted.
//!
//! In one place, because many parameters and members of bodies have the same form.

#![expect(clippy::indexing_slicing, reason = "of a JSON object, a member that is missing is null")]

use serde_json::{Map, Value, json};

use super::order_list::FLAGS;
use crate::domain::{Code, List};

/// A name from outside: at most 256 bytes without control characters, and no white space around it.
/// Patterns count characters, so longer names are described only where these are single bytes.
const NAME: &str = r"^[!-~]([ -~]{0,254}[!-~])?$|^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]{0,62}[^\s\x00-\x1f\x7f-\x9f])?$";
/// The start of a name, with the same limits.
const START: &str = r"^[ -~]{0,256}$|^[^\x00-\x1f\x7f-\x9f]{0,64}$";
/// A place in a list.
const CURSOR: &str = "^[A-Za-z0-9_-]+$";
/// A time in RFC 3339, or an age.
const PAST_TIME: &str = r"^[0-9]{1,4}(ms|s|m|h|d)$|^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-2]):[0-5][0-9])$";
/// A duration.
const DURATION: &str = "^[0-9]{1,4}(ms|s|m|h|d)$";
/// The id of a message, and several of them.
const ID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
const IDS: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(,[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}){0,99}$";
/// A quantity, and a difference of two.
const QUANTITY: &str = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?$";
const DIFFERENCE: &str = r"^-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?$";
/// The most units that one request may name, as a JSON number.
const UNITS_MAX: i64 = 1_000_000_000;

/// Adds the limits of parameters and bodies to a description.
pub(super) fn complete(document: &mut Value) {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, operations) in paths.into_iter().flatten() {
        for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let place = parameter["in"].as_str().unwrap_or_default();
                let name = parameter["name"].as_str().unwrap_or_default();
                let mut limits = of_parameter(path, place, name);
                // A parameter that is left out is not null: there is no text for that.
                limits["type"] = json!(if name == "limit" { "integer" } else { "string" });
                merge(parameter.get_mut("schema"), limits);
            }
        }
    }
    for (schema, property, limits) in of_bodies() {
        let place = format!("/components/schemas/{schema}/properties/{property}");
        merge(document.pointer_mut(&place), limits);
    }
    let base64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/][AQgw]==)?$";
    if let Some(body) = document.pointer_mut("/components/schemas/NewBody") {
        let properties = body["properties"].take();
        let one_of = [
            ("text", json!({"type": "string", "minLength": 1})),
            ("base64", json!({"type": "string", "minLength": 4, "pattern": base64})),
            ("revert", json!({"const": true})),
        ];
        let one_of = one_of.map(|(name, mut schema)| {
            schema["description"] = properties[name]["description"].clone();
            json!({
                "type": "object",
                "description": "One of text, base64 and revert.",
                "required": [name],
                "properties": {name: schema, "dry_run": properties["dry_run"].clone()},
                "additionalProperties": false,
            })
        });
        *body = json!({"description": body["description"].clone(), "oneOf": one_of});
    }
}

/// The limits of a parameter.
fn of_parameter(path: &str, place: &str, name: &str) -> Value {
    match (place, name) {
        ("path", "id") => json!({"format": "uuid", "pattern": ID}),
        ("path", _) | ("query", "site" | "key") => json!({"minLength": 1, "pattern": NAME}),
        ("query", "cursor" | "after") | ("header", "Last-Event-ID") => {
            json!({"minLength": 1, "maxLength": 1024, "pattern": CURSOR})
        }
        ("query", "q" | "status") => json!({"pattern": START}),
        ("query", "older_than" | "since") => json!({"pattern": PAST_TIME}),
        ("query", "reason") => json!({"enum": Code::ALL.map(Code::as_str)}),
        ("query", "flag") => json!({"enum": FLAGS.map(List::as_str)}),
        ("query", "id") => json!({"pattern": IDS}),
        ("query", "filter") if path.ends_with("/stock") => json!({"enum": ["oversold", "low"]}),
        ("query", "low") => json!({"pattern": QUANTITY}),
        _ => json!({}),
    }
}

/// The limits of members of bodies: the schema, the member, and what is added.
fn of_bodies() -> Vec<(&'static str, &'static str, Value)> {
    let name = || json!({"minLength": 1, "pattern": NAME});
    let maybe = |limits: Value| json!({"oneOf": [{"type": "null"}, with_type(limits)]});
    let units = |pattern: &str, min: i64| {
        json!({"type": null, "oneOf": [
            {"type": "string", "pattern": pattern},
            {"type": "integer", "minimum": min, "maximum": UNITS_MAX},
        ]})
    };
    let mut all = Vec::new();
    for schema in ["Goods", "Adjustment", "Count", "Void", "NewCorrection"] {
        all.push((schema, "reference", name()));
    }
    for schema in ["Adjustment", "NewCorrection"] {
        all.push((schema, "reason", name()));
    }
    for schema in ["Goods", "Count", "Void"] {
        all.push((schema, "reason", optional(maybe(name()))));
    }
    all.push(("Goods", "quantity", units(QUANTITY, 0)));
    all.push(("Count", "on_hand", units(QUANTITY, 0)));
    all.push(("Adjustment", "quantity", units(DIFFERENCE, -UNITS_MAX)));
    all.push(("NewCorrection", "action", json!({"enum": ["release", "hold", "ship"]})));
    let reasons = Code::ALL.map(Code::as_str);
    all.push(("Selection", "reason", optional(maybe(json!({"enum": reasons})))));
    all.push(("Selection", "site", optional(maybe(name()))));
    all.push(("Selection", "older_than", optional(maybe(json!({"pattern": PAST_TIME})))));
    let ids = json!({"type": "string", "format": "uuid", "pattern": ID});
    all.push(("Selection", "ids", json!({"maxItems": 100, "items": ids})));
    all.push(("NewReplay", "ramp", optional(maybe(json!({"pattern": DURATION})))));
    all
}

fn with_type(mut limits: Value) -> Value {
    limits["type"] = json!("string");
    limits
}

/// What may be null has its type in the alternatives.
fn optional(mut limits: Value) -> Value {
    limits["type"] = Value::Null;
    limits["maxLength"] = Value::Null;
    limits
}

/// Adds limits to a schema; one that is null removes what was there.
fn merge(schema: Option<&mut Value>, limits: Value) {
    let (Some(Value::Object(schema)), Value::Object(limits)) = (schema, limits) else { return };
    for (name, limit) in limits {
        if limit.is_null() {
            schema.remove(&name);
        } else {
            schema.insert(name, limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::PastTime;
    use crate::console::openapi::document;
    use crate::domain::Site;

    fn parameter<'a>(document: &'a Value, path: &str, name: &str) -> &'a Value {
        let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        &parameters.iter().find(|parameter| parameter["name"] == name).unwrap()["schema"]
    }

    #[test]
    fn every_text_from_outside_has_its_form() {
        let document = document();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let schema = &parameter["schema"];
                    let is_number = schema["maximum"].is_number();
                    let has_form = schema["pattern"].is_string() || schema["enum"].is_array();
                    assert!(is_number || has_form, "{path}: {parameter}");
                }
            }
        }
        for (schema, property, _) in of_bodies() {
            let place = format!("/components/schemas/{schema}/properties/{property}");
            assert!(document.pointer(&place).is_some(), "{place}");
        }
    }

    #[test]
    fn what_is_described_is_what_is_accepted() {
        let document = document();
        let reasons = parameter(&document, "/v1/dead-letters", "reason")["enum"].clone();
        assert_eq!(reasons.as_array().unwrap().len(), Code::ALL.len());
        for text in ["2h", "9999d", "2024-02-28T23:59:59.123456Z", "2099-12-01T00:00:00+12:59"] {
            PastTime::parse(text).unwrap();
        }
        let long = "x".repeat(256);
        let wide = "\u{1f600}".repeat(64);
        for name in ["a", &long, &wide] {
            Site::parse(name).unwrap();
        }
        let body = &document["components"]["schemas"]["NewBody"]["oneOf"];
        assert_eq!(body.as_array().unwrap().len(), 3, "{body}");
    }
}
