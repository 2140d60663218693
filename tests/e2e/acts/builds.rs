//! Images that the repository's own workflow builds: the App asks for a run, act is the runner, and MiniStack has the
//! registry.

use std::path::PathBuf;

use greenroom::app::SystemClock;
use greenroom::model::Permission;
use greenroom::port::Clock as _;
use greenroom::sandbox::{DeliveryMode, FileChange, JobOf, NewPull, Order, Run as Asked};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::runner::{Job, Run, Runner};
use super::told::Told;
use super::workflow::Workflow;
use crate::aws_world::{AwsWorld, CONFIG};
use crate::depth::Depth;

const PATH: &str = ".github/workflows/greenroom-build.yml";

/// The sandbox's commits have names that git would not give them, so that no fetch can bring them: this brings the
/// files of the commit that is fetched, and does nothing else.
const GIT: &str = "\
#!/bin/sh
folder=.
[ \"$1\" = -C ] && folder=$2 && shift 2
[ \"$1\" = -c ] && shift 2
for last; do :; done
case $1 in
    init) mkdir -p \"$last/.git\" ;;
    fetch) [ -n \"$GIT_CONFIG_VALUE_0\" ] && cp -R \"$COMMITS/$last/.\" \"$folder\" ;;
    checkout) ;;
    *) echo \"git stands in for $*\" >&2; exit 1 ;;
esac
";

/// What Docker saves since version 25 is an OCI archive too; the engine of the tests may be older.
const DOCKER: &str = "\
#!/bin/sh
case $1 in
    buildx) exit 1 ;;
    save)
        \"$DOCKER\" save --output \"$3.docker\" \"$4\" && skopeo copy --quiet \"docker-archive:$3.docker\" \"oci-archive:$3\" && rm \"$3.docker\"
        ;;
    *) exec \"$DOCKER\" \"$@\" ;;
esac
";

/// Artifacts as far as the workflow uses them: one file, handed from one job of a run to another.
const UPLOAD: &str = "\
name: Upload
description: Keeps a file for the jobs that follow
inputs: { name: { description: n }, path: { description: p }, if-no-files-found: { description: i }, retention-days: { description: r }, compression-level: { description: c } }
runs:
  using: composite
  steps:
    - { shell: bash, run: 'mkdir -p \"$ARTIFACTS/$GITHUB_RUN_ID\" && cp \"${{ inputs.path }}\" \"$ARTIFACTS/$GITHUB_RUN_ID/\"' }
";
const DOWNLOAD: &str = "\
name: Download
description: Fetches what another job kept
inputs: { name: { description: n }, path: { description: p } }
runs:
  using: composite
  steps:
    - { shell: bash, run: 'mkdir -p \"${{ inputs.path }}\" && cp \"$ARTIFACTS/$GITHUB_RUN_ID/\"* \"${{ inputs.path }}/\"' }
";

/// A shop whose images are built by its own workflow, and a runner.
struct Shop {
    s: AwsWorld,
    runner: Runner,
    folder: TempDir,
}

impl Shop {
    async fn new() -> Self {
        let s = AwsWorld::with(&format!("builder: actions\n{CONFIG}"), Vec::new()).await;
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("workflows/greenroom-build.yml");
        let workflow = std::fs::read_to_string(source).expect("the workflow is text");
        let files = [FileChange::write(PATH, workflow)];
        s.w.github.push(&s.w.repo, "main", files, "Build on runners").expect("a commit");
        let folder = TempDir::new().expect("a folder");
        let runner = Runner::new(&folder.path().join("runner"));
        runner.stand_in("git", GIT);
        runner.stand_in("docker", DOCKER);
        for (name, text) in [("upload", UPLOAD), ("download", DOWNLOAD)] {
            let place = folder.path().join(name);
            std::fs::create_dir_all(&place).expect("a folder");
            std::fs::write(place.join("action.yml"), text).expect("a file");
        }
        // The registry of the tests speaks HTTP, which Docker allows on loopback, and skopeo where it is told so.
        let registries = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", s.aws.registry());
        std::fs::write(folder.path().join("registries.conf"), registries).expect("a file");
        Self { s, runner, folder }
    }

    /// Waits until so many runs were asked for, and answers the newest.
    async fn asked_for(&self, count: usize) -> Asked {
        let runs = || self.s.w.github.runs(&self.s.w.repo);
        self.s.w.until(&format!("{count} runs were asked for: {:#?}", runs()), async || runs().len() >= count).await;
        assert_eq!(runs().len(), count, "{:#?}", runs());
        runs().pop().expect("there is one")
    }

    /// The runner takes a run.
    fn begins(&self, asked: &Asked) -> Run {
        let w = &self.s.w;
        w.github.start_run(&w.repo, asked.id).expect("it waits for a runner");
        let bytes = w.github.file_at(&asked.sha, PATH).expect("the default branch has the workflow");
        let workflow = Workflow::new("greenroom-build.yml", &String::from_utf8_lossy(&bytes));
        let commit = asked.inputs["sha"].clone();
        let commits = self.folder.path().join("commits");
        let sha = greenroom::model::CommitSha::new(&commit).expect("a commit");
        for (path, bytes) in w.github.files_at(&sha, "") {
            let path = commits.join(&commit).join(path);
            std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
            std::fs::write(path, bytes).expect("a file");
        }
        let place = |name: &str| self.folder.path().join(name);
        let actions = workflow.uses().into_iter().map(|name| {
            let stands_in = if name.contains("upload") { "upload" } else { "download" };
            (name, place(stands_in))
        });
        let token =
            w.github.job_token(&w.repo, &["contents: read"], JobOf::Repository).expect("what a workflow can grant");
        let body: Value = json!({ "inputs": asked.inputs, "ref": "refs/heads/main", "workflow": PATH });
        self.runner.start(&Job {
            path: PATH,
            text: &workflow.readable(),
            event: "workflow_dispatch",
            body: &body,
            actor: &asked.starter.login,
            variables: vec![
                ("GITHUB_REF", "refs/heads/main".into()),
                ("SHA_REF", asked.sha.to_string()),
                ("GITHUB_API_URL", w.github.api_url().to_owned()),
                ("GITHUB_SERVER_URL", w.github.api_url().to_owned()),
                ("GITHUB_REPOSITORY", w.repo.to_string()),
                ("GITHUB_RUN_ID", asked.id.to_string()),
                ("COMMITS", commits.display().to_string()),
                ("ARTIFACTS", place("artifacts").display().to_string()),
                ("DOCKER", program("docker")),
                ("DOCKER_BUILDKIT", "0".into()),
                ("CONTAINERS_REGISTRIES_CONF", place("registries.conf").display().to_string()),
            ],
            secrets: vec![("GITHUB_TOKEN", token.expose_secret().to_owned())],
            settings: Vec::new(),
            actions: actions.collect(),
            files: Vec::new(),
        })
    }

    /// The run is over, and GitHub says so.
    async fn ends(&self, asked: &Asked, run: Run) -> Told {
        let told = run.ended().await;
        let conclusion = if told.succeeded() { "success" } else { "failure" };
        let log: Vec<&str> = told.printed.lines().collect();
        self.s.w.github.end_run(&self.s.w.repo, asked.id, conclusion, &log).expect("it goes on");
        told
    }

    /// The runner takes a run, and it succeeds.
    async fn builds(&self, asked: &Asked) {
        let run = self.begins(asked);
        let told = self.ends(asked, run).await;
        assert!(told.succeeded(), "{}", told.all());
    }
}

/// Where the machine has a program.
fn program(name: &str) -> String {
    let path = crate::server::inherited().into_iter().find_map(|(it, value)| (it == "PATH").then_some(value));
    let path = path.expect("there is a PATH");
    let found = path.split(':').map(|folder| PathBuf::from(folder).join(name)).find(|place| place.is_file());
    found.unwrap_or_else(|| panic!("{name} is needed: `tests/run` installs it")).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_has_images_built_by_the_repository_s_own_workflow() {
    let mut shop = Shop::new().await;
    let one = shop.s.w.open("one");
    let asked = shop.asked_for(1).await;
    assert_eq!(asked.inputs["sha"], one.as_str());
    let run = shop.begins(&asked);
    let told = shop.ends(&asked, run).await;
    assert!(told.succeeded(), "{}", told.all());
    shop.s.w.live(&one).await;
    assert_eq!(shop.s.ask().await, (200, "one".into()));
    let name = asked.inputs["image"].rsplit_once(':').expect("a tag").0;
    let pulled = shop.s.aws.images();
    assert!(pulled.iter().any(|line| line.starts_with(name)), "{name}: {pulled:?}");

    // A newer commit takes over from one whose run goes on.
    shop.s.w.push("two");
    let second = shop.asked_for(2).await;
    shop.s.w.github.start_run(&shop.s.w.repo, second.id).expect("it waits for a runner");
    let three = shop.s.w.push("three");
    let third = shop.asked_for(3).await;
    let runs = || shop.s.w.github.runs(&shop.s.w.repo);
    shop.s.w.until("the older run is cancelled", async || runs()[1].asked_to_end == ["cancel"]).await;
    let run = shop.begins(&third);
    let told = shop.ends(&third, run).await;
    assert!(told.succeeded(), "{}", told.all());
    shop.s.w.live(&three).await;
    assert_eq!(shop.s.ask().await, (200, "three".into()));

    // A broken Dockerfile is told by what the run printed.
    let four = shop.s.w.push_all([("app", "four"), ("Dockerfile", "FROM scratch\nCOPY missing /\n")]);
    let fourth = shop.asked_for(4).await;
    let run = shop.begins(&fourth);
    let told = shop.ends(&fourth, run).await;
    assert!(!told.succeeded(), "{}", told.all());
    shop.s.w.comment_says(&format!("failed · `{}`", four.short())).await;
    assert_eq!(shop.s.ask().await, (200, "three".into()));

    shop.s.w.close();
    shop.s.nothing_is_left().await;
    shop.s.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_commit_is_built_with_no_cache_and_by_the_default_branchs_workflow_once_it_is_approved() {
    let mut shop = Shop::new().await;
    let w = &mut shop.s.w;
    w.github.set_permission(&w.repo, "ada", Permission::Write);
    let fork = w.github.fork(&w.repo, "mallory").expect("a fork");
    let files = [("app", "one"), (PATH, "name: Mine\non: workflow_dispatch\n")];
    let one = w.github.push(&fork, "topic", files, "Make it one").expect("a commit");
    let wish = NewPull { head_repo: Some(fork), author: "mallory".into(), ..NewPull::new("topic", "From elsewhere") };
    w.pull = w.github.open(&w.repo, wish).expect("a pull request");
    let approve = format!("/approve {one}");
    w.comment_says(&approve).await;
    assert_eq!(w.github.runs(&w.repo), Vec::new(), "nobody approved it yet");
    // GitHub tells the time of a comment in whole seconds; what came in the same one its author cannot have seen.
    let second = || SystemClock.now().0.div_euclid(1000);
    let before = second();
    w.until("the second is over", async || second() > before).await;
    w.github.comment(&w.repo, w.pull, "ada", &approve).expect("a comment");

    let asked = shop.asked_for(1).await;
    let input = |name: &str| asked.inputs[name].as_str();
    assert_eq!((input("sha"), input("trust"), input("cache")), (one.as_str(), "fork", ""));
    let main = shop.s.w.github.branch_head(&shop.s.w.repo, "main");
    assert_eq!((Some(&asked.sha), asked.name.as_str()), (main.as_ref(), "Greenroom build"), "not the fork's own");
    shop.builds(&asked).await;
    shop.s.w.live(&one).await;
    assert_eq!(shop.s.ask().await, (200, "one".into()));
    shop.s.w.close();
    shop.s.nothing_is_left().await;
    shop.s.finish().await;
}

/// What becomes of the webhooks that tell of a run.
const MODES: [DeliveryMode; 3] = [DeliveryMode::Drop, DeliveryMode::Duplicate, DeliveryMode::Hold];

/// Each of them has a test; the everyday run tells one, because what was lost is asked for after a minute alone.
async fn webhooks_of_a_run_are(mode: DeliveryMode) {
    if !Depth::of_this_run().of("webhooks of a build's run", &MODES).contains(&mode) {
        return;
    }
    let mut shop = Shop::new().await;
    let one = shop.s.w.open("one");
    let asked = shop.asked_for(1).await;
    shop.s.w.github.set_delivery_mode(mode);
    shop.builds(&asked).await;
    shop.s.w.live(&one).await;
    assert_eq!(shop.s.ask().await, (200, "one".into()));
    shop.s.w.github.set_delivery_mode(DeliveryMode::Send);
    shop.s.w.github.release_deliveries(Order::Reversed);

    let two = shop.s.w.push("two");
    let asked = shop.asked_for(2).await;
    assert_eq!(asked.inputs["sha"], two.as_str());
    shop.builds(&asked).await;
    shop.s.w.live(&two).await;
    assert_eq!(shop.s.ask().await, (200, "two".into()));
    let runs = shop.s.w.github.runs(&shop.s.w.repo);
    assert!(runs.len() == 2 && runs.iter().all(|run| run.asked_to_end.is_empty()), "{runs:#?}");
    shop.s.w.close();
    shop.s.nothing_is_left().await;
    shop.s.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_a_run_may_be_lost() {
    webhooks_of_a_run_are(DeliveryMode::Drop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_a_run_may_come_twice() {
    webhooks_of_a_run_are(DeliveryMode::Duplicate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_of_a_run_may_come_late_and_in_another_order() {
    webhooks_of_a_run_are(DeliveryMode::Hold).await;
}
