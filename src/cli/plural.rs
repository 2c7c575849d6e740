//! Counts in sentences.

/// Returns a count with the word for one or for several.
pub(super) fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", word(count, one, several))
}

/// Returns the word for one or for several.
pub(super) const fn word<'a>(count: u64, one: &'a str, several: &'a str) -> &'a str {
    if count == 1 { one } else { several }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_none_is_plural() {
        assert_eq!(counted(0, "order", "orders"), "0 orders");
        assert_eq!(counted(1, "order", "orders"), "1 order");
        assert_eq!(counted(2, "order", "orders"), "2 orders");
        assert_eq!(word(1, "was", "were"), "was");
    }
}
