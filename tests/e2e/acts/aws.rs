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
use crate::docker::{CleanUp, docker};
use crate::edge::{Edge, Targets};
use crate::estate::Estate;
use crate::ministack::{ACCOUNT, Containers, MiniStack};

/// A repository whose stages run on an AWS of its own.
struct Shop {
    yard: Yard,
    aws: MiniStack,
    edge: Edge,
    config: SdkConfig,
    _clean_up: CleanUp,
}

impl Shop {
    async fn new() -> Self {
        docker(&["version"]);
        let aws = MiniStack::start(Containers::Real).await;
        let config = aws.config().await;
        let edge = Edge::start(&config, Targets::Registered).await;
        let files = |folder: &std::path::Path| -> Vec<FileChange> {
            let mut files = shop_files(folder, CONFIG);
            files.extend(workflows(|line| Some(line.replace("eu-central-1", "us-east-1"))));
            files
        };
        let mut yard = Yard::begin(files, lay).await;
        yard.environment = aws.environment();
        // Who the step is on AWS the issuer says, and nothing of the machine.
        yard.environment.retain(|(name, _)| !name.contains("ACCESS_KEY") && *name != "AWS_REGION");
        yard.environment.extend([
            ("GREENROOM_REGISTRY", aws.registry()),
            ("HTTP_PROXY", edge.url()),
            ("NO_PROXY", "localhost,127.0.0.1".into()),
        ]);
        yard.github.set_permission(&yard.repo, "ada", Permission::Write);
        let bucket = format!("greenroom-state-{ACCOUNT}-us-east-1");
        let made = aws_sdk_s3::Client::new(&config).create_bucket().bucket(bucket).send().await;
        made.expect("a bucket");
        let clean_up = CleanUp(yard.repo.clone());
        Self { yard, aws, edge, config, _clean_up: clean_up }
    }

    /// Asks a stage through the load balancer; what breaks counts as status 0.
    async fn ask(&self, stage: &str) -> (u16, String) {
        let answer = clients::get(self.edge.address, &format!("{stage}.example.test"), "/").await;
        answer.unwrap_or_else(|error| (0, error))
    }

    async fn estate(&self) -> Estate {
        Estate::read(&self.config, NAME, "acme").await
    }
}

#[track_caller]
fn is_live(told: &Told, stage: &str) {
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
    assert_eq!(s.estate().await.lines(), Vec::<String>::new(), "AWS has something left");
    assert!(s.aws.containers().is_empty(), "{:?}", s.aws.containers());

    let swept = s.yard.happens(&Event::schedule("23 * * * *")).await;
    assert!(swept.succeeded(), "{}", swept.all());
    s.yard.finish().await;
}
