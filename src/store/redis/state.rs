//! The state that events act on: loading and committing it, and the policy in force.

use async_trait::async_trait;
use redis::{Cmd, Value};

use super::{RedisStore, call, commit, dead_letters, entity, relay, sites};
use crate::domain::dead_letter::DeadLetterState;
use crate::domain::{MessageId, Policy, PolicyInForce, PolicyOrigin, Site};
use crate::store::{
    Asked, Commit, Committed, DeadLetterCommit, DeadLettersCommitted, Found, LoadedDeadLetter,
    StateStore, StoreError,
};

#[async_trait]
impl StateStore for RedisStore {
    async fn load(&self, asked: &Asked) -> Result<Found, StoreError> {
        entity::load(&self.client, asked).await
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>, StoreError> {
        let committed = commit::commit(&self.client, &commits).await?;
        if self.announces {
            relay::record_changed(&self.client, &commits, &committed).await;
        }
        Ok(committed)
    }

    async fn policy(&self) -> Result<Option<PolicyInForce>, StoreError> {
        sites::policy(&self.client).await
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
        sites::put_in_force(&self.client, proposed, origin, "adopt").await
    }

    async fn load_dead_letters(
        &self,
        ids: &[MessageId],
        with_bodies: bool,
    ) -> Result<Vec<Option<LoadedDeadLetter>>, StoreError> {
        dead_letters::load(&self.client, ids, with_bodies).await
    }

    async fn commit_dead_letters(
        &self,
        commits: Vec<DeadLetterCommit>,
    ) -> Result<Vec<DeadLettersCommitted>, StoreError> {
        dead_letters::commit(&self.client, commits).await
    }

    async fn overwrite_dead_letter(
        &self,
        id: MessageId,
        state: DeadLetterState,
    ) -> Result<(), StoreError> {
        dead_letters::overwrite(&self.client, id, &state).await
    }

    fn memory_max(&self) -> Option<u64> {
        self.client.servers().memory_max()
    }

    /// Writes for real, and runs the script of commits: a server that is full, or no master, still
    /// answers reads, and one may take writes and no scripts. What a user may do within a script was
    /// checked when the connection was made.
    async fn check(&self) -> Result<(), StoreError> {
        let keys = self.client.keys();
        self.client.query::<()>(&Cmd::set(keys.global("probe"), 1)).await?;
        self.client.query::<Value>(&Cmd::hmget(keys.of_probe(&["stock"]), "~epoch")).await?;
        self.client.run::<Value>(&call::of_nothing(keys)).await?;
        self.client.check_servers().await?;
        self.look_for_lost_data().await
    }

    async fn check_site(&self, site: &Site) -> Result<(), StoreError> {
        let keys = self.client.keys();
        let stock = Cmd::hmget(keys.of_site(site.as_str(), &["stock"]), "~epoch");
        self.client.query::<Value>(&stock).await?;
        self.client.run::<Value>(&call::of_nothing_at(keys, site)).await.map(drop)
    }

    async fn close(&self) {
        self.client.close();
    }
}
