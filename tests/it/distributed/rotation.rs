//! Passwords of RabbitMQ and Redis that are replaced while a process runs.

use std::fs::write;

use redis::RedisResult;
use serde_json::Value;

use super::Deployment;
use super::changes_out::order;
use crate::harness::{Server, eventually};

const OLD: &str = "old-old-old-old-old-old";
const NEW: &str = "new-new-new-new-new-new";

/// How much of the item is committed, if the console can say.
async fn committed(server: &Server) -> Option<String> {
    let answer = reqwest::get(server.console("/v1/sites/shop/stock/product:a.b")).await.ok()?;
    let item: Value = answer.json().await.ok()?;
    item["committed"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_passwords_are_used_for_the_next_connections_without_a_restart() {
    let Deployment { rabbitmq, redis, .. } = &Deployment::start().await;
    rabbitmq.control(&["add_user", "storekeeper", OLD]).await;
    rabbitmq.control(&["set_permissions", "storekeeper", ".*", ".*", ".*"]).await;
    redis.tell(&["ACL", "SETUSER", "storekeeper", "on", &format!(">{OLD}"), "~*", "&*", "+@all"]);

    let directory = tempfile::tempdir().unwrap();
    let [rabbitmq_file, redis_file] = ["rabbitmq", "redis"].map(|name| directory.path().join(name));
    let put = |password: &str| {
        let login = format!("storekeeper:{password}@");
        write(&rabbitmq_file, rabbitmq.url().replace("guest:guest@", &login)).unwrap();
        write(&redis_file, redis.url().replace("//", &format!("//{login}"))).unwrap();
    };
    put(OLD);
    let settings = [
        ("STOREKEEPER__BACKEND", "distributed"),
        ("STOREKEEPER__RABBITMQ__URL_FILE", rabbitmq_file.to_str().unwrap()),
        ("STOREKEEPER__REDIS__URL_FILE", redis_file.to_str().unwrap()),
    ];
    let server = Server::start(directory.path(), &settings).await;
    order(&server, "shop", 1).await;
    eventually("it is counted", async || (committed(&server).await? == "1").then_some(())).await;

    put(NEW);
    eventually("the new passwords are read", async || {
        server.log().contains("the new secrets are in use").then_some(())
    })
    .await;
    rabbitmq.control(&["change_password", "storekeeper", NEW]).await;
    redis.tell(&["ACL", "SETUSER", "storekeeper", &format!("<{OLD}"), &format!(">{NEW}")]);
    rabbitmq.control(&["close_all_connections", "rotated"]).await;
    let mut connection = redis.connection();
    let killed: RedisResult<u32> =
        redis::cmd("CLIENT").arg(&["KILL", "USER", "storekeeper"]).query(&mut connection);
    assert!(killed.unwrap() > 0);

    eventually("it has connections again", async || {
        let url = format!("http://{}/readyz", server.addresses.probes);
        let answer = reqwest::get(url).await.ok()?;
        (answer.status() == 200 && committed(&server).await? == "1").then_some(())
    })
    .await;
    order(&server, "shop", 2).await;
    eventually("it is counted", async || (committed(&server).await? == "2").then_some(())).await;
    for secret in [OLD, NEW] {
        assert!(!server.log().contains(secret), "{}", server.log());
    }
}
