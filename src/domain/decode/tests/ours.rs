//! The bodies of our own publishers: receipts and corrections.

use serde_json::json;

use super::*;
use crate::domain::{decode_correction, decode_receipt};

#[test]
fn receipts_are_goods_a_count_or_a_void() {
    let with = |extra: &Value| {
        let mut body = json!({"site": "shop", "key": "sku:S", "reference": "r"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        decode_receipt(body.to_string().as_bytes())
    };
    let content = |extra: Value| {
        let Content::Receipt(event) = with(&extra).unwrap().content else {
            panic!("it is no receipt")
        };
        event.content
    };
    let units = |units: i64| Quantity::from_millionths(units * 500_000);
    for (quantity, expected) in [("2.5", 5), ("-3", -6), ("0", 0)] {
        let goods = ReceiptContent::Goods { quantity: units(expected) };
        assert_eq!(content(json!({"quantity": quantity})), goods);
    }
    let count = ReceiptContent::Count { on_hand: units(14), difference: units(-6) };
    assert_eq!(content(json!({"on_hand": "7", "difference": "-3"})), count);
    assert_eq!(content(json!({"void": true})), ReceiptContent::Void);
    let noted = with(&json!({"quantity": "1", "reason": "damage", "actor": null})).unwrap();
    let Content::Receipt(event) = noted.content else { panic!("it is no receipt") };
    assert_eq!((event.note.reason.unwrap().as_str(), event.note.actor), ("damage", None));
    for extra in [
        json!({}),
        json!({"quantity": 2}),
        json!({"quantity": "1.0000001"}),
        json!({"quantity": "--1"}),
        json!({"on_hand": "7"}),
        json!({"void": "true"}),
        json!({"void": true, "quantity": "1"}),
        json!({"quantity": "1", "on_hand": "7", "difference": "0"}),
        json!({"quantity": "1", "key": "S"}),
        json!({"quantity": "1", "reference": " "}),
        json!({"quantity": "1", "site": ""}),
        json!({"quantity": "1", "reason": 5}),
    ] {
        assert_eq!(with(&extra).unwrap_err().code, Code::ReceiptInvalid, "{extra}");
    }
    assert_eq!(decode_receipt(b"[").unwrap_err().code, Code::ReceiptInvalid);
    let detail = |extra: Value| with(&extra).unwrap_err().detail;
    assert_eq!(detail(json!({"on_hand": "x", "difference": "1"})), "on_hand: is not a number");
    assert_eq!(detail(json!({"on_hand": "1", "difference": "-x"})), "difference: is not a number");
}

#[test]
fn corrections_are_read_as_strictly_as_receipts() {
    let version = order(&order_as(&json!({})).to_string()).version;
    let shown = Shown { version, words: Fingerprint(7), deleted: Some(version) };
    let with = |extra: &Value| {
        let mut body = json!({
            "site": "shop", "order": "external-id:E", "action": "hold", "shown": shown.token(),
            "reference": "c", "reason": "counted", "actor": "ann",
        });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        decode_correction(body.to_string().as_bytes())
    };
    for (action, expected) in
        [("release", Action::Release), ("hold", Action::Hold), ("ship", Action::Ship)]
    {
        let event = with(&json!({"action": action})).unwrap();
        let Content::Correction(correction) = event.content else { panic!("it is none") };
        assert_eq!((correction.content.action, correction.content.shown), (expected, shown));
        assert_eq!(correction.order.to_string(), "external-id:E");
    }
    for extra in [
        json!({"order": "E"}),
        json!({"action": "drop"}),
        json!({"action": "Hold"}),
        json!({"shown": ""}),
        json!({"shown": null}),
        json!({"reference": ""}),
        json!({"site": null}),
    ] {
        assert_eq!(with(&extra).unwrap_err().code, Code::CorrectionInvalid, "{extra}");
    }
    assert_eq!(decode_correction(b"\xff").unwrap_err().code, Code::CorrectionInvalid);
}
