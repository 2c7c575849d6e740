//! The laws of dead letters, on random histories of a few messages and replays.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{Code, EnvelopeKind, Fingerprint, Rejection, Timestamp};

const REPLAY: ReplayId = ReplayId(Uuid::from_u128(1));

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn body(text: &'static str) -> Body {
    let (fingerprint, bytes) =
        (Fingerprint::of(text.as_bytes()), u32::try_from(text.len()).unwrap());
    Body { digest: BodyDigest { fingerprint, bytes, stored: bytes }, stored: Bytes::from(text) }
}

fn incoming(generation: u32, failed_at: i64, text: &'static str) -> Act {
    let own = body(text);
    let parked = Parked {
        generation,
        failed_at: at(failed_at),
        attempts: 1,
        rejection: Rejection::new(Code::NotJson, "expected a value"),
        kind: EnvelopeKind::Webhook,
        received_at: at(failed_at),
        source: "default".to_owned(),
        traceparent: None,
        tracestate: None,
        received: own.digest,
        own: own.digest,
        mark: None,
    };
    Act::Park(Box::new(Incoming { parked, own, received: None }))
}

fn edit(generation: u32, id: u128, text: &'static str) -> Act {
    Act::Edit { generation, id: MessageId(Uuid::from_u128(id)), at: at(7), body: body(text) }
}

const fn end(generation: u32, ending: Ending) -> Act {
    Act::End { generation, ending }
}

/// A dead letter and its bodies, with a replay that goes on beside it.
#[derive(Debug, Clone, Default)]
struct Letter {
    state: Option<DeadLetterState>,
    bodies: BTreeMap<Slot, Bytes>,
    counts: ReplayCounts,
}

impl Letter {
    /// Does an act; answers whether it changed anything.
    fn act(&mut self, act: &Act) -> bool {
        let replays = BTreeMap::from([(REPLAY, ReplayState::Running)]);
        let Some(step) = decide(self.state.as_ref(), act, at(9), &replays) else { return false };
        self.state = step.after;
        for (slot, body) in step.bodies {
            match body {
                Some(body) => drop(self.bodies.insert(slot, body)),
                None => drop(self.bodies.remove(&slot)),
            }
        }
        for (_, counter) in step.counts {
            *self.counts.entry(counter).or_default() += 1;
        }
        true
    }

    fn all(acts: &[Act]) -> Self {
        let mut letter = Self::default();
        for act in acts {
            letter.act(act);
        }
        letter
    }

    fn parked(&self) -> Option<&Parked> {
        self.state.as_ref()?.parked.as_ref()
    }

    /// The body that is sent, and the one that was received if that is another.
    fn texts(&self) -> Option<(&str, Option<&str>)> {
        let (slot, is_other) = self.state.as_ref()?.body(self.parked()?);
        let text = |slot| std::str::from_utf8(&self.bodies[&slot]).unwrap();
        Some((text(slot), is_other.then(|| text(Slot::Received))))
    }
}

#[test]
fn an_edit_wins_whatever_comes_first_and_the_first_body_stays() {
    let acts = [incoming(1, 1, "first"), edit(1, 1, "older"), edit(2, 2, "newer")];
    for order in [[0, 1, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1]] {
        let mut letter = Letter::all(&order.map(|place| acts[place].clone()));
        assert_eq!(letter.texts(), Some(("newer", Some("first"))), "{order:?}");
        letter.act(&incoming(2, 1, "newer"));
        assert_eq!(letter.texts(), Some(("newer", Some("first"))), "{order:?}");
        letter.act(&edit(2, 3, "first"));
        assert_eq!(letter.texts(), Some(("first", None)), "{order:?}");
    }
}

#[test]
fn a_discard_is_for_good_and_about_what_came_back_meanwhile() {
    let mut letter = Letter::all(&[incoming(1, 1, "a"), incoming(2, 1, "a")]);
    letter.act(&end(1, Ending::Discarded));
    assert_eq!((letter.parked(), letter.bodies.len()), (None, 0));
    assert!(!letter.act(&incoming(3, 1, "a")));
    assert!(!letter.act(&edit(3, 1, "b")));
    // A copy was on its way; another of its generation may be.
    assert!(!letter.act(&end(3, Ending::Settled)));
    assert!(letter.state.unwrap().is_discarded());
}

#[test]
fn what_was_settled_does_not_come_back_by_an_older_copy() {
    let mut letter = Letter::all(&[incoming(1, 1, "broken"), edit(1, 1, "good")]);
    letter.act(&end(1, Ending::Settled));
    assert!(!letter.act(&incoming(2, 1, "broken")), "a copy that was sent before the edit");
    assert_eq!((letter.parked(), letter.bodies.len()), (None, 0));
    let mut expired = Letter::all(&[incoming(1, 1, "broken"), end(1, Ending::Expired)]);
    assert!(expired.act(&incoming(2, 1, "broken")), "nothing is lost");
}

#[test]
fn a_letter_that_comes_back_is_as_old_as_its_first_failure() {
    let letter = Letter::all(&[incoming(1, 5, "a"), incoming(2, 3, "a"), incoming(3, 9, "a")]);
    assert_eq!(letter.parked().unwrap().failed_at, at(3));
}

#[test]
fn what_a_replay_owns_does_not_expire_and_what_is_old_is_forgotten() {
    let expire = Act::Expire { before: at(5) };
    let mut letter = Letter::all(&[incoming(1, 1, "a")]);
    let state = letter.state.clone().unwrap();
    letter.state = claim(&state, 1, REPLAY, &BTreeMap::new());
    assert!(!letter.act(&expire));
    letter.state = Some(state);
    assert!(letter.act(&expire) && letter.parked().is_none());
    assert!(!letter.act(&Act::Forget { before: at(9) }), "it ended only now");
    assert!(letter.act(&Act::Forget { before: at(10) }));
    assert_eq!((letter.state, letter.bodies.len()), (None, 0));
}

#[test]
fn a_letter_of_another_replay_is_left_alone_until_that_is_over() {
    let other = ReplayId(Uuid::from_u128(2));
    let letter = Letter::all(&[incoming(1, 1, "a")]);
    let claimed = claim(letter.state.as_ref().unwrap(), 1, REPLAY, &BTreeMap::new()).unwrap();
    let sent = mark_sent(&claimed, 1, REPLAY, 1).unwrap();
    assert_eq!(mark_sent(&sent, 1, REPLAY, 1), None);
    assert_eq!(mark_sent(&claimed, 2, REPLAY, 1), None);
    assert_eq!(mark_sent(&claimed, 1, other, 1), None);
    let takes = |state: &DeadLetterState, replay: Option<ReplayState>| {
        let replays = replay.map(|state| (REPLAY, state)).into_iter().collect();
        claim(state, 1, other, &replays).is_some()
    };
    for (state, while_sent) in [
        (Some(ReplayState::Making), false),
        (Some(ReplayState::Running), false),
        (Some(ReplayState::Cancelled), false),
        (None, true),
    ] {
        assert_eq!(takes(&sent, state), while_sent, "{state:?}");
    }
    assert!(takes(&claimed, Some(ReplayState::Cancelled)) && takes(&claimed, None));
    assert!(!takes(&claimed, Some(ReplayState::Running)));
}

#[test]
fn a_replay_ends_when_all_is_told_or_too_much_came_back() {
    let pace = Pace { abort_after: Some(2), ..Pace::default() };
    let record = ReplayRecord::making(at(1), pace, at(1)).with_chunk(3, at(1)).begun();
    let round = record.restarted(Fence(7)).unwrap();
    assert_eq!(round.restarted(Fence(7)), None);
    let told = |failed, settled, sent, ended| -> Option<ReplayState> {
        let counts = [
            (Counter::Failed, failed),
            (Counter::Settled, settled),
            (Counter::Sent(1), sent),
            (Counter::Ended(1), ended),
        ];
        conclude(&round, &counts.into()).map(|record| record.state)
    };
    assert_eq!(told(1, 1, 2, 2), None);
    assert_eq!(told(2, 0, 2, 2), Some(ReplayState::Aborted));
    assert_eq!(told(2, 0, 3, 2), None, "the last is on its way");
    assert_eq!(told(2, 1, 3, 3), Some(ReplayState::Done));
    let passed = ReplayRecord { position: Position { chunk: 1, index: 0 }, ..round.clone() };
    let counts =
        |ended| [(Counter::Sent(1), 2), (Counter::Settled, ended), (Counter::Ended(1), ended)];
    assert_eq!(conclude(&passed, &counts(1).into()), None);
    let done = conclude(&passed, &counts(2).into()).unwrap();
    let view = done.view(REPLAY, &counts(2).into()).unwrap();
    assert_eq!((view.settled, view.failed), (2, 1), "one could not be read");
    assert_eq!(ReplayRecord::making(at(1), pace, at(1)).begun().state, ReplayState::Done);
    assert!(!round.is_abandoned(at(99)));
    let making = ReplayRecord::making(at(1), pace, at(1));
    assert!(!making.is_abandoned(at(60)) && making.is_abandoned(at(61)));
}

#[test]
fn what_others_take_is_read_again_once_little_is_left_or_something_did_not_fit() {
    let room = || Room::new(100, vec![("a".to_owned(), 36)]);
    let parked = Letter::all(&[incoming(1, 1, "abc")]).state;
    let mut small = room();
    assert!(!small.is_tight());
    assert!(small.takes(None, parked.as_ref()) && !small.is_tight());
    assert!(small.takes(None, parked.as_ref()) && small.is_tight());
    let mut refusing = room();
    assert!(!refusing.fits("b", 51) && refusing.is_tight());
    assert!(room().fits("b", 50) && !room().fits("a", 15));
}

#[derive(Debug, Clone)]
enum Move {
    Act(Act),
    Claim,
    Send,
    Restart,
}

fn moves() -> impl Strategy<Value = Move> {
    let endings = prop::sample::select(vec![Ending::Settled, Ending::Failed, Ending::Discarded]);
    let texts = prop::sample::select(vec!["a", "b", ""]);
    prop_oneof![
        4 => (1..5_u32, 0..9_i64, texts.clone()).prop_map(|(g, t, b)| Move::Act(incoming(g, t, b))),
        2 => (1..5_u32, endings).prop_map(|(g, ending)| Move::Act(end(g, ending))),
        1 => (1..5_u32, 1..9_u128, texts).prop_map(|(g, id, b)| Move::Act(edit(g, id, b))),
        1 => (0..9_i64).prop_map(|t| Move::Act(Act::Expire { before: at(t) })),
        3 => Just(Move::Claim),
        3 => Just(Move::Send),
        1 => Just(Move::Restart),
    ]
}

proptest! {
    /// Whatever happens in whichever order: twice is once, what is over stays over, every body that
    /// a state names is there and no other, and a replay counts each dead letter exactly once.
    #[test]
    fn a_letter_keeps_its_laws(moves in prop::collection::vec(moves(), 0..40)) {
        let mut letter = Letter::default();
        let mut record = ReplayRecord::making(at(1), Pace::default(), at(1));
        record.state = ReplayState::Running;
        for step in moves {
            let was_over = letter.state.as_ref().and_then(|state| state.ended);
            let generation = letter.parked().map_or(0, |parked| parked.generation);
            let state = letter.state.clone().unwrap_or_default();
            let running = BTreeMap::from([(REPLAY, ReplayState::Running)]);
            match step {
                Move::Act(act) => {
                    letter.act(&act);
                    let once = letter.clone();
                    prop_assert!(!letter.act(&act), "twice is not once: {act:?}");
                    prop_assert_eq!(&letter.state, &once.state);
                }
                Move::Claim => {
                    if let Some(claimed) = claim(&state, generation, REPLAY, &running) {
                        record.selected += 1;
                        letter.state = Some(claimed);
                    }
                }
                Move::Send => {
                    if let Some(sent) = mark_sent(&state, generation, REPLAY, record.round) {
                        *letter.counts.entry(Counter::Sent(record.round)).or_default() += 1;
                        letter.state = Some(sent);
                    }
                }
                Move::Restart => {
                    record = record.restarted(Fence(record.round + 1)).unwrap();
                }
            }
            let Some(state) = &letter.state else { continue };
            if let Some(before) = was_over {
                prop_assert!(state.ended.unwrap().generation >= before.generation);
            }
            let is_owned = u64::from(letter.parked().is_some_and(|parked| parked.mark.is_some()));
            let view = record.view(REPLAY, &letter.counts).unwrap();
            prop_assert_eq!(view.settled + view.failed + view.gone + is_owned, record.selected);
            prop_assert!(view.open() <= is_owned);
            let Some(parked) = letter.parked() else {
                let kept = if state.edit.is_some() { vec![Slot::Edited] } else { Vec::new() };
                prop_assert_eq!(letter.bodies.keys().copied().collect::<Vec<_>>(), kept);
                continue;
            };
            prop_assert!(state.ended.is_none_or(|it| it.generation < parked.generation));
            let stored: usize = letter.bodies.values().map(Bytes::len).sum();
            prop_assert_eq!(state.stored().unwrap().1, u64::try_from(stored).unwrap());
            prop_assert!(letter.texts().is_some());
        }
    }

    #[test]
    fn counters_are_read_back(round: u64, kind in 0..5_usize) {
        let all = [
            Counter::Settled,
            Counter::Failed,
            Counter::Gone,
            Counter::Sent(round),
            Counter::Ended(round),
        ];
        prop_assert_eq!(Counter::parse(&all[kind].to_string()), Some(all[kind]));
    }
}
