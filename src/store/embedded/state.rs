//! The state that events act on: loading and committing it, and the policy in force.

use async_trait::async_trait;

use super::commit::EncodedCommit;
use super::{EmbeddedStore, column, commit, dead_letters, entity, policy};
use crate::domain::dead_letter::DeadLetterState;
use crate::domain::{MessageId, Policy, PolicyInForce, PolicyOrigin, Site};
use crate::store::{
    Asked, Commit, Committed, DeadLetterCommit, DeadLettersCommitted, Found, LoadedDeadLetter,
    StateStore, StoreError,
};

#[async_trait]
impl StateStore for EmbeddedStore {
    async fn load(&self, asked: &Asked) -> Result<Found, StoreError> {
        let asked = asked.clone();
        self.read(move |connection| {
            let entities = asked.entities.iter().map(|entity| entity::load(connection, entity));
            let links = asked.links.iter().map(|(site, name)| commit::link(connection, site, name));
            Ok(Found {
                entities: entities.collect::<rusqlite::Result<_>>()?,
                links: links.collect::<rusqlite::Result<_>>()?,
            })
        })
        .await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>, StoreError> {
        let commits = commits.into_iter().map(EncodedCommit::new);
        let commits = commits.collect::<Result<Vec<_>, StoreError>>()?;
        self.write(move |connection| {
            let in_force = policy::revision(connection)?;
            commits.iter().map(|commit| commit.write(connection, in_force)).collect()
        })
        .await
    }

    async fn policy(&self) -> Result<Option<PolicyInForce>, StoreError> {
        self.read(policy::find).await
    }

    async fn adopt_policy(
        &self,
        proposed: &Policy,
        origin: &PolicyOrigin,
    ) -> Result<PolicyInForce, StoreError> {
        // Not only for speed: a worker then also starts while nothing can be written.
        if let Some(in_force) = self.policy().await? {
            return Ok(in_force);
        }
        self.put_policy(proposed, origin, policy::ADOPT).await
    }

    async fn load_dead_letters(
        &self,
        ids: &[MessageId],
        with_bodies: bool,
    ) -> Result<Vec<Option<LoadedDeadLetter>>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |connection| dead_letters::load(connection, &ids, with_bodies)).await
    }

    async fn commit_dead_letters(
        &self,
        commits: Vec<DeadLetterCommit>,
    ) -> Result<Vec<DeadLettersCommitted>, StoreError> {
        if commits.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |connection| {
            commits.iter().map(|commit| dead_letters::commit(connection, commit)).collect()
        })
        .await
    }

    async fn overwrite_dead_letter(
        &self,
        id: MessageId,
        state: DeadLetterState,
    ) -> Result<(), StoreError> {
        self.write(move |connection| dead_letters::overwrite(connection, id, &state)).await
    }

    fn memory_max(&self) -> Option<u64> {
        None
    }

    /// Writes for real: a transaction without a change would not notice a full disk.
    async fn check(&self) -> Result<(), StoreError> {
        self.database.check_undamaged()?;
        self.read(|connection| {
            column::first(connection, "SELECT probes FROM meta", (), |_| Ok(()))
        })
        .await?;
        self.write(|connection| {
            column::execute(connection, "UPDATE meta SET probes = probes + 1", ())
        })
        .await?;
        Ok(())
    }

    /// All sites are in one file.
    async fn check_site(&self, _site: &Site) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) {
        self.database.close().await;
    }
}
