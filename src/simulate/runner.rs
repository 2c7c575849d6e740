//! A run: posts a history, waits until it is applied, reads the stock and compares it.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Url;
use secrecy::{SecretBox, SecretString};
use tokio::time::Instant;

use super::check::{Check, compare_dead_letters, compare_stock};
use super::console::{Console, ConsoleError, StockRow};
use super::history::History;
use super::model::{Model, ModelPolicy, Receipt, Verdict};
use super::poster::{PostError, Posted, Poster};
use super::report::{Report, Sent, Speed};
use crate::clock;

/// How a history is posted, and what is done afterwards.
#[derive(Debug)]
pub struct Options {
    /// The ingress; if it has no path, the usual one is used.
    pub url: Url,
    /// The secret that signs bodies, decoded.
    pub secret: Option<SecretBox<[u8]>>,
    /// How fast bodies are posted.
    pub pace: Pace,
    /// How long one body is retried, and how long the queues may take to become empty.
    pub timeout: Duration,
    /// What to read from the console afterwards.
    pub afterwards: Afterwards,
    /// The policy in force at the service; only a comparison needs it.
    pub policy: ModelPolicy,
    /// All receipts at the sites of the history; `None` if they are unknown, and then received
    /// units are not compared.
    pub goods: Option<Vec<Receipt>>,
    /// Whether progress bars are shown on stderr, if that is a terminal.
    pub has_progress: bool,
}

/// How fast bodies are posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many requests are under way at a time.
    pub concurrency: NonZeroUsize,
    /// How many requests are started per second; `None` for no limit.
    pub rate: Option<NonZeroU32>,
}

/// What is done once everything is posted.
#[derive(Debug)]
pub enum Afterwards {
    /// Nothing.
    Nothing,
    /// Waits until the queues are empty, and lists the stock.
    List(ConsoleAddress),
    /// Like `List`, and compares stock and dead letters with the model.
    Compare(ConsoleAddress),
}

/// How long a difference must last: a worker in another process may still be processing the last
/// events when no queue shows them any more.
const IN_HAND: Duration = Duration::from_secs(5);
/// The poll interval during that time.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The address of the operator API.
#[derive(Debug)]
pub struct ConsoleAddress {
    /// The address.
    pub url: Url,
    /// A token that may read.
    pub token: Option<SecretString>,
}

/// Why a run has no result. Everything posted until then stays posted.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A body could not be posted.
    #[error(transparent)]
    Post(#[from] PostError),
    /// The console failed.
    #[error(transparent)]
    Console(#[from] ConsoleError),
}

impl SimulateError {
    /// Returns whether nothing answered, so that trying later may help.
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Post(PostError::Unreachable { .. })
                | Self::Console(ConsoleError::Unreachable { .. })
        )
    }
}

/// Posts a history and, if asked, waits, lists and compares. Calls `warn` with a sentence when
/// nothing answers and the run waits.
///
/// The run survives a server that goes away and returns within the timeout. Posting the same
/// history again changes nothing, so an interrupted run can be repeated.
pub async fn run(
    history: &History,
    options: Options,
    warn: impl Fn(&str),
) -> Result<Report, SimulateError> {
    let Options { url, secret, pace, timeout, afterwards, policy, goods, has_progress } = options;
    let poster = Poster::new(url, secret, timeout)?;
    let bar = bar(has_progress, "posting {bar:40} {human_pos}/{human_len} {per_sec} {eta}");
    bar.set_length(history.deliveries.len() as u64);
    let began = Instant::now();
    let warn_above = |bar: &ProgressBar, sentence: &str| bar.suspend(|| warn(sentence));
    let warn = |sentence: &str| warn_above(&bar, sentence);
    let answers = post_all(history, &poster, pace, || bar.inc(1), warn).await;
    let took = began.elapsed();
    bar.finish_and_clear();
    let answers = answers?;
    let report = Report {
        sent: Sent::of(history, &answers),
        speed: Speed::of(&answers, took),
        stock: None,
        check: None,
    };
    let (address, is_compared) = match afterwards {
        Afterwards::Nothing => return Ok(report),
        Afterwards::List(address) => (address, false),
        Afterwards::Compare(address) => (address, true),
    };
    let console = Console::new(address.url, address.token)?;
    let waiting = self::bar(has_progress, "{spinner} waiting for {pos} webhooks to be applied");
    let warn = |sentence: &str| warn_above(&waiting, sentence);
    let settled = console.settled(timeout, |count| waiting.set_position(count), warn).await;
    waiting.finish_and_clear();
    settled?;
    let expected = is_compared.then(|| Expected::of(history, &answers, policy, goods));
    let give_up = Instant::now() + timeout.min(IN_HAND);
    loop {
        let stock = stock(&console, &history.sites()).await?;
        let check = match &expected {
            Some(expected) => Some(expected.compare(&console, &stock).await?),
            None => None,
        };
        if check.as_ref().is_none_or(Check::holds) || Instant::now() >= give_up {
            return Ok(Report { stock: Some(stock), check, ..report });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Posts all deliveries of a history in their order, several at a time, and returns the answers in
/// that order. Stops at the first failure; [`Poster::post`] uses `warn`.
pub async fn post_all(
    history: &History,
    poster: &Poster,
    pace: Pace,
    on_each: impl Fn(),
    warn: impl Fn(&str),
) -> Result<Vec<Posted>, PostError> {
    let (began, warn) = (Instant::now(), &warn);
    let posts = history.deliveries.iter().enumerate().map(|(place, delivery)| async move {
        if let Some(rate) = pace.rate {
            let turn =
                Duration::from_secs(1).saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
            tokio::time::sleep_until(began + turn / rate.get()).await;
        }
        (place, poster.post(&delivery.body, warn).await)
    });
    let mut posts = futures_util::stream::iter(posts).buffer_unordered(pace.concurrency.get());
    let mut answers = Vec::with_capacity(history.deliveries.len());
    while let Some((place, result)) = posts.next().await {
        answers.push((place, result?));
        on_each();
    }
    answers.sort_unstable_by_key(|(place, _)| *place);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

async fn stock(
    console: &Console,
    sites: &[String],
) -> Result<BTreeMap<String, Vec<StockRow>>, ConsoleError> {
    let mut stock = BTreeMap::new();
    for site in sites {
        stock.insert(site.clone(), console.stock(site).await?);
    }
    Ok(stock)
}

/// The model's results for a history.
struct Expected {
    model: Model,
    /// Whether the model knows all receipts.
    knows_goods: bool,
    /// The reason of each message that must be a dead letter.
    fates: BTreeMap<String, Option<String>>,
}

impl Expected {
    fn of(
        history: &History,
        answers: &[Posted],
        policy: ModelPolicy,
        goods: Option<Vec<Receipt>>,
    ) -> Self {
        let now_ms = clock::now().millis();
        let mut model = Model::new(policy);
        let knows_goods = goods.is_some();
        goods.into_iter().flatten().for_each(|receipt| model.receive(receipt));
        let mut fates = BTreeMap::new();
        for (delivery, answer) in history.deliveries.iter().zip(answers) {
            let fate = match model.observe(&delivery.body, now_ms) {
                Verdict::DeadLetter(code) => Some(code.to_owned()),
                Verdict::Counted { .. }
                | Verdict::Catalogue
                | Verdict::Notice
                | Verdict::Ignored => None,
            };
            fates.insert(answer.message_id.clone(), fate);
        }
        Self { model, knows_goods, fates }
    }

    async fn compare(
        &self,
        console: &Console,
        stock: &BTreeMap<String, Vec<StockRow>>,
    ) -> Result<Check, ConsoleError> {
        let (items, stock) = compare_stock(&self.model, self.knows_goods, stock);
        let (dead_letters, letters) =
            compare_dead_letters(&self.fates, &console.dead_letters().await?);
        Ok(Check { items, dead_letters, stock, letters })
    }
}

/// Returns a progress bar on stderr; it hides itself if stderr is not a terminal.
fn bar(is_shown: bool, template: &str) -> ProgressBar {
    let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).expect("the templates are of their form");
    ProgressBar::with_draw_target(None, target).with_style(style)
}
