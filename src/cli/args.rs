//! What the commands take: options and arguments, with their help texts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Url;

use super::actor::ActorArgs;
use super::receipts;
use crate::clock::PastTime;
use crate::domain::{Code, MessageId, Site};

/// What `serve` and the roles take.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Writes the addresses that are listened on to this file, as JSON, once all is ready.
    ///
    /// With port 0 in the settings this is how to learn which port was chosen.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

/// What `demo` takes.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Ends after the verdict instead of staying up.
    #[arg(long)]
    pub exit: bool,

    /// How many orders to invent; each leads to several webhooks.
    #[arg(long, value_name = "N", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub orders: u32,

    /// Invents the same history again; without it, every run has another.
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
}

/// What `stock` can do.
#[derive(Debug, Subcommand)]
pub enum StockCommands {
    /// Reads.
    #[command(flatten)]
    Read(StockCommand),
    /// Changes.
    #[command(flatten)]
    Change(receipts::ReceiptCommand),
}

/// What `stock` can do that changes nothing.
#[derive(Debug, Subcommand)]
pub enum StockCommand {
    /// Writes the counts of every stock item as CSV, or as NDJSON with `--format json`.
    Export,
    /// Lists the counts of every stock item.
    List {
        /// Only this site's.
        #[arg(value_name = "SITE", value_parser = Site::parse)]
        site: Option<Site>,
    },
    /// Shows one stock item and the orders that hold it.
    Show {
        /// The shop, as Duda names it in `site_name`.
        #[arg(value_name = "SITE", value_parser = Site::parse)]
        site: Site,
        /// The item, by any of its names: `variation:V1`, `sku:S1`, or just `S1`.
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// What `dead-letters` can do.
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// Lists dead letters, oldest failure first.
    List(DeadLettersListArgs),
    /// Counts dead letters by reason, site and event, the largest group first.
    Groups,
    /// Shows one dead letter with its body.
    ///
    /// The body is what Duda sent and holds personal data of the buyer.
    Show {
        /// The message id, as `dead-letters list` prints it.
        #[arg(value_name = "ID", value_parser = parse_message_id)]
        id: MessageId,
    },
    /// Sends dead letters through the worker again, once each in effect.
    ///
    /// Acts on what is selected now. The leader runs the replay, also after this command has ended.
    /// A letter that comes back is parked again, as its next generation. Exits 1 if one did.
    Replay(DeadLettersReplayArgs),
    /// Gives a dead letter another body; what was received is kept beside it.
    Edit {
        /// The message id, as `dead-letters list` prints it.
        #[arg(value_name = "ID", value_parser = parse_message_id)]
        id: MessageId,
        /// The file that has the new body; `-` is stdin.
        #[arg(long, value_name = "FILE")]
        body: PathBuf,
    },
    /// Drops dead letters for good: one, or all that are selected.
    ///
    /// Leaves those alone that a running replay has, and exits 1 if there were any.
    Discard(DeadLettersDiscardArgs),
    /// Writes whole dead letters as one JSON object a line; the bodies hold personal data.
    Export(DeadLettersListArgs),
    /// Files the dead letters of an export.
    ///
    /// One that is parked already, or that was replayed or discarded here, stays as it is.
    Import {
        /// The export; `-` is stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// What `dead-letters replay` takes.
#[derive(Debug, Args)]
pub struct DeadLettersReplayArgs {
    /// Which letters.
    #[command(flatten)]
    pub selection: DeadLettersListArgs,

    /// Every dead letter.
    #[arg(
        long,
        required_unless_present = "DeadLettersListArgs",
        conflicts_with = "DeadLettersListArgs"
    )]
    pub all: bool,

    /// Only says what would become of each letter, and what that would add to the stock.
    #[arg(long)]
    pub dry_run: bool,

    /// Letters a second; without it, as fast as they are settled.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: Option<u32>,

    /// How long the rate takes to rise from nothing.
    #[arg(long, value_name = "D", requires = "rate", value_parser = humantime::parse_duration)]
    pub ramp: Option<Duration>,

    /// Stops once so many letters came back.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub abort_after: Option<u32>,
}

/// What `dead-letters discard` takes.
#[derive(Debug, Args)]
pub struct DeadLettersDiscardArgs {
    /// The message id, as `dead-letters list` prints it.
    #[arg(
        value_name = "ID",
        value_parser = parse_message_id,
        conflicts_with_all = ["DeadLettersListArgs", "all"]
    )]
    pub message: Option<MessageId>,

    /// Which letters.
    #[command(flatten)]
    pub selection: DeadLettersListArgs,

    /// Every dead letter.
    #[arg(
        long,
        required_unless_present_any = ["message", "DeadLettersListArgs"],
        conflicts_with = "DeadLettersListArgs"
    )]
    pub all: bool,
}

/// Which dead letters are listed; filters that are left out do not restrict.
#[derive(Debug, Args)]
pub struct DeadLettersListArgs {
    /// Only those of this reason, such as `decode.not_json`.
    #[arg(long, value_name = "CODE", value_parser = parse_code)]
    pub reason: Option<Code>,

    /// Only those of this site.
    #[arg(long, value_name = "SITE", value_parser = Site::parse)]
    pub site: Option<Site>,

    /// Only those that failed first before this time: RFC 3339, or so long ago as `2h` or `7d`.
    #[arg(long, value_name = "T", value_parser = PastTime::parse)]
    pub older_than: Option<PastTime>,

    /// Only the one of this message id; may be given several times.
    #[arg(long, value_name = "ID", value_parser = parse_message_id)]
    pub id: Vec<MessageId>,
}

/// What `config` can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Prints every setting in force and where it comes from; secrets are left out.
    Show,
    /// Checks the settings without starting anything.
    Check,
}

/// What `policy` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Prints the policy that the Store has in force.
    Show,
    /// Puts the configured policy in force and computes every order again.
    ///
    /// Workers that are configured otherwise stop consuming. Run again after a failure, it goes on
    /// where it stopped.
    Apply {
        /// Only says what would change in stock.
        #[arg(long)]
        dry_run: bool,
        /// Who.
        #[command(flatten)]
        by: ActorArgs,
    },
}

/// What `health` takes.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The address of the probes; without a path, `/readyz` is asked.
    #[arg(long, value_name = "U", value_parser = parse_address)]
    pub url: Url,
}

fn parse_code(text: &str) -> Result<Code, &'static str> {
    let code = Code::try_from(text.to_owned());
    code.map_err(|_| "is no reason; `storekeeper dead-letters groups` prints those there are")
}

fn parse_message_id(text: &str) -> Result<MessageId, &'static str> {
    let id = text.parse().map(MessageId);
    id.map_err(|_| "is no message id; `storekeeper dead-letters list` prints them")
}

/// An address that is spoken to in plain HTTP.
pub(super) fn parse_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok();
    match url {
        Some(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        Some(url) if url.scheme() == "https" => {
            Err("speaks plain HTTP only: give the address behind the TLS proxy")
        }
        Some(_) | None => Err("is no address such as http://HOST:PORT"),
    }
}
