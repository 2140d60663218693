//! Commands that set a goal: what each makes of a stage.

use super::super::Engine;
use super::super::board::Board;
use super::super::ruling::{RELEASES, Ruling};
use super::learn::Brought;
use super::said::Said;
use super::{Talk, is_own};
use crate::decide::gate::rule_named;
use crate::decide::roll_back;
use crate::model::{
    Answer, Asked, Branch, CameBy, Command, Commit, CommitSha, Deploy, GoneReason, Line, ReceiptBond, Release, StageId,
    StageName, StageRecord, StageStatus, StepState, Subject, Target, Trigger, Verb, Verdict, Waiting, Wanted,
};
use crate::port::{PortError, PortResult};
use crate::view::Told;

/// A goal that passed its gates.
struct Goal {
    stage: StageName,
    target: Target,
    sha: Option<CommitSha>,
    words: Option<String>,
}

impl Engine {
    /// What the command brings, where it brings something that was deployed before; a sentence where
    /// there is nothing to bring.
    pub(super) async fn brought(
        &self,
        board: &Board<'_>,
        talk: &Talk<'_>,
        command: &Command,
        stage: Option<&StageName>,
    ) -> PortResult<Result<Option<Brought>, String>> {
        let record = stage.and_then(|name| board.stage(name));
        match command {
            Command::Redeploy { .. } | Command::Retry { .. } => {
                // A stage that was never there is told by its gate.
                let Some(record) = record else { return Ok(Ok(None)) };
                let sha = match (&record.status, command.verb()) {
                    (StageStatus::Live { sha } | StageStatus::Failed { sha }, Verb::Redeploy)
                    | (StageStatus::Failed { sha } | StageStatus::Blocked { sha: Some(sha), .. }, _) => sha.clone(),
                    (StageStatus::RemovalBlocked | StageStatus::Blocked { sha: None, .. }, Verb::Retry) => {
                        return Ok(Ok(None));
                    }
                    (_, Verb::Retry) => return Ok(Err(format!("nothing failed on {}", record.id.name))),
                    _ => return Ok(Err(format!("nothing is deployed on {}", record.id.name))),
                };
                Ok(match self.present_came_by(record, &sha).await? {
                    Some(came_by) => Ok(Some(Brought { sha, came_by })),
                    None => Err(format!(
                        "it is not known where {} of {} came from: deploy it from its own pull request, or push it",
                        sha.short(),
                        record.id.name
                    )),
                })
            }
            Command::Rollback { release, .. } => {
                let Some(record) = record else { return Ok(Ok(None)) };
                let releases = self.releases_of(record).await?;
                Ok(match roll_back(&releases, *release) {
                    Some(found) => Ok(self.brought_by(record, found).await?),
                    None => Err(nothing_to_return_to(record, &releases, release.is_some())),
                })
            }
            Command::Promote { from, .. } => {
                let Some(record) = board.stage(from) else { return Ok(Ok(None)) };
                Ok(match self.releases_of(record).await?.first() {
                    Some(newest) => Ok(self.brought_by(record, newest).await?),
                    None => Err(format!("nothing is live on {from}")),
                })
            }
            Command::Deploy { .. } | Command::Approve { .. }
                if is_own(record, talk.number()) && !talk.pull.is_open() =>
            {
                Ok(Err("the pull request is closed: open it again first".into()))
            }
            _ => Ok(Ok(None)),
        }
    }

    /// The releases of a stage since it was last gone, newest first.
    pub(super) async fn releases_of(&self, record: &StageRecord) -> PortResult<Vec<Release>> {
        let mut releases = self.ports.store.releases(&record.id, RELEASES).await?;
        let deploys = self.ports.store.deploys(&record.id, RELEASES).await?;
        let gone = |deploy: &&Deploy| matches!(deploy.plan.wanted, Wanted::Gone(_));
        if let Some(gone) = deploys.iter().find(gone) {
            releases.retain(|release| release.deploy > gone.id);
        }
        Ok(releases)
    }

    async fn brought_by(&self, record: &StageRecord, release: &Release) -> PortResult<Option<Brought>> {
        let came_by = self.release_came_by(record, &record.id.name, release.generation).await?;
        Ok(came_by.map(|came_by| Brought { sha: release.sha.clone(), came_by }))
    }

    /// Does a command whose gates are open, or has it wait for its turn.
    pub(super) async fn carry_out(
        &self,
        board: &mut Board<'_>,
        talk: &Talk<'_>,
        line: &Line,
        command: &Command,
        brought: Option<Brought>,
        verdict: Verdict,
    ) -> PortResult<Said> {
        if let Some(said) = self.look_up(board, talk, line, command).await? {
            return Ok(said);
        }
        let heir = match command {
            Command::Lock { hand_to: Some(login), .. } => {
                match self.ports.forge.account(&talk.comment.repo, &login.to_string()).await {
                    Ok(heir) => Some(heir),
                    Err(PortError::NotFound { .. }) => {
                        return Ok(Said::refused(line, Told::Refused(format!("there is no account {login}"))));
                    }
                    Err(error) => return Err(error),
                }
            }
            _ => None,
        };
        if let Some(said) = super::locks::change(board, talk, line, command, heir.as_ref()) {
            return Ok(said);
        }
        let goal = match self.goal(board, talk, command, brought, &verdict).await? {
            Ok(goal) => goal,
            Err(why_not) => return Ok(Said::refused(line, Told::Refused(why_not))),
        };
        let asked = asked(talk, command, &goal);
        if let Answer::Queued { .. } = verdict.answer {
            let waiting = Waiting { target: goal.target, asked, receipt: talk.key() };
            board.enqueue(&goal.stage, waiting);
            return Ok(Said::queued(line, Told::Judged(verdict)));
        }
        if let Command::Approve { .. } = command {
            let sha = goal.sha.clone();
            board.change(&goal.stage, |record| record.approval = sha);
        }
        let subject = subject(board, talk, &goal.stage);
        let generation = board.ask(&goal.stage, subject, goal.target, asked);
        let bond = ReceiptBond { stage: goal.stage.clone(), generation };
        // The stage's own comment says the rest, where it is on this pull request.
        let words = goal.words.filter(|_| says_more(command) || !is_own(board.stage(&goal.stage), talk.number()));
        Ok(Said::accepted(line, bond, words))
    }

    async fn goal(
        &self,
        board: &Board<'_>,
        talk: &Talk<'_>,
        command: &Command,
        brought: Option<Brought>,
        verdict: &Verdict,
    ) -> PortResult<Result<Goal, String>> {
        let ask = crate::decide::gate::Ask::of(command, Some(talk.number()));
        let Some(stage) = crate::decide::gate::stage_of(&ask, talk.project) else {
            return Ok(Err("this pull request has no stage of its own".into()));
        };
        let record = board.stage(&stage);
        let came_by = brought.as_ref().map(|brought| brought.came_by.clone());
        let sha = brought.map(|brought| brought.sha).or_else(|| verdict.commit.clone());
        let short = sha.as_ref().map_or_else(String::new, |sha| sha.short().to_owned());
        let goal =
            |target, words: String| Ok(Ok(Goal { stage: stage.clone(), target, sha: sha.clone(), words: Some(words) }));
        match (command, record) {
            (Command::Deploy { .. }, _) => match sha.clone() {
                Some(sha) => {
                    let came_by = Some(CameBy::PullRequest(talk.number()));
                    goal(Target::Commit(Commit { sha, came_by }), format!("{short} goes to {stage}"))
                }
                None => Ok(Err("it is not known which commit to deploy".into())),
            },
            (Command::Approve { .. }, Some(record)) => {
                let target = match record.target.clone() {
                    // A fork's commit that waits for another stage waits as that commit.
                    Target::Gone(_) => Target::PullRequest(talk.number()),
                    target => target,
                };
                goal(target, format!("{short} is approved for {stage}"))
            }
            (Command::Promote { from, .. }, _) => self.promotion(board, talk, from, &stage, goal).await,
            (_, None) => Ok(Err(format!("nothing was ever deployed on {stage}"))),
            (Command::Destroy { .. }, Some(_)) => {
                goal(Target::Gone(GoneReason::Requested), format!("{stage} is being removed"))
            }
            (Command::Redeploy { .. } | Command::Retry { .. }, Some(record)) => {
                let again = sha.clone().map(|sha| Target::Commit(Commit { sha, came_by }));
                let target = again.unwrap_or_else(|| record.target.clone());
                goal(target, format!("{stage} is taken up again {short}").trim_end().to_owned())
            }
            (Command::Rollback { release, .. }, Some(record)) => {
                let releases = self.releases_of(record).await?;
                let Some(found) = roll_back(&releases, *release) else {
                    return Ok(Err(nothing_to_return_to(record, &releases, release.is_some())));
                };
                let target = Target::Release { stage: stage.clone(), generation: found.generation };
                goal(target, format!("{stage} goes back to {short}, release {}", found.generation))
            }
            (Command::Cancel { .. }, Some(record)) => self.cancellation(record, goal).await,
            _ => Ok(Err("that is no command about a goal".into())),
        }
    }

    /// What `from` runs, for another stage; refused where it could not be the very same.
    async fn promotion(
        &self,
        board: &Board<'_>,
        talk: &Talk<'_>,
        from: &StageName,
        to: &StageName,
        goal: impl FnOnce(Target, String) -> PortResult<Result<Goal, String>>,
    ) -> PortResult<Result<Goal, String>> {
        let Some(source) = board.stage(from) else { return Ok(Err(format!("nothing is live on {from}"))) };
        let Some(release) = self.releases_of(source).await?.into_iter().next() else {
            return Ok(Err(format!("nothing is live on {from}")));
        };
        let target = Target::Release { stage: from.clone(), generation: release.generation };
        let fresh = || StageRecord::new(sibling(&source.id, to), subject(board, talk, to), target.clone(), board.now);
        let record = board.stage(to).cloned().unwrap_or_else(fresh);
        let wish = StageRecord { target: target.clone(), asked: None, ..record };
        if let Ruling::Misconfigured { problems, .. } = self.rule_on(&wish).await? {
            let reasons: Vec<String> = problems.problems.into_iter().map(|problem| problem.message).collect();
            return Ok(Err(reasons.join("; ")));
        }
        let digests: Vec<String> =
            release.artifacts.iter().map(|(name, artifact)| format!("{name} {}", brief(&artifact.digest))).collect();
        let words = format!(
            "{to} gets what {from} runs, {} of release {}: {}",
            release.sha.short(),
            release.generation,
            digests.join(", ")
        );
        goal(target, words)
    }

    /// Stops what runs: the goal is what served before, or nothing where nothing did.
    async fn cancellation(
        &self,
        record: &StageRecord,
        goal: impl FnOnce(Target, String) -> PortResult<Result<Goal, String>>,
    ) -> PortResult<Result<Goal, String>> {
        let stage = &record.id.name;
        if !record.is_busy() {
            return Ok(Err(format!("nothing is under way on {stage}")));
        }
        if let Target::Gone(_) = record.target {
            return Ok(Err(format!(
                "{stage} is being removed, which cannot be stopped half-way; deploy it anew instead"
            )));
        }
        let stopped = self.stopped_at(record).await?;
        match self.releases_of(record).await?.first() {
            Some(served) => {
                let target = Target::Release { stage: stage.clone(), generation: served.generation };
                goal(target, format!("{stopped}; {stage} goes back to {}, which served before", served.sha.short()))
            }
            None => goal(
                Target::Gone(GoneReason::Cancelled),
                format!("{stopped}; nothing served before, so what was begun is removed"),
            ),
        }
    }

    /// How far the deploy is that is stopped.
    async fn stopped_at(&self, record: &StageRecord) -> PortResult<String> {
        let newest = self.ports.store.deploys(&record.id, 1).await?.into_iter().next();
        let Some(deploy) = newest.filter(|deploy| deploy.ended.is_none()) else {
            return Ok("stopped before anything was begun".into());
        };
        let log = self.ports.store.log(deploy.id).await?;
        let in_state = |wanted: fn(&StepState) -> bool| {
            let steps = deploy.plan.steps.iter().filter(|step| wanted(&log.state(&step.key)));
            steps.map(|step| step.key.to_string()).collect::<Vec<_>>().join(", ")
        };
        let running = in_state(|state| matches!(state, StepState::Running { .. }));
        let done = in_state(|state| matches!(state, StepState::Done { .. }));
        Ok(match (running.as_str(), done.as_str()) {
            ("", "") => "stopped before its first step".into(),
            ("", done) => format!("stopped after {done}"),
            (running, "") => format!("stopped during {running}"),
            (running, done) => format!("stopped during {running}, after {done}"),
        })
    }
}

fn nothing_to_return_to(record: &StageRecord, releases: &[Release], is_named: bool) -> String {
    let stage = &record.id.name;
    if !is_named {
        return format!("{stage} has no release before the present one");
    }
    let known: Vec<String> = releases.iter().take(10).map(|release| release.generation.to_string()).collect();
    format!("{stage} has no such release; the newest are {}", known.join(", "))
}

fn asked(talk: &Talk<'_>, command: &Command, goal: &Goal) -> Asked {
    let services = match command {
        Command::Deploy { services, .. } => services.clone(),
        _ => Vec::new(),
    };
    let from = match command {
        Command::Promote { from, .. } => Some(from.clone()),
        _ => None,
    };
    Asked {
        verb: command.verb(),
        generation: crate::model::Generation::default(),
        by: talk.comment.author.clone(),
        pull: talk.number(),
        sha: goal.sha.clone(),
        from,
        services,
        at: talk.comment.created_at,
    }
}

/// Whom the stage belongs to: as it did, or as its rule says of one that is new.
pub(super) fn subject(board: &Board<'_>, talk: &Talk<'_>, stage: &StageName) -> Subject {
    if let Some(record) = board.stage(stage) {
        return record.subject.clone();
    }
    match rule_named(talk.project, stage).map(|rule| (&rule.trigger, &rule.pattern)) {
        Some((Trigger::PullRequest { .. }, _)) => Subject::PullRequest(talk.number()),
        Some((Trigger::Push { branches }, _)) => {
            Subject::Branch(branches.only().map_or_else(|| talk.pull.base.clone(), |branch| Branch(branch.to_owned())))
        }
        _ => Subject::Branch(talk.pull.base.clone()),
    }
}

/// Whether the stage's own comment does not say all that the answer says.
fn says_more(command: &Command) -> bool {
    matches!(command, Command::Cancel { .. } | Command::Promote { .. } | Command::Rollback { .. })
}

/// The beginning of a digest, as people compare it.
pub(super) fn brief(digest: &str) -> String {
    digest.chars().take(19).collect()
}

/// The stage of that name in the same repository.
pub(super) fn sibling(of: &StageId, name: &StageName) -> StageId {
    StageId { repo: of.repo.clone(), name: name.clone() }
}
