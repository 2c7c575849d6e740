//! Quantities: exact, rounded at six decimals, bounded.

use super::bodies::{counts, dead, with};
use super::*;

fn body(quantity: &str) -> String {
    with("/data/items", Some(json!([{"sku": "S", "quantity": "Q"}]))).replace("\"Q\"", quantity)
}

#[test]
fn every_form_of_a_number_is_read_exactly() {
    for (text, expected) in [
        ("1", "1"),
        ("1.0", "1"),
        ("1.25", "1.25"),
        ("1e2", "100"),
        ("12.5e-1", "1.25"),
        ("1E+2", "100"),
        ("0", "0"),
        ("0.0e999999999999999999999", "0"),
        ("0.1000000000000000000000000000000", "0.1"),
        ("100000000000000000000e-20", "1"),
        ("999999999.999999", "999999999.999999"),
        ("1000000000.000", "1000000000"),
        ("0.000001", "0.000001"),
    ] {
        let found = quantity_of(text).map(|quantity| quantity.normalize().to_string());
        assert_eq!(found.as_deref(), Some(expected), "{text}");
        counts(body(text));
        counts(body(&format!("\"{text}\"")));
    }
}

#[test]
fn what_is_finer_than_six_decimals_is_rounded_half_to_even() {
    for (text, expected) in [
        ("0.30000000000000004", "0.3"),
        ("1.0000005", "1"),
        ("1.0000015", "1.000002"),
        ("1.00000050000001", "1.000001"),
        ("1.0000004999", "1"),
        ("1.0000006", "1.000001"),
        ("0.0000005", "0"),
        ("0.00000051", "0.000001"),
        ("0.0000009", "0.000001"),
        ("9e-7", "0.000001"),
        ("1e-7", "0"),
        ("1e-8", "0"),
        ("1e-999999999999999999999", "0"),
        ("0.9999996", "1"),
        // The limit applies after rounding.
        ("1000000000.0000005", "1000000000"),
    ] {
        let found = quantity_of(text).map(|quantity| quantity.normalize().to_string());
        assert_eq!(found.as_deref(), Some(expected), "{text}");
    }
    holds(
        &[changed(AT, json!({"items": [{"sku": "S", "quantity": 0.300_000_000_000_000_04}]}))],
        &["sku:S 0.3/0"],
    );
}

#[test]
fn anything_else_is_no_quantity() {
    for text in [
        "-1",
        "-0",
        "\"-0.0\"",
        "-1e-9",
        "1000000000.000001",
        "1000000000.00000051",
        "1e10",
        "1e999999999999999999999",
        "null",
        "true",
        "[]",
        "\"\"",
        "\" 1\"",
        "\"1 \"",
        "\"01\"",
        "\"1.\"",
        "\".5\"",
        "\"+1\"",
        "\"1e\"",
        "\"NaN\"",
        "\"0x1\"",
        "\"1,5\"",
        "\"١\"",
    ] {
        dead(body(text), "decode.invalid_quantity");
    }
    dead(with("/data/items", Some(json!([{}]))), "decode.invalid_quantity");
}

#[test]
fn the_limit_is_a_lines_and_not_an_items() {
    let most = json!({"sku": "S", "quantity": 1_000_000_000});
    let body = changed(AT, json!({"items": [most, most, {"sku": "S", "quantity": "0.5"}]}));
    holds(&[body], &["sku:S 2000000000.5/0"]);
}
