//! Everything that a reader may see of a stage, as one value.
//!
//! Texts in it are cleaned of control characters and redacted, and otherwise as they were
//! written; escaping is the renderers' business.

use serde::Serialize;

use super::Times;
use crate::model::{
    CommitSha, FailureKind, Generation, GoneReason, Position, PullNumber, RepoName, Seconds, ServiceName, StageName,
    Timestamp,
};

/// Where more can be read, and which commands exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Links<'a> {
    /// Base address of build logs: `<base>/<owner>/<name>/<stage>/<service>` is the log's page.
    pub build_logs: Option<&'a str>,
    /// Base address of the logs of what runs, built the same way.
    pub app_logs: Option<&'a str>,
    /// Commands that this server understands, shown below the table: `/keep 3d`.
    pub commands: &'a [&'a str],
    /// The command that approves a commit, without the commit: `/approve`.
    pub approve: Option<&'a str>,
}

/// What a stage is at, one headline each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StagePhase {
    /// Waits for its turn.
    Queued,
    /// Source or images are being made.
    Building,
    /// Migrating, watching a canary, starting or switching.
    Deploying,
    /// The public address is being asked.
    Checking,
    Live,
    /// It went live, and something of it is not well since.
    Unhealthy,
    Failed,
    /// A newer goal took its place.
    Superseded,
    Misconfigured,
    AwaitingApproval,
    /// A lock or a gate holds the newest goal back.
    Withheld,
    Full,
    Destroying,
    Destroyed,
    /// Something of a stage that goes cannot be removed.
    Stuck,
}

impl StagePhase {
    /// Its name, as in the comment's hidden JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Deploying => "deploying",
            Self::Checking => "checking",
            Self::Live => "live",
            Self::Unhealthy => "unhealthy",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Misconfigured => "misconfigured",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Withheld => "withheld",
            Self::Full => "full",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
            Self::Stuck => "stuck",
        }
    }

    /// Whether nothing more happens until somebody does something.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Building | Self::Deploying | Self::Checking | Self::Destroying)
    }
}

/// What a service is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    Waiting,
    Building,
    Migrating,
    /// One copy of the new version has its share of the traffic.
    Canary,
    Starting,
    Switching,
    Checking,
    Live,
    Unchanged,
    /// It serves, ends again and again, and is started again.
    Restarting,
    /// It serves, and its health check does not pass.
    Unhealthy,
    Failed,
    /// Its deploy ended before its turn came, and an older version of it serves.
    Serving,
    /// Its deploy ended before its turn came.
    NotDeployed,
    /// It was being worked on when a newer goal cut in.
    Cancelled,
}

/// Why a service was left as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unchanged {
    NoPathChanged,
    /// Somebody asked for other services alone.
    NotAsked,
    /// The goal's version of it is what runs already.
    SameVersion,
}

/// What the health check last saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HealthView {
    Answered { status: u16, millis: u32 },
    Running { copies: u32, wanted: u32 },
}

/// One row of the table of services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceView {
    pub name: ServiceName,
    pub state: ServiceState,
    pub unchanged: Option<Unchanged>,
    /// The commit whose version of it runs on, where it was left as it runs and the history goes so far back.
    pub since: Option<CommitSha>,
    pub url: Option<String>,
    pub health: Option<HealthView>,
    /// Milliseconds that its own steps took, where they ended.
    pub build_millis: Option<i64>,
    pub deploy_millis: Option<i64>,
    pub health_millis: Option<i64>,
    /// What its running step is at: `waiting for the health check`.
    pub note: Option<String>,
    pub build_log: Option<String>,
    pub app_log: Option<String>,
}

/// A step in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView {
    /// `fetch`, `build`, `adopt`, `migrate`, `start`, `shift`, `check`, `retire`, `tidy`, `remove`, `prove`.
    pub kind: &'static str,
    pub service: Option<ServiceName>,
    /// What is removed: `container web-1`.
    pub resource: Option<String>,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepRowState {
    Waiting,
    Running,
    Done,
    Failed,
    Cancelled,
    /// The deploy ended before its turn came.
    NotReached,
}

/// A step with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRow {
    pub step: StepView,
    pub state: StepRowState,
    pub note: Option<String>,
    pub started_at: Option<Timestamp>,
    /// Milliseconds from its first start to its end.
    pub millis: Option<i64>,
}

/// A passing fault that is waited out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    pub step: StepView,
    pub reason: String,
    /// Milliseconds between the fault and the next try.
    pub again_millis: i64,
    pub attempt: u32,
}

/// Why the deploy failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureView {
    pub step: Option<StepView>,
    pub kind: FailureKind,
    pub summary: String,
    pub exit_code: Option<i32>,
    pub log: Vec<String>,
    pub advice: String,
}

/// How a service is doing that is not well, or was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TroubleView {
    pub service: ServiceName,
    /// Whether it is well again.
    pub recovered: bool,
    /// Since when it is not well, or is well again.
    pub since: Timestamp,
    /// What it does: `ended and was started again 3 times`.
    pub told: String,
    /// What was seen last: `web ended with exit code 3`.
    pub summary: Option<String>,
}

/// What still answers although the newest goal is not live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Serving {
    pub sha: CommitSha,
    /// Services that already run the newer commit.
    pub moved: Vec<ServiceName>,
}

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemView {
    pub file: String,
    #[serde(flatten)]
    pub at: Position,
    pub path: String,
    pub message: String,
}

/// Every place is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Full {
    pub max: u32,
    pub holders: Vec<StageName>,
}

/// What holds the newest goal back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WithheldView {
    Locked { by: String, reason: String, until: Option<Timestamp> },
    Refused { evidence: String, way_out: String },
}

/// A stage that goes or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GoneView {
    #[serde(skip)]
    pub reason: Option<GoneReason>,
    #[serde(rename = "reason")]
    pub word: Option<&'static str>,
    /// The label that its pull request does not have, where that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether its pull request had that label when the stage was brought on. A rule may have got its label later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was_labelled: Option<bool>,
    /// Removed until now.
    pub removed: u32,
    /// Removed and to be removed together.
    pub total: u32,
    /// What is still there, where that is known: `bucket uploads`.
    pub left: Vec<String>,
    pub at: Option<Timestamp>,
}

/// When the stage is removed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Expiry {
    pub at: Timestamp,
    /// From the moment that the view speaks of (the deploy's end, else now) to `at`.
    pub span: Seconds,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryRow {
    pub generation: Generation,
    /// `None` for a removal.
    pub sha: Option<CommitSha>,
    /// `running`, `live`, `failed`, `superseded`, `gone`.
    pub result: &'static str,
    pub started_at: Timestamp,
    /// Milliseconds it took, where it ended.
    pub millis: Option<i64>,
}

/// A stage as its readers see it. Made by [`StageView::of`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageView {
    pub repo: RepoName,
    pub stage: StageName,
    pub generation: Generation,
    /// The pull request that it belongs to; without one there is no comment.
    pub pull: Option<PullNumber>,
    pub phase: StagePhase,
    /// The commit that the headline speaks of.
    pub sha: Option<CommitSha>,
    /// The stage's first address.
    pub url: Option<String>,
    pub services: Vec<ServiceView>,
    pub steps: Vec<StepRow>,
    pub started_at: Option<Timestamp>,
    pub times: Option<Times>,
    pub waiting: Option<Waiting>,
    pub failure: Option<FailureView>,
    /// What is not well since it went live, and what was not.
    pub troubles: Vec<TroubleView>,
    pub serving: Option<Serving>,
    /// What the source lacks that its authors have.
    pub gaps: Vec<String>,
    pub superseded_by: Option<Generation>,
    pub problems: Vec<ProblemView>,
    pub full: Option<Full>,
    pub withheld: Option<WithheldView>,
    pub gone: Option<GoneView>,
    pub expires: Option<Expiry>,
    pub history: Vec<HistoryRow>,
    pub commands: Vec<String>,
    pub approve: Option<String>,
}
