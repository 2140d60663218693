//! `greenroom action`: a step of a workflow, with the engine inside.
//!
//! | file | purpose |
//! |---|---|
//! | `ground` | where the state lies, and who the step is on AWS |
//! | `inputs` | what the step was told |
//! | `visit` | the event into the inbox, the engine until it rests |
//! | `scope` | which stages that is about |
//! | `plan` | what would be done, by the same planner |
//! | `writer` | log, annotations, summary, outputs |
//!
//! Guarantees: however it ends, outputs and summary are written; nothing is called on AWS before it is known
//! that there is something to do.

mod ground;
mod inputs;
mod plan;
mod scope;
mod visit;
mod writer;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use self::ground::Ground;
use self::inputs::{Given, Inputs};
use self::scope::Scope;
use self::visit::{Left, Visit};
use self::writer::{StepLog, publish};
use super::ExitStatus;
use crate::app;
use crate::app::action::{KeeperArgs, Runner, RunnerError, keep, open_step_store, step_secrets};
use crate::config;
use crate::decide::{Deed, auto, command, delivery_parts};
use crate::model::{CommentEvent, Event, Prefix, RepoId, RunFacts};
use crate::port::Forge;
use crate::view::{StagePhase, StepEnding, StepReport, StepStage};

/// Carry out a step of a GitHub workflow: what its event means, or one command.
#[derive(Debug, Args)]
#[command(after_help = "\
Each flag is an input of the action and comes by its variable there; one that is empty is not given.
The token comes by GREENROOM_ACTION_GITHUB_TOKEN alone. It runs where GitHub runs workflows: it reads
GITHUB_EVENT_NAME, GITHUB_EVENT_PATH, GITHUB_REPOSITORY and what else a step finds in its environment,
and writes to GITHUB_OUTPUT and GITHUB_STEP_SUMMARY.

Examples:
  greenroom action
  greenroom action --command deploy --stage staging
  greenroom action --dry-run true")]
pub(super) struct Action {
    #[command(flatten)]
    inputs: Inputs,
}

/// Serve what the stages of this machine serve, after the step that deployed them.
#[derive(Debug, Args)]
pub(super) struct ActionKeeper {
    #[command(flatten)]
    args: KeeperArgs,
}

impl ActionKeeper {
    pub(super) async fn run(self) -> anyhow::Result<ExitStatus> {
        app::start_log("info", app::LogFormat::Text)?;
        keep(self.args, app::stop_on_signal()?).await?;
        Ok(ExitStatus::Ok)
    }
}

/// How a step went, before it is a report.
struct Went {
    ending: StepEnding,
    status: ExitStatus,
    reason: String,
    stages: Vec<StepStage>,
    shown: Vec<String>,
}

impl Went {
    fn told(ending: StepEnding, status: ExitStatus, reason: impl Into<String>) -> Self {
        Self { ending, status, reason: reason.into(), stages: Vec::new(), shown: Vec::new() }
    }

    fn noticed(reason: impl Into<String>) -> Self {
        Self::told(StepEnding::Noticed, ExitStatus::Ok, reason)
    }

    fn refused(reason: impl Into<String>) -> Self {
        Self::told(StepEnding::Refused, ExitStatus::Usage, reason)
    }

    /// An error, as the step says it: with its causes, each once.
    fn broken(error: &anyhow::Error) -> Self {
        let status = ExitStatus::of_error(error);
        let ending = match status {
            ExitStatus::Usage => StepEnding::Refused,
            ExitStatus::Failed => StepEnding::Failed,
            ExitStatus::Ok | ExitStatus::Environment | ExitStatus::Bug => StepEnding::Broken,
        };
        let mut reason = String::new();
        for cause in error.chain().map(ToString::to_string) {
            if !reason.ends_with(&cause) {
                reason = if reason.is_empty() { cause } else { format!("{reason}: {cause}") };
            }
        }
        Self::told(ending, status, reason)
    }
}

impl Action {
    pub(super) async fn run(self) -> anyhow::Result<ExitStatus> {
        let began = Instant::now();
        let stop = app::stop_on_signal()?;
        let mut log = StepLog::standard();
        log.hide(&step_secrets());
        app::start_log_in_step("warn")?;
        let runner = Runner::from_environment();
        let command = self.inputs.command();
        let mut step = Step { runner: &runner, log: &mut log, stop, began, overdue: None };
        let went = step.go(&self.inputs).await.unwrap_or_else(|error| Went::broken(&error));
        let overdue = step.overdue.take();
        let Went { ending, status, reason, stages, shown } = went;
        let millis = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
        let report = StepReport { command, ending, reason, stages, shown, log_url: runner.log_url.clone(), millis };
        publish(&report, &runner, &mut log);
        // What is nobody's in particular comes after the report, so that it holds nobody up.
        if let Some(overdue) = overdue {
            overdue.finish().await;
        }
        Ok(status)
    }
}

/// What is left to do once the report is written.
struct Overdue {
    visit: Visit,
    workshop: app::action::Workshop,
    left: Left,
}

impl Overdue {
    async fn finish(self) {
        if self.left == Left::AtRest || self.left == Left::NoStage {
            let done = self.visit.do_overdue(&self.workshop).await;
            if let Err(error) = done {
                tracing::warn!("what is overdue is left to the next run: {error}");
            }
        }
        self.workshop.close().await;
    }
}

/// One step at work.
struct Step<'a> {
    runner: &'a Runner,
    log: &'a mut StepLog,
    stop: CancellationToken,
    began: Instant,
    overdue: Option<Overdue>,
}

impl Step<'_> {
    async fn go(&mut self, inputs: &Inputs) -> anyhow::Result<Went> {
        let given = match inputs.read() {
            Ok(given) => given,
            Err(wrong) => return Ok(Went::refused(wrong)),
        };
        let (occasion, mut facts) = match self.runner.occasion() {
            Ok(read) => read,
            Err(RunnerError::Surroundings(why)) => return Err(ExitStatus::Usage.error(why)),
            Err(RunnerError::Event(why)) => return Ok(Went::refused(why)),
        };
        if facts.repo.id == RepoId(0) {
            facts.repo = ground::forge(self.runner, &facts)?.repository(&facts.repo.name).await?.seen;
        }
        match auto(&given.wish, &occasion, &facts) {
            Deed::Notice(why) => Ok(Went::noticed(why)),
            Deed::Refuse(why) => Ok(Went::refused(why)),
            Deed::Check => self.check(&given, &facts).await,
            deed => self.carry_out(&given, inputs, &facts, &deed).await,
        }
    }

    async fn carry_out(
        &mut self,
        given: &Given,
        inputs: &Inputs,
        facts: &RunFacts,
        deed: &Deed,
    ) -> anyhow::Result<Went> {
        let ground = Ground { runner: self.runner, inputs, given, facts };
        let state = ground.state()?;
        let forge = ground::forge(self.runner, facts)?;
        let known = forge.repository(&facts.repo.name).await.context("GitHub does not tell of this repository")?;
        if known.seen.id != facts.repo.id {
            return Ok(Went::refused("the token is for another repository than the one of this run"));
        }
        if let Deed::Deliver(event) = deed
            && let Event::Comment(comment) = &**event
            && !is_command(forge.as_ref(), comment, &known.default_branch).await?
        {
            return Ok(Went::noticed("the comment holds no command"));
        }
        let settings = ground.settings(state, forge.as_ref(), &known.default_branch).await?;
        let store = open_step_store(&settings).await?;
        let key = store.identify(&known.seen).await.context("cannot take down which repository this is")?.key;
        if let Deed::Plan(deed) = deed {
            return plan::shown(&settings, &store, &forge, &key, deed).await;
        }
        let (scope, events) = Scope::of(deed, &key, store.as_ref()).await.context("cannot read the stages")?;
        let (timeout, patience) = (given.timeout, given.patience);
        let (stop, began) = (self.stop.clone(), self.began);
        let visit = Visit { settings, store, forge, scope, patience, timeout, stop, began };
        if matches!(deed, Deed::Status { .. }) {
            let stages = visit.reported().await?;
            return Ok(Went { stages, ..Went::told(StepEnding::Done, ExitStatus::Ok, "") });
        }
        if events.is_empty() {
            return Ok(Went::noticed(visit.scope.none()));
        }
        visit.deliver(events, &delivery_parts(facts, deed)).await?;
        let (left, stages, workshop) = visit.follow(self.log).await?;
        let went = judged(deed, left, stages, &visit.scope);
        self.overdue = workshop.map(|workshop| Overdue { visit, workshop, left });
        Ok(went)
    }

    /// The configuration of the run's commit, from the checkout where there is one.
    async fn check(&self, given: &Given, facts: &RunFacts) -> anyhow::Result<Went> {
        let path = given.config.clone().unwrap_or_else(|| PathBuf::from(config::PATH));
        let name = path.display().to_string();
        let here = self.runner.workspace.as_ref().map(|folder| folder.join(&path)).filter(|file| file.is_file());
        let bytes = match (here, &facts.sha) {
            (Some(file), _) => {
                let read = std::fs::read(&file);
                Some(read.with_context(|| format!("cannot read {}", file.display()))?)
            }
            (None, Some(sha)) => {
                let forge = ground::forge(self.runner, facts)?;
                forge.file_at(&facts.repo.name, sha, &name).await.context("GitHub does not give the file")?
            }
            (None, None) => None,
        };
        let Some(bytes) = bytes else { return Ok(Went::refused(format!("there is no {name} at this commit"))) };
        Ok(match config::check(&name, &bytes) {
            Ok(project) => {
                let services = project.services.len();
                Went::told(StepEnding::Done, ExitStatus::Ok, format!("{name} is right: {services} services"))
            }
            Err(problems) => {
                Went { shown: vec![problems.to_string()], ..Went::refused(format!("{name} is wrong: {problems}")) }
            }
        })
    }
}

/// Whether a comment is for us at all, as far as can be told before anything but GitHub is asked.
async fn is_command(
    forge: &dyn Forge,
    comment: &CommentEvent,
    default_branch: &crate::model::Branch,
) -> anyhow::Result<bool> {
    let Some(file) = ground::policy(forge, &comment.repo, default_branch).await? else { return Ok(false) };
    // With a file that is wrong the usual prefix counts, as it does for the engine.
    let prefix = config::check(config::PATH, &file).map_or_else(|_| Prefix::default(), |is| is.commands.prefix);
    Ok(!command::read(&comment.body, &prefix, &command::Known::default()).is_empty())
}

/// What a visit came to.
fn judged(deed: &Deed, left: Left, stages: Vec<StepStage>, scope: &Scope) -> Went {
    let worst = status(deed, &stages);
    let went = |ending, status, reason: &str| Went { stages, ..Went::told(ending, status, reason) };
    match left {
        Left::NoStage if matches!(deed, Deed::Deliver(event) if matches!(**event, Event::Comment(_))) => {
            went(StepEnding::Done, ExitStatus::Ok, &scope.none())
        }
        Left::NoStage if matches!(deed, Deed::Ask { .. }) => {
            went(StepEnding::Refused, ExitStatus::Usage, &scope.none())
        }
        Left::NoStage => went(StepEnding::Noticed, ExitStatus::Ok, &scope.none()),
        Left::NotWaitedFor => {
            went(StepEnding::Asked, ExitStatus::Ok, "it is asked for; the next run for this stage goes on with it")
        }
        Left::TimedOut => went(
            StepEnding::TimedOut,
            ExitStatus::Environment,
            "the time of the input `timeout` is up; the next run for this stage goes on where this one stopped",
        ),
        Left::Interrupted => went(
            StepEnding::Interrupted,
            ExitStatus::Environment,
            "the run was cancelled; the next run for this stage goes on where this one stopped",
        ),
        Left::Stuck(attempts) => {
            let why = format!("the event could not be handled in {attempts} attempts: the log above says why");
            went(StepEnding::Broken, ExitStatus::Environment, &why)
        }
        Left::AtRest => {
            let ending = match worst {
                ExitStatus::Ok => StepEnding::Done,
                ExitStatus::Usage => StepEnding::Refused,
                ExitStatus::Failed | ExitStatus::Environment => StepEnding::Failed,
                ExitStatus::Bug => StepEnding::Broken,
            };
            went(ending, worst, "")
        }
    }
}

/// The worst of the stages; a sweep fails by what it could not remove alone.
fn status(deed: &Deed, stages: &[StepStage]) -> ExitStatus {
    let counts = |stage: &&StepStage| *deed != Deed::Sweep || stage.view.phase == StagePhase::Stuck;
    stages.iter().filter(counts).map(|stage| ExitStatus::of_stage(&stage.view)).max().unwrap_or(ExitStatus::Ok)
}
