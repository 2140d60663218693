//! Collecting what the gates ask for, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Engine;
use super::super::origin::origin;
use crate::decide::bind;
use crate::decide::gate::{
    Ask, Caller, CallerKind, Divergence, Fact, Facts, HeldLock, LockReach, Need, Occupancy, Origin, PullFacts, Source,
    Voice, needs,
};
use crate::model::{
    Actor, Binding, Branch, CameBy, CommitSha, Lock, LockScope, Permission, Project, PullRequest, RepoName,
    StageRecord, Subject, Timestamp, UserId, Verb, Who, Witness,
};
use crate::port::{PortError, PortResult};

/// Heads of a pull request among which the one is looked for that a comment's author saw.
const HEADS: u32 = 200;
/// After this many tries, what a fault hides is not known, and the command is refused for it.
const PATIENCE: u32 = 3;

/// When the gates are judged.
#[derive(Debug, Clone)]
pub(in crate::engine) enum Moment {
    /// The command was just read; its comment was written then, by GitHub's clock.
    Asked { at: Timestamp },
    /// It is about to run, bound to this commit. Its turn has come.
    Running { sha: Option<CommitSha> },
}

/// What a rollback, promotion, redeploy or retry brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Brought {
    pub(in crate::engine) sha: CommitSha,
    pub(in crate::engine) came_by: CameBy,
}

/// A command before the gates, with what is known already.
pub(in crate::engine) struct Question<'a> {
    pub(in crate::engine) ask: &'a Ask,
    pub(in crate::engine) by: &'a Actor,
    pub(in crate::engine) kind: CallerKind,
    /// `None`: it has to be asked for.
    pub(in crate::engine) pull: Option<&'a PullRequest>,
    /// The stage that it is about, as it stands.
    pub(in crate::engine) record: Option<&'a StageRecord>,
    /// The lock on all stages.
    pub(in crate::engine) lock: Option<&'a Lock>,
    /// Heads that are seen and not stored yet.
    pub(in crate::engine) witnessed: Vec<Witness>,
    pub(in crate::engine) brought: Option<&'a Brought>,
    pub(in crate::engine) moment: Moment,
    pub(in crate::engine) attempts: u32,
}

impl Engine {
    /// Learns what the gates of this command need. A fault that may pass is an error for a while, and
    /// then something that is not known.
    pub(in crate::engine) async fn learn(
        &self,
        project: &Project,
        repo: &RepoName,
        question: &Question<'_>,
    ) -> PortResult<Facts> {
        let Question { ask, by, kind, .. } = question;
        let (role, teams) = (Fact::Unknown, Fact::Unknown);
        let caller = Caller { id: by.id, login: by.login.clone(), kind: *kind, role, teams };
        let mut facts = Facts::of(caller, self.ports.clock.now());
        // Most facts are about a commit, and that is known last: so these come in an order.
        for need in needs(ask, project) {
            match need {
                Need::Role => facts.caller.role = self.role(repo, by, question.attempts).await?,
                Need::Teams => facts.caller.teams = self.teams(project, repo, question).await?,
                Need::Stage => facts.stage = Fact::Known(question.record.map(|record| record.status.clone())),
                Need::Pull => facts.pull = self.pull_facts(repo, question).await?,
                Need::Bound => facts.bound = self.bound(repo, question).await?,
                Need::Commit => facts.commit = fact(question.brought.map(|brought| brought.sha.clone())),
                Need::Source => facts.source = self.source(repo, question).await?,
                Need::Approval => {
                    facts.approval = Fact::Known(question.record.and_then(|record| record.approval.clone()));
                }
                Need::Reviews => {
                    facts.reviews = self.voices(repo, question).await?;
                    facts.heads = self.heads(repo, question).await?;
                }
                Need::Checks => {
                    if let Some(sha) = subject(ask, &facts) {
                        let checks = self.ports.forge.checks(repo, &sha).await;
                        facts.checks = settled(checks, question.attempts)?;
                    }
                }
                Need::Divergence => {
                    if let (Some(sha), Some(base)) = (subject(ask, &facts), self.base(repo, question).await?) {
                        let behind = self.ports.forge.behind_by(repo, &base, &sha).await;
                        let behind = behind.map(|behind_by| Divergence { sha, behind_by });
                        facts.divergence = settled(behind, question.attempts)?;
                    }
                }
                Need::Locks => facts.locks = Fact::Known(locks(question)),
                Need::Occupancy => facts.occupancy = Fact::Known(occupancy(question)),
            }
        }
        Ok(facts)
    }

    pub(super) async fn role(&self, repo: &RepoName, by: &Actor, attempts: u32) -> PortResult<Fact<Permission>> {
        settled(self.ports.forge.permission(repo, &by.login, by.id).await, attempts)
    }

    /// In which of the teams that the policy names the caller is.
    pub(super) async fn teams(
        &self,
        project: &Project,
        repo: &RepoName,
        question: &Question<'_>,
    ) -> PortResult<Fact<BTreeSet<String>>> {
        let mut teams = BTreeSet::new();
        for team in teams_of(project) {
            let Actor { id, login, .. } = question.by;
            match settled(self.ports.forge.is_in_team(repo, &team, login, *id).await, question.attempts)? {
                Fact::Known(true) => {
                    teams.insert(team);
                }
                Fact::Known(false) => {}
                Fact::Unknown => return Ok(Fact::Unknown),
            }
        }
        Ok(Fact::Known(teams))
    }

    async fn pull_of(&self, repo: &RepoName, question: &Question<'_>) -> PortResult<Option<PullRequest>> {
        match (question.pull, question.ask.pull) {
            (Some(pull), _) => Ok(Some(pull.clone())),
            (None, Some(number)) => {
                let pull = self.ports.forge.pull_request(repo, number).await;
                Ok(settled(pull, question.attempts)?.known().cloned())
            }
            (None, None) => Ok(None),
        }
    }

    async fn pull_facts(&self, repo: &RepoName, question: &Question<'_>) -> PortResult<Fact<PullFacts>> {
        Ok(fact(self.pull_of(repo, question).await?.map(|pull| PullFacts {
            author: pull.author.id,
            origin: origin(&pull),
            head_now: pull.head.sha.clone(),
            head_branch: pull.head.branch.clone(),
            base: pull.base,
        })))
    }

    async fn bound(&self, repo: &RepoName, question: &Question<'_>) -> PortResult<Fact<Binding>> {
        match &question.moment {
            Moment::Running { sha } => Ok(fact(sha.clone().map(Binding::Bound))),
            Moment::Asked { at } => {
                let Some(pull) = self.pull_of(repo, question).await? else { return Ok(Fact::Unknown) };
                let Fact::Known(heads) = self.heads(repo, question).await? else { return Ok(Fact::Unknown) };
                Ok(Fact::Known(bind(&heads, *at, &pull.head.sha)))
            }
        }
    }

    /// The heads that the pull request was seen at.
    async fn heads(&self, repo: &RepoName, question: &Question<'_>) -> PortResult<Fact<Vec<Witness>>> {
        let Some(number) = question.ask.pull else { return Ok(Fact::Unknown) };
        let mut heads = self.ports.store.witnesses(repo, number, HEADS).await?;
        heads.extend(question.witnessed.iter().cloned());
        Ok(Fact::Known(heads))
    }

    async fn source(&self, repo: &RepoName, question: &Question<'_>) -> PortResult<Fact<Source>> {
        match question.brought.map(|brought| &brought.came_by) {
            Some(CameBy::PullRequest(number)) => {
                let pull = self.ports.forge.pull_request(repo, *number).await;
                let source = pull.map(|pull| Source { branch: pull.head.branch.clone(), origin: origin(&pull) });
                settled(source, question.attempts)
            }
            Some(CameBy::Branch(branch)) => Ok(Fact::Known(Source { branch: branch.clone(), origin: Origin::Own })),
            None => Ok(Fact::Unknown),
        }
    }

    /// Every review, with what its author may do now.
    async fn voices(&self, repo: &RepoName, question: &Question<'_>) -> PortResult<Fact<Vec<Voice>>> {
        let Some(number) = question.ask.pull else { return Ok(Fact::Unknown) };
        let reviews = self.ports.forge.reviews(repo, number).await;
        let Fact::Known(reviews) = settled(reviews, question.attempts)? else { return Ok(Fact::Unknown) };
        let mut roles: BTreeMap<UserId, Fact<Permission>> = BTreeMap::new();
        let mut voices = Vec::new();
        for review in reviews {
            let role = match roles.get(&review.by.id) {
                Some(role) => *role,
                None => self.role(repo, &review.by, question.attempts).await?,
            };
            roles.insert(review.by.id, role);
            voices.push(Voice { review, role });
        }
        Ok(Fact::Known(voices))
    }

    /// The branch that a commit must not be behind.
    async fn base(&self, repo: &RepoName, question: &Question<'_>) -> PortResult<Option<Branch>> {
        Ok(self.pull_of(repo, question).await?.map(|pull| pull.base))
    }
}

/// The commit that checks are asked for.
fn subject(ask: &Ask, facts: &Facts) -> Option<CommitSha> {
    match ask.verb {
        Verb::Redeploy | Verb::Retry | Verb::Rollback | Verb::Promote => facts.commit.known().cloned(),
        _ => facts.bound.known().and_then(Binding::sha).cloned(),
    }
}

fn fact<T>(known: Option<T>) -> Fact<T> {
    known.map_or(Fact::Unknown, Fact::Known)
}

/// What a refused or missing answer means; a fault that may pass is tried again for a while.
fn settled<T>(answer: PortResult<T>, attempts: u32) -> PortResult<Fact<T>> {
    match answer {
        Ok(answer) => Ok(Fact::Known(answer)),
        Err(PortError::Denied { reason } | PortError::NotFound { what: reason }) => {
            tracing::warn!("a gate stays shut, because GitHub does not tell: {reason}");
            Ok(Fact::Unknown)
        }
        Err(PortError::Retry { .. }) if attempts >= PATIENCE => Ok(Fact::Unknown),
        Err(error) => Err(error),
    }
}

fn teams_of(project: &Project) -> BTreeSet<String> {
    let rules = project.stages.iter().flat_map(|rule| rule.allow.named.values().chain(&rule.allow.others));
    let who = rules.filter_map(|allow| allow.who.as_ref()).flatten();
    who.filter_map(|who| match who {
        Who::Team(slug) => Some(slug.clone()),
        Who::Role(_) | Who::User(_) => None,
    })
    .collect()
}

fn locks(question: &Question<'_>) -> Vec<HeldLock> {
    let held = |lock: &Lock, reach| HeldLock { lock: lock.clone(), reach };
    let own = question.record.and_then(|record| record.lock.as_ref()).map(|lock| held(lock, LockReach::Stage));
    let all = question.lock.map(|lock| held(lock, LockReach::All));
    all.into_iter().chain(own).collect()
}

/// Whether something is under way on the stage, or waits for it.
fn occupancy(question: &Question<'_>) -> Occupancy {
    let Some(record) = question.record else { return Occupancy::Free };
    let is_its_turn = matches!(question.moment, Moment::Running { .. }) || question.ask.place == LockScope::All;
    let is_free = !record.is_busy() && record.queue.is_empty();
    if is_its_turn || is_free {
        return Occupancy::Free;
    }
    let pull = match record.subject {
        Subject::PullRequest(number) => Some(number),
        Subject::Branch(_) => record.asked.as_ref().map(|asked| asked.pull).filter(|_| record.is_busy()),
    };
    Occupancy::Busy { pull, waiting: u32::try_from(record.queue.len()).unwrap_or(u32::MAX) }
}
