//! What other processes hold, as the management API says it.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_in_flight_is_asked_of_the_management_api() {
    let server = RabbitMq::shared().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let api = Router::new().route("/base/api/queues/{vhost}/{queue}", get(numbers));
    let serving = async { axum::serve(listener, api).await.unwrap() };
    let asking = async {
        for (login, in_flight) in [("", 7), ("someone:p%40ss@", 1)] {
            let management_url = Some(format!("http://{login}{place}/base/").into());
            let options = RabbitOptions { management_url, ..options(server) };
            let broker = RabbitBroker::connect(&options).await.unwrap();
            let mut subscription = work(&broker).await;
            broker.publish(envelope("a")).await.unwrap();
            let _own = take_one(&mut subscription).await;
            let depth = broker.depth().await.unwrap();
            // With a wrong login, what is its own is known all the same.
            assert_eq!((depth.work_in_flight, depth.work_ready), (in_flight, 0));
            assert_eq!(depth.dead_intake, if in_flight == 7 { 2 } else { 0 });
        }
    };
    tokio::select! {
        () = serving => unreachable!("it serves for ever"),
        () = asking => {}
    }
}

async fn numbers(
    Path((vhost, queue)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    // guest:guest, as for RabbitMQ itself.
    if vhost != "/" || headers.get("authorization").unwrap() != "Basic Z3Vlc3Q6Z3Vlc3Q=" {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let unacknowledged = if queue.rsplit('.').next() == Some("work") { 7 } else { 2 };
    Ok(Json(json!({"messages": 9, "messages_unacknowledged": unacknowledged})))
}
