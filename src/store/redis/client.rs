//! Commands and scripts, sent over whatever connection is in use.
//!
//! # Invariants
//! - No command and no script is sent a second time, except a script that the server did not know:
//!   that one did not run.
//! - Every call ends within the deadlines of connecting and of its answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Value};

use super::RedisOptions;
use super::connector::Connector;
use super::failure;
use super::keys::Keys;
use super::refusal::ConnectRefusal;
pub(super) use super::script::Call;
use super::script::Script;
use super::server::{Finding, Servers};
use crate::domain::Site;
use crate::store::StoreError;

/// So many commands are sent at once; more are sent in parts.
const PIPELINE_MAX: usize = 256;
/// So many parts for the nodes of a cluster are under way at once.
const PARTS_AT_ONCE: usize = 16;

/// A handle of the connection; its clones share it.
#[derive(Clone)]
pub(super) struct Client {
    connector: Arc<Connector>,
    keys: Keys,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that is not connected yet.
    pub(super) fn new(options: &RedisOptions) -> Result<Self, StoreError> {
        Ok(Self { connector: Arc::new(Connector::new(options)?), keys: Keys::new(&options.prefix) })
    }

    /// Has the next connection made by other addresses or credentials.
    pub(super) fn replace(&self, options: &RedisOptions) -> Result<(), StoreError> {
        self.connector.replace(options)
    }

    /// The names of keys.
    pub(super) const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The name of a key of a site.
    pub(super) fn key(&self, site: &Site, parts: &[&str]) -> String {
        self.keys.of_site(site.as_str(), parts)
    }

    /// Connects, unless that is done; distinguishes a misconfigured server from one that is away.
    pub(super) async fn connect(&self) -> Result<(), StoreError> {
        self.connector.live().await.map(drop).map_err(ConnectRefusal::for_start)
    }

    /// Looks at the servers again: one that was replaced may have answered over the same address.
    pub(super) async fn check_servers(&self) -> Result<(), StoreError> {
        let mut live = self.connector.live().await.map_err(ConnectRefusal::for_calls)?;
        match self.connector.servers().check(&mut live.connection).await {
            Ok(()) => Ok(()),
            Err(Finding::Unfit(why)) => {
                // The next connection may lead to the server that took its place.
                self.connector.drop_connection(&live);
                Err(ConnectRefusal::Unfit(why).at(&self.connector.server()).for_calls())
            }
            Err(Finding::Failed(error)) => {
                self.connector.record(&live, Some(&error));
                Err(self.failed("INFO", &error))
            }
        }
    }

    /// What was learned of the servers.
    pub(super) fn servers(&self) -> &Servers {
        self.connector.servers()
    }

    /// Sends one command.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let mut live = self.connector.live().await.map_err(ConnectRefusal::for_calls)?;
        let answer = live.connection.send(command).await.and_then(Value::extract_error);
        self.connector.record(&live, answer.as_ref().err());
        let answer = answer.map_err(|error| self.failed(&name_of(command), &error))?;
        T::from_redis_value(answer).map_err(|_| failure::odd_value(&name_of(command)))
    }

    /// Sends commands at once, each with its key; answers are in their order. One that fails does
    /// not keep the others from being done.
    pub(super) async fn query_all(
        &self,
        commands: Vec<(String, Cmd)>,
    ) -> Result<Vec<Value>, StoreError> {
        let what = commands.first().map(|(_, command)| name_of(command)).unwrap_or_default();
        let answers = self.send_all(commands).await.map_err(|error| self.of_call(&what, error))?;
        let answers = answers.into_iter().map(Value::extract_error).collect::<Result<_, _>>();
        answers.map_err(|error| self.failed(&what, &error))
    }

    /// Runs one script.
    pub(super) async fn run<T: FromRedisValue>(&self, call: &Call) -> Result<T, StoreError> {
        let answer = self.run_all([call]).await?.pop().unwrap_or_default();
        T::from_redis_value(answer).map_err(|_| failure::odd_value(&call.to_string()))
    }

    /// Runs scripts, many at once; answers are in the order of the calls.
    ///
    /// Those of one hash slot run in order, unless the server forgot a script in between: then the
    /// calls that it did not know run after the others. A call that fails does not keep the others
    /// from running: what they did stays, and the answer is the error.
    pub(super) async fn run_all(
        &self,
        calls: impl IntoIterator<Item = &Call>,
    ) -> Result<Vec<Value>, StoreError> {
        let calls: Vec<&Call> = calls.into_iter().collect();
        let mut answers = self.send_calls(&calls).await?;
        let is_unknown = |answer: &Value| {
            failure::error_of(answer).as_ref().is_some_and(failure::is_unknown_script)
        };
        let unknown = answers.iter().enumerate().filter(|(_, answer)| is_unknown(answer));
        let unknown: Vec<usize> = unknown.map(|(place, _)| place).collect();
        if !unknown.is_empty() {
            let again = unknown.iter().filter_map(|place| calls.get(*place).copied());
            let again: Vec<&Call> = again.collect();
            let scripts: BTreeMap<_, &Script> =
                again.iter().map(|call| (call.script().name(), call.script())).collect();
            for script in scripts.into_values() {
                self.query::<()>(&script.load()).await?;
            }
            for (place, answer) in unknown.into_iter().zip(self.send_calls(&again).await?) {
                if let Some(unknown) = answers.get_mut(place) {
                    *unknown = answer;
                }
            }
        }
        let answers = calls.iter().zip(answers).map(|(call, answer)| {
            answer.extract_error().map_err(|error| self.failed(&call.to_string(), &error))
        });
        answers.collect()
    }

    async fn send_calls(&self, calls: &[&Call]) -> Result<Vec<Value>, StoreError> {
        let commands = calls.iter().map(|call| (call.first_key().to_owned(), call.command()));
        let what = calls.first().map(ToString::to_string).unwrap_or_default();
        self.send_all(commands.collect()).await.map_err(|error| self.of_call(&what, error))
    }

    fn of_call(&self, what: &str, failure: CallFailure) -> StoreError {
        match failure {
            CallFailure::Away(refusal) => refusal.for_calls(),
            CallFailure::Failed(error) => self.failed(what, &error),
        }
    }

    /// The error of a failed command or script, with the server that it was sent to.
    fn failed(&self, what: &str, error: &RedisError) -> StoreError {
        failure::of(&self.connector.server(), what, error)
    }

    /// Sends commands in parts; in a cluster each part is of one hash slot.
    async fn send_all(&self, commands: Vec<(String, Cmd)>) -> Result<Vec<Value>, CallFailure> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let live = self.connector.live().await.map_err(CallFailure::Away)?;
        let is_cluster = live.connection.is_cluster();
        let count = commands.len();
        let mut parts: BTreeMap<String, Vec<(usize, Cmd)>> = BTreeMap::new();
        for (place, (key, command)) in commands.into_iter().enumerate() {
            let tag = if is_cluster { tag_of(&key).to_owned() } else { String::new() };
            parts.entry(tag).or_default().push((place, command));
        }
        let sent = stream::iter(parts.into_values().map(|part| self.send_part(part)));
        let found: Vec<Vec<(usize, Value)>> =
            sent.buffer_unordered(PARTS_AT_ONCE).try_collect().await?;
        let mut answers = vec![Value::Nil; count];
        for (place, answer) in found.into_iter().flatten() {
            if let Some(slot) = answers.get_mut(place) {
                *slot = answer;
            }
        }
        Ok(answers)
    }

    async fn send_part(&self, part: Vec<(usize, Cmd)>) -> Result<Vec<(usize, Value)>, CallFailure> {
        let mut answers = Vec::with_capacity(part.len());
        let mut part = part.into_iter().peekable();
        while part.peek().is_some() {
            let (places, commands): (Vec<usize>, Vec<Cmd>) =
                part.by_ref().take(PIPELINE_MAX).unzip();
            let mut pipeline = Pipeline::with_capacity(commands.len());
            for command in commands {
                pipeline.add_command(command);
            }
            let mut live = self.connector.live().await.map_err(CallFailure::Away)?;
            let found = live.connection.send_all(&pipeline).await;
            let error = match &found {
                Ok(values) => values.iter().find_map(failure::error_of),
                Err(error) => Some(error.clone()),
            };
            self.connector.record(&live, error.as_ref());
            let found = found.map_err(CallFailure::Failed)?;
            answers.extend(places.into_iter().zip(found));
        }
        Ok(answers)
    }

    /// Lets go of the connection; nobody is served any more.
    pub(super) fn close(&self) {
        self.connector.close();
    }
}

/// Why there are no answers.
enum CallFailure {
    Away(ConnectRefusal),
    Failed(RedisError),
}

/// What a command is called in errors: its name and what it is about, but no values.
fn name_of(command: &Cmd) -> String {
    let mut words = command.args_iter().filter_map(|arg| {
        if let redis::Arg::Simple(word) = arg { Some(String::from_utf8_lossy(word)) } else { None }
    });
    let (name, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    format!("{name} {key}")
}

/// The part of a key that decides its hash slot: its tag, or else all of it.
fn tag_of(key: &str) -> &str {
    let tagged = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    tagged.map_or(key, |(tag, _)| tag)
}
