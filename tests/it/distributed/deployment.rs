//! A RabbitMQ and a Redis of a test's own, and processes on them.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use storekeeper::app;
use storekeeper::broker::Broker;
use storekeeper::config::Settings;
use storekeeper::store::Store;
use tempfile::TempDir;

use crate::harness::{Server, command};
use crate::servers::RedisServer;
use crate::servers::rabbitmq::RabbitMq;

/// Two servers that nobody else uses.
pub(super) struct Deployment {
    directory: TempDir,
    pub(super) rabbitmq: RabbitMq,
    pub(super) redis: RedisServer,
    /// Settings of every process, as environment variables.
    settings: Vec<(&'static str, String)>,
}

impl Deployment {
    /// A RabbitMQ, and a Redis that has on disk what it answered.
    pub(super) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with more settings of every process.
    pub(super) async fn start_with(more: &[(&'static str, &str)]) -> Self {
        let rabbitmq = RabbitMq::start().await;
        let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let mut settings = vec![
            ("STOREKEEPER__BACKEND", "distributed".to_owned()),
            ("STOREKEEPER__RABBITMQ__URL", rabbitmq.url()),
            ("STOREKEEPER__REDIS__URL", redis.url()),
        ];
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self { directory: tempfile::tempdir().unwrap(), rabbitmq, redis, settings }
    }

    /// Starts a process of a role; of several, each has a name of its own.
    pub(super) async fn role(&self, role: &str, name: &str) -> Server {
        self.role_with(role, name, &[]).await
    }

    /// Starts a process of a role with settings of its own.
    pub(super) async fn role_with(&self, role: &str, name: &str, more: &[(&str, &str)]) -> Server {
        let mut settings = self.environment();
        settings.extend(more);
        Server::start_as(role, &self.place(name), &settings).await
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = command(&self.place("command"), &self.environment());
        command.args(arguments).output().unwrap()
    }

    fn place(&self, name: &str) -> PathBuf {
        let place = self.directory.path().join(name);
        std::fs::create_dir_all(&place).unwrap();
        place
    }

    pub(super) async fn broker(&self) -> Arc<dyn Broker> {
        app::open_broker(&self.settings()).await.unwrap()
    }

    pub(super) async fn store(&self) -> Arc<dyn Store> {
        app::open_store(&self.settings()).await.unwrap()
    }

    fn settings(&self) -> Settings {
        let settings = self.settings.iter().map(|(name, value)| ((*name).into(), value.into()));
        Settings::load_from(None, settings).unwrap()
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}
