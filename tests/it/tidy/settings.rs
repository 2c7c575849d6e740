//! Every setting is documented, and every documented setting exists.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Tree;
use super::{catches, check};

/// Where the settings are declared.
const FIELDS: &str = "src/config/mod.rs";
/// Where they have their defaults and their documentation.
const DEFAULTS: &str = "config/default.toml";

/// The settings that [`FIELDS`] declares: public fields of `Settings`, and of the structs in it.
fn declared(source: &str) -> BTreeSet<String> {
    let mut structs: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut current = "";
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            current = rest.trim_end_matches(" {");
        } else if line == "}" {
            current = "";
        } else if let Some(field) = line.strip_prefix("    pub ")
            && let Some((name, kind)) = field.trim_end_matches(',').split_once(": ")
        {
            structs.entry(current).or_default().push((name, kind));
        }
    }
    let mut settings = BTreeSet::new();
    for (name, kind) in structs.get("Settings").into_iter().flatten() {
        if let Some(fields) = structs.get(kind) {
            settings.extend(fields.iter().map(|(field, _)| format!("{name}.{field}")));
        } else {
            settings.insert((*name).to_owned());
        }
    }
    settings
}

/// The settings of a TOML file, with whether the line above each is a comment. One that has no
/// default stands there as a comment: `# name = "<meaning>"`.
pub(super) fn documented(toml: &str) -> BTreeMap<String, bool> {
    let mut settings = BTreeMap::new();
    let mut section = String::new();
    let mut above = "";
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        }
        if let Some(name) = setting_of(line) {
            let explained = above.starts_with("# ") && setting_of(above).is_none();
            settings.insert(format!("{section}{name}"), explained);
        }
        above = line;
    }
    settings
}

fn setting_of(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix("# ").unwrap_or(line).split_once(" = ")?;
    let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    is_name.then_some(name)
}

fn unexplained(tree: &Tree) -> Vec<String> {
    let settings = documented(tree.text(DEFAULTS)).into_iter();
    settings.filter(|(_, explained)| !explained).map(|(name, _)| name).collect()
}

#[test]
fn every_setting_is_explained() {
    let advice = "write a comment above the setting in config/default.toml";
    check(&unexplained(&Tree::of_repository()), advice);
    catches(unexplained, &[(DEFAULTS, "# Where.\npath = 1\n\n[log]\nlevel = 2\n")]);
    catches(unexplained, &[(DEFAULTS, "# Who.\n# token = \"<token>\"\nlevel = 2\n")]);
}

fn mismatches(tree: &Tree) -> Vec<String> {
    let declared = declared(tree.text(FIELDS));
    let documented: BTreeSet<String> = documented(tree.text(DEFAULTS)).into_keys().collect();
    let undocumented = declared.difference(&documented).map(|name| (name, FIELDS));
    let undeclared = documented.difference(&declared).map(|name| (name, DEFAULTS));
    let all = undocumented.chain(undeclared);
    all.map(|(name, file)| format!("{name}: only in {file}")).collect()
}

#[test]
fn fields_and_documented_settings_are_the_same() {
    let tree = Tree::of_repository();
    assert!(declared(tree.text(FIELDS)).contains("ingress.path_token"), "the fields were not read");
    check(&mismatches(&tree), "declare the setting in both files, or in neither");
    let fields = "pub struct Settings {\n    pub log: LogSettings,\n}\n\
                  pub struct LogSettings {\n    pub level: String,\n}\n";
    let same = [(FIELDS, fields), (DEFAULTS, "[log]\n# Loud or not.\nlevel = 1\n")];
    check(&mismatches(&Tree::of(&same)), "both files have log.level");
    catches(mismatches, &[(FIELDS, fields)]);
    let surplus = "[log]\n# Loud or not.\nlevel = 1\n# Nobody knows.\ncolour = 1\n";
    catches(mismatches, &[(FIELDS, fields), (DEFAULTS, surplus)]);
}
