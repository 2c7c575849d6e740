//! A body that kills its worker each time.
//!
//! The real binary is killed while exactly that delivery is in flight: the state is locked, so
//! that nothing which a worker takes is ever done.

use super::{eventually_committed, eventually_in_flight, get, lock_store, post};
use crate::harness::{Server, eventually};

#[tokio::test]
async fn a_body_that_kills_its_worker_each_time_becomes_a_dead_letter_alone() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [("STOREKEEPER__WORKER__DELIVERY_LIMIT", "3")];
    let mut server = Server::start(directory.path(), &settings).await;
    let lock = lock_store(directory.path());
    for order in ["the killer", "beside it", "and another"] {
        post(&server, order).await;
    }
    eventually_in_flight(&server, 3).await;
    // All three may have killed it, twice; from then on the first is alone.
    for deaths in 1..=3 {
        server.kill();
        server = Server::start(directory.path(), &settings).await;
        let expected = if deaths < 2 { (3, 0) } else { (1, 2) };
        eventually("the killer is in flight again", async || {
            let work = get(server.console("/v1/queues")).await["work"].take();
            let found = (work["in_flight"].as_u64()?, work["ready"].as_u64()?);
            (found == expected).then_some(())
        })
        .await;
    }
    server.kill();
    let server = Server::start(directory.path(), &settings).await;
    drop(lock);
    eventually_committed(&server, 2).await;
    let letters = eventually("the killer is parked", async || {
        let letters = get(server.console("/v1/dead-letters")).await["items"].take();
        (letters != serde_json::json!([])).then_some(letters)
    })
    .await;
    assert_eq!(letters.as_array().unwrap().len(), 1, "{letters}");
    assert_eq!(letters[0]["reason"], "poison.delivery_limit");
    let order = reqwest::get(server.console("/v1/sites/shop/orders/id:the%20killer"));
    assert_eq!(order.await.unwrap().status(), 404, "nothing of it was applied");
}
