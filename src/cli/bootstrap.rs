//! `greenroom bootstrap`: what lets the jobs of a repository's workflows deploy to AWS.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::{ExitStatus, Printer, bootstrap_text};
use crate::app::{AwsArgs, bootstrap};
use crate::aws::bootstrap::{BootstrapOrder, BootstrapReport, CommandReach, PermanentStage, Removed, StateFate};
use crate::config;
use crate::decide::doors::{ExplainedRow, explain};
use crate::decide::resolve;
use crate::model::{
    Addressing, AwsTarget, Branch, BuiltBy, CommitSha, Issuer, LocalCommands, Place, Project, RepoId, RepoIdentity,
    RepoName, ResourceChange, Scheme, StageId, StageName, StagePattern, StageRule, Trigger, UserId, Workflow,
};

/// Where GitHub looks for workflows.
const WORKFLOWS: &str = ".github/workflows";
/// More files than this are no workflows of one repository.
const MOST_FILES: usize = 1_000;

/// Let the jobs of a repository's workflows deploy to AWS.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, Args)]
#[command(
    mut_arg("aws_nat_gateways", |arg| arg.hide(true)),
    mut_arg("aws_preview_capacity", |arg| arg.hide(true)),
    mut_arg("aws_permissions_boundary", |arg| arg.hide(true)),
    after_help = "\
Makes one stack of CloudFormation: GitHub as a provider of identities, a role for each kind of job,
and the bucket for the state. What the account has already is taken as it is. Run it again after the
repository was renamed, or its stages changed. AWS is asked with the credentials of the standard
AWS_* chain, which must be an administrator's; GitHub with the token in GITHUB_TOKEN.

Examples:
  greenroom bootstrap --repo acme/shop --dry-run
  greenroom bootstrap --repo acme/shop
  greenroom bootstrap --repo acme/shop --explain
  greenroom bootstrap --repo acme/shop --template > bootstrap.yaml
  greenroom bootstrap --repo acme/shop --remove"
)]
pub(super) struct Bootstrap {
    /// The repository whose jobs are let in.
    #[arg(long, env = "GITHUB_REPOSITORY", value_name = "OWNER/NAME", value_parser = spelling)]
    repo: String,
    /// The configuration that tells the account, the region, the zone and the stages.
    #[arg(long, value_name = "FILE", default_value = config::PATH)]
    config: PathBuf,
    /// Show what would be made or changed, and do nothing.
    #[arg(long, conflicts_with_all = ["template", "explain", "remove"])]
    dry_run: bool,
    /// Print the stack's template, and ask AWS nothing.
    #[arg(long, conflicts_with_all = ["explain", "remove"])]
    template: bool,
    /// List every event of every workflow that lies here: who could become which role.
    #[arg(long, conflicts_with = "remove")]
    explain: bool,
    /// Take it away; what others use stays.
    #[arg(long)]
    remove: bool,
    /// Take the repository's state away too.
    #[arg(long, requires = "remove")]
    with_state: bool,
    /// Let commands in comments deploy this permanent stage too, past what protects its environment.
    #[arg(long, value_name = "STAGE")]
    commands_may: Vec<StageName>,
    /// The number of the only account whose runs may push images: that of the App's bot, with `builder: actions`.
    #[arg(long, value_name = "NUMBER")]
    build_actor: Option<u64>,
    /// Who signs the tokens, of an Enterprise Server or an enterprise of its own.
    #[arg(long, value_name = "URL", default_value = "https://token.actions.githubusercontent.com")]
    issuer: Issuer,
    /// GitHub's API.
    #[arg(long, env = "GREENROOM_GITHUB_API_URL", value_name = "URL", default_value = "https://api.github.com")]
    github_api_url: String,
    /// The repository's number, where GitHub is not to be asked.
    #[arg(long, value_name = "NUMBER", requires_all = ["owner_id", "default_branch"])]
    repo_id: Option<u64>,
    /// The number of its owner.
    #[arg(long, value_name = "NUMBER", requires = "repo_id")]
    owner_id: Option<u64>,
    /// Its default branch.
    #[arg(long, value_name = "BRANCH", requires = "repo_id")]
    default_branch: Option<String>,
    #[command(flatten)]
    aws: AwsArgs,
}

/// A name as it was written: tokens are compared letter by letter.
fn spelling(text: &str) -> Result<String, String> {
    text.parse::<RepoName>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Document {
    Plan {
        #[serde(flatten)]
        report: BootstrapReport,
        changes: Vec<ResourceChange>,
        left_out: Vec<String>,
    },
    Made {
        #[serde(flatten)]
        report: BootstrapReport,
        left_out: Vec<String>,
    },
    Removed(Removed),
    Explained(Vec<ExplainedRow>),
    Template {
        template: String,
    },
}

impl Bootstrap {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let project = self.project()?;
        let repo = self.identity().await?;
        let (order, left_out) = self.order(&project, repo)?;
        if self.explain {
            return explain_here(&order, printer);
        }
        let document = if self.template {
            Document::Template { template: bootstrap::template(&self.aws, &order)? }
        } else {
            let target = project.aws.as_ref().map(|aws| AwsTarget { role: None, ..aws.clone() });
            let target = target.ok_or_else(|| {
                let file = self.config.display();
                ExitStatus::Usage
                    .error(format!("{file} names no account: write `aws: {{ region: ..., account: ... }}`"))
            })?;
            self.on_aws(&order, &target, left_out, printer).await?
        };
        printer.result(&document, bootstrap_text::human)?;
        Ok(ExitStatus::Ok)
    }

    async fn on_aws(
        &self,
        order: &BootstrapOrder,
        target: &AwsTarget,
        left_out: Vec<String>,
        printer: &mut Printer,
    ) -> anyhow::Result<Document> {
        let mut unheard = None;
        let mut note = |text: &str| {
            if let Err(error) = printer.note(text) {
                unheard = Some(error);
            }
        };
        let document = if self.remove {
            let state = if self.with_state { StateFate::Goes } else { StateFate::Stays };
            Document::Removed(bootstrap::remove(&self.aws, order, target, state, &mut note).await?)
        } else {
            let (report, changes) = bootstrap::plan(&self.aws, order, target).await?;
            let plan = Document::Plan { report, changes, left_out: left_out.clone() };
            if self.dry_run {
                plan
            } else {
                note(&bootstrap_text::human(&plan));
                let report = bootstrap::deploy(&self.aws, order, target, &mut note).await?;
                Document::Made { report, left_out }
            }
        };
        match unheard {
            Some(error) => Err(error.into()),
            None => Ok(document),
        }
    }

    fn project(&self) -> anyhow::Result<Project> {
        let name = self.config.display().to_string();
        let bytes = fs::read(&self.config).with_context(|| {
            format!("cannot read {name}: run this at the top of the repository, or name it by --config")
        })?;
        config::check(&name, &bytes).map_err(|problems| ExitStatus::Usage.error(problems.to_string()))
    }

    /// By the flags, or by GitHub's word.
    async fn identity(&self) -> anyhow::Result<RepoIdentity> {
        if let (Some(id), Some(owner), Some(branch)) = (self.repo_id, self.owner_id, &self.default_branch) {
            return Ok(RepoIdentity {
                spelling: self.repo.clone(),
                id: RepoId(id),
                owner_id: UserId(owner),
                default_branch: Branch(branch.clone()),
                prefix: None,
            });
        }
        let name: RepoName = self.repo.parse()?;
        let found = bootstrap::identity(&self.github_api_url, &name).await;
        let found = found.with_context(|| format!("cannot ask GitHub about {name}"))?;
        found.ok_or_else(|| {
            ExitStatus::Environment.error(
                "GitHub has to be asked for the repository's number: set GITHUB_TOKEN to a token that may read it, or give \
                 --repo-id, --owner-id and --default-branch",
            )
        })
    }

    /// With it, why stages of the configuration have no role.
    fn order(&self, project: &Project, repo: RepoIdentity) -> anyhow::Result<(BootstrapOrder, Vec<String>)> {
        let key: RepoName = repo.spelling.parse()?;
        let (mut stages, mut names, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        let mut preview_base = None;
        for rule in &project.stages {
            match &rule.pattern {
                StagePattern::Named(name) => match followed(rule, &repo.default_branch) {
                    Ok(branch) => {
                        let Place { kind, base, .. } = place(project, rule, &key, name)?;
                        let is_reached = self.commands_may.contains(name);
                        let reach = if is_reached { CommandReach::Yes } else { CommandReach::No };
                        stages.push(PermanentStage { name: name.clone(), branch, kind, base, reach });
                    }
                    Err(why) => left_out.push(format!("no role for the stage {name}: {why}")),
                },
                StagePattern::PullRequest { prefix, suffix } => {
                    names.push(format!("{prefix}*{suffix}"));
                    preview_base = place(project, rule, &key, &StageName::new("preview")?)?.base;
                }
                StagePattern::Branch { .. } => left_out.push(
                    "no role for stages of branches: a role trusts named branches alone; open a pull request instead"
                        .into(),
                ),
            }
        }
        if !self.issuer.has_claims() {
            left_out.push(format!(
                "of tokens of {} AWS compares the subject alone: any workflow of the default branch may become the roles for \
                 commands and builds, and any job in a stage's environment that stage's role; protect them on GitHub",
                self.issuer
            ));
        }
        left_out.extend(open_to_writers(project, self.build_actor));
        if let Some(stranger) = self.commands_may.iter().find(|name| !stages.iter().any(|stage| stage.name == **name)) {
            return Err(
                ExitStatus::Usage.error(format!("--commands-may {stranger}: no such permanent stage has a role"))
            );
        }
        let order = BootstrapOrder {
            app: project.app.clone(),
            repo,
            issuer: self.issuer.clone(),
            preview_base,
            preview_names: names,
            stages,
            build_actor: self.build_actor,
        };
        Ok((order, left_out))
    }
}

/// Who else may push images. GitHub lets whoever may push start a workflow with inputs of their own.
fn open_to_writers(project: &Project, build_actor: Option<u64>) -> Option<String> {
    (project.builds.by == BuiltBy::Actions && build_actor.is_none()).then(|| {
        "whoever may push can start greenroom-build.yml and push an image of their own under a name that a permanent \
         stage asks for later: give --build-actor the number of the App's account, as `gh api 'users/<app>[bot]' --jq .id` \
         tells it"
            .to_owned()
    })
}

/// The one branch of a permanent stage. A pattern stands for branches that anybody may name.
fn followed(rule: &StageRule, default: &Branch) -> Result<Branch, String> {
    match &rule.trigger {
        Trigger::Push { branches } => match branches.only().filter(|_| !branches.leaves_out()) {
            Some(branch) => Ok(Branch(branch.to_owned())),
            None => Err(format!("it follows {branches}, and a role trusts one named branch alone")),
        },
        Trigger::PullRequest { .. } | Trigger::Manual => Ok(default.clone()),
    }
}

/// Where the engine would put the stage.
fn place(project: &Project, rule: &StageRule, repo: &RepoName, name: &StageName) -> anyhow::Result<Place> {
    let stage = StageId { repo: repo.clone(), name: name.clone() };
    let addressing = Addressing {
        scheme: Scheme::HttpsIfCertified,
        zone: String::new(),
        port: None,
        local_commands: LocalCommands::Ignore,
    };
    Ok(resolve(project, rule, &stage, &CommitSha::new("0".repeat(40))?, None, &addressing).place)
}

/// Ends with 1 where something is let in that should not.
fn explain_here(order: &BootstrapOrder, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
    let workflows = workflows_here(Path::new("."))?;
    let rows = explain(&workflows, &order.trusts(), &order.repo);
    let has_unwanted = rows.iter().any(|row| row.is_unwanted);
    printer.result(&Document::Explained(rows), bootstrap_text::human)?;
    Ok(if has_unwanted { ExitStatus::Failed } else { ExitStatus::Ok })
}

/// The workflows of the repository at `top`, by their names.
fn workflows_here(top: &Path) -> anyhow::Result<Vec<Workflow>> {
    let folder = top.join(WORKFLOWS);
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {WORKFLOWS}: run this at the top of the repository"))?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_one = path.extension().is_some_and(|end| end == "yml" || end == "yaml");
        if is_one && paths.len() < MOST_FILES {
            paths.push(path);
        }
    }
    paths.sort();
    let mut workflows = Vec::new();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = format!("{WORKFLOWS}/{name}");
        let bytes = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        let read = config::workflow(&name, &bytes);
        workflows.push(read.map_err(|problems| ExitStatus::Usage.error(problems.to_string()))?);
    }
    Ok(workflows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_who_else_may_push_images() {
        let of = |builder: &str, actor| {
            let text = format!(
                "version: 1\napp: shop\n{builder}services:\n  web: {{ kind: ecs, build: {{ context: . }}, host: \"@\", port: 80 }}\n"
            );
            let project = config::check("f.yml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
            open_to_writers(&project, actor)
        };
        assert!(of("builder: actions\n", None).is_some_and(|line| line.contains("--build-actor")));
        assert_eq!(of("builder: actions\n", Some(99)), None);
        assert_eq!(of("", None), None, "no job of the App's pushes anything");
    }
}
