//! Reads the operator API: queue depths, stock and dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use rust_decimal::Decimal;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::Instant;

use super::model::as_text;
use super::poster;

/// The most entries that are requested per page of a list.
const PAGE_LENGTH: &str = "500";
/// The most pages that are read of one list.
const PAGES_MAX: usize = 100_000;
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A client of the operator API.
#[derive(Debug)]
pub struct Console {
    client: reqwest::Client,
    url: Url,
    token: Option<SecretString>,
}

/// Why a request to the operator API failed.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// It cannot be reached.
    #[error("the console at {url} cannot be reached: {cause}")]
    Unreachable {
        /// Its address.
        url: String,
        /// The reason.
        cause: String,
    },
    /// It returned an unexpected answer.
    #[error("the console at {url} answered {status}: {detail}{hint}")]
    Refused {
        /// The URL that was requested.
        url: String,
        /// The status of the answer.
        status: StatusCode,
        /// The detail of the answer.
        detail: String,
        /// What to do, as the end of the sentence.
        hint: &'static str,
    },
    /// Its answer does not match the shape that the API defines.
    #[error("the console's answer to {url} is not of its form: {detail}")]
    NotUnderstood {
        /// The URL that was requested.
        url: String,
        /// What is wrong with the answer.
        detail: String,
    },
    /// The queues did not become empty in time.
    #[error("{waiting} webhooks still wait after {}; give more time with --timeout, or look at \
             the worker", humantime::format_duration(*.after))]
    NotSettled {
        /// How many webhooks still wait.
        waiting: u64,
        /// How long the run waited.
        after: Duration,
    },
    /// The HTTP client could not be created.
    #[error("cannot prepare requests: {0}")]
    Client(#[source] reqwest::Error),
}

/// A stock item as the API lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRow {
    /// The stock key.
    pub key: String,
    /// Its name in the catalogue.
    pub name: Option<String>,
    /// Units received.
    #[serde(deserialize_with = "decimal", serialize_with = "as_text")]
    pub received: Decimal,
    /// Units committed to orders.
    #[serde(deserialize_with = "decimal", serialize_with = "as_text")]
    pub committed: Decimal,
    /// Units that have left.
    #[serde(deserialize_with = "decimal", serialize_with = "as_text")]
    pub fulfilled: Decimal,
    /// Units that can still be committed.
    #[serde(deserialize_with = "decimal", serialize_with = "as_text")]
    pub available: Decimal,
}

fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let text = String::deserialize(deserializer)?;
    Decimal::from_str_exact(&text).map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Queues {
    work: Work,
    retry: Retry,
    dead: Dead,
}

#[derive(Deserialize)]
struct Work {
    ready: u64,
    in_flight: u64,
}

#[derive(Deserialize)]
struct Retry {
    ready: u64,
}

#[derive(Deserialize)]
struct Dead {
    intake: u64,
}

#[derive(Deserialize)]
struct DeadLetter {
    id: String,
    reason: String,
}

impl Console {
    /// Creates a client for an address, with a token that may read if the API requires one.
    pub fn new(url: Url, token: Option<SecretString>) -> Result<Self, ConsoleError> {
        let client = poster::client().map_err(ConsoleError::Client)?;
        Ok(Self { client, url, token })
    }

    /// Waits until the queues are empty: no webhook is ready, in flight, due for a retry or on its
    /// way to the dead letters. An unreachable console is polled again; `warn` is called the first
    /// time.
    pub async fn settled(
        &self,
        timeout: Duration,
        mut progress: impl FnMut(u64),
        warn: impl Fn(&str),
    ) -> Result<(), ConsoleError> {
        let deadline = Instant::now() + timeout;
        let mut quiet = 0;
        let mut has_warned = false;
        loop {
            let asked = self.ask::<Queues>(&["queues"], &[]).await;
            let is_late = Instant::now() >= deadline;
            match asked {
                Ok(queues) => {
                    let Queues { work, retry, dead } = queues;
                    let waiting = work.ready + work.in_flight + retry.ready + dead.intake;
                    progress(waiting);
                    // Checked twice, because a message can move from a queue that was counted later
                    // to one that was counted before.
                    quiet = if waiting == 0 { quiet + 1 } else { 0 };
                    if quiet == 2 {
                        return Ok(());
                    }
                    if is_late && waiting > 0 {
                        return Err(ConsoleError::NotSettled { waiting, after: timeout });
                    }
                }
                Err(error @ ConsoleError::Unreachable { .. }) if is_late => return Err(error),
                Err(error @ ConsoleError::Unreachable { .. }) => {
                    quiet = 0;
                    if !std::mem::replace(&mut has_warned, true) {
                        warn(&format!("{error}; trying for {}", poster::in_short(timeout)));
                    }
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns every stock item of a site in the API's order, or none if the site is unknown.
    pub async fn stock(&self, site: &str) -> Result<Vec<StockRow>, ConsoleError> {
        match self.list(&["sites", site, "stock"]).await {
            Err(ConsoleError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Returns the reasons of all dead letters by message id.
    pub async fn dead_letters(&self) -> Result<BTreeMap<String, String>, ConsoleError> {
        let letters: Vec<DeadLetter> = self.list(&["dead-letters"]).await?;
        Ok(letters.into_iter().map(|letter| (letter.id, letter.reason)).collect())
    }

    async fn list<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Vec<T>, ConsoleError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut query = vec![("limit", PAGE_LENGTH)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.ask(path, &query).await?;
            items.extend(page.items);
            if page.next_cursor.is_none() {
                return Ok(items);
            }
            if page.next_cursor == cursor {
                break;
            }
            cursor = page.next_cursor;
        }
        let detail = "the list does not end".to_owned();
        Err(ConsoleError::NotUnderstood { url: self.url_of(path, &[]).into(), detail })
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ConsoleError> {
        let url = self.url_of(path, query);
        let mut request = self.client.get(url.clone());
        let url = url.to_string();
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let (status, answer) = poster::exchange(request)
            .await
            .map_err(|cause| ConsoleError::Unreachable { url: self.url.to_string(), cause })?;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let cause = format!("it answered {status}: {}", poster::problem(&answer));
            return Err(ConsoleError::Unreachable { url: self.url.to_string(), cause });
        }
        if status != StatusCode::OK {
            let detail = poster::problem(&answer);
            let hint = match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; give a token with --token",
                StatusCode::NOT_FOUND => "; is it the address of `console.listen`?",
                _ => "",
            };
            return Err(ConsoleError::Refused { url, status, detail, hint });
        }
        serde_json::from_slice(&answer)
            .map_err(|error| ConsoleError::NotUnderstood { url, detail: error.to_string() })
    }

    fn url_of(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_path_is_encoded_once() {
        let console = Console::new(Url::parse("http://h:1/api/").unwrap(), None).unwrap();
        let url = console.url_of(&["sites", "a/b é", "stock"], &[("cursor", "x&y")]);
        assert_eq!(url.as_str(), "http://h:1/api/v1/sites/a%2Fb%20%C3%A9/stock?cursor=x%26y");
    }
}
