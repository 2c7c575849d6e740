//! Settings of a file and variables, for the tests of this folder; and how they are merged.

use std::ffi::OsString;
use std::path::Path;

use super::{Settings, SettingsError};

/// A directory with a file of that content, and the file.
fn file(content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.toml");
    std::fs::write(&path, content).unwrap();
    (directory, path)
}

fn variables(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    list.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The settings of a file with that content and those variables.
pub(super) fn load(content: &str, list: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let (_directory, path) = file(content);
    Settings::load_from(Some(&path), variables(list))
}

/// The one line that says why there are no such settings.
pub(super) fn error(content: &str, list: &[(&str, &str)]) -> String {
    let text = load(content, list).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let content = "[worker]\nprefetch = 100\nconcurrency = 2";
    let settings = load(content, &[("STOREKEEPER__WORKER__PREFETCH", "99")]).unwrap();
    assert_eq!(settings.worker.prefetch, 99);
    assert_eq!(settings.worker.concurrency, 2);
    assert_eq!(settings.worker.batch_max, 64);
    assert_eq!(settings.origins["worker.prefetch"], "STOREKEEPER__WORKER__PREFETCH");
    assert!(settings.origins["worker.concurrency"].ends_with("settings.toml"));
    assert_eq!(settings.origins.get("worker.batch_max"), None);
}

#[test]
fn variables_of_others_are_left_alone() {
    let list = [("STOREKEEPER_CONFIG", "x"), ("STOREKEEPER_PORT", "1"), ("PATH", "/bin")];
    load("", &list).unwrap();
}

#[test]
fn any_setting_may_come_from_a_file_that_a_variable_names() {
    let (_directory, path) = file("http-token_of_16\r\n");
    let path = path.to_str().unwrap();
    let settings = load("", &[("STOREKEEPER__INGRESS__PATH_TOKEN_FILE", path)]).unwrap();
    assert!(settings.ingress.path_token.is_some());
    let origin = &settings.origins["ingress.path_token"];
    assert_eq!(*origin, format!("{path}, which STOREKEEPER__INGRESS__PATH_TOKEN_FILE names"));
}

#[test]
fn a_secret_file_that_is_missing_or_set_twice_is_an_error() {
    let text = error("", &[("STOREKEEPER__INGRESS__SECRETS_FILE", "/no/such/file")]);
    assert!(text.starts_with("STOREKEEPER__INGRESS__SECRETS_FILE: /no/such/file: "), "{text}");
    let (_directory, path) = file("c2VjcmV0");
    let list = [
        ("STOREKEEPER__INGRESS__SECRETS", "b3RoZXI="),
        ("STOREKEEPER__INGRESS__SECRETS_FILE", path.to_str().unwrap()),
    ];
    let text = error("", &list);
    assert_eq!(
        text,
        "STOREKEEPER__INGRESS__SECRETS: is set, and so is STOREKEEPER__INGRESS__SECRETS_FILE; \
         keep one of them"
    );
}

#[test]
fn names_that_cannot_be_settings_are_refused() {
    for name in ["STOREKEEPER__", "STOREKEEPER__WORKER__", "STOREKEEPER__A[9999999999]"] {
        let text = error("", &[(name, "1")]);
        assert!(text.starts_with(&format!("{name}: is not the name of a setting")), "{text}");
    }
}

#[test]
fn a_missing_or_oversized_file_is_an_error_that_names_it() {
    let missing = Path::new("/no/such/settings.toml");
    let text = Settings::load_from(Some(missing), []).unwrap_err().to_string();
    assert!(text.starts_with("/no/such/settings.toml: cannot read the file: "), "{text}");
    let large = format!("# {}", "x".repeat(1024 * 1024));
    assert!(error(&large, &[]).ends_with("the file is larger than 1048576 bytes"));
}

#[test]
fn broken_toml_is_reported_by_its_place_and_not_by_its_content() {
    let text = error("[ingress]\nsecrets = [\"c2VjcmV0LXdvcmQ=\" \"x\"]", &[]);
    assert!(text.contains("settings.toml: TOML parse error at line 2, column "), "{text}");
    assert!(!text.contains("c2VjcmV0"), "{text}");
}
