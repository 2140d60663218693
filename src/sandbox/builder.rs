//! A builder that exists only in memory: a source is read to its end and forgotten, an artifact is
//! a name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::model::{
    Artifact, CommitSha, Failure, FailureKind, Output, ServiceName, ServiceSpec, StageId, StageName, Trust,
};
use crate::port::{BuildJob, Builder, PortError, PortResult, Progress, Site, Tarball};

use super::cloud::Mishap;

#[derive(Default)]
struct State {
    sources: BTreeSet<(StageId, CommitSha)>,
    made: BTreeSet<String>,
    mishaps: BTreeMap<(ServiceName, Option<CommitSha>), Mishap>,
    journal: Vec<String>,
    trusts: BTreeMap<(StageName, ServiceName), Trust>,
    gaps: Vec<String>,
}

/// The builder. Clone the `Arc` that holds it.
#[derive(Default)]
pub struct SandboxBuilder(Mutex<State>);

impl SandboxBuilder {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a service's build misbehave, at one commit or at any.
    pub fn mishap(&self, service: &str, sha: Option<&CommitSha>, mishap: Mishap) {
        if let Ok(service) = ServiceName::new(service) {
            self.lock().mishaps.insert((service, sha.cloned()), mishap);
        }
    }

    /// Says of every source from now on that it lacks this.
    pub fn gap(&self, sentence: &str) {
        self.lock().gaps.push(sentence.to_owned());
    }

    /// What was done, in order: `unpack pr-1 abc1234`, `build pr-1/web abc1234`.
    pub fn journal(&self) -> Vec<String> {
        self.lock().journal.clone()
    }

    /// With what trust a stage's service was last built.
    pub fn trust(&self, stage: &StageName, service: &ServiceName) -> Option<Trust> {
        self.lock().trusts.get(&(stage.clone(), service.clone())).copied()
    }

    /// Sources that are still there, as `pr-1 abc1234`.
    pub fn sources(&self) -> Vec<String> {
        self.lock().sources.iter().map(|(stage, sha)| format!("{} {}", stage.name, sha.short())).collect()
    }
}

impl State {
    fn stumble(&mut self, service: &ServiceName, sha: &CommitSha) -> Option<Result<u32, Failure>> {
        let exact = (service.clone(), Some(sha.clone()));
        let key = if self.mishaps.contains_key(&exact) { exact } else { (service.clone(), None) };
        match self.mishaps.get_mut(&key)? {
            Mishap::Slow(0) | Mishap::Fault(0, _) => None,
            Mishap::Slow(left) | Mishap::Fault(left, _) => {
                *left -= 1;
                Some(Ok(*left))
            }
            Mishap::Fail(failure) => Some(Err(failure.clone())),
        }
    }
}

#[async_trait]
impl Builder for SandboxBuilder {
    async fn source(&self, stage: &StageId, sha: &CommitSha) -> PortResult<Option<Progress<String>>> {
        let known = self.lock().sources.contains(&(stage.clone(), sha.clone()));
        Ok(known.then(|| Progress::Done(format!("{stage}@{sha}"))))
    }

    async fn unpack(&self, stage: &StageId, sha: &CommitSha, tarball: Tarball) -> PortResult<Progress<String>> {
        let mut tarball = tarball.await?;
        let mut chunk = [0; 8192];
        let mut total = 0;
        loop {
            match tarball.read(&mut chunk).await {
                Ok(0) => break,
                Ok(read) => total += read,
                Err(error) => return Err(PortError::retry(format!("the source broke off: {error}"))),
            }
        }
        if total == 0 {
            return Err(PortError::retry("the source is empty"));
        }
        let mut state = self.lock();
        state.sources.insert((stage.clone(), sha.clone()));
        state.journal.push(format!("unpack {} {}", stage.name, sha.short()));
        Ok(Progress::Done(format!("{stage}@{sha}")))
    }

    async fn gaps(&self, _stage: &StageId, _sha: &CommitSha) -> PortResult<Vec<String>> {
        Ok(self.lock().gaps.clone())
    }

    async fn ensure(&self, job: &BuildJob<'_>) -> PortResult<Progress<Output>> {
        let mut state = self.lock();
        if job.source.is_some() && !state.sources.contains(&(job.stage.clone(), job.sha.clone())) {
            return Err(PortError::NotFound { what: format!("the unpacked source of {}", job.sha.short()) });
        }
        state.trusts.insert((job.stage.name.clone(), job.service.name.clone()), job.trust);
        match state.stumble(&job.service.name, job.sha) {
            Some(Ok(_)) => return Ok(Progress::Pending { again_millis: 1_000, note: "building".into() }),
            Some(Err(failure)) => return Err(PortError::Failed(Box::new(failure))),
            None => {}
        }
        let reference = format!("{}/{}@{}", job.stage, job.service.name, job.sha);
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&reference)));
        let artifact = Artifact { reference: reference.clone(), digest };
        if !state.made.insert(reference) {
            return Ok(Progress::Done(Output::Reused(artifact)));
        }
        state.journal.push(format!("build {}/{} {}", job.stage.name, job.service.name, job.sha.short()));
        Ok(Progress::Done(Output::Built(artifact)))
    }

    async fn adopt(&self, site: Site<'_>, service: &ServiceName, artifact: &Artifact) -> PortResult<()> {
        let mut state = self.lock();
        if !state.made.contains(&artifact.reference) {
            let summary = format!("the artifact {} is not there any more", artifact.digest);
            return Err(PortError::failed(FailureKind::Environment, summary, "Deploy the commit anew."));
        }
        state.journal.push(format!("adopt {}/{service}", site.stage.name));
        Ok(())
    }

    async fn cancel(&self, _stage: &StageId) -> PortResult<()> {
        Ok(())
    }

    async fn tidy(&self, stage: &StageId) -> PortResult<()> {
        self.lock().sources.retain(|(owner, _)| owner != stage);
        Ok(())
    }

    async fn log(&self, _stage: &StageId, _service: &ServiceSpec, _lines: usize) -> PortResult<Vec<String>> {
        Ok(Vec::new())
    }

    async fn remove(&self, _artifact: &Artifact) -> PortResult<()> {
        Ok(())
    }
}
