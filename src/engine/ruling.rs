//! What a stage should be now: its target, resolved by asking GitHub, under the policy.

use std::collections::BTreeSet;

use super::origin::origin;
use super::{CONFIG_PATH, Engine};
use crate::config;
use crate::decide::gate::Origin;
use crate::decide::{Admission, admit, admit_place, has_place, is_release_of, resolve, trust, wall};
use crate::model::{
    Asked, CameBy, CommitSha, Generation, GoneReason, Pinned, Position, Problem, Problems, Project, PullNumber,
    PullRequest, PullRequestState, Release, RepoName, Runtime, Seconds, StageId, StageName, StagePattern, StageRecord,
    StageRule, StageSpec, StageStatus, Subject, Target, Timestamp, Trigger, Trust, Verb, Wanted,
};
use crate::port::{PortError, PortResult};

/// Releases among which one is looked for.
pub(super) const RELEASES: u32 = 200;

/// The ruling on a stage.
#[derive(Debug)]
pub(super) enum Ruling {
    /// It should be this.
    Want(Wanted),
    /// The configuration is wrong: nothing changes until it is right.
    Misconfigured {
        sha: CommitSha,
        problems: Problems,
    },
    AwaitApproval(CommitSha),
    Full {
        max: u32,
        holders: Vec<StageName>,
    },
    /// Nothing can be said: it stays as it is.
    Keep,
}

impl Engine {
    /// Rules on a stage. A call that fails is an error and changes nothing: when in doubt, keep.
    pub(super) async fn rule_on(&self, record: &StageRecord) -> PortResult<Ruling> {
        if let Target::Gone(reason) = &record.target {
            return Ok(Ruling::Want(Wanted::Gone(reason.clone())));
        }
        let repo = &record.id.repo;
        if !self.is_served(repo).await? {
            return self.rule_unserved(record).await;
        }
        let policy = match self.policy(repo).await {
            // Nobody lets us see any more whether it was given a longer life.
            Err(PortError::Denied { .. } | PortError::NotFound { .. }) if self.is_over(record) => {
                return Ok(Ruling::Want(Wanted::Gone(GoneReason::Expired)));
            }
            answer => answer?,
        };
        let Some((policy_sha, policy)) = policy else { return Ok(without_rule(record)) };
        let policy = match policy.as_ref() {
            Ok(policy) => policy,
            Err(problems) => return self.without_policy(record, policy_sha, problems).await,
        };
        let Some(rule) = rule_of(policy, record) else { return Ok(without_rule(record)) };
        let head = match self.head(rule, record).await? {
            Head::At(head) => head,
            Head::Ruled(ruling) => return Ok(ruling),
        };
        if expiry(record, rule.expires).is_some_and(|at| self.ports.clock.now() >= at) {
            return Ok(Ruling::Want(Wanted::Gone(GoneReason::Expired)));
        }
        if rule.max.is_some() && !has_place(record) {
            let all = self.ports.store.stages(Some(repo)).await?;
            if let Some(Admission::Full { max, holders }) = admit_place(rule, record, &all) {
                return Ok(Ruling::Full { max, holders });
            }
        }
        match &record.target {
            Target::Release { stage, generation } => {
                self.at_release(policy, rule, record, stage, *generation, &head).await
            }
            _ => self.at_commit(policy, rule, record, head).await,
        }
    }

    /// Whether its time was over by what was known last.
    pub(super) fn is_over(&self, record: &StageRecord) -> bool {
        record.expires_at.is_some_and(|at| self.ports.clock.now() >= at)
    }

    /// While the policy cannot be read nothing is deployed; what is closed goes all the same.
    async fn without_policy(&self, record: &StageRecord, policy: CommitSha, problems: &Problems) -> PortResult<Ruling> {
        let sha = match &record.target {
            Target::PullRequest(number) => {
                let pull = self.ports.forge.pull_request(&record.id.repo, *number).await?;
                match pull.state {
                    PullRequestState::Closed => return Ok(Ruling::Want(Wanted::Gone(GoneReason::Closed))),
                    PullRequestState::Merged => return Ok(Ruling::Want(Wanted::Gone(GoneReason::Merged))),
                    PullRequestState::Open | PullRequestState::Draft => pull.head.sha,
                }
            }
            Target::Branch(_) | Target::Commit(_) | Target::Release { .. } | Target::Gone(_) => policy,
        };
        Ok(Ruling::Misconfigured { sha, problems: problems.clone() })
    }

    async fn head(&self, rule: &StageRule, record: &StageRecord) -> PortResult<Head> {
        let repo = &record.id.repo;
        match &record.target {
            Target::PullRequest(number) => {
                let pull = self.pull(repo, *number).await?;
                Ok(match admit(rule, &pull, record.approval.as_ref()) {
                    Admission::Deploy(sha) => {
                        Head::At(HeadAt { sha, pull: Some(*number), came_by: Some(*number), origin: origin(&pull) })
                    }
                    Admission::AwaitApproval(sha) => Head::Ruled(Ruling::AwaitApproval(sha)),
                    Admission::Full { max, holders } => Head::Ruled(Ruling::Full { max, holders }),
                    Admission::Gone(reason) => Head::Ruled(Ruling::Want(Wanted::Gone(reason))),
                })
            }
            Target::Branch(branch) => Ok(match self.ports.forge.branch_head(repo, branch).await? {
                Some(sha) => Head::At(HeadAt { sha, pull: None, came_by: None, origin: Origin::Own }),
                None if rule.pattern.is_ephemeral() => {
                    Head::Ruled(Ruling::Want(Wanted::Gone(GoneReason::BranchDeleted)))
                }
                None => Head::Ruled(Ruling::Keep),
            }),
            Target::Commit(commit) => {
                let came_by = self.came_by(record, commit).await?;
                self.commit_of(rule, record, &commit.sha, came_by).await
            }
            Target::Release { stage, generation } => {
                let release = self.release(&record.id, stage, *generation).await?;
                match (release, self.release_came_by(record, stage, *generation).await?) {
                    (Some((release, _)), Some(came_by)) => self.commit_of(rule, record, &release.sha, came_by).await,
                    // It was forgotten since: what runs, runs on.
                    _ => Ok(Head::Ruled(Ruling::Keep)),
                }
            }
            Target::Gone(reason) => Ok(Head::Ruled(Ruling::Want(Wanted::Gone(reason.clone())))),
        }
    }

    /// A commit that somebody named. A stage of a pull request ends with it all the same, and a fork's
    /// commit runs only while it is approved.
    async fn commit_of(
        &self,
        rule: &StageRule,
        record: &StageRecord,
        sha: &CommitSha,
        came_by: CameBy,
    ) -> PortResult<Head> {
        let repo = &record.id.repo;
        let own = match record.pull() {
            Some(number) => Some(self.pull(repo, number).await?),
            None => None,
        };
        if let Some(pull) = &own
            && let Admission::Gone(reason @ (GoneReason::Closed | GoneReason::Merged)) = admit(rule, pull, None)
        {
            return Ok(Head::Ruled(Ruling::Want(Wanted::Gone(reason))));
        }
        let origin = match (came_by.pull(), own) {
            (None, _) => Origin::Own,
            (Some(number), Some(pull)) if pull.number == number => origin(&pull),
            (Some(number), _) => origin(&self.pull(repo, number).await?),
        };
        // What is led back to was approved when it ran, and a promotion has gates of its own.
        let ran_before = matches!(record.target, Target::Release { .. });
        if origin == Origin::Fork && !ran_before && record.approval.as_ref() != Some(sha) {
            return Ok(Head::Ruled(Ruling::AwaitApproval(sha.clone())));
        }
        Ok(Head::At(HeadAt { sha: sha.clone(), pull: record.pull(), came_by: came_by.pull(), origin }))
    }

    /// One that is not there was announced before it can be read, or is no longer ours to see: never a reason
    /// to delete, and none to ask every minute for ever.
    async fn pull(&self, repo: &RepoName, number: PullNumber) -> PortResult<PullRequest> {
        self.ports.forge.pull_request(repo, number).await
    }

    /// A release with the goal that it was made from; `None` when it is not known any more.
    pub(super) async fn release(
        &self,
        own: &StageId,
        of: &StageName,
        generation: Generation,
    ) -> PortResult<Option<(Release, StageSpec)>> {
        let stage = StageId { repo: own.repo.clone(), name: of.clone() };
        let releases = self.ports.store.releases(&stage, RELEASES).await?;
        let Some(release) = releases.into_iter().find(|release| release.generation == generation) else {
            return Ok(None);
        };
        Ok(match self.ports.store.deploy(release.deploy).await?.map(|deploy| deploy.plan.wanted) {
            Some(Wanted::Live(spec)) => Some((release, *spec)),
            _ => None,
        })
    }

    /// What was live once, with the very artifacts of then: on its own stage as it was, on another
    /// one as the configuration at its commit says for that.
    async fn at_release(
        &self,
        policy: &Project,
        rule: &StageRule,
        record: &StageRecord,
        from: &StageName,
        generation: Generation,
        head: &HeadAt,
    ) -> PortResult<Ruling> {
        let Some((release, old)) = self.release(&record.id, from, generation).await? else { return Ok(Ruling::Keep) };
        let addressing = self.ports.cloud.addressing();
        let mut spec = if *from == record.id.name {
            // Account and role are the policy's of now.
            let place = resolve(policy, rule, &record.id, &old.sha, old.pull, &addressing).place;
            StageSpec { place, ..old }
        } else {
            let own = match head.origin {
                Origin::Own => self.project_at(&record.id.repo, &release.sha).await?,
                Origin::Fork => None,
            };
            let project = match own.as_deref() {
                None => policy.clone(),
                Some(Ok(project)) => config::narrow(policy, project.clone()),
                Some(Err(problems)) => {
                    return Ok(Ruling::Misconfigured { sha: release.sha, problems: problems.clone() });
                }
            };
            let spec = resolve(&project, rule, &record.id, &release.sha, record.pull(), &addressing);
            let mut reasons = config::over_limits(policy, &project, rule);
            reasons.extend(not_promotable(&spec, &old, &release));
            if let Some(problems) = problems(reasons) {
                return Ok(Ruling::Misconfigured { sha: release.sha, problems });
            }
            spec
        };
        spec.origin = head.came_by;
        spec.only = Vec::new();
        spec.pinned = Some(Pinned { stage: from.clone(), generation, artifacts: release.artifacts });
        if let Some(problems) = self.objections(record, &mut spec).await? {
            return Ok(Ruling::Misconfigured { sha: release.sha, problems });
        }
        Ok(Ruling::Want(Wanted::Live(Box::new(spec))))
    }

    /// Reads what to build at the goal's commit. A fork's file is not read at all, and a commit from
    /// before there was a file is built as the default branch says.
    async fn at_commit(
        &self,
        policy: &Project,
        rule: &StageRule,
        record: &StageRecord,
        head: HeadAt,
    ) -> PortResult<Ruling> {
        let HeadAt { sha, pull, came_by, origin } = head;
        let own = match origin {
            Origin::Own => self.project_at(&record.id.repo, &sha).await?,
            Origin::Fork => None,
        };
        let project = match own.as_deref() {
            None => policy.clone(),
            Some(Ok(project)) => config::narrow(policy, project.clone()),
            Some(Err(problems)) => return Ok(Ruling::Misconfigured { sha, problems: problems.clone() }),
        };
        let trust = match origin {
            Origin::Own => trust(rule, &record.target),
            Origin::Fork => Trust::Fork,
        };
        // It was looked for in the pull request a moment ago.
        let label = match (&record.target, &rule.trigger) {
            (Target::PullRequest(_), Trigger::PullRequest { label, .. }) => label.clone(),
            _ => None,
        };
        // The commit's own file may narrow the rule: an earlier expiry counts.
        let rule = project.stages.iter().find(|own| own.pattern == rule.pattern).unwrap_or(rule);
        if let Some(problems) = problems(config::over_limits(policy, &project, rule)) {
            return Ok(Ruling::Misconfigured { sha, problems });
        }
        let mut spec: StageSpec = resolve(&project, rule, &record.id, &sha, pull, &self.ports.cloud.addressing());
        (spec.origin, spec.trust, spec.label) = (came_by, trust, label);
        if let Some(asked) = &record.asked {
            as_asked(&mut spec, asked);
        }
        if let Some(problems) = self.objections(record, &mut spec).await? {
            return Ok(Ruling::Misconfigured { sha, problems });
        }
        Ok(Ruling::Want(Wanted::Live(Box::new(spec))))
    }

    /// What stands between a resolved stage and this target. Its secrets are its repository's from
    /// here on.
    async fn objections(&self, record: &StageRecord, spec: &mut StageSpec) -> PortResult<Option<Problems>> {
        wall::bind_secrets(spec, &self.repository(&record.id.repo).await?);
        // What it would not start is no objection to what runs.
        let runs = self.runs_already(record, spec).await?;
        let mut objections = if runs { Vec::new() } else { self.ports.cloud.objections(spec) };
        objections.extend(self.trespasses(spec).await?);
        if record.place.as_ref().is_some_and(|place| place.is_elsewhere(&spec.place)) {
            objections
                .push("the stage lives in another account or region: destroy it first, then deploy it anew".into());
        }
        Ok(problems(objections))
    }

    /// Whether the stage was seen live as just this, and is so still as far as anybody knows.
    async fn runs_already(&self, record: &StageRecord, spec: &StageSpec) -> PortResult<bool> {
        if record.status != (StageStatus::Live { sha: spec.sha.clone() }) {
            return Ok(false);
        }
        let release = self.newest_release(&record.id).await?;
        Ok(release.is_some_and(|release| is_release_of(&release, spec)))
    }
}

/// Sentences about a configuration that is well-formed, at its beginning.
pub(super) fn problems(sentences: Vec<String>) -> Option<Problems> {
    let at = Position { line: 1, column: 1 };
    let problem = |message| Problem { at, path: String::new(), message };
    let problems: Vec<Problem> = sentences.into_iter().map(problem).collect();
    (!problems.is_empty()).then(|| Problems { file: CONFIG_PATH.into(), problems })
}

/// What a command asks for beyond the commit.
fn as_asked(spec: &mut StageSpec, asked: &Asked) {
    spec.only.clone_from(&asked.services);
    if asked.verb == Verb::Redeploy {
        for service in &mut spec.services {
            service.edition = Some(asked.generation);
        }
    }
}

/// Why what one stage runs cannot run on another as it is: what was put into an image when it was
/// built cannot be taken out of it again.
fn not_promotable(spec: &StageSpec, old: &StageSpec, release: &Release) -> Vec<String> {
    let mut reasons = Vec::new();
    for service in &spec.services {
        let name = &service.name;
        if !release.artifacts.contains_key(name) {
            reasons.push(format!("{name} is no part of release {} of {}", release.generation, release.stage.name));
        }
        let (Some(Runtime::Image(then)), Runtime::Image(now)) =
            (old.service(name).map(|service| &service.runtime), &service.runtime)
        else {
            continue;
        };
        let differs = |key: &&String| then.args.get(*key) != now.args.get(*key);
        let keys: BTreeSet<&String> = then.args.keys().chain(now.args.keys()).filter(differs).collect();
        if let Some(key) = keys.first() {
            let (from, to) = (&release.stage.name, &spec.stage.name);
            reasons.push(format!(
                "the image of {name} was built with the {key} of {from}, which is another one on {to}: deploy {to} instead"
            ));
        }
    }
    reasons
}

/// When a stage goes by itself: its rule's span after its newest goal, or later where somebody asked
/// to keep it.
pub(super) fn expiry(record: &StageRecord, span: Option<Seconds>) -> Option<Timestamp> {
    let at = record.touched_at.after(span?);
    Some(record.keep_until.map_or(at, |until| until.max(at)))
}

enum Head {
    At(HeadAt),
    Ruled(Ruling),
}

struct HeadAt {
    sha: CommitSha,
    /// The pull request whose stage it is.
    pull: Option<PullNumber>,
    /// The pull request that the commit came by.
    came_by: Option<PullNumber>,
    origin: Origin,
}

/// A stage that no rule names any more: what comes and goes, goes; what is permanent is kept until
/// somebody says otherwise.
fn without_rule(record: &StageRecord) -> Ruling {
    match record.subject {
        Subject::PullRequest(_) => Ruling::Want(Wanted::Gone(GoneReason::Unwanted)),
        Subject::Branch(_) => Ruling::Keep,
    }
}

fn rule_of<'a>(policy: &'a Project, record: &StageRecord) -> Option<&'a StageRule> {
    policy.stages.iter().find(|rule| match (&rule.pattern, &record.subject) {
        (StagePattern::Named(name), _) => *name == record.id.name,
        (pattern, Subject::PullRequest(number)) => pattern.for_pull(*number).as_ref() == Some(&record.id.name),
        (pattern, Subject::Branch(branch)) => pattern.is_of_branch(branch, &record.id.name),
    })
}
