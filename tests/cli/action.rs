//! `greenroom action`: steps of workflows against the sandbox GitHub, their stages on this machine.
//!
//! Each run is a process of its own with nothing but a runner's environment; the event file is what the sandbox
//! would have sent as a webhook.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::app::SystemClock;
use greenroom::model::{Permission, PullNumber, RepoName};
use greenroom::sandbox::{FileChange, HookDelivery, Sandbox, SandboxSettings, WebhookTarget};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::bench::Bench;
use crate::hang::{self, PATIENCE};
use crate::server::config;

/// A repository on the sandbox GitHub, and a runner of its own.
struct Workflow {
    bench: Bench,
    github: Sandbox,
    repo: RepoName,
    runs: u64,
}

/// How a run ended.
struct Ran {
    code: Option<i32>,
    log: String,
    output: Vec<(String, String)>,
    summary: String,
    took: Duration,
}

impl Ran {
    fn get(&self, name: &str) -> &str {
        let found: Vec<&str> =
            self.output.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect();
        assert!(found.len() == 1, "{name} is there {} times: {:?}\n{}", found.len(), self.output, self.log);
        found[0]
    }

    fn result(&self) -> Value {
        serde_json::from_str(self.get("result")).expect("one JSON document")
    }

    /// What the runner would take for a command.
    fn commands(&self) -> Vec<&str> {
        self.log.lines().filter(|line| line.trim_start().starts_with("::") || line.contains("##[")).collect()
    }
}

impl Workflow {
    async fn new() -> Self {
        Self::with(config("NAME: one")).await
    }

    async fn with(config: FileChange) -> Self {
        let bench = Bench::new();
        let github = Sandbox::start(SandboxSettings::new(Arc::new(SystemClock))).await.expect("a sandbox");
        // Nobody listens there: events are kept, and become event files.
        let nobody =
            WebhookTarget { url: "http://127.0.0.1:9/webhook".into(), secret: SecretString::from("x".repeat(20)) };
        github.set_webhook(nobody);
        let repo = github.create_repo("acme/shop", [config]).expect("a repository");
        Self { bench, github, repo, runs: 0 }
    }

    fn open(&self, title: &str) -> PullNumber {
        self.github.commit(&self.repo, "topic", [FileChange::write("a", "1")], "A change").expect("a commit");
        self.github.open_pull(&self.repo, "topic", title).expect("a pull request")
    }

    /// The newest event of that name.
    fn event(&self, name: &str) -> HookDelivery {
        let mut all = self.github.deliveries();
        all.retain(|delivery| delivery.event == name);
        all.pop().unwrap_or_else(|| panic!("GitHub told nothing of {name}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bench.folder().join(name)
    }

    /// A run for an event.
    fn step(&mut self, event: &str, body: &[u8]) -> (Command, u64) {
        self.runs += 1;
        let run = self.runs;
        let path = self.file(&format!("event-{run}.json"));
        std::fs::write(&path, body).expect("an event file");
        let mut command = self.bench.command(&["action"]);
        let told = |delivery: HookDelivery| serde_json::from_slice::<Value>(&delivery.body).ok();
        let known =
            self.github.deliveries().into_iter().filter_map(told).find(|body| body["repository"]["id"].is_u64());
        let known = known.expect("GitHub told of the repository");
        let number = |pointer: &str| known.pointer(pointer).map(ToString::to_string).expect("a number");
        for (name, value) in [
            ("GITHUB_EVENT_NAME", event.to_owned()),
            ("GITHUB_EVENT_PATH", path.display().to_string()),
            ("GITHUB_REPOSITORY", "acme/shop".to_owned()),
            ("GITHUB_REPOSITORY_ID", number("/repository/id")),
            ("GITHUB_REPOSITORY_OWNER_ID", number("/repository/owner/id")),
            ("GITHUB_RUN_ID", (1_000 + run).to_string()),
            ("GITHUB_RUN_ATTEMPT", "1".to_owned()),
            ("GITHUB_API_URL", self.github.api_url().to_owned()),
            ("GITHUB_OUTPUT", self.file(&format!("output-{run}")).display().to_string()),
            ("GITHUB_STEP_SUMMARY", self.file(&format!("summary-{run}.md")).display().to_string()),
            ("RUNNER_TOOL_CACHE", self.file("cache").display().to_string()),
            ("RUNNER_TRACKING_ID", "github_8c1f0e6a".to_owned()),
            ("GREENROOM_ACTION_TARGET", "local".to_owned()),
            ("GREENROOM_ACTION_COMMAND", String::new()),
            ("GREENROOM_ACTION_GITHUB_TOKEN", self.token()),
            ("GREENROOM_PROXY_LISTEN", "127.0.0.1:0".to_owned()),
        ] {
            command.env(name, value);
        }
        (command, run)
    }

    fn token(&self) -> String {
        let token = self.github.installation_token(&self.repo).expect("a token");
        token.expose_secret().to_owned()
    }

    async fn run(&mut self, event: &str, body: &[u8]) -> Ran {
        self.run_with(event, body, &[]).await
    }

    async fn run_with(&mut self, event: &str, body: &[u8], inputs: &[(&str, &str)]) -> Ran {
        let (mut command, run) = self.step(event, body);
        command.envs(inputs.iter().copied());
        let begun = Instant::now();
        hang::note(&format!("the run for {event} ends"));
        let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs");
        let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        self.read(run, output.status.code(), log, begun.elapsed())
    }

    fn read(&self, run: u64, code: Option<i32>, log: String, took: Duration) -> Ran {
        let text = |name: String| std::fs::read_to_string(self.file(&name)).unwrap_or_default();
        let output = values(&text(format!("output-{run}")));
        Ran { code, log, output, summary: text(format!("summary-{run}.md")), took }
    }

    async fn run_newest(&mut self, event: &str) -> Ran {
        let body = self.event(event).body;
        self.run(event, &body).await
    }

    /// Whether a run works on this machine's stages.
    fn is_worked_on(&self) -> bool {
        let turn = std::fs::File::open(self.file("cache/greenroom/turn"));
        turn.is_ok_and(|turn| matches!(turn.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
    }

    fn comments(&self, pull: PullNumber) -> Vec<String> {
        self.github.comments(&self.repo, pull).into_iter().map(|comment| comment.body).collect()
    }

    /// Asks a stage; what breaks counts as nothing.
    async fn ask(&self, url: &str) -> Option<String> {
        let host = url.strip_prefix("http://")?;
        let (_, port) = host.rsplit_once(':')?;
        let port: u16 = port.trim_end_matches('/').parse().ok()?;
        let text = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let talk = async {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            stream.write_all(text.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            answer.starts_with("HTTP/1.1 200").then_some(answer)
        };
        tokio::time::timeout(Duration::from_secs(5), talk).await.ok().flatten()
    }

    /// Waits until the stage answers, by whoever serves it now.
    async fn answers(&self, url: &str) -> String {
        hang::note("the stage answers");
        let begun = Instant::now();
        loop {
            if let Some(answer) = self.ask(url).await {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{url} does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes what the test left running, and proves it.
    async fn close(mut self, pull: PullNumber) {
        self.github.close_pull(&self.repo, pull).expect("it closes");
        let ran = self.run_newest("pull_request").await;
        assert_eq!((ran.code, ran.get("state")), (Some(0), "destroyed"), "{}", ran.log);
        assert_eq!((ran.get("url"), ran.get("urls")), ("", "{}"));
        // The keeper of a machine with nothing on it ends, and so does one whose folder is gone.
        drop(std::fs::remove_file(self.file("cache/greenroom/keeper")));
    }
}

/// What GitHub's runner reads from the file.
fn values(text: &str) -> Vec<(String, String)> {
    let (mut found, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").expect("a name and a delimiter");
        let mut value = Vec::new();
        loop {
            match lines.next().expect("the delimiter comes again") {
                line if line == delimiter => break,
                line => value.push(line),
            }
        }
        found.push((name.to_owned(), value.join("\n")));
    }
    found
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    kill_process(pid.expect("it runs"), signal).expect("it can be told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_lives_and_goes() {
    let mut world = Workflow::new().await;
    let pull = world.open("A title\n::set-output name=url::https://evil.example\n%0A::error::x");
    let ran = world.run_newest("pull_request").await;
    assert_eq!((ran.code, ran.get("state"), ran.get("stage")), (Some(0), "live", "pr-1"), "{}", ran.log);
    let url = ran.get("url").to_owned();
    assert!(world.answers(&url).await.contains("one"), "{url}");
    let urls: Value = serde_json::from_str(ran.get("urls")).expect("JSON");
    assert_eq!(urls["web"], Value::String(url.clone()));
    assert_eq!(ran.get("sha").len(), 40);
    assert!(!ran.get("deployment-id").is_empty() && ran.get("release") == "1", "{:?}", ran.output);
    assert!(ran.get("log-url").ends_with("/acme/shop/actions/runs/1001/attempts/1"), "{}", ran.get("log-url"));
    assert_eq!((ran.result()["version"].as_u64(), ran.result()["ending"].as_str()), (Some(1), Some("done")));
    assert!(ran.summary.contains("pr-1 is live") && ran.summary.contains(&url), "{}", ran.summary);
    assert_eq!(world.comments(pull).len(), 1);
    assert!(world.comments(pull)[0].contains("pr-1 is live"), "{:?}", world.comments(pull));
    assert!(ran.commands().iter().all(|line| line.starts_with("::add-mask::")), "{:?}", ran.commands());
    // The same step once more: nothing is done, and the same is said.
    let body = world.event("pull_request").body;
    let again = world.run("pull_request", &body).await;
    assert_eq!((again.code, again.get("url"), again.get("state")), (Some(0), url.as_str(), "live"), "{}", again.log);
    // A second push.
    let change = config("NAME: two");
    let sha = world.github.push(&world.repo, "topic", [change], "Another").expect("a commit");
    let second = world.run_newest("pull_request").await;
    assert_eq!((second.code, second.get("sha")), (Some(0), sha.as_str()), "{}", second.log);
    assert!(world.answers(&url).await.contains("two"));
    assert_eq!(world.comments(pull).len(), 1, "it is the same comment");
    // A command in a comment.
    world.github.set_permission(&world.repo, "ada", Permission::Write);
    world.github.comment(&world.repo, pull, "ada", "/status").expect("a comment");
    let status = world.run_newest("issue_comment").await;
    assert_eq!(status.code, Some(0), "{}", status.log);
    assert_eq!(world.comments(pull).len(), 3, "it is answered: {:?}", world.comments(pull));
    world.close(pull).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_ours_ends_early_and_says_so() {
    let mut world = Workflow::new().await;
    let pull = world.open("A change");
    let opened: Value = serde_json::from_slice(&world.event("pull_request").body).expect("JSON");
    let mut fork = opened.clone();
    fork["pull_request"]["head"]["repo"]["id"] = 424_242.into();
    let mut lie = opened.clone();
    lie["repository"]["id"] = 424_242.into();
    let text = |value: &Value| value.to_string().into_bytes();
    world.github.comment(&world.repo, pull, "ada", "Nice work, thank you.").expect("a comment");
    let nice = world.event("issue_comment").body.to_vec();
    let mut on_issue: Value = serde_json::from_slice(&nice).expect("JSON");
    on_issue["issue"].as_object_mut().expect("an object").remove("pull_request");
    let rows = [
        ("issue_comment", text(&on_issue), 0, "noticed", "a comment on an issue"),
        ("issue_comment", nice, 0, "noticed", "no command"),
        ("pull_request", text(&fork), 0, "noticed", "comes from a fork"),
        ("pull_request_review", text(&opened), 0, "noticed", "comment in the conversation"),
        ("pull_request_target", text(&opened), 2, "refused", "pull_request_target"),
        ("workflow_run", text(&opened), 2, "refused", "workflow_run"),
        ("gollum", text(&opened), 2, "refused", "gollum"),
        ("pull_request", text(&lie), 2, "refused", "424242"),
        ("pull_request", b"{".to_vec(), 2, "refused", "not JSON"),
        ("pull_request", b"{}".to_vec(), 2, "refused", "not as GitHub writes it"),
        ("pull_request", vec![b' '; 33 * 1024 * 1024], 2, "refused", "more than 32 MiB"),
    ];
    for (event, body, code, ending, said) in rows {
        let ran = world.run(event, &body).await;
        assert_eq!((ran.code, ran.result()["ending"].as_str()), (Some(code), Some(ending)), "{event}: {}", ran.log);
        assert!(ran.get("reason").contains(said), "{event}: {}", ran.get("reason"));
        assert!(ran.summary.contains("Greenroom"), "{event}: {}", ran.summary);
        let level = if code == 0 { "::notice " } else { "::error " };
        assert!(ran.log.lines().any(|line| line.starts_with(level)), "{event}: {}", ran.log);
    }
    assert!(!world.file("cache/greenroom/local").exists(), "no target was touched");
    assert!(world.comments(pull).len() == 1, "nobody was answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_is_wrong_is_named_and_the_outputs_are_there() {
    let mut world = Workflow::new().await;
    world.open("A change");
    let body = world.event("pull_request").body;
    for (input, value) in [("COMMAND", "rm"), ("STAGE", "../x"), ("WAIT", "yes"), ("TIMEOUT", "soon"), ("DRY_RUN", "1")]
    {
        let variable = format!("GREENROOM_ACTION_{input}");
        let ran = world.run_with("pull_request", &body, &[(variable.as_str(), value)]).await;
        assert_eq!(ran.code, Some(2), "{}", ran.log);
        let name = input.to_lowercase().replace('_', "-");
        assert!(ran.get("reason").contains(&format!("input `{name}`")), "{}", ran.get("reason"));
    }
    let plan = world.run_with("pull_request", &body, &[("GREENROOM_ACTION_DRY_RUN", "true")]).await;
    assert_eq!(plan.code, Some(0), "{}", plan.log);
    assert!(plan.summary.contains("fetch the source") && plan.get("state").is_empty(), "{}", plan.summary);
    assert!(world.comments(PullNumber(1)).is_empty(), "nothing was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_says_why_in_every_place_and_nothing_of_it_is_a_command() {
    let mut world = Workflow::with(config(r#"NAME: one, MODE: exit, TOKEN: "::error::evil ##[x]""#)).await;
    let pull = world.open("A change");
    let ran = world.run_newest("pull_request").await;
    assert_eq!((ran.code, ran.get("state")), (Some(1), "failed"), "{}", ran.log);
    assert!(ran.summary.contains("pr-1 failed") && ran.get("reason").contains("pr-1 failed"), "{}", ran.summary);
    assert_eq!(ran.result()["stages"][0]["failure"]["service"], "web");
    let commands = ran.commands();
    let known = ["::add-mask::", "::group::", "::endgroup::", "::stop-commands::", "::error title="];
    let token = commands.iter().find_map(|line| line.strip_prefix("::stop-commands::")).unwrap_or_default();
    let end = format!("::{token}::");
    for line in commands {
        assert!(line == end || known.iter().any(|known| line.starts_with(known)), "{line}: {}", ran.log);
    }
    world.close(pull).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cancelled_or_killed_is_gone_on_with() {
    let mut world = Workflow::with(config("NAME: one, MODE: deaf")).await;
    let pull = world.open("A change");
    let body = world.event("pull_request").body;
    for how in [Signal::INT, Signal::TERM, Signal::KILL] {
        let (mut command, run) = world.step("pull_request", &body);
        let child = command.spawn().expect("it runs");
        hang::note("the run works on this machine, and the comment says that it deploys");
        let begun = Instant::now();
        while !world.is_worked_on() {
            assert!(begun.elapsed() < PATIENCE, "nobody begins");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while !world.comments(pull).iter().any(|body| body.contains("pr-1 is deploying")) {
            assert!(begun.elapsed() < PATIENCE, "it never deploys");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        signal(&child, how);
        let told = Instant::now();
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it ran");
        let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let ran = world.read(run, output.status.code(), log, told.elapsed());
        if how != Signal::KILL {
            assert!(ran.took < Duration::from_secs(7), "it took {:?}", ran.took);
            assert_eq!((ran.code, ran.result()["ending"].as_str()), (Some(3), Some("interrupted")), "{}", ran.log);
            assert!(ran.summary.contains("interrupted") && ran.get("stage") == "pr-1", "{}", ran.summary);
            assert!(
                world.comments(pull)[0].contains("the next run for this stage goes on"),
                "{:?}",
                world.comments(pull)
            );
        }
    }
    world.github.push(&world.repo, "topic", [config("NAME: two")], "Mended").expect("a commit");
    let ran = world.run_newest("pull_request").await;
    assert_eq!((ran.code, ran.get("state")), (Some(0), "live"), "{}", ran.log);
    assert!(!world.comments(pull)[0].contains("goes on"), "{:?}", world.comments(pull));
    assert!(world.answers(ran.get("url")).await.contains("two"));
    world.close(pull).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_do_not_disturb_each_other() {
    let mut world = Workflow::new().await;
    let pull = world.open("A change");
    let first = world.event("pull_request").body;
    world.github.push(&world.repo, "topic", [config("NAME: two")], "Another").expect("a commit");
    let second = world.event("pull_request").body;
    let steps = [world.step("pull_request", &first), world.step("pull_request", &second)];
    let mut children = Vec::new();
    for (mut command, run) in steps {
        children.push((command.spawn().expect("it runs"), run));
    }
    for (child, run) in children {
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("it ran");
        let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let ran = world.read(run, output.status.code(), log, Duration::ZERO);
        assert_eq!((ran.code, ran.get("state")), (Some(0), "live"), "{}", ran.log);
        assert!(world.answers(ran.get("url")).await.contains("two"));
    }
    assert_eq!(world.comments(pull).len(), 1);
    world.close(pull).await;
}
