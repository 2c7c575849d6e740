//! The real commands, killed in the middle of their work, again and again, and then run to their
//! end.
//!
//! Goal: `journal replay` leads to the store that was lost, and a backup is there whole or not at
//! all. Method: SIGKILL at a random place of the journal, and at a random moment of the copying, while
//! a worker is at work. `STOREKEEPER_TEST_LONG=1` kills each 20 times.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::Connection;
use storekeeper::broker::Broker;
use storekeeper::domain::{Policy, Timestamp};
use storekeeper::simulate::ModelPolicy;
use storekeeper::upkeep::rebuild::{Selection, replay};
use tokio::time::Instant;

use super::rebuild::everything;
use super::{Envelope, Shop, expected, history};
use crate::harness::{command, eventually, is_long, seed};

/// As often at most is a backup killed until one was in the middle.
const KILLS_MAX: usize = 40;

fn kills() -> usize {
    if is_long() { 20 } else { 3 }
}

/// A command of the real binary on the files of a shop.
fn of_shop(shop: &Shop, words: &[&str]) -> Command {
    let mut command = command(shop.path(), &[("STOREKEEPER__EMBEDDED__PATH", ".")]);
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs a command to its end, which must be a good one.
fn done(shop: &Shop, words: &[&str]) -> String {
    let output = of_shop(shop, words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// How many envelopes ever were in the work queue.
fn queued(shop: &Shop) -> i64 {
    let file = Connection::open(shop.path().join("broker.db")).unwrap();
    let count = "SELECT seq FROM sqlite_sequence WHERE name = 'work'";
    file.query_row(count, (), |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_replay_that_is_killed_and_run_again_rebuilds_the_store() {
    let mut dice = ChaCha8Rng::seed_from_u64(seed());
    let shop = Shop::new();
    let envelopes = history(300);
    shop.publish(&envelopes).await;
    shop.work_off(&Policy::default()).await;
    let known = everything(&*shop.store).await;
    let shop = shop.lose_the_store().await;
    let worker = shop.worker(&Policy::default()).await;
    let all = i64::try_from(envelopes.len()).unwrap();
    for _ in 0..kills() {
        let enough = queued(&shop) + dice.random_range(1..all * 3 / 4);
        let child = of_shop(&shop, &["journal", "replay"]).spawn().unwrap();
        eventually("the replay goes on", async || (queued(&shop) >= enough).then_some(())).await;
        kill(child);
    }
    done(&shop, &["journal", "replay"]);
    shop.settled().await;
    worker.stop().await;
    assert_eq!(everything(&*shop.store).await, known);
    assert_eq!(shop.stock().await, expected(&envelopes, ModelPolicy::default()));
    done(&shop, &["audit"]);
}

/// What is in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A backup as a shop of its own, and from when on its journal is to be replayed.
fn restored(backup: &Path) -> (Shop, Timestamp) {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(names(backup), ["broker.db", "replay-since", "store.db"]);
    for file in ["store.db", "broker.db"] {
        std::fs::copy(backup.join(file), directory.path().join(file)).unwrap();
    }
    let since = std::fs::read_to_string(backup.join("replay-since")).unwrap();
    (Shop::on(directory), Timestamp::parse_rfc3339(since.trim()).unwrap())
}

/// Everything that a backup says was received leads to its stock.
async fn is_complete(backup: &Path) {
    let (shop, since) = restored(backup);
    shop.assert_audit_is_clean().await;
    let journal = shop.broker.journal(None, 100_000).await.unwrap();
    let sent: Vec<Envelope> = journal.into_iter().map(|record| record.envelope).collect();
    let worker = shop.worker(&Policy::default()).await;
    let selection = Selection { since: Some(since), partial: false };
    replay(&*shop.broker, &*shop.store, selection, |_| {}).await.unwrap();
    shop.settled().await;
    worker.stop().await;
    assert_eq!(shop.stock().await, expected(&sent, ModelPolicy::default()));
    shop.assert_audit_is_clean().await;
}

/// What is left of backups that died.
fn halves(place: &Path) -> Vec<PathBuf> {
    let names = names(place).into_iter().filter(|name| name.starts_with(".storekeeper-backup-"));
    names.map(|name| place.join(name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_killed_is_no_backup_and_the_next_one_is_whole() {
    let mut dice = ChaCha8Rng::seed_from_u64(seed());
    let shop = Shop::new();
    // Bodies of a size that the copying takes a while.
    let filler = "x".repeat(30_000);
    let envelopes: Vec<_> = history(150)
        .into_iter()
        .map(|mut envelope| {
            if let Ok(text) = String::from_utf8(envelope.body.to_vec()) {
                let beginning = format!("{{\"filler\":\"{filler}\",");
                envelope.body = text.replacen('{', &beginning, 1).into();
            }
            envelope
        })
        .collect();
    let (early, late) = envelopes.split_at(envelopes.len() * 3 / 4);
    shop.publish(early).await;
    let worker = shop.worker(&Policy::default()).await;
    let place = tempfile::tempdir().unwrap();
    let to = |name: &str| place.path().join(name);
    let back_up = |to: &Path| of_shop(&shop, &["backup", to.to_str().unwrap()]);
    let started_at = Instant::now();
    assert!(back_up(&to("first")).status().unwrap().success());
    let duration = started_at.elapsed();
    let (mut halves_seen, mut wholes) = (0, vec![to("first")]);
    let killing = async {
        for number in 0.. {
            // One that was quick was whole before it was killed.
            if number >= kills() && (halves_seen > 0 || number == KILLS_MAX) {
                break;
            }
            let name = to(&format!("killed-{number}"));
            let before = halves(place.path());
            let child = back_up(&name).spawn().unwrap();
            eventually("it has begun", async || {
                (halves(place.path()) != before || name.exists()).then_some(())
            })
            .await;
            let moment = duration.mul_f64(dice.random_range(0.0..0.8));
            tokio::time::sleep(moment.min(Duration::from_secs(2))).await;
            kill(child);
            halves_seen += halves(place.path()).len();
            if name.exists() {
                wholes.push(name);
            }
        }
    };
    tokio::join!(killing, shop.publish(late));
    assert!(halves_seen > 0, "no backup was killed in the middle");
    let last = to("last");
    assert!(back_up(&last).status().unwrap().success());
    assert_eq!(halves(place.path()), [] as [PathBuf; 0], "half a backup is left");
    wholes.push(last);
    worker.stop().await;
    for backup in wholes {
        is_complete(&backup).await;
    }
}
