//! Parses TOML into values of the tree: whole files, and lists of sections that a variable holds.

use config::{FileFormat, Format, Map, Value, ValueKind};

use super::SettingsError;

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

/// Parses a list of sections if it is a text, as it is in variables and in the files that they name.
pub(super) fn parse_sections(setting: &str, tree: &mut Value) -> Result<(), SettingsError> {
    let Some(sections) = setting_in(tree, setting).filter(|value| !is_list(value)) else {
        return Ok(());
    };
    let origin = sections.origin().map(ToOwned::to_owned);
    let parsed = if let ValueKind::String(text) = &sections.kind {
        sections_of(setting, text, origin.as_ref())
    } else {
        Err(format!("must be sections that begin with [[{setting}]]"))
    };
    *sections =
        parsed.map_err(|message| SettingsError { subject: setting.into(), message, origin })?;
    Ok(())
}

/// The sections of a TOML text that has them under their full heading, and nothing else.
pub(super) fn sections_of(
    setting: &str,
    text: &str,
    origin: Option<&String>,
) -> Result<Value, String> {
    let expected = format!("must be TOML that has [[{setting}]] sections and nothing else");
    let parsed = parse(origin, text).map_err(|error| format!("{expected}: {}", error.message))?;
    let only = |value: Value, name| {
        let mut table = value.into_table().ok().filter(|table| table.len() == 1)?;
        table.remove(name)
    };
    let sections = setting.split('.').try_fold(Value::from(parsed), only);
    sections.filter(is_list).ok_or(expected)
}

/// The value of a setting in the tree.
pub(super) fn setting_in<'t>(tree: &'t mut Value, setting: &str) -> Option<&'t mut Value> {
    setting.split('.').try_fold(tree, |value, name| {
        if let ValueKind::Table(values) = &mut value.kind { values.get_mut(name) } else { None }
    })
}

pub(super) const fn is_list(value: &Value) -> bool {
    matches!(value.kind, ValueKind::Array(_))
}
