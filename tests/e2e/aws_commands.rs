//! Commands with stages on AWS: what runs before and after, by asking ECS.

use std::collections::BTreeSet;

use greenroom::model::Permission;

use crate::aws_world::{AwsWorld, with_canary};

/// The digests of the images that run, as ECS has them.
async fn running(s: &AwsWorld, stage: &str) -> BTreeSet<String> {
    let ecs = aws_sdk_ecs::Client::new(&s.config);
    let mut digests = BTreeSet::new();
    for service in s.estate().await.services.iter().filter(|arn| arn.contains(&format!("-{stage}-"))) {
        let cluster = service.split('/').nth(1).unwrap_or_default().to_owned();
        let seen = ecs.describe_services().cluster(cluster).services(service).send().await.expect("services are told");
        let definition = seen.services()[0].task_definition().expect("a definition").to_owned();
        let told = ecs.describe_task_definition().task_definition(definition).send().await.expect("it is told");
        let containers = told.task_definition.expect("a definition").container_definitions.unwrap_or_default();
        for image in containers.iter().filter_map(|container| container.image()) {
            digests.insert(image.rsplit_once('@').expect("pinned by its digest").1.to_owned());
        }
    }
    digests
}

fn says(s: &AwsWorld, text: &str) -> u64 {
    s.w.github.comment(&s.w.repo, s.w.pull, "adam", text).expect("a comment")
}

/// Waits until the newest answer on the pull request says this.
async fn answer_says(s: &AwsWorld, text: &str) -> String {
    let answer = || s.w.answers().pop().unwrap_or_default();
    s.w.until(&format!("the answer says {text:?}: {:#?}", s.w.answers()), async || answer().contains(text)).await;
    answer()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_and_a_promotion_on_aws_run_the_very_same_images_and_a_cancel_leads_back() {
    let mut s = AwsWorld::new().await;
    s.w.github.set_permission(&s.w.repo, "adam", Permission::Admin);
    let one = s.w.open("one");
    s.w.live(&one).await;
    let first = running(&s, "pr-1").await;
    assert_eq!(first.len(), 1, "{first:?}");
    let two = s.w.push("two");
    s.w.live(&two).await;
    let second = running(&s, "pr-1").await;
    assert_ne!(first, second);

    // Back to the first, without a build.
    let builds = s.estate().await.images.len();
    says(&s, "/rollback");
    s.w.comment_says(&format!("is live · `{}`", one.short())).await;
    assert_eq!(s.ask().await, (200, "one".into()));
    assert_eq!(running(&s, "pr-1").await, first, "the digest that ran then");

    // Onto another stage, and once more the same.
    says(&s, "/promote pr-1 staging");
    let answer = answer_says(&s, "The same as on pr-1").await;
    let digest = first.first().expect("one digest");
    assert!(answer.contains(&digest[..19]), "{answer}");
    assert_eq!(s.ask_stage("staging").await, (200, "one".into()));
    assert_eq!(running(&s, "staging").await, first, "proven equal by asking ECS");
    // MiniStack tells one tag of each image: its newest.
    let images = s.estate().await.images;
    assert_eq!(images.len(), builds, "no new image: {images:#?}");
    assert!(images.iter().any(|tag| tag.contains(":s-staging-")), "held for the other stage: {images:#?}");

    // A rollout that would never end is stopped, and what served serves.
    let stuck = s.w.push("three stuck");
    s.w.step_began(5, "start:").await;
    says(&s, "/cancel");
    let answer = answer_says(&s, "Led back by").await;
    assert!(answer.contains("stopped during start:web") && answer.contains(one.short()), "{answer}");
    assert_eq!(s.ask().await, (200, "one".into()));
    assert_eq!(running(&s, "pr-1").await, first);
    assert!(!s.w.comment().expect("a comment").contains(&format!("live · `{}`", stuck.short())));
    s.w.until("of what was stopped nothing runs on", async || s.estate().await.tasks.len() == 2).await;

    a_cancelled_canary_leaves_everything_as_it_was(&s, one.short()).await;

    // The image outlives the preview that it was built for.
    s.w.close();
    s.w.comment_says("Destroyed at").await;
    assert_eq!(running(&s, "staging").await, first);
    let held: Vec<String> = s.estate().await.images;
    assert!(held.iter().any(|tag| tag.contains(":s-staging-")), "{held:#?}");
    says(&s, "/destroy staging");
    s.w.until("nothing of it is left", async || s.estate().await.lines().is_empty()).await;
    s.finish().await;
}

/// One copy of the next commit answers beside what serves, until somebody has seen enough of it.
async fn a_cancelled_canary_leaves_everything_as_it_was(s: &AwsWorld, serving: &str) {
    let before = (running(s, "pr-1").await, s.estate().await.tasks.len());
    let four = s.w.push_all([("app", "four"), (".github/greenroom.yml", &with_canary("10m"))]);
    s.w.until("the new version answers too", async || s.ask().await == (200, "four".into())).await;
    s.w.until("and so does the old one", async || s.ask().await == (200, "one".into())).await;
    assert_eq!(running(s, "pr-1").await, before.0, "the service itself is as it was");
    says(s, "/cancel");
    s.w.until("it is led back", async || {
        s.w.answers().pop().is_some_and(|answer| answer.contains("canary:web") && answer.contains("Led back by"))
    })
    .await;
    let answer = s.w.answers().pop().unwrap_or_default();
    assert!(answer.contains("stopped during canary:web") && answer.contains(serving), "{answer}");
    for _ in 0..10 {
        assert_eq!(s.ask().await, (200, "one".into()));
    }
    assert_eq!((running(s, "pr-1").await, s.estate().await.tasks.len()), before);
    assert!(!s.w.comment().expect("a comment").contains(&format!("live · `{}`", four.short())));

    // One that nobody stops is followed by the rest.
    let five = s.w.push_all([("app", "five"), (".github/greenroom.yml", &with_canary("3s"))]);
    s.w.live(&five).await;
    assert_eq!(s.ask().await, (200, "five".into()));
    assert_eq!(s.estate().await.tasks.len(), before.1, "the canary is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_during_a_stack_operation_on_aws_waits_it_out_and_leaves_nothing() {
    let mut s = AwsWorld::new().await;
    s.w.github.set_permission(&s.w.repo, "adam", Permission::Admin);
    s.w.open("one");
    s.w.step_began(1, "prepare").await;
    says(&s, "/cancel");
    let answer = answer_says(&s, "**Done:**").await;
    assert!(answer.contains("stopped during") && answer.contains("nothing served before"), "{answer}");
    assert_eq!(s.estate().await.lines(), Vec::<String>::new(), "what was begun is removed");
    assert_eq!(s.w.comment().map(|comment| comment.contains("its first deploy was cancelled")), Some(true));
    let two = s.w.push("two");
    s.w.live(&two).await;
    assert_eq!(s.ask().await, (200, "two".into()));
    s.w.close();
    s.nothing_is_left().await;
    s.finish().await;
}
