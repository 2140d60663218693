//! A server in a process of its own, with the sandbox as GitHub and processes of this machine behind
//! its proxy.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use greenroom::app::SystemClock;
use greenroom::model::{Chore, Lane, RepoName, StageId};
use greenroom::port::{Clock as _, LaneState};
use greenroom::sandbox::{Exchange, FileChange, Sandbox, SandboxSettings};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use crate::bench::{Bench, Said};
use crate::hang;
use crate::hang::PATIENCE;
use crate::program;

/// A bench with a GitHub and a server.
pub(crate) struct Served {
    pub(crate) bench: Bench,
    pub(crate) github: Sandbox,
    pub(crate) repo: RepoName,
    server: Child,
}

/// The configuration, with some variables for the program.
pub(crate) fn config(env: &str) -> FileChange {
    let command = serde_json::to_string(&program::command()).expect("a command");
    let text = format!(
        r#"version: 1
app: shop
stages:
  staging: {{ on: {{ push: staging }} }}
  "pr-{{number}}": {{ on: {{ pull_request: {{}} }} }}
services:
  web:
    kind: ecs
    host: "@"
    port: 3000
    health: {{ path: /health, interval: 1s, timeout: 1s, healthy: 1 }}
    drain: 1s
    env: {{ {env} }}
    local: {{ command: {command} }}
"#
    );
    FileChange::write(".github/greenroom.yml", text)
}

pub(crate) async fn next(lines: &mut Lines<BufReader<ChildStderr>>, what: &str) -> String {
    hang::note(&format!("the program says {what:?}"));
    let mut seen = String::new();
    let found = tokio::time::timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.expect("its output can be read") {
            if line.contains(what) {
                return Some(line);
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        None
    });
    found.await.ok().flatten().unwrap_or_else(|| panic!("waited in vain for {what:?}; it said:\n{seen}"))
}

/// In the line that says where a server listens: where its stages answer.
fn port_of_stages(line: &str) -> &str {
    let (_, port) = line.split_once("stages at http://<stage>.localhost:").expect("stages run on this machine");
    port.trim()
}

/// All that a server of this machine needs to be told, but for the webhook's secret.
pub(crate) fn settings(bench: &mut Bench, github: &Sandbox) {
    for (name, value) in [
        ("GREENROOM_DATABASE_URL", bench.database()),
        ("GREENROOM_DATA", bench.folder().join("data").display().to_string()),
        ("GREENROOM_LISTEN", "127.0.0.1:0".into()),
        ("GREENROOM_OPS_LISTEN", "127.0.0.1:0".into()),
        ("GREENROOM_PROXY_LISTEN", "127.0.0.1:0".into()),
        ("GREENROOM_GITHUB_API_URL", github.api_url().into()),
        ("GREENROOM_GITHUB_APP_ID", github.app_id().to_string()),
        ("GREENROOM_GITHUB_PRIVATE_KEY", github.private_key_pem().expose_secret().into()),
        ("GREENROOM_TARGET", "local".into()),
        ("GREENROOM_ALLOW", "acme/shop".into()),
    ] {
        bench.env(name, value);
    }
}

impl Served {
    pub(crate) async fn new() -> Self {
        let mut bench = Bench::new();
        let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
        let repo = github.create_repo("acme/shop", [config("NAME: one")]).expect("a repository");
        settings(&mut bench, &github);
        let mut serve = bench.command(&["serve"]);
        serve.env("GREENROOM_WEBHOOK_SECRET", "a secret of the tests");
        let mut server = serve.stdout(Stdio::null()).spawn().expect("the server starts");
        let mut lines = BufReader::new(server.stderr.take().expect("its words are read")).lines();
        let listening = next(&mut lines, "webhooks at http://").await;
        // Other commands show addresses of stages too.
        let port = port_of_stages(&listening);
        bench.env("GREENROOM_PROXY_LISTEN", format!("127.0.0.1:{port}"));
        bench.replace(format!(":{port}"), "port");
        // The rest is read too, so that the server never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let world = Self { bench, github, repo, server };
        world.has_looked().await;
        world
    }

    /// Until the server has looked through the repositories for what it missed, as it does when it begins: what
    /// is committed from now on, nobody but a command tells it.
    async fn has_looked(&self) {
        hang::note("the server has looked for what it missed");
        let store = greenroom::store::open(&self.bench.database()).await.expect("the database");
        let lists = |exchange: &Exchange| exchange.template == "/installation/repositories";
        let lanes = [Lane::Chore(Chore::Reconcile), Lane::Repo(self.repo.clone())];
        let mut begun = false;
        loop {
            begun |= self.github.requests().iter().any(lists);
            let mut rests = begun;
            // The first gives the second its work before it rests.
            for lane in &lanes {
                rests = rests && store.lane_state(lane, SystemClock.now()).await.ok() == Some(LaneState::AtRest);
            }
            if rests {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn run(&self, args: &str) -> Said {
        let mut args: Vec<&str> = args.split_whitespace().collect();
        if matches!(args[0], "deploy" | "destroy") {
            // A busy machine may take longer than the default before the server looks.
            args.extend(["--taken-up-within", "90s"]);
        }
        tokio::time::timeout(PATIENCE, self.bench.run(&args)).await.expect("the command ends")
    }

    /// What a command that follows said, without what it saw only if it looked in time.
    pub(crate) async fn follow(&self, args: &str) -> String {
        let passing = regex::Regex::new(r"(?m)^[a-z0-9-]+ is (building|deploying|checking|waiting|being) .*\n")
            .expect("a pattern");
        passing.replace_all(self.run(args).await.all(), "").into_owned()
    }

    /// Commits to a branch and answers nothing: its name is shown as `[name]` from now on.
    pub(crate) fn commit(&mut self, branch: &str, change: FileChange, name: &str) {
        let sha = self.github.commit(&self.repo, branch, [change], name).expect("a commit");
        self.bench.replace(sha.as_str(), &format!("{name} in full"));
        self.bench.replace(sha.short(), name);
    }

    /// The plan of a stage's newest deploy, as the server keeps it.
    pub(crate) async fn newest_plan(&self, stage: &str) -> serde_json::Value {
        let store = greenroom::store::open(&self.bench.database()).await.expect("the database");
        let id = StageId { repo: self.repo.clone(), name: stage.parse().expect("a stage") };
        let newest = store.deploys(&id, 1).await.expect("it can be read").pop().expect("there was a deploy");
        serde_json::to_value(newest.plan).expect("a plan is JSON")
    }

    /// Stops the server as an operator does, everything of its stages having gone before.
    pub(crate) async fn stop(mut self) {
        let pid = self.server.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be stopped");
        let ended = tokio::time::timeout(PATIENCE, self.server.wait()).await.expect("it stops").expect("it ran");
        assert_eq!(ended.code(), Some(0));
    }
}
