//! A user of Redis with the rights that `deploy/README.md` names, or all but some of them.

use super::RedisServer;

const README: &str = include_str!("../../../deploy/README.md");
const LINE: &str = "ACL SETUSER storekeeper ";
/// What operators put in.
const PASSWORD: &str = "<password>";
const KEYS: &str = "~sk:*";

/// The words of the documented ACL after the user's name; with this password, on keys of this pattern.
pub(crate) fn documented_rights(keys: &str) -> Vec<String> {
    let line = README.lines().find_map(|line| line.strip_prefix(LINE)).unwrap();
    assert!(line.contains(PASSWORD) && line.contains(KEYS), "{line}");
    line.replace(PASSWORD, "secret").replace(KEYS, keys).split(' ').map(str::to_owned).collect()
}

/// The commands in it, as it spells them.
pub(crate) fn documented_commands() -> Vec<String> {
    let words = documented_rights(KEYS);
    words.iter().filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect()
}

/// Settings of a server that has this user from its start on.
pub(crate) fn settings_with_user(without: &[&str]) -> Vec<String> {
    let mut settings = vec!["--user".to_owned(), "storekeeper".to_owned()];
    let is_left = |word: &String| !without.iter().any(|left_out| *word == format!("+{left_out}"));
    settings.extend(documented_rights(KEYS).into_iter().filter(is_left));
    settings
}

impl RedisServer {
    /// Changes what the user may do, or makes it.
    pub(crate) fn set_user(&self, rights: &[impl AsRef<str>]) {
        let words = ["ACL", "SETUSER", "storekeeper"].into_iter();
        let words: Vec<&str> = words.chain(rights.iter().map(AsRef::as_ref)).collect();
        self.tell(&words);
    }

    /// The address with the user's name and password.
    pub(crate) fn url_of_user(&self) -> String {
        self.url().replace("redis://", "redis://storekeeper:secret@")
    }
}
