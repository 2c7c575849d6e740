//! How much memory an ingress takes: no more than `config/default.toml` says, under a limit that the
//! system enforces; and no more than deployments allow.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storekeeper::config::{IngressSettings, Settings};
use storekeeper::ingress::signature::{SIGNATURE_HEADER, TIMESTAMP_HEADER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::harness::signed_now;
use crate::harness::{MIB, Process, Server, memory_limit, peak_memory, tell};

const KIB: u64 = 1024;
/// How many clients send at the same time; all of them stay connected.
const SENDING: usize = 128;
const PATIENCE: Duration = Duration::from_mins(2);
const SETTINGS: [(&str, &str); 7] = [
    ("STOREKEEPER__INGRESS__SECRETS", "YS1zZWNyZXQtb2YtdGhlLXRlc3Rz"),
    ("STOREKEEPER__INGRESS__CONNECTIONS_MAX", "4096"),
    ("STOREKEEPER__INGRESS__IN_FLIGHT_MAX", "128"),
    ("STOREKEEPER__INGRESS__READING_BYTES_MAX", "32MiB"),
    ("STOREKEEPER__INGRESS__HEADER_TIMEOUT", "10m"),
    ("STOREKEEPER__INGRESS__BODY_TIMEOUT", "10m"),
    ("STOREKEEPER__INGRESS__PUBLISH_TIMEOUT", "1m"),
];
const SECRET: &[u8] = b"a-secret-of-the-tests";

/// What `config/default.toml` says that an ingress takes at most, in bytes.
fn memory_max(ingress: &IngressSettings) -> u64 {
    let [connections, in_flight] =
        [ingress.connections_max, ingress.in_flight_max].map(|count| count as u64);
    64 * MIB + connections * 128 * KIB + in_flight * 64 * KIB + ingress.reading_bytes_max.0
}

fn load(file: Option<&Path>, variables: &[(&str, &str)]) -> IngressSettings {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Settings::load_from(file, variables).unwrap().ingress
}

/// A webhook that is not signed, of so many bytes, of which the last one is missing.
fn unfinished(bytes: usize) -> Vec<u8> {
    let head =
        format!("POST /webhooks/duda HTTP/1.1\r\nhost: shop\r\ncontent-length: {bytes}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; bytes - 1]].concat()
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    timeout(PATIENCE, stream.write_all(bytes)).await.expect("it is not read").unwrap();
}

/// The status of the next answer, which is read whole.
async fn status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut read = Vec::new();
    let text = loop {
        let more = timeout(PATIENCE, stream.read_buf(&mut read)).await.expect("no answer");
        if more? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() == length {
                break text;
            }
        }
    };
    Ok(text.split(' ').nth(1).unwrap().parse().unwrap())
}

/// Clients that have sent all of a webhook but its last byte, or were refused before.
async fn strangers(server: &Server, clients: usize, webhook: &[u8]) -> Vec<TcpStream> {
    let address = server.addresses.ingress.unwrap();
    let connect = |_| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        drop(timeout(PATIENCE, stream.write_all(webhook)).await.expect("it is not read"));
        stream
    };
    stream::iter(0..clients).map(connect).buffer_unordered(SENDING).collect().await
}

/// Posts a signed body of a mebibyte; says how it was answered.
async fn post_large(server: &Server, body: &[u8]) -> u16 {
    let (timestamp, signature) = signed_now(SECRET, body);
    let head = format!(
        "POST /webhooks/duda HTTP/1.1\r\nhost: shop\r\n{TIMESTAMP_HEADER}: {timestamp}\r\n\
         {SIGNATURE_HEADER}: {signature}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(server.addresses.ingress.unwrap()).await.unwrap();
    send(&mut stream, head.as_bytes()).await;
    // One that is refused may be closed before it is read to its end, and its answer lost with that.
    drop(timeout(PATIENCE, stream.write_all(body)).await.expect("it is not read"));
    status(&mut stream).await.unwrap_or(503)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_clients_make_an_ingress_take_no_more_than_is_documented() {
    let files = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files }).unwrap();
    let most = memory_max(&load(None, &SETTINGS));
    let directory = tempfile::tempdir().unwrap();
    // Beyond that the system gives it no more, and it ends.
    let limit = ["prlimit".to_owned(), format!("--data={most}")];
    let server = Process::start_under(&limit, "ingress", directory.path(), &SETTINGS).ready().await;

    // What each may have without a share of what all have together; twice on each connection.
    let webhook = unfinished(65_001);
    let mut clients = strangers(&server, 3_800, &webhook).await;
    for round in 0..2 {
        let finish = stream::iter(&mut clients).map(async |client| {
            send(client, b"x").await;
            assert_eq!(status(client).await.unwrap(), 401, "signature.missing");
            if round == 0 {
                send(client, &webhook).await;
            }
        });
        finish.buffer_unordered(SENDING).collect::<()>().await;
    }
    let small = peak_memory(&server);

    // With those still connected, larger ones of strangers, most of which find no room, and then of
    // a sender.
    drop(strangers(&server, 200, &unfinished(1024 * 1024)).await);
    let body = vec![b'x'; 1024 * 1024];
    let posted = stream::iter(0..96).map(|_| post_large(&server, &body)).buffer_unordered(48);
    let answers: Vec<u16> = posted.collect().await;
    let taken = answers.iter().filter(|status| **status == 200).count();
    assert!(taken > 0 && answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");

    let [small, all, most] = [small, peak_memory(&server), most].map(|bytes| bytes / MIB);
    tell(&format!("an ingress took {small} MiB, then {all} MiB, of {most} MiB that it may take"));
    assert!(all <= most, "{all} MiB of {most}");
}

#[test]
fn deployments_give_an_ingress_the_memory_that_it_may_take() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let text = |path: &str| fs::read_to_string(deploy.join(path)).unwrap();
    let secret = [("STOREKEEPER__INGRESS__SECRETS", "YS1zZWNyZXQtb2YtdGhlLXRlc3Rz")];

    let compose = text("compose.yaml");
    let service =
        compose.split("\n  ingress:").nth(1).unwrap().split("\n  worker:").next().unwrap();
    assert!(!service.contains("_MAX"), "it has the defaults: {service}");
    let most = memory_max(&load(None, &secret));
    assert!(memory_limit(service) >= most, "compose: {} MiB", most / MIB);

    for folder in ["base", "overlays/production"] {
        let settings = deploy.join(format!("kubernetes/{folder}/storekeeper.toml"));
        let most = memory_max(&load(Some(&settings), &secret));
        let limit = memory_limit(&text("kubernetes/base/ingress-deployment.yaml"));
        assert!(limit >= most, "{folder}: {} MiB", most / MIB);
    }
}
