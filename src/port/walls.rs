//! What keeps the repositories of one server apart: who is who, and whose a host is.

use async_trait::async_trait;

use super::PortResult;
use crate::model::{KnownRepo, RepoName, RepoSeen, StageId, Timestamp};

/// The part of the database that tells repositories apart. None of it needs a lane: what is written
/// is about all of them.
#[async_trait]
pub trait Walls: Send + Sync + 'static {
    /// Takes down what GitHub has just answered that a repository is called, and answers as what it is
    /// known here. Who was known by that name before has none from then on.
    async fn identify(&self, seen: &RepoSeen) -> PortResult<KnownRepo>;

    /// As what a repository is known here that somebody named in passing. No name changes hands by it,
    /// because a delivery may be older than what is known: another name than the known one is a rumour.
    /// What agrees with it may be answered from memory for a minute from then.
    async fn hear(&self, seen: &RepoSeen, now: Timestamp) -> PortResult<RepoName>;

    /// Forgets a rumour that GitHub does not confirm.
    async fn dismiss(&self, repo: &KnownRepo, rumour: &RepoName) -> PortResult<()>;

    /// The repository that is known by this key; `None` if it was never seen.
    async fn known(&self, key: &RepoName) -> PortResult<Option<KnownRepo>>;

    /// The key of the repository that GitHub calls so today, as far as is known here.
    async fn called(&self, name: &RepoName) -> PortResult<Option<RepoName>>;

    /// Takes hosts for a stage, all or none: `None`, or the first of them that another stage has, with
    /// whose it is. A host that the stage has already is success.
    async fn take_hosts(&self, stage: &StageId, hosts: &[String]) -> PortResult<Option<(String, StageId)>>;

    /// Gives back every host of a stage but these.
    async fn keep_hosts(&self, stage: &StageId, hosts: &[String]) -> PortResult<()>;

    /// Whose a host is.
    async fn host_owner(&self, host: &str) -> PortResult<Option<StageId>>;

    /// Whether it was taken down whose the hosts are of stages that were there before hosts were anybody's.
    async fn are_hosts_carried(&self) -> PortResult<bool>;

    /// The key of every stage, also of one of which nothing else can be read.
    async fn stage_ids(&self) -> PortResult<Vec<StageId>>;

    /// Takes down once and for all what [`Self::are_hosts_carried`] asks about, in one write: each host for
    /// the first that has it here, unless some stage has it already. Answers who wanted a host, which, and
    /// whose it is instead. Where it was done before, nothing changes.
    async fn carry_hosts(&self, holders: &[(StageId, Vec<String>)]) -> PortResult<Vec<(StageId, String, StageId)>>;
}
