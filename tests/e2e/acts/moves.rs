//! A repository moves from its workflows to the App and back: the stage on AWS stays as it is.

use std::path::Path;
use std::process::Command;

use greenroom::sandbox::WebhookTarget;
use secrecy::SecretString;

use super::aws::{Shop, boundary, bucket, is_live, ways};
use crate::database::{self, Database, Line};
use crate::server::{Home, SECRET, Server, inherited};

/// The server that takes the repository over.
fn home(s: &Shop) -> Home {
    let mut environment = s.aws.environment();
    environment.extend([
        ("GREENROOM_TARGET", "aws".into()),
        // As the workflows have it: another one would be another template.
        ("GREENROOM_AWS_PERMISSIONS_BOUNDARY", boundary()),
    ]);
    environment.extend(ways(&s.aws, &s.edge));
    Home {
        folder: s.yard.folder().to_path_buf(),
        store: Database::Sqlite,
        addresses: None,
        allow: s.yard.repo.to_string(),
        environment,
        before: String::new(),
    }
}

/// `greenroom state`, as a person calls it who may reach both.
fn state(s: &Shop, home: &Home, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command.arg("state").args(words).env_clear().envs(inherited()).envs(home.environment.iter().cloned());
    let said = command.env("GREENROOM_DATABASE_URL", home.database_url()).current_dir(s.yard.folder()).output();
    let said = said.expect("the program of this package runs");
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{words:?}: {text}");
    assert!(text.contains("1 stages"), "{words:?}: {text}");
}

/// Of the deploys that were there before, all that was ever done.
async fn of_these(home: &Home, known: &[Line]) -> Vec<Line> {
    let mut lines = database::steps(&home.database_url()).await;
    lines.retain(|line| known.iter().any(|known| known.deploy == line.deploy));
    lines
}

/// The one comment that shows the stage, whoever wrote it.
fn comment(s: &Shop) -> String {
    let mut comments = s.yard.github.comments(&s.yard.repo, s.yard.pull);
    comments.retain(|comment| comment.body.starts_with("<!-- greenroom:"));
    assert_eq!(comments.len(), 1, "{comments:#?}");
    comments.pop().expect("there is one").body.replace('\\', "")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_takes_a_stage_over_from_the_workflows_and_hands_it_back() {
    let mut s = Shop::new().await;
    let home = home(&s);
    let opened = s.yard.open("one").await;
    is_live(&s.yard.happens(&opened).await, "pr-1");
    let (estate, said) = (s.estate().await, comment(&s));

    let (bucket, number) = (format!("s3://{}", bucket()), s.yard.number().to_string());
    state(&s, &home, &["export", "to-the-app", "--state", &bucket, "--number", &number]);
    state(&s, &home, &["import", "to-the-app"]);
    let known = database::steps(&home.database_url()).await;
    assert!(!known.is_empty(), "the log of the first deploy goes along");

    let server = Server::start(&home, &s.yard.github).await;
    let url = format!("http://{}/webhook", server.door);
    s.yard.github.set_webhook(WebhookTarget { url, secret: SecretString::from(SECRET) });
    let looked = async || s.yard.github.counts().of(&http::Method::GET, "/app/hook/deliveries") > 0;
    s.yard.until("the server has looked for deliveries that it missed", looked).await;
    let two = s.yard.push("two").await.body["pull_request"]["head"]["sha"].as_str().expect("a commit").to_owned();
    let shows = format!("is live · `{}`", &two[..7]);
    s.yard.until("the App brings the next commit live", async || comment(&s).contains(&shows)).await;
    assert_eq!(s.ask("pr-1").await, (200, "two".into()));
    assert_eq!(of_these(&home, &known).await, known, "of what the workflow did no step is done again");
    one_of_each_still_stands(&s, &estate).await;
    assert_ne!(comment(&s), said, "the App goes on in the comment of the workflow");

    server.ask_to_stop();
    let ended = server.stopped().await;
    assert!(ended.success(), "the server ended with {ended}:\n{}", home.log());
    let known = database::steps(&home.database_url()).await;
    let repo = s.yard.repo.to_string();
    state(&s, &home, &["export", "to-the-workflows", "--repo", &repo]);
    state(&s, &home, &["import", "to-the-workflows", "--state", &bucket]);
    a_workflow_goes_on(&s, &home, &known, &bucket, &number).await;
    one_of_each_still_stands(&s, &estate).await;

    let gone = s.yard.happens(&s.yard.close().await).await;
    assert!(gone.succeeded() && gone.output("state") == "destroyed", "{}", gone.all());
    assert!(comment(&s).contains("Destroyed at"), "{}", comment(&s));
    s.finish().await;
}

/// The next commit is brought live by its workflow, and nothing else is done.
async fn a_workflow_goes_on(s: &Shop, home: &Home, known: &[Line], bucket: &str, number: &str) {
    let three = s.yard.push("three").await;
    is_live(&s.yard.happens(&three).await, "pr-1");
    assert_eq!(s.ask("pr-1").await, (200, "three".into()));
    let deployments = s.yard.github.deployments(&s.yard.repo);
    assert_eq!(deployments.len(), 3, "one for each commit: {deployments:#?}");
    // What the workflow's state holds by now, looked into in a database of its own.
    let looked_into = Home { folder: home.folder.join("looked-into"), ..home.clone() };
    std::fs::create_dir_all(&looked_into.folder).expect("a folder");
    let file = Path::new("looked-into/file").display().to_string();
    state(s, &looked_into, &["export", &file, "--state", bucket, "--number", number]);
    state(s, &looked_into, &["import", &file]);
    assert_eq!(of_these(&looked_into, known).await, known, "of what the App did no step is done again");
}

/// Of the stack, its service and its target group.
async fn one_of_each_still_stands(s: &Shop, before: &crate::estate::Estate) {
    let now = s.estate().await;
    assert_eq!((&now.stacks, &now.services), (&before.stacks, &before.services));
    assert_eq!((&now.target_groups, &now.rules), (&before.target_groups, &before.rules));
}
