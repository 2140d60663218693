//! A goal made concrete: every name, address and value of a stage, decided before anything runs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    AppName, AwsTarget, Builds, BuiltBy, CommitSha, Domain, Generation, GoneReason, Health, Migrate, Platform,
    PullNumber, Scale, Seconds, SecretRef, ServiceName, Size, StageId, StageName, Trust,
};

/// What a stage should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// These services at this commit.
    Live(Box<StageSpec>),
    /// Nothing, with nothing left behind.
    Gone(GoneReason),
}

/// How addresses are written for a target; the zone of the configuration may be overridden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressing {
    pub scheme: Scheme,
    /// The zone for configurations that name none.
    pub zone: String,
    /// A port that is not the scheme's own.
    pub port: Option<u16>,
    pub local_commands: LocalCommands,
}

/// How the public door speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    /// `https` where the zone has a certificate or can get one, `http` where it has neither.
    HttpsIfCertified,
}

/// Where on a target a stage lives. It is kept with the stage, so that the stage is found and
/// removed also when its configuration is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `None` only of a stage that was never resolved.
    pub app: Option<AppName>,
    pub kind: StageKind,
    /// The account and region, with the role for stages of this kind; `None` is the target's own.
    pub aws: Option<AwsTarget>,
    pub domain: Option<Domain>,
    /// The name under which all its hosts lie: the zone, or `stage.zone` of a permanent stage. A
    /// certificate for it and for `*.` of it covers them all.
    pub base: Option<String>,
    /// Its data, and what that lies in, stays when the stage goes.
    #[serde(default)]
    pub retain: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { app: None, kind: StageKind::Ephemeral, aws: None, domain: None, base: None, retain: false }
    }
}

impl Place {
    /// Whether a stage that lives here would have to move to live there.
    pub fn is_elsewhere(&self, other: &Self) -> bool {
        let account = |place: &Self| place.aws.as_ref().map(|aws| (aws.region.clone(), aws.account.clone()));
        account(self) != account(other)
    }
}

/// What a target does with `local.command`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalCommands {
    /// The service runs as that process.
    Run,
    /// The service runs from its image all the same.
    Ignore,
}

/// A stage resolved at one commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSpec {
    pub stage: StageId,
    pub sha: CommitSha,
    pub pull: Option<PullNumber>,
    pub kind: StageKind,
    #[serde(default)]
    pub place: Place,
    /// In an order in which each service comes after those it needs.
    pub services: Vec<ServiceSpec>,
    pub expires: Option<Seconds>,
    /// SHA-256 over the place and the services without the commit: when it differs, the configuration changed.
    pub digest: String,
    /// SHA-256 of the configuration's file, hexadecimal.
    #[serde(default)]
    pub file: String,
    /// The pull request that the commit was brought by, also where the stage is none of its own.
    #[serde(default)]
    pub origin: Option<PullNumber>,
    /// How far the commit is trusted.
    #[serde(default)]
    pub trust: Trust,
    /// What was made before and is not made again.
    #[serde(default)]
    pub pinned: Option<Pinned>,
    /// The label that its rule asks for, where the pull request was seen to have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Who builds its images.
    #[serde(default, skip_serializing_if = "Builds::is_default")]
    pub builds: Builds,
    /// Only these services are brought on; empty means all of them.
    #[serde(default)]
    pub only: Vec<ServiceName>,
}

/// The artifacts of a release, to be run as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    pub stage: StageName,
    pub generation: Generation,
    pub artifacts: BTreeMap<ServiceName, Artifact>,
}

/// How long a stage is meant to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// It comes and goes.
    Ephemeral,
    Permanent,
    /// A permanent one that answers at the zone itself or is protected.
    Production,
}

/// A service resolved for one stage and commit: no placeholders are left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    pub name: ServiceName,
    pub runtime: Runtime,
    pub port: Option<u16>,
    /// The full host name, without scheme and port.
    pub host: Option<String>,
    /// The public address; `None` for a worker.
    pub url: Option<String>,
    pub size: Size,
    pub scale: Scale,
    pub health: Health,
    pub env: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, SecretRef>,
    pub migrate: Option<Migrate>,
    pub needs: Vec<ServiceName>,
    pub paths: Vec<String>,
    pub drain: Seconds,
    /// How long one copy of a new version is watched before the rest follows; `None` does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Seconds>,
    /// The generation in which somebody asked for a restart; part of the version's name, so that the
    /// same content is another version then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edition: Option<Generation>,
}

/// What a service runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// A process on this machine, in the unpacked source of its commit.
    Process { command: Vec<String> },
    /// A container of an image built from the source.
    Image(ImageSpec),
}

/// How an image is built, placeholders filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// A folder inside the source, `.` for all of it.
    pub context: String,
    /// A file inside the context.
    pub dockerfile: String,
    pub target: Option<String>,
    pub platform: Option<Platform>,
    pub args: BTreeMap<String, String>,
}

/// What a build step made: something that can be started, pinned by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// An image reference, or the folder of an unpacked source.
    pub reference: String,
    /// `sha256:...` of the content.
    pub digest: String,
}

/// Names one version of a service: equal keys mean that nothing needs to change.
///
/// 16 hexadecimal digits over the artifact's digest and the service's resolved configuration
/// without the commit, so that a commit which changes neither is no reason for a restart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VersionKey(pub String);

impl fmt::Display for VersionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StageSpec {
    /// The service of that name.
    pub fn service(&self, name: &ServiceName) -> Option<&ServiceSpec> {
        self.services.iter().find(|service| service.name == *name)
    }

    /// Whether the service's artifact is made where its source need not be brought to.
    pub fn builds_elsewhere(&self, service: &ServiceSpec) -> bool {
        self.builds.by == BuiltBy::Actions && matches!(service.runtime, Runtime::Image(_))
    }

    /// The address to show first: that of the service at the stage's own address, else any.
    pub fn url(&self) -> Option<&str> {
        self.services.iter().filter_map(|service| service.url.as_deref()).min_by_key(|url| url.len())
    }
}
