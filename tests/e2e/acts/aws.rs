//! The Action with stages on AWS: the state in a bucket, the identity from the issuer, the stages on MiniStack.

use aws_config::SdkConfig;
use greenroom::model::Permission;
use greenroom::sandbox::FileChange;
use serde_json::Value;

use super::action::{lay, workflows};
use super::event::Event;
use super::told::Told;
use super::yard::Yard;
use crate::aws_world::{CONFIG, NAME, files as shop_files};
use crate::clients;
use crate::depth::Depth;
use crate::docker::{CleanUp, docker};
use crate::edge::{Edge, Targets};
use crate::estate::Estate;
use crate::ministack::{ACCOUNT, Containers, MiniStack, REGION};

/// The account of the workflows as they are handed out.
const EXAMPLE_ACCOUNT: &str = "123456789012";
const EXAMPLE_REGION: &str = "eu-central-1";
const BOUNDARY: &str = "greenroom-boundary";
/// How far a deploy can be seen to be from outside, from its begin to its end.
const POINTS: [&str; 6] = ["a comment", "an image", "a stack", "a service", "a task", "an answer"];

/// A repository whose stages run on an AWS of its own.
pub(super) struct Shop {
    pub(super) yard: Yard,
    pub(super) aws: MiniStack,
    pub(super) edge: Edge,
    config: SdkConfig,
    clean_up: CleanUp,
}

impl Shop {
    pub(super) async fn new() -> Self {
        docker(&["version"]);
        let aws = MiniStack::start(Containers::Real).await;
        let config = aws.config().await;
        let edge = Edge::start(&config, Targets::Registered).await;
        let files = |folder: &std::path::Path| -> Vec<FileChange> {
            let mut files = shop_files(folder, CONFIG);
            let here = |line: &str| line.replace(EXAMPLE_ACCOUNT, ACCOUNT).replace(EXAMPLE_REGION, REGION);
            files.extend(workflows(|line| Some(here(line))));
            files
        };
        let mut yard = Yard::begin(files, lay).await;
        yard.environment = aws.environment();
        // Who the step is on AWS the issuer says, and nothing of the machine.
        yard.environment.retain(|(name, _)| !name.contains("ACCESS_KEY") && *name != "AWS_REGION");
        yard.environment.extend(ways(&aws, &edge));
        yard.github.set_permission(&yard.repo, "ada", Permission::Write);
        as_bootstrapped(&config).await;
        let clean_up = CleanUp(yard.repo.clone());
        Self { yard, aws, edge, config, clean_up }
    }

    /// Asks a stage through the load balancer; what breaks counts as status 0.
    pub(super) async fn ask(&self, stage: &str) -> (u16, String) {
        let answer = clients::get(self.edge.address, &format!("{stage}.example.test"), "/").await;
        answer.unwrap_or_else(|error| (0, error))
    }

    pub(super) async fn estate(&self) -> Estate {
        Estate::read(&self.config, NAME, "acme").await
    }

    async fn has_come_to(&self, point: &str) -> bool {
        match point {
            "a comment" => !self.yard.comments_of_bots().is_empty(),
            "an image" => !self.estate().await.images.is_empty(),
            "a stack" => !self.estate().await.stacks.is_empty(),
            "a service" => !self.estate().await.services.is_empty(),
            "a task" => !self.estate().await.tasks.is_empty(),
            "an answer" => self.ask("pr-1").await.0 == 200,
            other => panic!("a deploy cannot be seen to come to {other}"),
        }
    }

    /// The end of a test that closed its pull request: nothing of it is left anywhere.
    pub(super) async fn finish(self) {
        assert_eq!(self.estate().await.lines(), Vec::<String>::new(), "AWS has something left");
        // MiniStack calls a task stopped, and then gives its container seconds to go.
        self.yard.until("the containers stop", async || self.aws.containers().is_empty()).await;
        self.yard.finish().await;
    }
}

/// What `greenroom bootstrap` makes, as far as workflows name it; the roles anybody may take on here.
async fn as_bootstrapped(config: &SdkConfig) {
    let made = aws_sdk_s3::Client::new(config).create_bucket().bucket(bucket()).send().await;
    made.expect("a bucket");
    let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let policy = aws_sdk_iam::Client::new(config).create_policy().policy_name(BOUNDARY).policy_document(all);
    policy.send().await.expect("a policy");
}

/// The policy that every role of a program is kept within.
pub(super) fn boundary() -> String {
    format!("arn:aws:iam::{ACCOUNT}:policy/{BOUNDARY}")
}

/// How the outside is reached from a program of this test.
pub(super) fn ways(aws: &MiniStack, edge: &Edge) -> [(&'static str, String); 3] {
    [("GREENROOM_REGISTRY", aws.registry()), ("HTTP_PROXY", edge.url()), ("NO_PROXY", "localhost,127.0.0.1".into())]
}

/// The bucket that `greenroom bootstrap` makes.
pub(super) fn bucket() -> String {
    format!("greenroom-state-{ACCOUNT}-{REGION}")
}

#[track_caller]
pub(super) fn is_live(told: &Told, stage: &str) {
    assert!(told.succeeded(), "{}", told.all());
    assert_eq!((told.output("stage"), told.output("state")), (stage, "live"), "{}", told.all());
    assert!(told.summary.contains(told.output("url")), "{}", told.all());
    let digests: Value = serde_json::from_str(told.output("image-digests")).expect("JSON");
    assert!(digests["web"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{digests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_by_workflows_on_aws_from_its_first_commit_to_its_end() {
    let mut s = Shop::new().await;
    let opened = s.yard.open("one").await;
    let one = s.yard.happens(&opened).await;
    is_live(&one, "pr-1");
    assert_eq!(one.output("url"), "http://pr-1.example.test");
    assert_eq!(s.ask("pr-1").await, (200, "one".into()));
    assert!(s.yard.issuer.audiences().iter().all(|audience| audience == "sts.amazonaws.com"));
    let comments = s.yard.comments_of_bots();
    assert!(comments.len() == 1 && comments[0].contains(one.output("url")), "{comments:#?}");

    let pushed = s.yard.push("two").await;
    is_live(&s.yard.happens(&pushed).await, "pr-1");
    assert_eq!(s.ask("pr-1").await, (200, "two".into()));

    let told = s.yard.happens(&s.yard.comment("ada", "/status").await).await;
    assert!(told.succeeded() && s.yard.comments_of_bots().len() == 2, "{}", told.all());

    let gone = s.yard.happens(&s.yard.close().await).await;
    assert!(gone.succeeded() && gone.output("state") == "destroyed", "{}", gone.all());
    let swept = s.yard.happens(&Event::schedule("23 * * * *")).await;
    assert!(swept.succeeded(), "{}", swept.all());
    s.finish().await;
}

/// With `--all` five pull requests beside the one that hangs, otherwise two.
#[tokio::test(flavor = "multi_thread")]
async fn no_run_on_aws_waits_for_anothers_deploy_and_a_newer_commit_takes_over() {
    let mut s = Shop::new().await;
    let opened = s.yard.open("one stuck").await;
    let stuck = s.yard.begins(&opened);
    s.yard.until("there is a task that never gets well", async || s.has_come_to("a task").await).await;

    let names = ["a", "b", "c", "d", "e"];
    let names = if Depth::of_this_run() == Depth::All { &names[..] } else { &names[..2] };
    let mut events = Vec::new();
    for name in names {
        events.push(s.yard.open_from(name, name).await);
    }
    let runs: Vec<_> = events.iter().map(|event| s.yard.begins(event)).collect();
    for ((run, event), name) in runs.into_iter().zip(&events).zip(names) {
        let stage = format!("pr-{}", event.body["number"]);
        let told = run.ended().await;
        is_live(&told, &stage);
        assert_eq!(s.ask(&stage).await, (200, (*name).to_owned()));
    }
    assert!(!stuck.entries().is_empty(), "the one that hangs goes on");

    let pushed = s.yard.push("two").await;
    is_live(&s.yard.happens(&pushed).await, "pr-1");
    assert_eq!(s.ask("pr-1").await, (200, "two".into()));
    let told = stuck.ended().await;
    assert!(told.succeeded(), "what a newer commit took over from did not fail: {}", told.all());
    assert_eq!(s.yard.comments_of_bots().len(), 1, "of the first pull request");
    s.yard.asked_only_what_is_documented();
    s.clean_up.now();
}

/// Of the points at which a run can be killed each has a test; the everyday run tells one of them.
async fn killed_when_there_is(point: &str) {
    if !Depth::of_this_run().of("where a run on AWS is killed", &POINTS).contains(&point) {
        return;
    }
    let mut s = Shop::new().await;
    let opened = s.yard.open("one").await;
    let run = s.yard.begins(&opened);
    s.yard.until(&format!("there is {point}"), async || s.has_come_to(point).await).await;
    run.kill();
    // Its lanes are given up when their lease is over, and not before.
    let again = s.yard.happens(&opened).await;
    is_live(&again, "pr-1");
    assert_eq!(s.ask("pr-1").await, (200, "one".into()));
    assert_eq!(s.yard.comments_of_bots().len(), 1);
    assert_eq!(s.yard.github.deployments(&s.yard.repo).len(), 1);
    let estate = s.estate().await;
    assert_eq!((estate.stacks.len(), estate.services.len(), estate.tasks.len()), (1, 1, 1), "{estate:#?}");
    let gone = s.yard.happens(&s.yard.close().await).await;
    assert!(gone.succeeded() && gone.output("state") == "destroyed", "{}", gone.all());
    s.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_once_there_is_a_comment_is_gone_on_with() {
    killed_when_there_is("a comment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_once_there_is_an_image_is_gone_on_with() {
    killed_when_there_is("an image").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_once_there_is_a_stack_is_gone_on_with() {
    killed_when_there_is("a stack").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_once_there_is_a_service_is_gone_on_with() {
    killed_when_there_is("a service").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_once_there_is_a_task_is_gone_on_with() {
    killed_when_there_is("a task").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_once_there_is_an_answer_is_gone_on_with() {
    killed_when_there_is("an answer").await;
}
