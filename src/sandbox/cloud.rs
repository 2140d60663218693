//! A target that exists only in memory: for scenario tests, and for measuring the engine alone.
//!
//! It keeps a journal of everything that changed, so that a test sees what was done twice, and can
//! be told to be slow or to fail.

mod ailing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::model::{
    Addressing, CommitSha, Condition, Conditions, Failure, LocalCommands, Observed, ObservedService, Output, Place,
    Resource, Scheme, ServiceName, StageId, StageSpec, Timestamp, VersionKey,
};
use crate::port::{Cloud, Phase, PortError, PortResult, Progress, Rollout, Site};

/// What a rollout does when it is asked for, instead of succeeding at once.
#[derive(Debug, Clone)]
pub enum Mishap {
    /// Pending this many times, then it holds. A canary is there meanwhile.
    Slow(u32),
    /// The user's code fails.
    Fail(Failure),
    /// A passing fault, this many times.
    Fault(u32, String),
}

#[derive(Debug, Clone, Default)]
struct Service {
    /// Versions with the commit that started them.
    versions: BTreeMap<VersionKey, CommitSha>,
    serving: Option<VersionKey>,
    /// One copy of a version beside what serves.
    canary: Option<VersionKey>,
    /// Versions whose one-off command ran to its end.
    migrated: Vec<VersionKey>,
}

impl Service {
    fn all(&self) -> BTreeSet<&VersionKey> {
        self.versions.keys().chain(&self.canary).collect()
    }
}

#[derive(Default)]
struct State {
    stages: BTreeMap<StageId, BTreeMap<ServiceName, Service>>,
    mishaps: BTreeMap<(Phase, ServiceName, Option<CommitSha>), Mishap>,
    stubborn: Vec<String>,
    objection: Option<String>,
    /// What may not be looked at, and with which words.
    refusal: Option<String>,
    /// Services that are not well, or were not.
    ailing: BTreeMap<(StageId, ServiceName), Condition>,
    /// Stages of which something is to be told.
    stirred: VecDeque<StageId>,
    /// Looks at how stages are doing that wait for each other.
    meeting: Option<ailing::Meeting>,
    /// Where stages live that do not live at the target's own place.
    places: BTreeMap<StageId, Place>,
    /// Digests of images by the stage that pushed them.
    images: Vec<(StageId, String)>,
    journal: Vec<String>,
    calls: u64,
}

/// The target. Clone the `Arc` that holds it.
pub struct SandboxCloud {
    state: Mutex<State>,
    told: Notify,
    addressing: Addressing,
}

impl Default for SandboxCloud {
    fn default() -> Self {
        Self::in_zone("preview.test")
    }
}

impl SandboxCloud {
    /// A target where stages answer in this zone, if their configuration names none.
    pub fn in_zone(zone: &str) -> Self {
        let (zone, local_commands) = (zone.to_owned(), LocalCommands::Run);
        Self {
            state: Mutex::default(),
            told: Notify::new(),
            addressing: Addressing { scheme: Scheme::Https, zone, port: None, local_commands },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a phase of a service misbehave, at one commit or at any.
    pub fn mishap(&self, phase: Phase, service: &str, sha: Option<&CommitSha>, mishap: Mishap) {
        if let Ok(service) = ServiceName::new(service) {
            self.lock().mishaps.insert((phase, service, sha.cloned()), mishap);
        }
    }

    /// Things of this kind cannot be removed until told otherwise.
    pub fn refuse_removal(&self, kind: &str) {
        self.lock().stubborn.push(kind.to_owned());
    }

    /// Everything can be removed again.
    pub fn allow_removal(&self) {
        self.lock().stubborn.clear();
    }

    /// Whatever is to run, the target has this against it; nothing any more where it is `None`.
    pub fn object(&self, sentence: Option<&str>) {
        self.lock().objection = sentence.map(str::to_owned);
    }

    /// What changed, in order: `start pr-1/web abc1234`.
    pub fn journal(&self) -> Vec<String> {
        self.lock().journal.clone()
    }

    /// What is there now, a line a service: `pr-1/web serves abc1234`.
    pub fn world(&self) -> Vec<String> {
        let state = self.lock();
        let mut lines = Vec::new();
        for (stage, services) in &state.stages {
            for (name, service) in services {
                let serving = service.serving.as_ref().and_then(|key| service.versions.get(key));
                let serving = serving.map_or("nothing", CommitSha::short);
                let others = service.all().len() - usize::from(service.serving.is_some());
                let beside = if others > 0 { format!(" beside {others} more") } else { String::new() };
                lines.push(format!("{}/{name} serves {serving}{beside}", stage.name));
            }
        }
        lines
    }

    /// The commit that a service's address answers from.
    pub fn serving(&self, stage: &StageId, service: &ServiceName) -> Option<CommitSha> {
        let state = self.lock();
        let service = state.stages.get(stage)?.get(service)?;
        service.versions.get(service.serving.as_ref()?).cloned()
    }

    /// A version is lost without anybody asking, as when a machine dies.
    pub fn lose(&self, stage: &StageId, service: &ServiceName) {
        if let Some(service) = self.lock().stages.get_mut(stage).and_then(|services| services.get_mut(service)) {
            service.versions.clear();
            service.serving = None;
        }
    }

    /// A version appears without anybody asking, as when a stale process wrote late.
    pub fn haunt(&self, stage: &StageId, service: &ServiceName) {
        let Ok(sha) = CommitSha::new("0".repeat(40)) else { return };
        let mut state = self.lock();
        let service = state.stages.entry(stage.clone()).or_default().entry(service.clone()).or_default();
        service.versions.insert(VersionKey("late".into()), sha);
    }

    /// Says of a stage what the target knows of it besides.
    pub fn settle_at(&self, stage: &StageId, place: Place) {
        self.lock().places.insert(stage.clone(), place);
    }

    /// Leaves an image behind.
    pub fn pile_up(&self, stage: &StageId, digest: &str) {
        self.lock().images.push((stage.clone(), digest.to_owned()));
    }

    /// The digests of the images that are left of a stage.
    pub fn images(&self, stage: &StageId) -> Vec<String> {
        let state = self.lock();
        state.images.iter().filter(|(owner, _)| owner == stage).map(|(_, digest)| digest.clone()).collect()
    }

    /// How many calls came in.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }
}

impl State {
    /// Puts one copy beside what serves, unless it is what serves.
    fn try_out(&mut self, rollout: &Rollout<'_>) {
        let (stage, name) = (&rollout.stage.stage, &rollout.service.name);
        let service = self.stages.entry(stage.clone()).or_default().entry(name.clone()).or_default();
        let key = Some(rollout.version);
        if service.serving.as_ref() != key && service.canary.as_ref() != key {
            service.canary = key.cloned();
            self.journal.push(format!("canary {}/{name} {}", stage.name, rollout.stage.sha.short()));
        }
    }

    /// What misbehaviour is due; used up a little by the asking.
    fn stumble(&mut self, phase: Phase, rollout: &Rollout<'_>) -> Option<PortResult<Progress<Output>>> {
        let name = rollout.service.name.clone();
        let exact = (phase, name.clone(), Some(rollout.stage.sha.clone()));
        let key = if self.mishaps.contains_key(&exact) { exact } else { (phase, name, None) };
        match self.mishaps.get_mut(&key)? {
            Mishap::Slow(0) | Mishap::Fault(0, _) => None,
            Mishap::Slow(left) => {
                *left -= 1;
                Some(Ok(Progress::Pending { again_millis: 1_000, note: "taking its time".into() }))
            }
            Mishap::Fault(left, reason) => {
                *left -= 1;
                Some(Err(PortError::retry(reason.clone())))
            }
            Mishap::Fail(failure) => Some(Err(PortError::Failed(Box::new(failure.clone())))),
        }
    }
}

#[async_trait]
impl Cloud for SandboxCloud {
    fn addressing(&self) -> Addressing {
        self.addressing.clone()
    }

    fn objections(&self, _spec: &StageSpec) -> Vec<String> {
        self.lock().objection.iter().cloned().collect()
    }

    async fn observe(&self, site: Site<'_>) -> PortResult<Observed> {
        let mut state = self.lock();
        state.calls += 1;
        let mut observed = Observed::default();
        if let Some(words) = &state.refusal {
            return Err(PortError::Denied { reason: words.clone() });
        }
        for (name, service) in state.stages.get(site.stage).into_iter().flatten() {
            let ails = state.ailing.get(&(site.stage.clone(), name.clone())).is_some_and(Condition::is_trouble);
            // What is not healthy serves nobody, as on every other target.
            let serving = service.serving.clone().filter(|_| !ails);
            let others = service.all().into_iter().filter(|key| Some(*key) != serving.as_ref()).cloned().collect();
            observed.services.insert(name.clone(), ObservedService { serving, others });
            if service.serving.is_some() {
                observed.resources.push(Resource {
                    kind: "route".into(),
                    id: name.to_string(),
                    service: Some(name.clone()),
                });
            }
            let version = |key: &VersionKey| Resource {
                kind: "version".into(),
                id: format!("{name}/{key}"),
                service: Some(name.clone()),
            };
            observed.resources.extend(service.all().into_iter().map(version));
        }
        observed.resources.sort();
        Ok(observed)
    }

    async fn ensure(&self, phase: Phase, rollout: &Rollout<'_>) -> PortResult<Progress<Output>> {
        let mut state = self.lock();
        state.calls += 1;
        if phase == Phase::Canary {
            state.try_out(rollout);
        }
        if let Some(answer) = state.stumble(phase, rollout) {
            return answer;
        }
        let State { stages, journal, .. } = &mut *state;
        let stage = &rollout.stage.stage;
        let name = &rollout.service.name;
        let service = stages.entry(stage.clone()).or_default().entry(name.clone()).or_default();
        let mut did = |what: &str| journal.push(format!("{what} {}/{name} {}", stage.name, rollout.stage.sha.short()));
        let version = rollout.version;
        Ok(Progress::Done(match phase {
            Phase::Migrate => {
                if !service.migrated.contains(version) {
                    service.migrated.push(version.clone());
                    did("migrate");
                }
                Output::Nothing
            }
            Phase::Canary => Output::Nothing,
            Phase::Start => {
                if !service.versions.contains_key(version) {
                    service.versions.insert(version.clone(), rollout.stage.sha.clone());
                    did("start");
                }
                Output::Version(version.clone())
            }
            Phase::Shift => {
                if service.serving.as_ref() != Some(version) {
                    service.serving = Some(version.clone());
                    did("shift");
                }
                Output::Nothing
            }
            Phase::Check => match &rollout.service.url {
                Some(url) if service.serving.as_ref() == Some(version) => {
                    Output::Answered { url: url.clone(), status: rollout.service.health.status, millis: 1 }
                }
                Some(url) => return Err(PortError::retry(format!("{url} answers from another version"))),
                None => Output::Running { copies: rollout.service.scale.min, wanted: rollout.service.scale.min },
            },
            Phase::Retire => {
                let serving = service.serving.clone();
                let before = service.versions.len();
                service.versions.retain(|key, _| Some(key) == serving.as_ref());
                if service.canary.take().is_some() || service.versions.len() < before {
                    did("retire");
                }
                if service.versions.is_empty() {
                    stages.get_mut(stage).map(|services| services.remove(name));
                }
                stages.retain(|_, services| !services.is_empty());
                Output::Nothing
            }
        }))
    }

    async fn remove(&self, site: Site<'_>, resource: &Resource) -> PortResult<Progress<()>> {
        let mut state = self.lock();
        state.calls += 1;
        if state.stubborn.contains(&resource.kind) {
            return Ok(Progress::Done(()));
        }
        if resource.kind == "image" {
            state.images.retain(|(owner, digest)| owner != site.stage || *digest != resource.id);
            return Ok(Progress::Done(()));
        }
        let State { stages, journal, .. } = &mut *state;
        let Some(services) = stages.get_mut(site.stage) else { return Ok(Progress::Done(())) };
        let Some(service) = resource.service.as_ref().and_then(|name| services.get_mut(name)) else {
            return Ok(Progress::Done(()));
        };
        let removed = match resource.id.split_once('/') {
            Some((_, key)) => {
                let tried = service.canary.take_if(|canary| canary.0 == key).is_some();
                service.versions.remove(&VersionKey(key.to_owned())).is_some() || tried
            }
            None => service.serving.take().is_some(),
        };
        if removed {
            journal.push(format!("remove {}/{}", site.stage.name, resource.kind));
        }
        services.retain(|_, service| !service.all().is_empty() || service.serving.is_some());
        stages.retain(|_, services| !services.is_empty());
        Ok(Progress::Done(()))
    }

    async fn conditions(&self, site: Site<'_>) -> PortResult<Conditions> {
        self.meet().await;
        let state = self.lock();
        let serving =
            state.stages.get(site.stage).into_iter().flatten().filter(|(_, service)| service.serving.is_some());
        let doing = |(name, _): (&ServiceName, &Service)| {
            let ails = state.ailing.get(&(site.stage.clone(), name.clone())).cloned();
            (name.clone(), ails.unwrap_or_else(|| Condition::well(1, Timestamp(0))))
        };
        Ok(serving.map(doing).collect())
    }

    async fn stirred(&self) -> StageId {
        loop {
            let stage = self.lock().stirred.pop_front();
            match stage {
                Some(stage) => return stage,
                None => self.told.notified().await,
            }
        }
    }

    async fn stages(&self, _known: &[(StageId, Place)]) -> PortResult<Vec<(StageId, Place)>> {
        let state = self.lock();
        if let Some(words) = &state.refusal {
            return Err(PortError::Denied { reason: words.clone() });
        }
        let place = |stage: &StageId| state.places.get(stage).cloned().unwrap_or_default();
        Ok(state.stages.keys().map(|stage| (stage.clone(), place(stage))).collect())
    }

    async fn surplus(&self, site: Site<'_>, used: &BTreeSet<String>) -> PortResult<Vec<Resource>> {
        let unused = self.images(site.stage).into_iter().filter(|digest| !used.contains(digest));
        Ok(unused.map(|id| Resource { kind: "image".into(), id, service: None }).collect())
    }

    async fn logs(&self, _site: Site<'_>, _service: &ServiceName, _lines: usize) -> PortResult<Vec<String>> {
        Ok(Vec::new())
    }
}
