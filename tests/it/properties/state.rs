//! What holds for every text that stands where a state was stored.
//!
//! A newer release may have written it, or a disk damaged it: it is read as a state that is
//! written the same again, or refused for a reason that names the entity.

use std::sync::LazyLock;

use storekeeper::console::views::OrderView;
use storekeeper::domain::{
    EntityName, OrderId, OrderState, Policy, PolicyInForce, ReceiptId, Site, close, desired,
    recompute,
};
use storekeeper::store::state::{decode_entity, encode_entity};
use storekeeper::store::{EntityId, EntityState, Revision, StoreError, StoredOrder};

/// An entity of each kind.
static ENTITIES: LazyLock<[EntityId; 3]> = LazyLock::new(|| {
    let receipt = ReceiptId {
        key: "sku:S".to_owned().try_into().expect("it is a stock key"),
        reference: "R".to_owned().try_into().expect("it is an identifier"),
    };
    let names = [
        EntityName::Order(OrderId::parse("id:1").expect("it is an order's name")),
        EntityName::Catalogue("product:1".to_owned().try_into().expect("it is an entry's name")),
        EntityName::Receipt(receipt),
    ];
    let site = Site::parse("alpha").expect("it is a site's name");
    names.map(|name| EntityId { site: site.clone(), name })
});

/// Checks everything that holds for an input of the fuzzer.
pub(crate) fn hold(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    for entity in ENTITIES.iter() {
        match decode_entity(entity, text) {
            Ok(state) => {
                check_written_again(entity, &state);
                if let EntityState::Order(state) = state {
                    check_order(*state);
                }
            }
            Err(error) => {
                let said = error.to_string();
                assert!(said.starts_with(&format!("the state of {entity} ")), "{said}");
                assert!(said.len() < 150, "{said}");
                assert!(!StoreError::from(error).is_transient(), "trying again cannot help");
            }
        }
    }
}

fn check_written_again(entity: &EntityId, state: &EntityState) {
    let written = encode_entity(state).expect("what was read can be written");
    let read = decode_entity(entity, &written).expect("what was written can be read");
    assert_eq!(read, *state, "{written} is read back as another state");
}

/// Whatever an order's state says, it can be computed again, shown and closed.
fn check_order(state: OrderState) {
    let in_force = PolicyInForce { revision: 7, policy: Policy::default() };
    let computed = recompute(state.clone(), &in_force);
    assert_eq!(computed.state.applied, desired(&computed.state, &in_force.policy));
    let again = recompute(computed.state.clone(), &in_force);
    assert!(!again.changed && again.changes.is_empty(), "computing it again changes something");
    let order = OrderId::parse("id:1").expect("it is an order's name");
    if let Some(remains) = close(&order, &computed.state, in_force.revision) {
        assert!(computed.state.is_settled(), "{remains:?} remain of an order that is not settled");
    }
    let site = Site::parse("alpha").expect("it is a site's name");
    let revision = Revision(1);
    let stored = StoredOrder { site, order, revision, state, alias_conflict: false };
    let view = OrderView::new(&stored, &in_force.policy);
    serde_json::to_string(&view).expect("what is stored can be shown");
}
