//! Why a process or a command cannot use RabbitMQ is told where a person looks: in the log, at
//! `/readyz`, by `health` and by the command. Each cause once, with the server's address and without
//! the password.

use super::Deployment;
use crate::harness::{eventually, free_port};

const PASSWORD: &str = "open-sesame";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_rabbitmq_is_of_no_use_is_told_everywhere_and_once() {
    let deployment = Deployment::start().await;
    deployment.rabbitmq.control(&["add_user", "stranger", PASSWORD]).await;
    let right = deployment.rabbitmq.url();
    let place = right.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let nobody = format!("127.0.0.1:{}", free_port());
    let login = |login: &str| right.replace("guest:guest", login);
    for (url, place, code, cause) in [
        (login(&format!("guest:{PASSWORD}")), &place, 2, "ACCESS_REFUSED"),
        (login(&format!("stranger:{PASSWORD}")), &place, 2, "NOT_ALLOWED"),
        (right.replace("%2f", "nowhere"), &place, 2, "NOT_ALLOWED"),
        (format!("amqp://guest:{PASSWORD}@{nobody}/%2f"), &nobody, 3, "Connection refused"),
    ] {
        let setting = [("STOREKEEPER__RABBITMQ__URL", url.as_str())];
        let is_told = |told: &str, by: &str| {
            assert!(!told.contains(PASSWORD), "{by}: {told}");
            assert_eq!(told.matches(cause).count(), 1, "{by}: {cause} in {told}");
            assert!(told.contains(place.as_str()), "{by}: {place} is not in {told}");
        };
        let declared = deployment.run_with(&["topology", "declare"], &setting);
        let told = String::from_utf8(declared.stderr).unwrap();
        assert_eq!(declared.status.code(), Some(code), "{told}");
        is_told(&told, "the command");

        let probes = format!("127.0.0.1:{}", free_port());
        let listen = ("STOREKEEPER__PROBES__LISTEN", probes.as_str());
        let process = deployment.launch("ingress", &probes, &[setting[0], listen]);
        let ready = format!("http://{probes}/readyz");
        let told = eventually("it is shown at /readyz", async || {
            let told = reqwest::get(&ready).await.ok()?.text().await.unwrap();
            told.contains(cause).then_some(told)
        })
        .await;
        is_told(&told, "/readyz");
        let health = deployment.run(&["health", "--url", &format!("http://{probes}")]);
        assert_eq!(health.status.code(), Some(1));
        is_told(&String::from_utf8(health.stdout).unwrap(), "health");
        let log = process.log();
        let line = log.lines().find(|line| line.contains("cannot connect")).expect(&log);
        is_told(line, "the log");
    }
}
