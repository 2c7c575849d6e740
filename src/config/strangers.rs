//! Refuses variables that begin like ours and are none: a setting that is misspelt would be
//! without effect, and nobody would know.

use super::SettingsError;

/// The prefix of variables that are settings.
pub(super) const PREFIX: &str = "STOREKEEPER__";
/// What everything of ours begins with.
const OURS: &str = "STOREKEEPER_";
/// Variables that are no settings, and beginnings of such.
const KNOWN: [&str; 3] =
    ["STOREKEEPER_CONFIG", "STOREKEEPER_SIMULATE_SECRET", "STOREKEEPER_SIMULATE_TOKEN"];
const OF_TESTS: &str = "STOREKEEPER_TEST_";

/// Checks the name of a variable of the process. What Kubernetes sets for a Service whose name begins
/// with `storekeeper` is left alone.
pub(super) fn check(variable: &str) -> Result<(), SettingsError> {
    let Some(rest) = variable.strip_prefix(OURS) else { return Ok(()) };
    let is_setting = variable.starts_with(PREFIX);
    let is_known = KNOWN.contains(&variable) || variable.starts_with(OF_TESTS);
    if is_setting || is_known || is_of_kubernetes(rest) {
        return Ok(());
    }
    let message = format!(
        "is not a variable of Storekeeper; a setting has two underscores after each part: write \
         `ingress.listen` as {PREFIX}INGRESS__LISTEN"
    );
    Err(SettingsError::new(variable, message))
}

/// Whether it is one of `<SERVICE>_SERVICE_HOST`, `_SERVICE_PORT`, `_SERVICE_PORT_<NAME>`, `_PORT` and
/// `_PORT_<NUMBER>_TCP...`, where the name of the Service may end with our name.
fn is_of_kubernetes(rest: &str) -> bool {
    let rest = format!("_{rest}");
    rest.ends_with("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || rest.ends_with("_PORT")
        || rest.contains("_PORT_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_with_too_few_underscores_is_refused() {
        for wrong in [
            "STOREKEEPER_INGRESS_LISTEN",
            "STOREKEEPER_INGRESS__LISTEN",
            "STOREKEEPER_CONFIG_FILE",
            "STOREKEEPER_BACKEND",
            "STOREKEEPER_",
        ] {
            let text = check(wrong).unwrap_err().to_string();
            assert!(text.starts_with(&format!("{wrong}: is not a variable")), "{text}");
        }
    }

    #[test]
    fn what_others_set_is_left_alone() {
        for right in [
            "STOREKEEPER__INGRESS__LISTEN",
            "STOREKEEPER_CONFIG",
            "STOREKEEPER_SIMULATE_TOKEN",
            "STOREKEEPER_TEST_LONG",
            "STOREKEEPER_PORT",
            "STOREKEEPER_PORT_8080_TCP_ADDR",
            "STOREKEEPER_SERVICE_HOST",
            "STOREKEEPER_CONSOLE_SERVICE_PORT_HTTP",
            "STOREKEEPERS_NEIGHBOUR",
            "PATH",
        ] {
            check(right).unwrap();
        }
    }
}
