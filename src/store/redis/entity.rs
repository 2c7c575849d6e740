//! Where each kind of entity is kept, and the reading of states and links.

use std::collections::BTreeMap;

use redis::{Cmd, Value};

use super::client::Client;
use super::keys::Keys;
use super::value::{self, parsed, read};
use crate::domain::{Link, OrderId, Record, Site};
use crate::store::{Asked, EntityId, EntityName, Found, Loaded, Revision, StoreError, state};

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

/// Reads entities and links, in the order asked for: all links of a site with one command.
pub(super) async fn load(client: &Client, asked: &Asked) -> Result<Found, StoreError> {
    let keys: Vec<String> =
        asked.entities.iter().map(|it| key(client.keys(), &it.site, &it.name)).collect();
    let load = |key: &String| (key.clone(), Cmd::hmget(key, &["rev", "state"]));
    let mut commands: Vec<_> = keys.iter().map(load).collect();
    let mut by_site: BTreeMap<&Site, Vec<usize>> = BTreeMap::new();
    for (place, (site, _)) in asked.links.iter().enumerate() {
        by_site.entry(site).or_default().push(place);
    }
    for (site, places) in &by_site {
        let links = client.key(site, &["names"]);
        let names = places.iter().filter_map(|place| asked.links.get(*place));
        let names: Vec<String> = names.map(|(_, name)| name.to_string()).collect();
        let find = Cmd::hmget(&links, &names);
        commands.push((links, find));
    }
    let mut answers = client.query_all(commands).await?.into_iter();
    let entities = asked.entities.iter().zip(&keys).zip(answers.by_ref());
    let entities = entities.map(|((entity, key), answer)| loaded_of(entity, key, answer));
    let entities = entities.collect::<Result<_, _>>()?;
    let mut links = vec![None; asked.links.len()];
    for ((site, places), answer) in by_site.into_iter().zip(answers) {
        let key = client.key(site, &["names"]);
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
    let entities = names.iter().map(|order| EntityId::order(site, order)).collect();
    let loaded = load(client, &Asked { entities, links: Vec::new() }).await?.entities;
    let orders = names.iter().cloned().zip(loaded).filter_map(|(order, loaded)| {
        let loaded = loaded?;
        Some((order, loaded.revision, loaded.into_record()?))
    });
    Ok(orders.collect())
}
