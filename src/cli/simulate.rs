//! `simulate`: posts a generated history to a running ingress and reports the result.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use reqwest::Url;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use secrecy::{SecretBox, SecretString};

use super::args::parse_address;
use super::output::Output;
use super::{ExitStatus, Format};
use crate::simulate::history::{History, HistoryOptions};
use crate::simulate::model::ModelPolicy;
use crate::simulate::runner::{Afterwards, ConsoleAddress, Options, Pace};
use crate::simulate::{self, SimulateError};

/// The options of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The ingress to post to; without a path, /webhooks/duda is used.
    #[arg(long, value_name = "U", value_parser = parse_address)]
    pub url: Url,

    /// The console from which to read the stock afterwards.
    #[arg(long, value_name = "URL", value_parser = parse_address)]
    pub console: Option<Url>,

    /// A console token of role read.
    #[arg(long, value_name = "T", requires = "console", hide_env_values = true)]
    #[arg(env = "STOREKEEPER_SIMULATE_TOKEN")]
    pub token: Option<SecretString>,

    /// How many orders to generate; each leads to about five webhooks.
    #[arg(long, value_name = "N", default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub orders: u32,

    /// The seed of the history: the same seed and orders give the same bytes everywhere.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,

    /// The share of webhooks that are sent again, and of those again: from 0 to 1.
    #[arg(long, value_name = "R", default_value = "0.2", value_parser = parse_per_mille)]
    pub duplicates: u64,

    /// How many webhooks to send per second; by default, as many as possible.
    #[arg(long, value_name = "R")]
    pub rate: Option<NonZeroU32>,

    /// How many requests to send concurrently.
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN.saturating_add(31))]
    pub concurrency: NonZeroUsize,

    /// The secret that webhooks are signed with, in base64 as Duda issues it.
    #[arg(long, value_name = "B64", hide_env_values = true)]
    #[arg(env = "STOREKEEPER_SIMULATE_SECRET")]
    pub secret: Option<SecretString>,

    /// Compare the stock and the dead letters with the model, which assumes the default policy.
    ///
    /// Received goods are not compared, as webhooks do not report them.
    #[arg(long, requires = "console")]
    pub check: bool,

    /// How long to retry a webhook, and how long to wait for the queues to become empty.
    #[arg(long, value_name = "D", default_value = "2m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

impl SimulateArgs {
    /// The history to post.
    pub const fn history(&self) -> HistoryOptions {
        HistoryOptions {
            seed: self.seed,
            orders: self.orders,
            duplicates_per_mille: self.duplicates,
        }
    }

    /// How to post it.
    ///
    /// # Errors
    /// If the secret is not base64, or empty.
    pub fn options(self) -> anyhow::Result<Options> {
        let secret = self.secret.as_ref().map(decode_secret).transpose()?;
        let console = self.console.map(|url| ConsoleAddress { url, token: self.token });
        let afterwards = match console {
            None => Afterwards::Nothing,
            Some(address) if self.check => Afterwards::Compare(address),
            Some(address) => Afterwards::List(address),
        };
        Ok(Options {
            url: self.url,
            secret,
            pace: Pace { concurrency: self.concurrency, rate: self.rate },
            timeout: self.timeout,
            afterwards,
            policy: ModelPolicy::default(),
            // Webhooks report no received goods, and no other source is known.
            goods: None,
            has_progress: true,
        })
    }
}

/// Runs the command.
///
/// # Errors
/// If an option is wrong, or the run has no result (a [`SimulateError`], for which see
/// [`exit_status`]).
pub async fn run(args: SimulateArgs, output: &mut Output<'_>) -> anyhow::Result<ExitStatus> {
    let history = args.history();
    let options = args.options()?;
    let report = simulate::run(&History::write(history), options, output.teller()).await?;
    match output.format {
        Format::Table => report.write_text(output.out)?,
        Format::Json => report.write_json(output.out)?,
    }
    Ok(if report.holds() { ExitStatus::Done } else { ExitStatus::NotHeld })
}

/// The exit status of a run without a result.
pub const fn exit_status(error: &SimulateError) -> ExitStatus {
    if error.is_unreachable() { ExitStatus::Unreachable } else { ExitStatus::NotHeld }
}

/// Parses a share such as `0.2`, in thousandths.
fn parse_per_mille(text: &str) -> Result<u64, String> {
    let part = text.parse::<Decimal>().ok().filter(|part| *part <= Decimal::ONE);
    let per_mille = part.and_then(|part| (part * Decimal::ONE_THOUSAND).to_u64());
    per_mille.ok_or_else(|| "is not a number from 0 to 1".to_owned())
}

fn decode_secret(secret: &SecretString) -> anyhow::Result<SecretBox<[u8]>> {
    use secrecy::ExposeSecret;
    let decoded = STANDARD.decode(secret.expose_secret()).ok().filter(|bytes| !bytes.is_empty());
    let decoded = decoded.context("--secret is not base64; give it as Duda issued it")?;
    Ok(SecretBox::new(decoded.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: SimulateArgs,
    }

    fn parse(line: &str) -> Result<SimulateArgs, clap::Error> {
        let words = std::iter::once("simulate").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args)
    }

    #[test]
    fn options_have_sensible_defaults() {
        let args = parse("--url http://127.0.0.1:8080").unwrap();
        let history = HistoryOptions { seed: 1, orders: 2000, duplicates_per_mille: 200 };
        assert_eq!(args.history(), history);
        let options = args.options().unwrap();
        assert_eq!(options.pace.concurrency.get(), 32);
        assert_eq!(options.timeout, Duration::from_mins(2));
        assert!(matches!(options.afterwards, Afterwards::Nothing));
        assert!(options.secret.is_none());
    }

    #[test]
    fn the_console_is_compared_only_when_asked() {
        let args = |check| format!("--url http://h:1 --console http://h:2 --token t {check}");
        let options = parse(&args("")).unwrap().options().unwrap();
        assert!(matches!(options.afterwards, Afterwards::List(_)));
        let options = parse(&args("--check")).unwrap().options().unwrap();
        assert!(matches!(options.afterwards, Afterwards::Compare(_)));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for line in [
            "",
            "--url localhost:8080",
            "--url https://example.com",
            "--url http://h:1 --check",
            "--url http://h:1 --token t",
            "--url http://h:1 --duplicates 1.5",
            "--url http://h:1 --duplicates -0.1",
            "--url http://h:1 --duplicates many",
            "--url http://h:1 --orders 0",
            "--url http://h:1 --rate 0",
            "--url http://h:1 --concurrency 0",
            "--url http://h:1 --timeout soon",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        for secret in ["???", ""] {
            let mut args = parse("--url http://h:1").unwrap();
            args.secret = Some(SecretString::from(secret));
            let error = args.options().unwrap_err().to_string();
            assert_eq!(error, "--secret is not base64; give it as Duda issued it");
        }
    }
}
