//! `orders`: what orders hold and why, and how people correct it.

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

/// What `orders` can do.
#[derive(Debug, Subcommand)]
pub enum OrdersCommands {
    /// Reads.
    #[command(flatten)]
    Read(OrdersCommand),
    /// Corrects.
    #[command(flatten)]
    Change(CorrectionCommand),
}

/// What `orders` can do that changes nothing.
#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// Lists orders, the one that was changed last first.
    List(OrdersListArgs),
    /// Shows what an order holds and why, and every event of it.
    Show {
        /// The shop, as Duda names it in `site_name`.
        #[arg(value_name = "SITE", value_parser = Site::parse)]
        site: Site,
        /// Any name of the order: its id, external id or invoice number, bare or as `id:1234`.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Which orders are listed; filters that are left out do not restrict.
#[derive(Debug, Default, Args)]
pub struct OrdersListArgs {
    /// Only this site's.
    #[arg(value_name = "SITE", value_parser = Site::parse)]
    pub site: Option<Site>,

    /// Only those whose latest snapshot says this status, in any case.
    #[arg(long, value_name = "S")]
    pub status: Option<String>,

    /// Only those whose last change is older than this, oldest first: an age such as `2h` or `7d`,
    /// or a time in RFC 3339.
    #[arg(long, value_name = "D", value_parser = PastTime::parse)]
    pub older_than: Option<PastTime>,

    /// Only those in one list.
    #[command(flatten)]
    pub flag: FlagArgs,

    /// Only those one of whose names begins so, in any case, with or without its kind.
    #[arg(long, value_name = "Q")]
    pub query: Option<String>,
}

/// In which list orders must be; in one at most.
#[derive(Debug, Default, Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct FlagArgs {
    /// Only those whose latest snapshot is the latest only by its fingerprint.
    #[arg(long)]
    pub ambiguous: bool,
    /// Only those one of whose names was seen beside another order's id.
    #[arg(long)]
    pub contested: bool,
    /// Only those with a snapshot that is newer than their deletion.
    #[arg(long)]
    pub after_deletion: bool,
    /// Only those with a line that has no stock key.
    #[arg(long)]
    pub unmapped: bool,
    /// Only those of which no snapshot is known, but refunds, corrections or notices.
    #[arg(long)]
    pub waiting: bool,
    /// Only those that a person corrected.
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

/// Does what `orders` was told to that changes nothing.
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
