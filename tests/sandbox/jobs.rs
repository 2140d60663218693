//! Tokens of jobs: what a workflow grants and no more, as the account of workflows, each refusal as GitHub
//! words it.

use greenroom::github::{GitHub, TokenSettings};
use greenroom::model::{
    CheckApp, CheckState, CommentSource, CommitSha, DeploymentState, Permission, PullNumber, Reaction, RepoName,
    StageName,
};
use greenroom::port::{
    CheckRun, DeploymentRequest, DeploymentUpdate, EnvironmentLifetime, Forge as _, PortError, StickyComment,
};
use greenroom::sandbox::{JobOf, SandboxError, SandboxSettings};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::assert_documented;
use crate::client::{DELETE, GET, PATCH, POST, Receiver, Stage, settle};

const ACTIONS: u64 = 41_898_282;
/// What the workflows of the README grant.
const GRANTED: [&str; 6] = [
    "contents: read",
    "pull-requests: write",
    "issues: write",
    "checks: write",
    "deployments: write",
    "statuses: read",
];
const MARKER: &str = "<!-- greenroom:pr-1 ";

/// A shop with a pull request, asked with the token of a job.
async fn with_job(of: JobOf) -> Stage {
    let stage = Stage::new().await;
    stage.hub.commit(&stage.shop, "two", [("a", "b")], "Two").unwrap();
    stage.hub.open_pull(&stage.shop, "two", "Two").unwrap();
    let token = stage.hub.job_token(&stage.shop, &GRANTED, of).unwrap();
    stage.use_token(token.expose_secret());
    stage
}

fn github(stage: &Stage, of: JobOf) -> GitHub {
    let token = stage.hub.job_token(&stage.shop, &GRANTED, of).unwrap();
    let repo = stage.hub.repo_seen(&stage.shop).unwrap();
    GitHub::with_token(&TokenSettings::new(stage.hub.api_url(), token, repo, stage.clock.clone(), 7)).unwrap()
}

#[tokio::test]
async fn a_job_may_what_its_workflow_grants_and_is_known_as_its_account() {
    let stage = with_job(JobOf::Repository).await;
    let comments = "/repos/acme/shop/issues/1/comments";
    let made = stage.send(POST, comments, Some(json!({ "body": "hello" }))).await;
    assert_eq!((made.status, &made.json["user"]["id"]), (201, &json!(ACTIONS)));
    assert_eq!(made.json["user"]["login"], "github-actions[bot]");
    assert_eq!(made.json["performed_via_github_app"]["slug"], "github-actions");
    let one = format!("/repos/acme/shop/issues/comments/{}", made.json["id"]);
    assert_eq!(stage.send(PATCH, &one, Some(json!({ "body": "hello again" }))).await.status, 200);
    let reaction = stage.send(POST, &format!("{one}/reactions"), Some(json!({ "content": "eyes" }))).await;
    assert_eq!((reaction.status, &reaction.json["user"]["id"]), (201, &json!(ACTIONS)));

    let head = stage.hub.branch_head(&stage.shop, "two").unwrap();
    let run = stage.send(POST, "/repos/acme/shop/check-runs", Some(json!({ "name": "x", "head_sha": head }))).await;
    assert_eq!((run.status, &run.json["app"]["id"]), (201, &json!(15_368)));
    let deployment = json!({ "ref": head, "environment": "pr-1", "auto_merge": false, "required_contexts": [] });
    let deployment = stage.send(POST, "/repos/acme/shop/deployments", Some(deployment)).await;
    assert_eq!((deployment.status, &deployment.json["creator"]["id"]), (201, &json!(ACTIONS)));
    let right = stage.get("/repos/acme/shop/collaborators/ada/permission").await;
    assert_eq!((right.status, &right.json["permission"]), (200, &json!("read")), "by metadata alone");
    assert_eq!(stage.get("/users/ada").await.status, 200);
    assert_documented(&stage);
}

#[tokio::test]
async fn what_no_workflow_can_grant_is_refused_as_github_refuses_it() {
    let stage = with_job(JobOf::Repository).await;
    stage.hub.create_repo("acme/other", [("README.md", "# Other\n")]).unwrap();
    stage.hub.create_repo("acme/open", [("README.md", "# Open\n")]).unwrap();
    let open = "acme/open".parse().unwrap();
    stage.hub.set_visibility(&open, greenroom::sandbox::Visibility::Public).unwrap();
    stage.hub.add_to_team(&stage.shop, "ops", "ada");
    let cases = [
        (DELETE, "/repos/acme/shop/environments/pr-1", 403, "administration=write"),
        (GET, "/repos/acme/shop/environments", 403, "actions=read"),
        (GET, "/orgs/acme/teams/ops", 403, "members=read"),
        (GET, "/orgs/acme/teams/ops/memberships/ada", 403, "members=read"),
        (GET, "/installation/repositories", 403, "an installation access token"),
        (GET, "/repos/acme/other", 404, ""),
        (GET, "/repos/acme/open", 200, ""),
        (POST, "/repos/acme/open/check-runs", 403, "a token for this repository"),
        (GET, "/app", 401, ""),
        (GET, "/app/installations", 401, ""),
        (GET, "/app/hook/deliveries", 401, ""),
        (GET, "/repos/acme/shop/installation", 401, ""),
    ];
    for (method, path, status, accepted) in cases {
        let head = stage.hub.branch_head(&stage.shop, "main").unwrap();
        let body = (method == POST).then(|| json!({ "name": "x", "head_sha": head }));
        let reply = stage.send(method.clone(), path, body).await;
        assert_eq!(
            (reply.status, reply.header("x-accepted-github-permissions")),
            (status, accepted),
            "{method} {path}"
        );
        if status == 403 {
            assert_eq!(reply.json["message"], "Resource not accessible by integration", "{method} {path}");
        }
    }
    for line in ["administration: write", "members: read", "checks", "checks: admin", "environments: write"] {
        let refused = stage.hub.job_token(&stage.shop, &[line], JobOf::Repository);
        assert!(matches!(refused, Err(SandboxError::Refused(_))), "{line}");
    }
    let bare = stage.hub.job_token(&stage.shop, &["checks: none"], JobOf::Repository).unwrap();
    stage.use_token(bare.expose_secret());
    assert_eq!(stage.get("/repos/acme/shop").await.status, 200, "the metadata are always read");
    let refused = stage.get("/repos/acme/shop/pulls").await;
    assert_eq!((refused.status, refused.header("x-accepted-github-permissions")), (403, "pull_requests=read"));
    assert_documented(&stage);
}

#[tokio::test]
async fn a_job_ends_and_its_token_with_it() {
    let stage = with_job(JobOf::Repository).await;
    let token = stage.hub.job_token(&stage.shop, &GRANTED, JobOf::Repository).unwrap();
    stage.use_token(token.expose_secret());
    stage.hub.uninstall(&stage.shop).unwrap();
    assert_eq!(stage.get("/repos/acme/shop").await.status, 200, "no App is wanted");
    stage.hub.end_job(&token);
    assert_eq!(stage.get("/repos/acme/shop").await.status, 401);
    let token = stage.hub.job_token(&stage.shop, &GRANTED, JobOf::Repository).unwrap();
    stage.use_token(token.expose_secret());
    stage.clock.forward(24 * 3_600_000 - 1);
    assert_eq!(stage.get("/repos/acme/shop").await.status, 200);
    stage.clock.forward(1);
    assert_eq!(stage.get("/repos/acme/shop").await.status, 401, "a day is the most");
    assert!(!format!("{:?}", stage.hub.requests()).contains(token.expose_secret()), "it stays out of the transcript");
    assert_documented(&stage);
}

#[tokio::test]
async fn jobs_of_one_repository_share_a_limit_of_their_own() {
    let limits = |settings| SandboxSettings { job_requests_per_hour: 3, ..settings };
    let stage = Stage::with(limits).await;
    let other = stage.hub.create_repo("acme/other", [("README.md", "# Other\n")]).unwrap();
    let [one, two] = [(); 2].map(|()| stage.hub.job_token(&stage.shop, &GRANTED, JobOf::Repository).unwrap());
    for (token, left) in [(&one, "2"), (&two, "1"), (&one, "0")] {
        stage.use_token(token.expose_secret());
        let reply = stage.get("/repos/acme/shop").await;
        assert_eq!(
            (reply.status, reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")),
            (200, "3", left)
        );
    }
    assert_eq!(stage.get("/repos/acme/shop").await.status, 403);
    let elsewhere = stage.hub.job_token(&other, &GRANTED, JobOf::Repository).unwrap();
    stage.use_token(elsewhere.expose_secret());
    assert_eq!(stage.get("/repos/acme/other").await.status, 200);
    stage.use_token(stage.hub.installation_token(&stage.shop).unwrap().expose_secret());
    assert_eq!(stage.get("/repos/acme/shop").await.status, 200, "the App's is another");
    assert_documented(&stage);
}

#[tokio::test]
async fn what_a_job_does_starts_no_workflow() {
    let receiver = Receiver::start().await;
    let stage = with_job(JobOf::Repository).await;
    stage.hub.set_webhook(receiver.target.clone());
    stage.hub.comment(&stage.shop, PullNumber(1), "ada", "/status").unwrap();
    stage.send(POST, "/repos/acme/shop/issues/1/comments", Some(json!({ "body": "/status" }))).await;
    settle(&stage.hub).await;
    let heard: Vec<bool> = stage.hub.deliveries().iter().map(|one| one.starts_workflows).collect();
    assert_eq!((heard, receiver.received().len()), (vec![true, false], 2), "an App hears of both");
}

#[tokio::test]
async fn a_forks_token_reads_and_writes_nothing() {
    let stage = with_job(JobOf::Fork).await;
    let github = github(&stage, JobOf::Fork);
    let head = stage.hub.branch_head(&stage.shop, "two").unwrap();
    assert_eq!(github.pull_request(&stage.shop, PullNumber(1)).await.unwrap().head.sha, head);
    let (shop, name) = (&stage.shop, StageName::new("pr-1").unwrap());
    let comment = stage.hub.comment(shop, PullNumber(1), "ada", "hello").unwrap();
    let denied = [
        (github.publish_comment(&sticky(shop)).await.map(drop), "`pull-requests: write`"),
        (github.publish_check(&check(shop, &head)).await.map(drop), "`checks: write`"),
        (github.ensure_deployment(&deployment(shop, &head, &name)).await.map(drop), "`deployments: write`"),
        (github.react(shop, CommentSource::Issue, comment, Reaction::Eyes).await, "`pull-requests: write`"),
    ];
    for (result, line) in denied {
        let Err(PortError::Denied { reason }) = result else { panic!("{line}: {result:?}") };
        assert!(reason.contains(line) && reason.contains("a fork's pull request only reads"), "{reason}");
    }
    assert_eq!(stage.hub.comments(shop, PullNumber(1)).len(), 1);
    assert!(stage.hub.checks(shop, &head).is_empty() && stage.hub.deployments(shop).is_empty());
    assert_documented(&stage);
}

fn sticky(repo: &RepoName) -> StickyComment<'_> {
    StickyComment { repo, pull: PullNumber(1), id: None, marker: MARKER, body: "<!-- greenroom:pr-1 {} -->\nlive" }
}

fn check<'a>(repo: &'a RepoName, sha: &'a CommitSha) -> CheckRun<'a> {
    let (name, key, state) = ("greenroom / pr-1", "pr-1@x", CheckState::Success);
    CheckRun { repo, sha, id: None, key, name, state, title: "Live", summary: "All is well", details_url: None }
}

fn deployment<'a>(repo: &'a RepoName, sha: &'a CommitSha, environment: &'a StageName) -> DeploymentRequest<'a> {
    DeploymentRequest { repo, sha, environment, key: "pr-1/1", lifetime: EnvironmentLifetime::Transient }
}

/// Everything that a job shows, twice, and what it may not at the end.
#[tokio::test]
async fn a_job_shows_what_an_app_shows_but_leaves_the_environment() {
    let stage = with_job(JobOf::Repository).await;
    let github = github(&stage, JobOf::Repository);
    let (shop, name) = (&stage.shop, StageName::new("pr-1").unwrap());
    let head = stage.hub.branch_head(shop, "two").unwrap();
    for who in ["mallory", "other[bot]"] {
        stage.hub.comment(shop, PullNumber(1), who, "<!-- greenroom:pr-1 {} -->\nmine").unwrap();
    }
    let (first, again) = (github.publish_comment(&sticky(shop)).await, github.publish_comment(&sticky(shop)).await);
    assert_eq!(first.unwrap(), again.unwrap());
    let said = stage.hub.comments(shop, PullNumber(1));
    let edits: Vec<_> = said.iter().map(|one| (one.author.login.as_str(), one.edits)).collect();
    assert_eq!(edits, [("mallory", 0), ("other[bot]", 0), ("github-actions[bot]", 1)]);

    let (first, again) =
        (github.publish_check(&check(shop, &head)).await, github.publish_check(&check(shop, &head)).await);
    assert_eq!(first.unwrap(), again.unwrap());
    let foreign = stage.hub.check(shop, &head, "github-actions", "test", "in_progress", None).unwrap();
    let runs = github.checks(shop, &head).await.unwrap().runs;
    assert!(runs.iter().any(|run| run.number == foreign && run.app == CheckApp::App(15_368)), "{runs:?}");

    let request = deployment(shop, &head, &name);
    let made = github.ensure_deployment(&request).await.unwrap();
    assert_eq!(github.ensure_deployment(&request).await.unwrap(), made);
    let update = DeploymentUpdate {
        repo: shop,
        deployment: &made,
        state: DeploymentState::Success,
        description: "live",
        environment_url: Some("https://pr-1.preview.test"),
        log_url: None,
    };
    github.publish_deployment_status(&update).await.unwrap();
    let denied = github.remove_environment(shop, &name).await;
    let Err(PortError::Denied { reason }) = denied else { panic!("{denied:?}") };
    assert!(reason.contains("by hand") && reason.lines().count() == 1, "{reason}");
    assert_eq!(stage.hub.deployments(shop)[0].state(), "inactive");
    assert_eq!(stage.hub.environments(shop)[0].name, "pr-1");

    stage.hub.set_permission(shop, "maya", Permission::Maintain);
    let maya = github.account(shop, "maya").await.unwrap();
    assert_eq!(github.permission(shop, "maya", maya.id).await.unwrap(), Permission::Maintain);
    stage.hub.add_to_team(shop, "ops", "maya");
    let team = github.is_in_team(shop, "ops", "maya", maya.id).await;
    assert!(matches!(&team, Err(PortError::Denied { reason }) if reason.contains("instead of teams")), "{team:?}");
    assert_documented(&stage);
}
