//! Orders as they are stored, one or a page of them.

use redis::{Cmd, Value};

use super::client::Client;
use super::closed::{self, Mark};
use super::commit::{exclusive_names, name_keys};
use super::value::{self, page_and_one, parsed, read};
use super::{entity, lex};
use crate::domain::{OrderId, OrderState, Site, Timestamp};
use crate::store::{Page, PageRequest, StoreError, StoredOrder};

/// One order.
pub(super) async fn order(
    client: &Client,
    site: &Site,
    order: &OrderId,
) -> Result<Option<StoredOrder>, StoreError> {
    Ok(stored(client, site, std::slice::from_ref(order)).await?.pop())
}

/// A page of a site's orders, in order of their names.
pub(super) async fn orders(
    client: &Client,
    site: &Site,
    page: &PageRequest,
) -> Result<Page<StoredOrder>, StoreError> {
    let Page { items: names, next } = names(client, site, page).await?;
    Ok(Page { items: stored(client, site, &names).await?, next })
}

/// A page of the names of a site's orders.
async fn names(
    client: &Client,
    site: &Site,
    page: &PageRequest,
) -> Result<Page<OrderId>, StoreError> {
    let key = client.keys().of_site(site.as_str(), &["orders"]);
    let list = lex::after(&key, page.after.as_deref(), page_and_one(page.limit));
    let found: Vec<String> = client.query(&list).await?;
    let names = found.iter().map(|name| parsed(&key, name, OrderId::parse));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    Ok(value::page(names, page.limit, ToString::to_string))
}

/// The orders of these names; one that is not there is left out.
pub(super) async fn stored(
    client: &Client,
    site: &Site,
    names: &[OrderId],
) -> Result<Vec<StoredOrder>, StoreError> {
    let loaded = entity::load_orders(client, site, names).await?;
    let questions: Vec<(String, Cmd)> = loaded
        .iter()
        .flat_map(|(order, _, state)| others_bearing(client, site, order, state))
        .collect();
    let counts: Vec<usize> = loaded
        .iter()
        .map(|(order, _, state)| others_bearing(client, site, order, state).len())
        .collect();
    let mut answers = client.query_all(questions).await?.into_iter();
    let mut orders = Vec::with_capacity(loaded.len());
    for ((order, revision, state), count) in loaded.into_iter().zip(counts) {
        let name = order.to_string();
        let mut alias_conflict = false;
        for answer in answers.by_ref().take(count) {
            alias_conflict |= is_another(&name, answer)?;
        }
        let site = site.clone();
        orders.push(StoredOrder { site, order, revision, state, alias_conflict });
    }
    Ok(orders)
}

/// What to ask for to learn whether other orders bear an exclusive name of this one.
fn others_bearing(
    client: &Client,
    site: &Site,
    order: &OrderId,
    state: &OrderState,
) -> Vec<(String, Cmd)> {
    let mut questions = Vec::new();
    let mut ask = |command: &str, key: &str, member: Option<String>| {
        let mut question = redis::cmd(command);
        question.arg(key);
        if let Some(member) = member {
            question.arg(member);
        }
        questions.push((key.to_owned(), question));
    };
    for name in exclusive_names(order, state) {
        let [alias, more, named, closed] = name_keys(client.keys(), site, name);
        ask("GET", &alias, None);
        ask("EXISTS", &more, None);
        ask("SISMEMBER", &closed, Some(closed::member(Mark::Borne, name)));
        if name != order {
            ask("EXISTS", &named, None);
            ask("SISMEMBER", &closed, Some(closed::member(Mark::Closed, name)));
        }
    }
    questions
}

/// Whether an answer speaks of another order than the one of that name.
fn is_another(name: &str, answer: Value) -> Result<bool, StoreError> {
    if let Value::Int(count) = answer {
        return Ok(count > 0);
    }
    let bearer: Option<String> = read(name, answer)?;
    Ok(bearer.is_some_and(|bearer| bearer != name))
}

/// The site's watermark, if the order was closed.
pub(super) async fn closed_order(
    client: &Client,
    site: &Site,
    order: &OrderId,
) -> Result<Option<Timestamp>, StoreError> {
    let key = closed::key(client.keys(), site, order);
    let mut find = redis::cmd("SISMEMBER");
    find.arg(&key).arg(closed::member(Mark::Closed, order));
    if !client.query::<bool>(&find).await? {
        return Ok(None);
    }
    let key = client.keys().of_site(site.as_str(), &["site"]);
    let mut find = redis::cmd("HGET");
    find.arg(&key).arg("closed_before");
    let watermark: Option<String> = client.query(&find).await?;
    watermark.map(|text| value::time(&key, &text)).transpose()
}
