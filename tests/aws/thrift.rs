//! How often AWS is asked: an update and a teardown of one service, on an AWS that answers at once.
//!
//! MiniStack without containers is one: a copy runs when it is wanted, and a stack is made or gone a moment
//! after it was asked for. The clock is the machine's own, so that what is waited for is waited for.

use std::collections::BTreeMap;

use crate::aws_world::World;
use crate::ground::REPOSITORY;
use crate::ministack::{ACCOUNT, Containers, MiniStack, REGION};
use aws_sdk_ecr::types::ImageTagMutability;
use greenroom::model::{CommitSha, StageStatus};
use serde_json::json;

const MOST_OF_UPDATE: usize = 15;
const MOST_OF_TEARDOWN: usize = 20;
/// Of the machine's own clock.
const SPEED: i64 = 1;

fn project() -> String {
    format!(
        r#"
version: 1
app: shop
aws: {{ region: {REGION}, account: "{ACCOUNT}" }}
domain: {{ zone: example.test, dns: none }}
services:
  web: {{ kind: ecs, build: {{}}, host: "@", port: 8080, health: {{ path: /health }} }}
"#
    )
}

async fn goes_live(w: &World, sha: &CommitSha) {
    let status = w.settle_until(|status| matches!(status, StageStatus::Live { .. } | StageStatus::Failed { .. })).await;
    assert_eq!(status, StageStatus::Live { sha: sha.clone() }, "{}", w.comment());
}

/// Two images of the stage, as builds would have pushed them.
async fn has_images(w: &World) {
    let ecr = aws_sdk_ecr::Client::new(&w.config);
    let create = ecr.create_repository().repository_name(REPOSITORY);
    create.image_tag_mutability(ImageTagMutability::Immutable).send().await.expect("a repository");
    for content in [1, 2] {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": 2,
                "digest": format!("sha256:{content:064}") },
            "layers": [],
        });
        for tag in [format!("s-pr-1-{content:040}"), format!("c-{content:040}")] {
            let put = ecr.put_image().repository_name(REPOSITORY).image_manifest(manifest.to_string());
            let put = put.image_manifest_media_type("application/vnd.docker.distribution.manifest.v2+json");
            put.image_tag(tag).send().await.expect("an image");
        }
    }
}

/// No more than so many in all, and of each operation no more than is said, or one.
#[track_caller]
fn assert_thrifty(what: &str, calls: &BTreeMap<String, usize>, most: usize, more_than_once: &[(&str, usize)]) {
    let all: usize = calls.values().sum();
    assert!(all > 5, "{what} asks something: {calls:#?}");
    assert!(all <= most, "{what} makes {all} calls, at most {most} are wanted: {calls:#?}");
    for (operation, count) in calls {
        let allowed = more_than_once.iter().find(|(name, _)| name == operation).map_or(1, |(_, allowed)| *allowed);
        assert!(*count <= allowed, "{what} calls {operation} {count} times, not {allowed}: {calls:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_and_a_teardown_ask_no_more_than_they_need() {
    let aws = MiniStack::start(Containers::Pretended).await;
    let w = World::of(&aws, SPEED, &project()).await;
    let one = w.open();
    goes_live(&w, &one).await;

    w.door.forget();
    let two = w.push("two");
    goes_live(&w, &two).await;
    // What exists, what there is to start from, what has become of it, and how it is doing then.
    let twice = [("ecs:DescribeServices", 5), ("ecs:DescribeTasks", 2), ("ecs:ListTasks", 2)];
    assert_thrifty("an update", &w.door.counts(), MOST_OF_UPDATE, &twice);

    has_images(&w).await;
    w.door.forget();
    w.close();
    let status = w.settle_until(|status| matches!(status, StageStatus::Gone { .. })).await;
    assert!(matches!(status, StageStatus::Gone { .. }), "{status:?}\n{}", w.comment());
    assert_eq!(w.estate().await, Vec::<String>::new());
    // What is left at the end is read as what there is at the beginning was.
    let twice = [
        ("cloudformation:DescribeStacks", 4),
        ("ecr:DescribeImages", 3),
        ("ecs:ListTaskDefinitionFamilies", 2),
        ("logs:DescribeLogGroups", 2),
    ];
    assert_thrifty("a teardown", &w.door.counts(), MOST_OF_TEARDOWN, &twice);
}
