//! The layout of the data, as a number beside it.
//!
//! Release 0.1.0 wrote no number. Its data is recognised by the keys that it wrote first, and is
//! refused: nothing of it is read or converted.

use redis::{Cmd, RedisResult, Value};

use super::connection::Connection;
use super::failure::in_words;
use super::keys::Keys;
use super::refusal::ConnectRefusal;

/// The layout that this release writes, and the only one that it reads.
pub(super) const LAYOUT: u64 = 2;

/// Keys one of which every Store has that was ever written to.
const FIRST: [&str; 3] = ["policy", "epoch", "sites"];

/// Checks the data of a new connection before its first use; writes nothing.
pub(super) async fn check(connection: &mut Connection, keys: &Keys) -> Result<(), ConnectRefusal> {
    match find(connection, keys).await {
        Ok(None) => Ok(()),
        Ok(Some(refusal)) => Err(refusal),
        Err(error) => Err(ConnectRefusal::Away(format!(
            "does not say what data it has: {}",
            in_words(&error)
        ))),
    }
}

/// Why the data must not be touched, if it must not.
async fn find(connection: &mut Connection, keys: &Keys) -> RedisResult<Option<ConnectRefusal>> {
    // Before the layout, which is written before them: another process may write the first of all data
    // meanwhile.
    let mut has_data = false;
    for name in FIRST {
        let found = connection.send(&Cmd::exists(keys.global(name))).await?.extract_error()?;
        has_data |= found != Value::Int(0);
    }
    let key = keys.global("layout");
    let found = connection.send(&Cmd::get(&key)).await?.extract_error()?;
    let Some(text) = redis::from_redis_value::<Option<String>>(found)? else {
        return Ok(has_data.then(|| older(&key)));
    };
    Ok(match text.parse() {
        Ok(LAYOUT) => None,
        Ok(0..LAYOUT) => Some(older(&key)),
        Ok(_) | Err(_) => Some(ConnectRefusal::Newer(format!(
            "has data of layout {text} ({key}), and this release knows {LAYOUT}; run a newer \
             release"
        ))),
    })
}

fn older(key: &str) -> ConnectRefusal {
    ConnectRefusal::Older(format!(
        "has data of release 0.1.0 (there is no {key}), which this release does not read; set \
         redis.prefix to another prefix, or empty the database, and rebuild the state with \
         `storekeeper journal replay`"
    ))
}
