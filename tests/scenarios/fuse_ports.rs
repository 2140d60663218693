//! The ports behind a fuse: which of their calls are reads, writes to the database, and effects.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use greenroom::model::*;
use greenroom::port::*;

use super::{Fused, Nature, Point};

#[async_trait]
impl Store for Fused<dyn Store> {
    async fn receive(&self, delivery: NewDelivery) -> PortResult<Receipt> {
        write!(self, self.port.receive(delivery))
    }
    async fn ring(&self, lane: &Lane, at: Timestamp) -> PortResult<()> {
        write!(self, self.port.ring(lane, at))
    }
    async fn claim_in_turn(&self, now: Timestamp, lease_millis: i64, share: LaneShare) -> PortResult<Option<Claimed>> {
        // A claim that will find nothing writes nothing.
        match self.next_turn(now, share).await? {
            Some(at) if at <= now => write!(self, self.port.claim_in_turn(now, lease_millis, share)),
            _ => read!(self, self.port.claim_in_turn(now, lease_millis, share)),
        }
    }
    async fn claim_among(&self, now: Timestamp, lease_millis: i64, lanes: &[Lane]) -> PortResult<Option<Claimed>> {
        write!(self, self.port.claim_among(now, lease_millis, lanes))
    }
    async fn renew(&self, held: &mut Held, until: Timestamp) -> PortResult<()> {
        write!(self, self.port.renew(held, until))
    }
    async fn release(&self, held: Held, next: Wake, attempts: u32) -> PortResult<()> {
        write!(self, self.port.release(held, next, attempts))
    }
    async fn lane_state(&self, lane: &Lane, now: Timestamp) -> PortResult<LaneState> {
        read!(self, self.port.lane_state(lane, now))
    }
    async fn next_turn(&self, now: Timestamp, share: LaneShare) -> PortResult<Option<Timestamp>> {
        read!(self, self.port.next_turn(now, share))
    }
    async fn inbox(&self, held: &Held, limit: u32) -> PortResult<Vec<InboxRow>> {
        read!(self, self.port.inbox(held, limit))
    }
    async fn apply_intake(&self, held: &Held, write: IntakeWrite) -> PortResult<()> {
        write!(self, self.port.apply_intake(held, write))
    }
    async fn stage(&self, id: &StageId) -> PortResult<Option<StageRecord>> {
        read!(self, self.port.stage(id))
    }
    async fn generation(&self, id: &StageId) -> PortResult<Option<Generation>> {
        read!(self, self.port.generation(id))
    }
    async fn stages(&self, repo: Option<&RepoName>) -> PortResult<Vec<StageRecord>> {
        read!(self, self.port.stages(repo))
    }
    async fn save_status(&self, held: &Held, stage: &StageRecord) -> PortResult<()> {
        write!(self, self.port.save_status(held, stage))
    }
    async fn open_deploy(&self, held: &Held, deploy: NewDeploy) -> PortResult<Deploy> {
        write!(self, self.port.open_deploy(held, deploy))
    }
    async fn deploy(&self, id: DeployId) -> PortResult<Option<Deploy>> {
        read!(self, self.port.deploy(id))
    }

    async fn deploys(&self, stage: &StageId, limit: u32) -> PortResult<Vec<Deploy>> {
        read!(self, self.port.deploys(stage, limit))
    }
    async fn close_deploy(
        &self,
        held: &Held,
        deploy: DeployId,
        outcome: Outcome,
        at: Timestamp,
        stage: &StageRecord,
        release: Option<Release>,
    ) -> PortResult<()> {
        write!(self, self.port.close_deploy(held, deploy, outcome, at, stage, release))
    }
    async fn append(&self, held: &Held, deploy: DeployId, events: Vec<StepEvent>) -> PortResult<()> {
        write!(self, self.port.append(held, deploy, events))
    }
    async fn append_unless_rung(
        &self,
        held: &Held,
        deploy: DeployId,
        events: Vec<StepEvent>,
        intent: StepEvent,
    ) -> PortResult<bool> {
        write!(self, self.port.append_unless_rung(held, deploy, events, intent))
    }
    async fn log(&self, deploy: DeployId) -> PortResult<StepLog> {
        read!(self, self.port.log(deploy))
    }
    async fn releases(&self, stage: &StageId, limit: u32) -> PortResult<Vec<Release>> {
        read!(self, self.port.releases(stage, limit))
    }
    async fn history(&self, stage: &StageId, deploys: u32) -> PortResult<StageHistory> {
        read!(self, self.port.history(stage, deploys))
    }
    async fn save_surfaces(&self, held: &Held, stage: &StageId, surfaces: Vec<SurfaceRecord>) -> PortResult<()> {
        write!(self, self.port.save_surfaces(held, stage, surfaces))
    }
    async fn prune(&self, before: Timestamp) -> PortResult<u64> {
        write!(self, self.port.prune(before))
    }
    async fn counts(&self, now: Timestamp) -> PortResult<StoreCounts> {
        read!(self, self.port.counts(now))
    }
    async fn ping(&self) -> PortResult<()> {
        read!(self, self.port.ping())
    }
}

#[async_trait]
impl Forge for Fused<dyn Forge> {
    fn only(&self, repo: RepoId) -> Arc<dyn Forge> {
        Arc::new(Self { port: self.port.only(repo), part: self.part, fuse: self.fuse.clone() })
    }
    async fn repository(&self, repo: &RepoName) -> PortResult<RepoFacts> {
        read!(self, self.port.repository(repo))
    }
    async fn branch_head(&self, repo: &RepoName, branch: &Branch) -> PortResult<Option<CommitSha>> {
        read!(self, self.port.branch_head(repo, branch))
    }
    async fn pull_request(&self, repo: &RepoName, number: PullNumber) -> PortResult<PullRequest> {
        read!(self, self.port.pull_request(repo, number))
    }
    async fn open_pull_requests(&self, repo: &RepoName) -> PortResult<Vec<PullRequest>> {
        read!(self, self.port.open_pull_requests(repo))
    }
    async fn file_at(&self, repo: &RepoName, sha: &CommitSha, path: &str) -> PortResult<Option<Vec<u8>>> {
        read!(self, self.port.file_at(repo, sha, path))
    }
    async fn changed_files(&self, repo: &RepoName, base: &CommitSha, head: &CommitSha) -> PortResult<Changed> {
        read!(self, self.port.changed_files(repo, base, head))
    }
    async fn permission(&self, repo: &RepoName, login: &str, id: UserId) -> PortResult<Permission> {
        read!(self, self.port.permission(repo, login, id))
    }
    async fn account(&self, repo: &RepoName, login: &str) -> PortResult<Actor> {
        read!(self, self.port.account(repo, login))
    }
    async fn is_in_team(&self, repo: &RepoName, team: &str, login: &str, id: UserId) -> PortResult<bool> {
        read!(self, self.port.is_in_team(repo, team, login, id))
    }
    async fn reviews(&self, repo: &RepoName, number: PullNumber) -> PortResult<Vec<Review>> {
        read!(self, self.port.reviews(repo, number))
    }
    async fn checks(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<Checks> {
        read!(self, self.port.checks(repo, sha))
    }
    async fn behind_by(&self, repo: &RepoName, branch: &Branch, sha: &CommitSha) -> PortResult<u32> {
        read!(self, self.port.behind_by(repo, branch, sha))
    }
    async fn tarball(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<TarballStream> {
        read!(self, self.port.tarball(repo, sha))
    }
    async fn publish_comment(&self, comment: &StickyComment<'_>) -> PortResult<ExternalId> {
        effect!(self, self.port.publish_comment(comment))
    }
    async fn publish_check(&self, check: &CheckRun<'_>) -> PortResult<ExternalId> {
        effect!(self, self.port.publish_check(check))
    }
    async fn ensure_deployment(&self, request: &DeploymentRequest<'_>) -> PortResult<ExternalId> {
        effect!(self, self.port.ensure_deployment(request))
    }
    async fn publish_deployment_status(&self, update: &DeploymentUpdate<'_>) -> PortResult<()> {
        effect!(self, self.port.publish_deployment_status(update))
    }
    async fn remove_environment(&self, repo: &RepoName, environment: &StageName) -> PortResult<()> {
        effect!(self, self.port.remove_environment(repo, environment))
    }
    async fn react(&self, repo: &RepoName, source: CommentSource, comment: u64, reaction: Reaction) -> PortResult<()> {
        effect!(self, self.port.react(repo, source, comment, reaction))
    }
}

#[async_trait]
impl AppForge for Fused<dyn AppForge> {
    async fn repositories(&self) -> PortResult<Vec<RepoSeen>> {
        read!(self, self.port.repositories())
    }
    async fn deliveries(&self, since: Timestamp) -> PortResult<Vec<DeliveryReport>> {
        read!(self, self.port.deliveries(since))
    }
    async fn redeliver(&self, id: u64) -> PortResult<()> {
        effect!(self, self.port.redeliver(id))
    }
}

#[async_trait]
impl Cloud for Fused<dyn Cloud> {
    fn addressing(&self) -> Addressing {
        self.port.addressing()
    }
    fn objections(&self, spec: &StageSpec) -> Vec<String> {
        self.port.objections(spec)
    }
    fn blueprint(&self, spec: &StageSpec) -> Option<String> {
        self.port.blueprint(spec)
    }
    async fn prepare(&self, spec: &StageSpec) -> PortResult<Progress<Output>> {
        effect!(self, self.port.prepare(spec))
    }
    async fn changes(&self, spec: &StageSpec) -> PortResult<Vec<ResourceChange>> {
        read!(self, self.port.changes(spec))
    }
    async fn observe(&self, site: Site<'_>) -> PortResult<Observed> {
        read!(self, self.port.observe(site))
    }
    async fn ensure(&self, phase: Phase, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
        effect!(self, self.port.ensure(phase, rollout))
    }
    async fn inventory(&self, site: Site<'_>) -> PortResult<Vec<Resource>> {
        read!(self, self.port.inventory(site))
    }
    async fn remove(&self, site: Site<'_>, resource: &Resource) -> PortResult<Progress<()>> {
        effect!(self, self.port.remove(site, resource))
    }
    async fn stages(&self, known: &[(StageId, Place)]) -> PortResult<Vec<(StageId, Place)>> {
        read!(self, self.port.stages(known))
    }
    async fn surplus(&self, site: Site<'_>, used: &BTreeSet<String>) -> PortResult<Vec<Resource>> {
        read!(self, self.port.surplus(site, used))
    }
    async fn conditions(&self, site: Site<'_>) -> PortResult<Conditions> {
        read!(self, self.port.conditions(site))
    }
    async fn stirred(&self) -> StageId {
        self.port.stirred().await
    }
    async fn logs(&self, site: Site<'_>, service: &ServiceName, lines: usize) -> PortResult<Vec<String>> {
        read!(self, self.port.logs(site, service, lines))
    }
}

#[async_trait]
impl Builder for Fused<dyn Builder> {
    async fn source(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Option<Progress<String>>> {
        read!(self, self.port.source(stage, sha))
    }
    async fn unpack(&self, stage: &StageId, sha: &CommitSha, tarball: Tarball) -> PortResult<Progress<String>> {
        write!(self, self.port.unpack(stage, sha, tarball))
    }
    async fn gaps(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Vec<String>> {
        read!(self, self.port.gaps(stage, sha))
    }
    async fn ensure(&self, job: &BuildJob<'_>) -> PortResult<Progress<Output>> {
        effect!(self, self.port.ensure(job))
    }
    async fn adopt(&self, site: Site<'_>, service: &ServiceName, artifact: &Artifact) -> PortResult<()> {
        write!(self, self.port.adopt(site, service, artifact))
    }
    async fn cancel(&self, stage: &StageId) -> PortResult<()> {
        effect!(self, self.port.cancel(stage))
    }
    async fn call_off(&self, stage: &StageId, builds: &Builds) -> PortResult<()> {
        effect!(self, self.port.call_off(stage, builds))
    }
    async fn end_leftovers(&self, repo: &RepoName, stages: &[(StageId, Generation)]) -> PortResult<()> {
        effect!(self, self.port.end_leftovers(repo, stages))
    }
    async fn tidy(&self, stage: &StageId) -> PortResult<()> {
        effect!(self, self.port.tidy(stage))
    }
    async fn log(&self, stage: &StageId, service: &ServiceSpec, lines: usize) -> PortResult<Vec<String>> {
        read!(self, self.port.log(stage, service, lines))
    }
    async fn remove(&self, artifact: &Artifact) -> PortResult<()> {
        effect!(self, self.port.remove(artifact))
    }
}
