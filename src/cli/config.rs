//! `config show` and `config check`.

use std::io::{self, Write};

use super::{ExitStatus, Format};
use crate::config::Settings;
use crate::domain::{printable, printable_json};

/// Prints the settings in force: in the form of the configuration file with the source of what is
/// no default, or as one JSON object. Secrets are left out.
pub fn show(settings: &Settings, format: Format, out: &mut dyn Write) -> io::Result<ExitStatus> {
    match format {
        Format::Table => write!(out, "{}", printable(&settings.to_redacted_toml(), true))?,
        Format::Json => {
            writeln!(out, "{}", printable_json(&settings.to_redacted_json().to_string()))?;
        }
    }
    Ok(ExitStatus::Done)
}

/// Says that the settings can be used, and which of them are no defaults.
///
/// Settings that cannot be used never get here: loading them is an error, which the caller
/// prints, with [`ExitStatus::Usage`].
pub fn check(settings: &Settings, format: Format, out: &mut dyn Write) -> io::Result<ExitStatus> {
    match format {
        Format::Json => {
            let warnings = settings.exposed_files();
            let set = settings.origins();
            let checked = serde_json::json!({ "valid": true, "set": set, "warnings": warnings });
            writeln!(out, "{}", printable_json(&checked.to_string()))?;
        }
        Format::Table => {
            writeln!(out, "The configuration is valid.")?;
            if settings.origins().is_empty() {
                writeln!(out, "Every setting has its default.")?;
            }
            for (setting, origin) in settings.origins() {
                writeln!(out, "  {setting}  from {}", printable(origin, false))?;
            }
            for warning in settings.exposed_files() {
                writeln!(out, "warning: {}", printable(&warning, false))?;
            }
        }
    }
    Ok(ExitStatus::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Command = fn(&Settings, Format, &mut dyn Write) -> io::Result<ExitStatus>;

    fn print(command: Command, format: Format) -> String {
        let variables = [
            ("STOREKEEPER__INGRESS__SECRETS".into(), "aHVzaA==".into()),
            ("STOREKEEPER__WORKER__PREFETCH".into(), "7".into()),
        ];
        let settings = Settings::load_from(None, variables).unwrap();
        let mut out = Vec::new();
        assert_eq!(command(&settings, format, &mut out).unwrap(), ExitStatus::Done);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("aHVza"), "{text}");
        text
    }

    #[test]
    fn settings_are_shown_for_people_and_for_programs() {
        let text = print(show, Format::Table);
        assert!(text.contains("\n[worker]\n"), "{text}");
        assert!(text.contains("prefetch = 7  # from STOREKEEPER__WORKER__PREFETCH\n"), "{text}");
        let json = print(show, Format::Json);
        assert_eq!(json.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["worker"]["prefetch"], 7);
        assert_eq!(json["ingress"]["secrets"][0], "<redacted>");
    }

    #[test]
    fn a_check_says_what_is_set_where() {
        let expected = "The configuration is valid.\n  \
            ingress.secrets  from STOREKEEPER__INGRESS__SECRETS\n  \
            worker.prefetch  from STOREKEEPER__WORKER__PREFETCH\n";
        assert_eq!(print(check, Format::Table), expected);
        let json: serde_json::Value = serde_json::from_str(&print(check, Format::Json)).unwrap();
        assert_eq!(json["valid"], true);
        assert_eq!(json["set"]["worker.prefetch"], "STOREKEEPER__WORKER__PREFETCH");
    }
}
