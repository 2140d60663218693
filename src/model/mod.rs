//! The words of Greenroom as types: no I/O, no async, no clock.
//!
//! Everything that is decided, stored or shown is made of these values. A value that exists is
//! valid: the constructors refuse the rest, and so does deserialisation.

mod asked;
mod audit;
mod branch_filter;
mod builds;
mod command;
mod commit;
mod condition;
mod deploy;
mod error;
mod event;
mod evidence;
mod foundation;
mod goal;
mod id;
mod label;
mod lock;
mod log;
mod merge_queue;
mod occasion;
mod oidc;
mod paths;
mod pattern;
mod plan;
mod policy;
mod project;
mod reading;
mod receipt;
mod repository;
mod share;
mod stage;
mod state;
mod surface;
mod time;
mod trust;
mod verdict;
mod wall;
mod witness;
mod workflow;

pub use asked::Asked;
pub use audit::{AuditCheck, AuditEntry, AuditLine, AuditLink, AuditVerdict, BadEntry, Tampering};
pub use branch_filter::BranchFilter;
pub use builds::{
    BUILD_JOBS, BUILD_WORKFLOW, BUILD_WORKFLOW_NAME, Builds, BuiltBy, Nonce, RunnerLabels, Runners, note_and_page,
    note_with_page,
};
pub use command::{Command, Force, LineCount, LockScope, Login, NamedCommit, ShaBeginning, Verb};
pub use commit::{CameBy, Commit};
pub use condition::{Condition, Conditions, Wellbeing};
pub use deploy::{Deploy, NewDeploy, Outcome, Release};
pub use error::{Failure, FailureKind, Position, Problem, Problems};
pub use event::{
    Actor, ActorKind, Branch, CommentEvent, CommentSource, Event, HeadRef, PullRequest, PullRequestAction,
    PullRequestState, PushEvent,
};
pub use evidence::{CheckApp, CheckOutcome, CheckResult, Checks, Review, ReviewState};
pub use foundation::{DnsRecord, FoundationReport, FoundationZone, LiveFoundation, TemplateAge};
pub use goal::{
    Addressing, Artifact, ImageSpec, LocalCommands, Pinned, Place, Runtime, Scheme, ServiceSpec, StageKind, StageSpec,
    VersionKey, Wanted,
};
pub use id::{
    AppName, BadId, CommitSha, DeliveryId, DeployId, ExternalId, Fence, Generation, PullNumber, RepoId, RepoName,
    ServiceName, StageName, UserId,
};
pub use label::is_same_label;
pub use lock::{Lock, RepoLockChange, Waiting};
pub use log::{IllegalEvent, StepEvent, StepEventKind, StepLog, StepState};
pub use occasion::{Cause, Effect, Occasion, Rights, RunFacts, StepVerb, StepWish};
pub use oidc::{AUDIENCE, Claims, Issuer, RepoIdentity, state_bucket};
pub use paths::PathFilter;
pub use pattern::StagePattern;
pub use plan::{
    Action, ChangeKind, Changed, Interruption, Observed, ObservedService, Output, Plan, Resource, ResourceChange, Runs,
    SkipReason, Skipped, Step, StepKey,
};
pub use policy::{Allow, ChecksWanted, CommandRules, NamedCheck, StagePolicy, Who, default_role};
pub use project::{
    AwsRoles, AwsTarget, BranchPattern, Build, Cors, Dns, Domain, DraftPolicy, ForkPolicy, Health, HostLabel, Limits,
    LocalCommand, Migrate, Platform, Project, Scale, SecretRef, Service, ServiceKind, Size, StageRule, Trigger,
};
pub use reading::{Block, Line, Misread, Prefix, Reading, Slot};
pub use receipt::{CommandOutcome, CommandReceipt, CommandResult, ReceiptBond, ReceiptKey, ReceiptState};
pub use repository::{KnownRepo, RepoFacts, RepoOwner, RepoSeen};
pub use share::LaneShare;
pub use stage::{Chore, GoneReason, Lane, StageId, StageRecord, StageStatus, Subject, Target, Withholding};
pub use state::StateLocation;
pub use surface::{CheckState, DeploymentState, Permission, Reaction, SurfaceKey, SurfaceKind};
pub use time::{Seconds, Timestamp, Wake};
pub use trust::Trust;
pub use verdict::{Answer, Binding, Gate, GateResult, GateState, Offer, Verdict, Withheld};
pub use wall::{RepoList, RepoPattern, Wall, ZoneList};
pub use witness::Witness;
pub use workflow::{IdToken, JobEnvironment, PushReach, Workflow, WorkflowJob, WorkflowTrigger};
