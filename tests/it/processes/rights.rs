//! Files that a command has no right to.

use std::fs::{Permissions, metadata, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::harness::{Server, command};

/// A user with no rights, for tests that run as root, who has all.
const NOBODY: u32 = 65_534;

fn permit(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs a command as somebody without rights of an owner; returns its status and what it says.
fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command(directory, &[]);
    command.args(arguments);
    if metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_file_that_may_not_be_read_is_not_called_missing() {
    let directory = tempfile::tempdir().unwrap();
    permit(directory.path(), 0o755);
    let data = directory.path().join("data");
    let (_, said) = run(directory.path(), &["stock", "list"]);
    assert!(said.contains("there is no data/store.db"), "{said}");
    let mut server = Server::start(directory.path(), &[]).await;
    server.signal("TERM");
    assert!(server.ended().await.success());

    permit(&data, 0o000);
    for arguments in [["stock", "list"].as_slice(), &["audit"], &["journal", "replay"]] {
        let (status, said) = run(directory.path(), arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {said}");
        assert!(said.contains("Permission denied (os error 13); check the path"), "{said}");
        assert!(!said.contains("there is no"), "{said}");
    }
    permit(&data, 0o755);
    permit(&data.join("store.db"), 0o000);
    let (_, said) = run(directory.path(), &["stock", "list"]);
    assert!(said.contains("data/store.db: cannot open it: Permission denied"), "{said}");
}

#[tokio::test]
async fn files_that_everybody_can_read_are_warned_of_at_the_start_and_by_the_check() {
    let directory = tempfile::tempdir().unwrap();
    permit(directory.path(), 0o755);
    let secrets = directory.path().join("secrets");
    std::fs::write(&secrets, "bXlzZWNyZXRzZWNyZXRteXNlY3JldHNlY3JldA==").unwrap();
    permit(&secrets, 0o644);
    let settings = [("STOREKEEPER__INGRESS__SECRETS_FILE", secrets.to_str().unwrap())];
    let server = Server::start(directory.path(), &settings).await;
    let log = std::fs::read_to_string(directory.path().join("serve.log")).unwrap();
    let warnings = log.matches("everybody on this machine can read it").count();
    assert_eq!(warnings, 1, "the server makes its own files private: {log}");
    drop(server);
    let check = || {
        let output = command(directory.path(), &settings).args(["config", "check"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let expected = format!("warning: {}: everybody on this machine", secrets.display());
    assert!(check().contains(&expected), "{}", check());
    permit(&secrets, 0o600);
    assert!(!check().contains("warning"), "{}", check());
}
