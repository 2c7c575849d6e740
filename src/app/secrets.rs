//! Reads secret files again when they change, so that a secret can be replaced without a restart.
//!
//! Only what is a credential of others is replaced: [`SECRETS`], from files that variables name.
//! The content is compared, not its time: Kubernetes replaces a directory of secrets by a link to
//! another one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::config::{SECRETS, Settings, SettingsError};
use crate::metrics::Metrics;

/// How often the files are read.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The digests of the files' contents; `None` for one that cannot be read.
type Contents = Vec<Option<[u8; 32]>>;

/// The secret files of a process.
#[derive(Debug)]
pub(super) struct SecretFiles {
    /// With the secrets that are in use.
    settings: Settings,
    files: Vec<PathBuf>,
    metrics: Arc<Metrics>,
}

impl SecretFiles {
    pub(super) fn new(settings: Settings, metrics: Arc<Metrics>) -> Self {
        let files = settings.files().into_iter();
        let secret = files.filter(|(setting, _)| SECRETS.contains(&setting.as_str()));
        let files = secret.map(|(_, file)| file).collect();
        Self { settings, files, metrics }
    }

    /// Passes on the settings with new secrets whenever a file was changed. Secrets that cannot be
    /// used are logged and counted, and those before them stay in use. Never ends.
    pub(super) async fn watch(mut self, replace: impl Fn(&Settings)) -> ! {
        if self.files.is_empty() {
            std::future::pending::<()>().await;
        }
        let mut in_use = self.contents().await;
        let mut before = in_use.clone();
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let contents = self.contents().await;
            // A file that is just being written is left alone until it stays as it is.
            let is_settled = std::mem::replace(&mut before, contents.clone()) == contents;
            if !is_settled || contents == in_use {
                continue;
            }
            in_use = contents;
            let reloaded = self.reload();
            self.metrics.secrets_outdated.set(i64::from(reloaded.is_err()));
            match reloaded {
                Ok(()) => {
                    replace(&self.settings);
                    tracing::info!("secret files have changed; the new secrets are in use");
                }
                Err(error) => tracing::error!(
                    %error,
                    "secret files have changed and cannot be used; the secrets before them stay \
                     in use"
                ),
            }
        }
    }

    /// Takes the secrets of the files, and no other setting.
    fn reload(&mut self) -> Result<(), SettingsError> {
        let Settings { ingress, console, .. } = self.settings.reload()?;
        let in_use = &mut self.settings;
        in_use.ingress.secrets = ingress.secrets;
        in_use.ingress.path_token = ingress.path_token;
        in_use.ingress.credentials = ingress.credentials;
        in_use.console.tokens = console.tokens;
        in_use.console.users = console.users;
        Ok(())
    }

    async fn contents(&self) -> Contents {
        let digest = async |file: &PathBuf| {
            let content = tokio::fs::read(file).await.ok()?;
            Some(Sha256::digest(content).into())
        };
        let mut contents = Vec::with_capacity(self.files.len());
        for file in &self.files {
            contents.push(digest(file).await);
        }
        contents
    }
}
