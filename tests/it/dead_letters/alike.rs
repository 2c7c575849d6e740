//! Random histories of dead letters and replays, told to both backends: whatever can be seen of
//! one can be seen of the other, after every step.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use storekeeper::domain::{Code, Site};
use storekeeper::store::embedded::EmbeddedStore;
use storekeeper::store::{
    DeadLetter, DeadLetterEdit, DeadLetterFilter, DeadLetterName, Ending, Fence, NewReplay, Pace,
    PageRequest, ReplayId, Store, Unsent,
};
use uuid::Uuid;

use super::{Prefix, letter, message, time};
use crate::harness::{is_long, seed};

/// So few messages, generations and times that they meet often.
const MESSAGES: u128 = 4;
const GENERATIONS: u32 = 4;
const TIMES: i64 = 12;

#[derive(Debug, Clone)]
enum Step {
    Park(Vec<DeadLetter>),
    End(Vec<DeadLetterName>, Ending, i64),
    Edit(DeadLetterEdit),
    Expire(i64),
    Make(NewReplay),
    Cancel(ReplayId),
    Lead(u64),
    /// Sends so many dead letters of a replay, and notes it under the nth number of a leader.
    Send(ReplayId, usize, usize),
    /// Notes dead letters as sent that may not have been read.
    RecordSent(ReplayId, DeadLetterName, usize),
    Outcomes(ReplayId, usize),
}

/// What was told so far, as far as the next step needs it.
struct Teller {
    rng: ChaCha8Rng,
    replays: Vec<ReplayId>,
    leader: u64,
    fences: usize,
}

/// A Store, and the numbers of its leaders.
struct Told {
    store: Arc<dyn Store>,
    fences: Vec<Fence>,
}

impl Teller {
    fn step(&mut self) -> Step {
        match self.rng.random_range(0..20) {
            0..5 => {
                let count = self.rng.random_range(1..4);
                Step::Park((0..count).map(|_| self.letter()).collect())
            }
            5..8 => {
                let count = self.rng.random_range(1..3);
                let letters = (0..count).map(|_| self.name()).collect();
                let endings = [Ending::Settled, Ending::Failed, Ending::Discarded, Ending::Expired];
                // A discard is for good: with many of them little would happen.
                let weights = if self.rng.random_bool(0.2) { &endings[..] } else { &endings[..2] };
                let ending = *weights.choose(&mut self.rng).unwrap();
                Step::End(letters, ending, self.time())
            }
            8 => Step::Edit(DeadLetterEdit {
                letter: self.name(),
                edit: message(self.rng.random_range(1..9)),
                at: time(self.time()),
                body: self.body(),
            }),
            9 => Step::Expire(self.time()),
            10..13 => Step::Make(self.replay()),
            13 => Step::Cancel(self.replay_id()),
            14..16 => {
                // The one that leads, a later one, or an earlier one.
                self.leader += u64::from(self.rng.random_bool(0.4));
                Step::Lead(self.leader - u64::from(self.rng.random_bool(0.2)))
            }
            16..18 => Step::Send(self.replay_id(), self.rng.random_range(1..4), self.fence()),
            18 if self.rng.random_bool(0.3) => {
                Step::RecordSent(self.replay_id(), self.name(), self.fence())
            }
            _ => Step::Outcomes(self.replay_id(), self.fence()),
        }
    }

    fn letter(&mut self) -> DeadLetter {
        let DeadLetterName { message_id, generation } = self.name();
        let code = *[Code::NotJson, Code::WorkerPanic].choose(&mut self.rng).unwrap();
        let mut letter = letter(message_id.0.as_u128(), code, self.time());
        letter.envelope.replays = generation - 1;
        letter.envelope.body = self.body();
        letter.rejection.site = self.site();
        if self.rng.random_bool(0.1) {
            letter.original = Some(self.body());
        }
        letter
    }

    fn name(&mut self) -> DeadLetterName {
        let generation = self.rng.random_range(1..=GENERATIONS);
        DeadLetterName { message_id: message(self.rng.random_range(1..=MESSAGES)), generation }
    }

    fn site(&mut self) -> Option<Site> {
        let site = ["", "alpha", "a|%}"].choose(&mut self.rng).unwrap();
        Site::parse(site).ok()
    }

    fn body(&mut self) -> Bytes {
        Bytes::from_static([&b"a"[..], b"b\xff\0", b""].choose(&mut self.rng).unwrap())
    }

    fn time(&mut self) -> i64 {
        self.rng.random_range(0..TIMES)
    }

    fn replay(&mut self) -> NewReplay {
        let id = ReplayId(Uuid::from_u128(self.replays.len() as u128 + 1));
        self.replays.push(id);
        let some = |wanted: bool| move |value| wanted.then_some(value);
        let ids = (0..self.rng.random_range(0..3)).map(|_| self.name().message_id).collect();
        let filter = DeadLetterFilter {
            reason: some(self.rng.random_bool(0.2))(Code::NotJson),
            site: if self.rng.random_bool(0.2) { self.site() } else { None },
            failed_before: self.rng.random_bool(0.2).then(|| time(self.time())),
            ids: if self.rng.random_bool(0.3) { ids } else { Vec::new() },
        };
        let pace = Pace {
            rate: self.rng.random_bool(0.5).then_some(7),
            ramp_millis: if self.rng.random_bool(0.5) { 9 } else { 0 },
            abort_after: self.rng.random_bool(0.5).then_some(1),
        };
        NewReplay { id, filter, pace, made_at: time(self.time()) }
    }

    /// One of the last replays, or one that there is not.
    fn replay_id(&mut self) -> ReplayId {
        let last = self.replays.len().saturating_sub(3);
        let id = self.replays[last..].choose(&mut self.rng);
        id.copied().unwrap_or(ReplayId(Uuid::nil()))
    }

    /// The last number of a leader, or the one before.
    fn fence(&mut self) -> usize {
        self.fences.saturating_sub(1 + usize::from(self.rng.random_bool(0.1)))
    }
}

impl Told {
    const fn new(store: Arc<dyn Store>) -> Self {
        Self { store, fences: Vec::new() }
    }

    fn fence(&self, nth: usize) -> Fence {
        self.fences.get(nth).copied().unwrap_or(Fence(0))
    }

    /// What a step answers.
    async fn take(&mut self, step: &Step) -> String {
        let store = &self.store;
        let told = |answer: &dyn Debug| format!("{answer:?}");
        match step.clone() {
            Step::Park(letters) => told(&store.park(letters).await.unwrap()),
            Step::End(letters, ending, at) => {
                told(&store.end_dead_letters(letters, ending, time(at)).await.unwrap())
            }
            Step::Edit(edit) => told(&store.edit_dead_letter(edit).await.unwrap()),
            Step::Expire(before) => {
                let mut expired =
                    store.expire_dead_letters(time(before), time(TIMES)).await.unwrap();
                expired.sort_unstable();
                told(&expired)
            }
            Step::Make(replay) => told(&store.make_replay(replay).await.unwrap()),
            Step::Cancel(id) => told(&store.cancel_replay(id).await.unwrap()),
            Step::Lead(leader) => {
                let fence = store.run_replays(Fence(leader)).await.unwrap();
                let known = self.fences.iter().position(|known| Some(*known) == fence);
                // The numbers may differ, but not which is the same as which.
                let nth = fence.map(|fence| {
                    self.fences.extend(known.is_none().then_some(fence));
                    known.unwrap_or(self.fences.len() - 1)
                });
                told(&nth)
            }
            Step::Send(id, count, fence) => {
                let Unsent { letters, after, .. } =
                    store.unsent_dead_letters(id, count).await.unwrap();
                let names = letters.iter().map(DeadLetter::name).collect();
                let noted = store.record_sent(id, self.fence(fence), names, Some(after));
                let noted = noted.await.unwrap();
                told(&(letters, after, noted))
            }
            Step::RecordSent(id, name, fence) => {
                told(&store.record_sent(id, self.fence(fence), vec![name], None).await.unwrap())
            }
            Step::Outcomes(id, fence) => {
                told(&store.record_outcomes(id, self.fence(fence)).await.unwrap())
            }
        }
    }
}

/// All that can be seen.
async fn look(store: &dyn Store, replays: &[ReplayId]) -> Vec<String> {
    let mut seen = Vec::new();
    let mut page = PageRequest::first(3);
    loop {
        let found = store.dead_letters(&DeadLetterFilter::default(), &page).await.unwrap();
        seen.push(format!("{found:?}"));
        let Some(next) = found.next else { break };
        page.after = Some(next);
    }
    let mut counts = store.dead_letter_counts().await.unwrap();
    counts.sort_unstable();
    seen.push(format!("{counts:?}"));
    seen.push(format!("{:?}", store.dead_letter_groups().await.unwrap()));
    for number in 1..=MESSAGES {
        seen.push(format!("{:?}", store.dead_letter(message(number)).await.unwrap()));
        seen.push(format!("{:?}", store.replay_of(message(number)).await.unwrap()));
    }
    seen.push(format!("{:?}", store.open_replays().await.unwrap()));
    for id in replays {
        seen.push(format!("{:?}", store.replay(*id).await.unwrap()));
        seen.push(format!("{:?}", store.unsent_dead_letters(*id, 100).await.unwrap()));
    }
    seen
}

#[tokio::test]
async fn both_backends_show_the_same_after_every_step() {
    let seed = seed();
    let (histories, steps) = if is_long() { (200, 200) } else { (6, 80) };
    for history in 0..histories {
        let directory = tempfile::tempdir().unwrap();
        let mut embedded = Told::new(Arc::new(EmbeddedStore::open(directory.path()).unwrap()));
        let mut redis = Told::new(Prefix::new().open());
        let rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(history));
        let mut teller = Teller { rng, replays: Vec::new(), leader: 1, fences: 0 };
        let mut told = Vec::new();
        for _ in 0..steps {
            let step = teller.step();
            told.push(format!("{step:?}"));
            let expected = embedded.take(&step).await;
            assert_eq!(redis.take(&step).await, expected, "{}", told.join("\n"));
            teller.fences = embedded.fences.len();
            let expected = look(&*embedded.store, &teller.replays).await;
            let shown = look(&*redis.store, &teller.replays).await;
            assert_eq!(shown, expected, "history {history}:\n{}", told.join("\n"));
        }
        embedded.store.close().await;
    }
}
