//! Replays, their forecasts, groups of dead letters, and commands about single dead letters.

use serde::Serialize;
use utoipa::ToSchema;

use crate::dead_letters::{DryRun, Effect, Forecast, WouldBe};
use crate::domain::{MessageId, Reason, Timestamp};
use crate::store::{DeadLetterGroup, DeadLetterName, Replay, ReplayState};

/// A replay and its progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Replay)]
pub struct ReplayView {
    /// The replay's id; left out of a dry run, which is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    pub id: Option<String>,
    /// running, done, aborted or cancelled.
    pub state: &'static str,
    /// When it was made.
    #[schema(example = "2023-01-12T18:14:24.002Z")]
    pub made_at: String,
    /// Dead letters that were selected when it was made.
    pub selected: u64,
    /// Dead letters that were sent to the queue.
    pub sent: u64,
    /// Sent dead letters that were applied.
    pub settled: u64,
    /// Sent dead letters that failed again.
    pub failed: u64,
    /// Selected dead letters that ended otherwise before they could be replayed.
    pub gone: u64,
    /// Whether it was a dry run.
    pub dry_run: bool,
    /// What a replay would do; of a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub forecast: Option<ForecastView>,
}

impl From<&Replay> for ReplayView {
    fn from(replay: &Replay) -> Self {
        Self {
            id: Some(replay.id.to_string()),
            state: replay.state.as_str(),
            made_at: replay.made_at.to_string(),
            selected: replay.selected,
            sent: replay.sent,
            settled: replay.settled,
            failed: replay.failed,
            gone: replay.gone,
            dry_run: false,
            forecast: None,
        }
    }
}

impl ReplayView {
    /// A dry run, which is done.
    pub fn of_dry_run(at: Timestamp, done: &DryRun) -> Self {
        Self {
            state: ReplayState::Done.as_str(),
            made_at: at.to_string(),
            selected: done.letters.len() as u64,
            dry_run: true,
            forecast: Some(ForecastView::from(done)),
            ..Self::default()
        }
    }
}

/// What a replay would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Forecast)]
pub struct ForecastView {
    /// Each dead letter, in the order of the replay.
    pub letters: Vec<DeadLetterForecastView>,
    /// The total change of the stock.
    pub stock: Vec<StockEffectView>,
    /// Whether there are more dead letters than were tried.
    pub cut_off: bool,
}

impl From<&DryRun> for ForecastView {
    fn from(done: &DryRun) -> Self {
        Self {
            letters: done.letters.iter().map(DeadLetterForecastView::from).collect(),
            stock: done.effects.iter().map(StockEffectView::from).collect(),
            cut_off: done.is_cut_off,
        }
    }
}

/// The forecast of one dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeadLetterForecast)]
pub struct DeadLetterForecastView {
    /// The message's id.
    pub id: String,
    /// The generation of the dead letter.
    pub generation: u32,
    /// applied, superseded, duplicate, ignored, or `dead_letter` if it would fail again.
    pub outcome: &'static str,
    /// Why; left out if there is no reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<&'static str>,
    /// What is wrong with a body that would fail again, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
}

impl From<&Forecast> for DeadLetterForecastView {
    fn from(forecast: &Forecast) -> Self {
        let (outcome, reason, detail) = match &forecast.would_be {
            WouldBe::Settled(settled) => {
                (settled.outcome.as_str(), settled.reason.map(Reason::as_str), None)
            }
            WouldBe::Rejected { code, detail } => {
                ("dead_letter", Some(code.as_str()), Some(detail.clone()))
            }
        };
        let DeadLetterName { message_id, generation } = forecast.letter;
        Self { id: message_id.to_string(), generation, outcome, reason, detail }
    }
}

/// The change of the counts of a stock item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StockEffect)]
pub struct StockEffectView {
    /// The shop.
    pub site: String,
    /// The item.
    #[schema(example = "variation:V1")]
    pub key: String,
    /// Units added to received.
    pub received: String,
    /// Units added to committed.
    pub committed: String,
    /// Units added to fulfilled.
    pub fulfilled: String,
}

impl From<&Effect> for StockEffectView {
    fn from(effect: &Effect) -> Self {
        Self {
            site: effect.site.to_string(),
            key: effect.key.to_string(),
            received: effect.delta.received.to_string(),
            committed: effect.delta.committed.to_string(),
            fulfilled: effect.delta.fulfilled.to_string(),
        }
    }
}

/// Dead letters with the same reason, shop and event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeadLetterGroup)]
pub struct DeadLetterGroupView {
    /// The stable reason.
    #[schema(example = "decode.invalid_quantity")]
    pub reason: &'static str,
    /// The shop, as far as bodies were understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub site: Option<String>,
    /// The event's name, as far as bodies were understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub event_type: Option<String>,
    /// How many dead letters.
    pub letters: u64,
    /// The earliest `first_failed_at` among them.
    #[schema(example = "2023-01-12T18:14:24.002Z")]
    pub oldest_failed_at: String,
    /// The latest `first_failed_at` among them.
    #[schema(example = "2023-01-12T18:14:24.002Z")]
    pub newest_failed_at: String,
}

impl From<&DeadLetterGroup> for DeadLetterGroupView {
    fn from(group: &DeadLetterGroup) -> Self {
        Self {
            reason: group.reason.as_str(),
            site: group.site.as_ref().map(ToString::to_string),
            event_type: group.event_type.as_ref().map(ToString::to_string),
            letters: group.letters,
            oldest_failed_at: group.oldest.to_string(),
            newest_failed_at: group.newest.to_string(),
        }
    }
}

/// A command about a dead letter: an edit or a discard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DeadLetterCommand)]
pub struct DeadLetterCommandView {
    /// The message's id.
    pub id: String,
    /// The generation of the dead letter.
    pub generation: u32,
    /// The message that carries the command; left out of a dry run, which sends none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message_id: Option<String>,
    /// Whether it was applied already.
    pub applied: bool,
    /// What a replay would do with the new body; of an edit only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub forecast: Option<ForecastView>,
}

impl DeadLetterCommandView {
    /// A command about a dead letter, by the message that carries it.
    pub fn new(letter: DeadLetterName, command: MessageId, applied: bool) -> Self {
        let DeadLetterName { message_id, generation } = letter;
        let command = Some(command.to_string());
        Self {
            id: message_id.to_string(),
            generation,
            message_id: command,
            applied,
            forecast: None,
        }
    }

    /// An edit that is only tried.
    pub fn of_dry_run(letter: DeadLetterName, done: &DryRun) -> Self {
        Self {
            id: letter.message_id.to_string(),
            generation: letter.generation,
            message_id: None,
            applied: false,
            forecast: Some(ForecastView::from(done)),
        }
    }

    /// With what a replay would do with the new body.
    #[must_use]
    pub fn with_forecast(mut self, done: &DryRun) -> Self {
        self.forecast = Some(ForecastView::from(done));
        self
    }
}
