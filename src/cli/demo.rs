//! `demo`: starts a fresh server, posts a shuffled history to it, and reports the result.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Url;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::plural::counted;
use super::{DemoArgs, ExitStatus, Format, serve};
use crate::app::signals::Signals;
use crate::app::telemetry;
use crate::app::{App, Roles};
use crate::broker::Broker;
use crate::config::Settings;
use crate::domain::{Identifier, Note, Quantity, ReceiptContent, ReceiptId, Site, StockKey};
use crate::requests::receipts;
use crate::simulate::model::{ModelPolicy, Receipt};
use crate::simulate::runner::{Afterwards, ConsoleAddress, Options, Pace};
use crate::simulate::{self, History, HistoryOptions, Report};
use crate::store::Store;
use crate::upkeep::audit;

/// Concurrent requests.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// The source of the envelopes of the opening stock.
const SOURCE: &str = "demo";
/// How many of a thousand webhooks are sent again.
const DUPLICATES_PER_MILLE: u64 = 250;
/// How long a webhook is retried, and how long the queues may take to become empty.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Serves from a temporary directory, simulates against it, and stays up unless `--exit` is given.
///
/// It has settings of its own: a file of settings is refused rather than ignored.
pub async fn run(
    args: &DemoArgs,
    config: Option<&Path>,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    if let Some(config) = config.map(Path::display) {
        bail!(
            "the demo has settings of its own and reads none from {config}: leave out --config, or \
             unset STOREKEEPER_CONFIG"
        );
    }
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let settings = settings(&directory)?;
    let logs = telemetry::init(&settings.log)?;
    let signals = Signals::install()?;
    let app = App::start(settings, Roles::All).await?;
    let addresses = app.addresses()?;
    let served = addresses.ingress.zip(addresses.console);
    let (ingress, console) = served.context("the demo has an ingress and a console")?;
    let store = app.store().context("the demo has a store")?;
    let backends = (app.broker(), store);
    let directory = directory.path();
    let served = Served { directory, ingress, console, probes: addresses.probes };
    let stop = CancellationToken::new();
    let serving = async {
        let drained = app.run(None, stop.clone()).await;
        // A server that has ended by itself has nothing more to show.
        stop.cancel();
        drained
    };
    let showing = async {
        let shown = show(args, &served, &backends, &stop, output).await;
        // The server must always be stopped in order.
        stop.cancel();
        shown
    };
    let (drained, shown) = tokio::select! {
        both = async { tokio::join!(serving, showing) } => both,
        never = signals.watch(stop.clone()) => never,
        never = logs.report() => never,
    };
    logs.report_now();
    let (drained, shown) = (drained?, shown?);
    Ok(if shown == ExitStatus::Done { serve::exit_status(drained) } else { shown })
}

/// The defaults on free ports, with a quiet log that does not disturb the report.
fn settings(directory: &tempfile::TempDir) -> anyhow::Result<Settings> {
    let mut settings = Settings::load_from(None, [])?;
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    settings.embedded.path = directory.path().into();
    settings.ingress.listen = free_port;
    settings.console.listen = free_port;
    settings.probes.listen = free_port;
    settings.log.level = "error".into();
    settings.validate()?;
    Ok(settings)
}

/// Where the demo's own server keeps its files and listens.
struct Served<'a> {
    directory: &'a Path,
    ingress: SocketAddr,
    console: SocketAddr,
    probes: SocketAddr,
}

impl Served<'_> {
    /// What a person can look at while it is up.
    fn write(&self, site: Option<&Site>, output: &mut Output<'_>) -> io::Result<()> {
        let Self { directory, ingress, console, probes } = self;
        let directory = directory.display();
        let site = site.map_or("SITE", Site::as_str);
        output.say(format_args!(
            "Still up until Ctrl-C, in {directory}:\n  webhooks      \
             http://{ingress}/webhooks/duda\n  operator API  http://{console}/v1/sites\n  metrics  \
             \u{20}    http://{probes}/metrics\nIn another terminal, try:\n  export \
             STOREKEEPER__EMBEDDED__PATH={directory}\n  storekeeper stock list {site}\n  \
             storekeeper dead-letters groups\n  storekeeper changes {site} --follow"
        ))
    }
}

async fn show(
    args: &DemoArgs,
    served: &Served<'_>,
    (broker, store): &(Arc<dyn Broker>, Arc<dyn Store>),
    stop: &CancellationToken,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitStatus> {
    // Short enough to retype.
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u16>()));
    let history = History::write(HistoryOptions {
        seed,
        orders: args.orders,
        duplicates_per_mille: DUPLICATES_PER_MILLE,
    });
    let simulated = simulate(&history, served, broker, output.teller());
    let simulated = stop.run_until_cancelled(simulated).await;
    // A signal arrived before the end: there is nothing to report.
    let Some(report) = simulated else { return Ok(ExitStatus::Done) };
    let report = report?;
    match output.format {
        Format::Table => report.write_text(output.out)?,
        Format::Json => report.write_json(output.out)?,
    }
    let sites = store.sites().await.context("cannot list the sites")?;
    say_audit(&**store, &sites, output).await?;
    output.say(format_args!(
        "`storekeeper demo --seed {seed} --orders {}` shows this history again.",
        args.orders
    ))?;
    if !args.exit {
        served.write(sites.first(), output)?;
        stop.cancelled().await;
    }
    Ok(if report.holds() { ExitStatus::Done } else { ExitStatus::NotHeld })
}

/// Says what `storekeeper audit` would: the history is not all that the Store knows. Items that hold
/// nothing exist there too, and so do orders of which only a refund was sent, or another name.
async fn say_audit(
    store: &dyn Store,
    sites: &[Site],
    output: &mut Output<'_>,
) -> anyhow::Result<()> {
    let (mut items, mut orders, mut differences) = (0, 0, 0);
    for site in sites {
        let found = audit::site(store, site, |_| ()).await;
        let found = found.with_context(|| format!("cannot audit {site}"))?;
        items += found.items;
        orders += found.orders;
        differences += found.differences_count;
    }
    output.say(format_args!(
        "The Store has {} and {}, those included that hold nothing; an audit finds {}.",
        counted(items, "stock item", "stock items"),
        counted(orders, "order", "orders"),
        counted(differences, "difference", "differences")
    ))?;
    Ok(())
}

async fn simulate(
    history: &History,
    served: &Served<'_>,
    broker: &Arc<dyn Broker>,
    tell: impl Fn(&str),
) -> anyhow::Result<Report> {
    let mut received = Vec::new();
    for goods in history.opening_stock() {
        let site = Site::parse(&goods.item.site)?;
        let receipt = ReceiptId {
            key: StockKey::parse(&goods.item.key)?,
            reference: Identifier::parse(goods.reference)?,
        };
        let quantity = Quantity::exact(&goods.quantity.to_string())?;
        let content = ReceiptContent::Goods { quantity };
        let envelope = receipts::envelope(&site, &receipt, content, &Note::default(), SOURCE);
        received.push(Receipt {
            item: goods.item.clone(),
            reference: goods.reference.to_owned(),
            message_id: envelope.message_id.to_string(),
            quantity: goods.quantity,
        });
        broker.publish(envelope).await?;
    }
    let console =
        ConsoleAddress { url: Url::parse(&format!("http://{}", served.console))?, token: None };
    let options = Options {
        url: Url::parse(&format!("http://{}", served.ingress))?,
        secret: None,
        pace: Pace { concurrency: CONCURRENCY, rate: None },
        timeout: TIMEOUT,
        afterwards: Afterwards::Compare(console),
        policy: ModelPolicy::default(),
        goods: Some(received),
        has_progress: true,
    };
    Ok(simulate::run(history, options, tell).await?)
}
