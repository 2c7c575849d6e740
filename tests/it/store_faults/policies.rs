//! The policy in force, against the sites that come, and against deaths in between.

use std::sync::Arc;

use storekeeper::domain::{Policy, PolicyRevision, Restock};
use storekeeper::store::{Committed, Store};
use tokio_util::task::TaskTracker;

use super::{commit, holding, open, options, order_entity, origin};
use crate::servers::shared_redis;

/// Two policies that take turns.
fn policy(number: u64) -> Policy {
    let restock = if number.is_multiple_of(2) { Restock::Never } else { Restock::Lines };
    Policy { restock, ..Policy::default() }
}

async fn commit_for(store: &Arc<dyn Store>, site_name: &str, policy: PolicyRevision) -> Committed {
    commit(store, holding(order_entity(site_name, 1), 0, 1, policy)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_site_is_new_enough_to_miss_a_new_policy() {
    let options = options(shared_redis());
    let (replacing, committing) = (open(&options), open(&options));
    replacing.replace_policy(&policy(1), &origin()).await.unwrap();
    for revision in 1..40_u64 {
        let racing = TaskTracker::new().spawn({
            let store = Arc::clone(&committing);
            async move {
                for number in 0..10 {
                    let site_name = format!("racing-{revision}-{number}");
                    let committed = commit_for(&store, &site_name, revision).await;
                    assert!(matches!(committed, Committed::Written | Committed::PolicyChanged));
                }
            }
        });
        let in_force = replacing.replace_policy(&policy(revision + 1), &origin()).await.unwrap();
        assert_eq!(in_force.revision, revision + 1);
        // From the answer on, whether the site is new or not.
        let site_name = format!("new-{revision}");
        for site_name in [&*site_name, "old"] {
            let late = commit_for(&replacing, site_name, revision).await;
            assert_eq!(late, Committed::PolicyChanged);
        }
        racing.await.unwrap();
    }
    assert_eq!(commit_for(&committing, "old", 40).await, Committed::Written);
}

#[tokio::test]
async fn sites_that_were_not_told_learn_the_policy_from_the_first_commit() {
    let options = options(shared_redis());
    let store = open(&options);
    store.replace_policy(&policy(1), &origin()).await.unwrap();
    assert_eq!(commit_for(&store, "alpha", 1).await, Committed::Written);
    // As if whoever replaced it had died before any site was told.
    let mut connection = shared_redis().connection();
    let mut replace = redis::cmd("HSET");
    replace.arg(format!("{}:policy", options.prefix)).arg("revision").arg(2);
    replace.query::<()>(&mut connection).unwrap();
    let next = holding(order_entity("alpha", 2), 0, 1, 2);
    assert_eq!(commit(&store, next).await.unwrap(), Committed::Written);
    let late = holding(order_entity("alpha", 3), 0, 1, 1);
    assert_eq!(commit(&store, late).await.unwrap(), Committed::PolicyChanged);
}
