//! Files with secrets or personal data that everybody on the machine can read.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::{Backend, BackendUrl, Settings};

/// The settings that hold secrets, besides addresses with a login.
pub const SECRETS: [&str; 5] = [
    "ingress.secrets",
    "ingress.path_token",
    "ingress.credentials",
    "console.tokens",
    "redis.sentinel_password",
];
/// The settings that are addresses, which may have a login.
pub const ADDRESSES: [&str; 3] = ["rabbitmq.url", "rabbitmq.management_url", "redis.url"];
/// The files of the embedded backend.
const DATA_FILES: [&str; 4] = ["broker.db", "broker.db-wal", "store.db", "store.db-wal"];

/// The permission of everybody to read a file.
const READ: u32 = 0o004;
/// The permission of everybody to reach what is in a directory.
const REACH: u32 = 0o001;

impl Settings {
    /// Warnings about files with secrets or personal data that everybody on this machine can read.
    pub fn exposed_files(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut check = |path: &Path, what: &str| {
            if is_exposed(path).unwrap_or(false) {
                let path = path.display();
                warnings.push(format!(
                    "{path}: everybody on this machine can read it, and it has {what}; run `chmod \
                     o= {path}`"
                ));
            }
        };
        if let Some(file) = self.file_name()
            && self
                .origins
                .iter()
                .any(|(setting, origin)| origin == file && self.is_secret(setting))
        {
            check(Path::new(file), "secrets");
        }
        for (setting, path) in self.files() {
            if self.is_secret(&setting) {
                check(&path, "secrets");
            }
        }
        if self.backend == Backend::Embedded {
            for name in DATA_FILES {
                check(&self.embedded.path.join(name), "personal data of buyers");
            }
        }
        warnings
    }

    /// Whether the value of a setting is secret.
    fn is_secret(&self, setting: &str) -> bool {
        let has_login = |urls: &[BackendUrl]| urls.iter().any(|url| url.expose().contains('@'));
        match setting {
            "rabbitmq.url" => has_login(&self.rabbitmq.url),
            "rabbitmq.management_url" => has_login(self.rabbitmq.management_url.as_slice()),
            "redis.url" => has_login(&self.redis.url),
            _ => SECRETS.contains(&setting),
        }
    }
}

/// Whether everybody can read a file and reach it: one in a directory that only its owner can enter
/// is safe whatever its own permissions are.
fn is_exposed(path: &Path) -> io::Result<bool> {
    let has = |metadata: &Metadata, permission| metadata.mode() & permission != 0;
    let path = path.canonicalize()?;
    if !has(&path.metadata()?, READ) {
        return Ok(false);
    }
    for directory in path.ancestors().skip(1) {
        if !has(&directory.metadata()?, REACH) {
            return Ok(false);
        }
    }
    // What is mounted for reading was handed to a container: who else can read it is decided where
    // it comes from.
    Ok(!statvfs(&path)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn permit(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_with_secrets_or_bodies_that_everybody_can_read_are_named() {
        let directory = tempfile::tempdir().unwrap();
        permit(directory.path(), 0o755);
        let at = |name: &str| directory.path().join(name);
        let [file, secrets, redis, data] = ["settings.toml", "secrets", "redis", "data"].map(at);
        create_dir(&data).unwrap();
        permit(&data, 0o755);
        write(&file, format!("console.tokens = 'read:hush-hush-hush-hush-hush-hush-hush'\nembedded.path = {data:?}")).unwrap();
        write(&secrets, "aHVzaC1odXNoLWh1c2g=").unwrap();
        write(&redis, "redis://one").unwrap();
        let database = data.join("broker.db");
        write(&database, "").unwrap();
        let exposed = || {
            let variables = [
                ("STOREKEEPER__INGRESS__SECRETS_FILE", &secrets),
                ("STOREKEEPER__REDIS__URL_FILE", &redis),
            ];
            let variables = variables.map(|(name, path)| (name.into(), path.into()));
            Settings::load_from(Some(&file), variables).unwrap().exposed_files()
        };
        for path in [&file, &secrets, &redis, &database] {
            permit(path, 0o644);
        }
        let named: Vec<String> = [&file, &secrets, &database]
            .map(|path| format!("{}: everybody on this machine can read it", path.display()))
            .to_vec();
        let warnings = exposed();
        assert_eq!(warnings.len(), named.len(), "{warnings:#?}");
        for (warning, start) in warnings.iter().zip(&named) {
            assert!(warning.starts_with(start), "{warning}");
        }
        write(&redis, "redis://:hush@one").unwrap();
        assert_eq!(exposed().len(), 4, "it has a password now");
        for path in [&file, &secrets, &redis, &database] {
            permit(path, 0o640);
        }
        assert_eq!(exposed(), [""; 0]);
    }

    #[test]
    fn a_file_in_a_private_directory_is_safe() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secrets");
        write(&file, "").unwrap();
        permit(&file, 0o644);
        permit(directory.path(), 0o700);
        assert!(!is_exposed(&file).unwrap());
        permit(directory.path(), 0o711);
        assert!(is_exposed(&file).unwrap());
    }
}
