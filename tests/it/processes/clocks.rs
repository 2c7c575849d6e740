//! A clock that is wrong removes nothing.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{eventually_committed, get, post};
use crate::harness::{Server, command, eventually, faketime};

/// How many bodies, dead letters and changes are kept.
fn kept(directory: &Path) -> [i64; 3] {
    let count = |file, sql| {
        let path = directory.join("data").join(file);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(path, flags).unwrap();
        connection.query_row(sql, (), |row| row.get(0)).unwrap()
    };
    [
        count("broker.db", "SELECT count(*) FROM journal"),
        count("store.db", "SELECT count(*) FROM dead_letters WHERE failed_at IS NOT NULL"),
        count("store.db", "SELECT count(*) FROM changes"),
    ]
}

/// What is in the way of a duty.
async fn problem(server: &Server, duty: &str) -> Option<String> {
    let url = format!("http://{}/readyz", server.addresses.probes);
    let problem = get(url).await["leader"]["duties"][duty]["problem"].take();
    problem.as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_clock_that_is_100_days_off_removes_nothing_until_a_person_trusts_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]).await;
    post(&server, "1").await;
    let client = reqwest::Client::new();
    client.post(server.webhooks()).body("{").send().await.unwrap();
    eventually_committed(&server, 1).await;
    eventually("one of each is kept", async || (kept(directory.path()) == [2, 1, 1]).then_some(()))
        .await;
    server.kill();
    for by in ["-100d", "+100d"] {
        let server = Server::start(directory.path(), &faketime(by)).await;
        for duty in ["sweep_journal", "sweep_dead_letters", "sweep_changes", "clock"] {
            eventually("the duty waits", async || {
                problem(&server, duty).await.filter(|why| why.contains("trust-clock"))
            })
            .await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(kept(directory.path()), [2, 1, 1], "{by}");
        if by == "+100d" {
            let trusted = command(directory.path(), &[]).args(["journal", "trust-clock"]).output();
            assert_eq!(trusted.as_ref().unwrap().status.code(), Some(0), "{trusted:?}");
            eventually("all is removed that is old", async || {
                (kept(directory.path()) == [0, 0, 0]).then_some(())
            })
            .await;
        }
        server.kill();
    }
    let nothing = command(directory.path(), &[]).args(["journal", "trust-clock"]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("no clock is doubted"));
}
