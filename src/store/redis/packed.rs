//! States as they stand in Redis, where memory is what limits: the text of
//! [`state`](crate::store::state), packed to about a third.
//!
//! A packed state is a byte that names the form, then the text with shorter bytes for what it
//! repeats. Texts have no control characters, so those are free to say what follows: an identifier
//! in hexadecimal digits, a number, or a copy of what stands so many bytes before, in the text or
//! in the words that every state has. Everything else stands for itself.
//!
//! # Invariants
//! - What is read is what was written, to the byte.
//! - A text that is not packed is read too: `HSET` by a person's hand works.
//! - [`WORDS`] never changes under one [`FORM`]: states were written with it.

use std::sync::LazyLock;

/// The form that this release writes; every one of them is below a text's first byte.
const FORM: u8 = 1;

/// The longest text; a damaged length must not fill the memory.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// What follows a control character. Copies of 4 to 30 bytes have one for each length.
const UUID: u8 = 0x01;
const FINGERPRINT: u8 = 0x02;
const NUMBER: u8 = 0x03;
const COPY: u8 = 0x04;
const LONG_COPY: u8 = 0x1f;
const COPY_MIN: usize = 4;
const LONG_COPY_MIN: usize = COPY_MIN + (LONG_COPY - COPY) as usize;

/// What states are made of; what is used most stands last.
const WORDS: &str = concat!(
    r#""external_product":""external_variation":"","notice":{"deleted":{"event_timestamp":"#,
    r#""refunds":{"from_event":true,"from_event":false,"content":{"quantity":"count":"#,
    r#""description":{"name":"","stock_keys":["described":{"product:","variation:","sku:"#,
    r#"external-id:","store-order:","outcome":"duplicate"},"reason":"ambiguous":true,"test":true,"#,
    r#""outcome":"superseded"},"rank":"deleted","rank":"cancelled","status":"CANCELLED","#,
    r#""status":"UNKNOWN","status":"PENDING","status":"IN_PROGRESS","status":"DISPATCHED","#,
    r#""status":"SHIPPED","status":"DELIVERED","ECOMM_ORDER_DELETED","ECOMM_REFUND_CREATED","#,
    r#"{"format":1,"state":{"latest":{"version":{"event_timestamp":"#,
    r#","rank":"created","status":"PROCESSED","fingerprint":""}},"snapshot":{"lines":[{"id":""#,
    r#"","product":"","quantity":1000000,"sku":"","variation":""},{"id":""}]}},"ever_shipped":true,"#,
    r#""aliases":["id:","invoice-number:"],"applied":{"variation:"product:":{"committed":"#,
    r#"1000000}},"fulfilled":000000},"policy":1,"timeline":[{"version":{"event_timestamp":"#,
    r#","rank":"updated","status":"PROCESSED","fingerprint":""},"message_id":""#,
    r#"","event_type":"ECOMM_ORDER_CREATED","event_type":"ECOMM_ORDER_UPDATED","received_at":"#,
    r#","outcome":"applied"},{"version":{"event_timestamp":,"outcome":"applied"}]}}"#,
);

/// Why bytes are no packed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackedError {
    /// A newer release wrote them.
    Newer,
    /// No release wrote them.
    Damaged,
}

/// Packs texts, one after the other.
pub(super) struct Packer {
    /// The words, then the text.
    window: Vec<u8>,
    places: Places,
    at: usize,
    packed: Vec<u8>,
}

/// Where each four bytes stood last, as far as that is known: of several that share a slot the last.
#[derive(Clone)]
struct Places(Vec<u32>);

impl Places {
    const SLOTS: usize = 4096;

    fn slot([a, b, c, d]: [u8; COPY_MIN]) -> usize {
        let mixed = u32::from_le_bytes([a, b, c, d]).wrapping_mul(0x9e37_79b1);
        (mixed >> 20) as usize % Self::SLOTS
    }

    /// Remembers the four bytes at each of these places.
    fn note(&mut self, window: &[u8], places: std::ops::Range<usize>) {
        for start in places {
            let four = window.get(start..).and_then(<[u8]>::first_chunk);
            let slot = four.and_then(|four| self.0.get_mut(Self::slot(*four)));
            if let (Some(slot), Ok(start)) = (slot, u32::try_from(start)) {
                *slot = start;
            }
        }
    }

    /// Where these four bytes may have stood.
    fn find(&self, four: [u8; COPY_MIN]) -> Option<usize> {
        self.0.get(Self::slot(four)).map(|start| *start as usize)
    }
}

static WORD_PLACES: LazyLock<Places> = LazyLock::new(|| {
    let mut places = Places(vec![0; Places::SLOTS]);
    places.note(WORDS.as_bytes(), 0..WORDS.len());
    places
});

impl Packer {
    pub(super) fn new() -> Self {
        Self {
            window: WORDS.into(),
            places: WORD_PLACES.clone(),
            at: WORDS.len(),
            packed: Vec::new(),
        }
    }

    /// Packs a text.
    pub(super) fn pack(&mut self, text: &str) -> Vec<u8> {
        // The texts of states have none; one that had would be read as something else.
        if text.bytes().any(|byte| byte < b' ') {
            return text.as_bytes().to_vec();
        }
        // Nothing of the text before: what is packed does not depend on it.
        self.window.truncate(WORDS.len());
        self.window.extend_from_slice(text.as_bytes());
        self.places.0.clone_from(&WORD_PLACES.0);
        self.at = WORDS.len();
        self.packed.push(FORM);
        while self.at < self.window.len() {
            self.step();
        }
        std::mem::take(&mut self.packed)
    }

    fn step(&mut self) {
        let rest = self.window.get(self.at..).unwrap_or_default();
        let (copied, start) = self.copy(rest);
        let special = special(rest, self.window.get(self.at.wrapping_sub(1)).copied());
        let passed = match special {
            Some((passed, bytes)) if copied < COPY_MIN || passed >= copied + bytes.len() => {
                self.packed.extend(bytes);
                passed
            }
            _ if copied >= COPY_MIN => {
                push_copy(&mut self.packed, copied, self.at - start);
                copied
            }
            _ => {
                self.packed.extend(rest.first());
                1
            }
        };
        self.places.note(&self.window, self.at..self.at + passed);
        self.at += passed;
    }

    /// How many of the next bytes stand somewhere before, and where.
    fn copy(&self, rest: &[u8]) -> (usize, usize) {
        let four = rest.first_chunk::<COPY_MIN>();
        let Some(start) = four.and_then(|four| self.places.find(*four)) else { return (0, 0) };
        let before = self.window.get(start..).unwrap_or_default();
        let length = before.iter().zip(rest).take_while(|(before, now)| before == now).count();
        (length, start)
    }
}

fn push_copy(bytes: &mut Vec<u8>, length: usize, distance: usize) {
    match u8::try_from(length - COPY_MIN) {
        Ok(short) if short < LONG_COPY - COPY => bytes.push(COPY + short),
        Ok(_) | Err(_) => {
            bytes.push(LONG_COPY);
            push_number(bytes, (length - LONG_COPY_MIN) as u64);
        }
    }
    push_number(bytes, distance as u64);
}

/// An identifier or a number at the start of a text: how long it is, and its bytes.
fn special(rest: &[u8], before: Option<u8>) -> Option<(usize, Vec<u8>)> {
    let is_digit = |byte: u8| byte.is_ascii_hexdigit();
    if before.is_some_and(is_digit) || !rest.first().copied().is_some_and(is_digit) {
        return None;
    }
    if let Some(uuid) = rest.first_chunk::<36>().and_then(|text| uuid_of(text)) {
        return Some((36, [&[UUID], uuid.as_bytes().as_slice()].concat()));
    }
    if let Some(fingerprint) = rest.first_chunk::<16>().and_then(|text| fingerprint_of(text)) {
        return Some((16, [&[FINGERPRINT], fingerprint.to_be_bytes().as_slice()].concat()));
    }
    let digits: Vec<u8> = rest.iter().copied().take_while(u8::is_ascii_digit).collect();
    // Shorter ones are no longer as digits, longer ones may not fit.
    if !(4..=19).contains(&digits.len()) || digits.first() == Some(&b'0') {
        return None;
    }
    let number = std::str::from_utf8(&digits).ok()?.parse().ok()?;
    let mut bytes = vec![NUMBER];
    push_number(&mut bytes, number);
    (bytes.len() < digits.len()).then_some((digits.len(), bytes))
}

fn uuid_of(text: &[u8]) -> Option<uuid::Uuid> {
    let uuid = uuid::Uuid::try_parse_ascii(text).ok()?;
    (uuid.hyphenated().to_string().as_bytes() == text).then_some(uuid)
}

fn fingerprint_of(text: &[u8]) -> Option<u64> {
    let number = u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()?;
    (format!("{number:016x}").as_bytes() == text).then_some(number)
}

/// Seven bits a byte, the lowest first; the highest bit says that there are more.
fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

/// Reads what [`Packer::pack`] wrote, or a text.
pub(super) fn unpack(bytes: Vec<u8>) -> Result<String, PackedError> {
    let text = match bytes.split_first() {
        Some((&FORM, packed)) => unpack_form(packed).ok_or(PackedError::Damaged)?,
        Some((form, _)) if *form < b' ' => return Err(PackedError::Newer),
        _ => bytes,
    };
    String::from_utf8(text).map_err(|_| PackedError::Damaged)
}

fn unpack_form(packed: &[u8]) -> Option<Vec<u8>> {
    let mut window = WORDS.as_bytes().to_vec();
    let mut packed = packed.iter().copied();
    while let Some(byte) = packed.next() {
        match byte {
            UUID => {
                let uuid = uuid::Uuid::from_bytes(take(&mut packed)?);
                window.extend(uuid.hyphenated().to_string().bytes());
            }
            FINGERPRINT => {
                let number = u64::from_be_bytes(take(&mut packed)?);
                window.extend(format!("{number:016x}").bytes());
            }
            NUMBER => window.extend(number(&mut packed)?.to_string().bytes()),
            COPY..=LONG_COPY => {
                let length = match byte {
                    LONG_COPY => {
                        LONG_COPY_MIN.checked_add(number(&mut packed)?.try_into().ok()?)?
                    }
                    short => COPY_MIN + usize::from(short - COPY),
                };
                let distance: usize = number(&mut packed)?.try_into().ok()?;
                let start = window.len().checked_sub(distance)?;
                if length > TEXT_BYTES_MAX || window.len() > TEXT_BYTES_MAX {
                    return None;
                }
                // What is copied may begin with what the copy itself writes.
                for place in start..start.checked_add(length)? {
                    window.push(*window.get(place)?);
                }
            }
            0 => return None,
            byte => window.push(byte),
        }
    }
    Some(window.split_off(WORDS.len()))
}

fn take<const N: usize>(packed: &mut impl Iterator<Item = u8>) -> Option<[u8; N]> {
    packed.take(N).collect::<Vec<u8>>().try_into().ok()
}

fn number(packed: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = packed.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    const STATE: &str = concat!(
        r#"{"format":1,"state":{"latest":{"version":{"event_timestamp":1700000000001,"rank":""#,
        r#"updated","status":"DELIVERED","fingerprint":"57ec12ba5438c538"},"snapshot":{"lines"#,
        r#"":[{"id":"0c2e4957-facd-91eb-21db-7a95f6d11fce","product":"7db14eef-fe90-f08c-8a9e"#,
        r#"-c877a14cffe0","quantity":3000000,"sku":"SKU-33","variation":"7db14eef-fe90-f08c-8"#,
        r#"a9e-c877a14cffe0"},{"id":"627d96af-1cb6-05e0-b35a-479a09b00b12","product":"6553b1d"#,
        r#"d-55d9-3acf-1f10-8dc24bc0a681","quantity":1000000,"sku":"SKU-7","variation":"6553b"#,
        r#"1dd-55d9-3acf-1f10-8dc24bc0a681"}]}},"ever_shipped":true,"aliases":["id:240bd30a-b"#,
        r#"150-9deb-4e2b-393ed1320900","invoice-number:INV-1"],"applied":{"variation:6553b1dd"#,
        r#"-55d9-3acf-1f10-8dc24bc0a681":{"fulfilled":1000000},"variation:7db14eef-fe90-f08c-"#,
        r#"8a9e-c877a14cffe0":{"fulfilled":3000000}},"policy":1,"timeline":[{"version":{"even"#,
        r#"t_timestamp":1700000000001,"rank":"updated","status":"DELIVERED","fingerprint":"57"#,
        r#"ec12ba5438c538"},"message_id":"01a2029f-a85e-712c-b57c-c229eb94f035","event_type":"#,
        r#""ECOMM_ORDER_UPDATED","received_at":1700000000000000,"outcome":"applied"}]}}"#,
    );

    /// [`STATE`], as the first release packed it.
    const PACKED: &str = concat!(
        "AR8d/AQDgdCV/7wxHLICRAuZBg6yAgJX7BK6VDjFOATCAhuYBQEMLklX+s2R6yHbepX20R/ODbwFAX2xTu/+",
        "kPCMip7Id6FM/+AN4AUDwI23AQjgBVNLVS0zMw/mBR8GVQSRAwW0AQFifZavHLYF4LNaR5oJsAsSDbQBAWVT",
        "sd1V2TrPHxCNwkvApoENtAEHgAYMtAE3D7MBHwZUBJAEBY4FHwCzBwEkC9MKsVCd604rOT7RMgkAEtcHSU5W",
        "LTEZ3AcfBqEBOnsM4QcH9wF9C+oBOh8GmwMORwfyAwT7AR8VqggfOIUGDccIAQGiAp+oXnEstXzCKeuU8DUf",
        "FMgIDLsBBAEYpAg=",
    );

    #[test]
    fn a_state_is_packed_to_a_third() {
        let packed = pack(STATE);
        assert!(packed.len() * 3 < STATE.len(), "{} of {}", packed.len(), STATE.len());
        assert_eq!(unpack(packed).as_deref(), Ok(STATE));
    }

    /// If this fails, states of older releases cannot be read: count the form up, and keep both.
    #[test]
    fn the_form_is_pinned() {
        let packed = STANDARD.decode(PACKED).unwrap();
        assert_eq!(unpack(packed).as_deref(), Ok(STATE));
    }

    #[test]
    fn a_text_is_read_as_it_is_and_a_newer_form_is_told() {
        assert_eq!(unpack(STATE.into()).as_deref(), Ok(STATE));
        assert_eq!(unpack(Vec::new()).as_deref(), Ok(""));
        assert_eq!(unpack(vec![FORM + 1, b'{']), Err(PackedError::Newer));
        assert_eq!(unpack(vec![b'{', 0xff]), Err(PackedError::Damaged));
    }

    fn pack(text: &str) -> Vec<u8> {
        Packer::new().pack(text)
    }

    fn texts() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            "[a-f0-9-]{0,40}",
            "[0-9]{0,25}",
            "\\PC{0,10}",
            any::<[u8; 16]>().prop_map(|it| uuid::Uuid::from_bytes(it).to_string()),
            any::<u64>().prop_map(|it| format!("\"{it:016x}\" {it}")),
            (0..WORDS.len(), 0..90_usize)
                .prop_map(|(start, length)| { WORDS.chars().skip(start).take(length).collect() }),
            "[\\x00-\\x20]{0,2}",
        ];
        prop::collection::vec(part, 0..20)
            .prop_map(|parts| format!("{{{}", parts.concat().repeat(2)))
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in texts()) {
            prop_assert_eq!(unpack(pack(&text)), Ok(text));
        }

        #[test]
        fn a_text_is_packed_the_same_behind_another(before in texts(), text in texts()) {
            let mut packer = Packer::new();
            packer.pack(&before);
            prop_assert_eq!(packer.pack(&text), pack(&text));
        }

        #[test]
        fn damage_is_an_error_or_another_text_and_never_worse(
            place in 0..400_usize, byte in any::<u8>(), length in 0..400_usize,
        ) {
            let mut packed = pack(STATE);
            if let Some(damaged) = packed.get_mut(place) {
                *damaged = byte;
            }
            packed.truncate(length);
            if let Ok(text) = unpack(packed) {
                prop_assert!(text.len() <= 2 * TEXT_BYTES_MAX);
            }
        }
    }
}
