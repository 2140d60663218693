//! `greenroom plan`: what a deploy would do, made by the engine itself and not carried out.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::stage::{StageArgs, TargetArgs};
use super::{ExitStatus, Printer};
use crate::app::{self, ServerSettings};
use crate::engine::{Engine, Preview};
use crate::model::{
    Action, ChangeKind, Generation, GoneReason, Interruption, Plan as Steps, RepoName, ResourceChange, Runs, StageId,
    StageName, StageRecord, Step, StepKey, Target, Wanted,
};

/// Show what a deploy would do, without doing it.
#[derive(Debug, Args)]
#[command(
    mut_arg("listen", |arg| arg.hide(true)),
    mut_arg("ops_listen", |arg| arg.hide(true)),
    mut_arg("registry", |arg| arg.hide(true)),
    mut_arg("build_deadline", |arg| arg.hide(true)),
    mut_arg("log", |arg| arg.hide(true)),
    mut_arg("log_format", |arg| arg.hide(true)),
    after_help = "\
Reads the server's database, GitHub and the target, and changes nothing. It takes the settings of
`greenroom serve`, and GREENROOM_GITHUB_PRIVATE_KEY from the environment. Without --pr, --branch or
--sha it is about what the stage follows already.

Examples:
  greenroom plan pr-42 --repo acme/shop --pr 42
  greenroom plan staging --repo acme/shop --branch main
  greenroom --json plan prod --repo acme/shop | jq '.plan.steps | length'"
)]
pub(super) struct Plan {
    #[command(flatten)]
    stage: StageArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// What `greenroom destroy` would do.
    #[arg(long, conflicts_with = "TargetArgs")]
    destroy: bool,
    #[command(flatten)]
    settings: Box<ServerSettings>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    repo: RepoName,
    stage: StageName,
    generation: Generation,
    /// `plan`, `gone`, `misconfigured`, `awaiting_approval`, `full`, `kept`.
    ruling: &'static str,
    /// In words, where there is no plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Box<Steps>>,
    /// What preparing the stage changes on the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ResourceChange>,
}

impl Plan {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let Self { stage, target, destroy, settings } = self;
        let target = if destroy { Some(Target::Gone(GoneReason::Requested)) } else { target.target() };
        let engine = app::planner(&settings, app::private_key()?).await?;
        let store = app::open_existing_store(&settings.store).await?;
        let stage = stage.id(store.as_ref()).await?;
        let (generation, preview) = preview(&engine, &stage, target).await?;
        let status = status_of(&preview);
        let changes = match &preview {
            Preview::Plan(plan) => engine.changes(plan).await.context("cannot tell what preparing would change")?,
            _ => Vec::new(),
        };
        printer.result(&Document { changes, ..document(stage, generation, preview) }, human)?;
        Ok(status)
    }
}

/// A plan as text, with how a command that shows it ends.
pub(super) async fn rendered(engine: &Engine, record: &StageRecord) -> anyhow::Result<(String, ExitStatus)> {
    let preview = engine.preview(record).await.with_context(|| format!("cannot plan {}", record.id))?;
    let status = status_of(&preview);
    let changes = match &preview {
        Preview::Plan(plan) => engine.changes(plan).await.context("cannot tell what preparing would change")?,
        _ => Vec::new(),
    };
    let document = document(record.id.clone(), record.generation, preview);
    Ok((human(&Document { changes, ..document }), status))
}

async fn preview(engine: &Engine, stage: &StageId, target: Option<Target>) -> anyhow::Result<(Generation, Preview)> {
    let unknown = if target.is_some() {
        format!("{stage} is the stage of another branch or pull request, or no rule under `stages` speaks of it")
    } else {
        format!("there is no stage {stage} yet: say what it would run, with --pr, --branch or --sha")
    };
    let record = match target {
        Some(target) => engine.request(stage, target).await.context("cannot read what the request means")?,
        None => engine.stage(stage).await.context("cannot read the stage")?,
    };
    let Some(record) = record else { return Err(ExitStatus::Usage.error(unknown)) };
    let preview = engine.preview(&record).await.with_context(|| format!("cannot plan {stage}"))?;
    Ok((record.generation, preview))
}

/// A plan is an answer; so is that nothing would be done. What stands in the way is not.
fn status_of(preview: &Preview) -> ExitStatus {
    match preview {
        Preview::Plan(_) | Preview::Gone => ExitStatus::Ok,
        Preview::Misconfigured { .. } | Preview::Kept => ExitStatus::Usage,
        Preview::AwaitingApproval { .. } | Preview::Full { .. } => ExitStatus::Failed,
    }
}

fn document(stage: StageId, generation: Generation, preview: Preview) -> Document {
    let (ruling, reason, plan) = match preview {
        Preview::Plan(plan) => ("plan", None, Some(plan)),
        Preview::Gone => ("gone", Some("it is gone, and nothing is left of it".to_owned()), None),
        Preview::Misconfigured { problems, .. } => ("misconfigured", Some(problems.to_string()), None),
        Preview::AwaitingApproval { sha } => {
            let reason = format!("somebody who may must approve {sha} first: it comes from a fork");
            ("awaiting_approval", Some(reason), None)
        }
        Preview::Full { max, holders } => {
            let holders: Vec<&str> = holders.iter().map(StageName::as_str).collect();
            ("full", Some(format!("all {max} places are taken, by {}", holders.join(", "))), None)
        }
        Preview::Kept => {
            let reason =
                "it stays as it is: no rule under `stages` on the default branch names it, or its branch is gone";
            ("kept", Some(reason.to_owned()), None)
        }
    };
    Document { repo: stage.repo, stage: stage.name, generation, ruling, reason, plan, changes: Vec::new() }
}

fn human(document: &Document) -> String {
    let head = format!("{}/{}", document.repo, document.stage);
    match (&document.plan, &document.reason) {
        (Some(plan), _) => plan_text(&head, plan) + &changes_text(&document.changes),
        (None, Some(reason)) if document.ruling == "misconfigured" => reason.clone(),
        (None, reason) => format!("{head}: {}", reason.as_deref().unwrap_or_default()),
    }
}

/// One line for each step, the addresses, and what is left alone.
fn plan_text(head: &str, plan: &Steps) -> String {
    let (goal, spec) = match &plan.wanted {
        Wanted::Live(spec) => (format!("to {}", spec.sha.short()), Some(spec)),
        Wanted::Gone(_) => ("to be removed".to_owned(), None),
    };
    if plan.steps.is_empty() {
        return format!("{head} {goal}: nothing to do, it is there\n");
    }
    let count = plan.steps.len();
    let mut text = format!("{head} {goal}, {count} step{}:\n", if count == 1 { "" } else { "s" });
    let width = plan.steps.iter().map(|step| words(&step.action).chars().count()).max().unwrap_or(0);
    for (index, step) in plan.steps.iter().enumerate() {
        let line = format!("{:>4}  {:<width$}  {}", index + 1, words(&step.action), notes(step, plan));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for skipped in &plan.skipped {
        let _ = writeln!(text, "      {} stays as it runs: {}", skipped.service, skipped.why);
    }
    for service in spec.iter().flat_map(|spec| &spec.services) {
        if let Some(url) = &service.url {
            let _ = writeln!(text, "{} at {url}", service.name);
        }
    }
    text
}

/// One line for each thing that preparing changes.
fn changes_text(changes: &[ResourceChange]) -> String {
    let mut text = String::new();
    for ResourceChange { change, kind, name, details } in changes {
        let sign = match change {
            ChangeKind::Added => "+",
            ChangeKind::Changed => "~",
            ChangeKind::PerhapsReplaced => "~?",
            ChangeKind::Replaced => "±",
            ChangeKind::Removed => "-",
        };
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {sign} {kind} {name}{details}");
    }
    text
}

fn words(action: &Action) -> String {
    match action {
        Action::Fetch => "fetch the source".to_owned(),
        Action::Prepare => "make what the stage needs besides its programs".to_owned(),
        Action::Build { service } => format!("build {service}"),
        Action::Adopt { service } => format!("take the image of {service} as it is"),
        Action::Migrate { service } => format!("run the migration of {service}"),
        Action::Canary { service } => format!("watch one copy of the new {service} beside what serves"),
        Action::Start { service } => format!("start {service} beside what serves, until it is healthy"),
        Action::Shift { service } => format!("lead the traffic to the new {service}"),
        Action::Check { service } => format!("check the public address of {service}"),
        Action::Retire { service } => format!("drain and remove what {service} ran before"),
        Action::Tidy => "remove the fetched source".to_owned(),
        Action::Remove { resource } => format!("remove the {resource}"),
        Action::Prove { planned } => format!("see that none of {planned} things is left"),
    }
}

/// After which steps it comes, by their numbers, and what is special about it.
fn notes(step: &Step, plan: &Steps) -> String {
    let number = |key: &StepKey| plan.steps.iter().position(|other| other.key == *key).map(|index| index + 1);
    let needs: Vec<String> = step.needs.iter().filter_map(number).map(|number| number.to_string()).collect();
    let mut notes = Vec::new();
    if !needs.is_empty() {
        notes.push(format!("after {}", needs.join(", ")));
    }
    if step.runs == Runs::Always {
        notes.push("also after a failure".to_owned());
    }
    if step.interruption == Interruption::Forbidden {
        notes.push("waited out".to_owned());
    }
    notes.join("; ")
}
