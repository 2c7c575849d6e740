//! Whole histories with operators in them: whatever is done to a shop, nothing is lost and nothing
//! counts twice.
//!
//! Method: random histories of webhooks and receipts of two sites, some of them broken, among
//! which orders are corrected and closed, receipts made void, policies applied, dead letters edited,
//! discarded and replayed, files backed up, lost, restored and rebuilt, and the process killed. Broker, Store, worker and replayer
//! are the real ones on real files. The Store fails at random. Whenever orders are closed, and at
//! the end, all queues must be empty, the stock that of the model, the audit clean, and every
//! message must have one end; [`ledger`] says which. `STOREKEEPER_TEST_LONG=1` plays 2,000 cases;
//! `STOREKEEPER_TEST_SEED` plays the cases of a seed again, with tasks that may run in another
//! order.

mod closings;
mod lapse;
mod ledger;
mod mishaps;
mod shop;
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError};
use storekeeper::app::back_up;
use storekeeper::broker::{Broker, Envelope, EnvelopeKind};
use storekeeper::domain::{
    Code, Identifier, List, MessageId, Note, OrderId, Policy, ReceiptId, Site, StockKey, Timestamp,
};
use storekeeper::requests::corrections::{self, CorrectionRequest};
use storekeeper::requests::receipts;
use storekeeper::simulate::model;
use storekeeper::store::orders::{StoredOrder, order};
use storekeeper::store::{DeadLetterFilter, DeadLetterName, DeadLetterSummary};
use storekeeper::{clock, dead_letters};
use tempfile::TempDir;
use uuid::Uuid;

use crate::generators::{policies, runner};
use crate::harness::{is_long, seed};
use closings::Closings;
use lapse::hurried;
use ledger::{Accepted, Ledger, OrderName};
use mishaps::Mishaps;
use shop::{Shop, is_by_mishap};
use steps::{Goods, Loss, Said, Step, body, steps};

/// Threads that play cases, most of which wait for the disk most of the time.
const THREADS: u32 = 4;
/// How long a thread looks for a smaller case that fails too, in milliseconds.
const SHRINK_MILLIS_MAX: u32 = 60_000;
/// A body that is broken whatever was broken before.
const BROKEN: &[u8] = b"{";

#[test]
fn whatever_operators_do_every_message_has_one_end_and_the_stock_is_that_of_the_model() {
    let cases = if is_long() { 2_000 } else { 24 };
    let seed = seed();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || play_some(cases / THREADS, seed.wrapping_add(thread.into())))
            })
            .collect();
        let failures: Vec<_> =
            threads.into_iter().filter_map(|thread| thread.join().unwrap().err()).collect();
        let failures = failures.join("\n");
        assert!(failures.is_empty(), "STOREKEEPER_TEST_SEED={seed} shows it again: {failures}");
    });
}

/// Plays so many cases; answers with the least that fails.
fn play_some(cases: u32, seed: u64) -> Result<(), String> {
    let config = Config { cases, max_shrink_time: SHRINK_MILLIS_MAX, ..Config::default() };
    let given = (policies(), prop::collection::vec(steps(), 10..=40), any::<u64>());
    let played = runner(seed, config).run(&given, |(policy, steps, mishaps)| {
        hurried(play(policy, steps, mishaps));
        Ok(())
    });
    played.map_err(|error| match error {
        TestError::Abort(reason) => reason.to_string(),
        TestError::Fail(reason, (policy, steps, mishaps)) => {
            let steps: Vec<_> = steps.iter().map(|step| format!("{step:?}")).collect();
            format!("{reason}\n{policy:?}\n{}\nmishaps {mishaps}", steps.join("\n"))
        }
    })
}

async fn play(policy: Policy, steps: Vec<Step>, mishaps: u64) {
    let mishaps = Arc::new(Mishaps::new(mishaps));
    let shop = Shop::open(tempfile::tempdir().unwrap(), &policy, Arc::clone(&mishaps)).await;
    let ledger = Ledger::default();
    let mut case = Case { shop, policy, mishaps, ledger, backup: None };
    for step in steps {
        case = Box::pin(case.step(step)).await;
    }
    case.check().await;
    case.shop.stop().await;
}

/// A shop, and what is known of it.
#[derive(Debug)]
struct Case {
    shop: Shop,
    policy: Policy,
    mishaps: Arc<Mishaps>,
    ledger: Ledger,
    backup: Option<BackUp>,
}

/// A copy of the files, and what was known when it was made.
#[derive(Debug)]
struct BackUp {
    place: TempDir,
    since: Timestamp,
    closings: Closings,
    /// Messages that were accepted before.
    accepted: usize,
}

impl Case {
    async fn step(mut self, step: Step) -> Self {
        match step {
            Step::Deliver { event, flaw } => {
                self.deliver(body(&event, flaw), body(&event, None)).await;
            }
            Step::Repeat(webhook) => {
                let webhooks = self.ledger.accepted.iter();
                let bodies: Vec<_> = webhooks
                    .filter_map(|it| Some((it.body.clone(), it.repaired.clone()?)))
                    .collect();
                if let Some((body, repaired)) = choose(&bodies, webhook) {
                    self.deliver(body.clone(), repaired.clone()).await;
                }
            }
            Step::Receive(goods) => self.receive(&goods).await,
            Step::Correct(said) => self.correct(said).await,
            Step::Apply(policy) => {
                self.shop.apply(&policy).await;
                self.policy = policy;
            }
            Step::Close => self.close().await,
            Step::BackUp => self.back_up().await,
            Step::Lose(loss) => return self.lose(loss).await,
            Step::ReplayJournal(message) => {
                if let Some(message) = choose(&self.ledger.accepted, message) {
                    self.shop.replay_journal(Some(message.received_at)).await;
                }
            }
            Step::ReplayLetters => {
                self.shop.replay_letters(DeadLetterFilter::default()).await;
            }
            Step::Edit { letter, repairs } => self.edit(letter, repairs).await,
            Step::Discard(letter) => self.discard(letter).await,
            Step::Crash => {
                let directory = self.shop.crash().await;
                self.shop = Shop::open(directory, &self.policy, Arc::clone(&self.mishaps)).await;
            }
            Step::Rest => self.shop.rest().await,
        }
        self
    }

    async fn deliver(&mut self, body: Bytes, repaired: Bytes) {
        let envelope = Envelope {
            message_id: MessageId(Uuid::now_v7()),
            kind: EnvelopeKind::Webhook,
            received_at: clock::now(),
            source: "duda".to_owned(),
            replays: 0,
            traceparent: None,
            tracestate: None,
            body,
        };
        self.publish(envelope, Some(repaired)).await;
    }

    async fn receive(&mut self, goods: &Goods) {
        let receipt = ReceiptId {
            key: StockKey::parse(goods.key).unwrap(),
            reference: Identifier::parse(goods.reference).unwrap(),
        };
        let site = Site::parse(goods.site).unwrap();
        let envelope = receipts::envelope(&site, &receipt, goods.content, &Note::default(), "test");
        self.publish(envelope, None).await;
    }

    /// Corrects one of the orders that can be seen, as it is now.
    async fn correct(&mut self, said: Said) {
        self.shop.heal().await;
        let journal = self.shop.journal().await;
        let letters = self.shop.letters(&DeadLetterFilter::default()).await;
        let model = self.ledger.observed(&journal, &letters, &self.policy);
        let names: Vec<OrderName> = model.lists().into_keys().collect();
        let names: Vec<OrderName> =
            names.into_iter().filter(|name| !self.ledger.closings.have_closed(name)).collect();
        let Some(name) = choose(&names, said.order) else { return };
        let found = self.order(name).await.unwrap_or_else(|| panic!("{name:?} is not there"));
        let shown = model.shown(&name.0, &name.1);
        let is_shown = found.record.shown().is_some();
        assert_eq!(is_shown, shown.is_some(), "{name:?}: {:?}", found.record);
        let (Some(shown), Some(seen)) = (shown, found.record.shown()) else { return };
        let request = CorrectionRequest {
            site: found.site,
            order: found.order.clone(),
            action: said.action,
            shown: None,
            reference: Identifier::parse(said.reference).unwrap(),
            note: Note::default(),
        };
        let envelope = corrections::envelope(&request, &found.order, &seen, "test");
        let correction = model::Correction {
            site: name.0.clone(),
            order: name.1.clone(),
            action: ledger::action(said.action),
            shown,
            reference: said.reference.to_owned(),
            message_id: envelope.message_id.to_string(),
            received_at_us: envelope.received_at.micros(),
        };
        self.publish(envelope, None).await;
        let accepted = self.ledger.accepted.last_mut().unwrap();
        accepted.correction = Some(correction);
    }

    async fn order(&self, (site, name): &OrderName) -> Option<StoredOrder> {
        let (site, name) = (Site::parse(site).unwrap(), OrderId::parse(name).unwrap());
        order(&*self.shop.store, &site, &name).await.unwrap()
    }

    async fn publish(&mut self, envelope: Envelope, repaired: Option<Bytes>) {
        let (id, received_at) = (envelope.message_id, envelope.received_at);
        let body = envelope.body.clone();
        self.shop.broker.publish(envelope).await.unwrap();
        self.ledger.accepted.push(Accepted { id, received_at, repaired, body, correction: None });
    }

    /// Closes what is settled. What came before must have been applied: it is taken for known.
    async fn close(&mut self) {
        self.check().await;
        let before = clock::now();
        let journal = self.shop.journal().await;
        let letters = self.shop.letters(&DeadLetterFilter::default()).await;
        let (closed, kept) = self.ledger.close(&journal, &letters, &self.policy, before);
        self.shop.close(before).await;
        for (name, is_there) in
            closed.iter().map(|name| (name, false)).chain(kept.iter().map(|name| (name, true)))
        {
            assert_eq!(self.order(name).await.is_some(), is_there, "{name:?}");
        }
    }

    async fn back_up(&mut self) {
        let place = tempfile::tempdir().unwrap();
        let since = back_up(self.shop.path(), &place.path().join("copy"), |_, _, _| {}).await;
        self.backup = Some(BackUp {
            place,
            since: since.unwrap(),
            closings: self.ledger.closings.clone(),
            accepted: self.ledger.accepted.len(),
        });
    }

    async fn lose(mut self, loss: Loss) -> Self {
        let mishaps = Arc::clone(&self.mishaps);
        let Some(backup) = self.backup.take_if(|_| !matches!(loss, Loss::StoreWithoutBackup))
        else {
            self.shop.rest().await;
            let directory = self.shop.lose_store(None).await;
            self.shop = Shop::open(directory, &self.policy, mishaps).await;
            self.shop.replay_journal(None).await;
            self.ledger.closings = Closings::default();
            return self;
        };
        let copy = backup.place.path().join("copy");
        let directory = if matches!(loss, Loss::Everything) {
            drop(self.shop.crash().await);
            let directory = tempfile::tempdir().unwrap();
            for file in ["store.db", "broker.db"] {
                std::fs::copy(copy.join(file), directory.path().join(file)).unwrap();
            }
            directory
        } else {
            self.shop.rest().await;
            self.shop.lose_store(Some(&copy)).await
        };
        self.shop = Shop::open(directory, &self.policy, mishaps).await;
        if matches!(loss, Loss::Everything) {
            self.ledger.go_back_to(&self.shop.journal().await, backup.accepted);
        }
        self.shop.apply(&self.policy).await;
        self.shop.replay_journal(Some(backup.since)).await;
        self.ledger.closings.clone_from(&backup.closings);
        self.backup = Some(backup);
        self
    }

    /// Gives a letter another body, after which it has that body.
    async fn edit(&mut self, index: prop::sample::Index, repairs: bool) {
        self.shop.rest().await;
        let letters = self.letters_but(|code| code == Code::OrderExpired).await;
        let Some(letter) = choose(&letters, index) else { return };
        let accepted = self.ledger.accepted.iter().find(|accepted| accepted.id == letter.id);
        let good = accepted.and_then(|accepted| accepted.repaired.clone()).unwrap();
        // If the good body was replayed once, a rebuild applies that, whatever was edited later.
        let was_repaired =
            self.shop.journal().await.iter().any(|record| {
                record.envelope.message_id == letter.id && record.envelope.body == good
            });
        let body = if repairs || was_repaired { good } else { Bytes::from_static(BROKEN) };
        let name = DeadLetterName { message_id: letter.id, generation: letter.generation };
        let broker = Arc::clone(&self.shop.broker) as Arc<dyn Broker>;
        let done = dead_letters::edit(&broker, self.shop.port(), name, &body).await.unwrap();
        self.ordered(done.message_id).await;
        let edited = self.shop.port().dead_letter(letter.id).await.unwrap();
        assert_eq!(edited.map(|edited| edited.envelope.body), Some(body), "{letter:?}");
    }

    /// Discards a letter, after which it is gone.
    async fn discard(&mut self, index: prop::sample::Index) {
        self.shop.rest().await;
        let letters = self.letters_but(|_| false).await;
        let Some(letter) = choose(&letters, index) else { return };
        let name = DeadLetterName { message_id: letter.id, generation: letter.generation };
        let broker = Arc::clone(&self.shop.broker) as Arc<dyn Broker>;
        let done = dead_letters::discard(&broker, self.shop.port(), name).await.unwrap();
        self.ordered(done.message_id).await;
        assert_eq!(self.shop.port().dead_letter(letter.id).await.unwrap(), None);
    }

    /// Letters that a person understands. What failed by mishap may be applied all the same.
    async fn letters_but(&self, others: impl Fn(Code) -> bool) -> Vec<DeadLetterSummary> {
        let mut letters = self.shop.letters(&DeadLetterFilter::default()).await;
        letters.retain(|letter| !is_by_mishap(letter) && !others(letter.rejection.code));
        letters
    }

    /// Notes what a person ordered, and waits until it is in effect.
    async fn ordered(&mut self, id: MessageId) {
        let received_at = clock::now();
        let body = Bytes::new();
        self.ledger.accepted.push(Accepted {
            id,
            received_at,
            repaired: None,
            body,
            correction: None,
        });
        self.shop.rest().await;
    }

    /// Fails unless all is as it must be once nothing is left to do.
    async fn check(&self) {
        self.shop.heal().await;
        let journal = self.shop.journal().await;
        self.ledger.check_journal(&journal);
        let letters = self.shop.letters(&DeadLetterFilter::default()).await;
        let expected = self.ledger.stock(&journal, &letters, &self.policy);
        assert_eq!(self.shop.stock().await, expected, "letters: {letters:#?}");
        for (name, lists) in self.ledger.lists(&journal, &letters, &self.policy) {
            let found = self.order(&name).await.unwrap_or_else(|| panic!("{name:?} is not there"));
            let found: BTreeSet<List> = found.record.lists.iter().collect();
            assert_eq!(found, lists, "{name:?}");
        }
        self.shop.audit().await;
    }
}

fn choose<T>(among: &[T], index: prop::sample::Index) -> Option<&T> {
    (!among.is_empty()).then(|| index.get(among))
}
