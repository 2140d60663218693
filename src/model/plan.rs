//! Plans: the immutable list of steps from what is to the goal.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Artifact, Generation, Place, Seconds, ServiceName, StageId, VersionKey, Wanted};

/// The steps that take a stage to its goal. No step means that the stage is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub stage: StageId,
    #[serde(default)]
    pub place: Place,
    pub generation: Generation,
    pub wanted: Wanted,
    /// In an order in which each step comes after those it needs.
    pub steps: Vec<Step>,
    /// Services that the goal does not touch, and why.
    pub skipped: Vec<Skipped>,
}

/// A service left as it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub service: ServiceName,
    pub why: SkipReason,
}

/// Why a service is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// No changed file matches its `paths`.
    NoPathChanged,
    /// The goal is about other services.
    NotAsked,
    /// The version that the goal wants is what runs.
    SameVersion,
}

impl fmt::Display for SkipReason {
    /// In words: `no file of its paths changed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPathChanged => "no file of its paths changed",
            Self::NotAsked => "the goal is about other services",
            Self::SameVersion => "the same version runs",
        })
    }
}

/// Names a step inside its plan: `build:web`, `remove:3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepKey(pub String);

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing to do, repeatable without harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub key: StepKey,
    pub needs: Vec<StepKey>,
    pub action: Action,
    /// From its first start; longer is a failure.
    pub deadline: Seconds,
    pub interruption: Interruption,
    pub runs: Runs,
}

/// Whether a newer goal may cut in while the step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    Allowed,
    /// It is waited out: a migration, a stack operation, a switch.
    Forbidden,
}

/// Whether the step also runs after another one failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    AfterSuccess,
    /// Also after a failure: it leaves the place clean.
    Always,
}

/// What a step does. `engine::effect` is the only place that acts on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Bring the goal's source to this machine.
    Fetch,
    /// Make what the stage needs besides its programs: what it shares with others, and its own.
    Prepare,
    /// Make the service's artifact.
    Build { service: ServiceName },
    /// See that the artifact of a release is still there, and hold it for this stage.
    Adopt { service: ServiceName },
    /// Run the service's one-off command with the new artifact.
    Migrate { service: ServiceName },
    /// Give one copy of the new version its share of the traffic, and watch it for a while.
    Canary { service: ServiceName },
    /// Start the new version beside the old one and see it healthy.
    Start { service: ServiceName },
    /// Lead the traffic to the new version.
    Shift { service: ServiceName },
    /// Ask the public address and compare what answers with what should.
    Check { service: ServiceName },
    /// Drain and remove every version that does not serve.
    Retire { service: ServiceName },
    /// Remove the source that was fetched.
    Tidy,
    /// Remove one thing of a stage that goes.
    Remove { resource: Resource },
    /// Look again whether anything is left of a stage that goes.
    Prove { planned: u32 },
}

impl Action {
    /// The service that it is about.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Build { service }
            | Self::Adopt { service }
            | Self::Migrate { service }
            | Self::Canary { service }
            | Self::Start { service }
            | Self::Shift { service }
            | Self::Check { service }
            | Self::Retire { service } => Some(service),
            Self::Remove { resource } => resource.service.as_ref(),
            Self::Fetch | Self::Prepare | Self::Tidy | Self::Prove { .. } => None,
        }
    }
}

/// Something that exists on a target because of a stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// `process`, `container`, `route`, `image`, `files`, ...
    pub kind: String,
    /// Its name on the target.
    pub id: String,
    pub service: Option<ServiceName>,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// What exists of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    pub services: BTreeMap<ServiceName, ObservedService>,
    /// What is seen of it without further asking, in the order in which it can be removed.
    pub resources: Vec<Resource>,
    /// What [`Action::Prepare`] made, as a hash; `None` where there is nothing of it.
    #[serde(default)]
    pub blueprint: Option<String>,
}

/// One thing that preparing a stage would change, for the reader of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChange {
    pub change: ChangeKind,
    /// `AWS::ECS::Service`, ...
    pub kind: String,
    /// Its name in the template.
    pub name: String,
    /// The properties that differ.
    pub details: Vec<String>,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Changed,
    /// Only when it is done does CloudFormation know whether it is changed or replaced.
    PerhapsReplaced,
    /// A new one takes its place.
    Replaced,
    Removed,
}

impl ChangeKind {
    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::PerhapsReplaced => "perhaps replaced",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
        }
    }
}

/// What runs of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedService {
    /// The version that the traffic goes to, if it is healthy.
    pub serving: Option<VersionKey>,
    /// Versions that exist beside it.
    pub others: Vec<VersionKey>,
}

/// Which files differ between what runs and the goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Unknown, or too many to list: everything counts as changed.
    Everything,
    /// These paths.
    Files(Vec<String>),
}

/// What a step leaves for the steps that need it, and for the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Nothing to hand on.
    Nothing,
    /// The folder of the unpacked source, and in a sentence each what it lacks that its authors have.
    Source {
        path: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        gaps: Vec<String>,
    },
    /// Newly made.
    Built(Artifact),
    /// Already there with the same content.
    Reused(Artifact),
    /// The version that now runs.
    Version(VersionKey),
    /// The public address answered.
    Answered { url: String, status: u16, millis: u32 },
    /// Copies running of a service without an address.
    Running { copies: u32, wanted: u32 },
    /// How much of a stage was removed, and what is left.
    Left { removed: u32, left: Vec<Resource> },
}

impl Output {
    /// The artifact, made or found.
    pub fn artifact(&self) -> Option<&Artifact> {
        match self {
            Self::Built(artifact) | Self::Reused(artifact) => Some(artifact),
            _ => None,
        }
    }
}
