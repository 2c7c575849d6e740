//! Sorted sets whose members all have one score: lists in the order of their bytes.
//!
//! Members are UTF-8, so the order of bytes is that of characters, and no member has the byte 0xFF.

use redis::Cmd;

use super::client::Client;
use super::value::READ_STEP;
use crate::store::StoreError;

/// Stands between the parts of a member; no name has a control character.
pub(super) const SEPARATOR: &str = "\n";

/// Members after one, or from the first on.
pub(super) fn after(key: &str, member: Option<&str>, limit: usize) -> Cmd {
    let start = member.map_or_else(|| b"-".to_vec(), |member| bound(b'(', member, b""));
    range(key, &start, b"+", limit)
}

/// Members that begin with a text and come after a member.
pub(super) fn with_prefix(key: &str, prefix: &str, member: Option<&str>, limit: usize) -> Cmd {
    let start = match member {
        Some(member) if member >= prefix => bound(b'(', member, b""),
        Some(_) | None => bound(b'[', prefix, b""),
    };
    range(key, &start, &bound(b'(', prefix, b"\xff"), limit)
}

/// Every member that begins with a text.
pub(super) async fn all(
    client: &Client,
    key: &str,
    prefix: &str,
) -> Result<Vec<String>, StoreError> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let last = all.last().map(String::as_str);
        let found: Vec<String> = client.query(&with_prefix(key, prefix, last, READ_STEP)).await?;
        let is_last = found.len() < READ_STEP;
        all.extend(found);
        if is_last {
            return Ok(all);
        }
    }
}

fn bound(kind: u8, text: &str, end: &[u8]) -> Vec<u8> {
    [&[kind], text.as_bytes(), end].concat()
}

fn range(key: &str, start: &[u8], end: &[u8], limit: usize) -> Cmd {
    let mut command = redis::cmd("ZRANGE");
    command.arg(key).arg(start).arg(end).arg("BYLEX").arg("LIMIT").arg(0).arg(limit);
    command
}
