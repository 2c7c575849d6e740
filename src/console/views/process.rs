//! A process, as its last heartbeat has it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::domain::heartbeat::{DutyBeat, Heartbeat};

/// A process of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Process)]
pub struct ProcessView {
    /// The name of its host, and some random characters; a restarted process has another name.
    pub process: String,
    /// Its role, or `serve` for all of them.
    pub role: String,
    /// Its release.
    pub version: String,
    /// `serving`, `consuming`, `standby`, `paused`, `blocked`, `stopped`; or `silent`, if nothing was
    /// heard from it for three minutes.
    #[schema(example = "consuming")]
    pub state: &'static str,
    /// Why it does not consume; null if it does, or has no worker.
    #[schema(required)]
    pub why: Option<String>,
    /// Whether it leads.
    pub leads: bool,
    /// When it started.
    pub started_at: String,
    /// When it was last heard from.
    pub heard_at: String,
    /// What its ingress answered since it started, by code.
    pub answers: BTreeMap<String, u64>,
}

/// What a process that is not heard from is called.
const SILENT: &str = "silent";

impl ProcessView {
    /// A process as it is known now.
    pub fn new(beat: &Heartbeat, now: Timestamp) -> Self {
        use crate::domain::heartbeat::ProcessState;
        let is_silent = beat.state != ProcessState::Stopped && beat.is_gone(now);
        Self {
            process: beat.process.clone(),
            role: beat.role.clone(),
            version: beat.version.clone(),
            state: if is_silent { SILENT } else { beat.state.as_str() },
            why: beat.why.clone(),
            leads: !beat.is_gone(now) && beat.leader.as_ref().is_some_and(|leader| leader.leads),
            started_at: beat.started_at.to_string(),
            heard_at: beat.at.to_string(),
            answers: beat.answers.clone(),
        }
    }
}

/// A duty of the process that leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Duty)]
pub struct DutyView {
    /// Its name.
    pub duty: String,
    /// When this leader last completed it; null before that.
    #[schema(required)]
    pub last_success: Option<String>,
    /// Why its last turn failed, or what it waits for; null if nothing is wrong.
    #[schema(required)]
    pub problem: Option<String>,
}

impl DutyView {
    pub(in crate::console) fn new(name: &str, duty: &DutyBeat) -> Self {
        Self {
            duty: name.to_owned(),
            last_success: duty.last_success.map(|at| at.to_string()),
            problem: duty.problem.clone(),
        }
    }
}
