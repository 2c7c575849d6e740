//! `policy apply`: the stock becomes what the new policy says, whoever is at work meanwhile.

use std::collections::BTreeMap;

use storekeeper::cli::actor::ActorArgs;
use storekeeper::cli::output::Output;
use storekeeper::cli::{self, ExitStatus, Format, PolicyCommand};
use storekeeper::clock;
use storekeeper::domain::{
    Cancelled, Deleted, Identifier, Policy, ProposedPolicy, Restock, Site, StockKey, StockKeyKind,
    TestMode,
};
use storekeeper::simulate::ModelPolicy;
use storekeeper::simulate::model::{
    CancelledOrders, DeletedOrders, KeyKind, RestockedRefunds, TestOrders,
};
use storekeeper::store::{PageRequest, ReadStore, StateStore, UpkeepStore};
use storekeeper::upkeep::audit::Kind;
use storekeeper::upkeep::recompute::{self, Mode};
use storekeeper::worker::PoolError;

use super::{Shop, expected, history, order};
use crate::harness::{DEADLINE, origin};

/// Everything otherwise than by default.
fn another() -> Policy {
    Policy {
        key_precedence: StockKeyKind::ALL.into_iter().rev().collect(),
        test_mode: TestMode::Count,
        cancelled: Cancelled::Keep,
        deleted: Deleted::Release,
        restock: Restock::Lines,
    }
}

fn another_of_the_model() -> ModelPolicy {
    ModelPolicy {
        key_precedence: KeyKind::ALL.into_iter().rev().collect(),
        test_mode: TestOrders::Count,
        cancelled: CancelledOrders::Keep,
        deleted: DeletedOrders::Release,
        restock: RestockedRefunds::Lines,
    }
}

/// A configuration that names every setting.
fn proposing(policy: &Policy) -> ProposedPolicy {
    ProposedPolicy {
        key_precedence: Some(policy.key_precedence.clone()),
        test_mode: Some(policy.test_mode),
        cancelled: Some(policy.cancelled),
        deleted: Some(policy.deleted),
        restock: Some(policy.restock),
    }
}

fn application(dry_run: bool) -> PolicyCommand {
    let actor = Some(Identifier::parse("berta").unwrap());
    PolicyCommand::Apply { dry_run, by: ActorArgs { actor } }
}

/// Runs `policy apply`; answers with what was printed, as the sums of each item.
async fn apply(shop: &Shop, policy: &Policy, dry_run: bool) -> BTreeMap<(String, String), String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output { out: &mut out, err: &mut err, format: Format::Json, width: None };
    let status =
        cli::policy::run(&*shop.store, &application(dry_run), &proposing(policy), &mut output)
            .await
            .unwrap();
    assert_eq!(status, ExitStatus::Done);
    let lines = std::str::from_utf8(&out).unwrap().lines();
    let lines = lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut lines: Vec<_> = lines.collect();
    let summary = lines.pop().unwrap();
    assert_eq!((&summary["dry_run"], &summary["overflowed"]), (&dry_run.into(), &0.into()));
    assert!(err.is_empty());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    lines
        .iter()
        .map(|line| ((text(&line["site"]), text(&line["key"])), line["delta"].to_string()))
        .collect()
}

#[tokio::test]
async fn another_policy_leads_to_the_stock_of_the_model_under_it() {
    let shop = Shop::new();
    let envelopes = history(60);
    shop.publish(&envelopes).await;
    shop.work_off(&Policy::default()).await;
    let before = expected(&envelopes, ModelPolicy::default());
    assert_eq!(shop.stock().await, before);
    let foreseen = apply(&shop, &another(), true).await;
    assert_eq!(shop.stock().await, before, "a dry run changes nothing");
    assert_eq!(shop.store.policy().await.unwrap().unwrap().revision, 1);
    assert_eq!(shop.store.policy_origin().await.unwrap().unwrap().actor, "anna");
    let asked_at = clock::now();
    let done = apply(&shop, &another(), false).await;
    assert_eq!(done, foreseen);
    assert!(!done.is_empty());
    let after = expected(&envelopes, another_of_the_model());
    assert_eq!(shop.stock().await, after);
    assert_ne!(after, before);
    shop.assert_audit_is_clean().await;
    let origin = shop.store.policy_origin().await.unwrap().unwrap();
    assert_eq!(origin.actor, "berta");
    assert!((asked_at..=clock::now()).contains(&origin.at), "{origin:?}");
    assert_eq!(apply(&shop, &another(), false).await, BTreeMap::new());
    assert_eq!(shop.store.policy().await.unwrap().unwrap().revision, 2);
}

#[tokio::test]
async fn a_policy_without_effect_says_so_where_results_go() {
    let shop = Shop::new();
    shop.publish(&[order("1", "PROCESSED", 2)]).await;
    shop.work_off(&Policy::default()).await;
    for (format, expected) in [
        (
            Format::Table,
            "policy revision 1 would compute 0 orders again; 0 would hold something else\n",
        ),
        (
            Format::Json,
            "{\"revision\":1,\"dry_run\":true,\"orders\":0,\"changed\":0,\"overflowed\":0}\n",
        ),
    ] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output { out: &mut out, err: &mut err, format, width: None };
        let nothing = ProposedPolicy::default();
        cli::policy::run(&*shop.store, &application(true), &nothing, &mut output).await.unwrap();
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        assert!(err.is_empty());
    }
}

#[tokio::test]
async fn a_setting_that_is_not_configured_stays_as_it_is_in_force() {
    let shop = Shop::new();
    shop.publish(&[order("1", "CANCELLED", 2)]).await;
    shop.work_off(&another()).await;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output { out: &mut out, err: &mut err, format: Format::Json, width: None };
    let only = ProposedPolicy { restock: Some(Restock::Never), ..ProposedPolicy::default() };
    cli::policy::run(&*shop.store, &application(false), &only, &mut output).await.unwrap();
    let expected = Policy { restock: Restock::Never, ..another() };
    assert_eq!(shop.store.policy().await.unwrap().unwrap().policy, expected);
    shop.assert_audit_is_clean().await;
}

#[tokio::test]
async fn a_worker_of_the_old_policy_stops_and_writes_nothing_more() {
    let shop = Shop::new();
    let worker = shop.worker(&Policy::default()).await;
    shop.publish(&[order("1", "CANCELLED", 2)]).await;
    shop.settled().await;
    let keep = Policy { cancelled: Cancelled::Keep, ..Policy::default() };
    shop.store.replace_policy(&keep, &origin()).await.unwrap();
    shop.publish(&[order("2", "CANCELLED", 3), order("1", "CANCELLED", 2)]).await;
    let ended = worker.ended.await.unwrap();
    assert!(matches!(ended, Err(PoolError::PolicyChanged)), "{ended:?}");
    assert_eq!(shop.stock().await, BTreeMap::new());
    // What it had in hand comes again, to one that works by the policy in force.
    shop.work_off(&keep).await;
    apply(&shop, &keep, false).await;
    let (site, key) = (Site::parse("shop").unwrap(), StockKey::parse("product:P").unwrap());
    let item = shop.store.stock_item(&site, &key, &PageRequest::first(10)).await.unwrap();
    assert_eq!(item.unwrap().item.counts.committed.to_string(), "5");
    shop.assert_audit_is_clean().await;
}

#[tokio::test]
async fn a_worker_that_has_nothing_to_do_stops_when_its_policy_is_replaced() {
    let shop = Shop::new();
    let worker = shop.worker(&Policy::default()).await;
    shop.store.replace_policy(&another(), &origin()).await.unwrap();
    let ended = tokio::time::timeout(DEADLINE, worker.ended).await;
    let ended = ended.expect("it stops").unwrap();
    assert!(matches!(ended, Err(PoolError::PolicyChanged)), "{ended:?}");
}

#[tokio::test]
async fn an_application_that_died_is_reported_and_gone_on_with() {
    let shop = Shop::new();
    // So many that each site has some.
    let envelopes = history(150);
    shop.publish(&envelopes).await;
    shop.work_off(&Policy::default()).await;
    // It dies when the policy is in force and one site is done.
    let in_force = shop.store.replace_policy(&another(), &origin()).await.unwrap();
    let sites = shop.store.sites().await.unwrap();
    let mode = Mode::Write { message_id: order("1", "", 1).message_id, at: clock::now() };
    let first = recompute::site(&*shop.store, &sites[0], &in_force, mode, |_| {}).await.unwrap();
    assert!(first.orders > 0);
    let found = storekeeper::upkeep::audit::site(&*shop.store, &sites[1], |_| {}).await.unwrap();
    assert!(found.differences_count > 0);
    assert!(found.differences.iter().all(|difference| difference.kind == Kind::Policy));
    apply(&shop, &another(), false).await;
    assert_eq!(shop.store.policy().await.unwrap().unwrap(), in_force);
    assert_eq!(shop.stock().await, expected(&envelopes, another_of_the_model()));
    shop.assert_audit_is_clean().await;
}

#[tokio::test]
async fn workers_may_be_at_work_while_a_policy_is_applied() {
    let shop = Shop::new();
    let envelopes = history(40);
    let (early, late) = envelopes.split_at(envelopes.len() / 2);
    let worker = shop.worker(&Policy::default()).await;
    shop.publish(early).await;
    let another = another();
    let (_, ()) = tokio::join!(apply(&shop, &another, false), shop.publish(late));
    // Whether anything was left for the old worker to be refused at is a matter of speed.
    worker.stop.cancel();
    drop(worker.ended.await.unwrap());
    let worker = shop.worker(&another).await;
    tokio::join!(apply(&shop, &another, false), shop.settled());
    worker.stop().await;
    assert_eq!(shop.stock().await, expected(&envelopes, another_of_the_model()));
    shop.assert_audit_is_clean().await;
}
