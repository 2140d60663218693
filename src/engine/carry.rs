//! What an older version left, made what this one keeps: asked for at every start, changes nothing
//! that runs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, chain};
use crate::decide::wall;
use crate::model::{Deploy, DeployId, RepoName, StageName, StageSpec, StageStatus, Timestamp, Wanted};
use crate::port::PortResult;

/// Deploys among which the newest that brought something on is looked for.
const DEPLOYS: u32 = 20;

/// By what a stage has its hosts: whoever serves at one has it before whoever only asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Title {
    Serves,
    Asked,
}

impl Engine {
    /// Takes down whose hosts are those of stages that an older version brought here, and tells the
    /// operator which of the server's variables have another name by now. Nothing of the stages changes.
    pub async fn carry_over(&self) -> PortResult<()> {
        let mut holders = Vec::new();
        for record in self.ports.store.stages(None).await? {
            if matches!(record.status, StageStatus::Gone { .. }) {
                continue;
            }
            let deploys = self.ports.store.deploys(&record.id, DEPLOYS).await?;
            if let Some(release) = self.newest_release(&record.id).await?
                && !went_since(&deploys, release.deploy)
            {
                let live = self.ports.store.deploy(release.deploy).await?;
                holders.extend(live.and_then(|deploy| holder(Title::Serves, deploy)));
            }
            holders.extend(deploys.into_iter().find_map(|deploy| holder(Title::Asked, deploy)));
        }
        holders.sort_by_key(|(title, at, _)| (*title, *at));
        for (_, _, spec) in &holders {
            match self.take_addresses(spec).await {
                Ok(None) => {}
                Ok(Some(why)) => tracing::warn!(stage = %spec.stage, "two stages have one address: {why}"),
                Err(error) => {
                    tracing::warn!(stage = %spec.stage, "its addresses are not taken down: {}", chain(&error));
                }
            }
        }
        let serving = holders.iter().filter(|(title, ..)| *title == Title::Serves).map(|(_, _, spec)| &**spec);
        self.tell_renamed_variables(serving).await
    }

    /// What runs keeps the value that it has, and asks for it by its old name should it be started again.
    async fn tell_renamed_variables(&self, serving: impl Iterator<Item = &StageSpec>) -> PortResult<()> {
        let mut asked: BTreeMap<(RepoName, String), BTreeSet<StageName>> = BTreeMap::new();
        for spec in serving {
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

/// Whether the stage was taken away after this deploy.
fn went_since(deploys: &[Deploy], since: DeployId) -> bool {
    deploys.iter().any(|deploy| deploy.id > since && matches!(deploy.plan.wanted, Wanted::Gone(_)))
}

fn holder(title: Title, deploy: Deploy) -> Option<(Title, Timestamp, Box<StageSpec>)> {
    match deploy.plan.wanted {
        Wanted::Live(spec) => Some((title, deploy.started_at, spec)),
        Wanted::Gone(_) => None,
    }
}
