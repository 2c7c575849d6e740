//! A Redis as far away as another continent is: each answer comes later by a set time.
//!
//! A worker then spends its time waiting, so what one worker can do depends on that time and on
//! `worker.prefetch`, and hardly on how fast the machine is.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Distant {
    pub(super) port: u16,
    _tasks: JoinSet<()>,
}

impl Distant {
    /// Stands before the server at that port of this machine.
    pub(super) async fn before(server: u16, later: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                for stream in [&client, &server] {
                    stream.set_nodelay(true).unwrap();
                }
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                connections.spawn(copy(from_client, to_server, Duration::ZERO));
                connections.spawn(copy(from_server, to_client, later));
            }
        });
        Self { port, _tasks: tasks }
    }
}

/// Hands on what comes in, each piece so much later, until one side closes.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, later: Duration) {
    let (send, mut receive) = mpsc::channel(1024);
    let reading = async move {
        let mut piece = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            let read = piece[..count].to_vec();
            if send.send((Instant::now() + later, read)).await.is_err() {
                break;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = receive.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(reading, writing);
}
