//! The rights that the user of Redis needs, checked over every new connection.
//!
//! A right that is denied in the middle of a script would leave half a commit: Redis undoes nothing.
//! So a connection is used only if its user may run every command that this program and its scripts
//! send, on every kind of key. What is missing is named. A right that is revoked later fails a call;
//! that ends the connection, and the next one names it.

use std::collections::BTreeMap;

use redis::{RedisError, Value};

use super::call;
use super::connection::Connection;
use super::failure::in_words;
use super::keys::Keys;
use super::refusal::ConnectRefusal;
use super::script::{Call, Script};

static RIGHTS: Script = Script::new("rights.lua", &[include_str!("rights.lua")]);

/// Every command on a key. `INFO` is not among them: without it less is known of the server.
pub(super) const COMMANDS: [&str; 39] = [
    "DEL",
    "EXISTS",
    "GET",
    "HDEL",
    "HGET",
    "HGETALL",
    "HINCRBY",
    "HLEN",
    "HMGET",
    "HSCAN",
    "HSET",
    "HSETNX",
    "HVALS",
    "SADD",
    "SCARD",
    "SET",
    "SETNX",
    "SMISMEMBER",
    "SPOP",
    "SREM",
    "SSCAN",
    "TIME",
    "TYPE",
    "UNLINK",
    "XADD",
    "XLEN",
    "XRANGE",
    "XREVRANGE",
    "XTRIM",
    "ZADD",
    "ZCARD",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZREM",
    "ZREVRANGEBYLEX",
    "ZSCAN",
    "ZSCORE",
];

/// Where it says which rights are needed.
const WHERE: &str =
    "\"The rights of the user of Redis\" in deploy/README.md has all that are needed";

/// What is said of a replica.
pub(super) const REPLICA: &str = "is a replica, which takes no writes and may answer what is not so \
                                  any more; name the server that takes them";

/// What was found of the rights of a connection's user.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// Nothing is missing.
    Whole,
    /// The server is too old to say.
    Unknown,
}

/// Checks the rights of the user at the server, or at every node of a cluster, and that it takes
/// writes.
pub(super) async fn check(
    connection: &mut Connection,
    keys: &Keys,
) -> Result<Rights, ConnectRefusal> {
    let places = places(keys);
    let mut check = Call::of(&RIGHTS);
    check.push_shown(&places.len());
    for (key, _) in &places {
        check.push_arg(key);
    }
    for command in COMMANDS {
        check.push_arg(command);
    }
    let mut rights = Rights::Whole;
    for answer in connection.run_on_all(&check).await.map_err(|error| refused(&error))? {
        let answer = answer.extract_error().map_err(|error| refused(&error))?;
        let Ok(missing) = redis::from_redis_value::<Option<Vec<(String, i64)>>>(answer) else {
            return Err(ConnectRefusal::Away("does not say what its user may do".to_owned()));
        };
        match missing {
            Some(missing) if missing.is_empty() => {}
            Some(missing) => return Err(ConnectRefusal::Unfit(named(&places, keys, missing))),
            None => rights = Rights::Unknown,
        }
    }
    // A commit of nothing: a replica answers reads, and refuses this.
    match connection.run(&call::of_nothing(keys)).await.and_then(Value::extract_error) {
        Err(error) if error.code() == Some("READONLY") => {
            Err(ConnectRefusal::Unfit(REPLICA.to_owned()))
        }
        // Of a server that is full, or that cannot write to its disk, all can be read.
        Ok(_) | Err(_) => Ok(rights),
    }
}

/// Scripts cannot be run at all.
fn refused(error: &RedisError) -> ConnectRefusal {
    let text = in_words(error);
    if error.code() == Some("NOPERM") {
        return ConnectRefusal::Unfit(format!("refuses scripts: {text}"));
    }
    if text.to_lowercase().contains("unknown command") {
        return ConnectRefusal::Unfit(format!(
            "knows no scripts: {text}; EVALSHA and SCRIPT LOAD must not be renamed"
        ));
    }
    ConnectRefusal::Away(format!("runs no scripts: {text}"))
}

/// A key of each kind, and the pattern that stands for all of that kind.
fn places(keys: &Keys) -> Vec<(String, String)> {
    let names =
        ["sites", "policy", "history", "leader", "dirty", "layout", "epoch", "probe", "pause"];
    let global = names.map(|name| (keys.global(name), keys.global(name)));
    let of_site = (keys.of_probe(&["stock"]), format!("{}:{{<site>}}:*", keys.prefix()));
    let dead = (keys.of_dead_letters(&["index"]), format!("{}:{{*dead}}:*", keys.prefix()));
    let of_processes = (keys.of_processes("beats"), format!("{}:{{*processes}}:*", keys.prefix()));
    global.into_iter().chain([of_site, dead, of_processes]).collect()
}

/// The commands that are missing, each with the keys that it is missing on.
fn named(places: &[(String, String)], keys: &Keys, missing: Vec<(String, i64)>) -> String {
    let mut by_command: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (command, place) in missing {
        by_command.entry(command).or_default().push(place);
    }
    let all = format!("{}:*", keys.prefix());
    let commands = by_command.into_iter().map(|(command, on)| {
        match on[..] {
            [0] => return format!("{command} (it knows no such command)"),
            [-1] => return command,
            _ => {}
        }
        let place = |place: &i64| places.get(usize::try_from(*place).ok()?.checked_sub(1)?);
        let patterns: Vec<&str> = if on.len() == places.len() {
            vec![&all]
        } else {
            on.iter().filter_map(place).map(|(_, pattern)| pattern.as_str()).collect()
        };
        format!("{command} on {}", patterns.join(" "))
    });
    let commands: Vec<String> = commands.collect();
    format!("does not allow its user {}; {WHERE}", commands.join(", "))
}
