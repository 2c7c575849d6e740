//! Orders that are settled, and their closing.

use super::client::{Call, Client};
use super::closed::{self, Mark};
use super::commit::{exclusive_names, name_keys};
use super::moment::{self, Moment};
use super::script::Script;
use super::value::{self, page_and_one, parsed, read};
use super::{entity, failure, lex, sites};
use crate::domain::{OrderId, OrderState, Site, Timestamp};
use crate::store::{
    Closing, EntityId, EntityName, EntityState, Page, PageRequest, SettledOrder, StoreError,
};

/// It may run on a server that is out of memory: it gives some back.
static CLOSE: Script = Script::new(
    "close.lua",
    &["#!lua flags=allow-oom\n", include_str!("exact.lua"), include_str!("close.lua")],
);

/// So many orders are read at once.
const ORDERS_AT_ONCE: usize = 256;
/// So many members of a list are read at once.
const READ_STEP: usize = 1000;

/// A place in the list of settled orders: sites by name, in each the longest settled first.
#[derive(Clone, PartialEq, Eq)]
struct Place {
    site: Site,
    settled_at: i64,
    order: String,
}

impl Place {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let mut parts = text.split(lex::BETWEEN);
        let place = (|| {
            let (site, at, order) = (parts.next()?, parts.next()?, parts.next()?);
            let (site, settled_at) = (Site::parse(site).ok()?, at.parse().ok()?);
            Some(Self { site, settled_at, order: order.to_owned() })
        })();
        place.ok_or_else(|| failure::rejected("the cursor is not one of this list"))
    }

    fn cursor(&self) -> String {
        let at = self.settled_at.to_string();
        [self.site.as_str(), &at, &self.order].join(lex::BETWEEN)
    }
}

/// Lists orders that were settled before a time.
pub(super) async fn settled(
    client: &Client,
    before: Timestamp,
    page: &PageRequest,
) -> Result<Page<SettledOrder>, StoreError> {
    let after = page.after.as_deref().map(Place::parse).transpose()?;
    let limit = page_and_one(page.limit);
    let mut places = Vec::new();
    for site in sites::list(client).await? {
        let after = match &after {
            Some(after) if site < after.site => continue,
            Some(after) if site == after.site => Some(after),
            Some(_) | None => None,
        };
        places.extend(settled_of(client, &site, before, after, limit - places.len()).await?);
        if places.len() >= limit {
            break;
        }
    }
    let Page { items: places, next } = value::page(places, page.limit, Place::cursor);
    Ok(Page { items: load(client, before, &places).await?, next })
}

async fn settled_of(
    client: &Client,
    site: &Site,
    before: Timestamp,
    after: Option<&Place>,
    limit: usize,
) -> Result<Vec<Place>, StoreError> {
    let key = client.keys().of_site(site.as_str(), &["settled"]);
    let start = after.map_or_else(|| "-inf".to_owned(), |after| after.settled_at.to_string());
    let end = format!("({}", before.micros());
    let (mut places, mut offset) = (Vec::new(), 0);
    loop {
        let mut range = redis::cmd("ZRANGE");
        range.arg(&key).arg(&start).arg(&end).arg("BYSCORE");
        range.arg("LIMIT").arg(offset).arg(READ_STEP).arg("WITHSCORES");
        let found: Vec<(String, i64)> = client.query(&range).await?;
        offset += found.len();
        let is_whole = found.len() < READ_STEP;
        let all = found.into_iter().map(|(order, settled_at)| Place {
            site: site.clone(),
            settled_at,
            order,
        });
        // Those that were settled at the cursor's moment are in order of name.
        places.extend(all.filter(|place| {
            after.is_none_or(|it| (place.settled_at, &place.order) > (it.settled_at, &it.order))
        }));
        if is_whole || places.len() >= limit {
            places.truncate(limit);
            return Ok(places);
        }
    }
}

/// Reads orders that still are settled, each at one moment with the time since when it is: one that
/// was committed meanwhile is not old any more.
async fn load(
    client: &Client,
    before: Timestamp,
    places: &[Place],
) -> Result<Vec<SettledOrder>, StoreError> {
    let mut asked = Vec::with_capacity(places.len());
    let mut moments = Vec::with_capacity(places.len());
    for Place { site, order, .. } in places {
        let list = client.keys().of_site(site.as_str(), &["settled"]);
        let id = parsed(&list, order, OrderId::parse)?;
        let key = entity::order_key(client.keys(), site, &id);
        let moment = Moment::new().ask("ZSCORE", &list, &[order]);
        moments.push(moment.ask("HMGET", &key, &["rev", "state"]));
        asked.push((site, id, key));
    }
    let mut orders = Vec::with_capacity(places.len());
    for ((site, order, key), found) in
        asked.into_iter().zip(moment::read_all(client, &moments, ORDERS_AT_ONCE).await?)
    {
        let [settled_at, loaded] = moment::values(&key, found)?;
        let settled_at: Option<i64> = read(&key, settled_at)?;
        if settled_at.is_none_or(|at| at >= before.micros()) {
            continue;
        }
        let id = EntityId { site: site.clone(), name: EntityName::Order(order.clone()) };
        let Some(loaded) = entity::loaded_of(&id, &key, loaded)? else { continue };
        let EntityState::Order(state) = loaded.state else { continue };
        let (site, revision) = (id.site, loaded.revision);
        orders.push(SettledOrder { site, order, revision, state: *state });
    }
    Ok(orders)
}

/// Closes orders, each if it still is as it was loaded; whether each is closed now.
pub(super) async fn close(client: &Client, closings: &[Closing]) -> Result<Vec<bool>, StoreError> {
    let entity = |closing: &Closing| EntityId {
        site: closing.site.clone(),
        name: EntityName::Order(closing.order.clone()),
    };
    let entities: Vec<EntityId> = closings.iter().map(entity).collect();
    // For its names only; the script looks at the revision again.
    let loaded = entity::load(client, &entities).await?;
    let mut calls = Vec::new();
    let mut closes = Vec::with_capacity(closings.len());
    for (closing, loaded) in closings.iter().zip(loaded) {
        let state = loaded.filter(|loaded| loaded.revision == closing.loaded);
        let state = state.map(|loaded| loaded.state);
        closes.push(matches!(state, Some(EntityState::Order(_))));
        if let Some(EntityState::Order(state)) = state {
            calls.push(call(client, closing, &state));
        }
    }
    let mut answers = client.run_all(&calls).await?.into_iter();
    for closes in closes.iter_mut().filter(|closes| **closes) {
        *closes = read("close.lua", answers.next().unwrap_or_default())?;
    }
    Ok(closes)
}

fn call(client: &Client, closing: &Closing, state: &OrderState) -> Call {
    let (keys, site, order) = (client.keys(), &closing.site, &closing.order);
    let of_site = |name| keys.of_site(site.as_str(), &[name]);
    let mut call = Call::of(&CLOSE)
        .key(of_site("site"))
        .key(entity::order_key(keys, site, order))
        .key(of_site("orders"))
        .key(of_site("settled"))
        .key(closed::key(keys, site, order))
        .arg(order.to_string())
        .arg(closing.loaded.0.to_string())
        .arg(closing.before.micros().to_string())
        .arg(closed::member(Mark::Closed, order))
        .arg(closing.remains.fulfilled.len().to_string());
    for (key, fulfilled) in &closing.remains.fulfilled {
        call.push_key(keys.of_site(site.as_str(), &["holds", &key.to_string()]));
        call.push_arg(fulfilled.millionths().to_string());
    }
    for name in exclusive_names(order, state).into_iter().filter(|name| *name != order) {
        let [alias, more, _, closed] = name_keys(keys, site, name);
        for key in [alias, more, closed] {
            call.push_key(key);
        }
        let is_forgotten = closing.remains.forgotten.contains(name);
        let member = closed::member(Mark::Borne, name);
        call.push_arg(if is_forgotten { String::new() } else { member });
    }
    call
}
