//! Images that the repository's own workflow builds: its runs found, followed and ended, whatever becomes of them.

mod registry;
mod stories;
mod troubles;

use greenroom::model::{CommitSha, PullNumber};
use greenroom::sandbox::{FileChange, Run};

use crate::world::{CONFIG, World};
use registry::Registry;

/// As the server asks for it: each input by its name.
const WORKFLOW: &str = "\
name: Greenroom build
run-name: Greenroom builds ${{ inputs.service }} of ${{ inputs.stage }} [${{ inputs.nonce }}]
on:
  workflow_dispatch:
    inputs:
      protocol:
      nonce:
      sha:
      stage:
      service:
      trust:
      image:
      registry:
      region:
      platform:
      runs-on:
      context:
      dockerfile:
      target:
      args:
      labels:
      cache:
      timeout:
      server:
";
const PATH: &str = ".github/workflows/greenroom-build.yml";

/// A shop whose images are built on runners.
struct Shop {
    w: World,
    registry: Registry,
}

impl Shop {
    async fn open() -> Self {
        Self::with_config(&format!("{CONFIG}\nbuilder: actions\n")).await
    }

    async fn with_config(config: &str) -> Self {
        let mut w = World::with_config(config).await;
        let registry = Registry::start().await;
        w.has_runners(&registry.host);
        let files = [FileChange::write("Dockerfile", "FROM scratch\n"), FileChange::write(PATH, WORKFLOW)];
        w.github.commit(&w.repo, "main", files, "Build on runners").expect("a commit");
        Self { w, registry }
    }

    /// What GitHub runs for the shop, oldest first.
    fn runs(&self) -> Vec<Run> {
        self.w.github.runs(&self.w.repo)
    }

    /// Those that have not ended.
    fn active(&self) -> Vec<Run> {
        self.runs().into_iter().filter(|run| run.status != "completed").collect()
    }

    /// The only active run of a service.
    fn run_of(&self, service: &str) -> Run {
        let mut runs: Vec<Run> = self.active().into_iter().filter(|run| run.inputs["service"] == service).collect();
        assert_eq!(runs.len(), 1, "one run for {service}: {runs:#?}");
        runs.remove(0)
    }

    /// The workflow does what it is for.
    fn builds(&self, run: &Run) {
        self.registry.push(&run.inputs["image"]);
        self.ends(run, "success", &[]);
    }

    fn ends(&self, run: &Run, conclusion: &str, log: &[&str]) {
        self.w.github.end_run(&self.w.repo, run.id, conclusion, log).expect("it ends");
    }

    /// Every run that waits is built.
    fn builds_all(&self) {
        for run in self.active() {
            self.builds(&run);
        }
    }

    /// A pull request whose builds have been asked for.
    async fn opens(&self) -> (PullNumber, CommitSha) {
        let opened = self.w.open("topic", "2");
        self.w.runs(40).await;
        opened
    }

    /// The server goes on for so many seconds.
    async fn goes_on(&self, seconds: usize) {
        self.w.runs(2 * seconds).await;
    }
}
