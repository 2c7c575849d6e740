//! Writing the settings in force, without secrets.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use secrecy::{SecretBox, SecretString};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{BackendUrl, ConsoleToken, Settings};

/// What stands in place of a secret.
const REDACTED: &str = "<redacted>";
/// The seconds of a day.
const DAY: u64 = 24 * 60 * 60;

impl Settings {
    /// The settings as one JSON object of sections; secrets are `"<redacted>"`.
    pub fn to_redacted_json(&self) -> Value {
        serde_json::to_value(self).expect("settings are texts, numbers and lists under text keys")
    }

    /// The settings in the form of the configuration file; secrets are `"<redacted>"`, and what
    /// is no default says where it comes from.
    pub fn to_redacted_toml(&self) -> String {
        let json = self.to_redacted_json();
        let mut text = String::new();
        let sections = json.as_object().into_iter().flatten();
        let (sections, top): (Vec<_>, Vec<_>) = sections.partition(|(_, value)| value.is_object());
        for (name, value) in top {
            self.write_setting(&mut text, name, name, value);
        }
        for (section, settings) in sections {
            writeln!(text, "\n[{section}]").expect("writing to a string cannot fail");
            let settings = settings.as_object().into_iter().flatten();
            let (lists, plain): (Vec<_>, Vec<_>) =
                settings.partition(|(_, value)| value.get(0).is_some_and(Value::is_object));
            for (name, value) in plain {
                self.write_setting(&mut text, &format!("{section}.{name}"), name, value);
            }
            for (name, value) in lists {
                self.write_sections(&mut text, &format!("{section}.{name}"), value);
            }
        }
        text
    }

    /// Writes sections that share one heading, as `[[ingress.sources]]`.
    fn write_sections(&self, text: &mut String, path: &str, sections: &Value) {
        let origin = self.origins.get(path).map(|origin| format!("  # from {origin}"));
        let origin = origin.unwrap_or_default();
        for section in sections.as_array().into_iter().flatten() {
            writeln!(text, "\n[[{path}]]{origin}").expect("writing to a string cannot fail");
            for (name, value) in section.as_object().into_iter().flatten() {
                writeln!(text, "{name} = {value}").expect("writing to a string cannot fail");
            }
        }
    }

    /// The values are texts, numbers, booleans and lists of texts, which JSON writes as TOML does.
    fn write_setting(&self, text: &mut String, setting: &str, name: &str, value: &Value) {
        // What is not configured and has no default proposes nothing.
        if value.is_null() {
            writeln!(text, "# {name} is not set").expect("writing to a string cannot fail");
            return;
        }
        let origin = self.origins.get(setting).map(|origin| format!("  # from {origin}"));
        writeln!(text, "{name} = {value}{}", origin.unwrap_or_default())
            .expect("writing to a string cannot fail");
    }
}

/// A duration in the largest unit that leaves no fraction: `15m`, `24h`, `90d`.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() != 0 {
        return humantime::format_duration(duration).to_string();
    }
    // A single day is written as 24h, as people do for ages.
    let (unit, length) = match seconds {
        0 => ("s", 1),
        _ if seconds > DAY && seconds.is_multiple_of(DAY) => ("d", DAY),
        _ if seconds.is_multiple_of(60 * 60) => ("h", 60 * 60),
        _ if seconds.is_multiple_of(60) => ("m", 60),
        _ => ("s", 1),
    };
    format!("{}{unit}", seconds / length)
}

pub(super) fn duration<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&duration_text(*duration))
}

pub(super) fn durations<S: Serializer>(ladder: &[Duration], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(ladder.iter().copied().map(duration_text))
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
pub(super) fn retention<S: Serializer>(
    retention: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_str(&retention.map_or_else(|| "never".to_owned(), duration_text))
}

pub(super) fn secrets<S: Serializer>(
    secrets: &[SecretBox<[u8]>],
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(secrets.iter().map(|_| REDACTED))
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
pub(super) fn token<S: Serializer>(token: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(|_| REDACTED).serialize(to)
}

pub(super) fn urls<S: Serializer>(urls: &[BackendUrl], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(urls.iter().map(BackendUrl::to_string))
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
pub(super) fn url<S: Serializer>(url: &Option<BackendUrl>, to: S) -> Result<S::Ok, S::Error> {
    url.as_ref().map(BackendUrl::to_string).serialize(to)
}

/// The roles are no secret.
pub(super) fn tokens<S: Serializer>(tokens: &[ConsoleToken], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(tokens.iter().map(|token| format!("{}:{REDACTED}", token.role.as_str())))
}

pub(super) fn path<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}

#[cfg(test)]
mod tests {
    use super::super::layers::tests::load;
    use super::*;

    #[test]
    fn no_output_holds_a_secret() {
        let content = "[ingress]\nsecrets = \"aHVzaA==,aHVzaA==\"\npath_token = \"hush\"\n\
                       [console]\ntokens = \"read:hush-1,operate:hush-2\"";
        let settings = load(content, &[]).unwrap();
        let json = settings.to_redacted_json();
        assert_eq!(json["ingress"]["secrets"], serde_json::json!([REDACTED, REDACTED]));
        assert_eq!(json["ingress"]["path_token"], REDACTED);
        let tokens = serde_json::json!(["read:<redacted>", "operate:<redacted>"]);
        assert_eq!(json["console"]["tokens"], tokens);
        let everything = format!("{json} {} {settings:?}", settings.to_redacted_toml());
        assert!(!everything.contains("aHVza") && !everything.contains("hush"), "{everything}");
    }

    #[test]
    fn what_is_shown_as_toml_loads_as_the_same_settings() {
        let content = "[embedded]\npath = 'C:\\a \"b\"'\n[retry]\nladder = \"1500ms,90s,23h\"";
        let settings = load(content, &[("STOREKEEPER__WORKER__PREFETCH", "7")]).unwrap();
        let shown = settings.to_redacted_toml();
        assert!(shown.contains("prefetch = 7  # from STOREKEEPER__WORKER__PREFETCH"), "{shown}");
        assert!(shown.contains("batch_max = 64\n"), "{shown}");
        let again = load(&shown, &[]).unwrap();
        assert_eq!(again.to_redacted_json(), settings.to_redacted_json());
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_that_fits() {
        let text = |seconds| duration_text(Duration::from_secs(seconds));
        let written = [0, 5, 90, 120, 900, 3600, 86_400, 90 * 86_400].map(text);
        assert_eq!(written, ["0s", "5s", "90s", "2m", "15m", "1h", "24h", "90d"]);
        assert_eq!(duration_text(Duration::from_millis(1500)), "1s 500ms");
    }
}
