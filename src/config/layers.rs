//! Merges the defaults, the file and the environment into one tree.
//!
//! config-rs merges them and records the origin of each value. The values keep the type that their
//! source has given them (the environment has texts only); `read` converts them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Config, ConfigError, Map, Source, Value, ValueKind};

use super::read::join;
use super::strangers::PREFIX;
use super::toml::{parse, parse_sections};
use super::{Settings, SettingsError, old_sources, strangers};

/// The defaults, which are also the documentation of every setting.
const DEFAULTS: &str = include_str!("../../config/default.toml");
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
        let read = |path: &Path| {
            let name = path.display().to_string();
            let text = read_file(path).map_err(|message| SettingsError::new(&name, message))?;
            Ok((name, text))
        };
        let file = file.map(read).transpose()?;
        let mut ours = Vec::new();
        for (name, value) in variables {
            let text = name.to_string_lossy();
            strangers::check(&text)?;
            if text.starts_with(PREFIX) {
                ours.push((name, value));
            }
        }
        let variables = ours;
        Self::merge(Arc::new(LoadedFrom { file, variables }))
    }

    /// Loads the settings again from what they were loaded from: only files that variables name are
    /// read anew.
    pub fn reload(&self) -> Result<Self, SettingsError> {
        Self::merge(Arc::clone(&self.loaded_from))
    }

    /// The name of the file that the settings come from.
    pub(super) fn file_name(&self) -> Option<&str> {
        self.loaded_from.file.as_ref().map(|(name, _)| name.as_str())
    }

    /// The files that variables name, each with its setting.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let variables = self.loaded_from.variables.iter();
        let file = |(name, path): &(OsString, OsString)| match setting_of(&name.to_string_lossy()) {
            Some((setting, true)) => Some((setting, PathBuf::from(path))),
            Some((_, false)) | None => None,
        };
        variables.filter_map(file).collect()
    }

    fn merge(loaded_from: Arc<LoadedFrom>) -> Result<Self, SettingsError> {
        let mut layers = Config::builder().add_source(Layer(parse(None, DEFAULTS)?));
        if let Some((name, text)) = &loaded_from.file {
            layers = layers.add_source(Layer(parse(Some(name), text)?));
        }
        let variables = environment(loaded_from.variables.iter().cloned())?;
        let merged = layers.add_source(Layer(variables)).build();
        // Merging tables in memory is not known to fail.
        let failed = |error: ConfigError| SettingsError::new("settings", error.to_string());
        let mut tree = merged.map_err(failed)?.cache;
        let mut origins = BTreeMap::new();
        note_origins("", &tree, &mut origins);
        old_sources::refuse(&mut tree)?;
        for setting in ["sources", "ingress.credentials"] {
            parse_sections(setting, &mut tree)?;
        }
        let settings = Self { loaded_from, ..Self::read(tree, origins)? };
        settings.validate()?;
        Ok(settings)
    }
}

/// What settings were loaded from.
#[derive(Default)]
pub(super) struct LoadedFrom {
    /// The name and the text of the file.
    file: Option<(String, String)>,
    /// The variables that are settings.
    variables: Vec<(OsString, OsString)>,
}

/// Both may hold secrets.
impl fmt::Debug for LoadedFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedFrom").finish_non_exhaustive()
    }
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

/// The setting of a variable, and whether the variable names a file with its value.
fn setting_of(variable: &str) -> Option<(String, bool)> {
    let path = variable.strip_prefix(PREFIX)?;
    let from_file = path.strip_suffix(FROM_FILE).filter(|path| !path.ends_with('_'));
    let setting = from_file.unwrap_or(path).to_ascii_lowercase().replace("__", ".");
    Some((setting, from_file.is_some()))
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
        let Some((setting, is_in_file)) = setting_of(&name) else { continue };
        let wrong = |message: String| SettingsError::new(&name, message);
        let text = value.into_string().map_err(|_| wrong("is not UTF-8".into()))?;
        if !setting.split('.').all(is_name) {
            let example = format!("write `ingress.listen` as {PREFIX}INGRESS__LISTEN");
            return Err(wrong(format!("is not the name of a setting; {example}")));
        }
        let value = if is_in_file {
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
