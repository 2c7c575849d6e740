//! Many letters: no script looks at all of them, however many there are.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

use storekeeper::domain::Code;
use storekeeper::store::{
    DeadLetter, DeadLetterFilter, Fence, NewReplay, Pace, PageRequest, ReplayId, ReplayState,
    Store, Unsent,
};
use uuid::Uuid;

use super::{Prefix, letter, time};
use crate::harness::is_long;
use crate::servers::RedisServer;

/// As many as one replay may have, in the long form.
fn many() -> u128 {
    if is_long() { 100_000 } else { 20_000 }
}

/// The most commands that one script may give: some for each of the thousand dead letters that it
/// may look at.
const COMMANDS_MAX: u64 = 5_000;
/// What is sent when nothing more is to be counted.
const LAST: &str = "that is all";

/// Counts the commands that each script gives, until [`LAST`] is sent.
fn most_commands_of_a_script(server: &RedisServer) -> JoinHandle<u64> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"MONITOR\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "+OK");
    std::thread::spawn(move || {
        let (mut most, mut commands) = (0, 0);
        for line in lines.map(Result::unwrap) {
            if line.contains(" lua] ") {
                commands += 1;
                most = most.max(commands);
            } else {
                commands = 0;
            }
            if line.contains(LAST) {
                break;
            }
        }
        most
    })
}

#[tokio::test]
async fn no_script_looks_at_all_letters() {
    let server = RedisServer::start(&[]);
    let prefix = Prefix::on(&server);
    let store = prefix.open();
    let letters = many();
    let all: Vec<_> = (0..letters).map(|number| letter(number, Code::NotJson, 1)).collect();
    store.park(all).await.unwrap();
    let letters = u64::try_from(letters).unwrap();
    let most = most_commands_of_a_script(&server);

    let (mut listed, mut page) = (0, PageRequest::first(3_000));
    loop {
        let found = store.dead_letters(&DeadLetterFilter::default(), &page).await.unwrap();
        listed += found.items.len();
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    assert_eq!(listed as u64, letters);
    assert_eq!(store.dead_letter_groups().await.unwrap()[0].letters, letters);

    let id = ReplayId(Uuid::from_u128(1));
    let filter = DeadLetterFilter::default();
    let new = NewReplay { id, filter, pace: Pace::default(), made_at: time(2) };
    assert_eq!(store.make_replay(new).await.unwrap().selected, letters);
    // None is free.
    assert_eq!(store.expire_dead_letters(time(9), time(9)).await.unwrap(), []);

    let fence = lead(&*store, 1).await;
    for _ in 0..5 {
        let Unsent { letters, after, .. } = store.unsent_dead_letters(id, 1_000).await.unwrap();
        let names = letters.iter().map(DeadLetter::name).collect();
        assert!(store.record_sent(id, fence, names, Some(after)).await.unwrap());
    }
    let replay = store.record_outcomes(id, fence).await.unwrap().unwrap();
    assert_eq!((replay.state, replay.sent), (ReplayState::Running, 2_500));
    lead(&*store, 2).await;
    assert_eq!(store.replay(id).await.unwrap().unwrap().sent, 0);

    store.cancel_replay(id).await.unwrap();
    let mut expired = 0;
    loop {
        let [(_, count)] = store.expire_dead_letters(time(9), time(9)).await.unwrap()[..] else {
            break;
        };
        expired += count;
    }
    assert_eq!(expired, letters);
    // Endings, too, are forgotten in parts.
    while prefix.count("ZCARD", "index") > 0 {
        store.expire_dead_letters(time(99), time(99)).await.unwrap();
    }
    assert_eq!(prefix.left(), ["leader"], "something is kept for ever");

    let _: String = redis::cmd("ECHO").arg(LAST).query(&mut server.connection()).unwrap();
    let most = most.join().unwrap();
    assert!((1..=COMMANDS_MAX).contains(&most), "{most} commands in one script");
}

async fn lead(store: &dyn Store, leader: u64) -> Fence {
    store.run_replays(Fence(leader)).await.unwrap().unwrap()
}
