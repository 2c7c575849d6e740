//! Refuses `ingress.sources`, the form of release 0.1.0, and says what to write instead: in one
//! section each source had its sites, which every role needs, and its secrets, which only the
//! ingress may know.

use std::fmt::Write;

use config::{Map, Value, ValueKind};
use serde_json::json;

use super::SettingsError;
use super::read::items_of;
use super::toml::{is_list, sections_of, setting_in};

const SETTING: &str = "ingress.sources";

/// Refuses the old form, if it is there, with the same sources in the new one. Secrets are not
/// shown: what stands for each says where it was.
pub(super) fn refuse(tree: &mut Value) -> Result<(), SettingsError> {
    let Some(old) = setting_in(tree, SETTING) else { return Ok(()) };
    let origin = old.origin().map(ToOwned::to_owned);
    let mut message = String::from(
        "is replaced by [[sources]], which every role reads, and [[ingress.credentials]], which \
         only the ingress needs",
    );
    let sections = if let ValueKind::String(text) = &old.kind {
        sections_of(SETTING, text, origin.as_ref()).ok()
    } else {
        Some(old.clone()).filter(is_list)
    };
    let sections = sections.and_then(|list| list.into_array().ok()).unwrap_or_default();
    let sections: Vec<_> = sections.into_iter().filter_map(|it| it.into_table().ok()).collect();
    if sections.is_empty() {
        return Err(SettingsError { subject: SETTING.into(), message, origin });
    }
    if let Some(origin) = origin {
        // After the lines to write, it would be taken for one of them.
        message = format!("{message} (from {origin})");
    }
    message.push_str("; write instead, with the old values in place of those in <>:\n");
    for source in &sections {
        write_source(&mut message, source).expect("writing to a string cannot fail");
    }
    for source in &sections {
        write_credential(&mut message, source).expect("writing to a string cannot fail");
    }
    Err(SettingsError::new(SETTING, message.trim_end()))
}

fn write_source(message: &mut String, source: &Map<String, Value>) -> std::fmt::Result {
    writeln!(message, "\n[[sources]]\nname = {}", name_of(source))?;
    match source.get("sites") {
        Some(sites) => writeln!(message, "sites = {}", json!(texts(sites))),
        // It was allowed every site.
        None => writeln!(message, "# no sites: it may write every site that no source names"),
    }
}

fn write_credential(message: &mut String, source: &Map<String, Value>) -> std::fmt::Result {
    writeln!(message, "\n[[ingress.credentials]]\nsource = {}", name_of(source))?;
    if let Some(secrets) = source.get("secrets") {
        let secrets: Vec<_> = (1..=texts(secrets).len()).map(|n| format!("<secret {n}>")).collect();
        writeln!(message, "secrets = {}", json!(secrets))?;
    }
    if source.contains_key("path_token") {
        writeln!(message, "path_token = \"<path_token>\"")?;
    }
    Ok(())
}

/// The name in quotes, as TOML has it too.
fn name_of(source: &Map<String, Value>) -> serde_json::Value {
    let name = source.get("name").and_then(|name| texts(name).into_iter().next());
    json!(name.unwrap_or_else(|| "<name>".to_owned()))
}

/// The texts of a list, which may be one text.
fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.clone().into_string().unwrap_or_default();
    if let ValueKind::Array(items) = &value.kind {
        return items.iter().map(text).collect();
    }
    items_of(&text(value)).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    const OLD: &str = "
        [[ingress.sources]]
        name = 'eu'
        secrets = ['aHVzaC0x', 'aHVzaC0y']
        sites = ['a', 'b \"c\"']
        [[ingress.sources]]
        name = 'us'
        path_token = 'hush-hush-hush-3'
    ";
    const NEW: &str = r#"
[[sources]]
name = "eu"
sites = ["a","b \"c\""]

[[sources]]
name = "us"
# no sites: it may write every site that no source names

[[ingress.credentials]]
source = "eu"
secrets = ["<secret 1>","<secret 2>"]

[[ingress.credentials]]
source = "us"
path_token = "<path_token>""#;

    fn refused(content: &str, variables: &[(&str, &str)]) -> String {
        let text = load(content, variables).unwrap_err().to_string();
        assert!(text.starts_with("ingress.sources: is replaced by [[sources]], which"), "{text}");
        assert!(!text.contains("hush") && !text.contains("aHVza"), "{text}");
        text
    }

    #[test]
    fn the_old_form_is_refused_with_the_new_one() {
        for (content, variables, origin) in [
            (OLD, &[][..], "settings.toml"),
            ("", &[("STOREKEEPER__INGRESS__SOURCES", OLD)], "STOREKEEPER__INGRESS__SOURCES"),
        ] {
            let text = refused(content, variables);
            let (why, new) = text.split_once('\n').unwrap();
            assert!(why.contains(&format!("{origin}); write instead, ")), "{why}");
            assert_eq!(format!("\n{}", new.trim_start()), NEW);
        }
    }

    #[test]
    fn what_is_printed_loads_with_the_secrets_in_it() {
        let text = refused(OLD, &[]);
        let (_, new) = text.split_once('\n').unwrap();
        let new = new.replace("<secret 1>", "aHVzaC0x").replace("<secret 2>", "aHVzaC0y");
        let settings = load(&new.replace("<path_token>", "hush-hush-hush-3"), &[]).unwrap();
        assert_eq!((settings.sources.len(), settings.ingress.credentials.len()), (2, 2));
    }

    #[test]
    fn the_old_form_is_refused_whatever_is_in_it() {
        for old in ["[]", "1", "'hush'", "['hush']"] {
            let text = refused(&format!("ingress.sources = {old}"), &[]);
            assert!(text.ends_with("settings.toml)"), "{text}");
        }
        refused("[ingress.sources]\na = 'hush'", &[]);
        let text = refused("[[ingress.sources]]\nsecrets = 'aHVza,aHVza'\nsites = 'a, b'", &[]);
        for expected in ["name = \"<name>\"", "\"<secret 2>\"", "sites = [\"a\",\"b\"]"] {
            assert!(text.contains(expected), "{text}");
        }
        let text = refused("", &[("STOREKEEPER__INGRESS__SOURCES", "hush = [")]);
        assert!(text.ends_with("(from STOREKEEPER__INGRESS__SOURCES)"), "{text}");
    }
}
