//! Two repositories on one server of one machine, with the same stages, app, hosts and names of secrets; and
//! after one of them was renamed and the other has taken its name.

use std::collections::BTreeSet;
use std::path::Path;

use greenroom::model::{CommitSha, PullNumber, RepoName};
use greenroom::sandbox::FileChange;
use serde_json::Value;

use crate::clients;
use crate::database;
use crate::own::own;
use crate::world::{World, processes};

/// What both say; they differ in the label of their hosts at most.
fn config(folder: &Path, host: &str) -> String {
    let stages =
        "stages:\n  prod: { on: { push: main } }\n  \"pr-{number}\": { on: { pull_request: {} } }\nservices:\n";
    processes(folder)
        .replace("services:\n", stages)
        .replace("host: \"@\"", &format!("host: \"{host}\""))
        .replace("    port: 8080\n", "    port: 8080\n    secrets: { TOKEN: \"env:TOKEN\" }\n")
}

/// GitHub's number of a repository, as it stands in what GitHub sends.
async fn number(w: &World, repo: &RepoName) -> u64 {
    w.github.push(repo, "elsewhere", [("other", "1")], "Something else").expect("a commit");
    w.github.deliveries_settled().await;
    let delivery = w.github.deliveries().pop().expect("a delivery");
    let body: Value = serde_json::from_slice(&delivery.body).expect("JSON");
    assert_eq!(body["repository"]["full_name"], repo.as_str());
    body["repository"]["id"].as_u64().expect("a number")
}

/// Has the server started again with this in its environment; the stages run on.
async fn restart_with(w: &mut World, secrets: &[(u64, &str)]) {
    let server = w.take_server();
    server.ask_to_stop();
    assert!(server.stopped().await.success());
    let export = |(number, value): &(u64, &str)| format!("export GREENROOM_SECRET_{number}_TOKEN={value}\n");
    w.home.before = secrets.iter().map(export).collect();
    w.start_server().await;
}

async fn ask(w: &World, host: &str) -> (u16, String) {
    let host = format!("{host}.localhost:{}", w.proxy().port());
    clients::get(w.proxy(), &host, "/").await.unwrap_or_else(|error| (0, error))
}

async fn answers(w: &World, host: &str, word: &str) {
    w.until(&format!("{host} answers {word}"), async || ask(w, host).await == (200, word.into())).await;
}

/// What there is of the first one: its programs, and files.
struct Standing {
    programs: BTreeSet<i32>,
    files: BTreeSet<String>,
}

impl Standing {
    fn of(w: &World) -> Self {
        Self { programs: w.programs().into_iter().collect(), files: w.files().into_iter().collect() }
    }

    #[track_caller]
    fn still_stands(&self, w: &World) {
        let now = Self::of(w);
        let missed: (Vec<_>, Vec<_>) =
            (self.programs.difference(&now.programs).collect(), self.files.difference(&now.files).collect());
        assert_eq!(missed, (vec![], vec![]), "programs and files of the first are gone");
    }
}

struct Other {
    name: RepoName,
    key: RepoName,
}

impl Other {
    fn push(&self, w: &World, branch: &str, host: &str, app: &str) -> CommitSha {
        let config = config(&w.home.folder, host);
        w.github.push(&self.name, branch, [("app", app), (".github/greenroom.yml", &config)], app).expect("a commit")
    }

    async fn says(&self, w: &World, pull: PullNumber, text: &str) {
        let comment = || w.comment_of(&self.name, pull).unwrap_or_default();
        w.until(&format!("{} says {text:?}: {}", self.name, comment()), async || comment().contains(text)).await;
        let said: String = w.github.comments(&self.name, pull).into_iter().map(|comment| comment.body).collect();
        assert!(!said.replace('\\', "").contains(w.repo.name()), "{said}");
    }

    async fn is(&self, w: &World, stage: &str, status: &str) {
        let seen = async || database::status(&w.home.database_url(), self.key.as_str(), stage).await;
        w.until(&format!("{stage} is {status}"), async || seen().await == status).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_repositories_on_one_machine_are_strangers_also_when_one_takes_the_other_s_name() {
    let allow = vec![("GREENROOM_ALLOW", "acme/*".to_owned())];
    let files = |folder: &Path| vec![FileChange::write(".github/greenroom.yml", config(folder, "@"))];
    let mut w = World::begin_in(allow, files).await;
    let first = w.repo.clone();
    let hush = number(&w, &first).await;
    restart_with(&mut w, &[(hush, "hush")]).await;
    let one = w.open("one");
    w.github.push(&first, "main", [("app", "one-prod")], "To prod").expect("a commit");
    w.live(&one).await;
    answers(&w, "prod", "one-prod").await;
    w.until("all of it runs", async || w.programs().len() == 4).await;
    let stands = Standing::of(&w);

    let name = own("acme/e2e_other.web");
    let made = w.github.create_repo(&name, files(&w.home.folder)).expect("a repository");
    let mut other = Other { key: made.clone(), name: made };
    let hiss = number(&w, &other.name).await;
    other.push(&w, "topic", "@", "two");
    let pull = w.github.open_pull(&other.name, "topic", "A change").expect("a pull request");
    other.push(&w, "main", "@", "two-prod");
    other.says(&w, pull, "belongs to another repository").await;
    other.is(&w, "prod", "misconfigured").await;
    // With hosts of its own it lacks what the first one has under the same name.
    other.push(&w, "main", "other", "two-prod");
    other.push(&w, "topic", "other", "two");
    other.says(&w, pull, &format!("GREENROOM_SECRET_{hiss}_TOKEN")).await;
    assert!(w.journal().iter().all(|line| line.contains(" one")), "nothing of it ran: {:?}", w.journal());
    stands.still_stands(&w);

    restart_with(&mut w, &[(hush, "hush"), (hiss, "hiss")]).await;
    other.push(&w, "main", "other", "three-prod");
    let three = other.push(&w, "topic", "other", "three");
    other.says(&w, pull, &format!("is live · `{}`", three.short())).await;
    answers(&w, "other.prod", "three-prod").await;
    answers(&w, "other-pr-1", "three").await;
    for line in ["token hush one", "token hush one-prod", "token hiss three", "token hiss three-prod"] {
        assert!(w.journal().iter().any(|it| it == line), "{line}: {:?}", w.journal());
    }
    stands.still_stands(&w);
    w.github.close_pull(&other.name, pull).expect("it closes");
    other.says(&w, pull, "Destroyed at").await;
    assert_eq!(ask(&w, "other-pr-1").await.0, 404);
    assert_eq!(ask(&w, "pr-1").await, (200, "one".into()));

    // The first is renamed, and the other takes its name.
    w.repo = w.github.rename_repo(&first, &own("acme/e2e_store.web")).expect("it is renamed");
    other.name = w.github.rename_repo(&other.name, first.as_str()).expect("it is renamed");
    let four = other.push(&w, "next", "other", "four");
    let pull = w.github.open_pull(&other.name, "next", "A change").expect("a pull request");
    other.says(&w, pull, &format!("is live · `{}`", four.short())).await;
    answers(&w, &format!("other-pr-{pull}"), "four").await;
    stands.still_stands(&w);
    let five = w.push("five");
    w.live(&five).await;
    assert_eq!(w.ask("/").await, (200, "five".into()));
    for line in ["token hiss four", "token hush five"] {
        assert!(w.journal().iter().any(|it| it == line), "{line}: {:?}", w.journal());
    }
    w.close();
    w.comment_says("Destroyed at").await;
    for (host, word) in [("prod", "one-prod"), ("other.prod", "three-prod"), ("other-pr-2", "four")] {
        assert_eq!(ask(&w, host).await, (200, word.into()), "{host}");
    }
    w.until("its programs are gone, and only they", async || w.programs().len() == 6).await;
    w.finish().await;
}
