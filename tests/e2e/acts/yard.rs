//! A repository whose workflows run: GitHub, a runner, an issuer of identity tokens, and the verbs of people.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use greenroom::app::SystemClock;
use greenroom::model::{CommitSha, PullNumber, RepoName};
use greenroom::port::Clock as _;
use greenroom::sandbox::{FileChange, HookDelivery, JobOf, NewPull, Sandbox, SandboxSettings, WebhookTarget};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::event::Event;
use super::issuer::Issuer;
use super::runner::{Job, Run, Runner, processes_with};
use super::told::Told;
use super::workflow::Workflow;
use crate::hang::{self, PATIENCE};
use crate::openapi::Description;
use crate::own::own;

const WORKFLOWS: &str = ".github/workflows/";

pub(crate) struct Yard {
    pub(crate) github: Sandbox,
    pub(crate) repo: RepoName,
    pub(crate) runner: Runner,
    pub(crate) issuer: Issuer,
    /// Set by [`Self::open`].
    pub(crate) pull: PullNumber,
    /// The action that the workflows use, by whatever name.
    action: PathBuf,
    /// More in the environment of every run.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The repository's variables, `vars`.
    pub(crate) settings: Vec<(&'static str, String)>,
    runs: AtomicU64,
    folder: TempDir,
}

impl Yard {
    /// A repository with these files, given the test's folder, and the action that its workflows use, laid into a
    /// folder.
    pub(crate) async fn begin(
        files: impl FnOnce(&Path) -> Vec<FileChange>,
        action: impl FnOnce(&Path, &Runner),
    ) -> Self {
        hang::watch();
        let folder = TempDir::new().expect("a folder");
        let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
        let repo = github.create_repo(&own("acme/acts_shop.web"), files(folder.path())).expect("a repository");
        github.set_webhook(listener().await);
        let runner = Runner::new(&folder.path().join("runner"));
        let place = folder.path().join("action");
        action(&place, &runner);
        Self {
            github,
            repo,
            runner,
            issuer: Issuer::start().await,
            pull: PullNumber(0),
            action: place,
            environment: Vec::new(),
            settings: Vec::new(),
            runs: AtomicU64::new(1000),
            folder,
        }
    }

    /// Of the test, whose programs keep their journal here.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the pull request with one commit.
    pub(crate) async fn open(&mut self, app: &str) -> Event {
        let opened = self.open_from("topic", app).await;
        self.pull = PullNumber(opened.body["number"].as_u64().expect("a number"));
        opened
    }

    /// Opens another pull request.
    pub(crate) async fn open_from(&self, branch: &str, app: &str) -> Event {
        self.github.push(&self.repo, branch, [("app", app)], &format!("Make it {app}")).expect("a commit");
        self.github.open_pull(&self.repo, branch, "A change").expect("a pull request");
        self.heard("pull_request").await
    }

    /// Opens a pull request whose commit is in somebody else's copy of the repository.
    pub(crate) async fn open_from_fork(&mut self, person: &str, app: &str) -> Event {
        let fork = self.github.fork(&self.repo, person).expect("a fork");
        self.github.push(&fork, "topic", [("app", app)], &format!("Make it {app}")).expect("a commit");
        let wish =
            NewPull { head_repo: Some(fork), author: person.to_owned(), ..NewPull::new("topic", "From elsewhere") };
        self.pull = self.github.open(&self.repo, wish).expect("a pull request");
        self.heard("pull_request").await
    }

    /// Pushes one more commit to it.
    pub(crate) async fn push(&self, app: &str) -> Event {
        self.github.push(&self.repo, "topic", [("app", app)], &format!("Make it {app}")).expect("a commit");
        self.heard("pull_request").await
    }

    /// Pushes to a branch that no pull request is about.
    pub(crate) async fn push_to(&self, branch: &str, app: &str) -> Event {
        self.github.push(&self.repo, branch, [("app", app)], &format!("Make it {app}")).expect("a commit");
        self.heard("push").await
    }

    pub(crate) async fn close(&self) -> Event {
        self.github.close_pull(&self.repo, self.pull).expect("it closes");
        self.heard("pull_request").await
    }

    /// Somebody writes a comment, in another second than whatever happened before: GitHub tells the time of
    /// comments in whole seconds, and what came in the same one nobody can have seen.
    pub(crate) async fn comment(&self, person: &str, text: &str) -> Event {
        let second = || SystemClock.now().0.div_euclid(1000);
        let before = second();
        self.until("the second is over", async || second() > before).await;
        self.github.comment(&self.repo, self.pull, person, text).expect("a comment");
        self.heard("issue_comment").await
    }

    /// The newest event of this name that starts workflows, as GitHub told it.
    pub(crate) async fn heard(&self, name: &str) -> Event {
        self.github.deliveries_settled().await;
        let deliveries = self.github.deliveries();
        let counts = |sent: &&HookDelivery| sent.event == name && !sent.redelivery && sent.starts_workflows;
        let told = deliveries.iter().rev().find(counts);
        Event::sent(told.unwrap_or_else(|| panic!("GitHub told of no {name}")))
    }

    /// Runs the workflow that this event starts; there is exactly one.
    pub(crate) async fn happens(&self, event: &Event) -> Told {
        self.begins(event).ended().await
    }

    /// Starts it.
    pub(crate) fn begins(&self, event: &Event) -> Run {
        let mut started = self.started_by(event);
        let files: Vec<&str> = started.iter().map(|workflow| workflow.file.as_str()).collect();
        assert_eq!(files.len(), 1, "{} {:?} starts {files:?}", event.name, event.action());
        let workflow = started.pop().expect("there is one");
        self.start(&workflow, event)
    }

    /// The workflows that an event starts, as GitHub finds them: those of the commit that it is about for a push and a
    /// pull request, else the default branch's.
    pub(crate) fn started_by(&self, event: &Event) -> Vec<Workflow> {
        let (_, sha) = event.place(&self.github, &self.repo);
        let sha = CommitSha::new(sha).expect("a commit");
        let files = self.github.files_at(&sha, WORKFLOWS).into_iter();
        let read = |(path, bytes): (String, Arc<[u8]>)| {
            Workflow::new(path.strip_prefix(WORKFLOWS).unwrap_or(&path), &String::from_utf8_lossy(&bytes))
        };
        let branch = if event.name == "push" { event.branch() } else { None };
        files.map(read).filter(|workflow| workflow.starts_for(&event.name, event.action(), branch)).collect()
    }

    /// Starts one workflow, whatever starts it.
    pub(crate) fn start(&self, workflow: &Workflow, event: &Event) -> Run {
        self.start_as(workflow, &workflow.readable(), event)
    }

    /// The same, with this in its place.
    pub(crate) fn start_as(&self, workflow: &Workflow, text: &str, event: &Event) -> Run {
        let number = self.runs.fetch_add(1, Ordering::SeqCst);
        let (reference, sha) = event.place(&self.github, &self.repo);
        let may = workflow.permissions();
        let of = if event.is_of_a_fork() { JobOf::Fork } else { JobOf::Repository };
        let lines: Vec<String> = may.iter().map(|(name, level)| format!("{name}: {level}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.starts_with("id-token")).collect();
        let token = self.github.job_token(&self.repo, &lines, of).expect("what a workflow can grant");
        let mut variables = self.variables(workflow, event, number);
        variables.extend([("GITHUB_REF", reference), ("SHA_REF", sha.clone())]);
        if may.contains_key("id-token") && !event.is_of_a_fork() {
            variables.extend(self.issuer.variables(&format!("run-{number}"), self.claims(workflow, event)));
        }
        variables.extend(self.environment.iter().cloned());
        let actions = workflow.uses().into_iter().map(|name| (name, self.action.clone())).collect();
        let files = self.github.files_at(&CommitSha::new(sha).expect("a commit"), "");
        self.runner.start(&Job {
            path: &workflow.path(),
            text,
            event: &event.name,
            body: &event.body,
            actor: event.actor(),
            variables,
            secrets: vec![("GITHUB_TOKEN", token.expose_secret().to_owned())],
            settings: self.settings.clone(),
            actions,
            files: files.into_iter().map(|(path, bytes)| (path, bytes.to_vec())).collect(),
        })
    }

    /// What GitHub says of a run beside its event. Source: GitHub, "Variables reference".
    fn variables(&self, workflow: &Workflow, event: &Event, number: u64) -> Vec<(&'static str, String)> {
        let base = self.github.api_url().to_owned();
        vec![
            ("GITHUB_API_URL", base.clone()),
            ("GITHUB_SERVER_URL", base),
            ("GITHUB_REPOSITORY", self.repo.to_string()),
            ("GITHUB_REPOSITORY_ID", self.number().to_string()),
            ("GITHUB_REPOSITORY_OWNER", self.repo.owner().to_owned()),
            ("GITHUB_RUN_ID", number.to_string()),
            ("GITHUB_RUN_NUMBER", (number - 999).to_string()),
            ("GITHUB_RUN_ATTEMPT", "1".into()),
            ("GITHUB_TRIGGERING_ACTOR", event.actor().to_owned()),
            ("GITHUB_WORKFLOW_REF", self.workflow_reference(workflow, event)),
            ("RUNNER_ENVIRONMENT", "self-hosted".into()),
        ]
    }

    fn workflow_reference(&self, workflow: &Workflow, event: &Event) -> String {
        let (reference, _) = event.place(&self.github, &self.repo);
        format!("{}/{}@{reference}", self.repo, workflow.path())
    }

    /// What GitHub's issuer says of a run. Source: GitHub, "`OpenID` Connect reference"; the subject is the immutable
    /// one, which new repositories have.
    fn claims(&self, workflow: &Workflow, event: &Event) -> Value {
        let (reference, sha) = event.place(&self.github, &self.repo);
        let about = if event.name == "pull_request" { "pull_request".into() } else { format!("ref:{reference}") };
        json!({
            "sub": format!("repo:{}@1/{}@{}:{about}", self.repo.owner(), self.repo.name(), self.number()),
            "repository": self.repo.to_string(),
            "repository_id": self.number().to_string(),
            "repository_owner": self.repo.owner(),
            "job_workflow_ref": self.workflow_reference(workflow, event),
            "workflow_ref": self.workflow_reference(workflow, event),
            "event_name": event.name,
            "ref": reference,
            "sha": sha,
            "actor": event.actor(),
        })
    }

    /// GitHub's number of the repository.
    pub(crate) fn number(&self) -> u64 {
        self.github.repo_number(&self.repo).expect("the repository is there")
    }

    /// What programs said on the pull request, as people read it: without the backslashes of Markdown.
    pub(crate) fn comments_of_bots(&self) -> Vec<String> {
        let comments = self.github.comments(&self.repo, self.pull).into_iter();
        comments
            .filter(|comment| comment.author.login.ends_with("[bot]"))
            .map(|comment| comment.body.replace('\\', ""))
            .collect()
    }

    /// What of this test still runs: whatever has its folder in its environment, its words or as its place.
    pub(crate) fn left(&self) -> Vec<i32> {
        let folder = self.folder.path().display().to_string();
        let mut left = ["environ", "cmdline"].map(|file| processes_with(file, &folder)).concat();
        left.sort_unstable();
        left.dedup();
        left
    }

    /// Waits for a condition, and says which one never came true.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        hang::note(what);
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The end of every test in which nothing of it is left running.
    pub(crate) async fn finish(self) {
        self.asked_only_what_is_documented();
        self.until("nothing of this test runs any more", async || self.left().is_empty()).await;
    }

    /// The end of one whose stages go on: dropped, it takes them along.
    pub(crate) fn asked_only_what_is_documented(&self) {
        let description = Description::load();
        let exchanges = self.github.requests();
        let api = exchanges.iter().filter(|exchange| !exchange.template.starts_with("/codeload"));
        let problems: Vec<String> = api.flat_map(|exchange| description.problems(exchange)).collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

impl Drop for Yard {
    /// A test that failed leaves no process behind.
    fn drop(&mut self) {
        for pid in self.left() {
            let Some(pid) = rustix::process::Pid::from_raw(pid) else { continue };
            // Gone meanwhile is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Takes every webhook: events reach workflows whether or not an App hears of them too.
async fn listener() -> WebhookTarget {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback can be bound");
    let url = format!("http://{}/webhook", listener.local_addr().expect("bound"));
    let router = Router::new().fallback(async || http::StatusCode::ACCEPTED);
    tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
    WebhookTarget { url, secret: SecretString::from("nobody looks at it") }
}
