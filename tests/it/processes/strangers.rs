//! What strangers can do to a process that they can reach: hold connections, ask the probes, and be
//! refused.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use reqwest::Client;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::post;
use crate::distributed::deployment::Deployment;
use crate::harness::Server;
use crate::servers::rabbitmq::RabbitMq;

/// Connections to an address on which nothing is sent.
async fn idle(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connecting = iter(0..count).map(|_| TcpStream::connect(address)).buffered(64);
    connecting.map(Result::unwrap).collect().await
}

/// Gets paths in turn, many at once; all must be answered.
async fn get_many(address: SocketAddr, paths: &[&str], count: usize) {
    let client = Client::builder().no_proxy().build().unwrap();
    let urls = paths.iter().map(|path| format!("http://{address}{path}")).cycle().take(count);
    let answers = iter(urls).map(|url| client.get(url).send()).buffer_unordered(16);
    let statuses: BTreeSet<u16> =
        answers.map(|answer| answer.unwrap().status().as_u16()).collect().await;
    assert_eq!(statuses, BTreeSet::from([200]));
}

/// What all clients have sent to a node over the connections that they have now.
async fn bytes_received(rabbitmq: &RabbitMq) -> usize {
    let listed = rabbitmq.control(&["-q", "list_connections", "recv_oct"]).await;
    listed.lines().filter_map(|line| line.trim().parse::<usize>().ok()).sum()
}

#[tokio::test]
async fn a_thousand_idle_connections_delay_neither_a_probe_nor_a_webhook() {
    let directory = tempfile::tempdir().unwrap();
    let few = [("STOREKEEPER__INGRESS__CONNECTIONS_MAX", "256")];
    let server = Server::start(directory.path(), &few).await;
    let _probes = idle(server.addresses.probes, 1000).await;
    let begun = Instant::now();
    get_many(server.addresses.probes, &["/livez"], 1).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "/livez took {took:?}");
    let _ingress = idle(server.addresses.ingress.unwrap(), 1000).await;
    let begun = Instant::now();
    post(&server, "in between").await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "a webhook took {took:?}");
}

#[tokio::test]
async fn a_client_of_the_probes_that_says_nothing_is_disconnected_soon() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    let mut silent = TcpStream::connect(server.addresses.probes).await.unwrap();
    let mut byte = [0; 1];
    let closed = timeout(Duration::from_secs(5), silent.read(&mut byte));
    assert_eq!(closed.await.expect("it is still connected").unwrap(), 0);
}

#[tokio::test]
async fn many_requests_to_the_probes_cost_the_servers_few_commands() {
    let deployment = Deployment::start().await;
    let worker = deployment.role("worker", "worker").await;
    let commands = || {
        let stats: String = deployment.ask(&["INFO", "stats"]).unwrap();
        let count = stats.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        count.unwrap().trim().parse::<usize>().unwrap()
    };
    let (commands_before, bytes_before) = (commands(), bytes_received(&deployment.rabbitmq).await);
    get_many(worker.addresses.probes, &["/metrics", "/livez", "/readyz"], 900).await;
    let commands = commands() - commands_before;
    let bytes = bytes_received(&deployment.rabbitmq).await - bytes_before;
    assert!(commands < 450, "900 requests cost {commands} commands at Redis");
    assert!(bytes < 45_000, "900 requests cost {bytes} bytes at RabbitMQ");
}

#[tokio::test]
async fn a_flood_of_refused_webhooks_is_a_few_lines_and_a_number_in_the_log() {
    const POSTS: usize = 3000;
    let directory = tempfile::tempdir().unwrap();
    let secret = [("STOREKEEPER__INGRESS__SECRETS", "bXlzZWNyZXRzZWNyZXRteXNlY3JldHNlY3JldA==")];
    let mut server = Server::start(directory.path(), &secret).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let posts = iter(0..POSTS).map(|_| client.post(server.webhooks()).body("{}").send());
    let answers = posts.buffer_unordered(16);
    let refused = answers.filter(|answer| {
        std::future::ready(answer.as_ref().is_ok_and(|answer| answer.status() == 401))
    });
    assert_eq!(refused.count().await, POSTS);
    let metrics = format!("http://{}/metrics", server.addresses.probes);
    let metrics = client.get(metrics).send().await.unwrap().text().await.unwrap();
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("storekeeper_log_suppressed_total "))
        .map(|count| count.parse::<usize>().unwrap());
    server.signal("TERM");
    assert!(server.ended().await.success());

    let log = std::fs::read_to_string(directory.path().join("serve.log")).unwrap();
    let of_kind = |line: &&str| line.contains("refused a request");
    let (sums, lines): (Vec<&str>, Vec<&str>) =
        log.lines().filter(of_kind).partition(|line| line.contains("log lines were left out"));
    assert!(lines.len() < 200, "{} lines", lines.len());
    let left_out = |line: &&str| {
        let number = line.split("suppressed=").nth(1).unwrap().split(' ').next().unwrap();
        number.parse::<usize>().unwrap()
    };
    let left_out: usize = sums.iter().map(left_out).sum();
    assert_eq!(lines.len() + left_out, POSTS, "{log}");
    assert_eq!(counted, Some(left_out));
}
