//! The rights that are checked and documented are those that the scripts and the code use.

use std::collections::BTreeSet;

use super::source::{Tree, has_ending};
use super::{catches, check};

const REDIS: &str = "src/store/redis/";
/// The commands that every connection is checked for.
const TABLE: &str = "src/store/redis/rights.rs";
/// The line of the ACL for operators.
const README: &str = "deploy/README.md";
const ACL: &str = "ACL SETUSER storekeeper ";
/// What is needed beside the table: to run scripts at all, and what may be left out.
const BESIDE: [&str; 3] = ["EVALSHA", "SCRIPT|LOAD", "INFO"];

/// Words in capitals between quotes that need no right: arguments, codes of errors, words between the
/// code and its scripts, and the login itself.
const NO_COMMANDS: [&str; 35] = [
    "ADD",
    "AUTH",
    "COUNT",
    "CORRUPT",
    "LIMIT",
    "BYLEX",
    "BYSCORE",
    "REV",
    "WITHSCORES",
    "MATCH",
    "MINID",
    "LOAD",
    "SCRIPT",
    "EVALSHA",
    "INFO",
    "OOM",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "NOREPLICAS",
    "MISCONF",
    "TRYAGAIN",
    "MOVED",
    "ASK",
    "BUSY",
    "NOSCRIPT",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "UNBLOCKED",
    "WRONGTYPE",
    "ERR",
    "EXECABORT",
    "CROSSSLOT",
];

/// Commands that methods of the client library send, where that is not their name in capitals.
const METHODS: [(&str, &str); 4] = [
    ("set_nx", "SETNX"),
    ("hset_nx", "HSETNX"),
    ("zadd_multiple", "ZADD"),
    ("zscore_multiple", "ZMSCORE"),
];

fn capitals(text: &str) -> impl Iterator<Item = &str> {
    let is_capitals = |word: &&str| word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
    text.split(['"', '\'']).filter(is_capitals).filter(|word| !NO_COMMANDS.contains(word))
}

fn methods(text: &str) -> impl Iterator<Item = String> {
    text.split("Cmd::").skip(1).filter_map(|rest| {
        let name = rest.split_once('(')?.0;
        let named = METHODS.iter().find(|(method, _)| *method == name);
        let is_plain = name.bytes().all(|b| b.is_ascii_lowercase()) && name != "new";
        let plain = is_plain.then(|| name.to_uppercase());
        named.map(|(_, command)| (*command).to_owned()).or(plain)
    })
}

/// The commands of all scripts and of all code beside them.
fn used(tree: &Tree) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for file in tree.under(REDIS).filter(|file| file.path != TABLE) {
        if has_ending(&file.path, "lua") {
            let code = file.text.lines().filter(|line| !line.trim_start().starts_with("--"));
            used.extend(code.flat_map(capitals).map(str::to_owned));
        } else {
            used.extend(capitals(&file.code()).map(str::to_owned));
            used.extend(methods(&file.code()));
        }
    }
    used
}

fn in_table(tree: &Tree) -> BTreeSet<String> {
    let text = tree.text(TABLE);
    let table = text.split_once("COMMANDS: ").and_then(|(_, rest)| rest.split_once("];"));
    table.map(|(table, _)| capitals(table).map(str::to_owned).collect()).unwrap_or_default()
}

fn differences(tree: &Tree) -> Vec<String> {
    let (used, table) = (used(tree), in_table(tree));
    let line = tree.text(README).lines().find(|line| line.starts_with(ACL)).unwrap_or_default();
    let allowed = line.split(' ').filter_map(|word| word.strip_prefix('+'));
    let allowed: BTreeSet<String> = allowed.map(str::to_uppercase).collect();
    let needed = table.iter().map(String::as_str).chain(BESIDE).map(str::to_owned).collect();
    let differ = |a: &BTreeSet<String>, b: &BTreeSet<String>, what: &str| {
        a.difference(b).map(|command| format!("{command} {what}")).collect::<Vec<_>>()
    };
    [
        differ(&used, &table, "is used, and not checked"),
        differ(&table, &used, "is checked, and not used"),
        differ(&needed, &allowed, "is needed, and not documented"),
        differ(&allowed, &needed, "is documented, and not needed"),
    ]
    .concat()
}

#[test]
fn every_right_that_is_used_is_checked_and_documented() {
    let advice = "COMMANDS in rights.rs and the line of the ACL in deploy/README.md have all \
                  commands that scripts and code send, and no others";
    check(&differences(&Tree::of_repository()), advice);
    let acl = ("deploy/README.md", "ACL SETUSER storekeeper on +info +evalsha +script|load +get");
    let table = (TABLE, "COMMANDS: [&str; 1] = [\n    \"GET\",\n];");
    let code = ("src/store/redis/a.rs", "fn a() { Cmd::get(1); }");
    check(&differences(&Tree::of(&[acl, table, code])), "they agree");
    catches(differences, &[acl, table, ("src/store/redis/a.lua", "call('GET', 1) call('SET', 1)")]);
    catches(differences, &[acl, table, ("src/store/redis/a.rs", "Cmd::get(1); Cmd::set_nx(1);")]);
    catches(differences, &[acl, table]);
    let other = ("deploy/README.md", "ACL SETUSER storekeeper on +info +evalsha +script|load");
    catches(differences, &[other, table, code]);
}
