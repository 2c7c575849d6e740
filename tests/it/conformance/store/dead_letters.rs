//! Parked dead letters.

use bytes::Bytes;
use storekeeper::broker::{Envelope, EnvelopeKind};
use storekeeper::domain::{Code, Rejection};
use storekeeper::store::{
    DeadLetter, DeadLetterFilter, DeadLetterSummary, NewReplay, Pace, PageRequest, ReplayId, Store,
    StoreError,
};
use uuid::Uuid;

use super::Harness;
use super::given::{ALL, identifier, item, message, order_id, receipt, site, time, write};
use super::lists::assert_pages;

pub(super) fn letter(number: u128, code: Code, site_name: Option<&str>) -> DeadLetter {
    let seconds = i64::try_from(number).unwrap();
    let envelope = Envelope {
        message_id: message(number),
        kind: EnvelopeKind::Webhook,
        received_at: time(seconds),
        source: "duda".to_owned(),
        replays: 0,
        traceparent: None,
        tracestate: None,
        body: Bytes::from(format!("body {number}")),
    };
    let mut rejection = Rejection::new(code, "$.data: expected an object");
    rejection.site = site_name.map(site);
    DeadLetter { envelope, rejection, failed_at: time(100 + seconds), attempts: 1, original: None }
}

pub(super) async fn selected(store: &dyn Store, filter: DeadLetterFilter) -> Vec<u128> {
    let page = store.dead_letters(&filter, &ALL).await.unwrap();
    page.items.iter().map(|letter| letter.id.0.as_u128()).collect()
}

pub(super) async fn a_parked_letter_is_read_back_byte_for_byte(harness: &Harness) {
    let store = harness.open();
    let mut full = letter(1, Code::NotJson, Some("a|b"));
    full.envelope.body = Bytes::from_static(b"\xff\xfe\0{\"id\": 1,}\r\n\xc3");
    full.envelope.kind = EnvelopeKind::Receipt;
    full.envelope.traceparent = Some("00-0af7-b7ad-01".to_owned());
    full.envelope.tracestate = Some("vendor=1".to_owned());
    full.rejection.event_type = Some(identifier("ECOMM_ORDER_CREATED"));
    full.rejection.order = Some(order_id("id:a:b"));
    full.attempts = u32::MAX;
    full.envelope.replays = 4;
    let empty = DeadLetter {
        envelope: Envelope { body: Bytes::new(), ..letter(2, Code::NotJson, None).envelope },
        ..letter(2, Code::WorkerPanic, None)
    };
    store.park(vec![full.clone(), empty.clone()]).await.unwrap();
    let store = harness.crash_and_reopen(store);
    assert_eq!(store.dead_letter(message(1)).await.unwrap().as_ref(), Some(&full));
    assert_eq!(store.dead_letter(message(2)).await.unwrap().as_ref(), Some(&empty));
    assert_eq!(store.dead_letter(message(3)).await.unwrap(), None);
    let listed = store.dead_letters(&DeadLetterFilter::default(), &ALL).await.unwrap().items;
    let expected = DeadLetterSummary {
        is_edited: false,
        id: message(1),
        generation: 5,
        rejection: full.rejection,
        failed_at: full.failed_at,
        attempts: u32::MAX,
        replays: 4,
    };
    assert_eq!(listed[0], expected);
}

pub(super) async fn a_letter_parked_twice_is_there_once(harness: &Harness) {
    let store = harness.open();
    let first = letter(1, Code::NotJson, None);
    let again = DeadLetter { attempts: 9, ..letter(1, Code::WorkerPanic, None) };
    store.park(vec![first.clone(), again.clone()]).await.unwrap();
    store.park(vec![again, letter(2, Code::NotJson, None)]).await.unwrap();
    assert_eq!(selected(&*store, DeadLetterFilter::default()).await, [1, 2]);
    assert_eq!(store.dead_letter(message(1)).await.unwrap(), Some(first));
}

pub(super) async fn a_later_generation_takes_the_place_of_the_earlier(harness: &Harness) {
    let store = harness.open();
    let mut letters = vec![letter(1, Code::NotJson, None); 3];
    for (letter, replays) in letters.iter_mut().zip([1, 10, 2]) {
        letter.envelope.replays = replays;
    }
    store.park(letters.clone()).await.unwrap();
    assert_eq!(store.dead_letter(message(1)).await.unwrap().as_ref(), Some(&letters[1]));
    let listed = store.dead_letters(&DeadLetterFilter::default(), &ALL).await.unwrap().items;
    let generations: Vec<_> = listed.iter().map(|letter| letter.generation).collect();
    assert_eq!(generations, [11]);
}

pub(super) async fn letters_are_selected_by_every_field(harness: &Harness) {
    let store = harness.open();
    let letters = vec![
        letter(4, Code::NotJson, Some("alpha")),
        letter(3, Code::NotJson, Some("%")),
        letter(2, Code::WorkerPanic, Some("alpha")),
        letter(1, Code::NotJson, None),
    ];
    store.park(letters).await.unwrap();
    let any = DeadLetterFilter::default();
    let reason = DeadLetterFilter { reason: Some(Code::NotJson), ..any.clone() };
    let of_site = DeadLetterFilter { site: Some(site("alpha")), ..any.clone() };
    let wildcard = DeadLetterFilter { site: Some(site("%")), ..any.clone() };
    let old = DeadLetterFilter { failed_before: Some(time(103)), ..any.clone() };
    let ids = DeadLetterFilter { ids: vec![message(4), message(9), message(1)], ..any.clone() };
    let all = DeadLetterFilter {
        reason: Some(Code::NotJson),
        site: Some(site("alpha")),
        failed_before: Some(time(105)),
        ids: vec![message(4), message(2)],
    };
    for (filter, expected) in [
        (any, &[1, 2, 3, 4][..]),
        (reason, &[1, 3, 4]),
        (of_site, &[2, 4]),
        (wildcard, &[3]),
        (old, &[1, 2]),
        (ids, &[1, 4]),
        (all, &[4]),
    ] {
        assert_eq!(selected(&*store, filter.clone()).await, expected, "{filter:?}");
    }
}

pub(super) async fn every_letter_is_on_exactly_one_page(harness: &Harness) {
    let store = harness.open();
    // All fail at one time, so the cursor has to tell them apart by more than that.
    let mut letters: Vec<_> = (0..6).map(|n| letter(n, Code::NotJson, Some("alpha"))).collect();
    letters.push(letters[3].clone());
    letters[6].envelope.replays = 1;
    for letter in &mut letters {
        letter.failed_at = time(100);
    }
    store.park(letters).await.unwrap();
    let filter = DeadLetterFilter { site: Some(site("alpha")), ..DeadLetterFilter::default() };
    assert_pages!(
        ["0 1", "1 1", "2 1", "3 2", "4 1", "5 1"].map(str::to_owned).into(),
        |page| store.dead_letters(&filter, &page).await.unwrap(),
        |letter| format!("{} {}", letter.id.0.as_u128(), letter.generation)
    );
}

pub(super) async fn an_impossible_selection_is_rejected(harness: &Harness) {
    let store = harness.open();
    let too_many =
        DeadLetterFilter { ids: vec![message(1); 1_000_000], ..DeadLetterFilter::default() };
    let error = store.dead_letters(&too_many, &ALL).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    for cursor in ["", "x", "1.2.3", "1.00000000-0000-0000-0000-000000000001"] {
        let page = PageRequest { after: Some(cursor.to_owned()), limit: 1 };
        let error = store.dead_letters(&DeadLetterFilter::default(), &page).await.unwrap_err();
        assert!(matches!(error, StoreError::Rejected { .. }), "{cursor}: {error:?}");
    }
}

pub(super) async fn letters_are_counted_by_reason_and_site(harness: &Harness) {
    let store = harness.open();
    assert_eq!(store.dead_letter_counts().await.unwrap(), []);
    write(&store, receipt("alpha", "sku:A", "R", 1)).await;
    let letters = vec![
        letter(1, Code::NotJson, Some("alpha")),
        letter(2, Code::WorkerPanic, Some("alpha")),
        letter(3, Code::NotJson, Some("beta")),
    ];
    store.park(letters).await.unwrap();
    let mut counts = store.dead_letter_counts().await.unwrap();
    counts.sort_unstable();
    assert_eq!(counts, [(Code::NotJson, 2), (Code::WorkerPanic, 1)]);
    assert_eq!(item(&store, "alpha", "sku:A").await.dead, 2);
}

pub(super) async fn an_impossible_replay_is_rejected(harness: &Harness) {
    let store = harness.open();
    let filter = DeadLetterFilter { ids: vec![message(1); 1_000_000], ..Default::default() };
    let id = ReplayId(Uuid::nil());
    let new = NewReplay { id, filter, pace: Pace::default(), made_at: time(1) };
    let error = store.make_replay(new).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
}
