//! The world of a test as one value, and its verbs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::app::SystemClock;
use greenroom::model::{CommitSha, PullNumber, RepoName};
use greenroom::sandbox::{FileChange, Sandbox, SandboxSettings, WebhookTarget};
use secrecy::SecretString;
use tempfile::TempDir;

use crate::clients::{self, Load};
use crate::database::{self, Database, Line};
use crate::hang;
use crate::hang::PATIENCE;
use crate::openapi::Description;
use crate::own::own;
use crate::program::{self, FOLDER};
use crate::server::{Home, SECRET, Server};

/// A GitHub with a repository, and a server on a folder of its own.
pub(crate) struct World {
    pub(crate) github: Sandbox,
    pub(crate) repo: RepoName,
    pub(crate) home: Home,
    /// Set by [`Self::open`].
    pub(crate) pull: PullNumber,
    server: Option<Server>,
    _folder: TempDir,
}

/// The configuration of an app whose services run as processes: one with an address and a migration,
/// and a worker.
pub(crate) fn processes(folder: &Path) -> String {
    processes_with(folder, "", "")
}

/// The same, with these lines before the services, and these within `web`.
pub(crate) fn processes_with(folder: &Path, head: &str, of_web: &str) -> String {
    let command = |program: &str| serde_json::to_string(&program::command(program)).expect("words");
    format!(
        r#"
version: 1
app: shop
{head}services:
  web:
    kind: ecs
    host: "@"
    port: 8080
    health: {{ path: /health, interval: 1s, timeout: 1s, healthy: 1, unhealthy: 3 }}
    env: {{ {FOLDER}: "{folder}" }}
{of_web}    migrate: {{ command: {migration} }}
    drain: 30s
    local: {{ command: {web} }}
  worker:
    kind: ecs
    env: {{ {FOLDER}: "{folder}" }}
    drain: 30s
    local: {{ command: {worker} }}
"#,
        folder = folder.display(),
        migration = command("migration"),
        web = command("web"),
        worker = command("worker"),
    )
}

impl World {
    /// A server that may run a repository of processes.
    pub(crate) async fn of_processes() -> Self {
        Self::begin(|folder| vec![FileChange::write(".github/greenroom.yml", processes(folder))]).await
    }

    /// The same, on this database.
    pub(crate) async fn of_processes_on(database: Database) -> Self {
        let files = |folder: &Path| vec![FileChange::write(".github/greenroom.yml", processes(folder))];
        Self::begin_on(database, "", Vec::new(), files).await
    }

    /// The configuration of [`Self::of_processes`], with one copy of `web` watched for so long.
    pub(crate) fn with_canary(&self, span: &str) -> String {
        processes(&self.home.folder).replace("    port: 8080\n", &format!("    port: 8080\n    canary: {span}\n"))
    }

    /// A server that may run the repository with these files, given the test's folder.
    pub(crate) async fn begin(files: impl FnOnce(&Path) -> Vec<FileChange>) -> Self {
        Self::begin_in(Vec::new(), files).await
    }

    /// The same, with more in the server's environment.
    pub(crate) async fn begin_in(
        environment: Vec<(&'static str, String)>,
        files: impl FnOnce(&Path) -> Vec<FileChange>,
    ) -> Self {
        Self::begin_behind("", environment, files).await
    }

    /// The same, after a shell has done something.
    pub(crate) async fn begin_behind(
        before: &str,
        environment: Vec<(&'static str, String)>,
        files: impl FnOnce(&Path) -> Vec<FileChange>,
    ) -> Self {
        Self::begin_on(Database::Sqlite, before, environment, files).await
    }

    /// The same, on this database.
    pub(crate) async fn begin_on(
        database: Database,
        before: &str,
        environment: Vec<(&'static str, String)>,
        files: impl FnOnce(&Path) -> Vec<FileChange>,
    ) -> Self {
        hang::watch();
        let folder = TempDir::new().expect("a folder");
        let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
        // Tests share a Docker engine: none may take another's images and containers for its own.
        let name = own("acme/e2e_shop.web");
        let repo = github.create_repo(&name, files(folder.path())).expect("a repository");
        let home = Home {
            folder: folder.path().to_path_buf(),
            store: database,
            addresses: None,
            allow: name,
            environment,
            before: before.to_owned(),
        };
        let pull = PullNumber(0);
        let mut world = Self { github, repo, home, pull, server: None, _folder: folder };
        world.start_server().await;
        let looked = async || world.github.counts().of(&http::Method::GET, "/app/hook/deliveries") > 0;
        world.until("the server has looked for deliveries that it missed", looked).await;
        world
    }

    /// Starts the server, at the addresses that it had before.
    pub(crate) async fn start_server(&mut self) {
        let server = Server::start(&self.home, &self.github).await;
        self.home.addresses = Some((server.door, server.proxy));
        self.github.set_webhook(WebhookTarget {
            url: format!("http://{}/webhook", server.door),
            secret: SecretString::from(SECRET),
        });
        self.server = Some(server);
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("the server runs")
    }

    /// Hands the server over, to end it by other means.
    pub(crate) fn take_server(&mut self) -> Server {
        self.server.take().expect("the server runs")
    }

    /// SIGKILL. GitHub knows by then what has not arrived, and whoever comes next need not wait for the dead
    /// one's leases.
    pub(crate) async fn kill_server(&mut self) {
        self.take_server().kill().await;
        self.github.deliveries_settled().await;
        if let Database::Postgres(url) = &self.home.store {
            database::let_leases_run_out(url).await;
        }
    }

    /// Opens the pull request with one commit.
    pub(crate) fn open(&mut self, app: &str) -> CommitSha {
        let sha = self.push(app);
        self.pull = self.github.open_pull(&self.repo, "topic", "A change").expect("a pull request");
        sha
    }

    /// Pushes a commit whose file `app` says this.
    pub(crate) fn push(&self, app: &str) -> CommitSha {
        self.push_all([("app", app)])
    }

    /// Pushes a commit with these files.
    pub(crate) fn push_all<const N: usize>(&self, files: [(&str, &str); N]) -> CommitSha {
        let message = format!("Make it {}", files[0].1);
        self.github.push(&self.repo, "topic", files, &message).expect("a commit")
    }

    pub(crate) fn close(&self) {
        self.github.close_pull(&self.repo, self.pull).expect("it closes");
    }

    /// The stage's host with its port, as a browser sends it.
    pub(crate) fn host(&self) -> String {
        format!("pr-{}.localhost:{}", self.pull, self.proxy().port())
    }

    pub(crate) fn proxy(&self) -> std::net::SocketAddr {
        let (_, proxy) = self.home.addresses.expect("the server has run");
        proxy.expect("the stages run on this machine")
    }

    /// Asks the stage through the proxy; what breaks counts as status 0.
    pub(crate) async fn ask(&self, path: &str) -> (u16, String) {
        clients::get(self.proxy(), &self.host(), path).await.unwrap_or_else(|error| (0, error))
    }

    pub(crate) async fn load(&self) -> Load {
        Load::start(self.proxy(), &self.host(), 4).await
    }

    /// The comment, once there is one; two are a mistake.
    pub(crate) fn comment(&self) -> Option<String> {
        self.comment_of(&self.repo, self.pull)
    }

    /// As people read it: without the backslashes of Markdown.
    pub(crate) fn comment_of(&self, repo: &RepoName, pull: PullNumber) -> Option<String> {
        let mut comments = self.github.comments(repo, pull);
        comments.retain(|comment| comment.body.starts_with("<!-- greenroom:"));
        assert!(comments.len() <= 1, "one comment, edited in place: {comments:#?}");
        comments.pop().map(|comment| comment.body.replace('\\', ""))
    }

    /// What was answered to commands, oldest first, without the backslashes of Markdown.
    pub(crate) fn answers(&self) -> Vec<String> {
        let bodies = self.github.comments(&self.repo, self.pull).into_iter().map(|comment| comment.body);
        bodies.filter(|body| body.starts_with("<!-- greenroom receipt")).map(|body| body.replace('\\', "")).collect()
    }

    /// Waits until the comment says this.
    pub(crate) async fn comment_says(&self, text: &str) -> String {
        self.until(&format!("the comment says {text:?}"), async || {
            self.comment().is_some_and(|comment| comment.contains(text))
        })
        .await;
        self.comment().unwrap_or_default()
    }

    /// Waits until the comment calls a commit live and everything about it is shown.
    pub(crate) async fn live(&self, sha: &CommitSha) {
        self.comment_says(&format!("is live · `{}`", sha.short())).await;
        let done = [("check", "success"), ("deployment", "success")].map(|(what, state)| format!("{what} {state}"));
        self.until("check and deployment say so too", async || self.shown(sha) == done).await;
    }

    /// What check and deployment of a commit say.
    pub(crate) fn shown(&self, sha: &CommitSha) -> Vec<String> {
        let checks = self.github.checks(&self.repo, sha);
        let checks = checks.iter().map(|check| format!("check {}", check.conclusion.as_ref().unwrap_or(&check.status)));
        let deployments = self.github.deployments(&self.repo);
        let deployments = deployments.iter().filter(|made| made.sha == *sha);
        checks.chain(deployments.map(|made| format!("deployment {}", made.state()))).collect()
    }

    /// What the programs did, in order.
    pub(crate) fn journal(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.home.folder.join("journal")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a program has done this.
    pub(crate) async fn journaled(&self, line: &str) {
        self.until(&format!("the journal says {line:?}"), async || self.journal().iter().any(|it| it == line)).await;
    }

    /// Opens the gate that programs may wait at.
    pub(crate) fn open_gate(&self) {
        std::fs::write(self.home.folder.join("gate"), "").expect("a file");
    }

    pub(crate) async fn steps(&self) -> Vec<Line> {
        database::steps(&self.home.database_url()).await
    }

    /// Waits until the newest deploy's step is under way, and comes back at once.
    pub(crate) async fn step_began(&self, deploy: i64, step: &str) {
        hang::note(&format!("step {step} of deploy {deploy} begins"));
        let begun = Instant::now();
        let mut open = database::open(&self.home.database_url()).await;
        let is_it = |line: &Line| line.deploy == deploy && line.step.starts_with(step);
        while !database::steps_by(&mut open).await.iter().any(is_it) {
            if begun.elapsed() > PATIENCE {
                self.fail(&format!("step {step} of deploy {deploy} begins"));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The living programs of this test, by reading the process list.
    pub(crate) fn programs(&self) -> Vec<i32> {
        let mark = format!("{FOLDER}={}\0", self.home.folder.display());
        let processes = std::fs::read_dir("/proc").expect("a process list").flatten();
        processes
            .filter(|process| lives_with(&process.path(), mark.as_bytes()))
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// Files of the data folder that belong to a stage: what is left of it.
    pub(crate) fn files(&self) -> Vec<String> {
        crate::server::files_below(&self.home.data())
    }

    /// Waits until nothing of the stage is left: by the process list, the file system, the database
    /// and GitHub.
    pub(crate) async fn nothing_is_left(&self) {
        self.comment_says("Destroyed at").await;
        assert!(self.comment().is_some_and(|comment| comment.contains(", 0 of ")), "{:?}", self.comment());
        self.until("the environment goes", async || self.github.environments(&self.repo).is_empty()).await;
        let stages = database::stages(&self.home.database_url()).await;
        let gone = format!("pr-{}: gone", self.pull);
        assert!(!stages.is_empty() && stages.iter().all(|stage| *stage == gone), "{stages:?}");
        assert_eq!(self.programs(), Vec::<i32>::new(), "programs are left");
        assert_eq!(self.files(), EMPTY_DATA, "files are left");
        assert_eq!(self.ask("/").await.0, 404, "the host answers still");
        let states = self.github.deployments(&self.repo);
        assert!(states.iter().all(|made| made.state() == "inactive"), "{states:#?}");
    }

    /// The end of every test: the server stops cleanly, and has asked GitHub nothing that GitHub does
    /// not document.
    pub(crate) async fn finish(mut self) {
        let server = self.take_server();
        server.ask_to_stop();
        let ended = server.stopped().await;
        assert!(ended.success(), "the server ended with {ended}:\n{}", self.home.log());
        let description = Description::load();
        let exchanges = self.github.requests();
        assert!(!exchanges.is_empty(), "GitHub was asked nothing");
        let api = exchanges.iter().filter(|exchange| !exchange.template.starts_with("/codeload"));
        let problems: Vec<String> = api.flat_map(|exchange| description.problems(exchange)).collect();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        for delivery in self.github.deliveries() {
            let body = serde_json::from_slice(&delivery.body).expect("JSON");
            let problems = description.webhook_problems(&delivery.event, delivery.action.as_deref(), &body);
            assert!(problems.is_empty(), "{}", problems.join("\n"));
        }
        let log = self.home.log();
        assert!(!log.contains("ERROR") && !log.contains("panicked"), "the server logged an error:\n{log}");
    }

    /// Waits for a condition, and says which one never came true, with the server's log.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        hang::note(what);
        let begun = Instant::now();
        while !holds().await {
            if begun.elapsed() > PATIENCE {
                self.fail(what);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn fail(&self, what: &str) -> ! {
        panic!(
            "waited in vain until {what}\ncomment: {:?}\njournal: {:?}\nserver's log:\n{}",
            self.comment(),
            self.journal(),
            self.home.log()
        )
    }
}

/// What a server without stages keeps in its data folder.
const EMPTY_DATA: [&str; 7] =
    ["build", "build/running", "build/stages", "image-key", "local", "local/lock", "local/stages"];

impl Drop for World {
    /// A test that failed leaves no program behind.
    fn drop(&mut self) {
        for pid in self.programs() {
            let Some(pid) = rustix::process::Pid::from_raw(pid) else { continue };
            // Gone meanwhile is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Whether a process lives and has the mark in its environment.
fn lives_with(process: &Path, mark: &[u8]) -> bool {
    let Ok(stat) = std::fs::read_to_string(process.join("stat")) else { return false };
    let is_zombie = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
    let environ = std::fs::read(PathBuf::from(process).join("environ")).unwrap_or_default();
    !is_zombie && environ.windows(mark.len()).any(|window| window == mark)
}
