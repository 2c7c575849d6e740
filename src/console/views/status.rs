//! How the service stands, on one screen.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{DeadLetterGroupView, DutyView, PauseView, ProcessView, QueuesView};
use crate::domain::{LastAudit, Site, Timestamp};

/// How the service stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Status)]
pub struct StatusView {
    /// One sentence: `All is well: ...` or `Needs a person: ...`.
    pub verdict: String,
    /// What needs a person; empty if all is well.
    pub problems: Vec<String>,
    /// When this was read.
    pub at: String,
    /// The last audit of the process that leads; null before the first.
    #[schema(required)]
    pub audit: Option<AuditView>,
    /// The queues; null if they do not answer.
    #[schema(required)]
    pub queues: Option<QueuesView>,
    /// Who paused the work queue; null while workers may take from it.
    #[schema(required)]
    pub paused: Option<PauseView>,
    /// The webhooks of the last hour.
    pub webhooks: WebhooksView,
    /// When something last arrived for the shops.
    pub sites: SitesSeenView,
    /// Dead letters.
    pub dead_letters: ParkedView,
    /// The duties of the process that leads.
    pub duties: Vec<DutyView>,
    /// The processes that were heard from within a day, the last heard from first.
    pub processes: Vec<ProcessView>,
}

/// An audit of all shops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Audit)]
pub struct AuditView {
    /// When it was completed.
    pub at: String,
    /// How many numbers were others than they should be.
    pub differences: u64,
}

impl From<LastAudit> for AuditView {
    fn from(audit: LastAudit) -> Self {
        Self { at: audit.at.to_string(), differences: audit.differences }
    }
}

/// The webhooks of the last hour, as the ingresses have reported them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhooksOfLastHour)]
pub struct WebhooksView {
    /// How many were accepted.
    pub accepted: u64,
    /// How many requests were refused, by code.
    pub refused: BTreeMap<String, u64>,
}

/// When something last arrived for the shops: those that heard nothing for longest, and those that
/// heard something last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SitesSeen)]
pub struct SitesSeenView {
    /// How many shops there are.
    pub known: u64,
    /// The shops whose last webhook is the oldest, oldest first; at most five.
    pub oldest: Vec<SiteSeenView>,
    /// The shops whose last webhook is the newest, newest first; at most five.
    pub newest: Vec<SiteSeenView>,
}

/// When something last arrived for a shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SiteSeen)]
pub struct SiteSeenView {
    /// The shop.
    pub site: String,
    /// When an order of it was last changed; null if there is none.
    #[schema(required)]
    pub last_webhook_at: Option<String>,
}

impl SiteSeenView {
    pub(in crate::console) fn new(site: &Site, at: Option<Timestamp>) -> Self {
        Self { site: site.to_string(), last_webhook_at: at.map(|at| at.to_string()) }
    }
}

/// Parked dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ParkedDeadLetters)]
pub struct ParkedView {
    /// How many there are.
    pub parked: u64,
    /// How many bytes their bodies take.
    pub bytes: u64,
    /// The largest groups; at most three.
    pub groups: Vec<DeadLetterGroupView>,
}
