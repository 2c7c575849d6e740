//! `orders`: shows what orders hold and why, and corrects it.

mod correct;
mod list;
mod show;

use clap::{Args, Subcommand};

use super::ExitStatus;
use super::output::Output;
use crate::clock::PastTime;
use crate::domain::{List, Site, Timestamp};
use crate::store::Store;

pub use correct::{CorrectionArgs, CorrectionCommand, run as correct};

/// The commands of `orders`.
#[derive(Debug, Subcommand)]
pub enum OrdersCommands {
    /// Those that only read.
    #[command(flatten)]
    Read(OrdersCommand),
    /// Those that correct an order.
    #[command(flatten)]
    Change(CorrectionCommand),
}

/// The commands of `orders` that only read.
#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// List orders, the most recently changed first.
    List(OrdersListArgs),
    /// Show what an order holds and why, and all its events.
    Show {
        /// The shop, as Duda names it in `site_name`.
        #[arg(value_name = "SITE", value_parser = Site::parse)]
        site: Site,
        /// Any name of the order: its id, external id or invoice number, bare or as `id:1234`.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Filters of orders; all that are given must match.
#[derive(Debug, Default, Args)]
pub struct OrdersListArgs {
    /// Only orders of this site.
    #[arg(value_name = "SITE", value_parser = Site::parse)]
    pub site: Option<Site>,

    /// Only orders whose latest snapshot has this status; case is ignored.
    #[arg(long, value_name = "S")]
    pub status: Option<String>,

    /// Only orders whose last change is older than this, oldest first: an age such as `2h`, or a
    /// time in RFC 3339.
    #[arg(long, value_name = "D", value_parser = PastTime::parse)]
    pub older_than: Option<PastTime>,

    /// Only orders with one flag.
    #[command(flatten)]
    pub flag: FlagArgs,

    /// Only orders with a name that starts with this, with or without its kind; case is ignored.
    #[arg(long, value_name = "Q")]
    pub query: Option<String>,
}

/// The flag that orders must have; at most one.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct FlagArgs {
    /// Only orders whose latest snapshot was chosen only by its fingerprint.
    #[arg(long)]
    pub ambiguous: bool,
    /// Only orders with a name that was seen beside another order's id.
    #[arg(long)]
    pub contested: bool,
    /// Only orders with a snapshot that is newer than their deletion.
    #[arg(long)]
    pub after_deletion: bool,
    /// Only orders with a line that has no stock key.
    #[arg(long)]
    pub unmapped: bool,
    /// Only orders without a snapshot, of which only refunds, corrections or notices are known.
    #[arg(long)]
    pub waiting: bool,
    /// Only orders that a person corrected.
    #[arg(long)]
    pub corrected: bool,
}

impl FlagArgs {
    fn list(&self) -> Option<List> {
        let flags = [
            (self.ambiguous, List::Ambiguous),
            (self.contested, List::Contested),
            (self.after_deletion, List::AfterDeletion),
            (self.unmapped, List::Unmapped),
            (self.waiting, List::Waiting),
            (self.corrected, List::Corrected),
        ];
        flags.into_iter().find_map(|(is_asked, list)| is_asked.then_some(list))
    }
}

/// Runs an `orders` command that only reads.
pub async fn run(
    store: &dyn Store,
    command: &OrdersCommand,
    now: Timestamp,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    match command {
        OrdersCommand::List(args) => list::run(store, args, now, output).await,
        OrdersCommand::Show { site, name } => show::run(store, site, name, output).await,
    }
}
