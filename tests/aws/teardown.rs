//! Teardown and sweeping on an emulated AWS: nothing of a stage stays, and nothing of another goes.

use std::time::{Duration, Instant};

use crate::faulty::Faulty;
use crate::ground::{Ground, POOL, foundation, id, pairs, permanent, stack_name, tags};
use greenroom::model::{AwsTarget, FailureKind, Place, Resource, StageId};
use greenroom::port::{Cloud as _, PortError, Progress, Site};

/// Kinds in their order, and what tells things of one kind apart.
fn shown(resources: &[Resource]) -> String {
    let line = |resource: &Resource| {
        let is_named = !resource.id.starts_with("arn:");
        if is_named { resource.to_string() } else { resource.kind.clone() }
    };
    resources.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn remove_all(ground: &Ground, stage: &StageId, place: &Place) {
    for resource in ground.inventory(stage, place).await {
        ground.remove(stage, place, &resource).await.unwrap_or_else(|error| panic!("{resource}: {error}"));
    }
}

#[tokio::test]
async fn everything_of_a_stage_goes_and_nothing_of_another() {
    let ground = Ground::new().await;
    let (gone, stays) = (id("pr-7"), id("pr-70"));
    ground.stage(&gone, 7).await;
    ground.stage(&stays, 70).await;
    ground.image(700, &["pr-7", "pr-70"]).await;
    let migration = ground.ecs().run_task().cluster(ground.cluster());
    migration.task_definition(format!("{}-web:2", stack_name(&gone))).send().await.expect("a task");
    let place = Place::default();
    let (all, other) = (ground.inventory(&gone, &place).await, ground.inventory(&stays, &place).await);
    insta::assert_snapshot!(shown(&all), @"
    service
    listener rule
    target group
    log group /greenroom/acme/shop/pr-7/old
    log group /greenroom/acme/shop/pr-7/web
    stack greenroom-pr-7-shop-6030e0f4
    task definitions greenroom-pr-7-shop-6030e0f4-web
    images greenroom/acme/shop/web
    rule number acme/shop/pr-7/web
    ");

    remove_all(&ground, &gone, &place).await;

    assert_eq!(ground.inventory(&gone, &place).await, []);
    assert_eq!(ground.inventory(&stays, &place).await, other);
    // By asking AWS in other words.
    assert!(ground.cloudformation().describe_stacks().stack_name(stack_name(&gone)).send().await.is_err());
    let tasks = ground.ecs().list_tasks().cluster(ground.cluster()).send().await.expect("tasks");
    assert_eq!(tasks.task_arns().len(), 1, "that of the other stage: {:?}", tasks.task_arns());
    let revisions = ground.ecs().list_task_definitions().send().await.expect("task definitions");
    let families: Vec<&str> =
        revisions.task_definition_arns().iter().filter_map(|arn| arn.rsplit('/').next()).collect();
    let of_other = stack_name(&stays);
    assert!(families.len() == 2 && families.iter().all(|family| family.starts_with(&of_other)), "{families:?}");
    let (own, shared) = (format!("{:040}", 70), format!("{:040}", 700));
    let tags = [format!("c-{own}"), format!("c-{shared}"), format!("s-pr-70-{own}"), format!("s-pr-70-{shared}")];
    assert_eq!(ground.image_tags().await, tags, "what another stage uses stays");
    assert_eq!(ground.store.slots(POOL).await.expect("numbers"), [(2, format!("{stays}/web"))]);
    // Once more: absent is success.
    for resource in &all {
        ground.remove(&gone, &place, resource).await.unwrap_or_else(|error| panic!("{resource}: {error}"));
    }
    assert_eq!(ground.inventory(&stays, &place).await, other);
    // What the stack took along is not deleted again: gone, it has no tags by which a policy could allow it.
    let calls = ground.cloud.calls();
    for call in ["elasticloadbalancing:DeleteRule", "elasticloadbalancing:DeleteTargetGroup"] {
        assert!(!calls.contains_key(call), "{call}: {calls:?}");
    }
}

#[tokio::test]
async fn a_teardown_may_begin_anywhere_and_stop_anywhere() {
    let ground = Ground::new().await;
    let (stage, place) = (id("pr-7"), Place::default());
    for first in 0..10 {
        ground.stage(&stage, 7).await;
        let all = ground.inventory(&stage, &place).await;
        assert!(all.len() >= 9, "{all:?}");
        if let Some(resource) = all.get(first) {
            // Asked for once and then forgotten, as by a process that dies.
            let _ = ground.cloud.remove(Site { stage: &stage, place: &place }, resource).await;
        }
        remove_all(&ground, &stage, &place).await;
        assert_eq!(ground.inventory(&stage, &place).await, [], "begun with {:?}", all.get(first));
    }
}

#[tokio::test]
async fn a_number_is_free_only_when_its_rule_is_gone() {
    let ground = Ground::new().await;
    let (stage, place) = (id("pr-7"), Place::default());
    ground.stage(&stage, 7).await;
    let number = Resource { kind: "rule number".into(), id: format!("{stage}/web"), service: None };
    let early = ground.cloud.remove(Site { stage: &stage, place: &place }, &number).await.expect("an answer");
    assert!(matches!(early, Progress::Pending { .. }), "{early:?}");
    assert_eq!(ground.store.slots(POOL).await.expect("numbers").len(), 1);
    remove_all(&ground, &stage, &place).await;
    assert_eq!(ground.store.slots(POOL).await.expect("numbers"), []);
}

#[tokio::test]
async fn what_is_another_stage_s_is_not_removed_in_the_name_of_one() {
    let ground = Ground::new().await;
    let (stage, other, place) = (id("pr-7"), id("pr-8"), Place::default());
    ground.stage(&other, 8).await;
    let before = ground.inventory(&other, &place).await;
    for (kind, of_other) in [
        ("task definitions", format!("{}-web", stack_name(&other))),
        ("images", "greenroom/acme/blog/web".to_owned()),
        ("image", format!("greenroom/acme/shop/web:s-pr-8-{:040}", 8)),
        ("rule number", format!("{other}/web")),
        ("foundation", POOL.to_owned()),
    ] {
        let resource = Resource { kind: kind.into(), id: of_other, service: None };
        let refused = ground.cloud.remove(Site { stage: &stage, place: &place }, &resource).await;
        assert!(matches!(refused, Err(PortError::Bug { .. })), "{resource}: {refused:?}");
    }
    assert_eq!(ground.inventory(&other, &place).await, before);
}

#[tokio::test]
async fn a_protected_stage_goes_on_serving_and_says_how_to_let_it_go() {
    let ground = Ground::new().await;
    let (stage, place) = (id("prod"), permanent());
    ground.stage(&stage, 7).await;
    let own = format!("{}-foundation", stack_name(&stage));
    ground.stack(&own, &foundation(), &pairs(&tags(&stage, "production"))).await;
    let protect = async |name: &str, on: bool| {
        let update = ground.cloudformation().update_termination_protection().stack_name(name);
        update.enable_termination_protection(on).send().await.expect("it is set");
    };
    for name in [&stack_name(&stage), &own] {
        protect(name, true).await;
        let blocked = 'blocked: {
            for resource in ground.inventory(&stage, &place).await {
                match ground.remove(&stage, &place, &resource).await {
                    Ok(()) => {}
                    Err(PortError::Failed(failure)) => break 'blocked failure,
                    Err(error) => panic!("{resource}: {error}"),
                }
            }
            panic!("{name} was removed although it is protected");
        };
        assert_eq!(blocked.kind, FailureKind::Environment);
        assert!(blocked.summary.contains(name.as_str()), "{}", blocked.summary);
        assert!(blocked.advice.contains("update-termination-protection"), "{}", blocked.advice);
        let services = ground.ecs().describe_services().cluster(ground.cluster()).services(stack_name(&stage));
        let services = services.send().await.expect("services");
        let serves = services.services().first().is_some_and(|service| service.desired_count() == 1);
        assert_eq!(serves, *name == stack_name(&stage), "nothing stops before the stack may go");
        protect(name, false).await;
    }
    remove_all(&ground, &stage, &place).await;
    assert_eq!(ground.inventory(&stage, &place).await, []);
    assert!(ground.cloudformation().describe_stacks().stack_name(own).send().await.is_err());
}

#[tokio::test]
async fn a_foundation_that_holds_data_stays() {
    let ground = Ground::new().await;
    let (stage, place) = (id("staging"), permanent());
    let own = format!("{}-foundation", stack_name(&stage));
    let mut tags = tags(&stage, "permanent");
    tags.push(("greenroom:retain".into(), "true".into()));
    ground.stack(&own, &foundation(), &pairs(&tags)).await;
    assert_eq!(ground.inventory(&stage, &place).await, []);
    assert!(ground.cloudformation().describe_stacks().stack_name(own).send().await.is_ok());
}

#[tokio::test]
async fn what_outlived_its_stack_is_found_and_removed() {
    let ground = Ground::new().await;
    ground.stage(&id("pr-1"), 1).await;
    ground.log_group("/greenroom/acme/shop/pr-2/web").await;
    ground.task_definition(&id("pr-3")).await;
    ground.stray_service(&id("pr-4")).await;
    let prod = id("prod");
    ground.stack(&stack_name(&prod), &foundation(), &pairs(&tags(&prod, "production"))).await;
    let foreign = id("pr-9");
    let mut foreign_tags = tags(&foreign, "ephemeral");
    foreign_tags[0].1 = "another".into();
    ground.stack("another-pr-9", &foundation(), &pairs(&foreign_tags)).await;
    ground.log_group("/another/acme/shop/pr-9/web").await;
    // A place that the server cannot reach hides none of the others.
    let aws = AwsTarget { region: "us-east-1".into(), account: "999999999999".into(), role: None };
    let known = [(id("pr-5"), Place { aws: Some(aws), ..Place::default() })];
    insta::assert_snapshot!(ground.stages(&known).await.join("\n"), @"
    acme/shop/pr-1 ephemeral
    acme/shop/pr-2 ephemeral
    acme/shop/pr-3 ephemeral
    acme/shop/pr-4 ephemeral
    acme/shop/prod production
    ");

    let place = Place::default();
    for name in ["pr-1", "pr-2", "pr-3", "pr-4"] {
        assert_ne!(ground.inventory(&id(name), &place).await, [], "{name}");
        remove_all(&ground, &id(name), &place).await;
        assert_eq!(ground.inventory(&id(name), &place).await, [], "{name}");
    }
    assert_eq!(ground.stages(&known).await, ["acme/shop/prod production"]);
}

/// As when somebody deletes it in the console and keeps a part.
#[tokio::test]
async fn what_a_stack_left_behind_is_found_also_by_who_asked_for_its_deletion() {
    let ground = Ground::new().await;
    let (stage, place) = (id("pr-7"), Place::default());
    ground.stage(&stage, 7).await;
    let all = ground.inventory(&stage, &place).await;
    let service = all.iter().find(|resource| resource.kind == "service").expect("a service");
    let begun = ground.cloud.remove(Site { stage: &stage, place: &place }, service).await.expect("an answer");
    assert!(matches!(begun, Progress::Pending { .. }), "{begun:?}");
    let begun = Instant::now();
    while ground.cloudformation().describe_stacks().stack_name(stack_name(&stage)).send().await.is_ok() {
        assert!(begun.elapsed() < Duration::from_mins(1), "the stack does not go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The very same as far as names tell.
    ground.stray_service_called(&stage, &stack_name(&stage)).await;
    let left = ground.inventory(&stage, &place).await;
    assert!(left.contains(service), "{left:?}");
    remove_all(&ground, &stage, &place).await;
    assert_eq!(ground.inventory(&stage, &place).await, []);
}

#[tokio::test]
async fn a_task_that_takes_its_time_to_stop_is_waited_for() {
    let ground = Ground::new().await;
    let (stage, place) = (id("pr-7"), Place::default());
    ground.task_definition(&stage).await;
    let family = format!("{}-web", stack_name(&stage));
    let run = ground.ecs().run_task().cluster(ground.cluster()).task_definition(format!("{family}:1"));
    run.send().await.expect("a task");
    let door = Faulty::start(ground.port()).await;
    let cloud = ground.adapter_at(door.url()).await;
    door.linger(1);
    let family = Resource { kind: "task definitions".into(), id: family, service: None };
    let mut waits = Vec::new();
    while let Progress::Pending { note, .. } =
        cloud.remove(Site { stage: &stage, place: &place }, &family).await.expect("an answer")
    {
        waits.push(note);
        assert!(waits.len() < 10, "{waits:?}");
    }
    assert_eq!(waits.len(), 2, "it is told to stop, and then seen to be at it: {:?}", door.calls());
}

#[tokio::test]
async fn what_may_not_be_read_hides_nothing_else() {
    let ground = Ground::new().await;
    ground.stage(&id("pr-1"), 1).await;
    ground.log_group("/greenroom/acme/shop/pr-2/web").await;
    ground.task_definition(&id("pr-3")).await;
    ground.stray_service(&id("pr-4")).await;
    let door = Faulty::start(ground.port()).await;
    let cloud = ground.adapter_at(door.url()).await;
    for (forbidden, hidden) in [
        ("logs:DescribeLogGroups", "pr-2"),
        ("ecs:ListTaskDefinitionFamilies", "pr-3"),
        ("tagging:GetResources", "pr-4"),
    ] {
        door.forbid(&[forbidden]);
        let found = cloud.stages(&[]).await.expect("the rest is told");
        let found: Vec<&str> = found.iter().map(|(stage, _)| stage.name.as_str()).collect();
        let rest: Vec<&str> = ["pr-1", "pr-2", "pr-3", "pr-4"].into_iter().filter(|name| *name != hidden).collect();
        assert_eq!(found, rest, "without {forbidden}");
    }
    // Without the stacks nothing is known, which is no empty answer.
    door.forbid(&["cloudformation:DescribeStacks"]);
    let refused = cloud.stages(&[]).await;
    assert!(
        matches!(&refused, Err(PortError::Denied { reason }) if reason.contains("cloudformation:DescribeStacks")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn images_that_no_release_names_are_surplus() {
    let ground = Ground::new().await;
    let (stage, place) = (id("pr-7"), Place::default());
    for (content, stages) in [(1, &["pr-7"][..]), (2, &["pr-7"]), (3, &["pr-7", "prod"]), (4, &["prod"])] {
        ground.image(content, stages).await;
    }
    let site = Site { stage: &stage, place: &place };
    let ecr = aws_sdk_ecr::Client::new(&ground.config);
    let tagged = aws_sdk_ecr::types::ImageIdentifier::builder().image_tag(format!("s-pr-7-{:040}", 2)).build();
    let used = ecr.describe_images().repository_name(crate::ground::REPOSITORY).image_ids(tagged).send().await;
    let used = used.expect("the image").image_details()[0].image_digest().expect("a digest").to_owned();
    let surplus = ground.cloud.surplus(site, &[used].into()).await.expect("a list");
    assert_eq!(surplus.len(), 2, "{surplus:?}");
    for resource in &surplus {
        ground.remove(&stage, &place, resource).await.expect("it goes");
    }
    let tags = ["c-2", "c-3", "c-4", "s-pr-7-2", "s-prod-3", "s-prod-4"].map(|tag| {
        let (rest, content) = tag.rsplit_once('-').expect("a tag");
        format!("{rest}-{:040}", content.parse::<u32>().expect("a number"))
    });
    assert_eq!(ground.image_tags().await, tags);
    // A permanent stage keeps its newest, whatever its releases name.
    let kept = ground.cloud.surplus(Site { stage: &id("prod"), place: &permanent() }, &[].into()).await;
    assert_eq!(kept.expect("a list"), []);
}
