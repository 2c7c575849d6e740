//! TLS to both servers, whose certificates an authority of the company's own has signed.

use std::path::Path;
use std::process::Command;

use super::changes_out::order;
use crate::harness::{Server, command, eventually, free_port};
use crate::servers::RedisServer;
use crate::servers::rabbitmq::RabbitMq;

/// Makes an authority, and a certificate of this machine that it has signed.
fn certify(directory: &Path) {
    let run = |arguments: &str| {
        let mut command = Command::new("openssl");
        let output = command.args(arguments.split(' ')).current_dir(directory).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let nothing_else = "[req]\ndistinguished_name = name\n[name]\n";
    std::fs::write(directory.join("openssl.cnf"), nothing_else).unwrap();
    let make = "req -config openssl.cnf -x509 -days 2 -nodes -newkey ec -pkeyopt \
                ec_paramgen_curve:P-256";
    run(&format!(
        "{make} -subj /CN=authority -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out \
         ca.pem"
    ));
    run(&format!(
        "{make} -subj /CN=server -addext subjectAltName=IP:127.0.0.1 -CA ca.pem -CAkey ca.key \
         -keyout server.key -out server.pem"
    ));
}

#[tokio::test]
async fn servers_are_reached_by_tls_and_trusted_by_a_private_authority() {
    let [ours, other, place] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    for directory in [&ours, &other] {
        certify(directory.path());
    }
    let file = |name: &str| ours.path().join(name).display().to_string();
    let (authority, certificate, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let (rabbitmq_port, redis_port) = (free_port(), free_port());
    let _rabbitmq = RabbitMq::start_with(&format!(
        "listeners.ssl.1 = 127.0.0.1:{rabbitmq_port}\nssl_options.certfile = {certificate}\n\
         ssl_options.keyfile = {key}\nssl_options.cacertfile = {authority}\n"
    ))
    .await;
    let tls_port = redis_port.to_string();
    let of_redis = ["--tls-port", &tls_port, "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
    let files = [files, ["--tls-ca-cert-file", &authority, "--appendonly", "yes"]].concat();
    let _redis = RedisServer::start(&[&of_redis[..], &files].concat());
    let rabbitmq = format!("amqps://guest:guest@127.0.0.1:{rabbitmq_port}/%2f");
    let redis = format!("rediss://127.0.0.1:{redis_port}");
    let settings = |trusted| {
        [
            ("STOREKEEPER__BACKEND", "distributed"),
            ("STOREKEEPER__RABBITMQ__URL", rabbitmq.as_str()),
            ("STOREKEEPER__REDIS__URL", redis.as_str()),
            ("SSL_CERT_FILE", trusted),
        ]
    };
    let server = Server::start_as("serve", place.path(), &settings(&authority)).await;
    order(&server, "shop", 1).await;
    eventually("the order is counted", async || {
        let shown = reqwest::get(server.console("/v1/sites/shop/stock/product:a.b")).await.ok()?;
        let item: serde_json::Value = shown.json().await.ok()?;
        (item["committed"] == "1").then_some(())
    })
    .await;
    // Whom another authority has signed for, nobody talks to.
    let another = other.path().join("ca.pem").display().to_string();
    for arguments in [["topology", "declare"], ["stock", "list"]] {
        let refused = command(place.path(), &settings(&another)).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_ne!(refused.status.code(), Some(0), "{said}");
        assert!(said.contains("invalid peer certificate"), "{said}");
    }
}
