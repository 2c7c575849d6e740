//! The public names of Storekeeper, read from the source, and those that a text uses.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::documented;
use super::source::{Source, Tree, has_ending};

/// Labels that Prometheus and its alerts give each series, or that belong to a histogram.
const LABELS_OF_ALL: [&str; 10] = [
    "job",
    "instance",
    "namespace",
    "pod",
    "container",
    "service",
    "endpoint",
    "le",
    "alertname",
    "severity",
];
/// What stands behind the last dot of a file, a host or a Kubernetes group rather than of a name.
const NO_NAMES: [&str; 20] = [
    "toml", "yaml", "yml", "json", "md", "rs", "rules", "service", "sh", "conf", "acl", "db",
    "svc", "com", "io", "org", "test", "tar", "sock", "lua",
];

/// A word of a text: letters, digits and `_`, `.`, `:` between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    before: Option<char>,
    /// Where it ends in the text.
    pub(super) end: usize,
    after: Option<char>,
}

impl Word<'_> {
    /// What is between these characters.
    pub(super) fn parts(self, between: char) -> impl Iterator<Item = Self> {
        self.text.split(between).map(move |text| Self { text, ..self })
    }

    /// Whether it is part of a path, of a name with dashes or of an address.
    fn is_in_a_path(&self) -> bool {
        let is_of_path = |c: char| matches!(c, '/' | '-' | '@' | '\\');
        self.before.is_some_and(is_of_path) || self.after.is_some_and(is_of_path)
    }
}

/// The words of a text; full stops and colons behind one are none of it.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(is_part)?;
        let rest = text.get(start..)?;
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let whole = rest.get(..length)?;
        from = start + length;
        let word = whole.trim_end_matches(['.', ':']);
        let end = start + word.len();
        let before = text.get(..start)?.chars().next_back();
        Some(Word { text: word, before, end, after: text.get(end..)?.chars().next() })
    })
}

/// What there is.
#[derive(Debug)]
pub(super) struct Known {
    /// Series by name, as `/metrics` shows them.
    series: BTreeSet<String>,
    labels: BTreeSet<String>,
    settings: BTreeSet<String>,
    /// Every text in quotes of the code that ships, and of formats what stands before the brace.
    quoted: BTreeSet<String>,
    /// What stands before the dot in codes.
    families: BTreeSet<String>,
}

impl Known {
    /// Reads the source: metrics from the list that a test keeps true.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut known = Self {
            series: BTreeSet::new(),
            labels: LABELS_OF_ALL.iter().map(ToString::to_string).collect(),
            settings: documented(tree.text("config/default.toml")).into_keys().collect(),
            quoted: BTreeSet::new(),
            families: BTreeSet::new(),
        };
        for file in tree.rust("src/") {
            known.series.extend(file.text.lines().flat_map(series));
            known.labels.extend(labels(&file.text));
            known.quoted.extend(quoted(&file.code()));
        }
        let codes = known.quoted.iter().filter(|text| is_code(text));
        known.families = codes.filter_map(|code| Some(code.split_once('.')?.0.into())).collect();
        known
    }

    /// The source was read: some names that are surely there.
    pub(super) fn assert_plausible(&self) {
        for series in ["storekeeper_queue_ready", "storekeeper_webhooks_received_total"] {
            assert!(self.series.contains(series), "{series}: {:?}", self.series);
        }
        assert!(self.series.contains("storekeeper_webhook_to_commit_seconds_bucket"));
        assert!(self.labels.contains("event_type"), "{:?}", self.labels);
        for text in ["work", "journal", "decode.not_json", "broker.full", "dead_letter"] {
            assert!(self.quoted.contains(text), "{text}");
        }
        assert!(self.settings.contains("worker.drain_timeout"));
    }

    /// Whether a name with dots is a queue, an exchange, or a text of the code.
    fn has_queue(&self, rest: &str, whole: &str) -> bool {
        let first = rest.split('.').next().unwrap_or(rest);
        let prefix = format!("{first}.");
        let is_family = rest.contains('.') && self.quoted.contains(&prefix);
        self.quoted.contains(rest) || self.quoted.contains(whole) || is_family
    }

    fn has_code(&self, text: &str) -> bool {
        self.quoted.contains(text) || self.settings.contains(text)
    }
}

/// The series of a line `name type`, as the test of the metrics' names has them.
fn series(line: &str) -> Vec<String> {
    let Some((name, kind)) = line.trim().split_once(' ') else { return Vec::new() };
    if !name.starts_with("storekeeper_") {
        return Vec::new();
    }
    let endings: &[&str] = match kind {
        "gauge" => &[""],
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "info" => &["_info"],
        _ => &[],
    };
    endings.iter().map(|ending| format!("{name}{ending}")).collect()
}

/// The fields of the structs that are sets of labels.
fn labels(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for set in source.split("EncodeLabelSet)]").skip(1) {
        let fields = set.split("\n}").next().unwrap_or_default().lines().skip(1);
        let fields = fields.filter_map(|line| line.trim().split_once(':'));
        let names = fields.map(|(name, _)| name.trim_start_matches("pub ").to_owned());
        found
            .extend(names.filter(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
    found
}

fn quoted(code: &str) -> impl Iterator<Item = String> {
    code.split('"').map(|text| text.split('{').next().unwrap_or(text).to_owned())
}

/// Whether a text has the form of a code: `family.what_it_is`.
fn is_code(text: &str) -> bool {
    let is_name =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split_once('.').is_some_and(|(family, rest)| is_name(family) && is_name(rest))
}

/// Every name in these files that is of Storekeeper by its form, and not known.
pub(super) fn unknown(known: &Known, files: &[&Source]) -> Vec<String> {
    let recorded: BTreeSet<&str> = files.iter().flat_map(|file| recorded(&file.text)).collect();
    let mut faults: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let mut fault = |name: &str, what: &str| {
            faults
                .insert(format!("{}: {name}", file.path), format!("{}: {name}: {what}", file.path));
        };
        for word in words(&file.text) {
            // The settings of RabbitMQ and Redis have dots too.
            let is_of_others =
                has_ending(&file.path, "conf") && !word.text.starts_with("storekeeper");
            if is_of_others {
                continue;
            }
            if let Some(what) = unknown_word(known, &recorded, word) {
                fault(word.text, what);
            }
        }
        for (name, values) in selected(&file.text) {
            if !known.labels.contains(name) {
                fault(name, "no metric has this label");
            }
            for value in values.filter(|value| !known.quoted.contains(*value)) {
                fault(value, "no label has this value");
            }
        }
        for name in grouped(&file.text).filter(|name| !known.labels.contains(*name)) {
            fault(name, "no metric has this label");
        }
    }
    faults.into_values().collect()
}

/// Why a word is a name that does not exist.
fn unknown_word(known: &Known, recorded: &BTreeSet<&str>, word: Word<'_>) -> Option<&'static str> {
    let text = word.text;
    if text.contains(":storekeeper_") {
        return (!recorded.contains(text)).then_some("nothing records this series");
    }
    let text = text.split(':').next().unwrap_or(text);
    if text.starts_with("storekeeper_") && !word.is_in_a_path() {
        return (!known.series.contains(text)).then_some("/metrics shows no such series");
    }
    let last = text.rsplit('.').next().unwrap_or(text);
    if word.is_in_a_path() || NO_NAMES.contains(&last) {
        return None;
    }
    if let Some(rest) = text.strip_prefix("storekeeper.") {
        return (!known.has_queue(rest, text)).then_some("no queue, exchange or event");
    }
    let family = text.split('.').next().unwrap_or(text);
    let sections = || known.settings.iter().filter_map(|name| Some(name.split_once('.')?.0));
    let is_ours = known.families.contains(family) || sections().any(|section| section == family);
    (is_code(text) && is_ours && !known.has_code(text)).then_some("no setting and no code")
}

/// The series that rules of Prometheus make.
fn recorded(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("- ").unwrap_or(line).strip_prefix("record: ").map(str::trim)
    })
}

/// The labels that queries choose metrics of ours by, and the plain values that they ask for.
fn selected(text: &str) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
    let chosen = words(text).filter(|word| word.text.starts_with("storekeeper_"));
    let braces = chosen.filter_map(move |word| {
        text.get(word.end..)?.strip_prefix('{')?.split_once('}').map(|(inside, _)| inside)
    });
    braces.flat_map(|inside| inside.split(',')).filter_map(|matcher| {
        let (name, value) = matcher.split_once('=')?;
        let name = name.trim().trim_end_matches('!');
        // In JSON, quotes are written as \".
        let value = value.trim_start_matches('~').trim();
        let value = value.trim_matches(['"', '\\', '\'']);
        let is_ours = !LABELS_OF_ALL.contains(&name);
        let is_plain = move |one: &&str| {
            is_ours
                && !one.is_empty()
                && one.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))
        };
        Some((name, value.split('|').filter(is_plain)))
    })
}

/// The labels that queries group by.
fn grouped(text: &str) -> impl Iterator<Item = &str> {
    ["by (", "without (", "by(", "without("]
        .into_iter()
        .flat_map(|start| text.split(start).skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .filter(|(inside, after)| is_list(inside) && !after.is_empty())
        .flat_map(|(inside, _)| inside.split(',').map(str::trim))
}

fn is_list(inside: &str) -> bool {
    inside.bytes().all(|b| b.is_ascii_lowercase() || b"_, ".contains(&b)) && !inside.is_empty()
}
