//! Reads secret files again when they change, so that a secret can be replaced without a restart.
//!
//! Only credentials are replaced: [`SECRETS`] and [`ADDRESSES`], from files that variables name. A
//! connection that stands is kept; the next one is made with the new credentials.
//! The content is compared, not its time: Kubernetes replaces a directory of secrets by a link to
//! another one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::StartError;
use crate::config::{ADDRESSES, SECRETS, Settings, SettingsError};
use crate::domain::causes;
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
        let secret = files.filter(|(setting, _)| {
            SECRETS.iter().chain(&ADDRESSES).any(|secret| setting == secret)
        });
        let files = secret.map(|(_, file)| file).collect();
        Self { settings, files, metrics }
    }

    /// Passes on the settings with new secrets whenever a file was changed. Secrets that cannot be
    /// used are logged and counted, and those before them stay in use. Never ends.
    pub(super) async fn watch(
        mut self,
        replace: impl Fn(&Settings) -> Result<(), StartError>,
    ) -> ! {
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
            let reloaded = self.reload().map_err(|error| causes(&error)).and_then(|settings| {
                replace(&settings).map_err(|error| causes(&error))?;
                Ok(settings)
            });
            self.metrics.secrets_outdated.set(i64::from(reloaded.is_err()));
            match reloaded {
                Ok(settings) => {
                    self.settings = settings;
                    tracing::info!("secret files have changed; the new secrets are in use");
                }
                Err(error) => tracing::error!(
                    error,
                    "secret files have changed and cannot be used; the secrets before them stay \
                     in use"
                ),
            }
        }
    }

    /// The settings with the secrets of the files, and no other change.
    fn reload(&self) -> Result<Settings, SettingsError> {
        let Settings { ingress, console, rabbitmq, redis, .. } = self.settings.reload()?;
        let mut settings = self.settings.clone();
        settings.ingress.secrets = ingress.secrets;
        settings.ingress.path_token = ingress.path_token;
        settings.ingress.credentials = ingress.credentials;
        settings.console.tokens = console.tokens;
        settings.rabbitmq.url = rabbitmq.url;
        settings.rabbitmq.management_url = rabbitmq.management_url;
        settings.redis.url = redis.url;
        settings.redis.sentinel_password = redis.sentinel_password;
        Ok(settings)
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
