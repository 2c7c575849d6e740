//! The policy in force: one row.

use rusqlite::Connection;

use super::{EmbeddedStore, column};
use crate::domain::{Policy, PolicyInForce, PolicyOrigin, PolicyRevision};
use crate::store::{StoreError, state};

/// The revision of the first policy.
const FIRST_REVISION: PolicyRevision = 1;

/// Leaves the policy that is in force.
pub(super) const ADOPT: &str = "INSERT INTO policy (only, revision, policy, actor, at) VALUES (1, ?1, ?2, ?3, ?4) \
     ON CONFLICT (only) DO NOTHING";
/// Replaces the policy that is in force, unless it is the same.
pub(super) const REPLACE: &str = "INSERT INTO policy (only, revision, policy, actor, at) VALUES (1, ?1, ?2, ?3, ?4) \
     ON CONFLICT (only) DO UPDATE SET \
     revision = revision + 1, policy = excluded.policy, actor = excluded.actor, \
     at = excluded.at WHERE policy <> excluded.policy";

impl EmbeddedStore {
    /// Puts a policy in force by one of these statements; returns what is in force then.
    pub(super) async fn put_policy(
        &self,
        policy: &Policy,
        origin: &PolicyOrigin,
        statement: &'static str,
    ) -> Result<PolicyInForce, StoreError> {
        let (policy, origin) = (state::encode(policy)?, origin.clone());
        let put = move |connection: &Connection| {
            let values = (FIRST_REVISION.cast_signed(), &policy, &origin.actor, origin.at.micros());
            column::execute(connection, statement, values)?;
            find(connection)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
        };
        self.write(put).await
    }
}

pub(super) fn find(connection: &Connection) -> rusqlite::Result<Option<PolicyInForce>> {
    column::first(connection, "SELECT revision, policy FROM policy", (), |row| {
        let policy = state::decode(&"the policy", column::text(row, "policy")?);
        Ok(PolicyInForce {
            revision: column::natural(row, "revision")?,
            policy: policy.map_err(column::unreadable)?,
        })
    })
}

/// The number of the policy in force.
pub(super) fn revision(connection: &Connection) -> rusqlite::Result<Option<PolicyRevision>> {
    column::first(connection, "SELECT revision FROM policy", (), |row| {
        column::natural(row, "revision")
    })
}
