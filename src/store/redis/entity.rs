//! Where each kind of entity is kept, and the reading of states and links.

use std::collections::BTreeMap;

use redis::{Cmd, Value};

use super::client::Client;
use super::keys::Keys;
use super::value::{self, parsed, read};
use crate::domain::{Link, OrderId, Record, Site};
use crate::store::{
    Asked, EntityId, EntityName, EntityState, Found, Loaded, Revision, StoreError, state,
};

/// The key of an entity.
pub(super) fn key(keys: &Keys, site: &Site, name: &EntityName) -> String {
    match name {
        EntityName::Order(order) => order_key(keys, site, order),
        EntityName::Catalogue(entry) => {
            keys.of_site(site.as_str(), &[entry.kind.as_str(), entry.identifier.as_str()])
        }
        EntityName::Receipt(receipt) => keys.of_site(
            site.as_str(),
            &["receipt", &receipt.key.to_string(), receipt.reference.as_str()],
        ),
    }
}

/// The key of a record of an order.
pub(super) fn order_key(keys: &Keys, site: &Site, order: &OrderId) -> String {
    keys.of_site(site.as_str(), &["order", order.kind.as_str(), order.identifier.as_str()])
}

fn load_command(key: &str) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(key).arg("rev").arg("state");
    command
}

/// Reads entities and links, in the order asked for: all links of a site with one command.
pub(super) async fn load(client: &Client, asked: &Asked) -> Result<Found, StoreError> {
    let keys: Vec<String> =
        asked.entities.iter().map(|it| key(client.keys(), &it.site, &it.name)).collect();
    let mut commands: Vec<_> = keys.iter().map(|key| (key.clone(), load_command(key))).collect();
    let mut by_site: BTreeMap<&Site, Vec<usize>> = BTreeMap::new();
    for (place, (site, _)) in asked.links.iter().enumerate() {
        by_site.entry(site).or_default().push(place);
    }
    for (site, places) in &by_site {
        let links = client.keys().of_site(site.as_str(), &["names"]);
        let mut find = redis::cmd("HMGET");
        find.arg(&links);
        for (_, name) in places.iter().filter_map(|place| asked.links.get(*place)) {
            find.arg(name.to_string());
        }
        commands.push((links, find));
    }
    let mut answers = client.query_all(commands).await?.into_iter();
    let entities = asked.entities.iter().zip(&keys).zip(answers.by_ref());
    let entities = entities.map(|((entity, key), answer)| loaded_of(entity, key, answer));
    let entities = entities.collect::<Result<_, _>>()?;
    let mut links = vec![None; asked.links.len()];
    for ((site, places), answer) in by_site.into_iter().zip(answers) {
        let key = client.keys().of_site(site.as_str(), &["names"]);
        let texts: Vec<Option<String>> = read(&key, answer)?;
        for (place, text) in places.into_iter().zip(texts) {
            if let (Some(link), Some(text)) = (links.get_mut(place), text) {
                *link = Some(parsed(&key, &text, Link::parse)?);
            }
        }
    }
    Ok(Found { entities, links })
}

/// Reads what an entity's `rev` and `state` are.
pub(super) fn loaded_of(
    entity: &EntityId,
    key: &str,
    answer: Value,
) -> Result<Option<Loaded>, StoreError> {
    let (revision, state): (Option<String>, Option<Vec<u8>>) = read(key, answer)?;
    match (revision, state) {
        (None, None) => Ok(None),
        (Some(revision), Some(state)) => {
            let state = state::decode_entity_bytes(entity, &state)?;
            Ok(Some(Loaded { revision: value::revision(key, &revision)?, state }))
        }
        (Some(_), None) | (None, Some(_)) => Err(value::unreadable(key)),
    }
}

/// Reads records of orders, in the order asked for; one that is not there is left out.
pub(super) async fn load_orders(
    client: &Client,
    site: &Site,
    names: &[OrderId],
) -> Result<Vec<(OrderId, Revision, Record)>, StoreError> {
    let entity =
        |order: &OrderId| EntityId { site: site.clone(), name: EntityName::Order(order.clone()) };
    let asked = Asked { entities: names.iter().map(entity).collect(), links: Vec::new() };
    let loaded = names.iter().cloned().zip(load(client, &asked).await?.entities);
    let orders = loaded.filter_map(|(order, loaded)| match loaded? {
        Loaded { revision, state: EntityState::Order(record) } => Some((order, revision, *record)),
        Loaded { state: EntityState::Catalogue(_) | EntityState::Receipt(_), .. } => None,
    });
    Ok(orders.collect())
}
