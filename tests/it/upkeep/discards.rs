//! What a person discarded stays discarded, whatever is put into the queue again.

use std::sync::Arc;

use storekeeper::broker::{Broker, Disposition, Queue};
use storekeeper::clock;
use storekeeper::dead_letters;
use storekeeper::domain::{Code, Policy, Rejection};
use storekeeper::duties::close_final;
use storekeeper::simulate::ModelPolicy;
use storekeeper::store::{DeadLetterFilter, DeadLetterName, PageRequest};
use storekeeper::upkeep::rebuild::{AHEAD_MAX, Selection, replay};
use tokio::sync::oneshot;

use super::{Shop, expected, order};
use crate::harness::eventually;

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

#[tokio::test]
async fn what_is_discarded_while_a_rebuild_runs_is_not_applied() {
    let shop = Shop::new();
    let failed = order("1", "PROCESSED", 5);
    shop.publish(std::slice::from_ref(&failed)).await;
    let mut work = shop.broker.subscribe(Queue::Work, 1).await.unwrap();
    let delivery = work.next_batch(1).await.pop().unwrap();
    let rejection = Rejection::new(Code::WorkerPanic, "for no reason that lasts");
    delivery.settle(Disposition::DeadLetter(Box::new(rejection)));
    drop(work);
    shop.work_off(&Policy::default()).await;
    assert_eq!(letters(&shop).await, [Code::WorkerPanic]);
    // Enough waits that the rebuild has to wait.
    let others: Vec<_> = (0..AHEAD_MAX).map(|n| order(&format!("other-{n}"), "NEW", 1)).collect();
    shop.publish(&others).await;
    let (told, waits) = oneshot::channel();
    let mut told = Some(told);
    let rebuild = replay(&*shop.broker, &*shop.store, Selection::default(), |progress| {
        if let Some(told) = told.take_if(|_| progress.is_waiting) {
            told.send(()).unwrap();
        }
    });
    let meanwhile = async {
        waits.await.unwrap();
        let broker = Arc::clone(&shop.broker) as Arc<dyn Broker>;
        let letter = DeadLetterName { message_id: failed.message_id, generation: 1 };
        dead_letters::discard(&broker, &*shop.store, letter).await.unwrap();
        shop.work_off(&Policy::default()).await;
    };
    let (replayed, ()) = tokio::join!(rebuild, meanwhile);
    replayed.unwrap();
    eventually("nothing waits", async || (!shop.broker_is_busy().await).then_some(())).await;
    shop.work_off(&Policy::default()).await;
    assert_eq!(shop.stock().await, expected(&others, ModelPolicy::default()));
    assert_eq!(letters(&shop).await, []);
}
