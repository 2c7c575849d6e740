//! The names of closed orders, of which nothing else is left: eight bytes each.
//!
//! A name is a hash in one of many sets of whole numbers, which Redis keeps packed as long as they
//! have no more than `set-max-intset-entries` members. Two names with one hash would be taken for
//! one; with ten million closed orders that happens to one new order in a million millions.

use sha2::{Digest, Sha256};

use super::keys::Keys;
use crate::domain::{OrderId, Site};

/// Sets of a site. More would cost small shops, fewer would be too long for a packed form in large
/// ones: with 512 members each, a quarter of a million names of a site stay packed.
const SETS: u64 = 512;

/// What a closed order's name is remembered as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// The order of that name is closed.
    Closed,
    /// A closed order of another name bears this one, too.
    Borne,
}

/// The set of a name; both marks of a name are in one.
pub(super) fn key(keys: &Keys, site: &Site, name: &OrderId) -> String {
    let set = hash(Mark::Closed, name) % SETS;
    keys.of_site(site.as_str(), &["closed", &set.to_string()])
}

/// The member of that set.
pub(super) fn member(mark: Mark, name: &OrderId) -> String {
    hash(mark, name).cast_signed().to_string()
}

fn hash(mark: Mark, name: &OrderId) -> u64 {
    let mark: &[u8] = match mark {
        Mark::Closed => b"closed ",
        Mark::Borne => b"borne ",
    };
    let digest = Sha256::new().chain_update(mark).chain_update(name.to_string()).finalize();
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
        let of = |text| {
            let name = name(text);
            let marks = [Mark::Closed, Mark::Borne].map(|mark| member(mark, &name));
            (key(&keys, &site, &name), marks)
        };
        let expected = ["7068644060149250214", "4341435496299269216"].map(str::to_owned);
        assert_eq!(of("id:1"), ("sk:{shop}:closed:166".to_owned(), expected));
        assert_ne!(of("id:1").1, of("external-id:1").1);
    }
}
