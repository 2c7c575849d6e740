//! A source is rolled out to ingress and workers, in either order, as real processes on both
//! backends. Goal: nothing is lost, and no webhook is applied for a source that may not write its
//! site. Method: webhooks come in while one role knows the source and the other does not.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::access::order;
use crate::distributed::deployment::Deployment;
use crate::harness::{Server, eventually};

/// A ladder of one rung, which several attempts fit into.
const LADDER: (&str, &str) = ("STOREKEEPER__RETRY__LADDER", "1s");
/// Whoever comes with this token is the default source.
const OWN_TOKEN: (&str, &str) = ("STOREKEEPER__INGRESS__PATH_TOKEN", "owners-own-token");
const AGENCY: (&str, &str) =
    ("STOREKEEPER__SOURCES", "[[sources]]\nname = 'agency'\nsites = ['garden']");
const AGENCYS_TOKEN: (&str, &str) = (
    "STOREKEEPER__INGRESS__CREDENTIALS",
    "[[ingress.credentials]]\nsource = 'agency'\npath_token = 'agency-own-token'",
);

/// Where the processes of a test meet.
enum Backend {
    Embedded(TempDir),
    Distributed(Box<Deployment>),
}

impl Backend {
    fn embedded() -> Self {
        Self::Embedded(tempfile::tempdir().unwrap())
    }

    async fn distributed() -> Self {
        Self::Distributed(Box::new(Deployment::start().await))
    }

    async fn role(&self, role: &str, settings: &[(&str, &str)]) -> Server {
        let settings = [&[LADDER], settings].concat();
        match self {
            Self::Embedded(directory) => Server::start_as(role, directory.path(), &settings).await,
            Self::Distributed(deployment) => deployment.role_with(role, role, &settings).await,
        }
    }
}

/// Posts an order of one unit with that token; answers with the id of the message.
async fn post(ingress: &Server, token: &str, site: &str) -> String {
    let url = format!("{}/{token}", ingress.webhooks());
    let answer = reqwest::Client::new().post(url).body(order(site)).send().await.unwrap();
    let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

async fn get(server: &Server, path: &str) -> Value {
    reqwest::get(server.console(path)).await.unwrap().json().await.unwrap()
}

/// What a site's first item has committed; nothing if there is no such site.
async fn committed(console: &Server, site: &str) -> Option<Value> {
    let stock = get(console, &format!("/v1/sites/{site}/stock")).await;
    stock.pointer("/items/0/committed").cloned()
}

async fn eventually_committed(console: &Server, site: &str) {
    let what = format!("{site} has its order");
    eventually(&what, async || committed(console, site).await.filter(|units| units == "1")).await;
}

/// The reasons and ids of the dead letters.
async fn dead_letters(console: &Server) -> Vec<(Value, Value)> {
    let letters = get(console, "/v1/dead-letters").await["items"].take();
    let letters = letters.as_array().unwrap().iter();
    letters.map(|letter| (letter["reason"].clone(), letter["id"].clone())).collect()
}

async fn attempts_at_unknown_sources(worker: &Server) -> u64 {
    let url = format!("http://{}/metrics", worker.addresses.probes);
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    let name = "storekeeper_sources_unknown_total ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().parse().unwrap()
}

async fn end(mut server: Server) {
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.log());
}

async fn the_ingress_first(backend: Backend) {
    let ingress = backend.role("ingress", &[OWN_TOKEN, AGENCY, AGENCYS_TOKEN]).await;
    let console = backend.role("console", &[AGENCY]).await;
    let worker = backend.role("worker", &[]).await;
    post(&ingress, "agency-own-token", "garden").await;
    post(&ingress, "owners-own-token", "attic").await;
    eventually_committed(&console, "attic").await;
    eventually("the other is tried again and again", async || {
        (attempts_at_unknown_sources(&worker).await >= 3).then_some(())
    })
    .await;
    let log = worker.log();
    assert!(log.contains("no [[sources]] section names the source") && log.contains("agency"));
    assert_eq!(committed(&console, "garden").await, None, "nobody knows whose it is");
    assert_eq!(dead_letters(&console).await, []);
    end(worker).await;

    let worker = backend.role("worker", &[AGENCY]).await;
    eventually_committed(&console, "garden").await;
    eventually("nothing waits", async || {
        (get(&console, "/v1/queues").await["retry"]["ready"] == 0).then_some(())
    })
    .await;
    assert_eq!(dead_letters(&console).await, []);
    assert_eq!(attempts_at_unknown_sources(&worker).await, 0);
}

async fn the_workers_first(backend: Backend) {
    let ingress = backend.role("ingress", &[OWN_TOKEN]).await;
    let console = backend.role("console", &[AGENCY]).await;
    let worker = backend.role("worker", &[AGENCY]).await;
    let refused = post(&ingress, "owners-own-token", "garden").await;
    post(&ingress, "owners-own-token", "attic").await;
    let expected = vec![(json!("site.not_allowed"), json!(refused))];
    eventually("it is a dead letter", async || {
        (dead_letters(&console).await == expected).then_some(())
    })
    .await;
    eventually_committed(&console, "attic").await;
    assert_eq!(committed(&console, "garden").await, None, "it is the agency's alone");
    end(worker).await;
    end(ingress).await;
    end(console).await;

    // Once the site is no source's, what the default source said of it can be replayed.
    let server = backend.role("serve", &[OWN_TOKEN]).await;
    let body = json!({"selection": {"reason": "site.not_allowed"}});
    let request = reqwest::Client::new().post(server.console("/v1/replays")).json(&body);
    assert_eq!(request.send().await.unwrap().status(), 201);
    eventually_committed(&server, "garden").await;
    eventually("no dead letter is left", async || {
        dead_letters(&server).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_ingress_takes_for_a_new_source_waits_for_a_worker_that_knows_it() {
    the_ingress_first(Backend::embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_ingress_takes_for_a_new_source_waits_for_a_worker_that_knows_it_on_servers() {
    the_ingress_first(Backend::distributed().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_for_a_site_before_the_ingress_knows_its_source_is_a_dead_letter() {
    the_workers_first(Backend::embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_for_a_site_before_the_ingress_knows_its_source_is_a_dead_letter_on_servers() {
    the_workers_first(Backend::distributed().await).await;
}
