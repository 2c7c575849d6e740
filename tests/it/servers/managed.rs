//! A managed Redis: a proxy before a server that may have words of its own for a command.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is answered instead of the server, if anything: to which commands, or all if none is named;
/// of those with which text in them.
pub(crate) type Words = Option<(Vec<&'static str>, &'static str, &'static str)>;

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Managed {
    port: u16,
    words: Arc<watch::Sender<Words>>,
    _tasks: JoinSet<()>,
}

impl Managed {
    /// Stands before the server at that port of this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let words = Arc::new(watch::Sender::new(None));
        let told = Arc::clone(&words);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let told = Arc::clone(&told);
                connections.spawn(async move { serve(client, server, &told).await });
            }
        });
        Self { port, words, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Answers these commands so from now on, or all if none is named.
    pub(crate) fn answer(&self, commands: &[&'static str], words: &'static str) {
        self.answer_about("", commands, words);
    }

    /// The same of commands with a text in them.
    pub(crate) fn answer_about(
        &self,
        text: &'static str,
        commands: &[&'static str],
        words: &'static str,
    ) {
        self.words.send_replace(Some((commands.to_vec(), text, words)));
    }

    /// Has the server answer again.
    pub(crate) fn answer_as_the_server(&self) {
        self.words.send_replace(None);
    }
}

/// One command after the other, until one side closes.
async fn serve(mut client: TcpStream, server: u16, words: &watch::Sender<Words>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    while let Some(command) = next(&mut client, &mut asked).await {
        let refusal = words.borrow().as_ref().and_then(|(commands, text, words)| {
            let name = name_of(&command).to_uppercase();
            let is_asked = commands.is_empty() || commands.contains(&name.as_str());
            (is_asked && String::from_utf8_lossy(&command).contains(text)).then_some(*words)
        });
        let answer = if let Some(words) = refusal {
            format!("-{words}\r\n").into_bytes()
        } else {
            if server.write_all(&command).await.is_err() {
                return;
            }
            let Some(answer) = next(&mut server, &mut answered).await else { return };
            answer
        };
        if client.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The next whole command or answer.
async fn next(from: &mut TcpStream, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = end_of(read, 0) {
            let rest = read.split_off(end);
            return Some(std::mem::replace(read, rest));
        }
        if from.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// Where a value ends that begins there, if all of it is there.
fn end_of(bytes: &[u8], start: usize) -> Option<usize> {
    let length = bytes.get(start..)?.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[start..start + length]).unwrap_or("+");
    let end = start + length + 2;
    let count = || line.get(1..).and_then(|count| count.parse::<usize>().ok());
    match line.as_bytes().first() {
        Some(b'$') => {
            let end = count().map_or(end, |count| end + count + 2);
            (bytes.len() >= end).then_some(end)
        }
        Some(b'*') => (0..count().unwrap_or(0)).try_fold(end, |end, _| end_of(bytes, end)),
        _ => Some(end),
    }
}

/// The first word of a command.
fn name_of(command: &[u8]) -> String {
    let words = String::from_utf8_lossy(command);
    words.split("\r\n").nth(2).unwrap_or_default().to_owned()
}
