//! The pause of the work queue: one key, or none.

use redis::Cmd;

use super::client::Client;
use crate::domain::Pause;
use crate::store::{StoreError, state};

/// What errors call it.
const WHAT: &str = "the pause";

pub(super) async fn find(client: &Client) -> Result<Option<Pause>, StoreError> {
    let found: Option<String> = client.query(&Cmd::get(key(client))).await?;
    found.map(|text| Ok(state::decode(&WHAT, &text)?)).transpose()
}

/// Begins a pause, unless there is one; returns the one that is in effect.
pub(super) async fn begin(client: &Client, pause: &Pause) -> Result<Pause, StoreError> {
    client.query::<()>(&Cmd::set_nx(key(client), state::encode(pause)?)).await?;
    // Somebody may have ended it meanwhile.
    Ok(find(client).await?.unwrap_or_else(|| pause.clone()))
}

/// Ends the pause, and returns it.
pub(super) async fn end(client: &Client) -> Result<Option<Pause>, StoreError> {
    let ended = find(client).await?;
    client.query::<()>(&Cmd::del(key(client))).await?;
    Ok(ended)
}

fn key(client: &Client) -> String {
    client.keys().global("pause")
}
