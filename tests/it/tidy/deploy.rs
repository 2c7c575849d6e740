//! What `deploy/` says of Storekeeper exists: settings, commands, ports, metrics, labels, codes,
//! queues; and what it is set to is what the program would take.
//!
//! The rules find the names by their form, in every file there is, also in comments.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use clap::Parser;
use storekeeper::cli::Cli;
use storekeeper::config::Settings;

use super::names::{self, Known, Word, words};
use super::settings::documented;
use super::source::{Source, Tree, has_ending};
use super::{catches, check};

/// What the settings of a process that listens to others need beside its file.
const SECRETS: [(&str, &str); 2] = [
    ("STOREKEEPER__INGRESS__SECRETS", "c2VjcmV0"),
    ("STOREKEEPER__CONSOLE__TOKENS", "operate:a-token-of-16-characters"),
];
const PREFIX: &str = "STOREKEEPER__";
/// How files say how long a process may take to end.
const GRACES: [&str; 3] =
    ["terminationGracePeriodSeconds:", "stop_grace_period:", "TimeoutStopSec="];

fn deployed(tree: &Tree) -> impl Iterator<Item = &Source> {
    tree.under("deploy/").filter(|file| !file.path.starts_with("deploy/secrets/"))
}

/// The settings that this file and these variables make, or why there are none.
fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storekeeper.toml");
    fs::write(&path, toml).unwrap();
    let secrets = SECRETS.iter().filter(|(name, _)| variables.iter().all(|(set, _)| set != name));
    let all = secrets.chain(variables).map(|(name, value)| (OsString::from(name), value.into()));
    let settings = Settings::load_from(Some(&path), all);
    settings.map_err(|error| error.to_string().replace(&path.display().to_string(), "the file"))
}

/// The settings files of a file: it is one, or has them as texts in YAML (`name.toml: |`).
fn settings_files(file: &Source) -> Vec<String> {
    if has_ending(&file.path, "toml") {
        return vec![file.text.clone()];
    }
    let mut found = Vec::new();
    let mut lines = file.text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        if !has_ending(key, "toml") || !rest.trim_start().starts_with('|') {
            continue;
        }
        let indent = indent_of(line);
        let mut text = String::new();
        while let Some(next) = lines.peek()
            && (next.trim().is_empty() || indent_of(next) > indent)
        {
            text.push_str(next.trim_start());
            text.push('\n');
            lines.next();
        }
        found.push(text);
    }
    found
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn unloadable(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in deployed(tree) {
        for text in settings_files(file) {
            faults.extend(load(&text, &[]).err().map(|error| format!("{}: {error}", file.path)));
        }
    }
    faults
}

#[test]
fn settings_files_of_deployments_load() {
    let tree = Tree::of_repository();
    let files = deployed(&tree).map(|file| settings_files(file).len()).sum::<usize>();
    assert!(files >= 3, "{files} settings files");
    check(&unloadable(&tree), "config/default.toml has all settings and what they may be");
    catches(unloadable, &[("deploy/a.toml", "[worker]\nprefetc = 1\n")]);
    catches(
        unloadable,
        &[("deploy/a.yaml", "data:\n  a.toml: |\n    [log]\n    level = 7\n  b: c")],
    );
    let open = "[ingress]\nlisten = \"0.0.0.0:8080\"\n[console]\nlisten = \"0.0.0.0:8081\"\n";
    check(&unloadable(&Tree::of(&[("deploy/a.toml", open)])), "secrets are not in the file");
}

/// A variable that is set somewhere, and to what, where it says so in place: `NAME: value`,
/// `NAME=value`, or `value:` in the line after its name.
fn value_of(file: &Source, word: &Word<'_>) -> Option<String> {
    let rest = file.text.get(word.end..)?;
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    let next = after.lines().next().unwrap_or_default().trim();
    let value = if let Some(value) = line.strip_prefix(": ").or_else(|| line.strip_prefix('=')) {
        value
    } else if line.trim().is_empty() {
        next.strip_prefix("value: ")?
    } else {
        return None;
    };
    let value = value.trim().trim_matches(|c| c == '"' || c == '\'');
    let is_plain = !value.is_empty() && !value.contains(['$', '<', ' ', '|', '&', '*']);
    is_plain.then(|| value.to_owned())
}

fn wrong_variables(tree: &Tree) -> Vec<String> {
    let settings = documented(tree.text("config/default.toml"));
    let mut faults = Vec::new();
    for file in deployed(tree) {
        for word in words(&file.text).filter(|word| word.text.starts_with(PREFIX)) {
            let name = word.text.trim_end_matches('.');
            let path = name.trim_start_matches(PREFIX);
            // The rule itself is told with dots.
            if path.is_empty() || path.starts_with('.') {
                continue;
            }
            let of_file = path.strip_suffix("_FILE");
            let setting = of_file.unwrap_or(path).to_ascii_lowercase().replace("__", ".");
            if !settings.contains_key(&setting) {
                faults.push(format!("{}: {name}: there is no setting {setting}", file.path));
            } else if of_file.is_none()
                && let Some(value) = value_of(file, &word)
                && let Err(error) = load("", &[(name, &value)])
            {
                faults.push(format!("{}: {name}={value}: {error}", file.path));
            }
        }
    }
    faults
}

#[test]
fn variables_of_deployments_are_settings() {
    let advice = "a variable is STOREKEEPER__<SECTION>__<NAME> of a setting in config/default.toml";
    check(&wrong_variables(&Tree::of_repository()), advice);
    let defaults = ("config/default.toml", "[worker]\n# Many.\nprefetch = 1\n");
    let at = |text: &'static str| [defaults, ("deploy/a.yaml", text)];
    catches(wrong_variables, &at("- name: STOREKEEPER__WORKER__PREFETCHES\n"));
    catches(wrong_variables, &at("# STOREKEEPER__REDIS__URLS_FILE names it"));
    catches(wrong_variables, &at("- name: STOREKEEPER__WORKER__PREFETCH\n  value: \"many\"\n"));
    catches(wrong_variables, &at("STOREKEEPER__WORKER__PREFETCH: 0\n"));
    catches(wrong_variables, &at("Environment=STOREKEEPER__WORKER__PREFETCH=none\n"));
    let fine =
        at("STOREKEEPER__WORKER__PREFETCH: 7\n# STOREKEEPER__WORKER__PREFETCH_FILE names one");
    check(&wrong_variables(&Tree::of(&fine)), "both are the setting worker.prefetch");
}

/// The lists of arguments in a YAML file that are given to Storekeeper: `args:`, one a line.
fn arguments(file: &Source) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut lines = file.text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() != "args:" {
            continue;
        }
        let mut list = Vec::new();
        while let Some(item) = lines.peek().and_then(|next| next.trim().strip_prefix("- ")) {
            list.push(item.trim_matches('"').to_owned());
            lines.next();
        }
        found.push(list);
    }
    found
}

fn unknown_arguments(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for file in deployed(tree).filter(|file| has_ending(&file.path, "yaml")) {
        for list in arguments(file) {
            let line = std::iter::once("storekeeper").chain(list.iter().map(String::as_str));
            if let Err(error) = Cli::try_parse_from(line) {
                faults.push(format!("{}: {list:?}: {}", file.path, error.kind()));
            }
        }
    }
    faults
}

#[test]
fn arguments_of_deployments_are_commands() {
    let tree = Tree::of_repository();
    let lists = deployed(&tree).map(|file| arguments(file).len()).sum::<usize>();
    assert!(lists >= 6, "{lists} lists of arguments");
    check(&unknown_arguments(&tree), "`storekeeper --help` says what there is");
    catches(unknown_arguments, &[("deploy/a.yaml", "args:\n  - workers\n")]);
    catches(unknown_arguments, &[("deploy/a.yaml", "args:\n  - audit\n  - --sites=a\nb: c\n")]);
}

/// How long pods and containers are left to end, and for how long of that they are kept from it,
/// where a file says so of a workload that runs Storekeeper.
fn graces(file: &Source) -> Vec<Duration> {
    let value = |line: &str, key: &str| {
        let value = line.trim().strip_prefix(key)?.trim();
        let digits = value.bytes().all(|b| b.is_ascii_digit());
        let value = if digits { format!("{value}s") } else { value.to_owned() };
        humantime::parse_duration(&value).ok()
    };
    let found = |line| GRACES.iter().find_map(|key| value(line, key));
    let before: Duration = file.text.lines().filter_map(|line| value(line, "seconds:")).sum();
    file.text.lines().filter_map(found).map(|grace| grace.saturating_sub(before)).collect()
}

fn short_graces(tree: &Tree) -> Vec<String> {
    let defaults = load("", &[]).expect("the defaults load").worker.drain_timeout;
    let files = deployed(tree).flat_map(settings_files);
    let drains = files.filter_map(|text| Some(load(&text, &[]).ok()?.worker.drain_timeout));
    let drain = drains.chain([defaults]).max().unwrap_or(defaults);
    let mut faults = Vec::new();
    for file in deployed(tree) {
        let graces = graces(file);
        let short = graces.iter().filter(|grace| **grace <= drain);
        faults.extend(short.map(|grace| format!("{}: {grace:?}, drain {drain:?}", file.path)));
        let stays = ["kind: Deployment", "kind: StatefulSet"];
        let runs = file.text.contains(" image: storekeeper\n");
        if runs && graces.is_empty() && file.text.lines().any(|line| stays.contains(&line)) {
            faults.push(format!("{}: does not say how long its pods may take to end", file.path));
        }
    }
    faults
}

#[test]
fn whoever_drains_is_given_the_time_for_it() {
    let advice = "what is in flight may take worker.drain_timeout, after any preStop";
    check(&short_graces(&Tree::of_repository()), advice);
    catches(short_graces, &[("deploy/a.yaml", "  terminationGracePeriodSeconds: 20\n")]);
    let slept = "  sleep:\n    seconds: 10\n  terminationGracePeriodSeconds: 30\n";
    catches(short_graces, &[("deploy/a.yaml", slept)]);
    catches(short_graces, &[("deploy/a.service", "TimeoutStopSec=15s\n")]);
    catches(short_graces, &[("deploy/a.yaml", "kind: Deployment\n  - image: storekeeper\n")]);
    let longer = ("deploy/a.toml", "[worker]\ndrain_timeout = \"2m\"\n");
    catches(short_graces, &[longer, ("deploy/compose.yaml", "    stop_grace_period: 90s\n")]);
}

/// Ports that look like Storekeeper's and are none of the defaults.
fn unknown_ports(tree: &Tree) -> Vec<String> {
    let is_port = |text: &str| text.len() == 4 && text.starts_with("80");
    let number = |word: &Word<'_>| word.text.bytes().all(|b| b.is_ascii_digit());
    let defaults = tree.text("config/default.toml").lines();
    let known: BTreeSet<&str> = defaults
        .filter_map(|line| line.strip_prefix("listen = ")?.trim_end_matches('"').rsplit(':').next())
        .collect();
    let mut faults = Vec::new();
    for file in deployed(tree) {
        let found = words(&file.text).flat_map(|word| word.parts(':'));
        let ports = found.filter(|word| number(word) && is_port(word.text));
        let unknown = ports.filter(|word| !known.contains(word.text));
        faults.extend(unknown.map(|word| format!("{}: {}", file.path, word.text)));
    }
    faults
}

#[test]
fn ports_of_deployments_are_the_defaults() {
    let tree = Tree::of_repository();
    check(&unknown_ports(&tree), "config/default.toml says where each role listens");
    let defaults = ("config/default.toml", "listen = \"127.0.0.1:8080\"\n");
    catches(unknown_ports, &[defaults, ("deploy/a.yaml", "ports: [\"127.0.0.1:8080:8090\"]")]);
    catches(unknown_ports, &[defaults, ("deploy/a.yaml", "containerPort: 8081")]);
}

fn unknown_names(tree: &Tree) -> Vec<String> {
    let known = Known::of(tree);
    let files: Vec<&Source> = deployed(tree).collect();
    names::unknown(&known, &files)
}

#[test]
fn names_in_deployments_exist() {
    let tree = Tree::of_repository();
    Known::of(&tree).assert_plausible();
    let advice = "a metric, label, code, setting or queue of that name is not in the code";
    check(&unknown_names(&tree), advice);
    let metrics = "storekeeper_queue_ready gauge\nstorekeeper_webhooks_received counter\n\
                   storekeeper_batch_events histogram\nstorekeeper_build info\n";
    let labels = "#[derive(EncodeLabelSet)]\nstruct CodeLabel {\n    code: String,\n}\n";
    let code = "const A: [&str; 4] = [\"work\", \"broker.full\", \"ok\", \"decode.not_json\"];\n";
    let sources =
        [("src/metrics.rs", metrics), ("src/labels.rs", labels), ("src/broker/mod.rs", code)];
    let defaults = ("config/default.toml", "[worker]\n# Many.\nprefetch = 1\n");
    let with = |text: &'static str| {
        let mut files = sources.to_vec();
        files.extend([defaults, ("deploy/a.yaml", text)]);
        files
    };
    for text in [
        "max(storekeeper_queue_readiness) > 0",
        "rate(storekeeper_queue_ready_total[5m])",
        "storekeeper_batch_events{le=\"1\"}",
        "storekeeper_webhooks_received_total{reason=\"ok\"}",
        "storekeeper_webhooks_received_total{code=\"broker.filled\"}",
        "storekeeper_webhooks_received_total{code=~\"ok|broker.filled\"}",
        "sum by (kode) (storekeeper_queue_ready)",
        "queueName: storekeeper.works",
        "# see worker.prefetching",
        "# Alerts on decode.not_jsn.",
        "instance:storekeeper_queue_ready:max > 0",
    ] {
        let files = with(text);
        let faults = unknown_names(&Tree::of(&files));
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
    }
    for text in [
        "rate(storekeeper_webhooks_received_total{code!~\"ok|broker.full\"}[5m])",
        "histogram_quantile(0.9, sum by (le, job) (rate(storekeeper_batch_events_bucket[5m])))",
        "queueName: storekeeper.work",
        "max by (severity) (storekeeper_build_info)",
        "# worker.prefetch, and decode.not_json; see storekeeper.toml, worker.yaml.",
        "record: instance:storekeeper_queue_ready:max\nexpr: max(storekeeper_queue_ready)\n\
         alert: instance:storekeeper_queue_ready:max > 0",
    ] {
        let files = with(text);
        check(&unknown_names(&Tree::of(&files)), text);
    }
}
