//! The management API, where it is configured: what all consumers of a queue have unacked, and which
//! policies apply to the queues.
//!
//! AMQP reports the number of messages that are ready, but not of those that were delivered, and
//! nothing about policies. The answers here are a few seconds old.

use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::address::Address;
use crate::broker::BrokerError;
use crate::domain::causes;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the management API is, with the login.
#[derive(Debug)]
pub(super) struct Management {
    client: reqwest::Client,
    /// The queues of the virtual host.
    queues: reqwest::Url,
    user: String,
    password: SecretString,
}

#[derive(serde::Deserialize)]
struct Numbers {
    #[serde(default)]
    messages_unacknowledged: u64,
}

/// A page of queues.
#[derive(serde::Deserialize)]
struct Page {
    items: Vec<PolicedQueue>,
}

/// A queue and the policies that apply to it.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct PolicedQueue {
    pub(super) name: String,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) policy: Option<String>,
    #[serde(default)]
    pub(super) operator_policy: Option<String>,
    /// What both set together: an object, or an empty list for nothing.
    #[serde(default)]
    pub(super) effective_policy_definition: serde_json::Value,
    #[serde(default)]
    pub(super) messages: u64,
    #[serde(default)]
    pub(super) messages_ready: u64,
    #[serde(default)]
    pub(super) messages_unacknowledged: u64,
}

impl PolicedQueue {
    /// Messages that nobody is given any more: they have expired, and RabbitMQ does not let them go
    /// where expired ones go, since they have been there before.
    pub(super) const fn stuck(&self) -> u64 {
        self.messages.saturating_sub(self.messages_ready + self.messages_unacknowledged)
    }
}

/// Queues on a page; a namespace has some ten.
const QUEUES_MAX: &str = "500";

impl Management {
    /// The API at an address; its login is that of the address, or else RabbitMQ's.
    pub(super) fn new(url: &str, rabbitmq: &Address) -> Result<Self, BrokerError> {
        let unusable = || BrokerError::Rejected {
            source: "rabbitmq.management_url is not of the form http://user:password@host:15672/"
                .into(),
        };
        let mut url = reqwest::Url::parse(url).map_err(|_| unusable())?;
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
        };
        let (user, password) = if url.username().is_empty() {
            let (user, password) = rabbitmq.login();
            (user.to_owned(), password.to_owned())
        } else {
            (decoded(url.username()), decoded(url.password().unwrap_or_default()))
        };
        url.set_username("").map_err(|()| unusable())?;
        url.set_password(None).map_err(|()| unusable())?;
        url.path_segments_mut().map_err(|()| unusable())?.pop_if_empty().extend([
            "api",
            "queues",
            rabbitmq.vhost(),
        ]);
        let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build();
        let client = client.map_err(|_| unusable())?;
        Ok(Self { client, queues: url, user, password: password.into() })
    }

    /// Messages of a queue that are unacked; `None` while the API does not answer.
    pub(super) async fn unacknowledged(&self, queue: &str) -> Option<u64> {
        let mut url = self.queues.clone();
        url.path_segments_mut().ok()?.push(queue);
        match self.ask::<Numbers>(url).await {
            Ok(numbers) => Some(numbers.messages_unacknowledged),
            Err(error) => {
                tracing::debug!(error, queue, "the management API did not answer");
                None
            }
        }
    }

    /// The queues of a namespace, and what policies set for them.
    pub(super) async fn policed(&self, namespace: &str) -> Result<Vec<PolicedQueue>, String> {
        let prefix = format!("{namespace}.");
        let mut url = self.queues.clone();
        url.query_pairs_mut().extend_pairs([
            ("page", "1"),
            ("page_size", QUEUES_MAX),
            ("name", &prefix),
            (
                "columns",
                "name,type,policy,operator_policy,effective_policy_definition,messages,\
                 messages_ready,messages_unacknowledged",
            ),
        ]);
        let page: Page = self.ask(url).await?;
        // The filter finds the text anywhere in a name.
        Ok(page.items.into_iter().filter(|queue| queue.name.starts_with(&prefix)).collect())
    }

    async fn ask<T: DeserializeOwned>(&self, url: reqwest::Url) -> Result<T, String> {
        let request =
            self.client.get(url).basic_auth(&self.user, Some(self.password.expose_secret()));
        let answer = async { request.send().await?.error_for_status()?.json::<T>().await };
        answer.await.map_err(|error| {
            let host = self.queues.host_str().unwrap_or_default();
            let port = self.queues.port_or_known_default().unwrap_or_default();
            let place = format!("{}://{host}:{port}", self.queues.scheme());
            let why = match error.status() {
                Some(StatusCode::UNAUTHORIZED) => {
                    "the login was refused (401); check user, password and tags (monitoring) in \
                     rabbitmq.management_url"
                        .to_owned()
                }
                // The address may have the login.
                _ => causes(&error.without_url()),
            };
            format!("{place}: {why}")
        })
    }
}
