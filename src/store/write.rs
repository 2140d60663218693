//! The writes, made ready by their callers: everything is text, bytes or number by now, so that
//! the one writing task has nothing to compute.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::carried::{Contested, HolderRow};
use super::claims::{Among, Terms};
use super::locks::RepoLockRow;
use super::receipt::ReceiptRow;
use super::walls::SeenRow;
use super::witness::WitnessRow;
use crate::model::AuditEntry;
use crate::port::{Claimed, PortResult, Receipt};

/// A write on its way, and where its answer goes.
pub(super) struct Job {
    pub(super) write: Write,
    pub(super) answer: oneshot::Sender<PortResult<Answer>>,
}

pub(super) enum Write {
    Receive(DeliveryRow),
    Ring { lane: String, at: i64 },
    Claim(Terms),
    ClaimAmong(Among),
    Renew { hold: Hold, until: i64 },
    Release { hold: Hold, bell: i64, wake_at: Option<i64>, attempts: i64 },
    Intake { hold: Hold, intake: IntakeRows },
    Status { hold: Hold, stage: StageRow },
    Open { hold: Hold, deploy: DeployRow },
    Close { hold: Hold, end: EndRow },
    Append { hold: Hold, lines: Vec<LineRow> },
    Intend { hold: Hold, bell: i64, lines: Vec<LineRow>, intent: LineRow },
    Surfaces { hold: Hold, surfaces: Vec<SurfaceRow> },
    Receipts { hold: Hold, receipts: Vec<ReceiptRow> },
    Prune { below: i64, limit: i64 },
    Forget { before: i64 },
    TakeSlot { pool: String, holder: String, avoid: BTreeSet<u32>, last: u32 },
    FreeSlot { pool: String, holder: String },
    Identify(SeenRow),
    Hear(SeenRow),
    Dismiss { id: i64, rumour: String },
    TakeHosts { stage: String, hosts: Vec<String> },
    KeepHosts { stage: String, hosts: Vec<String> },
    CarryHosts(Vec<HolderRow>),
}

/// What a write came to.
#[derive(Debug)]
pub(super) enum Answer {
    Written,
    Receipt(Receipt),
    Claimed(Option<Claimed>),
    /// Whether the intent was written.
    Intended(bool),
    Opened {
        id: i64,
        running: Option<RunningRow>,
    },
    Pruned(u64),
    Slot(Option<u32>),
    /// The host that another stage has, and that stage's key.
    Hosts(Option<(String, String)>),
    /// Hosts that others had before those who wanted them.
    Carried(Vec<Contested>),
}

/// Which lane the writer holds, and under which number.
pub(super) struct Hold {
    pub(super) lane: String,
    pub(super) fence: i64,
}

pub(super) struct DeliveryRow {
    pub(super) id: String,
    pub(super) body: Vec<u8>,
    pub(super) lane: String,
    pub(super) state: i64,
    pub(super) at: i64,
    pub(super) content: String,
    pub(super) reason: Option<String>,
    /// Under which it is looked for.
    pub(super) key: i64,
}

pub(super) struct IntakeRows {
    pub(super) stages: Vec<StageRow>,
    pub(super) repo_lock: Option<RepoLockRow>,
    pub(super) rings: Vec<String>,
    pub(super) ring_at: i64,
    pub(super) done: Vec<i64>,
    pub(super) poison: Vec<(i64, String)>,
    pub(super) witnesses: Vec<WitnessRow>,
    pub(super) receipts: Vec<ReceiptRow>,
    pub(super) audit: Vec<AuditEntry>,
}

pub(super) struct StageRow {
    pub(super) repo: String,
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) target: String,
    pub(super) generation: i64,
    pub(super) status: String,
    pub(super) approval: Option<String>,
    pub(super) lock: Option<String>,
    pub(super) queue: Option<String>,
    pub(super) keep_until: Option<i64>,
    pub(super) asked: Option<String>,
    pub(super) settled: i64,
    pub(super) place: Option<String>,
    pub(super) touched_at: i64,
    pub(super) expires_at: Option<i64>,
    pub(super) conditions: Option<String>,
}

pub(super) struct DeployRow {
    pub(super) stage: String,
    pub(super) generation: i64,
    pub(super) plan: String,
    pub(super) started_at: i64,
}

/// A deploy that runs already.
#[derive(Debug)]
pub(super) struct RunningRow {
    pub(super) plan: String,
    pub(super) started_at: i64,
}

pub(super) struct EndRow {
    pub(super) deploy: i64,
    pub(super) at: i64,
    pub(super) outcome: String,
    pub(super) stage: StageRow,
    /// The stage's key and the release as JSON.
    pub(super) release: Option<(String, String)>,
}

pub(super) struct LineRow {
    pub(super) deploy: i64,
    pub(super) seq: i64,
    pub(super) step: String,
    pub(super) fence: i64,
    pub(super) at: i64,
    pub(super) kind: String,
}

pub(super) struct SurfaceRow {
    pub(super) stage: String,
    pub(super) kind: &'static str,
    pub(super) key: String,
    pub(super) external: Option<String>,
    pub(super) hash: String,
    pub(super) at: i64,
}

impl Write {
    /// The lane that must be held for it.
    pub(super) fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Renew { hold, .. }
            | Self::Release { hold, .. }
            | Self::Intake { hold, .. }
            | Self::Status { hold, .. }
            | Self::Open { hold, .. }
            | Self::Close { hold, .. }
            | Self::Append { hold, .. }
            | Self::Intend { hold, .. }
            | Self::Surfaces { hold, .. }
            | Self::Receipts { hold, .. } => Some(hold),
            Self::Receive(_)
            | Self::Ring { .. }
            | Self::Claim(_)
            | Self::ClaimAmong(_)
            | Self::Prune { .. }
            | Self::Forget { .. }
            | Self::TakeSlot { .. }
            | Self::FreeSlot { .. }
            | Self::Identify(_)
            | Self::Hear(_)
            | Self::Dismiss { .. }
            | Self::TakeHosts { .. }
            | Self::KeepHosts { .. }
            | Self::CarryHosts(_) => None,
        }
    }

    /// The lanes that it rings.
    pub(super) fn rings(&self) -> &[String] {
        match self {
            Self::Receive(delivery) => std::slice::from_ref(&delivery.lane),
            Self::Ring { lane, .. } => std::slice::from_ref(lane),
            Self::Intake { intake, .. } => &intake.rings,
            _ => &[],
        }
    }
}
