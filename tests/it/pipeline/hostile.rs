//! Hostile bodies through a real server: each is answered, each ends as the rules say, and what
//! comes after them counts.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use reqwest::Client;
use serde_json::{Value, json};

use super::{CREATED, committed, fixture, get, post, settled};
use crate::fuzz::wrong_bodies;
use crate::harness::{Server, eventually, seed};

/// Posts a body; answers with the status, and with the message id or the problem's code.
async fn answer(client: &Client, server: &Server, body: impl Into<reqwest::Body>) -> (u16, String) {
    let answer = client.post(server.webhooks()).body(body).send().await.unwrap();
    let status = answer.status().as_u16();
    let said: Value = answer.json().await.unwrap();
    let field = if status == 200 { "id" } else { "code" };
    (status, said[field].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn wrong_things_at_every_place_end_as_the_rules_say_and_a_good_order_still_counts() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let client = Client::new();
    for (body, status, code) in [
        (String::new(), 400, "request.invalid"),
        (" ".repeat((1 << 20) + 1), 413, "body.too_large"),
    ] {
        assert_eq!(answer(&client, &server, body).await, (status, code.to_owned()));
    }
    let mut posted = Vec::new();
    for (case, body, code) in wrong_bodies(&mut ChaCha8Rng::seed_from_u64(seed())) {
        let (status, id) = answer(&client, &server, body).await;
        assert_eq!(status, 200, "{id}: {case}");
        posted.push((case, id, code));
    }
    settled(&server).await;
    let mut refused = 0;
    for (case, id, code) in &posted {
        // One that the worker is just parking shows nowhere.
        eventually(&format!("{case}: {id} ends as {code:?}"), async || {
            (super::code(&server, id).await == json!(code)).then_some(())
        })
        .await;
        refused += usize::from(code.is_some());
    }
    assert!(refused > 100 && posted.len() > refused + 50, "{refused} of {}", posted.len());
    let order = fixture(CREATED).replace(super::SITE, "afterwards");
    post(&server, order).await;
    settled(&server).await;
    assert_eq!(committed(&server, "afterwards", super::KEY).await, "1", "a good order counts");
    let queues = get(&server, "/v1/queues").await;
    assert_eq!(queues["dead"]["parked"], refused, "{queues}");
}
