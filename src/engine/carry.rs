//! What an older version left, made what this one keeps: once, by whichever server comes to it first.
//! Nothing that runs changes.
//!
//! Guarantees: nobody gets a host, and none is given back, before it is taken down whose the hosts are of
//! stages that were there before hosts were anybody's. A row that cannot be read is told with its stage,
//! and keeps no other stage from its hosts.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::wall::taken;
use super::{Engine, chain};
use crate::decide::wall;
use crate::model::{Deploy, DeployId, RepoName, StageId, StageName, StageSpec, StageStatus, Timestamp, Wanted};
use crate::port::{PortError, PortResult};

/// Deploys of a stage that are looked at, the newest first.
const DEPLOYS: u32 = 200;
/// Stages that are read at the same time.
const AT_ONCE: usize = 16;

/// By what a stage has its hosts: whoever serves at one has it before whoever only asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Title {
    Serves,
    Asked,
}

struct Holder {
    title: Title,
    at: Timestamp,
    spec: Box<StageSpec>,
}

impl Engine {
    /// Takes down whose hosts are those of stages that an older version brought here. Who asks meanwhile
    /// waits; where it was done before, one read says so.
    pub async fn carry_over(&self) -> PortResult<()> {
        self.carried.get_or_try_init(|| Box::pin(self.carry())).await.copied()
    }

    async fn carry(&self) -> PortResult<()> {
        if self.ports.store.are_hosts_carried().await? {
            return Ok(());
        }
        let holders = self.holders().await?;
        let hosts: Vec<(StageId, Vec<String>)> =
            holders.iter().map(|holder| (holder.spec.stage.clone(), wall::names_of(&holder.spec))).collect();
        for (stage, host, owner) in self.ports.store.carry_hosts(&hosts).await? {
            tracing::warn!(%stage, "two stages have one address: {}", taken(&stage, &host, &owner));
        }
        Ok(())
    }

    /// Everybody who has hosts, in an order that is the same on every server.
    async fn holders(&self) -> PortResult<Vec<Holder>> {
        let stages = futures_util::stream::iter(self.ports.store.stage_ids().await?);
        let found = stages.map(|id| self.holders_of(id)).buffer_unordered(AT_ONCE);
        let mut holders: Vec<Holder> = found.try_collect::<Vec<_>>().await?.into_iter().flatten().collect();
        holders.sort_by(|a, b| (a.title, a.at, &a.spec.stage).cmp(&(b.title, b.at, &b.spec.stage)));
        Ok(holders)
    }

    /// The specs by which a stage has hosts: of what serves, and of what was asked for last.
    async fn holders_of(&self, id: StageId) -> PortResult<Vec<Holder>> {
        let store = &self.ports.store;
        let record = legible(&id, "its row", store.stage(&id).await)?.flatten();
        if record.is_some_and(|record| matches!(record.status, StageStatus::Gone { .. })) {
            return Ok(Vec::new());
        }
        let deploys = legible(&id, "its deploys", store.deploys(&id, DEPLOYS).await)?.unwrap_or_default();
        let release = legible(&id, "its newest release", self.newest_release(&id).await)?.flatten();
        let live = match release.filter(|release| !went_since(&deploys, release.deploy)) {
            Some(release) => legible(&id, "the deploy that serves", store.deploy(release.deploy).await)?.flatten(),
            None => None,
        };
        let serves = live.and_then(|deploy| holder(Title::Serves, deploy));
        let serves = serves.map(|holder| Holder { at: had_since(&deploys, &holder), ..holder });
        let asked = deploys.into_iter().find_map(|deploy| holder(Title::Asked, deploy));
        Ok(serves.into_iter().chain(asked).collect())
    }

    /// Tells the operator which of the server's variables have another name by now. What runs keeps the
    /// value that it has, and asks for it by its old name should it be started again.
    pub async fn tell_renamed_variables(&self) -> PortResult<()> {
        let mut asked: BTreeMap<(RepoName, String), BTreeSet<StageName>> = BTreeMap::new();
        for Holder { spec, .. } in self.holders().await?.iter().filter(|holder| holder.title == Title::Serves) {
            for name in wall::unbound_secrets(spec) {
                let key = (spec.stage.repo.clone(), name.to_owned());
                asked.entry(key).or_default().insert(spec.stage.name.clone());
            }
        }
        for ((repo, name), stages) in asked {
            let number = self.ports.store.known(&repo).await?.map(|known| known.id);
            let stages: Vec<&str> = stages.iter().map(StageName::as_str).collect();
            tracing::warn!(%repo, "{}", wall::renamed_variable(&repo, number, &name, &stages));
        }
        Ok(())
    }
}

/// What was read; nothing of what can never be read, which is told.
fn legible<T>(stage: &StageId, what: &str, answer: PortResult<T>) -> PortResult<Option<T>> {
    match answer {
        Err(error @ PortError::Bug { .. }) => {
            let cause = chain(&error);
            tracing::error!(%stage, "{what} of {stage} cannot be read and is left out of what is carried over: {cause}");
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// Whether the stage was taken away after this deploy.
fn went_since(deploys: &[Deploy], since: DeployId) -> bool {
    deploys.iter().any(|deploy| deploy.id > since && matches!(deploy.plan.wanted, Wanted::Gone(_)))
}

/// When the stage came to the hosts that it serves at: whoever deploys often has them no shorter than
/// whoever deployed once. `deploys`: the newest first.
fn had_since(deploys: &[Deploy], holder: &Holder) -> Timestamp {
    let names = wall::names_of(&holder.spec);
    let had_them = |deploy: &&Deploy| match &deploy.plan.wanted {
        Wanted::Live(spec) => {
            let had = wall::names_of(spec);
            names.iter().all(|name| had.contains(name))
        }
        Wanted::Gone(_) => false,
    };
    let until_then = deploys.iter().filter(|deploy| deploy.started_at <= holder.at);
    until_then.take_while(had_them).map(|deploy| deploy.started_at).min().unwrap_or(holder.at)
}

fn holder(title: Title, deploy: Deploy) -> Option<Holder> {
    match deploy.plan.wanted {
        Wanted::Live(spec) => Some(Holder { title, at: deploy.started_at, spec }),
        Wanted::Gone(_) => None,
    }
}
