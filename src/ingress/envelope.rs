//! What is recorded when a webhook is received.

use axum::http::HeaderMap;
use bytes::Bytes;
use uuid::Uuid;

use crate::broker::{Envelope, EnvelopeKind};
use crate::domain::{MessageId, Timestamp};

/// The longest `tracestate` that is kept, in bytes; W3C asks for at least this much.
const TRACESTATE_BYTES_MAX: usize = 512;

/// Puts a webhook's body, as it is, into an envelope with a new message id.
pub(super) fn seal(
    headers: &HeaderMap,
    body: Bytes,
    received_at: Timestamp,
    source: &str,
) -> Envelope {
    let traceparent = traceparent(headers);
    let tracestate = traceparent.as_ref().and_then(|_| tracestate(headers));
    Envelope {
        message_id: MessageId(Uuid::now_v7()),
        kind: EnvelopeKind::Webhook,
        received_at,
        source: source.to_owned(),
        replays: 0,
        traceparent,
        tracestate,
        body,
    }
}

/// The trace that the request belongs to, in the form of version 00 of W3C Trace Context.
///
/// Of a later version the parts that version 00 knows are kept, as W3C asks. Anything else is no
/// trace, and none is made up: that a webhook has no trace is no reason to refuse it.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let mut parts = value.to_str().ok()?.splitn(5, '-');
    let [version, trace, parent, flags] =
        [(); 4].map(|()| parts.next()).map(Option::unwrap_or_default);
    let known = match version {
        "00" => parts.next().is_none(),
        "ff" => false,
        later => is_hex(later, 2),
    };
    let named = is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    let is_nobody = |id: &str| id.bytes().all(|byte| byte == b'0');
    if !known || !named || is_nobody(trace) || is_nobody(parent) {
        return None;
    }
    Some(format!("00-{trace}-{parent}-{flags}"))
}

/// The vendors' notes on the trace. Several headers are one list, as of any header that is one.
fn tracestate(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all("tracestate").iter().map(|value| value.to_str().ok());
    let list = values.collect::<Option<Vec<_>>>()?.join(",");
    (1..=TRACESTATE_BYTES_MAX).contains(&list.len()).then_some(list)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn sealed(values: &[(&'static str, &str)]) -> Envelope {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, value.parse().unwrap());
        }
        seal(&headers, Bytes::from_static(b"\xff{}\n"), Timestamp::from_millis(7), "duda")
    }

    #[test]
    fn an_envelope_has_what_is_known_on_receipt() {
        let first = sealed(&[]);
        let second = sealed(&[]);
        assert_eq!(first.message_id.0.get_version_num(), 7);
        assert!(first.message_id < second.message_id);
        assert_eq!(first.kind, EnvelopeKind::Webhook);
        assert_eq!(first.received_at, Timestamp::from_millis(7));
        assert_eq!(first.source, "duda");
        assert_eq!(first.replays, 0);
        assert_eq!(first.body, b"\xff{}\n"[..]);
        assert_eq!((first.traceparent, first.tracestate), (None, None));
    }

    #[test]
    fn a_trace_is_kept_by_the_grammar_of_w3c() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let parent = "b7ad6b7169203331";
        let zeros = "0".repeat(32);
        for (value, kept) in [
            (TRACE.to_owned(), true),
            (format!("00-{trace}-{parent}-00"), true),
            (format!("cc-{trace}-{parent}-01"), true),
            (format!("cc-{trace}-{parent}-01-what-comes-later"), true),
            (format!("00-{trace}-{parent}-01-what-comes-later"), false),
            (format!("00-{trace}-{parent}-01-"), false),
            (format!("cc-{trace}-{parent}-01.what"), false),
            (format!("ff-{trace}-{parent}-01"), false),
            (format!("0-{trace}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
            (format!("00-{zeros}-{parent}-01"), false),
            (format!("00-{trace}-0000000000000000-01"), false),
            (format!("00-{trace}-{parent}-1"), false),
            (format!("00-{trace}-{parent}-0g"), false),
            (format!("00-{trace}-{parent}"), false),
            (format!("00-{parent}-{trace}-01"), false),
            (String::new(), false),
        ] {
            let envelope = sealed(&[("traceparent", &value), ("tracestate", "a=1")]);
            assert_eq!(envelope.traceparent.is_some(), kept, "{value}");
            assert_eq!(envelope.tracestate.is_some(), kept, "{value}");
        }
    }

    #[test]
    fn a_later_version_is_kept_as_version_00() {
        let later = format!("{}-what-comes-later", TRACE.replacen("00-", "cc-", 1));
        assert_eq!(sealed(&[("traceparent", &later)]).traceparent.as_deref(), Some(TRACE));
    }

    #[test]
    fn two_traces_are_none() {
        let envelope = sealed(&[("traceparent", TRACE), ("traceparent", TRACE)]);
        assert_eq!(envelope.traceparent, None);
    }

    #[test]
    fn a_trace_state_needs_a_trace_and_has_a_limit() {
        let state = |values: &[(&'static str, &str)]| sealed(values).tracestate;
        let trace = ("traceparent", TRACE);
        assert_eq!(state(&[("tracestate", "a=1")]), None);
        assert_eq!(state(&[trace, ("tracestate", "")]), None);
        let two = state(&[trace, ("tracestate", "a=1"), ("tracestate", "b=2")]);
        assert_eq!(two.as_deref(), Some("a=1,b=2"));
        let longest = "x".repeat(TRACESTATE_BYTES_MAX);
        assert_eq!(state(&[trace, ("tracestate", &longest)]), Some(longest.clone()));
        assert_eq!(state(&[trace, ("tracestate", &format!("{longest}x"))]), None);
        assert_eq!(state(&[trace, ("tracestate", "a=\u{e9}")]), None);
    }
}
