//! Whether a webhook is authentic: Duda's signature over its timestamp and body.
//!
//! `x-duda-signature` is the standard base64 of HMAC-SHA256 over the text of
//! `x-duda-signature-timestamp`, a dot, and the raw body; the key is the issued secret, decoded.
//! The timestamp is in milliseconds since 1970. Nothing here waits, reads a clock or looks into
//! the body; `fixtures/signature` has the vectors.

use std::time::Duration;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::domain::Timestamp;

/// The header of the signature.
pub const SIGNATURE_HEADER: &str = "x-duda-signature";
/// The header of the time at which it was made.
pub const TIMESTAMP_HEADER: &str = "x-duda-signature-timestamp";

/// What stands for no owner where one is chosen in constant time.
const NOBODY: u64 = u64::MAX;

/// Why a webhook is not known to be authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// One of the two headers is missing.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// One of the two headers is not of its form, or is there twice.
    #[error("the header {0} is not of its form")]
    Malformed(&'static str),
    /// No secret made this signature for this timestamp and body.
    #[error("the signature does not belong to this timestamp and body")]
    Mismatch,
    /// It was made too long ago, or too far in the future.
    #[error("the signature's timestamp is more than {window_seconds} s from this server's time")]
    Expired {
        /// What is allowed, each way.
        window_seconds: u64,
    },
}

/// The texts of the timestamp and of the signature.
pub(super) fn from_headers(headers: &HeaderMap) -> Result<(&str, &str), SignatureError> {
    let timestamp = only_value(headers, TIMESTAMP_HEADER);
    let signature = only_value(headers, SIGNATURE_HEADER)?;
    Ok((timestamp?, signature))
}

/// A header's value. Of two values one may be a forgery, so two are as bad as none.
fn only_value<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or(SignatureError::Missing(name))?;
    match (values.next(), value.to_str()) {
        (None, Ok(text)) => Ok(text),
        _ => Err(SignatureError::Malformed(name)),
    }
}

/// Checks that one of the owners' secrets signed this timestamp and body; returns whose it was, by
/// place, and the signed time.
///
/// Takes the same time whichever secret made the signature, and whether one did.
pub(super) fn verify<'s>(
    owners: impl Iterator<Item = &'s [SecretBox<[u8]>]>,
    timestamp: &str,
    body: &[u8],
    signature: &str,
) -> Result<(usize, Timestamp), SignatureError> {
    let signed_at =
        parse_timestamp(timestamp).ok_or(SignatureError::Malformed(TIMESTAMP_HEADER))?;
    let given: [u8; 32] = STANDARD
        .decode(signature)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(SignatureError::Malformed(SIGNATURE_HEADER))?;
    let mut made_by = NOBODY;
    for (owner, secrets) in (0_u64..).zip(owners) {
        for secret in secrets {
            let made = mac(secret.expose_secret(), timestamp, body).ct_eq(&given);
            made_by.conditional_assign(&owner, made);
        }
    }
    match usize::try_from(made_by) {
        Ok(owner) if made_by != NOBODY => Ok((owner, signed_at)),
        Ok(_) | Err(_) => Err(SignatureError::Mismatch),
    }
}

/// Makes the signature of a timestamp and a body, as the sender does.
pub fn sign(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    STANDARD.encode(mac(secret, timestamp, body))
}

/// Checks that a signature was made at most `window` before or after `now`.
pub fn check_age(
    signed_at: Timestamp,
    now: Timestamp,
    window: Duration,
) -> Result<(), SignatureError> {
    let age_millis = u128::from(signed_at.millis().abs_diff(now.millis()));
    if age_millis > window.as_millis() {
        return Err(SignatureError::Expired { window_seconds: window.as_secs() });
    }
    Ok(())
}

fn mac(secret: &[u8], timestamp: &str, body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// Milliseconds since 1970 in digits; the standard library's parser would also take a sign.
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok().map(Timestamp::from_millis)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verify(
        secrets: &[SecretBox<[u8]>],
        timestamp: &str,
        body: &[u8],
        signature: &str,
    ) -> Result<Timestamp, SignatureError> {
        super::verify([secrets].into_iter(), timestamp, body, signature).map(|(_, at)| at)
    }

    fn secret(bytes: &[u8]) -> SecretBox<[u8]> {
        SecretBox::new(Box::from(bytes))
    }

    /// The example of Duda's documentation.
    #[test]
    fn the_documented_vector_is_authentic() {
        let secrets = [secret(&STANDARD.decode("bXlzZWNyZXRzZWNyZXQ=").unwrap())];
        let body = b"{'key1':'world','key2':'world'}";
        let signature = "+DCfT1wIMUiaZnlZB4u59/d5wkXKA89lv67Ov66vnyc=";
        let verified = verify(&secrets, "1570350275357", body, signature);
        assert_eq!(verified, Ok(Timestamp::from_millis(1_570_350_275_357)));
        assert_eq!(sign(secrets[0].expose_secret(), "1570350275357", body), signature);
    }

    #[test]
    fn a_signature_tells_whose_secret_made_it() {
        let owners = [vec![secret(b"a"), secret(b"b")], vec![], vec![secret(b"c")]];
        let owner_of = |key: &[u8]| {
            let signature = sign(key, "1570350275357", b"{}");
            let owners = owners.iter().map(Vec::as_slice);
            super::verify(owners, "1570350275357", b"{}", &signature).map(|(owner, _)| owner)
        };
        assert_eq!([b"a", b"b", b"c"].map(|key| owner_of(key)), [Ok(0), Ok(0), Ok(2)]);
        assert_eq!(owner_of(b"d"), Err(SignatureError::Mismatch));
        let nobody = super::verify(std::iter::empty(), "1", b"{}", &sign(b"a", "1", b"{}"));
        assert_eq!(nobody, Err(SignatureError::Mismatch));
    }

    /// Vectors that another implementation of HMAC made.
    #[test]
    fn the_vectors_of_the_fixtures_hold() {
        let vectors = include_str!("../../fixtures/signature/vectors.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        assert!(vectors.len() >= 20, "only {} vectors", vectors.len());
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let bytes = |name: &str| STANDARD.decode(text(name)).unwrap();
            let secrets: Vec<_> = vector["secrets"].as_array().unwrap().iter().collect();
            let secrets: Vec<_> = secrets
                .iter()
                .map(|base64| secret(&STANDARD.decode(base64.as_str().unwrap()).unwrap()))
                .collect();
            let verified =
                verify(&secrets, text("timestamp"), &bytes("body_base64"), text("signature"));
            let outcome = match verified {
                Ok(_) => "authentic",
                Err(SignatureError::Malformed(SIGNATURE_HEADER)) => "malformed signature",
                Err(SignatureError::Malformed(_)) => "malformed timestamp",
                Err(SignatureError::Mismatch) => "mismatch",
                Err(other) => panic!("{}: {other}", text("name")),
            };
            assert_eq!(outcome, text("outcome"), "{}", text("name"));
        }
    }

    #[test]
    fn without_secrets_nothing_is_authentic() {
        let signature = sign(b"", "1", b"body");
        assert_eq!(verify(&[], "1", b"body", &signature), Err(SignatureError::Mismatch));
    }

    #[test]
    fn the_replay_window_is_inclusive_each_way() {
        let now = Timestamp::from_millis(1_000_000);
        let window = Duration::from_mins(15);
        let expired = Err(SignatureError::Expired { window_seconds: 900 });
        for (signed_at, checked) in [
            (100_000, Ok(())),
            (99_999, expired),
            (1_900_000, Ok(())),
            (1_900_001, expired),
            (i64::MAX, expired),
            (0, expired),
        ] {
            let signed_at = Timestamp::from_millis(signed_at);
            assert_eq!(check_age(signed_at, now, window), checked, "{signed_at}");
        }
    }

    #[test]
    fn each_header_is_needed_once() {
        let with = |values: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                headers.append(*name, value.parse().unwrap());
            }
            from_headers(&headers)
                .map(|(timestamp, signature)| [timestamp.to_owned(), signature.to_owned()])
        };
        let signature = (SIGNATURE_HEADER, "c2ln");
        let timestamp = (TIMESTAMP_HEADER, "1");
        let both = ["1".to_owned(), "c2ln".to_owned()];
        assert_eq!(with(&[signature, timestamp]), Ok(both));
        assert_eq!(with(&[timestamp]), Err(SignatureError::Missing(SIGNATURE_HEADER)));
        assert_eq!(with(&[signature]), Err(SignatureError::Missing(TIMESTAMP_HEADER)));
        let twice = with(&[signature, signature, timestamp]);
        assert_eq!(twice, Err(SignatureError::Malformed(SIGNATURE_HEADER)));
        let twice = with(&[signature, timestamp, timestamp]);
        assert_eq!(twice, Err(SignatureError::Malformed(TIMESTAMP_HEADER)));
    }

    proptest! {
        #[test]
        fn a_signature_holds_for_what_was_signed_and_nothing_else(
            key in proptest::collection::vec(any::<u8>(), 0..100),
            other in proptest::collection::vec(any::<u8>(), 1..100),
            millis in 0..i64::MAX,
            body in proptest::collection::vec(any::<u8>(), 0..300),
            flipped in any::<prop::sample::Index>(),
        ) {
            let timestamp = millis.to_string();
            let signature = sign(&key, &timestamp, &body);
            let secrets = [secret(&other), secret(&key)];
            prop_assert!(verify(&secrets, &timestamp, &body, &signature).is_ok());
            let mut tampered = body.clone();
            if !tampered.is_empty() {
                let place = flipped.index(tampered.len());
                tampered[place] ^= 1;
                let verified = verify(&secrets, &timestamp, &tampered, &signature);
                prop_assert_eq!(verified, Err(SignatureError::Mismatch));
            }
            // A zero in front changes the text, not the number.
            let rewritten = verify(&secrets, &format!("0{timestamp}"), &body, &signature);
            prop_assert_eq!(rewritten, Err(SignatureError::Mismatch));
        }

        #[test]
        fn any_header_text_is_answered_with_an_error(timestamp in ".{0,40}", signature in ".{0,60}") {
            prop_assert!(verify(&[secret(b"key")], &timestamp, b"body", &signature).is_err());
        }
    }
}
