//! Two repositories on one server: with the same zone, stage names, secret names and app name, and
//! after one of them has taken the other's name.

use std::sync::Arc;

use greenroom::model::{
    CommitSha, Lane, Permission, PullNumber, RepoName, SecretRef, ServiceName, StageId, StageName, StageStatus, Wanted,
};
use greenroom::port::Phase;
use greenroom::sandbox::{DeliveryMode, FileChange, Mishap, Order};

use crate::depth::Depth;
use crate::fuse::Fuse;
use crate::world::{CONFIG, World};

/// The shop of the scenarios, with a secret of the server's and, if wanted, a zone.
fn config(zone: Option<&str>) -> String {
    let secret = CONFIG.replace(
        "    health: { path: /health }\n",
        "    health: { path: /health }\n    secrets: { TOKEN: \"env:TOKEN\" }\n",
    );
    match zone {
        Some(zone) => secret.replace("app: shop\n", &format!("app: shop\ndomain: {{ zone: {zone} }}\n")),
        None => secret,
    }
}

/// A repository beside the world's own.
struct Other {
    /// What GitHub calls it.
    name: RepoName,
    /// As what the server knows it.
    key: RepoName,
}

impl Other {
    fn made(w: &World, name: &str, config: &str) -> Self {
        let files = [FileChange::write(".github/greenroom.yml", config), FileChange::write("app", "1")];
        let name = w.github.create_repo(name, files).expect("a repository");
        Self { key: name.clone(), name }
    }

    fn open(&self, w: &World, content: &str) -> (PullNumber, CommitSha) {
        let sha = self.push(w, content);
        (w.github.open_pull(&self.name, "topic", "A change").expect("a pull request"), sha)
    }

    fn push(&self, w: &World, content: &str) -> CommitSha {
        w.github.push(&self.name, "topic", [FileChange::write("app", content)], "A change").expect("a commit")
    }

    fn stage(&self, name: &str) -> StageId {
        StageId { repo: self.key.clone(), name: StageName::new(name).expect("a name") }
    }

    fn serving(&self, w: &World, stage: &str) -> Option<CommitSha> {
        w.cloud.serving(&self.stage(stage), &ServiceName::new("web").expect("a name"))
    }

    async fn status(&self, w: &World, stage: &str) -> Option<StageStatus> {
        w.store.stage(&self.stage(stage)).await.expect("the database answers").map(|record| record.status)
    }

    /// As what the server knows it, which it tells whoever it does not serve.
    fn told_key(&self, w: &World, number: PullNumber) -> String {
        let said = self.read(w, number).join("\n");
        let key = said.split("they add ").nth(1).and_then(|rest| rest.split(' ').next());
        key.unwrap_or_else(|| panic!("no way out: {said}")).to_owned()
    }

    /// Everything that was written on a pull request, without the backslashes of Markdown.
    fn read(&self, w: &World, number: PullNumber) -> Vec<String> {
        let comments = w.github.comments(&self.name, number);
        comments.into_iter().map(|comment| comment.body.replace('\\', "")).collect()
    }
}

/// The variable that a stage's `TOKEN` comes from.
async fn token(w: &World, stage: &StageId) -> String {
    let deploys = w.store.deploys(stage, 9).await.expect("the database answers");
    let spec = deploys.into_iter().find_map(|deploy| match deploy.plan.wanted {
        Wanted::Live(spec) => Some(spec),
        Wanted::Gone(_) => None,
    });
    let spec = spec.expect("a deploy");
    match &spec.services.iter().find(|service| service.name.as_str() == "web").expect("web").secrets["TOKEN"] {
        SecretRef::ServerEnv(name) => name.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stranger_who_installs_the_app_gets_nothing_and_one_answer() {
    let w = World::new().await;
    let stranger = Other::made(&w, "stranger/shop", &config(None));
    let (pull, _) = stranger.open(&w, "evil");
    w.settle().await;
    stranger.push(&w, "more evil");
    w.github.push(&stranger.name, "main", [FileChange::write("app", "2")], "To prod").expect("a commit");
    w.github.comment(&stranger.name, pull, "stranger", "/deploy").expect("a comment");
    w.settle().await;
    w.redeliver_all().await;

    assert_eq!((w.builder.journal(), w.cloud.journal()), (Vec::new(), Vec::new()));
    assert_eq!(w.store.stages(None).await.expect("the database answers"), []);
    let asked = w.github.requests();
    let read = asked.iter().filter(|asked| asked.path.contains("/contents") || asked.path.contains("/tarball"));
    assert_eq!(
        read.map(|asked| asked.path.clone()).collect::<Vec<_>>(),
        Vec::<String>::new(),
        "no file of it was read"
    );
    let answers: Vec<String> =
        stranger.read(&w, pull).into_iter().filter(|body| body.starts_with("<!-- greenroom")).collect();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert!(answers[0].contains("they add stranger/shop to GREENROOM_ALLOW"), "{}", answers[0]);
}

#[tokio::test]
async fn who_is_no_longer_served_keeps_what_runs_until_the_pull_request_goes() {
    let mut w = World::new().await;
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    w.serves("acme/web", "");
    w.push("topic", "3");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha), "what runs, runs on");
    assert_eq!(w.answers(pull).len(), 1);
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
    assert_eq!(w.cloud.world(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deploy_at_work_stops_when_its_repository_is_no_longer_served() {
    let mut w = World::new().await;
    w.cloud.mishap(Phase::Start, "web", None, Mishap::Slow(5));
    w.open("topic", "2");
    w.runs(4).await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Deploying { .. }));
    w.serves("", "");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None, "{:#?}", w.cloud.journal());
    assert!(!matches!(w.stage("pr-1").await.status, StageStatus::Live { .. }));
}

#[tokio::test]
async fn a_host_is_its_first_repositorys_and_the_other_is_told_no_more_than_that() {
    let w = World::with_config(&config(None)).await;
    let other = Other::made(&w, "acme/secret-plans", &config(None));
    let (pull, sha) = w.open("topic", "2");
    w.settle().await;
    let (late, _) = other.open(&w, "3");
    w.settle().await;
    assert_eq!((w.serving("pr-1", "web"), other.serving(&w, "pr-1")), (Some(sha), None));
    assert!(matches!(other.status(&w, "pr-1").await, Some(StageStatus::Misconfigured { .. })));
    let said = other.read(&w, late).join("\n");
    assert!(said.contains("pr-1.preview.test belongs to another repository"), "{said}");
    assert!(!said.contains("acme/shop"), "{said}");
    assert!(w.builder.journal().iter().all(|line| !line.contains("secret-plans")), "{:?}", w.builder.journal());

    // A plan says so as well: it is known before anything is begun.
    w.github.set_permission(&other.name, "rita", Permission::Read);
    w.github.comment(&other.name, late, "rita", "/plan").expect("a comment");
    w.settle().await;
    let mut answers = other.read(&w, late).into_iter().filter(|body| body.starts_with("<!-- greenroom receipt"));
    let answer = answers.next_back().expect("an answer");
    assert!(answer.contains("belongs to another repository"), "{answer}");

    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    let next = other.push(&w, "4");
    w.settle().await;
    assert_eq!(other.serving(&w, "pr-1"), Some(next), "free since: {:#?}", other.read(&w, late));
    w.github.reopen_pull(&w.repo, pull).expect("it opens again");
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), None, "now it is the other's");
    assert!(!w.raw_comment(pull).contains("secret"), "{}", w.raw_comment(pull));
}

#[tokio::test]
async fn a_zone_and_what_lies_under_it_are_for_whom_they_are_kept() {
    let mut w = World::with_config(&config(Some("shop.example.com"))).await;
    w.serves("acme/*", "shop.example.com=acme/shop,web.example.com=acme/web");
    let inside = Other::made(&w, "acme/inside", &config(Some("x.shop.example.com")));
    let same = Other::made(&w, "acme/same", &config(Some("shop.example.com")));
    let above =
        Other::made(&w, "acme/above", &config(Some("example.com")).replace("\"pr-{number}\"", "\"web-{number}\""));
    let (_, sha) = w.open("topic", "2");
    let pulls = [inside.open(&w, "3").0, same.open(&w, "3").0, above.open(&w, "3").0];
    w.settle().await;
    assert_eq!(w.serving("pr-1", "web"), Some(sha));
    for (other, pull) in [&inside, &same].into_iter().zip(pulls) {
        assert_eq!(other.serving(&w, "pr-1"), None);
        let said = other.read(&w, pull).join("\n");
        assert!(said.contains("shop.example.com is kept for other repositories"), "{said}");
        assert!(!said.contains("acme/shop"), "{said}");
    }
    assert!(above.serving(&w, "web-1").is_some(), "{:#?}", above.read(&w, pulls[2]));
}

#[tokio::test]
async fn who_takes_a_name_inherits_nothing_and_who_gave_it_away_loses_nothing() {
    let mut w = World::with_config(&config(None)).await;
    let (pull, first) = w.open("topic", "2");
    w.settle().await;
    let (shop, own_token) = (w.stage_id("pr-1"), token(&w, &w.stage_id("pr-1")).await);
    w.serves("acme/shop", "preview.test=acme/shop");

    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    let mut thief = Other::made(&w, "acme/shop", &config(None));
    let (stolen, _) = thief.open(&w, "evil");
    w.settle().await;
    w.github.comment(&thief.name, stolen, "octocat", "/destroy").expect("a comment");
    w.settle().await;
    assert_eq!(w.cloud.serving(&shop, &ServiceName::new("web").expect("a name")), Some(first.clone()));
    let key = thief.told_key(&w, stolen);
    assert!(key.starts_with("acme.") && key.ends_with("/shop"), "{key}");

    // Served by its own name, it still has neither zone, host, secret nor stage of the first.
    thief.key = key.parse().expect("a name");
    w.serves(&format!("acme/shop,{key}"), "");
    let second = w.push("topic", "3");
    thief.push(&w, "worse");
    w.settle().await;
    let serving = |w: &World| w.cloud.serving(&shop, &ServiceName::new("web").expect("a name"));
    assert_eq!(serving(&w), Some(second.clone()), "the first goes on under its new name");
    assert!(w.raw_comment(pull).contains("pr-1 is live"), "{}", w.raw_comment(pull));
    assert_eq!(thief.serving(&w, "pr-1"), None);
    assert!(matches!(thief.status(&w, "pr-1").await, Some(StageStatus::Misconfigured { .. })));

    w.github
        .push(&thief.name, "main", [FileChange::write(".github/greenroom.yml", config(Some("own.test")))], "A zone")
        .expect("a commit");
    let own = w.github.push(
        &thief.name,
        "topic",
        [FileChange::write(".github/greenroom.yml", config(Some("own.test")))],
        "A zone",
    );
    w.settle().await;
    assert_eq!(thief.serving(&w, "pr-1"), own.ok(), "{:#?}", thief.read(&w, stolen));
    let its_token = token(&w, &thief.stage("pr-1")).await;
    assert_eq!(token(&w, &shop).await, own_token, "the secret goes by the number");
    assert!(its_token != own_token && its_token.ends_with("_TOKEN"), "{its_token} {own_token}");

    w.github.close_pull(&thief.name, stolen).expect("it closes");
    w.settle().await;
    assert_eq!((thief.serving(&w, "pr-1"), serving(&w)), (None, Some(second)));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert_eq!(serving(&w), None);
}

#[tokio::test]
async fn a_delivery_from_before_a_rename_gives_the_name_back_to_nobody() {
    let mut w = World::with_config(&config(None)).await;
    let (pull, _) = w.open("topic", "2");
    w.settle().await;
    let shop = w.stage_id("pr-1");
    w.github.set_delivery_mode(DeliveryMode::Hold);
    w.says("octocat", pull, "Sent before the rename, and late.");
    w.github.set_delivery_mode(DeliveryMode::Send);
    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    let mut newcomer = Other::made(&w, "acme/shop", &config(Some("own.test")));
    let (its_pull, _) = newcomer.open(&w, "its own");
    w.settle().await;
    let key = newcomer.told_key(&w, its_pull);
    newcomer.key = key.parse().expect("a name");
    w.serves(&format!("acme/shop,{key}"), "");
    let (sha, its_sha) = (w.push("topic", "3"), newcomer.push(&w, "4"));
    w.settle().await;
    let serving = |w: &World| w.cloud.serving(&shop, &ServiceName::new("web").expect("a name"));
    assert_eq!((serving(&w), newcomer.serving(&w, "pr-1")), (Some(sha), Some(its_sha.clone())));

    let names = async |w: &World| {
        let known = async |key: &RepoName| w.store.known(key).await.expect("the database answers").expect("known");
        let (shop, other) = (known(&shop.repo).await, known(&newcomer.key).await);
        [shop.name, other.name].map(|name| name.map(String::from).unwrap_or_default())
    };
    let shown = |w: &World| {
        let (name, pull) = (&newcomer.name, its_pull);
        let checks = w.github.checks(name, &its_sha).len();
        (w.github.comments(name, pull).len(), w.github.deployments(name).len(), checks)
    };
    let (rightly, before) = (["acme/store".to_owned(), "acme/shop".to_owned()], shown(&w));
    assert_eq!(names(&w).await, rightly);
    w.github.release_deliveries(Order::AsHappened);
    w.github.deliveries_settled().await;
    assert_eq!(names(&w).await, rightly, "as soon as it is there");
    w.settle().await;
    assert_eq!(names(&w).await, rightly, "after it was handled");
    let known = w.store.known(&shop.repo).await.expect("the database answers").expect("known");
    assert_eq!(known.rumour, None, "it was looked into");
    w.redeliver_all().await;
    assert_eq!(names(&w).await, rightly, "once more");
    assert_eq!((shown(&w), newcomer.serving(&w, "pr-1")), (before, Some(its_sha.clone())));

    let next = w.push("topic", "5");
    w.settle().await;
    assert_eq!((serving(&w), newcomer.serving(&w, "pr-1")), (Some(next), Some(its_sha.clone())));
    assert!(w.raw_comment(pull).contains("pr-1 is live"), "{}", w.raw_comment(pull));
    assert_eq!(shown(&w), before);
}

#[tokio::test]
async fn whenever_a_name_changes_hands_unheard_nothing_is_written_to_whoever_took_it() {
    const APART: usize = 7;
    let all: Vec<usize> = (1..=APART).collect();
    for first in Depth::of_this_run().of("a name that changes hands", &all) {
        let mut at = first;
        while the_name_changes_hands_after(at).await {
            at += APART;
        }
        assert!(at > 20, "{at} effects are too few");
    }
}

/// A pull request is opened, and after so many effects its repository has another name, and somebody else
/// the one that it had. Answers whether there were as many.
async fn the_name_changes_hands_after(at: usize) -> bool {
    let mut w = World::new().await;
    let (github, taken) = (Arc::clone(&w.github), w.repo.clone());
    let fuse = Fuse::aside(at, move || {
        github.set_delivery_mode(DeliveryMode::Drop);
        github.rename_repo(&taken, "acme/store").expect("it is renamed");
        let files = [FileChange::write(".github/greenroom.yml", CONFIG), FileChange::write("app", "1")];
        github.create_repo(taken.as_str(), files).expect("a repository");
        github.push(&taken, "topic", [FileChange::write("app", "its own")], "A change").expect("a commit");
        github.open_pull(&taken, "topic", "Its own").expect("a pull request");
        github.set_delivery_mode(DeliveryMode::Send);
    });
    w.burn(&fuse);
    w.open("topic", "2");
    w.runs(60).await;
    if fuse.seen() < at {
        return false;
    }
    let its_head = w.github.branch_head(&w.repo, "topic").expect("a branch");
    let written = (w.github.comments(&w.repo, PullNumber(1)), w.github.checks(&w.repo, &its_head));
    assert_eq!((written.0.len(), written.1.len()), (0, 0), "after effect {at}: {written:#?}");
    assert_eq!(w.github.deployments(&w.repo).len(), 0, "after effect {at}");

    let stage = w.stage_id("pr-1");
    w.repo = "acme/store".parse().expect("a name");
    let next = w.push("topic", "3");
    w.settle().await;
    let serving = w.cloud.serving(&stage, &ServiceName::new("web").expect("a name"));
    assert_eq!(serving, Some(next), "after effect {at}");
    true
}

#[tokio::test]
async fn who_is_no_longer_served_loses_nothing_to_whoever_takes_its_name_unheard() {
    let mut w = World::new().await;
    let (_, sha) = w.open("topic", "2");
    w.settle().await;
    let stage = w.stage_id("pr-1");
    w.serves("acme/web", "");
    w.github.set_delivery_mode(DeliveryMode::Drop);
    w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
    let newcomer = Other::made(&w, "acme/shop", CONFIG);
    let (its_pull, _) = newcomer.open(&w, "its own");
    w.github.close_pull(&newcomer.name, its_pull).expect("it closes");
    w.ring(Lane::Stage(stage.clone())).await;
    w.runs(60).await;
    assert_eq!(w.cloud.serving(&stage, &ServiceName::new("web").expect("a name")), Some(sha));
}

#[tokio::test]
async fn of_who_is_no_longer_served_no_file_is_read_and_no_commit_comes() {
    let read = |w: &World| {
        let asked = w.github.requests();
        asked.iter().filter(|asked| asked.path.contains("/contents") || asked.path.contains("/tarball")).count()
    };
    let mut w = World::new().await;
    let (_, sha) = w.open("topic", "2");
    w.settle().await;
    w.serves("acme/web", "");
    w.push("topic", "3");
    let before = read(&w);
    // By itself it is looked at again every hour.
    for _ in 0..3 {
        w.after(3_601_000).await;
    }
    assert_eq!(w.stage("pr-1").await.status, StageStatus::Live { sha }, "it runs on as it is");
    assert_eq!(read(&w), before, "no file of it is read");
}

/// What the repository's number is compared for: neither its new name nor who took the old one was told.
#[tokio::test]
async fn a_name_that_leads_to_somebody_else_leads_no_commit_of_theirs_here() {
    for is_thief_known in [false, true] {
        let mut w = World::with_config(&config(None)).await;
        let (pull, first) = w.open("topic", "2");
        w.settle().await;
        let shop = w.stage_id("pr-1");
        w.github.set_delivery_mode(DeliveryMode::Drop);
        w.repo = w.github.rename_repo(&w.repo, "acme/store").expect("it is renamed");
        if is_thief_known {
            w.github.set_delivery_mode(DeliveryMode::Send);
        }
        let thief = Other::made(&w, "acme/shop", &config(None));
        let (stolen, evil) = thief.open(&w, "evil");
        assert_eq!(stolen, pull, "the same number as well");
        w.ring(Lane::Stage(shop.clone())).await;
        w.ring(Lane::Repo(shop.repo.clone())).await;
        w.runs(30).await;
        assert_eq!(w.cloud.serving(&shop, &ServiceName::new("web").expect("a name")), Some(first));
        let journal = [w.builder.journal(), w.cloud.journal()].concat();
        assert!(journal.iter().all(|line| !line.contains(evil.short())), "{journal:#?}");
    }
}

#[tokio::test]
async fn nobody_asks_for_the_variable_of_another_repository() {
    let w = World::with_config(&config(None)).await;
    w.open("topic", "2");
    w.settle().await;
    let theirs = token(&w, &w.stage_id("pr-1")).await;
    let config = config(Some("thief.test")).replace("env:TOKEN", &format!("env:{theirs}"));
    let thief = Other::made(&w, "acme/thief", &config);
    let (pull, _) = thief.open(&w, "evil");
    w.settle().await;
    assert_eq!(thief.serving(&w, "pr-1"), None);
    let said = thief.read(&w, pull).join("\n");
    assert!(said.contains("no digit first"), "{said}");
}
