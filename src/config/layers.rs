//! Merges the defaults, the file and the environment into one tree.
//!
//! config-rs merges them and records the origin of each value. The values keep the type that their
//! source has given them (the environment has texts only); `read` converts them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use config::{Config, ConfigError, FileFormat, Format, Map, Source, Value, ValueKind};

use super::read::join;
use super::{Settings, SettingsError};

/// The defaults, which are also the documentation of every setting.
const DEFAULTS: &str = include_str!("../../config/default.toml");
/// The prefix of variables that are settings.
const PREFIX: &str = "STOREKEEPER__";
/// The suffix of variables that name a file with the setting.
const FROM_FILE: &str = "_FILE";
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

impl Settings {
    /// Loads the settings of this process: defaults, then `file`, then the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        Self::load_from(file, std::env::vars_os())
    }

    /// Loads the settings with the given variables in place of the environment.
    pub fn load_from(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let mut layers = Config::builder().add_source(Layer(parse(None, DEFAULTS)?));
        if let Some(path) = file {
            let name = path.display().to_string();
            let text = read_file(path).map_err(|message| SettingsError::new(&name, message))?;
            layers = layers.add_source(Layer(parse(Some(&name), &text)?));
        }
        let merged = layers.add_source(Layer(environment(variables)?)).build();
        // Merging tables in memory is not known to fail.
        let failed = |error: ConfigError| SettingsError::new("settings", error.to_string());
        let mut tree = merged.map_err(failed)?.cache;
        let mut origins = BTreeMap::new();
        note_origins("", &tree, &mut origins);
        parse_sources(&mut tree)?;
        let settings = Self::read(tree, origins)?;
        settings.validate()?;
        Ok(settings)
    }
}

/// Parses `ingress.sources` if it is a text, as it is in variables and in the files that they name.
fn parse_sources(tree: &mut Value) -> Result<(), SettingsError> {
    let ingress = section(tree).and_then(|root| root.get_mut("ingress"));
    let sources = ingress.and_then(section).and_then(|ingress| ingress.get_mut("sources"));
    let Some(sources) = sources.filter(|sources| !is_list(sources)) else { return Ok(()) };
    let origin = sources.origin().map(ToOwned::to_owned);
    let parsed = if let ValueKind::String(text) = &sources.kind {
        sections_of(text, origin.as_ref())
    } else {
        Err("must be sections that begin with [[ingress.sources]]".into())
    };
    *sources = parsed.map_err(|message| SettingsError {
        subject: "ingress.sources".into(),
        message,
        origin,
    })?;
    Ok(())
}

/// The sections of a TOML text that has them under their full heading, and nothing else.
fn sections_of(text: &str, origin: Option<&String>) -> Result<Value, String> {
    let expected = "must be TOML that has [[ingress.sources]] sections and nothing else";
    let parsed = parse(origin, text).map_err(|error| format!("{expected}: {}", error.message))?;
    let only = |mut table: Map<String, Value>, name| {
        if table.len() == 1 { table.remove(name) } else { None }
    };
    let ingress = only(parsed, "ingress").and_then(|ingress| ingress.into_table().ok());
    let sources = ingress.and_then(|ingress| only(ingress, "sources")).filter(is_list);
    sources.ok_or_else(|| expected.into())
}

fn section(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if let ValueKind::Table(values) = &mut value.kind { Some(values) } else { None }
}

const fn is_list(value: &Value) -> bool {
    matches!(value.kind, ValueKind::Array(_))
}

/// A source of settings that was read already.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Parses TOML, whose values have `name` as their origin.
pub(super) fn parse(
    name: Option<&String>,
    text: &str,
) -> Result<Map<String, Value>, SettingsError> {
    FileFormat::Toml.parse(name, text).map_err(|error| {
        let subject = name.map_or("config/default.toml", String::as_str);
        SettingsError::new(subject, without_excerpt(&error.to_string()))
    })
}

/// The parser's message without the lines of the file that it quotes: they may hold a secret.
fn without_excerpt(report: &str) -> String {
    let is_excerpt = |line: &&str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').starts_with('|')
    };
    let lines: Vec<&str> = report.lines().filter(|line| !is_excerpt(line)).collect();
    lines.join(": ")
}

/// Reads a text file of a bounded size; the error is what is wrong with it.
fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot read the file: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("the file is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Map<String, Value>, SettingsError> {
    let mut found = Map::new();
    for (name, value) in variables {
        let name = name.to_string_lossy().into_owned();
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let wrong = |message: String| SettingsError::new(&name, message);
        let text = value.into_string().map_err(|_| wrong("is not UTF-8".into()))?;
        let from_file = path.strip_suffix(FROM_FILE).filter(|path| !path.ends_with('_'));
        let setting = from_file.unwrap_or(path).to_ascii_lowercase().replace("__", ".");
        if !setting.split('.').all(is_name) {
            let example = format!("write `ingress.listen` as {PREFIX}INGRESS__LISTEN");
            return Err(wrong(format!("is not the name of a setting; {example}")));
        }
        let value = if from_file.is_some() {
            let content = read_file(Path::new(&text)).map_err(|m| wrong(format!("{text}: {m}")))?;
            let content = content.trim_end_matches(['\r', '\n']).to_owned();
            Value::new(Some(&format!("{text}, which {name} names")), content)
        } else {
            Value::new(Some(&name), text)
        };
        if found.insert(setting, value).is_some() {
            let plain = name.strip_suffix(FROM_FILE).unwrap_or(&name);
            let message = format!("is set, and so is {plain}{FROM_FILE}; keep one of them");
            return Err(SettingsError::new(plain, message));
        }
    }
    Ok(found)
}

fn is_name(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !part.is_empty() && part.chars().all(allowed)
}

fn note_origins(path: &str, value: &Value, origins: &mut BTreeMap<String, String>) {
    if let ValueKind::Table(table) = &value.kind {
        for (name, value) in table {
            note_origins(&join(path, name), value, origins);
        }
    } else if let Some(origin) = value.origin() {
        origins.insert(path.to_owned(), origin.to_owned());
    }
}
