//! A parked letter as the fields of a hash.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::failure;
use super::index::{Group, Place};
use crate::broker::{Envelope, EnvelopeKind};
use crate::domain::{OrderId, Rejection, Timestamp};
use crate::store::{DeadLetter, DeadLetterSummary, StoreError};

/// What lists read of a letter.
pub(super) const SUMMARY: &[&str] = &["place", "group", "attempts", "detail", "order"];
/// All that is kept of a letter.
pub(super) const WHOLE: &[&str] = &[
    "place",
    "group",
    "attempts",
    "detail",
    "order",
    "kind",
    "received_at",
    "source",
    "traceparent",
    "tracestate",
    "body",
    "original",
];

/// The fields of a letter and their values.
pub(super) fn fields(letter: DeadLetter) -> Vec<(&'static str, Vec<u8>)> {
    let generation = letter.generation();
    let DeadLetter { envelope, rejection, failed_at, attempts, original } = letter;
    let place = Place { failed_at, id: envelope.message_id, generation };
    let Rejection { code: reason, detail, site, event_type, order } = rejection;
    let group = Group { reason, site, event_type };
    let mut fields = vec![
        ("place", place.to_text().into_bytes()),
        ("group", group.to_text().into_bytes()),
        ("attempts", attempts.to_string().into_bytes()),
        ("detail", detail.into_bytes()),
        ("kind", envelope.kind.as_str().into()),
        ("received_at", envelope.received_at.micros().to_string().into_bytes()),
        ("source", envelope.source.into_bytes()),
        ("body", envelope.body.into()),
    ];
    let texts = [
        ("order", order.map(|order| order.to_string())),
        ("traceparent", envelope.traceparent),
        ("tracestate", envelope.tracestate),
    ];
    fields.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text?.into_bytes()))));
    fields.extend(original.map(|original| ("original", original.into())));
    fields
}

/// What was read of a letter.
pub(super) struct Found {
    key: String,
    values: BTreeMap<&'static str, Vec<u8>>,
}

impl Found {
    /// The values of fields, in their order; `None` if the letter is not parked.
    pub(super) fn new(
        key: String,
        fields: &[&'static str],
        values: Vec<Option<Vec<u8>>>,
    ) -> Option<Self> {
        let values = fields.iter().copied().zip(values);
        let values: BTreeMap<_, _> =
            values.filter_map(|(field, value)| Some((field, value?))).collect();
        (!values.is_empty()).then_some(Self { key, values })
    }

    /// The letter without its envelope.
    pub(super) fn summary(&mut self) -> Result<DeadLetterSummary, StoreError> {
        let Place { failed_at, id, generation } = self.parsed("place", Place::parse)?;
        let Group { reason, site, event_type } = self.parsed("group", Group::parse)?;
        let order = match self.text("order")? {
            Some(order) => Some(OrderId::parse(&order).map_err(|_| self.unreadable("order"))?),
            None => None,
        };
        Ok(DeadLetterSummary {
            id,
            generation,
            rejection: Rejection {
                code: reason,
                detail: self.required("detail")?,
                site,
                event_type,
                order,
            },
            failed_at,
            attempts: self.parsed("attempts", |text| text.parse().ok())?,
            replays: generation.saturating_sub(1),
        })
    }

    /// The whole letter.
    pub(super) fn letter(mut self) -> Result<DeadLetter, StoreError> {
        let DeadLetterSummary { id, rejection, failed_at, attempts, replays, .. } =
            self.summary()?;
        let received_at = self.parsed("received_at", |text| text.parse().ok())?;
        let body = self.values.remove("body").ok_or_else(|| self.unreadable("body"))?;
        let envelope = Envelope {
            message_id: id,
            kind: self.parsed("kind", EnvelopeKind::parse)?,
            received_at: Timestamp::from_micros(received_at),
            source: self.required("source")?,
            replays,
            traceparent: self.text("traceparent")?,
            tracestate: self.text("tracestate")?,
            body: body.into(),
        };
        let original = self.values.remove("original").map(Bytes::from);
        Ok(DeadLetter { envelope, rejection, failed_at, attempts, original })
    }

    fn text(&mut self, field: &'static str) -> Result<Option<String>, StoreError> {
        let value = self.values.remove(field).map(String::from_utf8).transpose();
        value.map_err(|_| self.unreadable(field))
    }

    fn required(&mut self, field: &'static str) -> Result<String, StoreError> {
        self.text(field)?.ok_or_else(|| self.unreadable(field))
    }

    fn parsed<T>(
        &mut self,
        field: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.required(field)?;
        parse(&text).ok_or_else(|| self.unreadable(field))
    }

    fn unreadable(&self, field: &str) -> StoreError {
        failure::corrupt(format!("{} has no {field} that this release can read", self.key))
    }
}
