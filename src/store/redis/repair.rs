//! Setting what an item counts, for audits that repair.

use redis::Cmd;
use rust_decimal::Decimal;

use super::call::Delta;
use super::client::{Call, Client};
use super::script::Script;
use crate::domain::{Site, StockKeyKind};
use crate::store::{ItemRepair, StoreError};

static REPAIR: Script = Script::new("repair.lua", &[include_str!("repair.lua")]);

/// See [`UpkeepStore::repair_item`](crate::store::UpkeepStore::repair_item).
pub(super) async fn item(
    client: &Client,
    site: &Site,
    repair: &ItemRepair,
) -> Result<bool, StoreError> {
    let keys = ["stock", "items", "changes", "oversold"].map(|name| client.key(site, &[name]));
    let [stock, ..] = &keys;
    let key = repair.key.to_string();
    // The stored text is compared, whoever wrote it.
    let before: Option<String> = client.query(&Cmd::hget(stock, &key)).await?;
    if super::stock::counts(stock, before.as_deref())? != repair.read {
        return Ok(false);
    }
    // An item whose only name is its line's cannot be received.
    let oversold = if repair.key.kind == StockKeyKind::Line {
        ""
    } else if repair.counts.available() < Decimal::ZERO {
        "SADD"
    } else {
        "SREM"
    };
    let change = format!("{key}\trepair {}\t{}", repair.actor, Delta(repair.delta));
    let call = keys.into_iter().fold(Call::of(&REPAIR), Call::key);
    let call = call
        .arg(key)
        .arg(before.unwrap_or_default())
        .arg(Delta(repair.counts).to_string())
        .arg(oversold)
        .arg(repair.at.micros().to_string())
        .arg(repair.message_id.to_string())
        .arg(change);
    client.run(&call).await
}
