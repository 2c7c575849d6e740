//! Processes on a RabbitMQ and a Redis of a test's own.

use std::ops::Deref;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use storekeeper::app;
use storekeeper::broker::Broker;
use storekeeper::config::Settings;
use storekeeper::store::Store;
use tempfile::TempDir;

use crate::harness::{Process, Server, command};
use crate::servers::RedisServer;
use crate::servers::rabbitmq::RabbitMq;

/// What processes of one deployment have in common.
pub(crate) struct Surroundings {
    directory: TempDir,
    /// Settings of every process, as environment variables.
    settings: Vec<(&'static str, String)>,
}

impl Surroundings {
    /// On these servers, with more settings of every process.
    pub(crate) fn new(rabbitmq: String, redis: String, more: &[(&'static str, &str)]) -> Self {
        let mut settings = vec![
            ("STOREKEEPER__BACKEND", "distributed".to_owned()),
            ("STOREKEEPER__RABBITMQ__URL", rabbitmq),
            ("STOREKEEPER__REDIS__URL", redis),
        ];
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self { directory: tempfile::tempdir().unwrap(), settings }
    }

    /// Starts a process of a role; of several, each has a name of its own.
    pub(crate) async fn role(&self, role: &str, name: &str) -> Server {
        self.launch(role, name, &[]).ready().await
    }

    /// The same, with more settings of this process.
    pub(crate) async fn role_with(&self, role: &str, name: &str, more: &[(&str, &str)]) -> Server {
        self.launch(role, name, more).ready().await
    }

    /// The same, and waits for nothing.
    pub(crate) fn launch(&self, role: &str, name: &str, more: &[(&str, &str)]) -> Process {
        Process::start(role, &self.place(name), &[&self.environment(), more].concat())
    }

    /// Starts a process of a role under a program that counts what it does.
    pub(crate) async fn role_under(&self, words: &[String], role: &str) -> Server {
        Process::start_under(words, role, &self.place(role), &self.environment()).ready().await
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[])
    }

    /// The same, with more settings of this command.
    pub(crate) fn run_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Output {
        let environment = [&self.environment(), more].concat();
        command(&self.place("command"), &environment).args(arguments).output().unwrap()
    }

    /// Runs a command that must do what it is asked for.
    pub(crate) fn run_well(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn place(&self, name: &str) -> PathBuf {
        let place = self.directory.path().join(name);
        std::fs::create_dir_all(&place).unwrap();
        place
    }

    pub(crate) async fn broker(&self) -> Arc<dyn Broker> {
        app::open_broker(&self.settings()).await.unwrap()
    }

    pub(crate) async fn store(&self) -> Arc<dyn Store> {
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

/// Two servers that nobody else uses.
pub(crate) struct Deployment {
    surroundings: Surroundings,
    pub(crate) rabbitmq: RabbitMq,
    pub(crate) redis: RedisServer,
}

impl Deployment {
    /// A RabbitMQ, and a Redis that has on disk what it answered.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with more settings of every process.
    pub(crate) async fn start_with(more: &[(&'static str, &str)]) -> Self {
        Self::start_on(RabbitMq::start().await, more)
    }

    /// The same on a RabbitMQ that was started otherwise.
    pub(crate) fn start_on(rabbitmq: RabbitMq, more: &[(&'static str, &str)]) -> Self {
        let redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let surroundings = Surroundings::new(rabbitmq.url(), redis.url(), more);
        Self { surroundings, rabbitmq, redis }
    }

    /// What Redis answers, if it does.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> Option<T> {
        self.redis.ask(command)
    }

    /// Has Redis do something that it must do.
    pub(crate) fn tell_redis(&self, command: &[&str]) {
        self.redis.tell(command);
    }
}

impl Deref for Deployment {
    type Target = Surroundings;

    fn deref(&self) -> &Surroundings {
        &self.surroundings
    }
}
