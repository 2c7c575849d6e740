//! What a person discarded stays discarded, whatever is put into the queue again.

use std::sync::Arc;

use storekeeper::broker::Broker;
use storekeeper::clock;
use storekeeper::dead_letters;
use storekeeper::domain::{Code, Policy};
use storekeeper::duties::close_final;
use storekeeper::simulate::ModelPolicy;
use storekeeper::store::{DeadLetterFilter, DeadLetterName, PageRequest};
use storekeeper::upkeep::rebuild::{Selection, replay};

use super::{Shop, expected, order};

/// The reasons of the letters that are parked.
async fn letters(shop: &Shop) -> Vec<Code> {
    let all = PageRequest::first(10);
    let page = shop.port().dead_letters(&DeadLetterFilter::default(), &all).await.unwrap();
    page.items.into_iter().map(|letter| letter.rejection.code).collect()
}

#[tokio::test]
async fn a_rebuild_does_not_apply_what_was_discarded() {
    let shop = Shop::new();
    let delivered = order("1", "DELIVERED", 2);
    shop.publish(std::slice::from_ref(&delivered)).await;
    shop.work_off(&Policy::default()).await;
    assert_eq!(close_final(&*shop.store, clock::now()).await.unwrap(), 1);
    // Nothing is wrong with it but its time: a Store that never closed the order would apply it.
    let late = order("1", "SHIPPED", 5);
    shop.publish(std::slice::from_ref(&late)).await;
    shop.work_off(&Policy::default()).await;
    assert_eq!(letters(&shop).await, [Code::OrderExpired]);
    let letter = DeadLetterName { message_id: late.message_id, generation: 1 };
    let broker = Arc::clone(&shop.broker) as Arc<dyn Broker>;
    dead_letters::discard(&broker, &*shop.store, letter).await.unwrap();
    shop.work_off(&Policy::default()).await;
    assert_eq!(letters(&shop).await, []);
    let directory = tempfile::tempdir().unwrap();
    shop.broker.close().await;
    std::fs::copy(shop.path().join("broker.db"), directory.path().join("broker.db")).unwrap();
    let rebuilt = Shop::on(directory);
    let count = replay(&*rebuilt.broker, &*rebuilt.store, Selection::default(), |_| {}).await;
    assert_eq!(count.unwrap(), 2, "the order and the discard");
    rebuilt.work_off(&Policy::default()).await;
    assert_eq!(rebuilt.stock().await, expected(&[delivered], ModelPolicy::default()));
    assert_eq!(letters(&rebuilt).await, []);
}
