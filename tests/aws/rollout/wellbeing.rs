//! What is told of a version after it went live.

use std::time::{Duration, Instant};

use super::calls_since;
use super::world::{CLUSTER, SERVE, World, docker};
use crate::faulty::Faulty;
use crate::hang::PATIENCE;
use crate::ministack::Containers;
use aws_sdk_ecs::types::ContainerDefinition;
use greenroom::aws::AwsCloud;
use greenroom::model::{Condition, FailureKind, Wellbeing};
use greenroom::port::Cloud as _;

/// Of the only service, if anything is known of it at this moment.
async fn web(cloud: &AwsCloud, w: &World) -> Option<Condition> {
    let told = cloud.conditions(w.site()).await.expect("it is told");
    assert!(told.len() <= 1, "{told:?}");
    told.into_values().next()
}

#[tokio::test]
async fn a_program_that_ends_after_it_went_live_is_told_with_its_code_and_last_lines() {
    let mut w = World::new(Containers::Real).await;
    let serves = SERVE.replace("& wait", "& while [ ! -e /die ]; do sleep 1; done; echo no table users >&2; exit 3");
    let image = w.image("one", &serves).await;
    w.go_live(&w.goal(&image)).await;
    let is_well = |told: &Condition| (told.state, told.restarts, told.well, told.wanted) == (Wellbeing::Well, 0, 1, 1);
    let before = w.cloud.calls();
    let well = web(&w.cloud, &w).await.expect("it serves");
    assert!(is_well(&well), "{well:?}");
    let calls = calls_since(&w, &before);
    assert_eq!(calls.values().sum::<u64>(), 0, "it was just seen to be whole: {calls:?}");
    // Whoever knows nothing reads the stack and the service. MiniStack tells of no starts, so that what
    // stopped is asked for too.
    let fresh = w.restarted().await;
    let well = web(&fresh, &w).await.expect("it serves");
    assert!(is_well(&well), "{well:?}");
    let mut calls = fresh.calls();
    calls.remove("sts:GetCallerIdentity");
    assert!(calls.values().sum::<u64>() <= 4, "{calls:?}");

    for container in w.aws.containers() {
        docker(&["exec", &container, "/bin/busybox", "touch", "/die"]);
    }
    let begun = Instant::now();
    let trouble = loop {
        let now = web(&w.restarted().await, &w).await;
        let has_log = |told: &Condition| told.why.as_ref().is_some_and(|why| !why.log.is_empty());
        if let Some(trouble) = now.clone().filter(|told| told.is_trouble() && has_log(told)) {
            break trouble;
        }
        assert!(begun.elapsed() < PATIENCE, "{now:?}\n{}", w.aws.log());
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    assert_eq!((trouble.state, trouble.restarts, trouble.wanted), (Wellbeing::Restarting, 1, 1), "{trouble:?}");
    let why = trouble.why.expect("a reason");
    assert_eq!((why.kind, why.exit_code), (FailureKind::Exited, Some(3)), "{why:?}");
    assert_eq!(why.log.last().map(String::as_str), Some("no table users"));
    assert!(why.summary.contains("ended with exit code 3"), "{why:?}");
}

#[tokio::test]
async fn what_is_at_rest_or_not_there_is_not_told_of() {
    let w = World::new(Containers::Pretended).await;
    let told = w.cloud.conditions(w.site()).await.expect("it is told");
    assert!(told.is_empty(), "nothing was started yet: {told:?}");
}

/// Tasks of this revision that ECS counts to the service, and that ended.
async fn end(w: &World, revision: u32, count: i32) {
    let run = w.ecs.run_task().cluster(CLUSTER).task_definition(format!("{}:{revision}", w.family()));
    let ran = run.started_by("pr-1-web").count(count).send().await.expect("tasks");
    for task in ran.tasks() {
        let stop = w.ecs.stop_task().cluster(CLUSTER).task(task.task_arn().expect("an ARN"));
        stop.send().await.expect("it stops");
    }
}

#[tokio::test]
async fn an_end_is_found_among_more_than_a_hundred_others() {
    let w = World::new(Containers::Pretended).await;
    let update = w.ecs.update_service().cluster(CLUSTER).service("pr-1-web").desired_count(1);
    update.send().await.expect("it serves");
    let container = ContainerDefinition::builder().name("web").image("scratch").build();
    let other = w.ecs.register_task_definition().family(w.family()).container_definitions(container);
    other.send().await.expect("another version");
    // The door says of each of them that its program ended.
    let door = Faulty::start(w.aws.port()).await;
    let cloud = w.restarted_at(door.url()).await;
    for _ in 0..11 {
        end(&w, 2, 10).await;
    }
    end(&w, 1, 1).await;
    let told = web(&cloud, &w).await.expect("it serves");
    assert_eq!((told.state, told.restarts), (Wellbeing::Restarting, 1), "{told:?}");
    let of = |operation: &str| door.counts().get(operation).copied().unwrap_or(0);
    assert_eq!((of("ecs:ListTasks"), of("ecs:DescribeTasks")), (2, 2), "{:?}", door.counts());
}
