//! The policy in force: one row.

use rusqlite::{Connection, OptionalExtension};

use super::column;
use crate::domain::{PolicyOrigin, PolicyRevision};
use crate::store::{PolicyInForce, state};

/// The revision of the first policy.
const FIRST_REVISION: PolicyRevision = 1;

pub(super) fn find(connection: &Connection) -> rusqlite::Result<Option<PolicyInForce>> {
    connection
        .prepare_cached("SELECT revision, policy FROM policy")?
        .query_row((), |row| {
            let revision = row.get::<_, i64>("revision")?.cast_unsigned();
            let policy = state::decode(&"the policy", column::text(row, "policy")?);
            Ok(PolicyInForce { revision, policy: policy.map_err(column::unreadable)? })
        })
        .optional()
}

/// The number of the policy in force.
pub(super) fn revision(connection: &Connection) -> rusqlite::Result<Option<PolicyRevision>> {
    connection
        .prepare_cached("SELECT revision FROM policy")?
        .query_row((), |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
        .optional()
}

/// Who put the policy in force, and when.
pub(super) fn origin(connection: &Connection) -> rusqlite::Result<Option<PolicyOrigin>> {
    connection
        .prepare_cached("SELECT actor, at FROM policy")?
        .query_row((), |row| {
            Ok(PolicyOrigin { actor: row.get("actor")?, at: column::time(row, "at")? })
        })
        .optional()
}

/// Writes the policy over another; answers with what is there then.
pub(super) fn replace(
    connection: &Connection,
    policy: &str,
    origin: &PolicyOrigin,
) -> rusqlite::Result<PolicyInForce> {
    connection
        .prepare_cached(
            "INSERT INTO policy (only, revision, policy, actor, at) VALUES (1, ?1, ?2, ?3, ?4) \
             ON CONFLICT (only) DO UPDATE SET \
             revision = revision + 1, policy = excluded.policy, actor = excluded.actor, \
             at = excluded.at WHERE policy <> excluded.policy",
        )?
        .execute((FIRST_REVISION.cast_signed(), policy, &origin.actor, origin.at.micros()))?;
    find(connection)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

/// Writes the policy unless there is one.
pub(super) fn propose(
    connection: &Connection,
    policy: &str,
    origin: &PolicyOrigin,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO policy (only, revision, policy, actor, at) VALUES (1, ?1, ?2, ?3, ?4) \
             ON CONFLICT (only) DO NOTHING",
        )?
        .execute((FIRST_REVISION.cast_signed(), policy, &origin.actor, origin.at.micros()))?;
    Ok(())
}
