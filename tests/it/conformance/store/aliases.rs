//! Orders of a site that share a name.

use std::sync::Arc;

use storekeeper::store::{EntityState, Store};

use super::Harness;
use super::given::{Given, order, order_entity, order_id, revision, site, write};

async fn is_in_conflict(store: &Arc<dyn Store>, id: &str) -> bool {
    store.order(&site("alpha"), &order_id(id)).await.unwrap().unwrap().alias_conflict
}

pub(super) async fn a_shared_id_marks_both_orders_and_is_reported_once(harness: &Harness) {
    let store = harness.open();
    assert!(!write(&store, order("alpha", "id:1").bearing(&["external-id:E"])).await);
    assert!(!write(&store, order("alpha", "id:3").bearing(&["external-id:F"])).await);
    assert!(!is_in_conflict(&store, "id:1").await);
    assert!(write(&store, order("alpha", "id:2").bearing(&["external-id:E"])).await);
    for id in ["id:1", "id:2"] {
        assert!(is_in_conflict(&store, id).await, "{id}");
        let loaded = revision(&store, &order_entity("alpha", id)).await;
        let again = order("alpha", id).bearing(&["external-id:E"]).on(loaded);
        assert!(!write(&store, again).await, "{id} was reported twice");
    }
    assert!(!is_in_conflict(&store, "id:3").await);
    let loaded = revision(&store, &order_entity("alpha", "id:2")).await;
    let another = order("alpha", "id:2").bearing(&["external-id:E", "external-id:F"]);
    assert!(write(&store, another.on(loaded)).await);
    assert!(is_in_conflict(&store, "id:3").await);
}

/// An order bears its own name, also while no event has listed it as an alias.
pub(super) async fn a_name_that_is_another_order_is_a_conflict(harness: &Harness) {
    let store = harness.open();
    let mut unlisted = order("alpha", "external-id:E");
    unlisted.state = EntityState::Order(Box::default());
    assert!(!write(&store, unlisted).await);
    assert!(write(&store, order("alpha", "id:1").bearing(&["external-id:E"])).await);
    assert!(is_in_conflict(&store, "external-id:E").await);
    assert!(is_in_conflict(&store, "id:1").await);
}

pub(super) async fn invoice_numbers_never_conflict(harness: &Harness) {
    let store = harness.open();
    for id in ["id:1", "id:2", "invoice-number:7"] {
        assert!(!write(&store, order("alpha", id).bearing(&["invoice-number:7"])).await);
    }
    for id in ["id:1", "id:2", "invoice-number:7"] {
        assert!(!is_in_conflict(&store, id).await, "{id}");
    }
}

pub(super) async fn aliases_of_other_sites_never_conflict(harness: &Harness) {
    let store = harness.open();
    assert!(!write(&store, order("beta", "id:1").bearing(&["external-id:E"])).await);
    let other_kind = order("alpha", "id:1").bearing(&["store-order:E", "external-id:1"]);
    assert!(!write(&store, other_kind).await);
    assert!(!write(&store, order("alpha", "id:2").bearing(&["external-id:E"])).await);
    assert!(!is_in_conflict(&store, "id:1").await);
    assert!(!is_in_conflict(&store, "id:2").await);
}
