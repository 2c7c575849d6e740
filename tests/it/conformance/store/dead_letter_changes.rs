//! How parked dead letters end, change, expire and are replayed.

use std::sync::Mutex;

use bytes::Bytes;
use storekeeper::domain::Code;
use storekeeper::domain::dead_letter::Room;
use storekeeper::store::{
    DeadLetter, DeadLetterEdit, DeadLetterFilter, DeadLetterName, Ending, Fence, NewReplay, Pace,
    PageRequest, Replay, ReplayId, ReplayState, Store, StoreError,
};
use uuid::Uuid;

use super::Harness;
use super::dead_letters::{letter, selected};
use super::given::{ALL, message, time};
use super::lists::assert_pages;

const NOW: i64 = 1_000;

fn name(number: u128, generation: u32) -> DeadLetterName {
    DeadLetterName { message_id: message(number), generation }
}

/// A dead letter of a later generation.
fn later(number: u128, generation: u32) -> DeadLetter {
    let mut letter = letter(number, Code::WorkerPanic, None);
    letter.envelope.replays = generation - 1;
    letter
}

async fn park(store: &dyn Store, numbers: impl Iterator<Item = u128>) {
    let letters = numbers.map(|number| letter(number, Code::NotJson, Some("alpha")));
    store.park(letters.collect()).await.unwrap();
}

async fn end(store: &dyn Store, letter: DeadLetterName, ending: Ending) {
    store.end_dead_letters(vec![letter], ending, time(NOW)).await.unwrap();
}

async fn all(store: &dyn Store) -> Vec<u128> {
    selected(store, DeadLetterFilter::default()).await
}

pub(super) async fn an_ended_generation_is_never_parked_again(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..4).await;
    end(&*store, name(1, 1), Ending::Settled).await;
    // Nothing was parked of it yet: a discard may come before its dead letter.
    end(&*store, name(9, 2), Ending::Discarded).await;
    let store = harness.crash_and_reopen(store);
    park(&*store, [1, 9].into_iter()).await;
    store.park(vec![later(9, 2)]).await.unwrap();
    // Another copy of what was settled comes back.
    store.park(vec![later(1, 2)]).await.unwrap();
    assert_eq!(all(&*store).await, [2, 3]);
    store.park(vec![later(1, 3), later(9, 3)]).await.unwrap();
    assert_eq!(all(&*store).await, [1, 2, 3], "a discard is for good");
}

pub(super) async fn only_the_named_generation_and_earlier_ones_end(harness: &Harness) {
    let store = harness.open();
    store.park(vec![later(1, 3)]).await.unwrap();
    end(&*store, name(1, 2), Ending::Settled).await;
    assert_eq!(store.dead_letter(message(1)).await.unwrap().unwrap().generation(), 3);
    end(&*store, name(1, 3), Ending::Settled).await;
    assert_eq!(store.dead_letter(message(1)).await.unwrap(), None);
}

fn edit(number: u128, generation: u32, edit: u128, body: &'static str) -> DeadLetterEdit {
    DeadLetterEdit {
        letter: name(number, generation),
        edit: message(edit),
        at: time(NOW),
        body: Bytes::from_static(body.as_bytes()),
    }
}

async fn bodies(store: &dyn Store, number: u128) -> (Bytes, Option<Bytes>) {
    let letter = store.dead_letter(message(number)).await.unwrap().unwrap();
    (letter.envelope.body, letter.original)
}

fn edited(body: &'static str) -> (Bytes, Option<Bytes>) {
    (Bytes::from_static(body.as_bytes()), Some(Bytes::from_static(b"body 1")))
}

pub(super) async fn an_edit_keeps_the_first_body_whatever_comes_first(harness: &Harness) {
    let store = harness.open();
    let cases = [(true, [10, 11]), (true, [11, 10]), (false, [10, 11]), (false, [11, 10])];
    for (number, (letter_comes_first, edits)) in (1..).zip(cases) {
        if letter_comes_first {
            park(&*store, [number].into_iter()).await;
        }
        for id in edits {
            let body = if id == 10 { "older" } else { "newer" };
            // An edit of a later generation serves this one too: a rebuild starts at the first.
            store.edit_dead_letter(edit(number, 2, id, body)).await.unwrap();
        }
        park(&*store, [number].into_iter()).await;
        let original = Bytes::from(format!("body {number}"));
        assert_eq!(bodies(&*store, number).await, ("newer".into(), Some(original)));
    }
}

pub(super) async fn a_letter_that_comes_back_edited_keeps_its_first_body(harness: &Harness) {
    let store = harness.open();
    park(&*store, [1].into_iter()).await;
    store.edit_dead_letter(edit(1, 1, 10, "edited")).await.unwrap();
    let mut again = later(1, 2);
    again.envelope.body = Bytes::from_static(b"edited");
    store.park(vec![again]).await.unwrap();
    assert_eq!(bodies(&*store, 1).await, edited("edited"));
    store.edit_dead_letter(edit(1, 2, 11, "body 1")).await.unwrap();
    assert_eq!(bodies(&*store, 1).await, ("body 1".into(), None), "the first body is no edit");
}

pub(super) async fn a_letter_that_comes_back_is_as_old_as_its_first_failure(harness: &Harness) {
    let store = harness.open();
    let failed =
        |generation, at| DeadLetter { failed_at: time(at), attempts: 5, ..later(1, generation) };
    park(&*store, 1..4).await;
    store.park(vec![failed(2, 500)]).await.unwrap();
    let store = harness.crash_and_reopen(store);
    // The clock of whoever parks may be behind.
    store.park(vec![failed(3, 900), failed(4, 100)]).await.unwrap();
    store.park(vec![failed(5, 900)]).await.unwrap();
    let came_back = store.dead_letter(message(1)).await.unwrap().unwrap();
    assert_eq!((came_back.generation(), came_back.failed_at), (5, time(100)));
    assert_eq!(came_back.attempts, 5, "attempts are those of the generation");
    let listed = store.dead_letters(&DeadLetterFilter::default(), &ALL).await.unwrap().items;
    assert_eq!(listed[0].failed_at, time(100));
    let oldest = store.dead_letter_groups().await.unwrap().into_iter().map(|group| group.oldest);
    assert_eq!(oldest.min(), Some(time(100)));
    let old = DeadLetterFilter { failed_before: Some(time(101)), ..Default::default() };
    assert_eq!(selected(&*store, old).await, [1]);
    let expired = store.expire_dead_letters(time(101), time(NOW)).await.unwrap();
    assert_eq!(expired, [(Code::WorkerPanic, 1)]);
    store.park(vec![failed(5, 900)]).await.unwrap();
    assert_eq!(all(&*store).await, [2, 3]);
}

pub(super) async fn a_decision_that_a_replay_overtook_is_about_what_came_back(harness: &Harness) {
    let store = harness.open();
    // Made before the dead letter came back, and noted after that.
    park(&*store, 1..3).await;
    store.park(vec![later(1, 2), later(2, 2)]).await.unwrap();
    let store = harness.crash_and_reopen(store);
    store.edit_dead_letter(edit(1, 1, 11, "late")).await.unwrap();
    end(&*store, name(2, 1), Ending::Discarded).await;
    assert_eq!(all(&*store).await, [1]);
    store.park(vec![later(1, 3), later(2, 3)]).await.unwrap();
    assert_eq!(all(&*store).await, [1]);
    let (body, _) = bodies(&*store, 1).await;
    assert_eq!(body, "late");
}

pub(super) async fn a_decision_about_a_letter_on_its_way_holds_when_it_comes_back(
    harness: &Harness,
) {
    let store = harness.open();
    park(&*store, 1..4).await;
    store.edit_dead_letter(edit(1, 1, 10, "edited")).await.unwrap();
    end(&*store, name(2, 1), Ending::Discarded).await;
    store.edit_dead_letter(edit(3, 1, 12, "edited")).await.unwrap();
    let store = harness.crash_and_reopen(store);
    // They were sent as they had been.
    store.park(vec![later(1, 2), later(2, 2)]).await.unwrap();
    end(&*store, name(3, 1), Ending::Settled).await;
    assert_eq!(all(&*store).await, [1]);
    assert_eq!(bodies(&*store, 1).await, edited("edited"));
    // What went well is over, whatever was decided meanwhile.
    assert!(!store.edit_dead_letter(edit(3, 1, 13, "late")).await.unwrap());
    store.park(vec![later(3, 1)]).await.unwrap();
    assert_eq!(all(&*store).await, [1]);
}

pub(super) async fn the_replay_of_a_letter_is_known_while_it_runs(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..4).await;
    let filter = DeadLetterFilter { ids: vec![message(1), message(2)], ..Default::default() };
    let replay = make(&*store, 1, filter, Pace::default()).await;
    let fence = lead(&*store, 1).await.unwrap();
    assert!(store.record_sent(replay.id, fence, vec![name(1, 1)], None).await.unwrap());
    let store = harness.crash_and_reopen(store);
    for (number, expected) in [(1, Some(replay.id)), (2, Some(replay.id)), (3, None), (9, None)] {
        assert_eq!(store.replay_of(message(number)).await.unwrap(), expected, "{number}");
    }
    store.cancel_replay(replay.id).await.unwrap();
    assert_eq!(store.replay_of(message(1)).await.unwrap(), None);
    assert_eq!(store.replay_of(message(2)).await.unwrap(), None);
}

pub(super) async fn a_later_edit_wins_although_a_restore_took_the_letter_back(harness: &Harness) {
    let store = harness.open();
    // Its second generation was edited; then the Store was lost, and has the first again.
    let before = edit(1, 2, 10, "older");
    store.edit_dead_letter(before.clone()).await.unwrap();
    park(&*store, [1].into_iter()).await;
    store.edit_dead_letter(edit(1, 1, 11, "newer")).await.unwrap();
    assert_eq!(bodies(&*store, 1).await, edited("newer"));
    assert!(
        store.edit_dead_letter(before).await.unwrap(),
        "it is no failure that a later one stands"
    );
    assert_eq!(bodies(&*store, 1).await, edited("newer"));
}

pub(super) async fn letters_are_grouped(harness: &Harness) {
    let store = harness.open();
    park(&*store, [5, 3, 4].into_iter()).await;
    store.park(vec![letter(1, Code::WorkerPanic, None)]).await.unwrap();
    let groups = store.dead_letter_groups().await.unwrap();
    let found: Vec<_> = groups.iter().map(|g| (g.reason, g.letters, g.oldest, g.newest)).collect();
    let expected =
        [(Code::NotJson, 3, time(103), time(105)), (Code::WorkerPanic, 1, time(101), time(101))];
    assert_eq!(found, expected);
}

pub(super) async fn old_letters_expire_and_young_ones_and_replayed_ones_stay(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..5).await;
    let filter = DeadLetterFilter { ids: vec![message(1)], ..DeadLetterFilter::default() };
    make(&*store, 1, filter, Pace::default()).await;
    let expired = store.expire_dead_letters(time(104), time(NOW)).await.unwrap();
    assert_eq!(expired, [(Code::NotJson, 2)]);
    assert_eq!(store.expire_dead_letters(time(104), time(NOW)).await.unwrap(), []);
    assert_eq!(all(&*store).await, [1, 4]);
    park(&*store, [2].into_iter()).await;
    assert_eq!(all(&*store).await, [1, 4], "an expired letter came back");
}

async fn make(store: &dyn Store, id: u128, filter: DeadLetterFilter, pace: Pace) -> Replay {
    let id = ReplayId(Uuid::from_u128(id));
    store.make_replay(NewReplay { id, filter, pace, made_at: time(NOW) }).await.unwrap()
}

async fn lead(store: &dyn Store, leader: u64) -> Option<Fence> {
    store.run_replays(Fence(leader)).await.unwrap()
}

async fn unsent(store: &dyn Store, replay: &Replay) -> Vec<u128> {
    let letters = store.unsent_dead_letters(replay.id, 100).await.unwrap().letters;
    letters.iter().map(|letter| letter.name().message_id.0.as_u128()).collect()
}

pub(super) async fn a_replay_acts_on_what_was_selected_when_it_was_made(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..4).await;
    let pace = Pace { rate: Some(3), ramp_millis: 7, abort_after: Some(2) };
    let replay = make(&*store, 1, DeadLetterFilter::default(), pace).await;
    assert_eq!((replay.state, replay.selected, replay.sent), (ReplayState::Running, 3, 0));
    park(&*store, 4..6).await;
    let second = make(&*store, 2, DeadLetterFilter::default(), Pace::default()).await;
    let store = harness.crash_and_reopen(store);
    assert_eq!(store.replay(replay.id).await.unwrap(), Some(replay));
    assert_eq!(unsent(&*store, &replay).await, [1, 2, 3]);
    assert_eq!(unsent(&*store, &second).await, [4, 5], "a letter is in two replays");
    let nothing = make(&*store, 3, DeadLetterFilter::default(), Pace::default()).await;
    assert_eq!((nothing.state, nothing.selected), (ReplayState::Done, 0));
    assert_eq!(store.replay(ReplayId(Uuid::nil())).await.unwrap(), None);
}

pub(super) async fn a_cancelled_replay_frees_what_was_not_sent(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..4).await;
    let replay = make(&*store, 1, DeadLetterFilter::default(), Pace::default()).await;
    let fence = lead(&*store, 1).await.unwrap();
    assert!(store.record_sent(replay.id, fence, vec![name(1, 1)], None).await.unwrap());
    let cancelled = store.cancel_replay(replay.id).await.unwrap().unwrap();
    assert_eq!((cancelled.state, cancelled.sent), (ReplayState::Cancelled, 1));
    assert_eq!(unsent(&*store, &replay).await, []);
    end(&*store, name(1, 1), Ending::Settled).await;
    let ended = store.record_outcomes(replay.id, fence).await.unwrap().unwrap();
    assert_eq!((ended.state, ended.settled), (ReplayState::Cancelled, 1));
    assert_eq!(store.open_replays().await.unwrap(), []);
    let again = make(&*store, 2, DeadLetterFilter::default(), Pace::default()).await;
    assert_eq!(unsent(&*store, &again).await, [2, 3]);
}

pub(super) async fn a_replay_counts_what_became_of_its_letters(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..6).await;
    let replay = make(&*store, 1, DeadLetterFilter::default(), Pace::default()).await;
    let fence = lead(&*store, 1).await.unwrap();
    let letters = (1..6).map(|number| name(number, 1)).collect();
    assert!(store.record_sent(replay.id, fence, letters, None).await.unwrap());
    end(&*store, name(1, 1), Ending::Settled).await;
    store.park(vec![later(2, 2)]).await.unwrap();
    // It came back, and somebody discarded it then.
    store.park(vec![later(3, 2)]).await.unwrap();
    end(&*store, name(3, 2), Ending::Discarded).await;
    end(&*store, name(4, 1), Ending::Discarded).await;
    let now = store.record_outcomes(replay.id, fence).await.unwrap().unwrap();
    assert_eq!((now.state, now.sent, now.open()), (ReplayState::Running, 5, 1));
    assert_eq!((now.settled, now.failed, now.gone), (1, 2, 1));
    end(&*store, name(5, 1), Ending::Settled).await;
    let now = store.record_outcomes(replay.id, fence).await.unwrap().unwrap();
    assert_eq!((now.state, now.settled, now.open()), (ReplayState::Done, 2, 0));
}

pub(super) async fn a_replay_aborts_after_so_many_came_back(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..5).await;
    let pace = Pace { abort_after: Some(2), ..Pace::default() };
    let replay = make(&*store, 1, DeadLetterFilter::default(), pace).await;
    let fence = lead(&*store, 1).await.unwrap();
    for (number, state) in [(1, ReplayState::Running), (2, ReplayState::Aborted)] {
        assert!(store.record_sent(replay.id, fence, vec![name(number, 1)], None).await.unwrap());
        store.park(vec![later(number, 2)]).await.unwrap();
        let now = store.record_outcomes(replay.id, fence).await.unwrap().unwrap();
        assert_eq!((now.state, u128::from(now.failed)), (state, number));
    }
    assert_eq!(unsent(&*store, &replay).await, []);
    assert_eq!(all(&*store).await, [1, 2, 3, 4]);
}

pub(super) async fn whoever_leads_no_longer_notes_nothing(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..3).await;
    let replay = make(&*store, 1, DeadLetterFilter::default(), Pace::default()).await;
    let first = lead(&*store, 1).await.unwrap();
    assert_eq!(lead(&*store, 1).await, Some(first), "it goes on");
    let second = lead(&*store, 2).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(lead(&*store, 1).await, None, "a later one leads");
    assert!(!store.record_sent(replay.id, first, vec![name(1, 1)], None).await.unwrap());
    assert_eq!(store.record_outcomes(replay.id, first).await.unwrap(), None);
    assert_eq!(unsent(&*store, &replay).await, [1, 2]);
    assert!(store.record_sent(replay.id, second, vec![name(1, 1)], None).await.unwrap());
    assert_eq!(unsent(&*store, &replay).await, [2]);
}

pub(super) async fn a_new_leader_sends_again_what_has_no_outcome(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..4).await;
    let replay = make(&*store, 1, DeadLetterFilter::default(), Pace::default()).await;
    let first = lead(&*store, 1).await.unwrap();
    assert!(store.record_sent(replay.id, first, vec![name(1, 1), name(2, 1)], None).await.unwrap());
    end(&*store, name(1, 1), Ending::Settled).await;
    assert_eq!(lead(&*store, 1).await, Some(first));
    assert_eq!(unsent(&*store, &replay).await, [3], "who goes on knows what was sent");
    let second = lead(&*store, 2).await.unwrap();
    assert_eq!(unsent(&*store, &replay).await, [2, 3]);
    let now = store.record_outcomes(replay.id, second).await.unwrap().unwrap();
    assert_eq!((now.state, now.sent, now.settled), (ReplayState::Running, 1, 1));
}

pub(super) async fn what_was_sent_counts_although_it_is_noted_after_a_cancel(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..4).await;
    let replay = make(&*store, 1, DeadLetterFilter::default(), Pace::default()).await;
    let fence = lead(&*store, 1).await.unwrap();
    store.cancel_replay(replay.id).await.unwrap();
    assert_eq!(store.open_replays().await.unwrap(), []);
    assert!(store.record_sent(replay.id, fence, vec![name(1, 1)], None).await.unwrap());
    let noted = store.replay(replay.id).await.unwrap().unwrap();
    assert_eq!((noted.state, noted.sent), (ReplayState::Cancelled, 1));
    assert_eq!(store.open_replays().await.unwrap(), [noted], "somebody must look for its outcome");
    // It is not sent again: it does not run.
    let fence = lead(&*store, 2).await.unwrap();
    assert_eq!(store.replay(replay.id).await.unwrap(), Some(noted));
    end(&*store, name(1, 1), Ending::Settled).await;
    let ended = store.record_outcomes(replay.id, fence).await.unwrap().unwrap();
    assert_eq!((ended.sent, ended.settled), (1, 1));
    assert_eq!(store.open_replays().await.unwrap(), []);
}

pub(super) async fn a_letter_on_its_way_does_not_expire_although_its_replay_is_over(
    harness: &Harness,
) {
    let store = harness.open();
    park(&*store, 1..4).await;
    let replay = make(&*store, 1, DeadLetterFilter::default(), Pace::default()).await;
    let fence = lead(&*store, 1).await.unwrap();
    assert!(store.record_sent(replay.id, fence, vec![name(2, 1)], None).await.unwrap());
    assert_eq!(store.expire_dead_letters(time(NOW), time(NOW)).await.unwrap(), []);
    store.cancel_replay(replay.id).await.unwrap();
    let expired = store.expire_dead_letters(time(NOW), time(NOW)).await.unwrap();
    assert_eq!(expired, [(Code::NotJson, 2)], "those that were not sent are free");
    assert_eq!(all(&*store).await, [2]);
}

pub(super) async fn an_edit_is_kept_as_long_as_its_letter(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..3).await;
    for number in [1, 9] {
        let early = DeadLetterEdit { at: time(1), ..edit(number, 1, 10, "edited") };
        store.edit_dead_letter(early).await.unwrap();
    }
    assert_eq!(store.expire_dead_letters(time(2), time(NOW)).await.unwrap(), []);
    store.park(vec![later(1, 2), later(9, 1)]).await.unwrap();
    assert_eq!(bodies(&*store, 1).await, edited("edited"));
    assert_eq!(bodies(&*store, 9).await, ("body 9".into(), None), "it was forgotten");
}

pub(super) async fn what_there_is_no_room_for_waits(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..2).await;
    let used = async || store.dead_letter_totals().await.unwrap().bytes;
    let one = used().await[0].1;
    let of = |number, source: &str| {
        let mut letter = letter(number, Code::NotJson, None);
        source.clone_into(&mut letter.envelope.source);
        letter
    };
    // Room for four, and so for two of a source.
    let room = async || Mutex::new(Room::new(one * 4, used().await));
    let letters = vec![of(2, "duda"), of(3, "duda"), of(4, "b"), of(5, "b"), of(6, "c")];
    let waiting = store.park_within(letters, &room().await).await.unwrap();
    assert_eq!(waiting.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [message(3), message(6)]);
    let store = harness.crash_and_reopen(store);
    assert_eq!(all(&*store).await, [1, 2, 4, 5]);
    let totals = store.dead_letter_totals().await.unwrap();
    let expected = [("b".to_owned(), one * 2), ("duda".to_owned(), one * 2)];
    assert_eq!(totals.bytes, expected);
    // What comes back takes the place of what was there.
    let came_back = later(1, 2);
    let full = Mutex::new(Room::new(one, totals.bytes));
    assert_eq!(store.park_within(vec![came_back], &full).await.unwrap(), []);
    assert_eq!(store.dead_letter(message(1)).await.unwrap().unwrap().generation(), 2);
    end(&*store, name(2, 1), Ending::Discarded).await;
    let used = store.dead_letter_totals().await.unwrap().bytes;
    let room = Mutex::new(Room::new(one * 4, used));
    assert_eq!(store.park_within(vec![of(3, "duda")], &room).await.unwrap(), []);
    assert_eq!(all(&*store).await, [1, 3, 4, 5]);
}

pub(super) async fn replays_are_listed_by_age(harness: &Harness) {
    let store = harness.open();
    park(&*store, 1..4).await;
    for (id, made_at) in [(1, 30), (2, 10), (3, 20)] {
        let filter = DeadLetterFilter { ids: vec![message(id)], ..DeadLetterFilter::default() };
        let id = ReplayId(Uuid::from_u128(id));
        let new = NewReplay { id, filter, pace: Pace::default(), made_at: time(made_at) };
        store.make_replay(new).await.unwrap();
    }
    store.cancel_replay(ReplayId(Uuid::from_u128(3))).await.unwrap();
    let store = harness.crash_and_reopen(store);
    assert_pages!(
        ["2 running", "3 cancelled", "1 running"].map(str::to_owned).into(),
        |page| store.replays(&page).await.unwrap(),
        |replay| format!("{} {}", replay.id.0.as_u128(), replay.state.as_str())
    );
    let open: Vec<_> = store.open_replays().await.unwrap().iter().map(|it| it.id.0).collect();
    assert_eq!(open, [2, 1].map(Uuid::from_u128));
    let page = PageRequest { after: Some("x".to_owned()), limit: 1 };
    let error = store.replays(&page).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
}
