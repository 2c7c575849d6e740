//! The names of closed orders, which is all that is kept of them: eight bytes each.
//!
//! A name is a hash in one of many sets of integers, which Redis stores compactly as long as they
//! have no more than `set-max-intset-entries` members. Two names with one hash would be taken for
//! one; with ten million closed orders that happens to one new order in a million millions.

use redis::{Cmd, Value};
use sha2::{Digest, Sha256};

use super::client::Client;
use super::keys::Keys;
use super::value::{self, read, unreadable};
use crate::domain::{ClosedName, OrderId, Site, Timestamp};
use crate::store::StoreError;

/// Sets of a site. More would cost small shops, fewer would be too long for a packed form in large
/// ones: with 512 members each, a quarter of a million names of a site stay packed.
const SETS: u64 = 512;

/// What is known of the closing of these names, and the site's watermark.
pub(super) async fn find(
    client: &Client,
    site: &Site,
    names: &[OrderId],
) -> Result<(Vec<Option<ClosedName>>, Timestamp), StoreError> {
    let stock = client.key(site, &["stock"]);
    let ask = |name: &OrderId| {
        let key = key(client.keys(), site, name);
        let find = Cmd::smismember(&key, &members(name));
        (key, find)
    };
    // The watermark comes last: it rises with what is found before it.
    let watermark = (stock.clone(), Cmd::hget(&stock, "~closed_before"));
    let commands = names.iter().map(ask).chain([watermark]);
    let mut answers = client.query_all(commands.collect()).await?;
    let watermark: Option<String> = read(&stock, answers.pop().unwrap_or_default())?;
    let watermark = watermark.map(|text| value::time(&stock, &text)).transpose()?;
    let known = answers.into_iter().map(|answer: Value| {
        Ok(match read::<(bool, bool)>("the names of closed orders", answer)? {
            // That a name was seen beside an id is never forgotten.
            (_, true) => Some(ClosedName::BesideAnId),
            (true, false) => Some(ClosedName::Itself),
            (false, false) => None,
        })
    });
    Ok((known.collect::<Result<_, StoreError>>()?, watermark.unwrap_or_default()))
}

/// The set of a name; all that may be remembered of a name is in one.
pub(super) fn key(keys: &Keys, site: &Site, name: &OrderId) -> String {
    let set = hash(ClosedName::Itself, name) % SETS;
    keys.of_site(site.as_str(), &["closed", &set.to_string()])
}

/// The member of that set.
pub(super) fn member(closed: ClosedName, name: &OrderId) -> i64 {
    hash(closed, name).cast_signed()
}

/// All that may be remembered of a name, as members of its set.
pub(super) fn members(name: &OrderId) -> [i64; 2] {
    [ClosedName::Itself, ClosedName::BesideAnId].map(|closed| member(closed, name))
}

/// The script's word for what is known of a name.
pub(super) const fn word(known: Option<ClosedName>) -> &'static str {
    match known {
        Some(ClosedName::Itself) => "itself",
        Some(ClosedName::BesideAnId) => "beside",
        None => "",
    }
}

/// Reads the script's word.
pub(super) fn of_word(key: &str, word: &str) -> Result<Option<ClosedName>, StoreError> {
    let all = [Some(ClosedName::Itself), Some(ClosedName::BesideAnId), None];
    let known = all.into_iter().find(|known| self::word(*known) == word);
    known.ok_or_else(|| unreadable(key))
}

fn hash(closed: ClosedName, name: &OrderId) -> u64 {
    let mark = word(Some(closed));
    let text = format!("{mark} {name}");
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, orders that were closed before are open again.
    #[test]
    fn what_is_remembered_is_pinned() {
        let keys = Keys::new("sk");
        let site = Site::parse("shop").unwrap();
        let name = |text| OrderId::parse(text).unwrap();
        let of = |text| (key(&keys, &site, &name(text)), members(&name(text)));
        assert_eq!(
            of("id:1"),
            (
                "sk:{shop}:closed:122".to_owned(),
                [-8_688_044_358_393_340_806, 654_888_008_043_247_639]
            )
        );
        assert_ne!(of("id:1").1, of("external-id:1").1);
    }
}
