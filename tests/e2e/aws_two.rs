//! Two repositories on one server and one AWS account, with the same zone, stages, app and names of secrets;
//! and when one of them is renamed and the other takes its name.

use std::collections::{BTreeMap, BTreeSet};

use greenroom::model::{CommitSha, PullNumber, RepoName};
use serde_json::Value;

use crate::account::{Account, Thing, policies_of};
use crate::aws_world::{AwsWorld, NAME, files};
use crate::clients;
use crate::database;
use crate::docker::CleanUp;
use crate::iam::{Decision, Request, judge};
use crate::own::own;

const ACCOUNT: &str = "000000000000";

/// What both say; they differ in the label of their hosts at most, and in where `prod` lies.
fn config(host: &str, prod: &str) -> String {
    format!(
        r#"
version: 1
app: shop
domain: {{ zone: example.test, dns: none }}
stages:
  prod: {{ on: {{ push: main }}{prod} }}
  "pr-{{number}}": {{ on: {{ pull_request: {{}} }} }}
services:
  web:
    kind: ecs
    build: {{ context: . }}
    host: "{host}"
    port: 8080
    size: {{ cpu: 256, memory: 512 }}
    health: {{ path: /health, interval: 5s, timeout: 2s, healthy: 2, unhealthy: 2 }}
    secrets: {{ TOKEN: "secretsmanager:shop/token", WORD: "ssm:/shop/word" }}
    drain: 5s
"#
    )
}

/// What both call their secrets, made by the account's own people for the repository that has `access`.
fn secrets(access: &str) -> String {
    serde_json::json!({ "Resources": {
        "Token": { "Type": "AWS::SecretsManager::Secret", "Properties": {
            "Name": "shop/token", "SecretString": "hush", "Tags": [{ "Key": "greenroom:access", "Value": access }] } },
        "Word": { "Type": "AWS::SSM::Parameter", "Properties": {
            "Name": "/shop/word", "Type": "String", "Value": "hush", "Tags": { "greenroom:access": access } } },
    } })
    .to_string()
}

/// A repository beside the world's own, by what GitHub calls it now.
struct Other {
    name: RepoName,
    /// As what the server knows it.
    key: RepoName,
}

impl Other {
    fn push(&self, s: &AwsWorld, branch: &str, files: &[(&str, &str)]) -> CommitSha {
        let files = files.iter().map(|(path, text)| (*path, *text));
        s.w.github.push(&self.name, branch, files, "A change").expect("a commit")
    }

    fn open(&self, s: &AwsWorld, branch: &str) -> PullNumber {
        s.w.github.open_pull(&self.name, branch, "A change").expect("a pull request")
    }

    /// Waits until the comment on its pull request says this.
    async fn says(&self, s: &AwsWorld, pull: PullNumber, text: &str) -> String {
        let comment = || s.w.comment_of(&self.name, pull).unwrap_or_default();
        s.w.until(&format!("{} says {text:?}: {}", self.name, comment()), async || comment().contains(text)).await;
        comment()
    }

    async fn status(&self, s: &AwsWorld, stage: &str) -> String {
        database::status(&s.w.home.database_url(), self.key.as_str(), stage).await
    }

    /// Everything that was ever written on its pull requests.
    fn told(&self, s: &AwsWorld, pulls: &[PullNumber]) -> String {
        pulls.iter().flat_map(|pull| s.w.github.comments(&self.name, *pull)).map(|comment| comment.body).collect()
    }
}

/// Waits until a host answers this, and what GitHub shows of the commit is whole.
async fn answers(s: &AwsWorld, host: &str, word: &str, sha: &CommitSha, repo: &RepoName) {
    s.w.until(&format!("{host} answers {word}"), async || ask(s, host).await == (200, word.into())).await;
    let checked = || s.w.github.checks(repo, sha).iter().any(|check| check.conclusion.as_deref() == Some("success"));
    s.w.until(&format!("the check of {word} says so too"), async || checked()).await;
}

async fn ask(s: &AwsWorld, host: &str) -> (u16, String) {
    clients::get(s.edge.address, host, "/").await.unwrap_or_else(|error| (0, error))
}

/// As the repository's name stands in names that take nothing but letters, digits and dashes.
fn letters(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// That each thing is one repository's and names no other, or belongs to what previews share.
#[track_caller]
fn each_is_somebodys(account: &Account, repos: [&RepoName; 2]) {
    let mut strange = Vec::new();
    for (name, thing) in &account.things {
        let text = letters(&format!("{name} {thing:?}"));
        let named: Vec<&RepoName> = repos.into_iter().filter(|repo| text.contains(&letters(repo.name()))).collect();
        let is_right = match &thing.owner {
            Some(owner) => named.iter().all(|repo| repo.as_str() == owner) && (named.len() == 1 || is_internal(name)),
            None => is_shared(name, thing),
        };
        if !is_right {
            strange.push(format!("{name} {thing:?} names {named:?}"));
        }
    }
    assert!(strange.is_empty(), "{strange:#?}");
}

/// What CloudFormation makes inside of a stack has a random name, and its stack has the owner's.
fn is_internal(name: &str) -> bool {
    name.starts_with("AWS::") || name.starts_with("load balancer ") || name.starts_with("listener ")
}

fn is_shared(name: &str, thing: &Thing) -> bool {
    let shared = format!("{NAME}-previews-foundation");
    let of_account = ["secrets-of-the-account", "stack secrets-of-the-account"];
    name == format!("stack {shared}")
        || thing.stack.as_deref().is_some_and(|stack| stack == shared || of_account.contains(&stack))
        || of_account.contains(&name)
}

/// That nothing of the repository's changed, and that whatever is new is another's.
#[track_caller]
fn untouched(now: &Account, before: &Account, repo: &RepoName, made: &RepoName) {
    let missed = now.missed(before, |_, thing| thing.owner.as_deref() == Some(repo.as_str()));
    assert!(missed.is_empty(), "of {repo}: {missed:#?}");
    let new = now.things.iter().filter(|(name, _)| !before.things.contains_key(*name));
    let strange: Vec<_> = new.filter(|(_, thing)| thing.owner.as_deref() != Some(made.as_str())).collect();
    assert!(strange.is_empty(), "not of {made}: {strange:#?}");
}

/// A server, and the two stages of the first repository.
async fn world() -> (AwsWorld, RepoName) {
    let mut s = AwsWorld::with(&config("@", ""), vec![("GREENROOM_ALLOW", "acme/*".into())]).await;
    let first = s.w.repo.clone();
    s.make_stack("secrets-of-the-account", &secrets(first.as_str())).await;
    s.w.open("one");
    s.w.github.push(&first, "main", [("app", "one-prod")], "To prod").expect("a commit");
    (s, first)
}

/// Waits until both of the first one's stages are there.
async fn first_stands(s: &AwsWorld) {
    let head = |branch: &str| s.w.github.branch_head(&s.w.repo, branch).expect("a branch");
    s.w.live(&head("topic")).await;
    answers(s, "prod.example.test", "one-prod", &head("main"), &s.w.repo).await;
}

/// Another repository with this configuration.
fn beside(s: &AwsWorld, config: &str) -> Other {
    let made = s.w.github.create_repo(&own("acme/e2e_other.web"), files(&s.w.home.folder, config));
    let made = made.expect("a repository");
    Other { key: made.clone(), name: made }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_repositories_on_aws_are_strangers() {
    let (s, first) = world().await;
    first_stands(&s).await;
    let alone = Account::read(&s.config).await;
    let other = beside(&s, &config("@", ""));
    let cleaning = [CleanUp(first.clone()), CleanUp(other.key.clone())];
    let pull = who_comes_second_is_refused_the_hosts_and_told_no_more(&s, &other).await;
    assert_eq!(Account::read(&s.config).await, alone, "nothing was made for it, and nothing changed");

    let both = both_stand_beside_each_other(&s, &other, pull).await;
    untouched(&both, &alone, &first, &other.key);
    each_is_somebodys(&both, [&first, &other.key]);
    numbers_differ(&both);
    roles_reach_their_own_alone(&s, &both, [&first, &other.key]).await;

    s.w.github.close_pull(&other.name, pull).expect("it closes");
    other.says(&s, pull, "Destroyed at").await;
    let closed = Account::read(&s.config).await;
    untouched(&closed, &both, &first, &other.key);
    let left = closed.missed(&both, |name, thing| is_of(thing, &other.key) && name.contains("-prod-"));
    assert!(left.is_empty(), "its other stage stays: {left:#?}");
    assert_eq!(ask(&s, "pr-1.example.test").await, (200, "one".into()));
    assert_eq!(ask(&s, "other-pr-1.example.test").await.0, 404);
    cleaning.iter().for_each(CleanUp::now);
    s.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_name_on_aws_takes_nothing_else() {
    let (mut s, first) = world().await;
    let mut other = beside(&s, &config("other", ""));
    let cleaning = [CleanUp(first.clone()), CleanUp(other.key.clone())];
    let two = other.push(&s, "topic", &[("app", "two")]);
    let pull = other.open(&s, "topic");
    first_stands(&s).await;
    other.says(&s, pull, &format!("is live · `{}`", two.short())).await;
    answers(&s, "other-pr-1.example.test", "two", &two, &other.name).await;
    let both = Account::read(&s.config).await;

    // The first is renamed, the other takes its name, and a third the other's.
    s.w.repo = s.w.github.rename_repo(&first, &own("acme/e2e_store.web")).expect("it is renamed");
    other.name = s.w.github.rename_repo(&other.key, first.as_str()).expect("it is renamed");
    a_name_is_worth_nothing(&s, &other, &first, &both).await;
    renamed_it_goes_on_where_it_was(&mut s, &first, &other).await;
    cleaning.iter().for_each(CleanUp::now);
    s.finish().await;
}

fn is_of(thing: &Thing, repo: &RepoName) -> bool {
    thing.owner.as_deref() == Some(repo.as_str())
}

async fn who_comes_second_is_refused_the_hosts_and_told_no_more(s: &AwsWorld, other: &Other) -> PullNumber {
    other.push(s, "topic", &[("app", "two")]);
    let pull = other.open(s, "topic");
    other.push(s, "main", &[("app", "two-prod")]);
    other.says(s, pull, "pr-1.example.test belongs to another repository").await;
    s.w.until("its prod is refused too", async || other.status(s, "prod").await == "misconfigured").await;
    let told = letters(&other.told(s, &[pull]));
    assert!(!told.contains(&letters(s.w.repo.name())), "{told}");
    assert_eq!(ask(s, "pr-1.example.test").await, (200, "one".into()));
    assert_eq!(ask(s, "prod.example.test").await, (200, "one-prod".into()));
    pull
}

/// With labels of its own it has the same stages in the same zone.
async fn both_stand_beside_each_other(s: &AwsWorld, other: &Other, pull: PullNumber) -> Account {
    let config = config("other", ", apex: true");
    let prod = other.push(s, "main", &[(".github/greenroom.yml", &config), ("app", "two-prod")]);
    let two = other.push(s, "topic", &[(".github/greenroom.yml", &config), ("app", "two")]);
    other.says(s, pull, &format!("is live · `{}`", two.short())).await;
    answers(s, "other-pr-1.example.test", "two", &two, &other.name).await;
    answers(s, "other.example.test", "two-prod", &prod, &other.name).await;
    for (host, word) in [("pr-1.example.test", "one"), ("prod.example.test", "one-prod")] {
        assert_eq!(ask(s, host).await, (200, word.into()), "{host}");
    }
    let told = letters(&other.told(s, &[pull]));
    assert!(!told.contains(&letters(s.w.repo.name())), "{told}");
    Account::read(&s.config).await
}

/// Each rule of a listener has a number of its own.
#[track_caller]
fn numbers_differ(account: &Account) {
    let rules = account.things.iter().filter_map(|(name, thing)| Some((name.strip_prefix("rule ")?, thing)));
    let mut seen = BTreeSet::new();
    let mut shared = BTreeMap::<&str, usize>::new();
    for (arn, thing) in rules {
        let (listener, _) = arn.rsplit_once('/').expect("it is named after its listener");
        let priority = thing.state.split_once(',').expect("it begins with the priority").0;
        assert!(seen.insert((listener, priority.to_owned())), "{arn} {priority}");
        *shared.entry(listener).or_default() += 1;
    }
    let mut counts: Vec<usize> = shared.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2], "two share the previews' listener, and each prod has its own");
}

/// Which role starts the programs of each stage, as its task definition says.
async fn roles(s: &AwsWorld, account: &Account) -> BTreeMap<(String, String), (String, String)> {
    let ecs = aws_sdk_ecs::Client::new(&s.config);
    let mut roles = BTreeMap::new();
    for (name, thing) in &account.things {
        let Some(arn) = name.strip_prefix("task definition ") else { continue };
        let told = ecs.describe_task_definition().task_definition(arn).send().await.expect("it is told");
        let definition = told.task_definition.expect("it is there");
        let role = |arn: Option<String>| arn.and_then(|arn| Some(arn.rsplit_once('/')?.1.to_owned())).expect("a role");
        let stage = if arn.contains("-prod-") { "prod" } else { "pr-1" };
        let owner = thing.owner.clone().expect("it is somebody's");
        roles.insert((owner, stage.to_owned()), (role(definition.execution_role_arn), role(definition.task_role_arn)));
    }
    roles
}

/// Judged by what IAM says of policies: MiniStack gives a task whatever its definition names.
async fn roles_reach_their_own_alone(s: &AwsWorld, account: &Account, repos: [&RepoName; 2]) {
    let roles = roles(s, account).await;
    let stages: Vec<(String, String)> =
        repos.iter().flat_map(|repo| ["pr-1", "prod"].map(|stage| (repo.to_string(), stage.to_owned()))).collect();
    assert_eq!(roles.keys().cloned().collect::<BTreeSet<_>>(), stages.iter().cloned().collect());
    let different: BTreeSet<&String> = roles.values().flat_map(|(start, run)| [start, run]).collect();
    assert_eq!(different.len(), 8, "no two stages share one: {roles:?}");
    let named = |kind: &str, repo: &str| -> Vec<String> {
        let all = account.of(repo).into_keys().filter_map(|name| name.strip_prefix(kind));
        let all: Vec<String> = all.map(str::to_owned).collect();
        assert!(!all.is_empty(), "{repo} has no {kind}");
        all
    };
    for ((repo, stage), (start, run)) in &roles {
        assert_eq!(policies_of(&s.config, run).await, Vec::<String>::new(), "what runs may nothing by itself");
        let policies = policies_of(&s.config, start).await;
        let policies: Vec<Value> = policies.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        let may = |request: &Request| judge(&policies, request) == Decision::Allowed;
        for (whose, at) in &stages {
            let who = format!("{repo}/{stage} and what is {whose}/{at}'s");
            let access = if at == "prod" { format!("{whose}/prod") } else { whose.clone() };
            for (action, arn) in [
                (
                    "secretsmanager:GetSecretValue",
                    "arn:aws:secretsmanager:us-east-1:000000000000:secret:shop/token-AbCdEf",
                ),
                ("ssm:GetParameters", "arn:aws:ssm:us-east-1:000000000000:parameter/shop/word"),
            ] {
                let request = Request::new(action, arn).key("aws:ResourceTag/greenroom:access", &[&access]);
                assert_eq!(may(&request), repo == whose && stage == at, "{action}: {who}");
            }
            for name in named("repository ", whose) {
                let arn = format!("arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}");
                assert_eq!(may(&Request::new("ecr:BatchGetImage", &arn)), repo == whose, "images: {who}");
            }
            for name in named("log group ", whose).iter().filter(|name| name.contains(&format!("/{at}/"))) {
                let arn = format!("arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{name}:log-stream:x");
                let is_allowed = may(&Request::new("logs:PutLogEvents", &arn));
                assert!(is_allowed || (repo, stage) != (whose, at), "logs: {who}");
                assert!(!is_allowed || repo == whose, "logs: {who}");
            }
        }
    }
}

/// Under the first one's name the other has what it had, and a stranger under the other's has nothing.
async fn a_name_is_worth_nothing(s: &AwsWorld, other: &Other, first: &RepoName, before: &Account) {
    let stranger = s.w.github.create_repo(other.key.as_str(), files(&s.w.home.folder, &config("third", "")));
    let stranger = Other { name: stranger.expect("a repository"), key: other.key.clone() };
    stranger.push(s, "topic", &[("app", "five")]);
    let asked = stranger.open(s, "topic");
    let three = other.push(s, "next", &[("app", "three")]);
    let pull = other.open(s, "next");
    other.says(s, pull, &format!("is live · `{}`", three.short())).await;
    answers(s, &format!("other-pr-{pull}.example.test"), "three", &three, &other.name).await;
    let told = || stranger.told(s, &[asked]).replace('\\', "");
    s.w.until("the stranger is told", async || told().contains("GREENROOM_ALLOW")).await;
    assert!(told().contains("they add acme.") && !told().contains(s.w.repo.name()), "{}", told());
    s.w.github.comment(&stranger.name, asked, "octocat", "/destroy prod").expect("a comment");
    s.w.github.comment(&other.name, pull, "octocat", &format!("/destroy pr-{}", s.w.pull)).expect("a comment");
    let answered = || s.w.github.comments(&other.name, pull).iter().any(|it| it.body.contains("greenroom receipt"));
    s.w.until("the other is answered", async || answered()).await;
    let now = Account::read(&s.config).await;
    untouched(&now, before, first, &other.key);
    each_is_somebodys(&now, [first, &other.key]);
    assert_eq!(ask(s, "pr-1.example.test").await, (200, "one".into()));
    assert_eq!(ask(s, "third-pr-1.example.test").await.0, 404);
}

/// The first one keeps all, and what it does is done to its own.
async fn renamed_it_goes_on_where_it_was(s: &mut AwsWorld, first: &RepoName, other: &Other) {
    let before = Account::read(&s.config).await;
    let four = s.w.push("four");
    s.w.live(&four).await;
    assert_eq!(s.ask().await, (200, "four".into()));
    let rolled = Account::read(&s.config).await;
    untouched(&rolled, &before, &other.key, first);
    let stacks = rolled.missed(&before, |name, _| name.starts_with("stack ") || name.contains("-prod-"));
    assert!(stacks.is_empty(), "it rolls in the stage that it had, and prod is left alone: {stacks:#?}");
    let new = letters(s.w.repo.name());
    let renamed: Vec<_> = rolled.things.iter().filter(|it| letters(&format!("{it:?}")).contains(&new)).collect();
    assert!(renamed.is_empty(), "{renamed:#?}");

    s.w.close();
    s.w.comment_says("Destroyed at").await;
    let closed = Account::read(&s.config).await;
    untouched(&closed, &rolled, &other.key, first);
    let left = closed.of(first.as_str());
    assert!(left.keys().all(|name| !name.contains("-pr-1-")) && !left.is_empty(), "{:?}", left.keys());
    for (host, word) in [("prod", "one-prod"), ("other-pr-1", "two"), ("other-pr-2", "three")] {
        assert_eq!(ask(s, &format!("{host}.example.test")).await, (200, word.into()), "{host}");
    }
}
