//! The words of Greenroom as types: no I/O, no async, no clock.
//!
//! Everything that is decided, stored or shown is made of these values. A value that exists is
//! valid: the constructors refuse the rest, and so does deserialisation.

mod deploy;
mod error;
mod event;
mod goal;
mod id;
mod log;
mod plan;
mod project;
mod stage;
mod surface;
mod time;

pub use deploy::{Deploy, NewDeploy, Outcome, Release};
pub use error::{Failure, FailureKind, Position, Problem, Problems};
pub use event::{
    Actor, ActorKind, Branch, CommentEvent, Event, HeadRef, PullRequest, PullRequestAction, PullRequestState, PushEvent,
};
pub use goal::{
    Addressing, Artifact, ImageSpec, LocalCommands, Runtime, ServiceSpec, StageKind, StageSpec, VersionKey, Wanted,
};
pub use id::{
    AppName, BadId, CommitSha, DeliveryId, DeployId, ExternalId, Fence, Generation, PullNumber, RepoName, ServiceName,
    StageName, UserId,
};
pub use log::{IllegalEvent, StepEvent, StepEventKind, StepLog, StepState};
pub use plan::{
    Action, Changed, Interruption, Observed, ObservedService, Output, Plan, Resource, Runs, SkipReason, Skipped, Step,
    StepKey,
};
pub use project::{
    AwsTarget, BranchPattern, Build, Cors, Dns, Domain, DraftPolicy, ForkPolicy, Health, HostLabel, LocalCommand,
    Migrate, Platform, Project, Scale, SecretRef, Service, ServiceKind, Size, StagePattern, StageRule, Trigger,
};
pub use stage::{Chore, GoneReason, Lane, Lock, StageId, StageRecord, StageStatus, Subject, Target};
pub use surface::{CheckState, DeploymentState, Permission, Reaction, SurfaceKey, SurfaceKind};
pub use time::{Seconds, Timestamp, Wake};
