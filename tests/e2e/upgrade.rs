//! The version before hands its stages over to this one, on the same folder: what it started runs on
//! under this one's eyes, untouched, and is brought on and taken away by it like its own.
//!
//! The program of the version before is named by `GREENROOM_TEST_BEFORE`; without it there is nothing
//! to tell, so these tests are asked for by name (`--run-ignored ignored-only`).

#![expect(clippy::disallowed_methods, reason = "who tests an upgrade names the program of before")]

use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use greenroom::model::{CommitSha, Permission, PullNumber, RepoName};
use greenroom::sandbox::FileChange;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::process::Command;

use crate::aws_world::{self, AwsWorld};
use crate::docker::{self, CleanUp, containers, docker, everything};
use crate::own::own;
use crate::program::{FOLDER, command};
use crate::server::inherited;
use crate::world::World;

const BEFORE: &str = "GREENROOM_TEST_BEFORE";
const TOKEN: &str = "of the version before";

/// How the version before is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Polite,
    Killed,
}

fn before_program() -> String {
    std::env::var(BEFORE).expect("GREENROOM_TEST_BEFORE names the program of the version before")
}

/// What a shell does so that the server is the version before, which had the list of whom it serves
/// under another name.
fn as_before() -> String {
    format!("export GREENROOM_LOCAL_ALLOW='*'; exec '{}' serve", before_program())
}

/// A permanent stage and previews, with a secret that only the server knows.
fn config(folder: &Path, zone: &str) -> String {
    let command = |program: &str| serde_json::to_string(&command(program)).expect("words");
    format!(
        r#"
version: 1
app: shop
domain: {{ zone: {zone} }}
stages:
  prod: {{ on: {{ push: main }} }}
  "pr-{{number}}": {{ on: {{ pull_request: {{}} }}, expires: 7d }}
services:
  web:
    kind: ecs
    host: "@"
    port: 8080
    health: {{ path: /health, interval: 1s, timeout: 1s, healthy: 1, unhealthy: 3 }}
    env: {{ {FOLDER}: "{folder}" }}
    secrets: {{ TOKEN: "env:TOKEN" }}
    migrate: {{ command: {migration} }}
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

/// What there is to see of everything that the version before had brought on.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    programs: Vec<(i32, String)>,
    journal: Vec<String>,
    deploys: i64,
    steps: usize,
    stages: Vec<String>,
    comments: Vec<String>,
}

async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(Duration::from_secs(10));
    SqliteConnection::connect_with(&options).await.expect("the server's database opens")
}

async fn texts(w: &World, query: &'static str) -> Vec<String> {
    let mut database = open(&w.home.database()).await;
    sqlx::query_scalar(query).fetch_all(&mut database).await.expect("the database can be read")
}

async fn number(w: &World, query: &'static str) -> i64 {
    let mut database = open(&w.home.database()).await;
    sqlx::query_scalar(query).fetch_one(&mut database).await.expect("the database can be read")
}

/// Waits until nothing is due and nobody is at work.
async fn calm(w: &World) {
    w.until("nothing is due", async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let soon = i64::try_from(now).expect("a time") + 5_000;
        let mut database = open(&w.home.database()).await;
        let due: i64 = sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM lane WHERE key NOT LIKE 'chore:%' AND (wake_at <= $1 OR lease_until > 0)) \
             + (SELECT COUNT(*) FROM inbox WHERE state = 0)",
        )
        .bind(soon)
        .fetch_one(&mut database)
        .await
        .expect("the database can be read");
        due == 0
    })
    .await;
}

/// Waits until the server that just started has looked at every repository.
async fn looked(w: &World, before: u64) {
    let asked = async || w.github.counts().of(&http::Method::GET, "/installation/repositories") > before;
    w.until("the server has looked at its repositories", asked).await;
    calm(w).await;
}

fn looks(w: &World) -> u64 {
    w.github.counts().of(&http::Method::GET, "/installation/repositories")
}

fn started(pid: i32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The 22nd field is when it began; the second one, in brackets, may hold spaces.
    stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)).unwrap_or_default().to_owned()
}

async fn seen(w: &World, pulls: &[(&RepoName, PullNumber)]) -> Seen {
    let mut programs: Vec<_> = w.programs().into_iter().map(|pid| (pid, started(pid))).collect();
    programs.sort_unstable();
    Seen {
        programs,
        journal: w.journal(),
        deploys: number(w, "SELECT COUNT(*) FROM deploy").await,
        steps: w.steps().await.len(),
        stages: texts(w, "SELECT repo || '/' || name || ' ' || status FROM stage ORDER BY repo, name").await,
        comments: pulls.iter().filter_map(|(repo, pull)| w.comment_of(repo, *pull)).collect(),
    }
}

async fn is_as_it_was(w: &World, pulls: &[(&RepoName, PullNumber)], before: &Seen) {
    assert_eq!(seen(w, pulls).await, *before, "the servers' log:\n{}", w.home.log());
}

/// What a program of this version says to this database.
async fn said(w: &World, program: &str, words: &[&str]) -> Output {
    Command::new(program)
        .args(words)
        .env_clear()
        .envs(inherited())
        .env("NO_COLOR", "1")
        .env("GREENROOM_DATABASE_URL", format!("sqlite://{}", w.home.database().display()))
        .output()
        .await
        .expect("it runs")
}

async fn audit_is_whole(w: &World) {
    let verdict = said(w, env!("CARGO_BIN_EXE_greenroom"), &["audit", "verify"]).await;
    let text = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert!(verdict.status.success(), "{text}{}", String::from_utf8_lossy(&verdict.stderr));
    assert!(text.contains(w.repo.as_str()), "{text}");
}

/// The number that GitHub has for a repository, as its webhooks say it.
fn id(w: &World, repo: &RepoName) -> u64 {
    let bodies = w.github.deliveries().into_iter().filter_map(|delivery| {
        let body: serde_json::Value = serde_json::from_slice(&delivery.body).ok()?;
        let repository = &body["repository"];
        (repository["full_name"] == repo.as_str()).then(|| repository["id"].as_u64()).flatten()
    });
    bodies.last().expect("a webhook about it")
}

async fn end(w: &mut World, how: End) {
    match how {
        End::Killed => w.kill_server().await,
        End::Polite => {
            let server = w.take_server();
            server.ask_to_stop();
            let ended = server.stopped().await;
            assert!(ended.success(), "it ended with {ended}");
        }
    }
}

/// What one of our stages answers.
async fn ask(w: &World, host: &str) -> (u16, String) {
    let host = format!("{host}:{}", w.proxy().port());
    crate::clients::get(w.proxy(), &host, "/").await.unwrap_or_else(|error| (0, error))
}

async fn serves(w: &World, host: &str, version: &str) {
    w.until(&format!("{host} answers {version}"), async || ask(w, host).await == (200, version.into())).await;
}

fn is_served(w: &World, repo: &RepoName, pull: PullNumber, sha: &CommitSha) -> bool {
    w.comment_of(repo, pull).is_some_and(|comment| comment.contains(&format!("is live · `{}`", sha.short())))
}

fn tokens(w: &World) -> Vec<String> {
    let environ = |pid: i32| std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let all = w.programs().into_iter().map(environ).collect::<Vec<_>>();
    let mut tokens: Vec<String> = all
        .iter()
        .flat_map(|environ| environ.split(|byte| *byte == 0))
        .filter_map(|variable| Some(String::from_utf8_lossy(variable).strip_prefix("TOKEN=")?.to_owned()))
        .collect();
    tokens.sort();
    tokens
}

async fn programs_are_handed_over(how: End) {
    let environment = vec![("GREENROOM_SECRET_TOKEN", TOKEN.to_owned())];
    let files = |folder: &Path| {
        vec![FileChange::write(".github/greenroom.yml", config(folder, "localhost")), FileChange::write("app", "none")]
    };
    let mut w = World::begin_behind(&as_before(), environment, files).await;
    w.github.set_permission(&w.repo, "adam", Permission::Admin);
    let main = w.github.push(&w.repo, "main", [("app", "main")], "Make it main").expect("a commit");
    let one = w.open("one");
    w.live(&one).await;
    let other = own("acme/e2e_other.web");
    let files = [
        FileChange::write(".github/greenroom.yml", config(&w.home.folder, "other.localhost")),
        FileChange::write("app", "none"),
    ];
    let other = w.github.create_repo(&other, files).expect("a repository");
    let pull = w.serves(&other).await;
    w.until("the permanent stage is live", async || w.shown(&main) == ["check success", "deployment success"]).await;
    for command in ["/keep 3d", "/lock \"a demo\" for 2h", "/unlock"] {
        let answers = w.answers().len();
        w.github.comment(&w.repo, w.pull, "adam", command).expect("a comment");
        w.until(&format!("{command} is answered"), async || w.answers().len() > answers).await;
    }
    w.github.comment(&w.repo, w.pull, "adam", "/redeploy").expect("a comment");
    let again = async || w.journal().iter().filter(|line| *line == "start web one").count() == 2;
    w.until("it is deployed once more", again).await;
    w.comment_says(&format!("is live · `{}`", one.short())).await;
    w.until("the one before is gone", async || w.programs().len() == 6).await;
    calm(&w).await;
    let hosts = [
        ("prod.localhost".to_owned(), "main"),
        (format!("pr-{}.localhost", w.pull), "one"),
        (format!("pr-{pull}.other.localhost"), "other"),
    ];
    for (host, version) in &hosts {
        assert_eq!(ask(&w, host).await, (200, (*version).into()), "{host}");
    }
    let repo = w.repo.clone();
    let pulls = [(&repo, w.pull), (&other, pull)];
    let before = seen(&w, &pulls).await;
    assert_eq!(before.programs.len(), 6, "{before:#?}");
    end(&mut w, how).await;

    // Nobody is served yet: everything runs on, and it is said.
    w.home.before = String::new();
    let asked = looks(&w);
    w.home.allow = String::new();
    let log = w.home.log().len();
    w.start_server().await;
    for (host, version) in &hosts {
        assert_eq!(ask(&w, host).await, (200, (*version).into()), "{host} at once");
    }
    looked(&w, asked).await;
    is_as_it_was(&w, &pulls, &before).await;
    let log = w.home.log().split_off(log);
    assert!(log.contains("no repository is served") && log.contains("GREENROOM_ALLOW"), "{log}");
    assert!(log.contains("GREENROOM_SECRET_TOKEN"), "what the variable is called now is said:\n{log}");
    end(&mut w, how).await;

    // Served, but for the secret's name of now: what runs is not touched.
    let asked = looks(&w);
    w.home.allow = "acme/*".into();
    w.start_server().await;
    looked(&w, asked).await;
    for (host, version) in &hosts {
        assert_eq!(ask(&w, host).await, (200, (*version).into()), "{host}");
    }
    is_as_it_was(&w, &pulls, &before).await;
    let owners = texts(&w, "SELECT host || ' ' || stage FROM host ORDER BY host").await;
    let mut expected = vec![
        format!("pr-{}.localhost {repo}/pr-{}", w.pull, w.pull),
        format!("pr-{pull}.other.localhost {other}/pr-{pull}"),
        format!("prod.localhost {repo}/prod"),
        format!("*.prod.localhost {repo}/prod"),
    ];
    expected.sort();
    assert_eq!(owners, expected);
    let known = texts(&w, "SELECT id || ' ' || key FROM repository ORDER BY id").await;
    let mut ids = vec![format!("{} {repo}", id(&w, &repo)), format!("{} {other}", id(&w, &other))];
    ids.sort();
    assert_eq!(known, ids);
    audit_is_whole(&w).await;
    end(&mut w, how).await;

    let old = said(&w, &before_program(), &["status"]).await;
    let words = String::from_utf8_lossy(&old.stderr).into_owned();
    assert!(!old.status.success() && words.contains("newer greenroom"), "the way back is refused: {words}");

    // All is named as it is named now: what runs runs on, and the next commit is deployed as ever.
    let asked = looks(&w);
    w.home.environment = vec![];
    let [shop, docs] = [id(&w, &repo), id(&w, &other)];
    w.home.before = format!("export GREENROOM_SECRET_{shop}_TOKEN='of now' GREENROOM_SECRET_{docs}_TOKEN='of now'");
    w.start_server().await;
    looked(&w, asked).await;
    is_as_it_was(&w, &pulls, &before).await;
    assert_eq!(tokens(&w), [TOKEN, TOKEN, TOKEN]);
    let two = w.push("two");
    w.live(&two).await;
    serves(&w, &hosts[1].0, "two").await;
    w.until("the version before is gone", async || w.programs().len() == 6).await;
    assert_eq!(tokens(&w), ["of now", TOKEN, TOKEN]);
    assert_eq!(ask(&w, &hosts[0].0).await, (200, "main".into()));

    w.github.comment(&w.repo, w.pull, "adam", "/rollback").expect("a comment");
    w.comment_says(&format!("is live · `{}`", one.short())).await;
    serves(&w, &hosts[1].0, "one").await;
    let next = w.github.push(&w.repo, "main", [("app", "next")], "Make it next").expect("a commit");
    w.until("the permanent stage is at it", async || w.shown(&next) == ["check success", "deployment success"]).await;
    serves(&w, &hosts[0].0, "next").await;

    w.close();
    w.serves_no_more(&other, pull).await;
    w.comment_says("Destroyed at").await;
    w.until("their programs are gone", async || w.programs().len() == 2).await;
    let left = w.files();
    assert!(left.iter().all(|file| !file.contains("pr-")), "{left:#?}");
    assert_eq!((ask(&w, &hosts[1].0).await.0, ask(&w, &hosts[2].0).await.0), (404, 404));
    let owners = texts(&w, "SELECT stage FROM host").await;
    assert!(owners.iter().all(|stage| stage.ends_with("/prod")), "{owners:?}");
    audit_is_whole(&w).await;
    assert!(!is_served(&w, &other, pull, &one));
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn a_deploy_that_the_version_before_had_begun_is_brought_to_its_end() {
    let environment = vec![("GREENROOM_SECRET_TOKEN", TOKEN.to_owned())];
    let files = |folder: &Path| vec![FileChange::write(".github/greenroom.yml", config(folder, "localhost"))];
    let mut w = World::begin_behind(&as_before(), environment, files).await;
    let one = w.open("one");
    w.live(&one).await;
    let two = w.push("two gate");
    w.journaled("start web two").await;
    w.kill_server().await;
    w.home.before = String::new();
    w.start_server().await;
    serves(&w, &format!("pr-{}.localhost", w.pull), "one").await;
    w.open_gate();
    w.live(&two).await;
    serves(&w, &format!("pr-{}.localhost", w.pull), "two").await;
    w.until("the version before is gone", async || w.programs().len() == 2).await;
    let begun = w.journal().iter().filter(|line| *line == "start web two").count();
    assert_eq!((begun, tokens(&w)), (1, vec![TOKEN.to_owned()]));
    w.close();
    w.comment_says("Destroyed at").await;
    w.until("its programs are gone", async || w.programs().is_empty()).await;
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn programs_of_the_version_before_run_on_after_it_was_stopped() {
    programs_are_handed_over(End::Polite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn programs_of_the_version_before_run_on_after_it_was_killed() {
    programs_are_handed_over(End::Killed).await;
}

/// The repository's containers, which of them they are and since when they run; its images.
fn engine_has(repo: &RepoName) -> (Vec<String>, String) {
    let of = |name: &String| docker(&["inspect", "--format", "{{.Id}} {{.State.StartedAt}} {{.RestartCount}}", name]);
    let label = format!("label=greenroom.repo={repo}");
    let images = docker(&["images", "--no-trunc", "--filter", &label, "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    (containers(repo).iter().map(of).collect(), images)
}

async fn containers_are_handed_over(how: End) {
    docker(&["version"]);
    let mut w = World::begin_behind(&as_before(), Vec::new(), docker::files).await;
    let _clean_up = CleanUp(w.repo.clone());
    w.github.set_permission(&w.repo, "adam", Permission::Admin);
    let one = w.open("one");
    w.live(&one).await;
    calm(&w).await;
    let repo = w.repo.clone();
    let pulls = [(&repo, w.pull)];
    let before = (seen(&w, &pulls).await, engine_has(&repo));
    assert_eq!(before.1.0.len(), 1);

    w.home.before = String::new();
    for allow in [String::new(), repo.to_string()] {
        end(&mut w, how).await;
        let asked = looks(&w);
        w.home.allow = allow;
        w.start_server().await;
        w.until("it answers as ever", async || w.ask("/").await == (200, "one".into())).await;
        looked(&w, asked).await;
        assert_eq!((seen(&w, &pulls).await, engine_has(&repo)), before);
    }
    let load = w.load().await;
    let two = w.push("two");
    w.live(&two).await;
    w.until("the load meets the new version", async || load.answered() > 100 && load.met("two")).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    w.github.comment(&w.repo, w.pull, "adam", "/rollback").expect("a comment");
    w.comment_says(&format!("is live · `{}`", one.short())).await;
    w.until("the old image serves again", async || w.ask("/").await == (200, "one".into())).await;
    let images = engine_has(&repo).1;
    assert!(before.1.1.lines().all(|line| images.contains(line)), "it is the very image: {images}");
    audit_is_whole(&w).await;

    w.close();
    w.nothing_is_left().await;
    assert_eq!(everything(&repo), Vec::<String>::new());
    let label = format!("label=greenroom.repo={repo}");
    assert_eq!(docker(&["network", "ls", "--filter", &label, "--format", "{{.Name}}"]), "");
    w.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn containers_of_the_version_before_run_on_after_it_was_stopped() {
    containers_are_handed_over(End::Polite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn containers_of_the_version_before_run_on_after_it_was_killed() {
    containers_are_handed_over(End::Killed).await;
}

/// What runs on AWS, and since when: a task that is started anew is another one.
async fn account_has(s: &AwsWorld) -> (Vec<String>, Vec<String>, Vec<String>) {
    let estate = s.estate().await;
    let deploys = texts(&s.w, "SELECT stage || ' ' || COUNT(*) FROM deploy GROUP BY stage ORDER BY stage").await;
    (estate.tasks.clone(), estate.lines(), deploys)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn stages_on_aws_of_the_version_before_stay_live() {
    let mut s = AwsWorld::behind(&as_before(), aws_world::CONFIG, Vec::new()).await;
    let staged = s.w.github.push(&s.w.repo, "staging", [("app", "staged")], "Stage it").expect("a commit");
    let one = s.w.open("one");
    s.w.live(&one).await;
    s.w.until("staging is live", async || s.w.shown(&staged) == ["check success", "deployment success"]).await;
    calm(&s.w).await;
    let before = account_has(&s).await;
    let load = s.load().await;

    s.w.home.before = String::new();
    for allow in [String::new(), s.w.repo.to_string()] {
        end(&mut s.w, End::Killed).await;
        let asked = looks(&s.w);
        s.w.home.allow = allow;
        s.w.start_server().await;
        looked(&s.w, asked).await;
        assert_eq!(account_has(&s).await, before, "served as {:?}", s.w.home.allow);
        assert_eq!(s.ask().await, (200, "one".into()));
        assert_eq!(s.ask_stage("staging").await, (200, "staged".into()));
    }
    let two = s.w.push("two");
    s.w.live(&two).await;
    s.w.until("the load meets the new version", async || load.answered() > 100 && load.met("two")).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    s.w.close();
    s.w.comment_says("Destroyed at").await;
    s.w.until("its containers stop", async || s.aws.containers().len() == 1).await;
    assert_eq!(s.ask_stage("staging").await, (200, "staged".into()));
    audit_is_whole(&s.w).await;
    s.finish().await;
}
