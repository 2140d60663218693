//! A store of which only what the door calls works: `receive`, `ring`, `ping`, `counts`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Mutex as Gate, Notify, OwnedMutexGuard};

use crate::model::{
    AuditLine, AuditLink, AuditVerdict, CommandReceipt, Deploy, DeployId, Generation, KnownRepo, Lane, LaneShare, Lock,
    NewDeploy, Outcome, PullNumber, ReceiptKey, Release, RepoName, RepoSeen, StageId, StageRecord, StepEvent, StepLog,
    Timestamp, Wake, Witness,
};
use crate::port::{
    Claimed, Held, InboxRow, IntakeWrite, LaneState, Ledger, NewDelivery, PortError, PortResult, Receipt, Slots,
    StageHistory, Store, StoreCounts, SurfaceRecord, Walls,
};

#[derive(Default)]
pub(super) struct FakeStore {
    pub(super) received: Mutex<Vec<NewDelivery>>,
    pub(super) rung: Mutex<Vec<Lane>>,
    pub(super) broken: AtomicBool,
    /// Told when a delivery has come as far as the gate.
    pub(super) reached: Notify,
    gate: Arc<Gate<()>>,
}

impl FakeStore {
    /// Deliveries wait inside the store until the guard is dropped.
    pub(super) async fn close_gate(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.gate).lock_owned().await
    }

    fn whole(&self) -> PortResult<()> {
        if self.broken.load(Ordering::SeqCst) { Err(PortError::retry("the disk is full")) } else { Ok(()) }
    }
}

fn unused<T>() -> PortResult<T> {
    Err(PortError::Bug { context: "the door never calls this".into(), source: None })
}

#[async_trait]
impl Slots for FakeStore {
    async fn take_slot(&self, _: &str, _: &str, _: &BTreeSet<u32>, _: u32) -> PortResult<Option<u32>> {
        unused()
    }
    async fn free_slot(&self, _: &str, _: &str) -> PortResult<()> {
        unused()
    }
    async fn slots(&self, _: &str) -> PortResult<Vec<(u32, String)>> {
        unused()
    }
}

#[async_trait]
impl Ledger for FakeStore {
    async fn witnesses(&self, _: &RepoName, _: PullNumber, _: u32) -> PortResult<Vec<Witness>> {
        unused()
    }
    async fn repo_lock(&self, _: &RepoName) -> PortResult<Option<Lock>> {
        unused()
    }
    async fn receipt(&self, _: &ReceiptKey) -> PortResult<Option<CommandReceipt>> {
        unused()
    }
    async fn receipts_due(&self, _: &Held, _: u32) -> PortResult<Vec<CommandReceipt>> {
        unused()
    }
    async fn receipts_bound(&self, _: &Held, _: u32) -> PortResult<Vec<CommandReceipt>> {
        unused()
    }
    async fn receipts_of(&self, _: &StageId, _: Generation) -> PortResult<Vec<CommandReceipt>> {
        unused()
    }
    async fn save_receipts(&self, _: &Held, _: Vec<CommandReceipt>) -> PortResult<()> {
        unused()
    }
    async fn forget(&self, _: Timestamp) -> PortResult<u64> {
        unused()
    }
    async fn audit(&self, _: Option<&RepoName>, _: Option<&str>, _: u32) -> PortResult<Vec<AuditLine>> {
        unused()
    }
    async fn audited(&self) -> PortResult<Vec<RepoName>> {
        unused()
    }
    async fn audit_head(&self, _: &RepoName) -> PortResult<Option<AuditLink>> {
        unused()
    }
    async fn audit_place(&self, _: &str) -> PortResult<Option<(RepoName, i64)>> {
        unused()
    }
    async fn verify_audit(&self, _: &RepoName) -> PortResult<AuditVerdict> {
        unused()
    }
}

#[async_trait]
impl Walls for FakeStore {
    /// Everybody is known by the name of the moment.
    async fn hear(&self, seen: &RepoSeen, _: Timestamp) -> PortResult<RepoName> {
        self.whole()?;
        Ok(seen.name.clone())
    }
    /// The door asks nobody, so it knows nothing for sure.
    async fn identify(&self, _: &RepoSeen) -> PortResult<KnownRepo> {
        unused()
    }
    async fn dismiss(&self, _: &KnownRepo, _: &RepoName) -> PortResult<()> {
        unused()
    }
    async fn known(&self, _: &RepoName) -> PortResult<Option<KnownRepo>> {
        unused()
    }
    async fn called(&self, _: &RepoName) -> PortResult<Option<RepoName>> {
        unused()
    }
    async fn take_hosts(&self, _: &StageId, _: &[String]) -> PortResult<Option<(String, StageId)>> {
        unused()
    }
    async fn keep_hosts(&self, _: &StageId, _: &[String]) -> PortResult<()> {
        unused()
    }
    async fn host_owner(&self, _: &str) -> PortResult<Option<StageId>> {
        unused()
    }
    async fn are_hosts_carried(&self) -> PortResult<bool> {
        unused()
    }
    async fn stage_ids(&self) -> PortResult<Vec<StageId>> {
        unused()
    }
    async fn carry_hosts(&self, _: &[(StageId, Vec<String>)]) -> PortResult<Vec<(StageId, String, StageId)>> {
        unused()
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn receive(&self, delivery: NewDelivery) -> PortResult<Receipt> {
        self.reached.notify_one();
        let _open = self.gate.lock().await;
        self.whole()?;
        let mut received = self.received.lock().expect("no test panics inside");
        if received.iter().any(|known| known.id == delivery.id) {
            return Ok(Receipt::Duplicate);
        }
        received.push(delivery);
        Ok(Receipt::Accepted)
    }
    async fn prune(&self, _: Timestamp) -> PortResult<u64> {
        unused()
    }

    async fn ping(&self) -> PortResult<()> {
        self.whole()
    }
    async fn counts(&self, now: Timestamp) -> PortResult<StoreCounts> {
        self.whole()?;
        let waiting = self.received.lock().expect("no test panics inside").len();
        let inbox_waiting = i64::try_from(waiting).expect("few");
        Ok(StoreCounts { inbox_waiting, inbox_oldest: Some(now.after_millis(-4_500)), stages: 3, ..Default::default() })
    }
    async fn ring(&self, lane: &Lane, _: Timestamp) -> PortResult<()> {
        self.whole()?;
        self.rung.lock().expect("no test panics inside").push(lane.clone());
        Ok(())
    }
    async fn claim_in_turn(&self, _: Timestamp, _: i64, _: LaneShare) -> PortResult<Option<Claimed>> {
        unused()
    }
    async fn renew(&self, _: &mut Held, _: Timestamp) -> PortResult<()> {
        unused()
    }
    async fn release(&self, _: Held, _: Wake, _: u32) -> PortResult<()> {
        unused()
    }
    async fn lane_state(&self, _: &Lane, _: Timestamp) -> PortResult<LaneState> {
        unused()
    }
    async fn next_turn(&self, _: Timestamp, _: LaneShare) -> PortResult<Option<Timestamp>> {
        unused()
    }
    async fn inbox(&self, _: &Held, _: u32) -> PortResult<Vec<InboxRow>> {
        unused()
    }
    async fn apply_intake(&self, _: &Held, _: IntakeWrite) -> PortResult<()> {
        unused()
    }
    async fn stage(&self, _: &StageId) -> PortResult<Option<StageRecord>> {
        unused()
    }
    async fn generation(&self, _: &StageId) -> PortResult<Option<Generation>> {
        unused()
    }
    async fn stages(&self, _: Option<&RepoName>) -> PortResult<Vec<StageRecord>> {
        unused()
    }
    async fn save_status(&self, _: &Held, _: &StageRecord) -> PortResult<()> {
        unused()
    }
    async fn open_deploy(&self, _: &Held, _: NewDeploy) -> PortResult<Deploy> {
        unused()
    }
    async fn deploy(&self, _: DeployId) -> PortResult<Option<Deploy>> {
        unused()
    }
    async fn deploys(&self, _: &StageId, _: u32) -> PortResult<Vec<Deploy>> {
        unused()
    }
    async fn close_deploy(
        &self,
        _: &Held,
        _: DeployId,
        _: Outcome,
        _: Timestamp,
        _: &StageRecord,
        _: Option<Release>,
    ) -> PortResult<()> {
        unused()
    }
    async fn append(&self, _: &Held, _: DeployId, _: Vec<StepEvent>) -> PortResult<()> {
        unused()
    }
    async fn append_unless_rung(&self, _: &Held, _: DeployId, _: Vec<StepEvent>, _: StepEvent) -> PortResult<bool> {
        unused()
    }
    async fn log(&self, _: DeployId) -> PortResult<StepLog> {
        unused()
    }
    async fn releases(&self, _: &StageId, _: u32) -> PortResult<Vec<Release>> {
        unused()
    }
    async fn history(&self, _: &StageId, _: u32) -> PortResult<StageHistory> {
        unused()
    }
    async fn save_surfaces(&self, _: &Held, _: &StageId, _: Vec<SurfaceRecord>) -> PortResult<()> {
        unused()
    }
}
