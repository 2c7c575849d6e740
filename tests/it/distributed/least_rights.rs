//! Every role as a RabbitMQ user who has the rights of `deploy/README.md` and no others.

use serde_json::Value;

use super::Deployment;
use super::changes_out::{listen, order, told};
use crate::harness::{DEADLINE, Server, eventually, eventually_or_told, free_port};

const ORDERS: usize = 30;
const PASSWORD: &str = "open-sesame";

/// The commands of the page, as arguments: `set_permissions USER CONFIGURE WRITE READ`.
fn commands() -> Vec<Vec<String>> {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/README.md");
    let page = std::fs::read_to_string(place).unwrap();
    let lines = page.lines().filter_map(|line| line.strip_prefix("rabbitmqctl set_permissions "));
    let words = |line: &str| -> Vec<String> {
        line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect()
    };
    let commands: Vec<_> = lines.map(words).collect();
    assert_eq!(commands.len(), 5, "{commands:?}");
    commands
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_works_with_the_rights_of_the_page_and_no_others() {
    let deployment = Deployment::start().await;
    let rabbitmq = &deployment.rabbitmq;
    for rights in commands() {
        let [user, ..] = &rights[..] else { unreachable!("a line has words") };
        rabbitmq.control(&["add_user", user, PASSWORD]).await;
        let words: Vec<&str> = rights.iter().map(String::as_str).collect();
        rabbitmq.control(&[&["set_permissions"][..], &words].concat()).await;
    }
    let url = |role: &str| {
        rabbitmq.url().replace("guest:guest", &format!("storekeeper-{role}:{PASSWORD}"))
    };
    let setting = "STOREKEEPER__RABBITMQ__URL";
    let run_as = |role: &str, words: &[&str]| {
        let output = deployment.run_with(words, &[(setting, &url(role))]);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // The ingress comes first and waits, since it may not declare.
    let mut ingress = deployment.launch("ingress", "ingress", &[(setting, &url("ingress"))]);
    eventually("it says what is missing", async || {
        assert!(ingress.has_ended().is_none(), "{}", ingress.log());
        ingress.log().contains("storekeeper topology declare").then_some(())
    })
    .await;
    run_as("setup", &["topology", "declare"]);
    let ingress = ingress.ready().await;
    let channel = listen(&deployment, "stock.#").await;
    let mut processes = vec![];
    for role in ["worker", "leader", "console"] {
        processes.push(deployment.role_with(role, role, &[(setting, &url(role))]).await);
    }
    for number in 0..ORDERS {
        order(&ingress, "shop", number).await;
    }
    run_as("console", &["stock", "receive", "shop", "product:a.b", "50", "--reference", "r-1"]);
    let client = reqwest::Client::new();
    let answer = client.post(ingress.webhooks()).body("{").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let shown = |wanted: &'static str| {
        let run_as = &run_as;
        async move || {
            let text =
                run_as("console", &["stock", "show", "shop", "product:a.b", "--format", "json"]);
            let item: Value = serde_json::from_str(&text).unwrap();
            (item["available"] == wanted && item["received"] == "50").then_some(())
        }
    };
    eventually("all is counted", shown("20")).await;
    eventually("changes are told", async || told(&channel).await).await;
    let letters = async || {
        let text = run_as("console", &["dead-letters", "groups", "--format", "json"]);
        text.contains("decode.not_json").then_some(())
    };
    eventually("the dead letter is parked", letters).await;
    let replayed =
        deployment.run_with(&["dead-letters", "replay", "--all"], &[(setting, &url("console"))]);
    let said = String::from_utf8(replayed.stdout).unwrap();
    assert!(said.contains("sent 1") && said.contains("came back 1"), "{said}");
    eventually("it is parked again", letters).await;
    run_as("console", &["dead-letters", "discard", "--all"]);
    run_as("console", &["journal", "replay"]);
    eventually("all is counted once", shown("20")).await;
    run_as("console", &["audit"]);
    processes.iter().for_each(nothing_was_refused);
    for mut process in processes.into_iter().chain([ingress]) {
        process.signal("TERM");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    }
}

fn nothing_was_refused(process: &Server) {
    let log = process.log();
    // RabbitMQ refuses the first declaration, which its client logs.
    let is_ours = |line: &&str| line.contains("ERROR") && !line.contains("lapin::");
    assert_eq!(log.lines().find(is_ours), None);
}

/// A rollout with wrong rights must not replace what works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_publish_or_consume_is_not_ready_and_says_why() {
    let deployment = Deployment::start().await;
    let rabbitmq = &deployment.rabbitmq;
    deployment.run_well(&["topology", "declare"]);
    rabbitmq.control(&["add_user", "nobody", PASSWORD]).await;
    let url = rabbitmq.url().replace("guest:guest", &format!("nobody:{PASSWORD}"));
    for (role, write, missing) in [
        ("ingress", "^$", "cannot publish to storekeeper.events"),
        ("worker", "^$", "cannot publish to storekeeper.again"),
        ("worker", ".*", "cannot consume storekeeper."),
    ] {
        rabbitmq.control(&["set_permissions", "nobody", "^$", write, "^$"]).await;
        let probes = format!("127.0.0.1:{}", free_port());
        let settings = [
            ("STOREKEEPER__RABBITMQ__URL", url.as_str()),
            ("STOREKEEPER__PROBES__LISTEN", &probes),
        ];
        let _process = deployment.launch(role, &probes, &settings);
        let ready = async || {
            let answer = reqwest::get(format!("http://{probes}/readyz")).await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        };
        eventually_or_told(DEADLINE, "it says what it may not", async || {
            let (status, told) = ready().await.unwrap_or_default();
            (status == 503 && told.contains(missing)).then_some(()).ok_or(told)
        })
        .await;
        rabbitmq.control(&["set_permissions", "nobody", ".*", ".*", ".*"]).await;
        eventually_or_told(DEADLINE, "it is ready with the right", async || {
            let (status, told) = ready().await.unwrap_or_default();
            (status == 200).then_some(()).ok_or(told)
        })
        .await;
    }
}
