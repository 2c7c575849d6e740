//! Goods received through receipts.

use super::*;

fn receipt(message_id: &str, quantity: i64, reference: &str) -> Receipt {
    Receipt {
        item: item(),
        reference: reference.into(),
        message_id: message_id.into(),
        quantity: Decimal::from(quantity),
    }
}

fn item() -> Item {
    Item { site: "s".into(), key: "product:P".into() }
}

#[test]
fn of_two_receipts_with_one_reference_the_lower_message_counts() {
    let mut receipts =
        [receipt("b", 5, "r"), receipt("a", 7, "r"), receipt("a", 7, "r"), receipt("c", -3, "q")];
    for _ in 0..2 {
        let mut model = Model::new(ModelPolicy::default());
        receipts.iter().cloned().for_each(|receipt| model.receive(receipt));
        let stock: Vec<_> = model.stock().into_values().collect();
        assert_eq!(stock, [Counts { received: Decimal::from(4), ..Counts::default() }]);
        receipts.reverse();
    }
}

#[test]
fn a_void_takes_a_reference_away_before_or_after_it_comes() {
    for is_first in [true, false] {
        let mut model = Model::new(ModelPolicy::default());
        if is_first {
            model.void(item(), "r".into());
        }
        model.receive(receipt("a", 7, "r"));
        model.receive(receipt("b", 2, "q"));
        if !is_first {
            model.void(item(), "r".into());
        }
        let received: Vec<_> = model.stock().into_values().map(|counts| counts.received).collect();
        assert_eq!(received, [Decimal::TWO]);
    }
}
