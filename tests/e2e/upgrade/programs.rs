//! Programs of this machine are handed over: they run on, with what they were started with.

use std::path::Path;

use greenroom::model::{CommitSha, Permission, PullNumber, RepoName};
use greenroom::sandbox::FileChange;

use super::{
    End, as_before, audit_is_whole, before_program, calm, end, is_as_it_was, looked, looks, said, seen, texts,
};
use crate::own::own;
use crate::world::{World, processes_with};

const TOKEN: &str = "of the version before";

/// A permanent stage and previews, with a secret that only the server knows.
fn config(folder: &Path, zone: &str) -> String {
    let head = format!(
        r#"domain: {{ zone: {zone} }}
stages:
  prod: {{ on: {{ push: main }} }}
  "pr-{{number}}": {{ on: {{ pull_request: {{}} }}, expires: 7d }}
"#
    );
    processes_with(folder, &head, "    secrets: { TOKEN: \"env:TOKEN\" }\n")
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
