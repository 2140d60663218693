//! A checked configuration: what `.github/greenroom.yml` means once nothing is wrong with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AppName, Branch, BranchFilter, Builds, CommandRules, Seconds, ServiceName, StagePattern, StagePolicy};

/// One repository's deployable whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    pub app: AppName,
    /// Where it runs on AWS; `None` where it runs on one machine only.
    #[serde(default)]
    pub aws: Option<AwsTarget>,
    #[serde(default)]
    pub aws_roles: AwsRoles,
    pub domain: Option<Domain>,
    #[serde(default)]
    pub commands: CommandRules,
    /// Who builds images.
    #[serde(default)]
    pub builds: Builds,
    /// In the order of the file; the first rule that matches an event or a name wins.
    pub stages: Vec<StageRule>,
    /// In the order of the file.
    pub services: Vec<Service>,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub digest: String,
}

/// The account and region that the stages run in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsTarget {
    pub region: String,
    /// Twelve digits; text, because it may begin with 0.
    pub account: String,
    /// The role to take on; `None` uses the server's own.
    pub role: Option<String>,
}

/// Roles for stages of one kind, instead of the account's one role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AwsRoles {
    pub preview: Option<String>,
    pub permanent: Option<String>,
    pub production: Option<String>,
}

/// The DNS zone under which stages answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub zone: String,
    pub dns: Dns,
    /// The ARN of a certificate that covers the stages' hosts; `None` has one made where `dns` can.
    #[serde(default)]
    pub certificate: Option<String>,
}

/// Who serves the zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dns {
    Route53,
    Cloudflare,
    None,
}

/// A key of `stages:` with its policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRule {
    pub pattern: StagePattern,
    pub trigger: Trigger,
    /// Prod at the zone itself rather than at `prod.zone`.
    pub apex: bool,
    /// Deleting or replacing needs a person of the highest rights.
    pub protect: bool,
    /// Data stays when the stage goes.
    pub retain: bool,
    /// Counted from the stage's newest goal; `None` never expires.
    pub expires: Option<Seconds>,
    /// How many stages of this rule may exist at once.
    pub max: Option<u32>,
    /// What a stage of this rule may ask for.
    #[serde(default)]
    pub limits: Limits,
    pub cors: Option<Cors>,
    /// Who may command what here.
    #[serde(default)]
    pub allow: StagePolicy,
}

/// Ceilings of what a stage may ask for; `None` where the file says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// CPU units of each service; 1024 are one virtual CPU.
    pub cpu: Option<u32>,
    /// MiB of memory of each service.
    pub memory: Option<u32>,
    /// Copies of each service.
    pub copies: Option<u32>,
    pub services: Option<u32>,
}

/// Allowed origins for browsers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    pub origins: Vec<String>,
    pub max_age: Seconds,
}

/// What makes a stage of a rule deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A push to a matching branch.
    Push { branches: BranchFilter },
    /// An open pull request.
    PullRequest {
        drafts: DraftPolicy,
        forks: ForkPolicy,
        /// Only pull requests that carry this label.
        label: Option<String>,
    },
    /// Nothing but a person's wish.
    Manual,
}

/// A branch name in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchPattern(pub String);

impl BranchPattern {
    /// Whether the branch matches. `*` matches any run of characters, `/` included.
    pub fn matches(&self, branch: &Branch) -> bool {
        let mut parts = self.0.split('*');
        let text = branch.0.as_str();
        let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let middle: Vec<&str> = parts.collect();
        let Some((last, middle)) = middle.split_last() else { return rest.is_empty() };
        let mut rest = rest;
        for part in middle {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

/// What a draft pull request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DraftPolicy {
    /// No stage until it is ready for review.
    Skip,
    /// A stage like any other.
    Deploy,
}

/// What a pull request from a fork, or of Dependabot, gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ForkPolicy {
    /// Nothing is built or run until somebody who may approves that very commit.
    Approve,
    /// No stage at all.
    Never,
}

/// How a service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    Ecs,
}

/// One deployable thing of the app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub name: ServiceName,
    pub kind: ServiceKind,
    pub build: Option<Build>,
    /// `None` has no public address: a worker.
    pub host: Option<HostLabel>,
    pub port: Option<u16>,
    pub size: Size,
    pub scale: Scale,
    pub health: Health,
    /// Values may hold `{stage}`, `{sha}`, `{urls.<service>}`.
    pub env: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, SecretRef>,
    pub migrate: Option<Migrate>,
    /// Globs; empty means every change concerns the service.
    pub paths: Vec<String>,
    /// Services that must be live first.
    pub needs: Vec<ServiceName>,
    pub local: Option<LocalCommand>,
    /// How long an old version may finish its requests.
    pub drain: Seconds,
    /// How long one copy of a new version is watched before the rest follows; `None` does without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Seconds>,
    /// What differs in the stages whose pattern is written the same, already checked: the whole
    /// service as it is there, without overrides of its own.
    pub overrides: Vec<(StagePattern, Box<Self>)>,
}

impl Service {
    /// The service as it is in stages of this pattern.
    pub fn at(&self, pattern: &StagePattern) -> &Self {
        self.overrides.iter().find(|(own, _)| own == pattern).map_or(self, |(_, other)| other)
    }
}

/// How the image is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// A folder inside the repository, `.` for all of it.
    pub context: String,
    /// A file inside the context.
    pub dockerfile: String,
    pub target: Option<String>,
    pub platform: Option<Platform>,
    /// Values may hold the same placeholders as `env`.
    pub args: BTreeMap<String, String>,
}

/// The processor that the image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Platform {
    #[serde(rename = "linux/amd64")]
    LinuxAmd64,
    #[serde(rename = "linux/arm64")]
    LinuxArm64,
}

impl Platform {
    /// As Docker writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "linux/amd64",
            Self::LinuxArm64 => "linux/arm64",
        }
    }
}

/// The place of a service under its stage's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostLabel {
    /// `@`: the stage's own address.
    Root,
    /// `api` and the like.
    Label(String),
}

/// Fargate's units: 1024 CPU units are one virtual CPU, memory is in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub cpu: u32,
    pub memory: u32,
}

/// How many copies run, and what adds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    pub min: u32,
    pub max: u32,
    /// Percent of the reserved CPU to keep to.
    pub cpu: Option<u32>,
    /// Percent of the reserved memory to keep to.
    pub memory: Option<u32>,
}

/// When a copy counts as healthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Asked over HTTP; for a service without a port, running is healthy.
    pub path: String,
    pub status: u16,
    pub interval: Seconds,
    pub timeout: Seconds,
    /// Successes in a row that make it healthy.
    pub healthy: u32,
    /// Failures in a row that make it unhealthy.
    pub unhealthy: u32,
    /// How long a starting copy may fail before that counts.
    pub grace: Seconds,
}

impl Health {
    /// What a copy that has started may take to count as healthy.
    pub fn patience(&self) -> Seconds {
        let looks = u64::from(self.unhealthy + self.healthy + 2);
        Seconds(self.grace.0 + self.interval.0 * looks)
    }
}

/// Where a secret's value lies; the value itself is never in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// `secretsmanager:<name>`, placeholders allowed.
    SecretsManager(String),
    /// `ssm:<name>`, placeholders allowed.
    Ssm(String),
    /// `env:<NAME>` of the server, for the local target.
    ServerEnv(String),
}

/// A one-off command that runs before the service changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrate {
    pub command: Vec<String>,
    pub timeout: Seconds,
}

/// How the service runs as a process on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalCommand {
    /// Program and arguments; no shell reads them.
    pub command: Vec<String>,
}

impl Project {
    /// The rule that names a stage, if one does.
    pub fn rule_for_pull(&self) -> impl Iterator<Item = &StageRule> {
        self.stages.iter().filter(|rule| matches!(rule.trigger, Trigger::PullRequest { .. }))
    }

    /// The service of that name.
    pub fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.iter().find(|service| service.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let cases = [
            ("main", "main", true),
            ("main", "maintenance", false),
            ("feature-*", "feature-auth", true),
            ("feature-*", "fix-auth", false),
            ("*", "anything/at/all", true),
            ("release/*/rc", "release/1.2/rc", true),
            ("release/*/rc", "release/1.2/final", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
        ];
        for (pattern, branch, expected) in cases {
            assert_eq!(BranchPattern(pattern.into()).matches(&Branch(branch.into())), expected, "{pattern} ~ {branch}");
        }
    }
}
