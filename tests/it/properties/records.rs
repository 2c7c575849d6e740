//! States of every shape, and what becomes of them in storage.
//!
//! Goal: every state is read back as it was written, in both forms; a state of a newer release is
//! told by its format alone; what is damaged is named, never shown, and never a panic.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use storekeeper::domain::{
    CatalogueEntry, EntityState, LineNames, List, Lists, Receipt, Record, StockKeyKind,
};
use storekeeper::store::state::{
    decode_entity, decode_entity_bytes, encode_entity, encode_entity_bytes,
};
use storekeeper::store::{EntityId, StoreError};

use super::state::{ENTITIES, check_read, check_written_again};
use crate::generators::runner;
use crate::harness::{is_long, seed};

/// What stands in states of these tests, and must never be in an error.
const PLANTED: &str = "planted";
/// The format that this release writes.
const FORMAT: u8 = 2;

fn config() -> Config {
    Config { cases: if is_long() { 20_000 } else { 300 }, ..Config::default() }
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof!["planted[a-z]{0,3}", "planted\\PC{0,20}planted", select(vec!["planted".to_owned()])]
}

fn times() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), any::<i64>(), 1_700_000_000_000..1_700_000_000_009_i64]
}

fn fingerprints() -> impl Strategy<Value = String> {
    any::<u64>().prop_map(|fingerprint| format!("{fingerprint:016x}"))
}

fn versions() -> impl Strategy<Value = Value> {
    let classes = select(vec!["creation", "later"]);
    let ranks = select(vec!["created", "updated", "cancelled", "deleted"]);
    let statuses = select(vec!["UNKNOWN", "INCOMPLETE", "IN_PROGRESS", "SHIPPED", "CANCELLED"]);
    let parts = (classes, times(), times(), ranks, statuses, fingerprints());
    parts.prop_map(|(class, at, observed_at, rank, status, fingerprint)| {
        json!(format!("{class} {at} {observed_at} {rank} {status} {fingerprint}"))
    })
}

fn message_ids() -> impl Strategy<Value = String> {
    any::<u128>().prop_map(|id| uuid::Uuid::from_u128(id).to_string())
}

/// Names of goods as states keep them: pairs of kind and name.
fn line_names() -> impl Strategy<Value = Value> {
    let pairs = prop::collection::vec((select(StockKeyKind::ALL.to_vec()), names()), 0..4);
    pairs.prop_map(|pairs| {
        let name = |name: String| name.try_into().expect("it is an identifier");
        let names: LineNames = pairs.into_iter().map(|(kind, text)| (kind, name(text))).collect();
        serde_json::to_value(names).unwrap()
    })
}

fn option(of: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), of]
}

fn text() -> impl Strategy<Value = Value> {
    option(names().prop_map(Value::from))
}

fn list(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec(of, 0..4).prop_map(Value::from)
}

fn map(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let entries = prop::collection::btree_map(names(), of, 0..4);
    entries.prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into())
}

fn latest() -> impl Strategy<Value = Value> {
    let line = (text(), line_names(), any::<i64>(), text()).prop_map(|(id, names, quantity, name)| {
        json!({"id": id, "names": names, "quantity": quantity, "name": name})
    });
    let parts = (versions(), any::<bool>(), fingerprints(), list(line));
    parts.prop_map(|(version, is_ambiguous, words, lines)| {
        let snapshot = json!({"words": words, "lines": lines});
        json!({"version": version, "is_ambiguous": is_ambiguous, "snapshot": snapshot})
    })
}

fn refunds() -> impl Strategy<Value = Value> {
    let line = (text(), any::<i64>()).prop_map(|(id, units)| json!({"id": id, "quantity": units}));
    let created = option(times().prop_map(Value::from));
    let parts = (times(), any::<bool>(), fingerprints(), list(line), created, times());
    map(parts.prop_map(|(at, from_event, fingerprint, lines, created, first_seen)| {
        json!({"event_timestamp": at, "from_event": from_event, "fingerprint": fingerprint,
            "lines": lines, "created": created, "first_seen": first_seen})
    }))
}

fn corrections() -> impl Strategy<Value = Value> {
    let actions = select(vec!["release", "hold", "ship"]);
    let shown = (versions(), fingerprints(), option(versions())).prop_map(
        |(version, words, deleted)| json!({"version": version, "words": words, "deleted": deleted}),
    );
    let parts = (actions, shown, text(), text(), message_ids(), times());
    map(parts.prop_map(|(action, shown, reason, actor, message_id, at)| {
        let content = json!({"action": action, "shown": shown, "reason": reason, "actor": actor});
        json!({"content": content, "message_id": message_id, "received_at": at})
    }))
}

fn timelines() -> impl Strategy<Value = Value> {
    let outcomes = select(vec!["applied", "superseded", "duplicate", "ignored"]);
    let reasons = option(select(vec!["after_deletion", "timestamp_ahead"]).prop_map(Value::from));
    let parts =
        (versions(), message_ids(), names(), times(), outcomes, reasons, text(), any::<u32>());
    list(parts.prop_map(|(version, message_id, event_type, at, outcome, reason, said, rekeyed)| {
        json!({"version": version, "message_id": message_id, "event_type": event_type,
            "received_at": at, "outcome": outcome, "reason": reason, "said": said,
            "rekeyed_lines": rekeyed})
    }))
}

/// Records of orders with every field, whatever it says.
fn records() -> impl Strategy<Value = EntityState> {
    let mode = (versions(), select(vec!["LIVE", "TEST"])).prop_map(|pair| json!(pair));
    let remembered = (versions(), names(), line_names()).prop_map(
        |(version, line, names)| json!({"version": version, "line": line, "names": names}),
    );
    let unshipped = (versions(), fingerprints()).prop_map(|pair| json!(pair));
    let kind = |kind: &'static str| names().prop_map(move |name| json!(format!("{kind}:{name}")));
    let invoices = (versions(), kind("invoice-number")).prop_map(|pair| json!(pair));
    let hold = (any::<i64>(), any::<i64>())
        .prop_map(|(committed, fulfilled)| json!({"committed": committed, "fulfilled": fulfilled}));
    let applied =
        prop::collection::btree_map(names().prop_map(|name| format!("sku:{name}")), hold, 0..4);
    let of_order = (option(latest()), option(versions()), option(mode), list(remembered));
    let of_goods = (refunds(), list(versions()), option(unshipped), corrections());
    let of_names = (list(kind("external-id")), list(invoices), timelines());
    let of_leading = (applied, any::<u64>(), any::<u8>());
    (of_order, of_goods, of_names, of_leading).prop_map(
        |((latest, deleted, mode, remembered), goods, names, (applied, policy, lists))| {
            let (refunds, shipped, unshipped, corrections) = goods;
            let (second_names, invoices, timeline) = names;
            let record = json!({"latest": latest, "deleted": deleted, "mode": mode,
                "remembered": remembered, "refunds": refunds, "shipped": shipped,
                "unshipped": unshipped, "corrections": corrections, "second_names": second_names,
                "invoices": invoices, "timeline": timeline, "applied": applied, "policy": policy,
                "lists": lists});
            EntityState::Order(Box::new(of::<Record>(record)))
        },
    )
}

fn entries() -> impl Strategy<Value = EntityState> {
    let description = (text(), text(), text(), any::<bool>(), list(line_names()));
    let description = description.prop_map(|(name, external_id, sku, is_untracked, goods)| {
        json!({"name": name, "external_id": external_id, "sku": sku, "is_untracked": is_untracked,
            "goods": goods})
    });
    (option(versions()), description, option(versions())).prop_map(
        |(described, description, deleted)| {
            let entry =
                json!({"described": described, "description": description, "deleted": deleted});
            EntityState::Catalogue(of::<CatalogueEntry>(entry))
        },
    )
}

fn receipts() -> impl Strategy<Value = EntityState> {
    let contents = (any::<i64>(), any::<i64>()).prop_flat_map(|(one, other)| {
        select(vec![
            json!({"goods": {"quantity": one}}),
            json!({"count": {"on_hand": one, "difference": other}}),
            json!("void"),
        ])
    });
    let said = (message_ids(), times(), contents, text(), text()).prop_map(
        |(message_id, at, content, reason, actor)| {
            json!({"message_id": message_id, "received_at": at, "content": content,
                "note": {"reason": reason, "actor": actor}})
        },
    );
    let said = said.boxed();
    (option(said.clone()), option(said)).prop_map(|(said, void)| {
        EntityState::Receipt(of::<Receipt>(json!({"said": said, "void": void})))
    })
}

fn of<T: DeserializeOwned>(value: Value) -> T {
    let text = value.to_string();
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn states() -> impl Strategy<Value = EntityState> {
    prop_oneof![6 => records(), 1 => entries(), 1 => receipts()]
}

/// An entity of the kind that the state is of.
fn entity(state: &EntityState) -> &'static EntityId {
    &ENTITIES[match state {
        EntityState::Order(_) => 0,
        EntityState::Catalogue(_) => 1,
        EntityState::Receipt(_) => 2,
    }]
}

fn told(error: impl Into<StoreError> + ToString, entity: &EntityId) -> String {
    let said = error.to_string();
    assert!(said.contains(&entity.to_string()), "{said}");
    assert!(!said.contains(PLANTED), "{said}");
    assert!(!error.into().is_transient());
    said
}

#[test]
fn every_state_is_read_back_as_it_was_written_in_both_forms() {
    let check = |state: EntityState| {
        check_written_again(entity(&state), &state);
        Ok(())
    };
    runner(seed(), config()).run(&states(), check).unwrap();
}

#[test]
fn whatever_a_record_says_it_can_be_computed_shown_and_closed() {
    let check = |state: EntityState| {
        check_read::<StoreError>(entity(&state), Ok(state));
        Ok(())
    };
    runner(seed(), config()).run(&records(), check).unwrap();
}

#[test]
fn a_state_of_a_higher_format_is_told_by_its_number_alone() {
    let formats = (FORMAT + 1)..=u8::MAX;
    let others = prop::collection::vec(any::<u8>(), 0..40);
    let check = |(state, format, other): (EntityState, u8, Vec<u8>)| {
        let entity = entity(&state);
        let bytes = encode_entity_bytes(&state).unwrap();
        assert_eq!(bytes[0], FORMAT);
        for rest in [&bytes[1..], &other, &[]] {
            let newer = [&[format], rest].concat();
            let said = told(decode_entity_bytes(entity, &newer).unwrap_err(), entity);
            assert!(said.contains(&format!("has format {format}")), "{said}");
        }
        let text = encode_entity(&state).unwrap();
        let newer = text.replacen("{\"format\":2", &format!("{{\"format\":{format}"), 1);
        assert_ne!(newer, text);
        for newer in [
            newer,
            format!("{{\"format\":{format}}}"),
            format!("{{\"planted\":[],\"format\":{format}}}"),
        ] {
            let said = told(decode_entity(entity, &newer).unwrap_err(), entity);
            assert!(said.contains(&format!("has format {format}")), "{said}");
        }
        Ok(())
    };
    runner(seed(), config()).run(&(states(), formats, others), check).unwrap();
}

#[test]
fn a_state_of_a_lower_format_is_not_read() {
    for entity in ENTITIES.iter() {
        for format in 0..FORMAT {
            told(decode_entity_bytes(entity, &[format, 0, 0, 0]).unwrap_err(), entity);
            let text = format!("{{\"format\":{format},\"state\":{{}}}}");
            told(decode_entity(entity, &text).unwrap_err(), entity);
        }
    }
}

#[test]
fn a_state_that_is_cut_off_anywhere_is_named_and_not_shown() {
    let config = Config { cases: config().cases / 10, ..config() };
    let check = |state: EntityState| {
        let entity = entity(&state);
        let (text, bytes) = (encode_entity(&state).unwrap(), encode_entity_bytes(&state).unwrap());
        for length in 0..bytes.len() {
            told(decode_entity_bytes(entity, &bytes[..length]).unwrap_err(), entity);
        }
        for start in (0..text.len()).filter_map(|length| text.get(..length)) {
            told(decode_entity(entity, start).unwrap_err(), entity);
        }
        // What is behind it is no part of it.
        told(decode_entity_bytes(entity, &[&bytes[..], &[0]].concat()).unwrap_err(), entity);
        told(decode_entity(entity, &format!("{text}{PLANTED}")).unwrap_err(), entity);
        Ok(())
    };
    runner(seed(), config).run(&states(), check).unwrap();
}

#[test]
fn a_damaged_state_is_another_or_named_and_not_shown() {
    let damages = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let check = |(state, damages): (EntityState, Vec<(prop::sample::Index, u8)>)| {
        let entity = entity(&state);
        let mut bytes = encode_entity_bytes(&state).unwrap();
        let mut text = encode_entity(&state).unwrap().into_bytes();
        for (place, byte) in damages {
            for damaged in [&mut bytes, &mut text] {
                let place = place.index(damaged.len());
                damaged[place] ^= byte;
            }
        }
        let read = decode_entity_bytes(entity, &bytes);
        read.as_ref()
            .err()
            .into_iter()
            .for_each(|error| assert!(!error.to_string().contains(PLANTED)));
        check_read(entity, read);
        if let Ok(text) = str::from_utf8(&text) {
            let read = decode_entity(entity, text);
            read.as_ref()
                .err()
                .into_iter()
                .for_each(|error| assert!(!error.to_string().contains(PLANTED)));
            check_read(entity, read);
        }
        Ok(())
    };
    runner(seed(), config()).run(&(states(), damages), check).unwrap();
}

#[test]
fn a_set_of_lists_is_read_back_as_it_was_written() {
    for bits in 0..=u8::MAX {
        let lists: Lists = of(json!(bits));
        let again: Lists = lists.iter().collect();
        assert_eq!(again, lists);
        assert_eq!(List::ALL.iter().filter(|list| lists.has(**list)).count(), lists.iter().count());
    }
}
