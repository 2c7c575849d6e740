//! A history posted at a rate that rises from nothing, stays, and falls to nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use storekeeper::simulate::History;
use tokio::task::JoinSet;

use super::Clock;
use crate::load::{CLIENTS, post};

/// Nothing comes in before.
pub(super) const BEGINS: Duration = Duration::from_secs(30);
/// How long the rate rises; then it stays for as long, and falls for as long.
pub(super) const PHASE: Duration = Duration::from_mins(2);

/// When each webhook that was answered had been sent, in the order of the answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered(Arc<Mutex<Vec<Duration>>>);

impl Answered {
    fn note(&self, sent: Duration) {
        self.0.lock().unwrap().push(sent);
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// When the one after so many had been sent; none if there are no more.
    pub(super) fn sent(&self, place: usize) -> Option<Duration> {
        self.0.lock().unwrap().get(place).copied()
    }
}

/// When a webhook is due, by the part of all that comes before it: the area under the rate is a
/// trapezoid of two phases, a half of one before and after the one in the middle.
fn due(part: f64) -> Duration {
    let phases = match part {
        ..0.25 => (part * 4.0).sqrt(),
        0.25..=0.75 => 1.0 + (part - 0.25) * 2.0,
        _ => 3.0 - ((1.0 - part) * 4.0).sqrt(),
    };
    BEGINS + PHASE.mul_f64(phases)
}

/// Posts every delivery when it is due; gives the message id of each, by its place.
pub(super) async fn post_when_due(
    history: &Arc<History>,
    url: String,
    clock: Clock,
    answered: &Answered,
) -> BTreeMap<usize, String> {
    let next = Arc::new(AtomicUsize::new(0));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (history, next, url) = (Arc::clone(history), Arc::clone(&next), url.clone());
        let (answered, client) = (answered.clone(), client.clone());
        clients.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(delivery) = history.deliveries.get(place) else { return ids };
                clock.wait_until(due(super::ratio(place, history.deliveries.len()))).await;
                let sent = clock.now();
                ids.push((place, post(&client, &url, delivery.body.clone()).await));
                answered.note(sent);
            }
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

#[test]
fn the_rate_rises_stays_and_falls() {
    let times: Vec<_> = (0..=8).map(|part| due(f64::from(part) / 8.0).as_secs()).collect();
    assert_eq!(times, [30, 114, 150, 180, 210, 240, 270, 305, 390]);
}
