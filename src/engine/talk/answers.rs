//! Commands that ask: what is said of a stage without changing it.

use super::super::board::Board;
use super::super::{Engine, Preview, report};
use super::Talk;
use super::goals::subject;
use super::learn::{Moment, Question};
use super::said::Said;
use crate::decide::gate::{Ask, Caller, offers, rule_named, stage_of};
use crate::decide::{unasked, version_key};
use crate::model::{
    CameBy, Command, Commit, Force, Line, LineCount, LockScope, Output, ServiceName, StageId, StageName, StageRecord,
    Target, Verb, Wanted,
};
use crate::port::{Phase, PortError, PortResult, Progress, Rollout, Site};
use crate::view::{self, Keep, Told};

/// Lines of a log where nobody said how many.
const LINES: usize = 50;
/// A service that is still being asked is waited for, each time as long as the target waits itself.
const LOOKS: usize = 4;

impl Engine {
    /// What the caller may do here.
    pub(super) async fn help(&self, talk: &Talk<'_>, line: &Line, about: Option<Verb>) -> PortResult<Said> {
        let repo = &talk.comment.repo;
        let author = &talk.comment.author;
        let place = LockScope::Own;
        let ask = Ask { verb: Verb::Help, place, from: None, pull: None, sha: None, force: Force::Respect };
        let question = Question {
            ask: &ask,
            by: author,
            kind: talk.kind,
            pull: None,
            record: None,
            lock: None,
            witnessed: Vec::new(),
            brought: None,
            moment: Moment::Running { sha: None },
            attempts: talk.attempts,
        };
        let role = self.role(repo, author, talk.attempts).await?;
        let teams = self.teams(talk.project, repo, &question).await?;
        let caller = Caller { id: author.id, login: author.login.clone(), kind: talk.kind, role, teams };
        let mut offers = offers(talk.project, &caller, Some(talk.number()));
        offers.retain(|offer| about.is_none_or(|about| offer.verb == about));
        Ok(Said::done(line, Told::Help { prefix: talk.project.commands.prefix.clone(), offers }))
    }

    /// Answers a question. `None`: the command is no question.
    pub(super) async fn look_up(
        &self,
        board: &Board<'_>,
        talk: &Talk<'_>,
        line: &Line,
        command: &Command,
    ) -> PortResult<Option<Said>> {
        let is_question = matches!(
            command,
            Command::Plan { .. } | Command::Status { .. } | Command::Logs { .. } | Command::Health { .. }
        );
        if !is_question {
            return Ok(None);
        }
        let Some(name) = stage_of(&Ask::of(command, Some(talk.number())), talk.project) else {
            let words = "this pull request has no stage of its own".to_owned();
            return Ok(Some(Said::refused(line, Told::Refused(words))));
        };
        let stage = StageId { repo: talk.comment.repo.clone(), name };
        let record = board.stage(&stage.name);
        let told = match (command, record) {
            (Command::Plan { .. }, _) => self.told_plan(board, talk, &stage, record).await,
            (_, None) => Ok(Told::Refused(match unasked_by_itself(talk, &stage.name) {
                Some(why) => format!("there is no stage {}, because of this pull request: {why}", stage.name),
                None => format!("there is no stage {}", stage.name),
            })),
            (Command::Logs { service, lines, .. }, Some(record)) => self.told_logs(record, service, *lines).await,
            (Command::Health { .. }, Some(record)) => self.told_health(record).await,
            (_, Some(record)) => self.told_status(board, talk, record).await,
        };
        let told = match told {
            Ok(told) => told,
            // A question that cannot be answered is answered so, and holds nobody up.
            Err(error @ (PortError::Stale | PortError::Bug { .. })) => return Err(error),
            Err(error) => Told::Failed(error.to_string()),
        };
        Ok(Some(match &told {
            Told::Refused(_) | Told::Failed(_) => Said::refused(line, told),
            _ => Said::done(line, told),
        }))
    }

    async fn told_status(&self, board: &Board<'_>, talk: &Talk<'_>, record: &StageRecord) -> PortResult<Told> {
        let now = self.ports.clock.now();
        // The board's record: a stage that events before this comment have made is not written yet.
        let view = report::view_around(self.ports.store.as_ref(), record.clone(), now).await?;
        let mut lines: Vec<String> = Vec::new();
        for service in &view.services {
            let state = format!("{:?}", service.state).to_lowercase();
            lines.push(format!("{}  {state}  {}", service.name, service.url.as_deref().unwrap_or("-")));
        }
        for trouble in &view.troubles {
            let seen = trouble.summary.as_ref().map_or_else(String::new, |summary| format!(": {summary}"));
            let since = if trouble.recovered { "well again since" } else { "not well since" };
            lines.push(format!("{}  {since} {}, {}{seen}", trouble.service, trouble.since, trouble.told));
        }
        if let Some(why) = unasked_by_itself(talk, &record.id.name) {
            lines.push(format!("by itself this pull request gets no stage: {why}"));
        }
        let locks = board.lock().map(|lock| ("every stage", lock)).into_iter();
        for (what, lock) in locks.chain(record.lock.as_ref().map(|lock| ("it", lock))) {
            lines.push(format!("{what} is locked by {}: {}", lock.login, lock.reason));
        }
        for (place, waiting) in (1..).zip(&record.queue) {
            lines.push(format!("waits as number {place}: {} of #{}", waiting.asked.verb, waiting.asked.pull));
        }
        for release in self.releases_of(record).await?.iter().take(5) {
            lines.push(format!("release {}  {}  {}", release.generation, release.sha.short(), release.at));
        }
        Ok(Told::Short { summary: view::line(&view), lines })
    }

    async fn told_logs(
        &self,
        record: &StageRecord,
        service: &ServiceName,
        lines: Option<LineCount>,
    ) -> PortResult<Told> {
        let place = record.place.clone().unwrap_or_default();
        let site = Site { stage: &record.id, place: &place };
        let wanted = lines.map_or(LINES, |lines| usize::from(lines.get()));
        let lines = self.ports.cloud.logs(site, service, wanted).await?;
        if lines.is_empty() {
            return Ok(Told::Short { summary: format!("{service} has printed nothing"), lines });
        }
        let summary = format!("the last {} lines of {service} on {}", lines.len(), record.id.name);
        Ok(Told::Long { summary, lines, keep: Keep::Last })
    }

    /// Asks every service that is live, the way a deploy does at its end.
    async fn told_health(&self, record: &StageRecord) -> PortResult<Told> {
        let Some(newest) = self.releases_of(record).await?.into_iter().next() else {
            return Ok(Told::Refused(format!("nothing is live on {}", record.id.name)));
        };
        let name = &record.id.name;
        let Some((release, spec)) = self.release(&record.id, name, newest.generation).await? else {
            return Ok(Told::Refused(format!("nothing is live on {name}")));
        };
        // What answers at this moment may have ended a moment ago: how it is doing counts, not one answer.
        let site = Site { stage: &record.id, place: &spec.place };
        let seen = self.ports.cloud.conditions(site).await.unwrap_or_default();
        let mut lines = Vec::new();
        let mut healthy = 0;
        for service in &spec.services {
            let Some(artifact) = release.artifacts.get(&service.name) else { continue };
            let version = version_key(service, artifact);
            let generation = release.generation;
            let rollout = Rollout { stage: &spec, service, artifact, version: &version, generation };
            let (found, answers) = self.heard_of(&rollout).await?;
            let condition = seen.get(&service.name).filter(|condition| condition.is_trouble());
            healthy += usize::from(answers && condition.is_none());
            let doing =
                condition.map_or_else(String::new, |condition| format!("{}; at this moment ", view::doing(condition)));
            lines.push(format!("{}  {doing}{found}", service.name));
        }
        Ok(Told::Short { summary: format!("{healthy} of {} services of {name} are healthy", lines.len()), lines })
    }

    /// What a service says of itself at this moment, and whether that is healthy.
    async fn heard_of(&self, rollout: &Rollout<'_>) -> PortResult<(String, bool)> {
        let mut answer = self.ports.cloud.ensure(Phase::Check, rollout).await;
        for _ in 1..LOOKS {
            if !matches!(answer, Ok(Progress::Pending { .. })) {
                break;
            }
            answer = self.ports.cloud.ensure(Phase::Check, rollout).await;
        }
        Ok(match answer {
            Ok(Progress::Done(Output::Answered { url, status, millis })) => {
                (format!("{status} in {millis} ms  {url}"), true)
            }
            Ok(Progress::Done(Output::Running { copies, wanted })) => {
                (format!("running {copies}/{wanted}"), copies >= wanted)
            }
            Ok(Progress::Done(_)) => ("answers".to_owned(), true),
            Ok(Progress::Pending { note, .. }) => (format!("not healthy yet: {note}"), false),
            Err(error @ (PortError::Stale | PortError::Bug { .. })) => return Err(error),
            Err(error) => (format!("not healthy: {error}"), false),
        })
    }

    /// What a deploy of this pull request's head would do.
    async fn told_plan(
        &self,
        board: &Board<'_>,
        talk: &Talk<'_>,
        stage: &StageId,
        record: Option<&StageRecord>,
    ) -> PortResult<Told> {
        let sha = talk.pull.head.sha.clone();
        let came_by = Some(CameBy::PullRequest(talk.number()));
        let target = Target::Commit(Commit { sha: sha.clone(), came_by });
        let fresh = || {
            let subject = subject(board, talk, &stage.name);
            StageRecord::new(stage.clone(), subject, target.clone(), board.now)
        };
        let known = record.cloned().unwrap_or_else(fresh);
        let wish = StageRecord { target: target.clone(), asked: None, ..known };
        let (short, name) = (sha.short(), &stage.name);
        let said = |summary: String| Ok(Told::Short { summary, lines: Vec::new() });
        let plan = match self.preview(&wish).await? {
            Preview::Plan(plan) => plan,
            Preview::Gone | Preview::Kept => return said(format!("{name} stays as it is")),
            Preview::AwaitingApproval { .. } => return said(format!("{short} waits for an approval first")),
            Preview::Full { max, .. } => return said(format!("{name} waits for a free place: all {max} are taken")),
            Preview::Misconfigured { problems, .. } => {
                let lines = problems.to_string().lines().map(str::to_owned).collect();
                return Ok(Told::Short { summary: format!("the configuration at {short} is wrong"), lines });
            }
        };
        let mut lines: Vec<String> = plan.steps.iter().map(|step| step.key.to_string()).collect();
        for skipped in &plan.skipped {
            lines.push(format!("{} stays as it runs: {}", skipped.service, skipped.why));
        }
        for change in self.changes(&plan).await? {
            lines.push(format!("{} {} {}", change.change.words(), change.kind, change.name).to_lowercase());
        }
        let goal = if matches!(plan.wanted, Wanted::Live(_)) { format!("to {short}") } else { "to be removed".into() };
        if plan.steps.is_empty() {
            return said(format!("{name} {goal}: nothing to do, it is there"));
        }
        let summary = format!("{name} {goal}, {} steps", plan.steps.len());
        Ok(Told::Long { summary, lines, keep: Keep::First })
    }
}

/// Why the pull request gets this stage, which is its own, only when somebody asks for it.
pub(super) fn unasked_by_itself(talk: &Talk<'_>, stage: &StageName) -> Option<String> {
    let rule = rule_named(talk.project, stage)?;
    let is_own = rule.pattern.for_pull(talk.number()).as_ref() == Some(stage);
    let why = unasked(rule, &talk.pull).filter(|_| is_own && talk.pull.is_open())?;
    Some(why.words(&talk.project.commands.prefix))
}
