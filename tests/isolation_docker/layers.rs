//! Whose layers a build begins with, in an engine that has one store of them for everybody.

use greenroom::model::{Artifact, StageId, Trust};

use crate::engine::Engine;
use crate::own::own;
use crate::repository::Repository;

/// The repositories of one installation that build the same lines, but for the last.
struct Twins {
    engine: Engine,
    lines: String,
    built: Vec<(Repository, Artifact)>,
}

impl Twins {
    fn new(commands: &str) -> Self {
        // No other run's.
        let lines = format!(
            "FROM scratch\nENV RUN={}\nARG MODE\nCOPY busybox /bin/busybox\n\
             RUN [\"/bin/busybox\", \"sh\", \"-c\", \"{commands}\"]\n",
            own("run")
        );
        Self { engine: Engine::shared(), lines, built: Vec::new() }
    }

    /// What the step made, in a build for a stage.
    async fn made(&mut self, repo: &str, stage: &str, trust: Trust, last: &str) -> String {
        self.made_with(repo, stage, trust, last, &[SAME]).await
    }

    async fn made_with(
        &mut self,
        repo: &str,
        stage: &str,
        trust: Trust,
        last: &str,
        arguments: &[(&str, &str)],
    ) -> String {
        let mut repository = Repository::new(&self.engine, repo);
        repository.builder = self.engine.builder(&repository.data.path().join("one")).with_key(&"one".into());
        repository.stage = StageId { repo: repo.parse().expect("a name"), name: stage.parse().expect("a name") };
        repository.trust = trust;
        let dockerfile = format!("{}LABEL last={last}\n", self.lines);
        let image = repository.build(&dockerfile, arguments).await.expect("an image");
        let made = self.engine.docker(&[
            "run",
            "--rm",
            "--network=none",
            "--entrypoint=/bin/busybox",
            &image.reference,
            "cat",
            "/made",
        ]);
        self.built.push((repository, image));
        made
    }

    async fn clean_up(self) {
        for (repository, image) in self.built {
            repository.clean_up(&[image]).await;
        }
    }
}

/// Docker compares the arguments of a step that has any.
const SAME: (&str, &str) = ("MODE", "same");
const RANDOM: &str = "/bin/busybox cat /proc/sys/kernel/random/uuid > /made";

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_does_not_get_what_another_ones_step_made() {
    let mut twins = Twins::new(RANDOM);
    let (victim, thief) = (own("acme/twin"), own("evil/twin"));
    let key = twins.made(&victim, "pr-1", Trust::Preview, "one").await;
    assert_eq!(key.len(), 36, "{key}");
    for (stage, trust) in [("pr-1", Trust::Preview), ("prod", Trust::Permanent), ("pr-2", Trust::Fork)] {
        assert_ne!(twins.made(&thief, stage, trust, "one").await, key, "{stage}");
    }
    // Its own it finds again, where a later line is another.
    assert_eq!(twins.made(&victim, "pr-1", Trust::Preview, "two").await, key);
    // Its images have the very name in the engine.
    let (owner, name) = victim.rsplit_once('-').expect("an ending");
    let joined = format!("{}/{name}", owner.replace('/', "-"));
    assert_ne!(twins.made(&joined, "pr-1", Trust::Preview, "three").await, key);
    twins.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_fall_from_permanent_stages_to_previews_and_never_rise() {
    let mut twins = Twins::new(RANDOM);
    let repo = own("acme/shelves");
    let fork = twins.made(&repo, "pr-1", Trust::Fork, "one").await;
    let preview = twins.made(&repo, "pr-2", Trust::Preview, "one").await;
    let permanent = twins.made(&repo, "main", Trust::Permanent, "one").await;
    assert!(fork != preview && preview != permanent && permanent != fork, "{fork} {preview} {permanent}");
    // Each finds its own again, a permanent stage that of another one; no fork another's.
    assert_eq!(twins.made(&repo, "pr-1", Trust::Fork, "two").await, fork);
    assert_eq!(twins.made(&repo, "pr-2", Trust::Preview, "two").await, preview);
    assert_eq!(twins.made(&repo, "prod", Trust::Permanent, "two").await, permanent);
    let other = twins.made(&repo, "pr-3", Trust::Fork, "two").await;
    assert!(![fork, preview, permanent].contains(&other), "{other}");
    twins.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_begins_with_what_a_permanent_stage_built() {
    let mut twins = Twins::new(RANDOM);
    let repo = own("acme/falls");
    let permanent = twins.made(&repo, "main", Trust::Permanent, "one").await;
    assert_eq!(twins.made(&repo, "pr-1", Trust::Preview, "two").await, permanent);
    assert_ne!(twins.made(&repo, "pr-2", Trust::Fork, "two").await, permanent);
    twins.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_leaves_no_poison_for_a_preview() {
    // Docker does not compare this argument, whatever the step makes of it.
    let commands = "echo ${HTTP_PROXY:-clean} > /made";
    let mut twins = Twins::new(commands);
    let repo = own("acme/poisoned");
    let poison = [SAME, ("HTTP_PROXY", "http://evil.example")];
    let fork = twins.made_with(&repo, "pr-1", Trust::Fork, "one", &poison).await;
    assert_eq!(fork, "http://evil.example");
    assert_eq!(twins.made(&repo, "pr-2", Trust::Preview, "two").await, "clean");
    assert_eq!(twins.made(&repo, "main", Trust::Permanent, "three").await, "clean");
    twins.clean_up().await;
    // A preview leaves none for a permanent stage.
    let mut twins = Twins::new(commands);
    let preview = twins.made_with(&repo, "pr-2", Trust::Preview, "one", &poison).await;
    assert_eq!(preview, "http://evil.example");
    assert_eq!(twins.made(&repo, "main", Trust::Permanent, "two").await, "clean");
    twins.clean_up().await;
}
