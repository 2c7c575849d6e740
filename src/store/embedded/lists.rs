//! The lists that orders are in, each in order of the time of the last commit.

use rusqlite::Connection;

use super::column::execute;
use crate::domain::{List, Lists, OrderId, Timestamp};

/// Moves an order to a new time in its lists; `known_at` is its time there until now.
pub(super) fn write(
    connection: &Connection,
    site: &str,
    name: &OrderId,
    (before, after): (Lists, Lists),
    (known_at, at): (Option<Timestamp>, Timestamp),
) -> rusqlite::Result<()> {
    let (name, at) = (name.to_string(), at.micros());
    for list in List::ALL {
        let known_at = known_at.filter(|_| before.has(list)).map(Timestamp::micros);
        let (has_it, list) = (after.has(list), list.as_str());
        let is_moved = match known_at {
            Some(known_at) if has_it => {
                let update = "UPDATE order_lists SET at = ?5 \
                              WHERE site = ?1 AND list = ?2 AND at = ?3 AND name = ?4";
                execute(connection, update, (site, list, known_at, &name, at))? > 0
            }
            Some(known_at) => {
                let delete = "DELETE FROM order_lists \
                              WHERE site = ?1 AND list = ?2 AND at = ?3 AND name = ?4";
                execute(connection, delete, (site, list, known_at, &name))? > 0
            }
            None => false,
        };
        if has_it && !is_moved {
            let insert = "INSERT INTO order_lists (site, list, at, name) VALUES (?1, ?2, ?3, ?4) \
                          ON CONFLICT DO NOTHING";
            execute(connection, insert, (site, list, at, &name))?;
        }
    }
    Ok(())
}
