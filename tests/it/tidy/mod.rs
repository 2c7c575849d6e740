//! The source keeps its own rules: what may use what, and what must stand where.
//!
//! Each rule is a function from the repository's files to the faults that it finds, so that it
//! can be tried on an invented repository too: a rule that finds nothing there proves nothing.

mod commands;
mod deploy;
mod names;
mod rights;
mod settings;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use source::{Source, Tree, has_ending, has_word, names_under};

/// The longest source file, in lines.
const LINES_MAX: usize = 450;

/// What each top-level module of `src` may use; a module uses none that comes after it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("http", &["domain"]),
    ("sqlite", &[]),
    ("clock", &["domain"]),
    ("config", &["domain"]),
    ("broker", &["clock", "domain", "sqlite"]),
    ("store", &["broker", "clock", "domain", "sqlite"]),
    ("metrics", &["broker", "domain"]),
    ("health", &["broker", "clock", "domain", "http", "metrics", "store"]),
    // The stages do not see each other: they meet in the queue and in the Store.
    ("ingress", &["broker", "clock", "config", "domain", "http", "metrics"]),
    ("worker", &["broker", "clock", "config", "domain", "health", "metrics", "store"]),
    // What people ask for, and what operators start, acts on the ports, beside the stages.
    ("requests", &["broker", "clock", "domain", "store"]),
    ("upkeep", &["broker", "domain", "store"]),
    // It asks the worker what an envelope means: a dry run must say what a run would do.
    ("dead_letters", &["broker", "clock", "domain", "store", "worker"]),
    (
        "console",
        &["broker", "clock", "config", "dead_letters", "domain", "http", "requests", "store"],
    ),
    // The simulation has a model of its own: if it shared the rules it would prove nothing.
    ("simulate", &["clock"]),
    // The relay publishes changes in the shape in which the API answers them.
    (
        "duties",
        &[
            "broker",
            "clock",
            "config",
            "console",
            "dead_letters",
            "domain",
            "health",
            "metrics",
            "store",
            "upkeep",
        ],
    ),
    // The composition root, and the commands in front of it, put everything together.
    ("app", EVERYTHING),
    ("cli", EVERYTHING),
];

/// All that comes before in the table.
const EVERYTHING: &[&str] = &["*"];

#[track_caller]
fn check(faults: &[String], advice: &str) {
    assert!(faults.is_empty(), "{advice}:\n  {}", faults.join("\n  "));
}

/// Runs a rule on an invented repository with one fault.
#[track_caller]
fn catches(rule: fn(&Tree) -> Vec<String>, files: &[(&str, &str)]) {
    let faults = rule(&Tree::of(files));
    assert_eq!(faults.len(), 1, "{faults:?}");
}

fn may_use(module: &str, name: &str) -> bool {
    let mut before = MAY_USE.iter().take_while(|(earlier, _)| *earlier != module);
    let mut own = MAY_USE.iter().filter(|(other, _)| *other == module);
    before.any(|(earlier, _)| *earlier == name)
        && own.any(|(_, allowed)| *allowed == EVERYTHING || allowed.contains(&name))
}

fn wrong_directions(tree: &Tree) -> Vec<String> {
    let is_known = |name: &str| MAY_USE.iter().any(|(module, _)| *module == name);
    let mut faults = Vec::new();
    for file in tree.rust("src/") {
        let module = file.module();
        if matches!(module, "main" | "lib") {
            continue;
        }
        if !is_known(module) {
            faults.push(format!("{}: `{module}` is not in the table", file.path));
        }
        let used: BTreeSet<String> = names_under(&file.code(), "crate").into_iter().collect();
        let modules = used.iter().filter(|name| *name != module && is_known(name));
        let wrong = modules.filter(|name| !may_use(module, name));
        faults.extend(wrong.map(|name| format!("{}: `{module}` uses `{name}`", file.path)));
    }
    faults
}

#[test]
fn dependencies_point_one_way() {
    let advice = "move the code to the module that may use it, or pass in what it needs; a new \
                  module is added to MAY_USE";
    check(&wrong_directions(&Tree::of_repository()), advice);
    catches(wrong_directions, &[("src/domain/a.rs", "use crate::{domain::B, store::{C, D}};")]);
    catches(wrong_directions, &[("src/ingress/mod.rs", "fn a() { crate::worker::b() }")]);
    catches(wrong_directions, &[("src/app.rs", "use crate::cli::Cli;")]);
    catches(wrong_directions, &[("src/helpers.rs", "")]);
    let comment = ("src/domain/a.rs", "//! As `crate::store` is.\nfn a() {} // crate::store::b");
    check(&wrong_directions(&Tree::of(&[comment])), "a comment is no use");
}

/// Files of one folder that use each other.
fn circles(tree: &Tree) -> Vec<String> {
    let mut uses: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for file in tree.rust("src/") {
        let path = file.path.strip_suffix("/mod.rs").or_else(|| file.path.strip_suffix(".rs"));
        if let Some(place) = path.and_then(|path| path.rsplit_once('/')) {
            uses.entry(place).or_default().extend(names_under(&file.code(), "super"));
        }
    }
    let mut faults = Vec::new();
    for ((folder, name), used) in &uses {
        let both = used.iter().filter(|other| {
            *name < other.as_str()
                && uses.get(&(*folder, other.as_str())).is_some_and(|back| back.contains(*name))
        });
        faults.extend(both.map(|other| format!("{folder}: `{name}` and `{other}`")));
    }
    faults
}

#[test]
fn no_two_files_of_a_folder_need_each_other() {
    let advice = "put what they have in common into a file of its own, or make one a child of the \
                  other";
    check(&circles(&Tree::of_repository()), advice);
    let one = ("src/a/one.rs", "use super::two::Two;");
    let file = ("src/a/two.rs", "use super::{one::One, three};");
    catches(circles, &[one, file]);
    catches(circles, &[one, ("src/a/two/mod.rs", "fn two() { super::one::one() }")]);
    check(&circles(&Tree::of(&[one, ("src/b/two.rs", "use super::one::One;")])), "not the same");
}

/// The code of files outside the folders where some word may stand, that holds it all the same.
fn misplaced(tree: &Tree, words: &[&str], folders: &[&str]) -> Vec<String> {
    let is_outside = |file: &&Source| !folders.iter().any(|home| file.path.starts_with(home));
    let mut faults = Vec::new();
    for file in tree.rust("src/").filter(is_outside) {
        let code = file.code();
        let found = words.iter().filter(|word| has_word(&code, word));
        faults.extend(found.map(|word| format!("{}: `{word}`", file.path)));
    }
    faults
}

fn misplaced_adapters(tree: &Tree) -> Vec<String> {
    const ADAPTERS: &[(&[&str], &str)] = &[
        (&["EmbeddedBroker", "broker::embedded"], "src/broker/embedded"),
        (&["RabbitBroker", "broker::rabbitmq"], "src/broker/rabbitmq"),
        (&["EmbeddedStore", "store::embedded"], "src/store/embedded"),
        (&["RedisStore", "store::redis"], "src/store/redis"),
    ];
    let faults = ADAPTERS
        .iter()
        .map(|(names, home)| misplaced(tree, names, &[home, "src/app", "src/duties"]));
    faults.collect::<Vec<_>>().concat()
}

#[test]
fn adapters_are_chosen_in_the_composition_root_and_known_to_duties_that_only_one_has() {
    let advice = "take an `Arc<dyn Broker>` or `Arc<dyn Store>` and let src/app.rs choose";
    check(&misplaced_adapters(&Tree::of_repository()), advice);
    catches(misplaced_adapters, &[("src/worker/mod.rs", "use crate::store::embedded::Row;")]);
    catches(misplaced_adapters, &[("src/store/redis/mod.rs", "use crate::broker::rabbitmq::A;")]);
}

fn misplaced_clients(tree: &Tree) -> Vec<String> {
    let amqp = misplaced(tree, &["lapin"], &["src/broker/rabbitmq"]);
    // `crate::store::redis` is ours.
    let is_client = |file: &&Source| {
        let code = file.code();
        let uses = code.match_indices("redis::");
        let mut before = uses.filter_map(|(start, _)| code.get(..start));
        before.any(|before| !before.ends_with("::") || before.ends_with(" ::"))
    };
    let outside = tree.rust("src/").filter(|file| !file.path.starts_with("src/store/redis"));
    let redis = outside.filter(is_client).map(|file| format!("{}: `redis`", file.path));
    amqp.into_iter().chain(redis).collect()
}

#[test]
fn clients_of_servers_stay_in_their_adapters() {
    check(&misplaced_clients(&Tree::of_repository()), "go through the ports Broker and Store");
    catches(misplaced_clients, &[("src/app/mod.rs", "use lapin::Connection;")]);
    catches(misplaced_clients, &[("src/app/mod.rs", "use redis::Client;")]);
    catches(misplaced_clients, &[("src/app/mod.rs", "use ::redis::Client;")]);
    let ours = ("src/app/mod.rs", "use crate::store::redis::RedisStore;");
    check(&misplaced_clients(&Tree::of(&[ours])), "our own module is meant to be used");
}

fn misplaced_sql(tree: &Tree) -> Vec<String> {
    misplaced(tree, &["rusqlite"], &["src/sqlite", "src/broker/embedded", "src/store/embedded"])
}

#[test]
fn sql_stays_in_the_embedded_adapters() {
    check(&misplaced_sql(&Tree::of_repository()), "go through the ports Broker and Store");
    catches(misplaced_sql, &[("src/cli/stock.rs", "use rusqlite::Connection;")]);
}

fn misplaced_http(tree: &Tree) -> Vec<String> {
    misplaced(tree, &["axum"], &["src/http", "src/ingress", "src/console", "src/health"])
}

#[test]
fn http_stays_in_the_http_modules() {
    check(&misplaced_http(&Tree::of_repository()), "keep the rules free of how they are asked");
    catches(misplaced_http, &[("src/worker/mod.rs", "use axum::Router;")]);
}

fn misplaced_backoff(tree: &Tree) -> Vec<String> {
    misplaced(tree, &["backoff"], &["src/clock/delays.rs"])
}

#[test]
fn the_backoff_crate_stays_in_one_module() {
    check(&misplaced_backoff(&Tree::of_repository()), "use `crate::clock::Delays`");
    catches(misplaced_backoff, &[("src/worker/mod.rs", "use ::backoff::Backoff;")]);
    catches(misplaced_backoff, &[("src/worker/mod.rs", "use backoff::ExponentialBackoff;")]);
}

fn impurities(tree: &Tree) -> Vec<String> {
    const WORDS: &[&str] = &[
        "async",
        "await",
        "tokio",
        "tracing",
        "rand",
        "SystemTime",
        "Instant",
        "now_utc",
        "now_v7",
        "println",
        "eprintln",
        "Mutex",
        "RwLock",
    ];
    const OF_STD: [&str; 6] = ["fs", "net", "env", "thread", "io", "process"];
    let mut faults = Vec::new();
    for file in tree.rust("src/domain") {
        let code = file.code();
        let words = WORDS.iter().filter(|word| has_word(&code, word));
        faults.extend(words.map(|word| format!("{}: `{word}`", file.path)));
        let names = names_under(&code, "std").into_iter();
        let names = names.filter(|name| OF_STD.contains(&name.as_str()));
        faults.extend(names.map(|name| format!("{}: `std::{name}`", file.path)));
    }
    faults
}

#[test]
fn the_domain_is_pure() {
    let advice = "pass in what is read, and hand out what is decided; see src/domain/mod.rs";
    check(&impurities(&Tree::of_repository()), advice);
    catches(impurities, &[("src/domain/a.rs", "use std::{fmt, fs::File};")]);
    catches(impurities, &[("src/domain/mod.rs", "fn a() { b().await }")]);
}

fn floats(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.rust("src/domain") {
        let code = file.code();
        let lines = code.lines().enumerate();
        let found = lines.filter(|(_, line)| has_word(line, "f32") || has_word(line, "f64"));
        faults.extend(found.map(|(place, _)| format!("{}:{}", file.path, place + 1)));
    }
    faults
}

#[test]
fn no_quantity_is_a_float() {
    check(&floats(&Tree::of_repository()), "use `Quantity`: a float loses units");
    catches(floats, &[("src/domain/a.rs", "fn half(a: f64) {}")]);
}

fn markers(tree: &Tree) -> Vec<String> {
    // In halves, so that this file does not find itself.
    let words = [("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK")];
    let attributes = [("#[ig", "nore"), ("should_", "panic")];
    let mut faults = Vec::new();
    let is_data = |file: &&Source| file.path.starts_with("fixtures/") || file.path == "Cargo.lock";
    for file in tree.under("").filter(|file| !is_data(file)) {
        for (place, line) in file.text.lines().enumerate() {
            let word = words.iter().any(|(a, b)| has_word(line, &format!("{a}{b}")));
            let attribute = attributes.iter().any(|(a, b)| line.contains(&format!("{a}{b}")));
            if word || attribute {
                faults.push(format!("{}:{}: {}", file.path, place + 1, line.trim()));
            }
        }
    }
    faults
}

#[test]
fn nothing_is_left_for_later() {
    let advice = "do it or drop it; a test that cannot run here is no test";
    check(&markers(&Tree::of_repository()), advice);
    catches(markers, &[("src/a.rs", concat!("fn a() {} // TO", "DO: b"))]);
    catches(markers, &[("tests/it/a.rs", concat!("#[ig", "nore = \"slow\"]"))]);
}

fn undocumented_files(tree: &Tree) -> Vec<String> {
    let has_doc = |file: &&Source| file.text.starts_with("//! ");
    [tree.rust("src/").collect::<Vec<_>>(), tree.rust("tests/").collect()]
        .concat()
        .into_iter()
        .filter(|file| !has_doc(file))
        .map(|file| file.path.clone())
        .collect()
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let advice = "begin the file with `//!` and what comes in, what goes out, and who calls it";
    check(&undocumented_files(&Tree::of_repository()), advice);
    catches(undocumented_files, &[("src/a.rs", "use b;\n//! Too late.")]);
}

fn long_files(tree: &Tree) -> Vec<String> {
    let long = |file: &&Source| file.text.lines().count() > LINES_MAX;
    let fault = |file: &Source| format!("{}: {} lines", file.path, file.text.lines().count());
    let files = tree.rust("src/").chain(tree.rust("tests/"));
    files.filter(long).map(fault).collect()
}

#[test]
fn no_source_file_is_too_long() {
    let advice = format!("split what passes {LINES_MAX} lines by its nouns");
    check(&long_files(&Tree::of_repository()), &advice);
    catches(long_files, &[("src/a.rs", &"\n".repeat(LINES_MAX + 1))]);
}

/// A fixture is used when a Rust file has its name, or has the path of one of its folders in
/// quotes and reads that folder. That of all fixtures does not count: it would use everything.
fn unused_fixtures(tree: &Tree) -> Vec<String> {
    let sources: Vec<&Source> = tree.rust("src/").chain(tree.rust("tests/")).collect();
    let is_read = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let folders = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
        let mut folders = folders.filter(|folder| *folder != "fixtures");
        let reads = |text: &str| text.contains("read_dir(") || text.contains("bodies(");
        let reads_a_folder = folders.any(|folder| {
            let quoted = format!("{folder}\"");
            sources.iter().any(|source| source.text.contains(&quoted) && reads(&source.text))
        });
        reads_a_folder || sources.iter().any(|source| has_word(&source.text, name))
    };
    let fixtures = tree.under("fixtures/").filter(|file| !has_ending(&file.path, "md"));
    fixtures.filter(|file| !is_read(&file.path)).map(|file| file.path.clone()).collect()
}

#[test]
fn every_fixture_is_used() {
    let advice = "use the fixture in a test, by its name or by reading its folder, or delete it";
    check(&unused_fixtures(&Tree::of_repository()), advice);
    let fixture = ("fixtures/orders/created.json", "{}");
    catches(unused_fixtures, &[fixture]);
    catches(unused_fixtures, &[fixture, ("tests/it/a.rs", "include_str!(\"recreated.json\")")]);
    let all = ("tests/it/a.rs", "fs::read_dir(root.join(\"fixtures\"))");
    catches(unused_fixtures, &[fixture, all]);
    let by_name = ("tests/it/a.rs", "include_str!(\"../../fixtures/orders/created.json\")");
    assert!(unused_fixtures(&Tree::of(&[fixture, by_name])).is_empty());
    let by_folder = ("src/domain/a.rs", "fs::read_dir(root.join(\"fixtures/orders\"))");
    assert!(unused_fixtures(&Tree::of(&[fixture, by_folder])).is_empty());
}
