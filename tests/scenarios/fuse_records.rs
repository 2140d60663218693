//! The database behind a fuse: its leased numbers and what it remembers.

use std::collections::BTreeSet;

use async_trait::async_trait;
use greenroom::model::*;
use greenroom::port::*;

use super::{Fused, Nature};

#[async_trait]
impl Slots for Fused<dyn Store> {
    async fn take_slot(&self, pool: &str, holder: &str, avoid: &BTreeSet<u32>, last: u32) -> PortResult<Option<u32>> {
        write!(self, self.port.take_slot(pool, holder, avoid, last))
    }
    async fn free_slot(&self, pool: &str, holder: &str) -> PortResult<()> {
        write!(self, self.port.free_slot(pool, holder))
    }
    async fn slots(&self, pool: &str) -> PortResult<Vec<(u32, String)>> {
        read!(self, self.port.slots(pool))
    }
}

#[async_trait]
impl Walls for Fused<dyn Store> {
    async fn identify(&self, seen: &RepoSeen) -> PortResult<KnownRepo> {
        // What is written is what GitHub says, and nearly always it is known.
        read!(self, self.port.identify(seen))
    }
    async fn hear(&self, seen: &RepoSeen, now: Timestamp) -> PortResult<RepoName> {
        read!(self, self.port.hear(seen, now))
    }
    async fn dismiss(&self, repo: &KnownRepo, rumour: &RepoName) -> PortResult<()> {
        write!(self, self.port.dismiss(repo, rumour))
    }
    async fn known(&self, key: &RepoName) -> PortResult<Option<KnownRepo>> {
        read!(self, self.port.known(key))
    }
    async fn called(&self, name: &RepoName) -> PortResult<Option<RepoName>> {
        read!(self, self.port.called(name))
    }
    async fn take_hosts(&self, stage: &StageId, hosts: &[String]) -> PortResult<Option<(String, StageId)>> {
        write!(self, self.port.take_hosts(stage, hosts))
    }
    async fn keep_hosts(&self, stage: &StageId, hosts: &[String]) -> PortResult<()> {
        write!(self, self.port.keep_hosts(stage, hosts))
    }
    async fn host_owner(&self, host: &str) -> PortResult<Option<StageId>> {
        read!(self, self.port.host_owner(host))
    }
    async fn are_hosts_carried(&self) -> PortResult<bool> {
        read!(self, self.port.are_hosts_carried())
    }
    async fn stage_ids(&self) -> PortResult<Vec<StageId>> {
        read!(self, self.port.stage_ids())
    }
    async fn carry_hosts(&self, holders: &[(StageId, Vec<String>)]) -> PortResult<Vec<(StageId, String, StageId)>> {
        write!(self, self.port.carry_hosts(holders))
    }
}

#[async_trait]
impl Ledger for Fused<dyn Store> {
    async fn witnesses(&self, repo: &RepoName, pull: PullNumber, limit: u32) -> PortResult<Vec<Witness>> {
        read!(self, self.port.witnesses(repo, pull, limit))
    }
    async fn repo_lock(&self, repo: &RepoName) -> PortResult<Option<Lock>> {
        read!(self, self.port.repo_lock(repo))
    }
    async fn receipt(&self, key: &ReceiptKey) -> PortResult<Option<CommandReceipt>> {
        read!(self, self.port.receipt(key))
    }
    async fn receipts_due(&self, held: &Held, limit: u32) -> PortResult<Vec<CommandReceipt>> {
        read!(self, self.port.receipts_due(held, limit))
    }
    async fn receipts_bound(&self, held: &Held, limit: u32) -> PortResult<Vec<CommandReceipt>> {
        read!(self, self.port.receipts_bound(held, limit))
    }
    async fn receipts_of(&self, stage: &StageId, generation: Generation) -> PortResult<Vec<CommandReceipt>> {
        read!(self, self.port.receipts_of(stage, generation))
    }
    async fn save_receipts(&self, held: &Held, receipts: Vec<CommandReceipt>) -> PortResult<()> {
        write!(self, self.port.save_receipts(held, receipts))
    }
    async fn forget(&self, before: Timestamp) -> PortResult<u64> {
        write!(self, self.port.forget(before))
    }
    async fn audit(&self, repo: Option<&RepoName>, subject: Option<&str>, limit: u32) -> PortResult<Vec<AuditLine>> {
        read!(self, self.port.audit(repo, subject, limit))
    }
    async fn audited(&self) -> PortResult<Vec<RepoName>> {
        read!(self, self.port.audited())
    }
    async fn audit_head(&self, repo: &RepoName) -> PortResult<Option<AuditLink>> {
        read!(self, self.port.audit_head(repo))
    }
    async fn audit_place(&self, hash: &str) -> PortResult<Option<(RepoName, i64)>> {
        read!(self, self.port.audit_place(hash))
    }
    async fn verify_audit(&self, repo: &RepoName) -> PortResult<AuditVerdict> {
        read!(self, self.port.verify_audit(repo))
    }
}
