//! Making sense of the merged tree: each setting by its name, each value by its type.
//!
//! serde could fill the structs, but config-rs then reads `true` as 1 and 2.5 as 3, does not say
//! where a value comes from, and quotes it in errors, secrets too. So a [`Section`] hands out
//! values by name and refuses what is left over, and each type is a [`Setting`] that says what it
//! allows.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::layers::parse;
use super::value::Setting;
use super::{
    ChangesSettings, ConsoleSettings, DeadLetterSettings, EmbeddedSettings, IngressSettings,
    JournalSettings, LogSettings, OrderSettings, ProbeSettings, RabbitmqSettings, RedisSettings,
    RefundSettings, RetrySettings, Settings, SettingsError, SourceSettings, StockSettings,
    WorkerSettings,
};

impl Settings {
    pub(super) fn read(
        merged: Value,
        origins: BTreeMap<String, String>,
    ) -> Result<Self, SettingsError> {
        let mut root = Section::new(String::new(), merged)?;
        let settings = Self {
            // First, so that settings of another backend are not what is complained about.
            backend: root.take("backend")?,
            embedded: root.section("embedded", |s| {
                let (path, bytes_max) = (s.take("path")?, s.take_optional("bytes_max")?);
                Ok(EmbeddedSettings { path, bytes_max })
            })?,
            rabbitmq: root.section("rabbitmq", |s| {
                Ok(RabbitmqSettings {
                    url: s.take("url")?,
                    namespace: s.take("namespace")?,
                    management_url: s.take_optional("management_url")?,
                    journal_bytes_max: s.take_optional("journal_bytes_max")?,
                })
            })?,
            redis: root.section("redis", |s| {
                Ok(RedisSettings {
                    url: s.take("url")?,
                    mode: s.take("mode")?,
                    sentinel_master: s.take("sentinel_master")?,
                    prefix: s.take("prefix")?,
                    allow_volatile: s.take("allow_volatile")?,
                })
            })?,
            ingress: root.section("ingress", read_ingress)?,
            worker: root.section("worker", |s| {
                Ok(WorkerSettings {
                    prefetch: s.take("prefetch")?,
                    batch_max: s.take("batch_max")?,
                    concurrency: s.take("concurrency")?,
                    delivery_limit: s.take("delivery_limit")?,
                    hold_max: s.take("hold_max")?,
                    drain_timeout: s.take("drain_timeout")?,
                })
            })?,
            retry: root.section("retry", |s| {
                Ok(RetrySettings { ladder: s.take("ladder")?, max_age: s.take("max_age")? })
            })?,
            stock: root.section("stock", |s| {
                Ok(StockSettings { key_precedence: s.take_optional("key_precedence")? })
            })?,
            orders: root.section("orders", |s| {
                Ok(OrderSettings {
                    test_mode: s.take_optional("test_mode")?,
                    cancelled: s.take_optional("cancelled")?,
                    deleted: s.take_optional("deleted")?,
                    retention: s.take("retention")?,
                })
            })?,
            refunds: root.section("refunds", |s| {
                Ok(RefundSettings { restock: s.take_optional("restock")? })
            })?,
            journal: root.section("journal", |s| {
                Ok(JournalSettings { retention: s.take("retention")?, overlap: s.take("overlap")? })
            })?,
            dead_letters: root.section("dead_letters", read_dead_letters)?,
            changes: root.section("changes", read_changes)?,
            console: root.section("console", |s| {
                Ok(ConsoleSettings { listen: s.take("listen")?, tokens: s.take("tokens")? })
            })?,
            probes: root.section("probes", |s| Ok(ProbeSettings { listen: s.take("listen")? }))?,
            log: root.section("log", |s| {
                Ok(LogSettings { format: s.take("format")?, level: s.take("level")? })
            })?,
            origins,
        };
        root.finish()?;
        Ok(settings)
    }
}

fn read_dead_letters(section: &mut Section) -> Result<DeadLetterSettings, SettingsError> {
    Ok(DeadLetterSettings {
        retention: section.take("retention")?,
        bytes_max: section.take_optional("bytes_max")?,
    })
}

fn read_changes(section: &mut Section) -> Result<ChangesSettings, SettingsError> {
    Ok(ChangesSettings {
        retention: section.take("retention")?,
        announce: section.take("announce")?,
    })
}

fn read_ingress(section: &mut Section) -> Result<IngressSettings, SettingsError> {
    Ok(IngressSettings {
        listen: section.take("listen")?,
        secrets: section.take("secrets")?,
        path_token: section.take_optional("path_token")?,
        sources: section.tables("sources", read_source)?,
        allow_unsigned: section.take("allow_unsigned")?,
        replay_window: section.take("replay_window")?,
        expired: section.take("expired")?,
        body_bytes_max: section.take("body_bytes_max")?,
        body_timeout: section.take("body_timeout")?,
        header_timeout: section.take("header_timeout")?,
        publish_timeout: section.take("publish_timeout")?,
        reading_bytes_max: section.take("reading_bytes_max")?,
        in_flight_max: section.take("in_flight_max")?,
        connections_max: section.take("connections_max")?,
    })
}

fn read_source(section: &mut Section) -> Result<SourceSettings, SettingsError> {
    Ok(SourceSettings {
        name: section.take("name")?,
        secrets: section.take_optional("secrets")?.unwrap_or_default(),
        path_token: section.take_optional("path_token")?,
        sites: section.take_optional("sites")?,
    })
}

/// The settings under one heading, of which none may be left over.
struct Section {
    /// The heading; empty for the top of the tree.
    path: String,
    values: Map<String, Value>,
    /// The names that were asked for.
    names: Vec<&'static str>,
}

impl Section {
    fn new(path: String, value: Value) -> Result<Self, SettingsError> {
        let origin = origin_of(&value);
        let ValueKind::Table(values) = value.kind else {
            let message = format!("is a section; set its settings, as `{path}.<name>`");
            return Err(SettingsError { subject: path, message, origin });
        };
        Ok(Self { path, values, names: Vec::new() })
    }

    fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, SettingsError>,
    ) -> Result<T, SettingsError> {
        let value = self.remove(name).ok_or_else(|| self.missing(name))?;
        let mut section = Self::new(self.path_of(name), value)?;
        let settings = read(&mut section)?;
        section.finish()?;
        Ok(settings)
    }

    /// Reads the sections that bear one heading, as `[[ingress.sources]]`.
    ///
    /// A text, which is what variables and files that they name hold, is TOML that has these
    /// sections under their full heading, and nothing else.
    fn tables<T>(
        &mut self,
        name: &'static str,
        read: impl Fn(&mut Self) -> Result<T, SettingsError>,
    ) -> Result<Vec<T>, SettingsError> {
        let value = self.remove(name).ok_or_else(|| self.missing(name))?;
        let (path, origin) = (self.path_of(name), origin_of(&value));
        let wrong = |message: String| SettingsError {
            subject: path.clone(),
            message,
            origin: origin.clone(),
        };
        let value = if let ValueKind::String(text) = &value.kind {
            tables_of_text(&path, text, origin.as_ref()).map_err(wrong)?
        } else {
            value.kind
        };
        let ValueKind::Array(tables) = value else {
            return Err(wrong(format!("must be sections that begin with [[{path}]]")));
        };
        let read_one = |(place, table)| {
            let mut section = Self::new(format!("{path}[{}]", place + 1), table)?;
            let settings = read(&mut section)?;
            section.finish()?;
            Ok(settings)
        };
        tables.into_iter().enumerate().map(read_one).collect()
    }

    fn take<T: Setting>(&mut self, name: &'static str) -> Result<T, SettingsError> {
        self.take_optional(name)?.ok_or_else(|| self.missing(name))
    }

    fn take_optional<T: Setting>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.remove(name) else { return Ok(None) };
        let origin = origin_of(&value);
        T::read(&value.kind).map(Some).map_err(|message| SettingsError {
            subject: self.path_of(name),
            message,
            origin,
        })
    }

    fn finish(self) -> Result<(), SettingsError> {
        let Some((name, value)) = self.values.iter().min_by_key(|(name, _)| *name) else {
            return Ok(());
        };
        let known = match self.path.as_str() {
            "" => format!("known are {}", self.names.join(", ")),
            path => format!("[{path}] has {}", self.names.join(", ")),
        };
        Err(SettingsError {
            subject: self.path_of(name),
            message: format!("there is no such setting; {known}"),
            origin: origin_of(value),
        })
    }

    fn remove(&mut self, name: &'static str) -> Option<Value> {
        self.names.push(name);
        self.values.remove(name)
    }

    fn missing(&self, name: &str) -> SettingsError {
        SettingsError { subject: self.path_of(name), message: "is missing".into(), origin: None }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Finds the sections of that path in a text of TOML that holds nothing else.
fn tables_of_text(path: &str, text: &str, origin: Option<&String>) -> Result<ValueKind, String> {
    let form = || format!("must be TOML that has [[{path}]] sections and nothing else");
    let parsed = parse(origin, text).map_err(|error| format!("{}: {}", form(), error.message))?;
    let mut found = ValueKind::Table(parsed);
    for part in path.split('.') {
        let ValueKind::Table(mut table) = found else { return Err(form()) };
        found = table.remove(part).ok_or_else(form)?.kind;
        if !table.is_empty() {
            return Err(form());
        }
    }
    Ok(found)
}

/// Where a value comes from; for one that only came to be by merging, where its first part does.
fn origin_of(value: &Value) -> Option<String> {
    if let (None, ValueKind::Table(parts)) = (value.origin(), &value.kind) {
        return parts.iter().min_by_key(|(name, _)| *name).and_then(|(_, part)| origin_of(part));
    }
    value.origin().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::super::layers::tests::{error, load};
    use super::super::{Backend, LogFormat, RedisMode, Settings};
    use crate::domain::{Cancelled, StockKeyKind};

    #[test]
    fn every_type_of_setting_is_read_from_the_environment() {
        let settings = load(
            "",
            &[
                ("STOREKEEPER__BACKEND", "embedded"),
                ("STOREKEEPER__EMBEDDED__PATH", "/var/lib/storekeeper"),
                ("STOREKEEPER__INGRESS__LISTEN", "[::1]:0"),
                ("STOREKEEPER__INGRESS__ALLOW_UNSIGNED", "true"),
                ("STOREKEEPER__INGRESS__BODY_BYTES_MAX", "2048"),
                ("STOREKEEPER__WORKER__DRAIN_TIMEOUT", "1500ms"),
                ("STOREKEEPER__STOCK__KEY_PRECEDENCE", "sku,external-product"),
                ("STOREKEEPER__ORDERS__CANCELLED", "release-unless-shipped"),
                ("STOREKEEPER__LOG__FORMAT", "json"),
            ],
        )
        .unwrap();
        assert_eq!(settings.embedded.path, PathBuf::from("/var/lib/storekeeper"));
        assert_eq!(settings.ingress.listen, "[::1]:0".parse().unwrap());
        assert!(settings.ingress.allow_unsigned);
        assert_eq!(settings.ingress.body_bytes_max, 2048);
        assert_eq!(settings.worker.drain_timeout, Duration::from_millis(1500));
        let policy = settings.policy();
        let precedence = vec![StockKeyKind::Sku, StockKeyKind::ExternalProduct];
        assert_eq!(policy.key_precedence, Some(precedence));
        assert_eq!(policy.cancelled, Some(Cancelled::ReleaseUnlessShipped));
        assert_eq!(policy.deleted, None);
        assert_eq!(settings.log.format, LogFormat::Json);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name_and_source() {
        let text = error("[ingress]\nlistn = 1", &[]);
        assert!(
            text.starts_with("ingress.listn: there is no such setting; [ingress] has listen, ")
        );
        assert!(text.ends_with("settings.toml)"), "{text}");
        assert!(error("ingres.listen = 1", &[]).starts_with("ingres: there is no such setting"));
        let text = error("", &[("STOREKEEPER__WORKER__THREADS", "4")]);
        assert!(text.starts_with("worker.threads: there is no such setting; [worker] has "));
        assert!(text.ends_with("(from STOREKEEPER__WORKER__THREADS)"), "{text}");
        let text = error("", &[("STOREKEEPER__KAFKA__URL", "kafka://localhost")]);
        assert!(text.starts_with("kafka: there is no such setting"), "{text}");
        assert!(text.ends_with("(from STOREKEEPER__KAFKA__URL)"), "{text}");
    }

    #[test]
    fn the_example_of_the_distributed_backend_loads() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/distributed.toml");
        let settings = Settings::load_from(Some(example.as_ref()), []).unwrap();
        assert_eq!(settings.backend, Backend::Distributed);
        assert_eq!(settings.redis.mode, RedisMode::Single);
    }
}
