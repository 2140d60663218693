//! What becomes of images.

use greenroom::model::{FailureKind, Place};
use greenroom::port::{PortError, Site};

use super::world::{Kind, World, docker, failure, port, web};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_built_and_pushed_once_for_all_stages_and_goes_with_the_last() {
    let Some(port) = port("an_image_is_built_and_pushed_once_for_all_stages_and_goes_with_the_last").await else {
        return;
    };
    let w = World::new(port, Kind::Ecr).await;
    let first = w.built("pr-1", "hello").await;
    assert_eq!(first.reference, format!("localhost:{port}/{}@{}", w.repository, first.digest));
    assert_eq!(w.holders().await, ["c", "s-pr-1"]);
    assert!(w.tags().await.values().all(|digest| *digest == first.digest), "the digest is the registry's");
    assert_eq!((w.count("build"), w.count("push")), (1, 1));
    let local: Vec<String> = w.local_images();
    assert!(matches!(local.as_slice(), [one] if one.contains("/shared/web:newest-")), "one image is kept: {local:?}");

    assert_eq!(w.reused("pr-1", "hello").await, first, "asked again");
    assert_eq!(w.reused("prod", "hello").await, first, "another stage");
    assert_eq!((w.count("build"), w.count("push")), (1, 1), "neither built nor pushed again");
    assert_eq!(w.holders().await, ["c", "s-pr-1", "s-prod"]);

    let second = w.built("pr-1", "goodbye").await;
    assert_ne!(second.digest, first.digest);
    assert_eq!(w.local_images().len(), 1, "the one before went: {:?}", w.local_images());

    w.untag("pr-1").await;
    let left = w.tags().await;
    assert_eq!(w.holders().await, ["c", "s-prod"], "{left:?}");
    assert!(left.values().all(|digest| *digest == first.digest), "the other stage's image stays: {left:?}");
    pull(&first.reference);
    w.untag("prod").await;
    assert_eq!(w.tags().await.len(), 0, "nobody uses it any more");
    w.built("pr-2", "hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_made_once_with_what_it_needs() {
    let Some(port) = port("a_repository_is_made_once_with_what_it_needs").await else { return };
    let w = World::new(port, Kind::Ecr).await;
    let (stage, place, web) = (w.stage("pr-1"), Place::default(), web());
    let site = Site { stage: &stage, place: &place };
    let (one, two) = tokio::join!(w.registry.repository(site, &web), w.registry.repository(site, &web));
    let made = one.expect("a repository");
    assert_eq!(made.address, two.expect("made at the same moment").address);
    assert_eq!(made.login.expect("a login").user, "AWS");
    let found = w.ecr.describe_repositories().repository_names(&w.repository).send().await.expect("a repository");
    let found = &found.repositories()[0];
    assert_eq!(found.image_tag_mutability().map(aws_sdk_ecr::types::ImageTagMutability::as_str), Some("IMMUTABLE"));
    assert!(
        found.image_scanning_configuration().is_some_and(aws_sdk_ecr::types::ImageScanningConfiguration::scan_on_push)
    );
    let arn = found.repository_arn().expect("an ARN");
    let tags = w.ecr.list_tags_for_resource().resource_arn(arn).send().await.expect("tags").tags.unwrap_or_default();
    let names: Vec<&str> = tags.iter().map(aws_sdk_ecr::types::Tag::key).collect();
    assert_eq!(names, ["greenroom:owner", "greenroom:repo"], "none of a stage");
    let rule = || w.ecr.get_lifecycle_policy().repository_name(&w.repository).send();
    let text = rule().await.expect("a rule").lifecycle_policy_text.unwrap_or_default();
    assert!(text.contains("untagged") && !text.contains("tagPrefixList"), "{text}");

    // A rule that is missing comes back with the next server; one that somebody wrote stays.
    w.ecr.delete_lifecycle_policy().repository_name(&w.repository).send().await.expect("no rule");
    let next = World::new(port, Kind::Ecr).await;
    next.registry.repository(site, &web).await.expect("a repository");
    assert_eq!(rule().await.expect("a rule").lifecycle_policy_text.as_deref(), Some(text.as_str()));
    let own = r#"{"rules":[]}"#;
    let put = w.ecr.put_lifecycle_policy().repository_name(&w.repository).lifecycle_policy_text(own);
    put.send().await.expect("a rule");
    World::new(port, Kind::Ecr).await.registry.repository(site, &web).await.expect("a repository");
    assert_eq!(rule().await.expect("a rule").lifecycle_policy_text.as_deref(), Some(own));

    let cache = w.registry.cache(site, &web).await.expect("a repository").expect("a cache");
    assert_eq!(cache, format!("{}/cache", made.address));
    let name = format!("{}/cache", w.repository);
    let found = w.ecr.describe_repositories().repository_names(name).send().await.expect("a repository");
    assert_eq!(
        found.repositories()[0].image_tag_mutability().map(aws_sdk_ecr::types::ImageTagMutability::as_str),
        Some("MUTABLE")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_another_processor_is_named_before_it_is_pushed() {
    let Some(port) = port("an_image_for_another_processor_is_named_before_it_is_pushed").await else { return };
    let w = World::new(port, Kind::Ecr).await;
    let base = w.base_for("linux/arm64", "hello").await;
    let wrong = format!("FROM --platform=linux/arm64 {base}\nCOPY busybox /bin/sh\n");
    let failure = failure(w.build("pr-1", &wrong, "hello").await);
    assert_eq!(failure.kind, FailureKind::Build);
    let summary = "The image of `web` is for `linux/arm64`, and the service runs on `linux/amd64`";
    assert_eq!(failure.summary, summary);
    assert!(failure.advice.contains("`build.platform` of `web` is not set"), "{}", failure.advice);
    assert_eq!((w.count("push"), w.tags().await.len()), (0, 0));
    assert_eq!(w.local_images(), [base], "it is not kept");
    // The engine's first builder takes the base's only layer for this one's.
    let right = "FROM scratch\nCOPY greeting /greeting\n";
    w.build("pr-1", right, "hello").await.expect("an image");
    assert_eq!(w.holders().await, ["c", "s-pr-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_private_while_it_is_used_and_gone_afterwards() {
    let Some(port) = port("a_login_is_private_while_it_is_used_and_gone_afterwards").await else { return };
    let w = World::new(port, Kind::Ecr).await;
    w.built("pr-1", "hello").await;
    let used = w.configurations();
    let mut lines = used.lines();
    assert_eq!((lines.next(), lines.next()), (Some("700"), Some("600")), "folder and file");
    // `AWS:ministack-auth-token` in Base64.
    let token = "QVdTOm1pbmlzdGFjay1hdXRoLXRva2Vu";
    assert!(used.contains(token) && used.contains(&format!("localhost:{port}")), "it was used: {used}");
    let asked = w.asked().join("\n");
    assert!(asked.contains("--config ") && asked.contains(" push --quiet localhost:"), "{asked}");
    for secret in [token, "ministack-auth-token"] {
        assert!(!asked.contains(secret), "on a command line: {asked}");
    }
    assert_eq!(w.left_in("logins"), 0, "the folder is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_broke_off_is_taken_up_without_another_build() {
    let Some(port) = port("a_push_that_broke_off_is_taken_up_without_another_build").await else { return };
    let w = World::new(port, Kind::Ecr).await;
    w.break_pushes(true);
    match w.build("pr-1", super::world::GREETER, "hello").await {
        Err(PortError::Retry { reason, .. }) => assert!(reason.contains("could not be pushed"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((w.left_in("logins"), w.left_in("running")), (0, 0));
    w.break_pushes(false);
    w.built("pr-1", "hello").await;
    assert_eq!((w.count("build"), w.count("push")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_registry_serves() {
    let Some(port) = port("any_registry_serves").await else { return };
    let w = World::new(port, Kind::Plain).await;
    // Most registries make a repository with the first push; this one wants it made.
    w.ecr.create_repository().repository_name(&w.repository).send().await.expect("a repository");
    let first = w.built("pr-1", "hello").await;
    assert_eq!(first.reference, format!("localhost:{port}/{}@{}", w.repository, first.digest));
    assert_eq!(w.reused("prod", "hello").await, first);
    assert_eq!((w.count("push"), w.count("--config")), (1, 0), "with this host's own configuration");
    assert_eq!(w.holders().await, ["c", "s-pr-1", "s-prod"]);
    w.untag("pr-1").await;
    assert_eq!(w.holders().await, ["c", "s-prod"]);
    pull(&first.reference);
    w.untag("prod").await;
    assert_eq!(w.tags().await.len(), 0, "nobody uses it any more");
}

/// What the target does.
fn pull(reference: &str) {
    docker(&["pull", "--quiet", reference]);
    docker(&["image", "rm", reference]);
}
