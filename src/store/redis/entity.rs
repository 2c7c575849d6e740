//! Where each kind of entity is kept, and the reading of its state.

use redis::{Cmd, Value};

use super::client::Client;
use super::failure;
use super::keys::Keys;
use super::packed::{PackedError, unpack};
use super::value::{self, read};
use crate::domain::{OrderId, OrderState, Site};
use crate::store::{EntityId, EntityName, EntityState, Loaded, Revision, StoreError, state};

/// The key of an entity.
pub(super) fn key(keys: &Keys, entity: &EntityId) -> String {
    match &entity.name {
        EntityName::Order(order) => order_key(keys, &entity.site, order),
        EntityName::Catalogue(entry) => {
            keys.of_site(entity.site.as_str(), &[entry.kind.as_str(), entry.identifier.as_str()])
        }
        EntityName::Receipt(receipt) => keys.of_site(
            entity.site.as_str(),
            &["receipt", &receipt.key.to_string(), receipt.reference.as_str()],
        ),
    }
}

/// The key of an order.
pub(super) fn order_key(keys: &Keys, site: &Site, order: &OrderId) -> String {
    keys.of_site(site.as_str(), &["order", order.kind.as_str(), order.identifier.as_str()])
}

/// The command that reads an entity.
pub(super) fn load_command(key: &str) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(key).arg("rev").arg("state");
    command
}

/// Reads entities, in the order asked for.
pub(super) async fn load(
    client: &Client,
    entities: &[EntityId],
) -> Result<Vec<Option<Loaded>>, StoreError> {
    let keys: Vec<String> = entities.iter().map(|entity| key(client.keys(), entity)).collect();
    let commands = keys.iter().map(|key| (key.clone(), load_command(key))).collect();
    let answers = client.query_all(commands).await?;
    let loaded = entities.iter().zip(&keys).zip(answers);
    loaded.map(|((entity, key), answer)| loaded_of(entity, key, answer)).collect()
}

/// Reads what [`load_command`] answers.
pub(super) fn loaded_of(
    entity: &EntityId,
    key: &str,
    answer: Value,
) -> Result<Option<Loaded>, StoreError> {
    let (revision, state): (Option<String>, Option<Vec<u8>>) = read(key, answer)?;
    match (revision, state) {
        (None, None) => Ok(None),
        (Some(revision), Some(state)) => {
            let text = unpack(state).map_err(|error| match error {
                PackedError::Newer => StoreError::Newer {
                    detail: format!(
                        "the state of {entity} is packed in another form; run a newer release"
                    ),
                },
                PackedError::Damaged => {
                    failure::corrupt(format!("the state of {entity} ({key}) cannot be read"))
                }
            })?;
            let state = state::decode_entity(entity, &text)?;
            Ok(Some(Loaded { revision: value::revision(key, &revision)?, state }))
        }
        (Some(_), None) | (None, Some(_)) => Err(value::unreadable(key)),
    }
}

/// Reads orders of a site, in the order asked for; one that is not there is left out.
pub(super) async fn load_orders(
    client: &Client,
    site: &Site,
    names: &[OrderId],
) -> Result<Vec<(OrderId, Revision, OrderState)>, StoreError> {
    let entity =
        |order: &OrderId| EntityId { site: site.clone(), name: EntityName::Order(order.clone()) };
    let entities: Vec<EntityId> = names.iter().map(entity).collect();
    let loaded = names.iter().cloned().zip(load(client, &entities).await?);
    let orders = loaded.filter_map(|(order, loaded)| match loaded? {
        Loaded { revision, state: EntityState::Order(state) } => Some((order, revision, *state)),
        Loaded { state: EntityState::Catalogue(_) | EntityState::Receipt(_), .. } => None,
    });
    Ok(orders.collect())
}
