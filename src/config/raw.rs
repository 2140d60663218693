//! The file as it is written: every key, its shape, its default and its explanation, once.
//!
//! The JSON Schema, the table in the README and the code's defaults all come from these types. A
//! `title` says in words what a value must be; the problems quote it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{BuiltBy, Dns, DraftPolicy, ForkPolicy, Platform, ServiceKind};

use super::branches::Push;
use super::builds::Runners;
use super::limits::Ceilings;
use super::policy::{Allow, Commands};

/// Configuration of Greenroom: `.github/greenroom.yml`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The version of this format.
    #[schemars(range(min = 1, max = 1))]
    pub(super) version: u32,
    /// The app's name; it becomes part of resource names.
    #[schemars(regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"))]
    #[schemars(title = "a name of 1 to 32 of a-z, 0-9 and '-', not at either end")]
    pub(super) app: String,
    /// The AWS account that the stages run in.
    pub(super) aws: Option<Aws>,
    /// The DNS zone that the stages answer in.
    pub(super) domain: Option<Domain>,
    /// Who builds images: this server's Docker engine, or the repository's workflow `greenroom-build.yml`; always that
    /// of the default branch.
    #[serde(default)]
    pub(super) builder: BuiltBy,
    /// Where `builder: actions` builds, by processor; without it, on GitHub's own runners, as forks always are. Always
    /// that of the default branch.
    #[serde(default)]
    pub(super) runners: Runners,
    /// How comments command; always that of the default branch.
    #[serde(default)]
    pub(super) commands: Commands,
    /// The stages by name. `{number}` in a name makes one for each pull request, `{branch}` one for each branch.
    #[serde(default = "super::stages::default_stages")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 50))]
    pub(super) stages: BTreeMap<String, Stage>,
    /// The services by name.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 50))]
    pub(super) services: BTreeMap<String, Service>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Aws {
    /// The region.
    #[schemars(regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$"), title = "a region such as eu-central-1")]
    pub(super) region: String,
    /// The account's number.
    #[schemars(regex(pattern = r"^[0-9]{12}$"), title = "an account number of 12 digits in quotes")]
    pub(super) account: String,
    /// The role that Greenroom takes on there; without it, the server's own is used.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$"))]
    #[schemars(title = "a role such as arn:aws:iam::123456789012:role/greenroom")]
    pub(super) role: Option<String>,
    /// Roles for stages of one kind, instead of `role`.
    #[serde(default)]
    pub(super) roles: AwsRoles,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AwsRoles {
    /// For stages that come and go.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$"))]
    #[schemars(title = "a role such as arn:aws:iam::123456789012:role/greenroom-preview")]
    pub(super) preview: Option<String>,
    /// For permanent stages.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$"))]
    #[schemars(title = "a role such as arn:aws:iam::123456789012:role/greenroom-permanent")]
    pub(super) permanent: Option<String>,
    /// For permanent stages at the zone itself, and protected ones.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$"))]
    #[schemars(title = "a role such as arn:aws:iam::123456789012:role/greenroom-production")]
    pub(super) production: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Domain {
    /// The DNS zone.
    #[schemars(regex(pattern = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    #[schemars(length(max = 180), title = "a lower-case domain name such as example.com")]
    pub(super) zone: String,
    /// Who serves the zone; `none` leaves the records to you.
    #[serde(default = "default_dns")]
    pub(super) dns: Dns,
    /// A certificate that covers the stages' hosts, where Greenroom cannot have one made: with `none`
    /// it is what makes their addresses `https`.
    #[schemars(regex(pattern = r"^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[A-Za-z0-9-]{1,64}$"))]
    #[schemars(title = "a certificate such as arn:aws:acm:eu-central-1:123456789012:certificate/0123abcd")]
    pub(super) certificate: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Stage {
    /// What makes the stage deploy: one of `push`, `pull_request`, `manual`.
    pub(super) on: On,
    /// The stage answers at the zone itself instead of `<stage>.<zone>`.
    #[serde(default)]
    pub(super) apex: bool,
    /// Destroying or replacing the stage wants a person with the highest rights.
    #[serde(default)]
    pub(super) protect: bool,
    /// Data stays when the stage goes.
    #[serde(default)]
    pub(super) retain: bool,
    /// The stage goes this long after its newest deploy; without it, never by itself.
    pub(super) expires: Option<Span>,
    /// How many stages of this rule may exist at once; without it, any number.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) max: Option<u32>,
    /// What a stage of this rule may ask for; always that of the default branch.
    #[serde(default)]
    pub(super) limits: Ceilings,
    /// Origins of other sites that browsers may call the stage from.
    pub(super) cors: Option<Cors>,
    /// Who may command what here, by command; `*` is every command that is not named. Always that of the default branch.
    #[serde(default)]
    pub(super) allow: BTreeMap<String, Allow>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct On {
    /// A push to this branch; `*` stands for any run of characters, and for none of a merge queue's branches. Of a list
    /// the last pattern that matches counts, and one that begins with `!` leaves out.
    pub(super) push: Option<Push>,
    /// An open pull request.
    pub(super) pull_request: Option<PullRequest>,
    /// Only a person's wish: `true`.
    #[schemars(extend("enum" = [true]))]
    pub(super) manual: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PullRequest {
    /// What a draft gets.
    #[serde(default = "default_drafts")]
    pub(super) drafts: DraftPolicy,
    /// What a pull request from a fork, or of Dependabot, gets.
    #[serde(default = "default_forks")]
    pub(super) forks: ForkPolicy,
    /// Only pull requests with this label; without it, all.
    #[schemars(length(min = 1, max = 50))]
    pub(super) label: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cors {
    /// Origins as browsers send them, or `*`.
    #[schemars(length(min = 1))]
    pub(super) origins: Vec<Origin>,
    /// How long browsers may remember the answer.
    #[serde(default = "default_max_age")]
    pub(super) max_age: Span,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = r"^(\*|https?://[a-z0-9.-]+(:[0-9]{1,5})?)$"))]
#[schemars(extend("title" = "an origin such as https://example.com"))]
pub(super) struct Origin(pub(super) String);

/// A span of time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = r"^[0-9]{1,9}[smhd]$"))]
#[schemars(extend("title" = "a span such as 10s, 5m, 2h or 7d"))]
pub(super) struct Span(pub(super) String);

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    /// How it runs.
    pub(super) kind: ServiceKind,
    /// How its image is made. A service with `local.command` may leave it out.
    pub(super) build: Option<Build>,
    /// Its place under the stage's address; `@` is the address itself. Without it: no public address, a worker.
    #[schemars(regex(pattern = r"^(@|[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?)$"))]
    #[schemars(title = "`@` or a label of 1 to 22 of a-z, 0-9 and '-', not at either end")]
    pub(super) host: Option<String>,
    /// The port that it listens on.
    #[schemars(range(min = 1, max = 65535))]
    pub(super) port: Option<u16>,
    /// What one copy gets.
    #[serde(default)]
    pub(super) size: Size,
    /// How many copies run.
    #[serde(default)]
    pub(super) scale: Scale,
    /// When a copy counts as healthy.
    #[serde(default)]
    pub(super) health: Health,
    /// Environment. Values may hold `{stage}`, `{sha}`, `{pr}`, `{url}` and `{urls.<service>}`; `{{` is a brace.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 300))]
    pub(super) env: BTreeMap<String, String>,
    /// Environment from secrets: `secretsmanager:<name>`, `ssm:<name>`, or `env:<NAME>` of the server.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 300))]
    pub(super) secrets: BTreeMap<String, String>,
    /// A command that runs once before the service changes.
    pub(super) migrate: Option<Migrate>,
    /// Globs from the top of the repository; the service is deployed anew only when a file that they match changed. `!`
    /// before one takes files away again. Empty: always.
    #[serde(default)]
    #[schemars(length(max = 300))]
    pub(super) paths: Vec<String>,
    /// Services that must be live first.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub(super) needs: Vec<String>,
    /// How it runs as a process when the target is this machine.
    pub(super) local: Option<Local>,
    /// How long an old version may finish its requests.
    #[serde(default = "default_drain")]
    pub(super) drain: Span,
    /// How long one copy of a new version serves beside the old ones before the rest follows; when it fails, nothing
    /// else has changed. Without it, the rest follows at once.
    pub(super) canary: Option<Span>,
    /// What differs in some stages, by the stage's name as it is written under `stages`: `size`, `scale`, `health`,
    /// `env`, `secrets`, `migrate` (`null` for none), `drain`, `canary` (`null` for none).
    #[serde(default)]
    pub(super) stages: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    /// The folder that is built, inside the repository.
    #[serde(default = "default_context")]
    pub(super) context: String,
    /// The Dockerfile, inside the context.
    #[serde(default = "default_dockerfile")]
    pub(super) dockerfile: String,
    /// The Dockerfile's stage to build; without it, the last.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"), title = "a build stage's name")]
    pub(super) target: Option<String>,
    /// The processor to build for; without it, the builder's own.
    pub(super) platform: Option<Platform>,
    /// Build arguments; values may hold what `env` may.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 300))]
    pub(super) args: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    /// CPU units; 1024 are one virtual CPU.
    #[serde(default = "default_cpu")]
    pub(super) cpu: u32,
    /// MiB of memory.
    #[serde(default = "default_memory")]
    pub(super) memory: u32,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    /// The fewest copies.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) min: u32,
    /// The most copies; without it, as many as `min`.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) max: Option<u32>,
    /// Copies are added above this percentage of CPU.
    #[schemars(range(min = 1, max = 100))]
    pub(super) cpu: Option<u32>,
    /// Copies are added above this percentage of memory.
    #[schemars(range(min = 1, max = 100))]
    pub(super) memory: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    /// Asked over HTTP. A service without a port is healthy when it runs.
    #[serde(default = "default_path")]
    #[schemars(regex(pattern = r"^/[!$-;=?-\[\]_a-z~]*$"), length(max = 1024), title = "a path that begins with `/`")]
    pub(super) path: String,
    /// The answer that counts as healthy.
    #[serde(default = "default_status")]
    #[schemars(range(min = 200, max = 499))]
    pub(super) status: u16,
    /// How often it is asked.
    #[serde(default = "default_interval")]
    pub(super) interval: Span,
    /// How long an answer may take.
    #[serde(default = "default_timeout")]
    pub(super) timeout: Span,
    /// Successes in a row that make a copy healthy.
    #[serde(default = "default_healthy")]
    #[schemars(range(min = 1, max = 10))]
    pub(super) healthy: u32,
    /// Failures in a row that make a copy unhealthy.
    #[serde(default = "default_unhealthy")]
    #[schemars(range(min = 1, max = 10))]
    pub(super) unhealthy: u32,
    /// How long a starting copy may fail before that counts.
    #[serde(default = "default_grace")]
    pub(super) grace: Span,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Migrate {
    /// Program and arguments; no shell reads them.
    #[schemars(length(min = 1))]
    pub(super) command: Vec<Word>,
    /// How long it may take.
    #[serde(default = "default_migrate_timeout")]
    pub(super) timeout: Span,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Local {
    /// Program and arguments; no shell reads them. `PORT` says where to listen.
    #[schemars(length(min = 1))]
    pub(super) command: Vec<Word>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("minLength" = 1))]
pub(super) struct Word(pub(super) String);

impl Default for Size {
    fn default() -> Self {
        Self { cpu: default_cpu(), memory: default_memory() }
    }
}

impl Default for Scale {
    fn default() -> Self {
        Self { min: one(), max: None, cpu: None, memory: None }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: default_path(),
            status: default_status(),
            interval: default_interval(),
            timeout: default_timeout(),
            healthy: default_healthy(),
            unhealthy: default_unhealthy(),
            grace: default_grace(),
        }
    }
}

pub(super) fn span(text: &str) -> Span {
    Span(text.to_owned())
}

macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)*) => { $(pub(super) fn $name() -> $type { $value })* };
}

defaults! {
    default_dns: Dns = Dns::None;
    default_drafts: DraftPolicy = DraftPolicy::Skip;
    default_forks: ForkPolicy = ForkPolicy::Approve;
    default_max_age: Span = span("1h");
    default_drain: Span = span("30s");
    default_context: String = ".".to_owned();
    default_dockerfile: String = "Dockerfile".to_owned();
    default_cpu: u32 = 256;
    default_memory: u32 = 512;
    one: u32 = 1;
    default_path: String = "/".to_owned();
    default_status: u16 = 200;
    default_interval: Span = span("10s");
    default_timeout: Span = span("5s");
    default_healthy: u32 = 2;
    default_unhealthy: u32 = 3;
    default_grace: Span = span("60s");
    default_migrate_timeout: Span = span("10m");
}
