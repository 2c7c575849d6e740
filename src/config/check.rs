//! Checks the ranges of settings, and the rules between settings.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::token::{BEARER_TOKEN_FORM, PATH_TOKEN_FORM, is_bearer_token, is_path_token};
use super::{ByteSize, LogFilter, Settings, SettingsError, value};

/// The largest body that may be allowed, in bytes: RabbitMQ's default for a message.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The smallest limit of queue and journal, or of the journal alone: some bodies of the largest
/// size must fit.
const QUEUE_BYTES_LEAST: ByteSize = ByteSize(64 * 1024 * 1024);
/// The most requests, or connections, at a time.
const CONNECTIONS_MAX: usize = 65_536;
/// The most secrets: each costs a signature's computation for every request.
const SECRETS_MAX: usize = 16;
/// The most tokens of the console: each is compared for every request.
const CONSOLE_TOKENS_MAX: usize = 64;
/// The largest prefetch: AMQP counts it in 16 bits.
const PREFETCH_MAX: usize = 65_535;
/// The most deliveries in one commit.
const BATCH_MAX: usize = 1024;
/// The most batches at a time.
const CONCURRENCY_MAX: usize = 256;
/// The highest delivery limit: with a higher one, no message would ever count as poison.
const DELIVERY_LIMIT_MAX: usize = 10_000;
/// The most rungs of the retry ladder.
const RUNGS_MAX: usize = 16;
/// How long Duda repeats a webhook that was not answered with 200.
const REPEATED_FOR: Duration = Duration::from_mins(9);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const DECADE: Duration = Duration::from_hours(24 * 3650);
const SHORTEST: Duration = Duration::from_millis(1);

impl Settings {
    /// Checks the ranges of settings and the rules between them; reports the first violation.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.embedded.path.as_os_str().is_empty() {
            return Err(self.fault("embedded.path", "must be a path in quotes, not \"\""));
        }
        for (setting, size) in [
            ("embedded.bytes_max", self.embedded.bytes_max),
            ("rabbitmq.journal_bytes_max", self.rabbitmq.journal_bytes_max),
        ] {
            if let Some(size) = size.filter(|size| *size < QUEUE_BYTES_LEAST) {
                let message = format!("must be at least {QUEUE_BYTES_LEAST}, not {size}");
                return Err(self.fault(setting, message));
            }
        }
        self.check_backend_urls()?;
        self.check_sources()?;
        self.check_ingress()?;
        self.check_console_tokens()?;
        self.check_listeners()?;
        let worker = &self.worker;
        self.within("worker.prefetch", worker.prefetch, PREFETCH_MAX)?;
        self.within("worker.batch_max", worker.batch_max, BATCH_MAX)?;
        self.within("worker.concurrency", worker.concurrency, CONCURRENCY_MAX)?;
        self.within("worker.delivery_limit", worker.delivery_limit, DELIVERY_LIMIT_MAX)?;
        self.lasting("worker.unacked_max_age", worker.unacked_max_age, SHORTEST, DAY)?;
        self.lasting("worker.drain_timeout", worker.drain_timeout, SHORTEST, HOUR)?;
        let rungs = self.retry.ladder.len();
        if !(1..=RUNGS_MAX).contains(&rungs) {
            let message = format!("must have 1 to {RUNGS_MAX} delays, not {rungs}");
            return Err(self.fault("retry.ladder", message));
        }
        for rung in &self.retry.ladder {
            self.lasting("retry.ladder", *rung, SHORTEST, DAY)?;
        }
        self.lasting("retry.max_age", self.retry.max_age, SHORTEST, DECADE)?;
        self.lasting("journal.retention", self.journal.retention, SHORTEST, DECADE)?;
        self.lasting("dead_letters.retention", self.dead_letters.retention, SHORTEST, DECADE)?;
        self.lasting("changes.retention", self.changes.retention, SHORTEST, DECADE)?;
        if let Some(retention) = self.orders.retention {
            self.lasting("orders.retention", retention, SHORTEST, DECADE)?;
        }
        self.lasting("journal.overlap", self.journal.overlap, SHORTEST, DECADE)?;
        self.check_key_precedence()?;
        LogFilter::parse(&self.log.level).map_err(|message| self.fault("log.level", message))?;
        Ok(())
    }

    fn check_ingress(&self) -> Result<(), SettingsError> {
        let ingress = &self.ingress;
        self.within("ingress.body_bytes_max", ingress.body_bytes_max, BODY_BYTES_MAX)?;
        self.check_reading()?;
        self.check_quotas()?;
        self.within("ingress.in_flight_max", ingress.in_flight_max, CONNECTIONS_MAX)?;
        self.within("ingress.connections_max", ingress.connections_max, CONNECTIONS_MAX)?;
        self.lasting("ingress.header_timeout", ingress.header_timeout, SHORTEST, HOUR)?;
        self.lasting("ingress.body_timeout", ingress.body_timeout, SHORTEST, HOUR)?;
        self.lasting("ingress.publish_timeout", ingress.publish_timeout, SHORTEST, HOUR)?;
        let shortest = REPEATED_FOR + SHORTEST;
        self.lasting("ingress.replay_window", ingress.replay_window, shortest, DAY).map_err(
            |mut error| {
                error.message.push_str("; Duda repeats a webhook for up to 9 minutes");
                error
            },
        )?;
        if ingress.secrets.len() > SECRETS_MAX {
            let message = format!("has more than {SECRETS_MAX} secrets; drop those that expired");
            return Err(self.fault("ingress.secrets", message));
        }
        if let Some(token) = &ingress.path_token
            && !is_path_token(token.expose_secret())
        {
            return Err(self.fault("ingress.path_token", format!("must be {PATH_TOKEN_FORM}")));
        }
        self.check_credentials()?;
        if ingress.is_open() && !ingress.allow_unsigned && !is_loopback(ingress.listen) {
            let message = format!(
                "{} is open to others and webhooks are not verified; set \
                 ingress.secrets, ingress.path_token or ingress.credentials, or listen on \
                 127.0.0.1, or accept it with ingress.allow_unsigned = true",
                ingress.listen
            );
            return Err(self.fault("ingress.listen", message));
        }
        Ok(())
    }

    /// With less room than one body needs, the largest bodies could never be read.
    fn check_reading(&self) -> Result<(), SettingsError> {
        let least = ByteSize(u64::try_from(self.ingress.body_bytes_max).unwrap_or(u64::MAX));
        let size = self.ingress.reading_bytes_max;
        if size >= least {
            return Ok(());
        }
        let message = format!("must be at least ingress.body_bytes_max, {least}, not {size}");
        Err(self.fault("ingress.reading_bytes_max", message))
    }

    /// A body that is larger than the quota would be refused however often it is repeated.
    fn check_quotas(&self) -> Result<(), SettingsError> {
        let ingress = &self.ingress;
        if ingress.quota_per_minute == Some(0) {
            return Err(self.fault("ingress.quota_per_minute", "must be at least 1, not 0"));
        }
        let least = ByteSize(u64::try_from(ingress.body_bytes_max).unwrap_or(u64::MAX));
        if let Some(size) = ingress.quota_bytes_per_minute.filter(|size| *size < least) {
            let message = format!("must be at least ingress.body_bytes_max, {least}, not {size}");
            return Err(self.fault("ingress.quota_bytes_per_minute", message));
        }
        Ok(())
    }

    fn check_console_tokens(&self) -> Result<(), SettingsError> {
        let (setting, tokens) = ("console.tokens", &self.console.tokens);
        if tokens.len() > CONSOLE_TOKENS_MAX {
            return Err(self.fault(setting, format!("has more than {CONSOLE_TOKENS_MAX} tokens")));
        }
        for (place, token) in tokens.iter().enumerate() {
            let (text, item) = (token.token.expose_secret(), place + 1);
            if !is_bearer_token(text) {
                let message = format!("item {item} must have {BEARER_TOKEN_FORM} after the colon");
                return Err(self.fault(setting, message));
            }
            if tokens.iter().take(place).any(|other| other.token.expose_secret() == text) {
                let message = format!("item {item} is there twice; a token has one role");
                return Err(self.fault(setting, message));
            }
        }
        Ok(())
    }

    fn check_listeners(&self) -> Result<(), SettingsError> {
        if self.console.tokens.is_empty() && !is_loopback(self.console.listen) {
            let message = format!(
                "must be a loopback address, as 127.0.0.1:8081, not {}, unless console.tokens \
                 is set",
                self.console.listen
            );
            return Err(self.fault("console.listen", message));
        }
        let listeners = [
            ("ingress.listen", self.ingress.listen),
            ("console.listen", self.console.listen),
            ("probes.listen", self.probes.listen),
        ];
        for (place, (setting, address)) in listeners.iter().enumerate() {
            let taken = listeners.iter().take(place).find(|(_, other)| other == address);
            if let (Some((other, _)), true) = (taken, address.port() != 0) {
                return Err(self.fault(setting, format!("{address} is also {other}")));
            }
        }
        Ok(())
    }

    fn check_key_precedence(&self) -> Result<(), SettingsError> {
        let Some(kinds) = &self.stock.key_precedence else { return Ok(()) };
        let setting = "stock.key_precedence";
        if kinds.is_empty() {
            return Err(self.fault(setting, "is empty; without a key nothing would be counted"));
        }
        for (place, kind) in kinds.iter().enumerate() {
            if kinds.iter().take(place).any(|earlier| earlier == kind) {
                return Err(self.fault(setting, format!("has {:?} twice", kind.as_str())));
            }
        }
        Ok(())
    }

    fn within(&self, setting: &str, value: usize, max: usize) -> Result<(), SettingsError> {
        if (1..=max).contains(&value) {
            return Ok(());
        }
        Err(self.fault(setting, format!("must be from 1 to {max}, not {value}")))
    }

    fn lasting(
        &self,
        setting: &str,
        value: Duration,
        min: Duration,
        max: Duration,
    ) -> Result<(), SettingsError> {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        let [value, min, max] = [value, min, max].map(value::duration_text);
        Err(self.fault(setting, format!("must be from {min} to {max}, not {value}")))
    }

    pub(super) fn fault(&self, setting: &str, message: impl Into<String>) -> SettingsError {
        SettingsError {
            subject: setting.to_owned(),
            message: message.into(),
            origin: self.origins.get(setting).cloned(),
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Role;
    use super::super::tests::{error, load};
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        let settings = Settings::load_from(None, []).unwrap();
        assert_eq!(settings.policy(), crate::domain::ProposedPolicy::default());
        assert_eq!(settings.retry.ladder.len(), 4);
    }

    #[test]
    fn the_example_for_production_loads_as_it_is_and_the_images_once_it_has_a_secret() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        Settings::load_from(Some(&root.join("production.example.toml")), []).unwrap();
        let image = root.join("image.toml");
        let text = Settings::load_from(Some(&image), []).unwrap_err().to_string();
        assert!(text.starts_with("ingress.listen: 0.0.0.0:8080 is open to others"), "{text}");
        let variable = ("STOREKEEPER__INGRESS__SECRETS".into(), "bXlzZWNyZXRzZWNyZXQ=".into());
        let settings = Settings::load_from(Some(&image), [variable]).unwrap();
        assert_eq!(settings.ingress.secrets.len(), 1);
    }

    #[test]
    fn an_open_ingress_needs_a_secret_a_token_or_consent() {
        let open = "ingress.listen = \"0.0.0.0:8080\"";
        assert!(error(open, &[]).starts_with("ingress.listen: 0.0.0.0:8080 is open to others"));
        for consent in [
            "secrets = \"b3RoZXI=\"",
            "path_token = \"a-token-of-16-characters\"",
            "allow_unsigned = true",
        ] {
            load(&format!("{open}\ningress.{consent}"), &[]).unwrap();
        }
        for loopback in ["127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            load(&format!("ingress.listen = \"{loopback}\""), &[]).unwrap();
        }
    }

    #[test]
    fn without_tokens_the_console_stays_on_loopback() {
        let text = error("console.listen = \"192.168.0.1:8081\"", &[]);
        assert!(text.starts_with("console.listen: must be a loopback address"), "{text}");
        assert!(text.ends_with("settings.toml)"), "{text}");
        let token =
            [("STOREKEEPER__CONSOLE__TOKENS", "read:a-token-of-16-ch,operate:Zm9vYmFyZm9vYmFy+/=")];
        let settings = load("console.listen = \"192.168.0.1:8081\"", &token).unwrap();
        let roles: Vec<Role> = settings.console.tokens.iter().map(|token| token.role).collect();
        assert_eq!(roles, [Role::Read, Role::Operate]);
    }

    #[test]
    fn two_listeners_share_an_address_only_by_port_0() {
        let text = error("", &[("STOREKEEPER__PROBES__LISTEN", "127.0.0.1:8080")]);
        let expected = "probes.listen: 127.0.0.1:8080 is also ingress.listen \
                        (from STOREKEEPER__PROBES__LISTEN)";
        assert_eq!(text, expected);
        let any = "127.0.0.1:0";
        load("", &[("STOREKEEPER__PROBES__LISTEN", any), ("STOREKEEPER__INGRESS__LISTEN", any)])
            .unwrap();
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_the_range() {
        let tokens: Vec<String> =
            (0..65).map(|number| format!("\"read:a-token-of-16-ch-{number}\"")).collect();
        let tokens = format!("console.tokens = [{}]", tokens.join(","));
        let many = format!("ingress.secrets = [{}]", "\"b3RoZXI=\",".repeat(17));
        for (content, expected) in [
            ("embedded.bytes_max = 1", "embedded.bytes_max: must be at least 64MiB, not 1"),
            (
                "rabbitmq.journal_bytes_max = \"63MiB\"",
                "rabbitmq.journal_bytes_max: must be at least 64MiB, not 63MiB",
            ),
            ("embedded.bytes_max = \"2GB\"", "embedded.bytes_max: must be a number of bytes, as"),
            ("ingress.body_bytes_max = 0", "ingress.body_bytes_max: must be from 1 to 16777216"),
            (
                "ingress.reading_bytes_max = \"512KiB\"",
                "ingress.reading_bytes_max: must be at least ingress.body_bytes_max, 1MiB, not 512KiB",
            ),
            ("ingress.quota_per_minute = 0", "ingress.quota_per_minute: must be at least 1, not 0"),
            (
                "ingress.quota_bytes_per_minute = \"1023KiB\"",
                "ingress.quota_bytes_per_minute: must be at least ingress.body_bytes_max, 1MiB,",
            ),
            ("ingress.in_flight_max = 0", "ingress.in_flight_max: must be from 1 to 65536"),
            ("ingress.connections_max = 65537", "ingress.connections_max: must be from 1 to 65536"),
            ("ingress.header_timeout = \"0s\"", "ingress.header_timeout: must be from 1ms to 1h"),
            ("ingress.body_timeout = \"2h\"", "ingress.body_timeout: must be from 1ms to 1h"),
            ("ingress.publish_timeout = \"0s\"", "ingress.publish_timeout: must be from 1ms to"),
            ("ingress.replay_window = \"9m\"", "ingress.replay_window: must be from 9m 1ms to 24h"),
            (many.as_str(), "ingress.secrets: has more than 16 secrets"),
            (tokens.as_str(), "console.tokens: has more than 64 tokens"),
            (
                "ingress.path_token = \"a-token-of-15-c\"",
                "ingress.path_token: must be 16 to 256 letters, digits or -._~, long and random",
            ),
            (
                "console.tokens = [\"read:a-token-of-16-ch\", \"operate:a-token-of-15-c\"]",
                "console.tokens: item 2 must have 16 to 256 letters, digits or -._~+/, long and",
            ),
            ("worker.prefetch = 65536", "worker.prefetch: must be from 1 to 65535, not 65536"),
            ("worker.batch_max = 0", "worker.batch_max: must be from 1 to 1024, not 0"),
            ("worker.concurrency = 0", "worker.concurrency: must be from 1 to 256, not 0"),
            ("worker.delivery_limit = 0", "worker.delivery_limit: must be from 1 to 10000, not 0"),
            ("worker.drain_timeout = \"0s\"", "worker.drain_timeout: must be from 1ms to 1h"),
            ("retry.ladder = []", "retry.ladder: must have 1 to 16 delays, not 0"),
            ("retry.ladder = [\"0s\"]", "retry.ladder: must be from 1ms to 24h, not 0s"),
            ("retry.max_age = \"0s\"", "retry.max_age: must be from 1ms to 3650d, not 0s"),
            ("journal.retention = \"20y\"", "journal.retention: must be from 1ms to 3650d"),
            ("orders.retention = \"0s\"", "orders.retention: must be from 1ms to 3650d, not 0s"),
            ("orders.retention = 9", "orders.retention: must be \"never\" or a duration, as"),
            ("journal.overlap = \"20y\"", "journal.overlap: must be from 1ms to 3650d"),
            ("stock.key_precedence = []", "stock.key_precedence: is empty"),
            ("stock.key_precedence = \"sku,sku\"", "stock.key_precedence: has \"sku\" twice"),
            ("log.level = \"loud\"", "log.level: must be off, error, warn"),
        ] {
            let text = error(content, &[]);
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
