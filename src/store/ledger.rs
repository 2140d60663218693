//! What is remembered of the talk on pull requests, as the port asks for it.

use async_trait::async_trait;

use super::write::{Answer, Write};
use super::{SqlStore, audit, calls, locks, receipt, row, witness};
use crate::model::{
    AuditLine, AuditLink, AuditVerdict, CommandReceipt, Generation, Lane, Lock, PullNumber, ReceiptKey, RepoName,
    StageId, Timestamp, Witness,
};
use crate::port::{Held, Ledger, PortResult};

#[async_trait]
impl Ledger for SqlStore {
    async fn witnesses(&self, repo: &RepoName, pull: PullNumber, limit: u32) -> PortResult<Vec<Witness>> {
        witness::list(&self.readers, repo, pull, limit).await
    }

    async fn repo_lock(&self, repo: &RepoName) -> PortResult<Option<Lock>> {
        locks::get(&self.readers, repo).await
    }

    async fn receipt(&self, key: &ReceiptKey) -> PortResult<Option<CommandReceipt>> {
        receipt::one(&self.readers, key).await
    }

    async fn receipts_due(&self, held: &Held, limit: u32) -> PortResult<Vec<CommandReceipt>> {
        match held.lane() {
            Lane::Repo(repo) => receipt::due(&self.readers, repo, limit).await,
            Lane::Stage(_) | Lane::Chore(_) => Ok(Vec::new()),
        }
    }

    async fn receipts_bound(&self, held: &Held, limit: u32) -> PortResult<Vec<CommandReceipt>> {
        match held.lane() {
            Lane::Repo(repo) => receipt::all_bound(&self.readers, repo, limit).await,
            Lane::Stage(_) | Lane::Chore(_) => Ok(Vec::new()),
        }
    }

    async fn receipts_of(&self, stage: &StageId, generation: Generation) -> PortResult<Vec<CommandReceipt>> {
        receipt::bound(&self.readers, stage, generation).await
    }

    async fn save_receipts(&self, held: &Held, receipts: Vec<CommandReceipt>) -> PortResult<()> {
        receipts.iter().try_for_each(|receipt| row::own(held, &receipt.key.repo))?;
        let receipts = receipts.iter().map(receipt::row).collect::<PortResult<_>>()?;
        self.writer.write(Write::Receipts { hold: row::hold(held), receipts }).await.map(drop)
    }

    async fn forget(&self, before: Timestamp) -> PortResult<u64> {
        match self.writer.write(Write::Forget { before: before.0 }).await? {
            Answer::Pruned(count) => Ok(count),
            other => Err(calls::unexpected(&other)),
        }
    }

    async fn audit(&self, repo: Option<&RepoName>, subject: Option<&str>, limit: u32) -> PortResult<Vec<AuditLine>> {
        audit::newest(&self.readers, repo, subject, limit).await
    }

    async fn audited(&self) -> PortResult<Vec<RepoName>> {
        audit::repos(&self.readers).await
    }

    async fn audit_head(&self, repo: &RepoName) -> PortResult<Option<AuditLink>> {
        audit::head(&self.readers, repo).await
    }

    async fn audit_place(&self, hash: &str) -> PortResult<Option<(RepoName, i64)>> {
        audit::place(&self.readers, hash).await
    }

    async fn verify_audit(&self, repo: &RepoName) -> PortResult<AuditVerdict> {
        audit::verify(&self.readers, repo).await
    }
}
