//! How the service stands: the one sentence that an operator reads first.
//!
//! Everything that it goes by is passed in; it says what needs a person, and why.

use std::collections::BTreeMap;

use super::heartbeat::{Heartbeat, LeaderBeat, ProcessState, answers_of_last_hour, split_answers};
use super::{Pause, Timestamp};

const SECOND_MICROS: i64 = 1_000_000;
/// A webhook that has waited for longer needs a person, in microseconds.
const WAIT_MICROS_MAX: i64 = 5 * 60 * SECOND_MICROS;
/// A service that has run for so long without an audit needs a person, in microseconds.
const AUDIT_MICROS_MAX: i64 = 3 * 60 * 60 * SECOND_MICROS;
/// So many refusals in an hour are not looked at, unless nothing else arrives.
const REFUSALS_MIN: u64 = 10;
/// Of so many webhooks one may be refused.
const REFUSED_SHARE: u64 = 20;
/// The code of what bears no signature.
const UNSIGNED: &str = "signature.missing";
/// The duty whose postponement needs a person: the clock is wrong.
const CLOCK_DUTY: &str = "clock";
/// How the report of a postponed duty begins.
const POSTPONED: &str = "postponed:";
/// The duty that audits.
const AUDIT_DUTY: &str = "audit";

/// What is known of the service.
#[derive(Debug, Clone)]
pub struct Standing<'a> {
    /// The time of the reading.
    pub now: Timestamp,
    /// The last heartbeat of each process.
    pub beats: &'a [Heartbeat],
    /// Who paused the work queue.
    pub pause: Option<&'a Pause>,
    /// The work queue; `None` if it does not answer.
    pub queue: Option<QueueStanding>,
    /// How many dead letters are parked.
    pub dead_letters: u64,
}

/// What waits in the work queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStanding {
    /// Webhooks that are not done, and those that wait for another attempt.
    pub waiting: u64,
    /// When the oldest was received, if that is known.
    pub oldest: Option<Timestamp>,
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// One sentence.
    pub sentence: String,
    /// What needs a person; empty if all is well.
    pub problems: Vec<String>,
}

/// The last audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAudit {
    /// When it was completed.
    pub at: Timestamp,
    /// How many numbers differed.
    pub differences: u64,
}

impl Standing<'_> {
    /// The report of the process that leads.
    pub fn leader(&self) -> Option<&LeaderBeat> {
        self.leading().and_then(|beat| beat.leader.as_ref())
    }

    /// The last audit of the process that leads.
    pub fn audit(&self) -> Option<LastAudit> {
        let leader = self.leader()?;
        let at = leader.duties.get(AUDIT_DUTY)?.last_success?;
        Some(LastAudit { at, differences: leader.differences? })
    }

    /// Webhooks that were accepted in the last hour, and those that were refused, by code.
    pub fn answers(&self) -> (u64, BTreeMap<String, u64>) {
        split_answers(answers_of_last_hour(self.beats, self.now))
    }

    /// The judgement.
    pub fn verdict(&self) -> Verdict {
        let mut problems = Vec::new();
        self.judge_consumption(&mut problems);
        self.judge_stock(&mut problems);
        self.judge_duties(&mut problems);
        if self.dead_letters > 0 {
            let letters = counted(self.dead_letters, "dead letter waits", "dead letters wait");
            problems.push(format!(
                "{letters} for a decision; `storekeeper dead-letters groups` says why"
            ));
        }
        problems.extend(self.refusals());
        let sentence = match &*problems {
            [] => format!("All is well: {}.", self.praise()),
            [only] => format!("Needs a person: {only}."),
            [first, others @ ..] => {
                let others = counted(count(others.len()), "other problem", "other problems");
                format!("Needs a person: {first}, and {others}.")
            }
        };
        Verdict { sentence, problems }
    }

    fn judge_consumption(&self, problems: &mut Vec<String>) {
        let present = || self.beats.iter().filter(|beat| !beat.is_gone(self.now));
        if let Some(pause) = self.pause {
            problems
                .push(format!("the work queue is {pause}; `storekeeper queues resume` ends that"));
        }
        for beat in present().filter(|beat| beat.state == ProcessState::Blocked) {
            let why = beat.why.as_deref().unwrap_or("it does not say why");
            problems.push(format!("the worker of {} does not consume: {why}", beat.process));
        }
        let has_worker = present().any(|beat| {
            matches!(
                beat.state,
                ProcessState::Consuming | ProcessState::Paused | ProcessState::Blocked
            )
        });
        if !has_worker {
            problems.push("no worker consumes: none has reported within 3 minutes".to_owned());
        }
        match self.queue {
            None => problems.push("the queue does not answer".to_owned()),
            Some(queue) => {
                let age = queue.oldest.map_or(0, |oldest| self.micros_since(oldest));
                if age > WAIT_MICROS_MAX {
                    let minutes = age / (60 * SECOND_MICROS);
                    problems.push(format!("the oldest webhook has waited for {minutes} minutes"));
                }
            }
        }
    }

    fn judge_stock(&self, problems: &mut Vec<String>) {
        match self.audit() {
            Some(LastAudit { differences: 0, at }) => {
                if self.micros_since(at) > AUDIT_MICROS_MAX {
                    problems.push(format!("the last audit is of {at}; it is due every hour"));
                }
            }
            Some(LastAudit { differences, .. }) => {
                let differences = counted(differences, "difference", "differences");
                problems.push(format!(
                    "the last audit found {differences}; `storekeeper audit` lists them"
                ));
            }
            None => {
                let since = self.leading().map(|beat| beat.started_at);
                if since.is_some_and(|since| self.micros_since(since) > AUDIT_MICROS_MAX) {
                    problems.push("no audit was completed for hours".to_owned());
                }
            }
        }
    }

    fn judge_duties(&self, problems: &mut Vec<String>) {
        let Some(leader) = self.leader() else {
            problems.push("no process leads: audits, retention and replays wait".to_owned());
            return;
        };
        for (name, duty) in &leader.duties {
            let Some(problem) = &duty.problem else { continue };
            if name == CLOCK_DUTY || !problem.starts_with(POSTPONED) {
                problems.push(format!("the duty {name} is not done: {problem}"));
            }
        }
    }

    /// Strangers are always refused some; a shop whose webhooks are refused is another matter.
    fn refusals(&self) -> Option<String> {
        let (accepted, refused) = self.answers();
        let all: u64 = refused.values().sum();
        let is_much = all >= REFUSALS_MIN && all > (accepted + all) / REFUSED_SHARE;
        // What strangers send has no signature at all.
        let is_signed = |code: &String| code.starts_with("signature.") && code != UNSIGNED;
        let is_everything = accepted == 0 && refused.keys().any(is_signed);
        if !is_much && !is_everything {
            return None;
        }
        let codes: Vec<String> =
            refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let requests = counted(all, "request was", "requests were");
        Some(format!(
            "{requests} refused in the last hour ({}), and {accepted} accepted",
            codes.join(", ")
        ))
    }

    fn praise(&self) -> String {
        let present = self.beats.iter().filter(|beat| !beat.is_gone(self.now));
        let workers = present.filter(|beat| beat.state == ProcessState::Consuming).count();
        let workers = counted(count(workers), "worker consumes", "workers consume");
        let waiting = match self.queue.map_or(0, |queue| queue.waiting) {
            0 => "nothing waits".to_owned(),
            waiting => counted(waiting, "webhook waits", "webhooks wait"),
        };
        let audit = match self.audit() {
            Some(_) => "the last audit found no differences",
            None => "the first audit is not done yet",
        };
        format!("{workers}, {waiting}, and {audit}")
    }

    fn leading(&self) -> Option<&Heartbeat> {
        let leads = |beat: &&Heartbeat| beat.leader.as_ref().is_some_and(|leader| leader.leads);
        let present = self.beats.iter().filter(|beat| !beat.is_gone(self.now));
        present.filter(leads).max_by_key(|beat| beat.at)
    }

    const fn micros_since(&self, at: Timestamp) -> i64 {
        self.now.micros().saturating_sub(at.micros())
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Identifier;
    use crate::domain::heartbeat::{AnswersStep, DutyBeat};

    fn minutes(minutes: i64) -> Timestamp {
        Timestamp::from_micros(minutes * 60 * SECOND_MICROS)
    }

    const NOW: i64 = 10_000;

    fn duty(last_success: Option<i64>, problem: Option<&str>) -> DutyBeat {
        let last_success = last_success.map(minutes);
        DutyBeat { last_success, problem: problem.map(str::to_owned) }
    }

    /// A service in one process, with which all is well.
    fn serve() -> Heartbeat {
        let duties = [(AUDIT_DUTY.to_owned(), duty(Some(NOW - 10), None))];
        let answers = [("ok".to_owned(), 100)].into();
        Heartbeat {
            process: "host-1".to_owned(),
            role: "serve".to_owned(),
            version: "1.0.0".to_owned(),
            state: ProcessState::Consuming,
            why: None,
            started_at: minutes(NOW - 20),
            at: minutes(NOW),
            answers: BTreeMap::new(),
            recent: vec![AnswersStep { from: minutes(NOW - 5), answers }],
            leader: Some(LeaderBeat { leads: true, duties: duties.into(), differences: Some(0) }),
        }
    }

    fn changed(change: impl FnOnce(&mut Heartbeat)) -> Vec<Heartbeat> {
        let mut beat = serve();
        change(&mut beat);
        vec![beat]
    }

    fn with_duty(name: &str, duty: DutyBeat) -> Vec<Heartbeat> {
        changed(|beat| {
            let leader = beat.leader.as_mut().unwrap();
            leader.duties.insert(name.to_owned(), duty);
        })
    }

    fn answered(answers: &[(&str, u64)]) -> Vec<Heartbeat> {
        let answers = answers.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect();
        changed(|beat| beat.recent = vec![AnswersStep { from: minutes(NOW - 5), answers }])
    }

    fn standing(beats: &[Heartbeat]) -> Standing<'_> {
        let queue = Some(QueueStanding::default());
        Standing { now: minutes(NOW), beats, pause: None, queue, dead_letters: 0 }
    }

    #[track_caller]
    fn check(beats: &[Heartbeat], expected: &str) {
        let verdict = standing(beats).verdict();
        assert!(verdict.sentence.contains(expected), "{verdict:?}");
        assert_eq!(verdict.problems.is_empty(), expected.starts_with("All is well"), "{verdict:?}");
    }

    #[test]
    fn all_is_well() {
        let well = "All is well: 1 worker consumes, nothing waits, and the last audit found no \
                    differences.";
        check(&[serve()], well);
        let silent = Heartbeat { at: minutes(NOW - 60), process: "old".to_owned(), ..serve() };
        check(&[serve(), silent], well);
        check(&answered(&[("ok", 400), ("route.unknown", 12)]), well);
        check(&answered(&[("route.unknown", 2), ("signature.missing", 2)]), well);
        check(&with_duty("sweep_journal", duty(None, Some("postponed: wait"))), well);
        let new = changed(|beat| beat.leader.as_mut().unwrap().duties.clear());
        check(&new, "All is well: 1 worker consumes, nothing waits, and the first audit is not");
    }

    #[test]
    fn what_needs_a_person_is_said_by_its_heartbeats() {
        let blocked = changed(|beat| {
            beat.state = ProcessState::Blocked;
            beat.why = Some("the store is away".to_owned());
        });
        check(&blocked, "the worker of host-1 does not consume: the store is away");
        check(&changed(|beat| beat.state = ProcessState::Standby), "no worker consumes");
        check(&changed(|beat| beat.state = ProcessState::Stopped), "no worker consumes");
        check(&changed(|beat| beat.at = minutes(NOW - 4)), "no worker consumes");
        check(&changed(|beat| beat.leader = None), "no process leads");
        check(
            &changed(|beat| beat.leader.as_mut().unwrap().differences = Some(1)),
            "the last audit found 1 difference;",
        );
        check(&with_duty(AUDIT_DUTY, duty(Some(NOW - 300), None)), "it is due every hour");
        let unaudited = changed(|beat| {
            beat.started_at = minutes(NOW - 300);
            beat.leader.as_mut().unwrap().duties.clear();
        });
        check(&unaudited, "no audit was completed for hours");
        check(&with_duty("relay", duty(None, Some("refused"))), "the duty relay is not done");
        check(&with_duty(CLOCK_DUTY, duty(None, Some("postponed: x"))), "the duty clock is");
        check(
            &answered(&[("signature.mismatch", 1)]),
            "1 request was refused in the last hour (signature.mismatch 1), and 0 accepted",
        );
        check(&answered(&[("ok", 30), ("ingress.busy", 12)]), "12 requests were refused");
    }

    #[test]
    fn a_pause_a_queue_that_is_stuck_and_dead_letters_need_a_person() {
        let (beats, reason) = ([serve()], Identifier::parse("deploy").ok());
        let actor = Identifier::parse("anna").unwrap();
        let pause = Pause { actor, at: minutes(NOW - 3), reason };
        let problems = |standing: Standing<'_>| standing.verdict().problems.join("; ");
        let paused = problems(Standing { pause: Some(&pause), ..standing(&beats) });
        assert!(paused.starts_with("the work queue is paused by anna at 1970-01-07T"), "{paused}");
        let away = problems(Standing { queue: None, ..standing(&beats) });
        assert_eq!(away, "the queue does not answer");
        let oldest = Some(minutes(NOW - 6));
        let queue = Some(QueueStanding { waiting: 3, oldest });
        let stuck = problems(Standing { queue, ..standing(&beats) });
        assert_eq!(stuck, "the oldest webhook has waited for 6 minutes");
        let both = Standing { queue, dead_letters: 2, ..standing(&beats) }.verdict().sentence;
        assert_eq!(
            both,
            "Needs a person: the oldest webhook has waited for 6 minutes, and 1 other problem."
        );
    }
}
