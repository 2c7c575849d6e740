//! Shows the effective configuration without secrets.

use std::fmt::{self, Write};

use serde_json::Value;

use super::Settings;
use super::read::join;

impl Settings {
    /// The settings as one JSON object of sections; secrets are `"<redacted>"`.
    pub fn to_redacted_json(&self) -> Value {
        serde_json::to_value(self).expect("settings are texts, numbers and lists under text keys")
    }

    /// The settings in the form of the configuration file; secrets are `"<redacted>"`, and every
    /// value that is not a default has its origin.
    pub fn to_redacted_toml(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, "", &self.to_redacted_json())
            .expect("writing to a string cannot fail");
        text
    }

    /// Writes a section: its settings, then the sections in it.
    fn write(&self, text: &mut String, section: &str, settings: &Value) -> fmt::Result {
        let all = settings.as_object().into_iter().flatten();
        let (sections, plain): (Vec<_>, Vec<_>) = all.partition(|(_, value)| {
            value.is_object() || value.get(0).is_some_and(Value::is_object)
        });
        let origin = |path: &str| {
            self.origins.get(path).map(|origin| format!("  # from {origin}")).unwrap_or_default()
        };
        for (name, value) in plain {
            // Texts, numbers, booleans and lists of texts, which JSON writes as TOML does.
            if value.is_null() {
                writeln!(text, "# {name} is not set")?;
            } else {
                writeln!(text, "{name} = {value}{}", origin(&join(section, name)))?;
            }
        }
        for (name, value) in sections {
            let path = join(section, name);
            if value.is_object() {
                writeln!(text, "\n[{path}]")?;
                self.write(text, &path, value)?;
            }
            for item in value.as_array().into_iter().flatten() {
                writeln!(text, "\n[[{path}]]{}", origin(&path))?;
                self.write(text, &path, item)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::super::value::REDACTED;

    #[test]
    fn no_output_holds_a_secret() {
        let content = "[ingress]\nsecrets = \"aHVzaA==,aHVzaA==\"\npath_token = \"hush-hush-hush-h\"\n\
                       [console]\ntokens = \"read:hush-hush-hush-1,operate:hush-hush-hush-2\"";
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
        assert!(shown.contains("\n# bytes_max is not set\n"), "{shown}");
        let again = load(&shown, &[]).unwrap();
        assert_eq!(again.to_redacted_json(), settings.to_redacted_json());
    }
}
