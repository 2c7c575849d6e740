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
}

impl Deployment {
    /// A RabbitMQ, and a Redis that has on disk what it answered.
    pub(super) async fn start() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            rabbitmq: RabbitMq::start().await,
            redis: RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]),
        }
    }

    /// Starts a process of a role; of several, each has a name of its own.
    pub(super) async fn role(&self, role: &str, name: &str) -> Server {
        let (rabbitmq, redis) = (self.rabbitmq.url(), self.redis.url());
        Server::start_as(role, &self.place(name), &settings(&rabbitmq, &redis)).await
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let (rabbitmq, redis) = (self.rabbitmq.url(), self.redis.url());
        let mut command = command(&self.place("command"), &settings(&rabbitmq, &redis));
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

    /// The settings of every process.
    fn settings(&self) -> Settings {
        let (rabbitmq, redis) = (self.rabbitmq.url(), self.redis.url());
        let settings = settings(&rabbitmq, &redis);
        Settings::load_from(None, settings.map(|(name, value)| (name.into(), value.into())))
            .unwrap()
    }
}

fn settings<'a>(rabbitmq: &'a str, redis: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("STOREKEEPER__BACKEND", "distributed"),
        ("STOREKEEPER__RABBITMQ__URL", rabbitmq),
        ("STOREKEEPER__REDIS__URL", redis),
    ]
}
