//! Reading orders whole: their records, and the links by which those belong together.
//!
//! What must be read is decided by the rules ([`Reading::missing`]); here it is only fetched. The usual
//! case is one round trip for a whole batch, and a second one where a link leads elsewhere.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Asked, Closing, Commit, EntityId, EntityName, Loaded, Revision, StateStore, StoreError,
};
use crate::domain::{
    ClosedName, Decision, Link, MessageId, Missing, Names, OrderId, OrderIdKind, PolicyRevision,
    Reading, Record, Site, Timestamp,
};

/// What was read of the orders of several sites.
#[derive(Debug, Default)]
pub struct OrderReadings {
    sites: BTreeMap<Site, SiteReading>,
}

/// What was read of the orders of one site, and of which revision that is.
#[derive(Debug, Default)]
pub struct SiteReading {
    /// What was read.
    pub reading: Reading,
    revisions: BTreeMap<OrderId, Revision>,
}

impl OrderReadings {
    /// What was read of a site.
    pub fn of(&mut self, site: &Site) -> &mut SiteReading {
        self.sites.entry(site.clone()).or_default()
    }

    /// Adds what is known of the closing of a site's names.
    pub fn add_closed(
        &mut self,
        site: &Site,
        names: impl IntoIterator<Item = (OrderId, Option<ClosedName>)>,
        watermark: Timestamp,
    ) {
        let reading = &mut self.of(site).reading;
        reading.watermark = watermark;
        let known = names.into_iter().filter_map(|(name, closed)| Some((name, closed?)));
        reading.closed.extend(known);
    }

    /// Reads all that deciding events of these names needs, and other entities beside it, of which
    /// it returns the states in the order asked for.
    pub async fn fill(
        &mut self,
        store: &dyn StateStore,
        events: &[(&Site, &Names)],
        others: Vec<EntityId>,
    ) -> Result<Vec<Option<Loaded>>, StoreError> {
        let mut by_site: BTreeMap<&Site, Vec<&Names>> = BTreeMap::new();
        for (site, names) in events {
            by_site.entry(site).or_default().push(names);
        }
        let mut loaded = Vec::new();
        let mut is_first = true;
        loop {
            let mut asked = Asked::default();
            if is_first {
                asked.entities.extend(others.iter().cloned());
            }
            for (site, names) in &by_site {
                let missing = self.of(site).reading.missing(names.iter().copied());
                add(&mut asked, site, missing);
            }
            if asked.entities.is_empty() && asked.links.is_empty() {
                return Ok(loaded);
            }
            let found = store.load(&asked).await?;
            let mut entities = asked.entities.into_iter().zip(found.entities);
            if is_first {
                loaded.extend(entities.by_ref().take(others.len()).map(|(_, loaded)| loaded));
                is_first = false;
            }
            for (EntityId { site, name }, loaded) in entities {
                if let EntityName::Order(order) = name {
                    self.of(&site).take(order, loaded);
                }
            }
            self.take_links(asked.links, found.links);
        }
    }

    /// Reads what was seen beside names of a site.
    pub async fn fill_links(
        &mut self,
        store: &dyn StateStore,
        site: &Site,
        names: &[OrderId],
    ) -> Result<(), StoreError> {
        let known = &self.of(site).reading.links;
        let links = names.iter().filter(|name| !known.contains_key(name));
        let links: Vec<_> = links.map(|name| (site.clone(), name.clone())).collect();
        if links.is_empty() {
            return Ok(());
        }
        self.load_links(store, links).await
    }

    async fn load_links(
        &mut self,
        store: &dyn StateStore,
        links: Vec<(Site, OrderId)>,
    ) -> Result<(), StoreError> {
        let asked = Asked { entities: Vec::new(), links };
        let found = store.load(&asked).await?;
        self.take_links(asked.links, found.links);
        Ok(())
    }

    fn take_links(&mut self, names: Vec<(Site, OrderId)>, found: Vec<Option<Link>>) {
        for ((site, name), link) in names.into_iter().zip(found) {
            self.of(&site).reading.links.insert(name, link);
        }
    }
}

impl SiteReading {
    fn take(&mut self, order: OrderId, loaded: Option<Loaded>) {
        let revision = loaded.as_ref().map(|loaded| loaded.revision);
        let record = loaded.and_then(Loaded::into_record).map(Arc::new);
        if let Some(revision) = revision.filter(|_| record.is_some()) {
            self.revisions.insert(order.clone(), revision);
        }
        self.reading.records.insert(order, record);
    }

    /// The commit of a decision that was made of a part of what was read.
    pub fn commit(
        &self,
        site: &Site,
        part: &Reading,
        decision: Decision,
        policy: PolicyRevision,
        (message_id, at): (MessageId, Timestamp),
    ) -> Commit {
        let read = part
            .records
            .keys()
            .map(|name| (EntityName::Order(name.clone()), self.revisions.get(name).copied()));
        // What orders bear an invoice number is a hint: only who changes it depends on it.
        let is_read = |name: &OrderId| {
            name.kind.is_second_name() || decision.links.iter().any(|(other, _)| other == name)
        };
        let links_read = part.links.iter().filter(|(name, _)| is_read(name));
        Commit {
            site: site.clone(),
            read: read.collect(),
            links_read: links_read.map(|(name, link)| (name.clone(), link.clone())).collect(),
            new_names: decision.new_names,
            policy: Some(policy),
            writes: decision.writes,
            links: decision.links,
            changes: decision.changes,
            item_names: decision.item_names,
            closing: None,
            message_id,
            at,
        }
    }

    /// The revision of a record that was read.
    pub fn revision(&self, name: &OrderId) -> Option<Revision> {
        self.revisions.get(name).copied()
    }
}

fn add(asked: &mut Asked, site: &Site, missing: Missing) {
    asked.entities.extend(missing.records.iter().map(|order| EntityId::order(site, order)));
    asked.links.extend(missing.links.into_iter().map(|name| (site.clone(), name)));
}

/// Reads all that closing orders needs; returns the commit of each that may be closed.
pub async fn closings(
    store: &dyn StateStore,
    site: &Site,
    orders: &[OrderId],
    in_force: PolicyRevision,
    (before, at): (Timestamp, Timestamp),
) -> Result<Vec<Commit>, StoreError> {
    let mut readings = read(store, site, orders).await?;
    let of_site = readings.of(site);
    let mut asked = Asked::default();
    for order in orders {
        add(&mut asked, site, of_site.reading.missing_to_close(order));
    }
    asked.links.sort();
    asked.links.dedup();
    readings.load_links(store, asked.links).await?;
    let of_site = readings.of(site);
    let mut commits = Vec::new();
    for order in orders {
        let Some(mut decision) = crate::domain::close(&of_site.reading, order, in_force) else {
            continue;
        };
        let names = std::mem::take(&mut decision.closes);
        let mut part = of_site.reading.part([&Names::only(order.clone())]);
        for (name, _) in &decision.links {
            let link = of_site.reading.links.get(name).cloned().flatten();
            part.links.insert(name.clone(), link);
        }
        // The next may bear the same invoice number: it is written after this one.
        of_site.reading.links.extend(decision.links.iter().cloned());
        let message = (MessageId(uuid::Uuid::nil()), at);
        let commit = of_site.commit(site, &part, decision, in_force, message);
        commits.push(Commit { closing: Some(Closing { names, before }), ..commit });
    }
    Ok(commits)
}

/// Reads orders of a site, each with all that belongs to it.
pub async fn read(
    store: &dyn StateStore,
    site: &Site,
    orders: &[OrderId],
) -> Result<OrderReadings, StoreError> {
    let names: Vec<Names> = orders.iter().cloned().map(Names::only).collect();
    let events: Vec<_> = names.iter().map(|names| (site, names)).collect();
    let mut readings = OrderReadings::default();
    readings.fill(store, &events, Vec::new()).await?;
    Ok(readings)
}

/// An order as it is stored, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// The shop.
    pub site: Site,
    /// The name that it is shown by.
    pub order: OrderId,
    /// The token of its leading record.
    pub revision: Revision,
    /// Everything that is known of it, of all its records together.
    pub record: Record,
    /// Its second names, each with whether it is contested.
    pub second_names: Vec<(OrderId, bool)>,
}

/// Reads orders, each by any of its records' names, in the order asked for.
pub async fn orders(
    store: &dyn StateStore,
    site: &Site,
    names: &[OrderId],
) -> Result<Vec<Option<StoredOrder>>, StoreError> {
    let mut readings = read(store, site, names).await?;
    let of_site = readings.of(site);
    let order = |name: &OrderId| {
        let reading = &of_site.reading;
        let order = reading.lead(name);
        let members: Vec<&Record> =
            reading.members(&order).into_iter().map(|(_, record)| record).collect();
        let leading = reading.record(&order)?;
        let mut record = match Record::union(&members) {
            Cow::Borrowed(record) => record.clone(),
            Cow::Owned(record) => record,
        };
        // What the order holds is in the record that leads it.
        record.applied.clone_from(&leading.applied);
        (record.policy, record.lists) = (leading.policy, leading.lists);
        let own = order.kind.is_second_name().then(|| order.clone());
        let second_names = leading.second_names.iter().cloned().chain(own);
        let contested = |name: OrderId| {
            let is_contested = reading.link(&name).is_contested();
            (name, is_contested)
        };
        Some(StoredOrder {
            site: site.clone(),
            revision: of_site.revision(&order)?,
            record,
            second_names: second_names.map(contested).collect(),
            order,
        })
    };
    Ok(names.iter().map(order).collect())
}

/// Reads one order by any of its records' names.
pub async fn order(
    store: &dyn StateStore,
    site: &Site,
    name: &OrderId,
) -> Result<Option<StoredOrder>, StoreError> {
    Ok(orders(store, site, std::slice::from_ref(name)).await?.pop().flatten())
}

/// The orders that go by a name, each by the name that it is shown by: of the kind that the text
/// names, or of any kind.
pub async fn named(
    store: &dyn StateStore,
    site: &Site,
    text: &str,
) -> Result<Vec<OrderId>, StoreError> {
    let candidates: Vec<OrderId> = OrderId::parse(text).into_iter().collect();
    let bare = |kind| {
        let identifier = crate::domain::Identifier::parse(text).ok()?;
        Some(OrderId { kind, identifier })
    };
    // Whole, it is the name of one order, although others may bear its number.
    if let Some(name) = candidates.first()
        && let Some(found) = order(store, site, name).await?
    {
        return Ok(vec![found.order]);
    }
    let found = named_as(store, site, candidates).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    named_as(store, site, OrderIdKind::ALL.into_iter().filter_map(bare).collect()).await
}

async fn named_as(
    store: &dyn StateStore,
    site: &Site,
    names: Vec<OrderId>,
) -> Result<Vec<OrderId>, StoreError> {
    // Also who was seen beside a second name that leads nowhere and has no record of its own.
    let others = names.iter().filter(|name| !name.kind.is_id());
    let asked = Asked {
        entities: Vec::new(),
        links: others.map(|name| (site.clone(), name.clone())).collect(),
    };
    let hints = if asked.links.is_empty() { Vec::new() } else { store.load(&asked).await?.links };
    let (hinted, asked) = (hints.into_iter().zip(asked.links), names.clone());
    let of_invoices = hinted.clone().filter(|(_, (_, name))| !name.kind.is_second_name());
    let invoices = of_invoices.filter_map(|(link, _)| link).flat_map(|link| link.ids);
    let found = leads(store, site, asked.into_iter().chain(invoices).collect()).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let beside = hinted.filter_map(|(link, _)| link).flat_map(|link| link.ids);
    leads(store, site, beside.collect()).await
}

/// The names that the orders of these records are shown by, each once.
async fn leads(
    store: &dyn StateStore,
    site: &Site,
    names: BTreeSet<OrderId>,
) -> Result<Vec<OrderId>, StoreError> {
    let names: Vec<OrderId> = names.into_iter().collect();
    let found = orders(store, site, &names).await?;
    let found: BTreeSet<OrderId> = found.into_iter().flatten().map(|order| order.order).collect();
    Ok(found.into_iter().collect())
}
