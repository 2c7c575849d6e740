//! Heartbeats: what each process reports about itself, once a minute.
//!
//! A heartbeat is complete in itself: it has the counts of the last hour, so one that is lost costs
//! nothing once the next one arrives.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::named::named;

/// A process that was not heard from for so long is not counted on, in microseconds.
pub const SILENT_MICROS: i64 = 3 * 60 * 1_000_000;
/// The longest heartbeat that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest name of a process, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The longest reason, in characters.
const WHY_LENGTH_MAX: usize = 300;
/// The length of the steps in which answers are counted, in microseconds.
const STEP_MICROS: i64 = 5 * 60 * 1_000_000;
const HOUR_MICROS: i64 = 60 * 60 * 1_000_000;
/// The code of a webhook that was accepted.
const ACCEPTED: &str = "ok";

named! {
    /// What a process does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum ProcessState {
        /// It serves; it has no worker.
        Serving = "serving",
        /// Its worker consumes.
        Consuming = "consuming",
        /// Its worker waits for the one that consumes to end.
        Standby = "standby",
        /// A person has paused the queue.
        Paused = "paused",
        /// Its worker cannot consume.
        Blocked = "blocked",
        /// It has ended.
        Stopped = "stopped",
    }
}

/// What a process reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The name of its host, and some random characters.
    pub process: String,
    /// Its role, or `serve` for all of them.
    pub role: String,
    /// Its release.
    pub version: String,
    /// What it does.
    pub state: ProcessState,
    /// Why, if it does not do what it should.
    pub why: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it reported this.
    pub at: Timestamp,
    /// The answers of its ingress by code, since it started.
    pub answers: BTreeMap<String, u64>,
    /// The same for the last hour, in steps.
    pub recent: Vec<AnswersStep>,
    /// The report of a process that may lead.
    pub leader: Option<LeaderBeat>,
}

/// The answers of an ingress within five minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswersStep {
    /// When the step began.
    pub from: Timestamp,
    /// The answers by code.
    pub answers: BTreeMap<String, u64>,
}

/// What a process that may lead reports about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderBeat {
    /// Whether it leads.
    pub leads: bool,
    /// Its duties by name, while it leads.
    pub duties: BTreeMap<String, DutyBeat>,
    /// How many differences its last audit found.
    pub differences: Option<u64>,
}

/// The state of a duty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DutyBeat {
    /// When it was last completed by this leader.
    pub last_success: Option<Timestamp>,
    /// Why its last turn failed, or what it waits for.
    pub problem: Option<String>,
}

impl Heartbeat {
    /// Reads the body of an envelope; `None` if it is no heartbeat.
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > BODY_BYTES_MAX {
            return None;
        }
        let beat: Self = serde_json::from_slice(body).ok()?;
        let is_named = !beat.process.is_empty() && beat.process.len() <= NAME_BYTES_MAX;
        is_named.then_some(beat)
    }

    /// The body of the envelope that carries it.
    pub fn body(&self) -> String {
        serde_json::to_string(self).expect("its maps have texts as keys")
    }

    /// Whether the process is not counted on any more: it ended, or was not heard from for minutes.
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.state == ProcessState::Stopped
            || now.micros().saturating_sub(self.at.micros()) > SILENT_MICROS
    }
}

/// A reason that is short enough for a heartbeat.
pub fn shortened(why: &str) -> String {
    why.chars().take(WHY_LENGTH_MAX).collect()
}

/// The answers of the last hour of all processes, by code.
pub fn answers_of_last_hour(beats: &[Heartbeat], now: Timestamp) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for step in beats.iter().flat_map(|beat| &beat.recent) {
        if step.from.micros() > now.micros() - HOUR_MICROS {
            add(&mut sum, &step.answers);
        }
    }
    sum
}

/// Answers by code, split into those that accepted a webhook and those that refused one.
pub fn split_answers(mut answers: BTreeMap<String, u64>) -> (u64, BTreeMap<String, u64>) {
    let accepted = answers.remove(ACCEPTED).unwrap_or_default();
    (accepted, answers)
}

fn add(sum: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (code, count) in more {
        let total = sum.entry(code.clone()).or_default();
        *total = total.saturating_add(*count);
    }
}

/// Counts the answers of the last hour out of totals.
#[derive(Debug, Default)]
pub struct RecentAnswers {
    totals: BTreeMap<String, u64>,
    steps: VecDeque<AnswersStep>,
}

impl RecentAnswers {
    /// Adds what was answered since the last call, given the totals since the start.
    pub fn record(&mut self, totals: &BTreeMap<String, u64>, now: Timestamp) {
        let mut new = BTreeMap::new();
        for (code, total) in totals {
            let before = self.totals.get(code).copied().unwrap_or_default();
            if *total > before {
                new.insert(code.clone(), total - before);
            }
        }
        self.totals.clone_from(totals);
        let from = Timestamp::from_micros(now.micros().div_euclid(STEP_MICROS) * STEP_MICROS);
        while self.steps.front().is_some_and(|step| {
            step.from.micros() <= now.micros() - HOUR_MICROS || step.from > from
        }) {
            self.steps.pop_front();
        }
        if new.is_empty() {
            return;
        }
        match self.steps.back_mut().filter(|step| step.from == from) {
            Some(step) => add(&mut step.answers, &new),
            None => self.steps.push_back(AnswersStep { from, answers: new }),
        }
    }

    /// The steps of the last hour that had any answers.
    pub fn steps(&self) -> Vec<AnswersStep> {
        self.steps.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: i64) -> Timestamp {
        Timestamp::from_micros(minutes * 60 * 1_000_000)
    }

    fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect()
    }

    fn beat(recent: Vec<AnswersStep>) -> Heartbeat {
        Heartbeat {
            process: "host-1".to_owned(),
            role: "ingress".to_owned(),
            version: "1.0.0".to_owned(),
            state: ProcessState::Serving,
            why: None,
            started_at: minutes(0),
            at: minutes(100),
            answers: counts(&[("ok", 7)]),
            recent,
            leader: None,
        }
    }

    #[test]
    fn answers_are_counted_once_and_for_an_hour() {
        let mut recent = RecentAnswers::default();
        recent.record(&counts(&[("ok", 3)]), minutes(1));
        recent.record(&counts(&[("ok", 5), ("signature.mismatch", 1)]), minutes(4));
        recent.record(&counts(&[("ok", 5), ("signature.mismatch", 1)]), minutes(9));
        recent.record(&counts(&[("ok", 6), ("signature.mismatch", 4)]), minutes(30));
        let all = |now| answers_of_last_hour(&[beat(recent.steps())], minutes(now));
        assert_eq!(all(31), counts(&[("ok", 6), ("signature.mismatch", 4)]));
        assert_eq!(all(62), counts(&[("ok", 1), ("signature.mismatch", 3)]));
        assert_eq!(all(200), counts(&[]));
        recent.record(&counts(&[("ok", 6), ("signature.mismatch", 4)]), minutes(200));
        assert_eq!(recent.steps(), []);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_counts() {
        let mut recent = RecentAnswers::default();
        recent.record(&counts(&[("ok", 1)]), minutes(500));
        recent.record(&counts(&[("ok", 3)]), minutes(10));
        assert_eq!(
            answers_of_last_hour(&[beat(recent.steps())], minutes(11)),
            counts(&[("ok", 2)])
        );
    }

    #[test]
    fn a_heartbeat_is_read_back_and_anything_else_is_none() {
        let whole = beat(vec![AnswersStep { from: minutes(5), answers: counts(&[("ok", 1)]) }]);
        assert_eq!(Heartbeat::parse(whole.body().as_bytes()), Some(whole.clone()));
        let nameless = Heartbeat { process: String::new(), ..whole.clone() };
        let endless = Heartbeat { why: Some("x".repeat(BODY_BYTES_MAX)), ..whole };
        for body in ["", "{}", "[1]", &nameless.body(), &endless.body()] {
            assert_eq!(Heartbeat::parse(body.as_bytes()), None, "{body:.40}");
        }
    }

    #[test]
    fn a_process_is_gone_once_it_stopped_or_was_silent() {
        let beat = beat(Vec::new());
        assert!(!beat.is_gone(minutes(103)));
        assert!(beat.is_gone(minutes(104)));
        assert!(Heartbeat { state: ProcessState::Stopped, ..beat }.is_gone(minutes(100)));
    }
}
