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

/// The settings that compose.tls.yaml has for a server, changed for one of a test.
fn shipped(server: &str, changes: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(server).join("tls.conf");
    let settings = std::fs::read_to_string(path).unwrap();
    changes.iter().fold(settings, |settings, (from, to)| {
        assert!(settings.contains(from), "{server}: {from}");
        settings.replace(from, to)
    })
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
    let _rabbitmq = RabbitMq::start_with(&shipped(
        "rabbitmq",
        &[
            // Without TLS too: the harness asks there whether it is up.
            ("listeners.tcp = none", ""),
            ("ssl.default = 5671", &format!("ssl.1 = 127.0.0.1:{rabbitmq_port}")),
            ("/run/secrets/tls_rabbitmq_certificate", &certificate),
            ("/run/secrets/tls_rabbitmq_key", &key),
            ("/run/secrets/tls_authorities", &authority),
        ],
    ))
    .await;
    let of_redis = shipped(
        "redis",
        &[
            ("include /etc/storekeeper/redis.conf", ""),
            ("\nport 0", ""),
            ("tls-port 6379", &format!("tls-port {redis_port}")),
            ("/run/secrets/tls_redis_certificate", &certificate),
            ("/run/secrets/tls_redis_key", &key),
        ],
    );
    std::fs::write(ours.path().join("redis.conf"), of_redis).unwrap();
    let _redis = RedisServer::start(&["--appendonly", "yes", "--include", &file("redis.conf")]);
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
