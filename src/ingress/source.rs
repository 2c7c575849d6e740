//! Which source a webhook comes from: by the path's token, then by whose secret signed.
//!
//! Each source is a trust domain; the worker checks which sites it may write. A source has any
//! number of credentials, one of which is enough. A token belongs to one credential and a secret to
//! one source, which the settings have checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::quota::{Quota, QuotaLimits};
use super::signature::{self, SignatureError};
use crate::config::IngressSettings;
use crate::domain::{DEFAULT_SOURCE, Timestamp};

/// Who may send webhooks, once for each credential.
pub(super) struct Sources {
    /// Those at the path without a token.
    plain: Vec<Source>,
    /// Those at a path of their own, with the SHA-256 of its token: digests are of one length, so
    /// that comparing them in constant time does not reveal that of the tokens.
    hidden: Vec<([u8; 32], Source)>,
}

/// Somebody who may send webhooks, with one credential.
pub(super) struct Source {
    pub(super) name: String,
    /// Shared by all credentials of the source.
    pub(super) quota: Arc<Quota>,
    /// Any of these may have signed; empty if the token is all that is asked for.
    secrets: Vec<SecretBox<[u8]>>,
}

/// What is known of an authentic webhook.
#[derive(Clone, Copy)]
pub(super) struct Authentic<'s> {
    /// Who sent it.
    pub(super) source: &'s Source,
    /// When it was signed; `None` if its source does not sign.
    pub(super) signed_at: Option<Timestamp>,
}

impl Sources {
    pub(super) fn new(settings: &IngressSettings) -> Self {
        let mut sources = Self { plain: Vec::new(), hidden: Vec::new() };
        let limits = QuotaLimits {
            webhooks: settings.quota_per_minute,
            bytes: settings.quota_bytes_per_minute.map(|size| size.0),
        };
        let mut quotas = BTreeMap::new();
        let mut quota_of = |name: &str| {
            let quota =
                quotas.entry(name.to_owned()).or_insert_with(|| Arc::new(Quota::new(limits)));
            Arc::clone(quota)
        };
        // Without any credential, everybody is the default source.
        if settings.has_own_credential() || settings.is_open() {
            let (name, quota) = (DEFAULT_SOURCE.to_owned(), quota_of(DEFAULT_SOURCE));
            let source = Source { name, quota, secrets: copied(&settings.secrets) };
            sources.add(source, settings.path_token.as_ref());
        }
        for given in &settings.credentials {
            let (name, quota) = (given.source.clone(), quota_of(&given.source));
            let source = Source { name, quota, secrets: copied(&given.secrets) };
            sources.add(source, given.path_token.as_ref());
        }
        sources
    }

    fn add(&mut self, source: Source, token: Option<&SecretString>) {
        match token {
            None => self.plain.push(source),
            Some(token) => {
                self.hidden.push((Sha256::digest(token.expose_secret()).into(), source));
            }
        }
    }

    /// Whether anything is taken at the path without a token.
    pub(super) fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// Whether anything is taken at paths with a token.
    pub(super) fn has_hidden(&self) -> bool {
        !self.hidden.is_empty()
    }

    /// Who may send to the path with this token, or to the one without; empty if there is nothing.
    pub(super) fn at(&self, token: Option<&str>) -> &[Source] {
        let Some(token) = token else { return &self.plain };
        let given: [u8; 32] = Sha256::digest(token).into();
        // Every token is compared, so that the time does not reveal which one is nearly right.
        let found = (0_u64..).zip(&self.hidden).fold(u64::MAX, |found, (place, (digest, _))| {
            u64::conditional_select(&found, &place, digest.ct_eq(&given))
        });
        let found = usize::try_from(found).ok().and_then(|place| self.hidden.get(place));
        found.map_or(&[], |(_, source)| std::slice::from_ref(source))
    }

    /// Whether nothing is verified at all.
    pub(super) fn is_open(&self) -> bool {
        self.plain.iter().any(|source| source.secrets.is_empty())
    }
}

fn copied(secrets: &[SecretBox<[u8]>]) -> Vec<SecretBox<[u8]>> {
    secrets.iter().map(|secret| SecretBox::new(secret.expose_secret().into())).collect()
}

/// Finds which of the sources sent a body, in a time that does not reveal which.
pub(super) fn authenticate<'s>(
    sources: &'s [Source],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Authentic<'s>, SignatureError> {
    if let [source] = sources
        && source.secrets.is_empty()
    {
        return Ok(Authentic { source, signed_at: None });
    }
    let (timestamp, given) = signature::from_headers(headers)?;
    let secrets = sources.iter().map(|source| source.secrets.as_slice());
    let (place, signed_at) = signature::verify(secrets, timestamp, body, given)?;
    let source = sources.get(place).ok_or(SignatureError::Mismatch)?;
    Ok(Authentic { source, signed_at: Some(signed_at) })
}

/// Nothing of the secrets is shown, not even how many there are.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}
