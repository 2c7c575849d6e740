//! The management API, where it is configured: what all consumers of a queue have unacked.
//!
//! AMQP reports the number of messages that are ready, but not of those that were delivered. The
//! numbers here are a few seconds old.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::address::Address;
use crate::broker::BrokerError;

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
        let request =
            self.client.get(url).basic_auth(&self.user, Some(self.password.expose_secret()));
        let answer = async { request.send().await?.error_for_status()?.json::<Numbers>().await };
        match answer.await {
            Ok(numbers) => Some(numbers.messages_unacknowledged),
            Err(error) => {
                let error = error.without_url();
                tracing::debug!(%error, queue, "the management API did not answer");
                None
            }
        }
    }
}
