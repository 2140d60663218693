//! What a stage should be now: its target, resolved by asking GitHub, under the policy.

use super::{CONFIG_PATH, Engine};
use crate::config;
use crate::decide::{Admission, admit, admit_place, resolve};
use crate::model::{
    CommitSha, GoneReason, Position, Problem, Problems, Project, PullNumber, PullRequestState, StageName, StagePattern,
    StageRecord, StageRule, StageSpec, Subject, Target, Wanted,
};
use crate::port::{PortError, PortResult};

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
        if let Target::Gone(reason) = record.target {
            return Ok(Ruling::Want(Wanted::Gone(reason)));
        }
        let repo = &record.id.repo;
        let Some((policy_sha, policy)) = self.policy(repo).await? else { return Ok(without_rule(record)) };
        let policy = match policy.as_ref() {
            Ok(policy) => policy,
            Err(problems) => return self.without_policy(record, policy_sha, problems).await,
        };
        let Some(rule) = rule_of(policy, record) else { return Ok(without_rule(record)) };
        let head = match self.head(rule, record).await? {
            Head::At(head) => head,
            Head::Ruled(ruling) => return Ok(ruling),
        };
        if rule.expires.is_some_and(|span| self.ports.clock.now() >= record.touched_at.after(span)) {
            return Ok(Ruling::Want(Wanted::Gone(GoneReason::Expired)));
        }
        if rule.max.is_some() {
            let all = self.ports.store.stages(Some(repo)).await?;
            if let Some(Admission::Full { max, holders }) = admit_place(rule, record, &all) {
                return Ok(Ruling::Full { max, holders });
            }
        }
        self.at_commit(policy, rule, record, head).await
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
            Target::Branch(_) | Target::Commit(_) | Target::Gone(_) => policy,
        };
        Ok(Ruling::Misconfigured { sha, problems: problems.clone() })
    }

    async fn head(&self, rule: &StageRule, record: &StageRecord) -> PortResult<Head> {
        let repo = &record.id.repo;
        match &record.target {
            Target::PullRequest(number) => {
                let pull = match self.ports.forge.pull_request(repo, *number).await {
                    Ok(pull) => pull,
                    // Announced before it can be read, or no longer ours to see: never a reason to delete.
                    Err(PortError::NotFound { what }) => {
                        return Err(PortError::retry(format!("{what} cannot be read yet")));
                    }
                    Err(error) => return Err(error),
                };
                let source = if pull.is_from_fork() { Source::Fork } else { Source::Own };
                Ok(match admit(rule, &pull, record.approval.as_ref()) {
                    Admission::Deploy(sha) => Head::At(HeadAt { sha, pull: Some(*number), source }),
                    Admission::AwaitApproval(sha) => Head::Ruled(Ruling::AwaitApproval(sha)),
                    Admission::Full { max, holders } => Head::Ruled(Ruling::Full { max, holders }),
                    Admission::Gone(reason) => Head::Ruled(Ruling::Want(Wanted::Gone(reason))),
                })
            }
            Target::Branch(branch) => Ok(match self.ports.forge.branch_head(repo, branch).await? {
                Some(sha) => Head::At(HeadAt { sha, pull: None, source: Source::Own }),
                None if rule.pattern.is_ephemeral() => {
                    Head::Ruled(Ruling::Want(Wanted::Gone(GoneReason::BranchDeleted)))
                }
                None => Head::Ruled(Ruling::Keep),
            }),
            Target::Commit(sha) => Ok(Head::At(HeadAt { sha: sha.clone(), pull: record.pull(), source: Source::Own })),
            Target::Gone(reason) => Ok(Head::Ruled(Ruling::Want(Wanted::Gone(*reason)))),
        }
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
        let HeadAt { sha, pull, source } = head;
        let own = match source {
            Source::Own => self.project_at(&record.id.repo, &sha).await?,
            Source::Fork => None,
        };
        let project = match own.as_deref() {
            None => policy.clone(),
            Some(Ok(project)) => config::narrow(policy, project.clone()),
            Some(Err(problems)) => return Ok(Ruling::Misconfigured { sha, problems: problems.clone() }),
        };
        // The commit's own file may narrow the rule: an earlier expiry counts.
        let rule = project.stages.iter().find(|own| own.pattern == rule.pattern).unwrap_or(rule);
        let spec: StageSpec = resolve(&project, rule, &record.id, &sha, pull, &self.ports.cloud.addressing());
        if let Some(problems) = self.objections(record, &spec) {
            return Ok(Ruling::Misconfigured { sha, problems });
        }
        Ok(Ruling::Want(Wanted::Live(Box::new(spec))))
    }

    /// What stands between a resolved stage and this target.
    fn objections(&self, record: &StageRecord, spec: &StageSpec) -> Option<Problems> {
        let mut objections = self.ports.cloud.objections(spec);
        if record.place.as_ref().is_some_and(|place| place.is_elsewhere(&spec.place)) {
            objections
                .push("the stage lives in another account or region: destroy it first, then deploy it anew".into());
        }
        if objections.is_empty() {
            return None;
        }
        let at = Position { line: 1, column: 1 };
        let problem = |message| Problem { at, path: String::new(), message };
        Some(Problems { file: CONFIG_PATH.into(), problems: objections.into_iter().map(problem).collect() })
    }
}

enum Head {
    At(HeadAt),
    Ruled(Ruling),
}

struct HeadAt {
    sha: CommitSha,
    pull: Option<PullNumber>,
    source: Source,
}

/// Whose commit it is.
#[derive(Clone, Copy)]
enum Source {
    Own,
    Fork,
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
        (pattern, Subject::Branch(branch)) => pattern.for_branch(branch).as_ref() == Some(&record.id.name),
    })
}
