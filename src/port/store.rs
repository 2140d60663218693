//! The database: inbox, lanes, stages, deploys, step logs, surfaces, releases.
//!
//! # Guarantees
//!
//! - What a call acknowledged is on disk.
//! - At most one unexpired [`Held`] exists for a lane; every write of the engine takes it and
//!   answers [`PortError::Stale`](super::PortError::Stale), having touched nothing, once another
//!   holder has claimed the lane.
//! - A ring is never lost: [`Store::release`] sets the next wake-up only if no ring came in
//!   between, and leaves the lane due otherwise.

use async_trait::async_trait;

use super::PortResult;
use crate::model::{
    AuditEntry, CommandReceipt, DeliveryId, Deploy, DeployId, Event, ExternalId, Fence, Generation, Lane, LaneShare,
    NewDeploy, Outcome, Release, RepoLockChange, RepoName, StageId, StageRecord, StepEvent, StepLog, SurfaceKey,
    Timestamp, Wake, Witness,
};

/// Proof that this process holds a lane. Made by [`Store::claim`] alone, used up by
/// [`Store::release`].
#[derive(Debug)]
pub struct Held {
    lane: Lane,
    fence: Fence,
    bell: i64,
    lease_until: Timestamp,
}

impl Held {
    /// For implementors of [`Store::claim`] only.
    pub fn claimed(lane: Lane, fence: Fence, bell: i64, lease_until: Timestamp) -> Self {
        Self { lane, fence, bell, lease_until }
    }

    /// The lane that is held.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// The number under which it is held.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// How often the lane had been rung when it was claimed.
    pub fn bell(&self) -> i64 {
        self.bell
    }

    /// Until when nobody else may claim it.
    pub fn lease_until(&self) -> Timestamp {
        self.lease_until
    }

    /// For implementors of [`Store::renew`] only.
    pub fn extend(&mut self, until: Timestamp) {
        self.lease_until = until;
    }
}

/// A lane that is now held, with how often it failed in a row before.
#[derive(Debug)]
pub struct Claimed {
    pub held: Held,
    pub attempts: u32,
}

/// A verified delivery on its way into the inbox.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    pub id: DeliveryId,
    /// HMAC-SHA256 of the raw body under the webhook's secret, which is what it was signed with: kept for
    /// whoever compares deliveries. It makes none a duplicate.
    pub body_hash: [u8; 32],
    /// Which lane is rung for it.
    pub lane: Lane,
    pub content: InboxContent,
    pub at: Timestamp,
}

/// What is kept of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum InboxContent {
    /// Understood.
    Event(Box<Event>),
    /// Signed by GitHub but not understood: kept for the operator, never handled.
    Poison { reason: String, excerpt: String },
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// New, or a redelivery of one that had failed: on disk, its lane rung.
    Accepted,
    /// Known by its id: nothing changed.
    Duplicate,
}

/// An event that waits for its lane.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxRow {
    /// Rises with arrival.
    pub seq: i64,
    pub id: DeliveryId,
    pub event: Event,
    pub at: Timestamp,
}

/// Everything that one drain of the inbox changes, written in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IntakeWrite {
    /// Stages whose goal was set. A new row is inserted whole; of an existing row only the goal is
    /// written (`subject`, `target`, `generation`, `approval`, `lock`, `queue`, `keep_until`,
    /// `touched_at`), because `status`, `place`, `expires_at` and `conditions` are its own lane's.
    pub stages: Vec<StageRecord>,
    /// What is done to the lock on all stages of the repository.
    pub repo_lock: Option<RepoLockChange>,
    /// Lanes to ring. Those of stages with a new goal are among them: by that a deploy at work
    /// learns of it ([`Store::append_unless_rung`]).
    pub rings: Vec<Lane>,
    /// Inbox rows that are handled.
    pub done: Vec<i64>,
    /// Inbox rows that cannot be handled, and why.
    pub poison: Vec<(i64, String)>,
    /// Heads that events showed, in their order; one that is the newest already is not written again.
    pub witnesses: Vec<Witness>,
    /// What is owed to comments; one that has a receipt already keeps it as it is.
    pub receipts: Vec<CommandReceipt>,
    /// Added to the repository's chain.
    pub audit: Vec<AuditEntry>,
}

/// What we have shown, so that it is shown again only when it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurfaceRecord {
    pub key: SurfaceKey,
    pub external: Option<ExternalId>,
    /// SHA-256 of what was shown, hexadecimal. `refused` when GitHub would not take it.
    pub hash: String,
    pub at: Timestamp,
}

/// What a stage came through, as far as it is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageHistory {
    /// The newest first.
    pub deploys: Vec<Deploy>,
    /// Of the newest deploy.
    pub log: StepLog,
    /// The newest.
    pub release: Option<Release>,
    pub surfaces: Vec<SurfaceRecord>,
}

/// What a lane is at, for somebody who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// Due or held.
    Busy,
    /// Its newest activations failed, this many in a row; it is tried again.
    Failing { attempts: u32 },
    /// Everything that was asked of it has been looked at; it may wake later by itself.
    AtRest,
}

/// Numbers for `/metrics` and `greenroom status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreCounts {
    pub inbox_waiting: i64,
    pub inbox_poison: i64,
    /// When the oldest waiting row arrived.
    pub inbox_oldest: Option<Timestamp>,
    pub lanes_due: i64,
    pub stages: i64,
    pub deploys_running: i64,
}

/// A database that several processes may share.
#[async_trait]
pub trait Store: super::Slots + super::Ledger + super::Walls {
    /// Takes a delivery in and rings its lane, in one transaction.
    ///
    /// A row in state `Received` or `Poison` under the same id is taken again (GitHub redelivers
    /// under the same id); `Done` is a duplicate. A known body under another id is news: what happens twice
    /// in one second GitHub tells twice in the same words.
    async fn receive(&self, delivery: NewDelivery) -> PortResult<Receipt>;

    /// Makes a lane due at `at` or earlier, making it if needed, and counts its bell up.
    async fn ring(&self, lane: &Lane, at: Timestamp) -> PortResult<()>;

    /// Takes a lane that is due and that nobody holds, until `now` + `lease_millis`.
    ///
    /// It is one of the party (a repository, or one of the server's own duties) that holds the fewest
    /// lanes, then of the one whose lane has been due longest. Of a party, its deliveries come first, then
    /// the lane that has been due longest. A party that holds its share gets none; servers that ask in the
    /// same moment may exceed it by one each.
    async fn claim_in_turn(&self, now: Timestamp, lease_millis: i64, share: LaneShare) -> PortResult<Option<Claimed>>;

    /// The same, whatever a party holds.
    async fn claim(&self, now: Timestamp, lease_millis: i64) -> PortResult<Option<Claimed>> {
        self.claim_in_turn(now, lease_millis, LaneShare::UNLIMITED).await
    }

    /// Takes the first of these lanes that is due and that nobody holds, whatever a party holds; no other.
    async fn claim_among(&self, now: Timestamp, lease_millis: i64, lanes: &[Lane]) -> PortResult<Option<Claimed>> {
        let _ = (now, lease_millis, lanes);
        Err(super::PortError::Bug { context: "this database gives out lanes in turn alone".into(), source: None })
    }

    /// Moves the end of the lease.
    async fn renew(&self, held: &mut Held, until: Timestamp) -> PortResult<()>;

    /// Gives the lane back. `attempts` is how often it has now failed in a row.
    async fn release(&self, held: Held, next: Wake, attempts: u32) -> PortResult<()>;

    /// What a lane is at; one that was never rung is at rest.
    async fn lane_state(&self, lane: &Lane, now: Timestamp) -> PortResult<LaneState>;

    /// When [`Self::claim_in_turn`] may find a lane next, expired leases included; `None` when nothing is
    /// planned.
    async fn next_turn(&self, now: Timestamp, share: LaneShare) -> PortResult<Option<Timestamp>>;

    /// When the next lane falls due, whatever a party holds.
    async fn next_due(&self) -> PortResult<Option<Timestamp>> {
        self.next_turn(Timestamp(0), LaneShare::UNLIMITED).await
    }

    /// The waiting events of the held repository lane, in order of arrival, at most `limit`.
    async fn inbox(&self, held: &Held, limit: u32) -> PortResult<Vec<InboxRow>>;

    /// Writes what a drain of the inbox decided, in one transaction. Whatever names a repository must
    /// name that of the held lane; anything else is a bug and refused.
    async fn apply_intake(&self, held: &Held, write: IntakeWrite) -> PortResult<()>;

    /// One stage.
    async fn stage(&self, id: &StageId) -> PortResult<Option<StageRecord>>;

    /// The number of a stage's newest goal: what a running deploy asks between its steps.
    async fn generation(&self, id: &StageId) -> PortResult<Option<Generation>>;

    /// All stages, of one repository or of all, by name.
    async fn stages(&self, repo: Option<&RepoName>) -> PortResult<Vec<StageRecord>>;

    /// Writes the stage of the held lane. Its goal is the repository lane's to set: `target`,
    /// `generation`, `approval`, `lock`, `queue`, `keep_until` and `touched_at` of an existing row are
    /// left as they are; only `status`, `place`, `expires_at` and `conditions` are written.
    async fn save_status(&self, held: &Held, stage: &StageRecord) -> PortResult<()>;

    /// Saves a plan as a running deploy. A deploy of the same stage and generation that still runs
    /// is answered instead.
    async fn open_deploy(&self, held: &Held, deploy: NewDeploy) -> PortResult<Deploy>;

    /// The newest deploys of a stage, newest first.
    async fn deploys(&self, stage: &StageId, limit: u32) -> PortResult<Vec<Deploy>>;

    /// One deploy.
    async fn deploy(&self, id: DeployId) -> PortResult<Option<Deploy>>;

    /// Ends a deploy, writes the stage's new status, and the release if it went live, in one
    /// transaction.
    async fn close_deploy(
        &self,
        held: &Held,
        deploy: DeployId,
        outcome: Outcome,
        at: Timestamp,
        stage: &StageRecord,
        release: Option<Release>,
    ) -> PortResult<()>;

    /// Adds lines to a deploy's log. A line whose number is taken is a bug and refused.
    async fn append(&self, held: &Held, deploy: DeployId, events: Vec<StepEvent>) -> PortResult<()>;

    /// Adds lines to a deploy's log and, as long as the lane was not rung since it was claimed, the
    /// intent of its next step behind them. Whoever sets a goal rings the lane in the same
    /// transaction: where the intent was written, no newer goal was there. Answers whether it was.
    async fn append_unless_rung(
        &self,
        held: &Held,
        deploy: DeployId,
        events: Vec<StepEvent>,
        intent: StepEvent,
    ) -> PortResult<bool>;

    /// A deploy's log.
    async fn log(&self, deploy: DeployId) -> PortResult<StepLog>;

    /// The newest releases of a stage, newest first.
    async fn releases(&self, stage: &StageId, limit: u32) -> PortResult<Vec<Release>>;

    /// What is shown of a stage, as it stands at one moment: its newest deploys, at most that many,
    /// and what belongs to them.
    async fn history(&self, stage: &StageId, deploys: u32) -> PortResult<StageHistory>;

    /// Notes what has been shown.
    async fn save_surfaces(&self, held: &Held, stage: &StageId, surfaces: Vec<SurfaceRecord>) -> PortResult<()>;

    /// Numbers for the operator.
    async fn counts(&self, now: Timestamp) -> PortResult<StoreCounts>;

    /// Forgets handled and poisoned deliveries that came before a time, and answers how many.
    ///
    /// Keep at least three days: so long GitHub can send a delivery again, and what is forgotten is
    /// not known as a duplicate any more. (GitHub docs, "Redelivering webhooks".)
    async fn prune(&self, before: Timestamp) -> PortResult<u64>;

    /// Answers when the database does.
    async fn ping(&self) -> PortResult<()>;
}
