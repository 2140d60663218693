//! `greenroom doctor`: whether AWS is ready for stages, and what to do where it is not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{ExitStatus, Printer};
use crate::app::{self, AwsArgs, WallArgs};
use crate::aws::{Finding, Health, Policy, PolicySessions, PolicyTerms, Question, policy};
use crate::config;
use crate::decide::{self, resolve};
use crate::model::{
    Addressing, Branch, CommitSha, Domain, KnownRepo, LocalCommands, Place, Project, PullNumber, RepoId, RepoName,
    RepoOwner, Scheme, StageId, StagePattern, StageRule, Wall,
};

/// One that answers everybody. Asked only about zones that a configuration names.
const PUBLIC_RESOLVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), 53);

/// Source: Amazon EC2 User Guide, "Access instance metadata for an EC2 instance".
const METADATA: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);

/// See whether AWS is ready, and what to mend.
#[derive(Debug, Args)]
#[command(
    mut_arg("aws_nat_gateways", |arg| arg.hide(true)),
    mut_arg("aws_preview_capacity", |arg| arg.hide(true)),
    mut_arg("allow", |arg| arg.hide(true)),
    mut_arg("zones", |arg| arg.hide(true)),
    after_help = "\
Looks at credentials, roles, permissions, quotas, DNS, certificates and the metadata service of
this machine, and changes nothing. It uses the standard AWS_* variables. The exit code is 1 if
anything fails.

Examples:
  greenroom doctor
  greenroom doctor --repo acme/shop .github/greenroom.yml
  greenroom doctor --policy previews > policy.json
  greenroom --json doctor | jq -r '.[] | select(.health == \"fail\") | .fix'"
)]
pub(super) struct Doctor {
    /// The configuration whose account, roles and zone are looked at; without one, the file of this
    /// folder if there is one.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The repository: roles are taken on for one.
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<RepoName>,
    /// A DNS resolver that sees what the world sees.
    #[arg(long, default_value_t = PUBLIC_RESOLVER, value_name = "ADDRESS")]
    resolver: SocketAddr,
    /// Where this machine's metadata service is asked.
    #[arg(long, default_value_t = METADATA, value_name = "ADDRESS", hide = true)]
    metadata: SocketAddr,
    /// Print the least that must be allowed, as a policy for IAM, and look at nothing.
    #[arg(long, value_name = "WHOSE")]
    policy: Option<PolicyName>,
    /// Print it for the server's own identity, or a person's, where no role is taken on.
    #[arg(long, requires = "policy")]
    without_role: bool,
    #[command(flatten)]
    wall: WallArgs,
    #[command(flatten)]
    aws: AwsArgs,
}

/// Whose policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyName {
    /// The server's own, where configurations name roles.
    Server,
    /// Deploying stages that come and go.
    Previews,
    /// Besides `previews`: what leads to them, and what scales them.
    PreviewsRoutes,
    /// Deploying permanent stages.
    Permanent,
    /// Besides `permanent`: what leads to them, and what scales them.
    PermanentRoutes,
    /// Making what previews share, besides.
    PreviewsFoundation,
    /// Besides `previews-foundation`: its network and load balancers.
    PreviewsNetwork,
    /// Making a permanent stage's own foundation, besides.
    PermanentFoundation,
    /// Besides `permanent-foundation`: its network and load balancers.
    PermanentNetwork,
    /// What the roles of foundations may do at most.
    Boundary,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::Server => Self::Server,
            PolicyName::Previews => Self::Previews,
            PolicyName::PreviewsRoutes => Self::PreviewsRoutes,
            PolicyName::Permanent => Self::Permanent,
            PolicyName::PermanentRoutes => Self::PermanentRoutes,
            PolicyName::PreviewsFoundation => Self::PreviewsFoundation,
            PolicyName::PreviewsNetwork => Self::PreviewsNetwork,
            PolicyName::PermanentFoundation => Self::PermanentFoundation,
            PolicyName::PermanentNetwork => Self::PermanentNetwork,
            PolicyName::Boundary => Self::Boundary,
        }
    }
}

impl Doctor {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        if let Some(which) = self.policy {
            let sessions = if self.without_role { PolicySessions::Bare } else { PolicySessions::Tagged };
            let boundary = self.aws.aws_permissions_boundary.as_deref();
            let text = policy(which.into(), &PolicyTerms { name: &self.aws.aws_name, boundary, sessions });
            let document: serde_json::Value = serde_json::from_str(&text).context("the policy is no JSON")?;
            printer.result(&document, |_| text)?;
            return Ok(ExitStatus::Ok);
        }
        let project = self.project()?;
        let mut question = Question {
            repo: self.repo,
            targets: Vec::new(),
            domain: None,
            bases: BTreeSet::new(),
            resolver: self.resolver,
        };
        if let Some(project) = &project {
            look_up(project, &mut question);
        }
        let mut findings = vec![served(&self.wall.wall()?, question.repo.as_ref(), question.domain.as_ref())];
        findings.extend(app::doctor(&self.aws, &question, self.metadata).await);
        printer.result(&findings, |findings| human(findings))?;
        let has_failed = findings.iter().any(|finding| finding.health == Health::Fail);
        Ok(if has_failed { ExitStatus::Failed } else { ExitStatus::Ok })
    }

    fn project(&self) -> anyhow::Result<Option<Project>> {
        let file = self.file.clone().unwrap_or_else(|| config::PATH.into());
        let bytes = match std::fs::read(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.file.is_none() => return Ok(None),
            bytes => bytes.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let name = file.display().to_string();
        config::check(&name, &bytes).map(Some).map_err(|problems| ExitStatus::Usage.error(problems.to_string()))
    }
}

/// Whether the server would do anything for the repository, and in this zone. It goes by the name
/// under which the server first saw it.
fn served(wall: &Wall, repo: Option<&RepoName>, domain: Option<&Domain>) -> Finding {
    let check = "repositories that are served".to_owned();
    let warn = |seen: String, fix: String| Finding { check: check.clone(), health: Health::Warn, seen, fix: Some(fix) };
    if wall.allow.is_empty() {
        return warn("GREENROOM_ALLOW names none".into(), WallArgs::EMPTY.into());
    }
    let ok = |seen: String| Finding { check: check.clone(), health: Health::Ok, seen, fix: None };
    let Some(key) = repo else { return ok(wall.allow.to_string()) };
    let (name, rumour, holders) = (None, None, Vec::new());
    let known = KnownRepo { id: RepoId(0), key: key.clone(), name, rumour, owner: RepoOwner::AsNamed, holders };
    if !wall.allow.covers(&known) {
        return warn(format!("{key} is not among {}", wall.allow), format!("add {key} to GREENROOM_ALLOW"));
    }
    match domain.and_then(|domain| decide::wall::not_yours(wall, &known, &domain.zone)) {
        Some(why) => warn(why, "change `domain.zone`, or GREENROOM_ZONES".into()),
        None => ok(format!("{key} is among them")),
    }
}

/// Where stages of each kind would live.
fn look_up(project: &Project, question: &mut Question) {
    question.domain.clone_from(&project.domain);
    let repo = question.repo.clone().or_else(|| RepoName::new("doctor/doctor").ok());
    let Some(repo) = repo else { return };
    for (stage, place) in project.stages.iter().filter_map(|rule| place(project, rule, &repo)) {
        question.bases.extend(place.base.clone());
        let is_known = question.targets.iter().any(|(_, other)| (other.kind, &other.aws) == (place.kind, &place.aws));
        if place.aws.is_some() && !is_known {
            question.targets.push((stage, place));
        }
    }
}

/// A stage of the rule, and where it would live.
fn place(project: &Project, rule: &StageRule, repo: &RepoName) -> Option<(StageId, Place)> {
    let name = match &rule.pattern {
        StagePattern::Named(name) => Some(name.clone()),
        pattern => pattern.for_pull(PullNumber(1)).or_else(|| pattern.for_branch(&Branch("doctor".into()))),
    };
    let stage = StageId { repo: repo.clone(), name: name? };
    let sha = CommitSha::new("0".repeat(40)).ok()?;
    let addressing = Addressing {
        scheme: Scheme::HttpsIfCertified,
        zone: String::new(),
        port: None,
        local_commands: LocalCommands::Ignore,
    };
    let place = resolve(project, rule, &stage, &sha, None, &addressing).place;
    Some((stage, place))
}

fn human(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { check, health, seen, fix } in findings {
        let mark = match health {
            Health::Ok => "ok  ",
            Health::Warn => "warn",
            Health::Fail => "FAIL",
        };
        let _ = writeln!(text, "{mark}  {check:<width$}  {seen}");
        if let Some(fix) = fix {
            let _ = writeln!(text, "      {:<width$}  -> {fix}", "");
        }
    }
    let count = |health: Health| findings.iter().filter(|finding| finding.health == health).count();
    let (fails, warns) = (count(Health::Fail), count(Health::Warn));
    let verdict = match (fails, warns) {
        (0, 0) => "AWS is ready.".to_owned(),
        (0, warns) => format!("AWS is ready; {warns} to look at."),
        (fails, warns) => format!("AWS is not ready: {fails} to mend, {warns} to look at."),
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dns, StageKind};

    #[test]
    fn findings_are_a_table_with_what_to_do() {
        let finding = |check: &str, health, fix: Option<&str>| Finding {
            check: check.into(),
            health,
            seen: "seen".into(),
            fix: fix.map(Into::into),
        };
        let findings = [finding("identity", Health::Ok, None), finding("region", Health::Fail, Some("mend it"))];
        let expected = "ok    identity  seen\nFAIL  region    seen\n                -> mend it\n\n\
                        AWS is not ready: 1 to mend, 0 to look at.\n";
        assert_eq!(human(&findings), expected);
        assert!(human(&findings[..1]).ends_with("AWS is ready.\n"));
    }

    #[test]
    fn who_is_not_served_is_told_how_to_be() {
        let found = |allow: &str, zones: &str, zone: Option<&str>| {
            let wall = Wall { allow: allow.parse().expect("a list"), zones: zones.parse().expect("zones") };
            let domain = zone.map(|zone| Domain { zone: zone.to_owned(), dns: Dns::None, certificate: None });
            let repo: RepoName = "acme/shop".parse().expect("a name");
            let Finding { health, seen, fix, .. } = served(&wall, Some(&repo), domain.as_ref());
            (health, format!("{seen} -> {}", fix.unwrap_or_default()))
        };
        for (allow, zones, zone, told) in [
            ("", "", None, "GREENROOM_ALLOW names none -> no repository is served"),
            ("acme/web", "", None, "add acme/shop to GREENROOM_ALLOW"),
            ("acme/*", "example.com=acme/web", Some("shop.example.com"), "change `domain.zone`, or GREENROOM_ZONES"),
        ] {
            let (health, said) = found(allow, zones, zone);
            assert!(health == Health::Warn && said.contains(told), "{allow:?} {zones:?}: {said}");
        }
        assert_eq!(found("acme/*", "example.com=acme/shop", Some("shop.example.com")).0, Health::Ok);
        // Nobody has to be named for that.
        let nobody = served(&Wall::default(), None, None);
        assert_eq!((nobody.health, nobody.fix.as_deref()), (Health::Warn, Some(WallArgs::EMPTY)));
    }

    #[test]
    fn a_configuration_says_where_to_look() {
        let file = b"version: 1\napp: shop\naws: { region: eu-west-1, account: \"123456789012\" }\n\
                     domain: { zone: example.com, dns: route53 }\n\
                     stages:\n  prod: { on: { push: main }, apex: true }\n  dev: { on: { push: dev } }\n  \
                     \"pr-{number}\": { on: { pull_request: {} } }\n\
                     services:\n  web: { kind: ecs, build: { context: . }, host: \"@\", port: 80, health: { path: / } }\n";
        let project = config::check("x", file).expect("a configuration");
        let mut question = Question {
            repo: None,
            targets: Vec::new(),
            domain: None,
            bases: BTreeSet::new(),
            resolver: PUBLIC_RESOLVER,
        };
        look_up(&project, &mut question);
        let kinds: Vec<StageKind> = question.targets.iter().map(|(_, place)| place.kind).collect();
        assert_eq!(kinds, [StageKind::Production, StageKind::Permanent, StageKind::Ephemeral]);
        assert_eq!(question.bases.into_iter().collect::<Vec<_>>(), ["dev.example.com", "example.com"]);
        assert!(question.domain.is_some());
    }
}
