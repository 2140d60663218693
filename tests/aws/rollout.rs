//! Rollouts on ECS: MiniStack as AWS, with containers of a real Docker engine where it matters.
//!
//! The adapter finds its credentials as every program on AWS does: run these with `AWS_REGION`,
//! `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` set to anything.

mod canary;
mod door;
mod seen;
mod wellbeing;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::world::{SERVE, World, ensure};
use crate::hang;
use crate::ministack::Containers;
use greenroom::model::{Artifact, Failure, FailureKind, Output, SecretRef};
use greenroom::port::{Cloud, Phase, PortError, PortResult, Progress};
use tokio_util::sync::CancellationToken;

fn failed(result: PortResult<Output>) -> Failure {
    match result {
        Err(PortError::Failed(failure)) => *failure,
        other => panic!("it should have failed: {other:?}"),
    }
}

/// The calls since `before`, by operation.
fn calls_since(world: &World, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let now = world.cloud.calls();
    let since = |(name, count): (&String, &u64)| (name.clone(), count - before.get(name).copied().unwrap_or(0));
    now.iter().map(since).filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn a_first_version_goes_live_and_is_seen_in_three_reads() {
    let mut w = World::new(Containers::Real).await;
    let image = w.image("one", SERVE).await;
    assert_eq!(w.versions().await, (None, vec![]));
    let one = w.goal(&image);
    w.go_live(&one).await;
    assert_eq!(w.name().await, "one");
    let answered = w.settle(Phase::Check, &one).await.expect("an answer");
    assert!(matches!(answered, Output::Answered { status: 200, .. }), "{answered:?}");
    assert_eq!(w.active_definitions().await, std::slice::from_ref(&one.version.0));
    let logs = w.cloud.logs(w.site(), &one.spec.services[0].name, 10).await.expect("a log");
    assert_eq!(logs, ["one listens on 8080"]);

    let fresh = w.restarted().await;
    let observed = fresh.observe(w.site()).await.expect("it can be observed");
    let web = observed.services.values().next().expect("a service");
    assert_eq!((web.serving.as_ref(), web.others.len()), (Some(&one.version), 0));
    assert_eq!(observed.blueprint.as_deref(), Some("b1"));
    let mut reads = fresh.calls();
    // Whose account it is, asked once for all stages there.
    reads.remove("sts:GetCallerIdentity");
    assert_eq!(reads.values().sum::<u64>(), 3, "{reads:?}");
}

#[tokio::test]
async fn a_second_image_takes_over_without_a_failed_request() {
    let mut w = World::new(Containers::Real).await;
    let (first, second) = (w.image("one", SERVE).await, w.image("two", SERVE).await);
    w.go_live(&w.goal(&first)).await;
    let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let load = w.load(stop.clone(), Arc::clone(&answered));
    let two = w.goal(&second);
    let (before, begun) = (w.cloud.calls(), Instant::now());
    w.settle(Phase::Start, &two).await.expect("it starts");
    let (calls, took) = (calls_since(&w, &before), begun.elapsed());
    for phase in [Phase::Shift, Phase::Check, Phase::Retire] {
        w.settle(phase, &two).await.expect("it goes live");
    }
    hang::note("the load was one");
    while answered.load(Ordering::SeqCst) < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    assert_eq!(load.await.expect("the load ends"), Vec::<String>::new());
    assert_eq!(w.name().await, "two");
    assert_eq!(w.versions().await, (Some(two.version.clone()), vec![]));
    assert_eq!(w.active_definitions().await, std::slice::from_ref(&two.version.0));

    // Before the definition is registered: the stack, the service and the family's newest.
    let of = |name: &str| calls.get(name).copied().unwrap_or(0);
    let earlier = of("cloudformation:DescribeStacks") + of("ecs:ListTaskDefinitions") + 1;
    let polls = of("ecs:DescribeServices") - 1;
    let all = calls.values().sum::<u64>();
    for once in ["ecs:RegisterTaskDefinition", "ecs:UpdateService"] {
        assert_eq!(of(once), 1, "{calls:?}");
    }
    // Where the copy is slow to run, its tasks and targets are looked at while it is waited for.
    let health = of("elasticloadbalancing:DescribeTargetHealth");
    assert!((1..=1 + polls / 4).contains(&health), "{calls:?}");
    let tasks = of("ecs:ListTasks") + of("ecs:DescribeTasks");
    assert!(tasks <= 2 * polls, "{calls:?}");
    assert!(all - earlier - polls - health - tasks <= 3, "{calls:?}");
    assert!(u128::from(polls) <= 2 + took.as_millis() / 300, "{polls} polls in {took:?}");
    let figures = format!(
        "an image-only update: {} calls from the definition on, {took:?}, {earlier} reads before: {calls:?}\n",
        all - earlier
    );
    std::io::Write::write_all(&mut std::io::stdout(), figures.as_bytes()).expect("a place to print to");
}

#[tokio::test]
async fn a_program_that_exits_is_named_and_the_old_version_goes_on_serving() {
    let mut w = World::new(Containers::Real).await;
    let good = w.image("one", SERVE).await;
    let bad = w.image("broken", "echo reading the configuration; echo no database; exit 3").await;
    let one = w.goal(&good);
    w.go_live(&one).await;
    let broken = w.goal(&bad);
    let begun = Instant::now();
    let failure = failed(w.settle(Phase::Start, &broken).await);
    assert!(begun.elapsed() < Duration::from_mins(1), "it took {:?}", begun.elapsed());
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Exited, Some(3)), "{failure:?}");
    assert!(failure.summary.contains("exit code 3"), "{failure:?}");
    assert_eq!(failure.log, ["reading the configuration", "no database"]);
    // Asked again, also by a process that knows nothing, it is the same.
    let again = ensure(&w.restarted().await, Phase::Start, &broken).await;
    assert!(matches!(&again, Err(PortError::Failed(same)) if same.exit_code == Some(3)), "{again:?}");

    w.settle(Phase::Retire, &broken).await.expect("it is taken back");
    assert_eq!(w.name().await, "one");
    assert_eq!(w.versions().await, (Some(one.version.clone()), vec![]));
    assert_eq!(w.active_definitions().await, std::slice::from_ref(&one.version.0));
}

#[tokio::test]
async fn what_serves_makes_no_room_for_the_way_back() {
    let mut w = World::new(Containers::Real).await;
    let (good, stuck) = (w.image("one", SERVE).await, w.image("stuck", "exec sleep 600").await);
    let one = w.goal(&good);
    w.go_live(&one).await;
    let serving = w.running_tasks().await;
    let stuck = w.goal(&stuck);
    let start = ensure(&w.cloud, Phase::Start, &stuck).await;
    assert!(matches!(start, Ok(Progress::Pending { .. })), "{start:?}");
    let begun = Instant::now();
    // With its copy there are as many as there may be.
    while w.service().await.running_count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not run");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    w.settle(Phase::Retire, &stuck).await.expect("it is taken back");
    assert_eq!(w.name().await, "one");
    assert_eq!(w.versions().await, (Some(one.version.clone()), vec![]));
    let stopped = w.stopped_reasons(&serving).await;
    assert!(stopped.iter().all(|reason| reason == "Deployment completed"), "{stopped:?}");
}

#[tokio::test]
async fn a_first_version_that_fails_leaves_the_service_at_rest() {
    let mut w = World::new(Containers::Real).await;
    let bad = w.image("broken", "exit 3").await;
    let broken = w.goal(&bad);
    let failure = failed(w.settle(Phase::Start, &broken).await);
    assert_eq!(failure.exit_code, Some(3), "{failure:?}");
    w.settle(Phase::Retire, &broken).await.expect("it is taken back");
    let service = w.service().await;
    assert_eq!((service.desired_count(), service.running_count()), (0, 0));
    assert_eq!(w.active_definitions().await, ["first"]);
    assert_eq!(w.versions().await, (None, vec![]));

    let good = w.image("one", SERVE).await;
    w.go_live(&w.goal(&good)).await;
    assert_eq!(w.name().await, "one");
}

#[tokio::test]
async fn what_a_task_lacks_is_named() {
    let mut w = World::new(Containers::Real).await;
    let good = w.image("one", SERVE).await;
    let mut secretless = w.goal(&good);
    let secret = SecretRef::SecretsManager("shop/nothing".into());
    secretless.service().secrets = BTreeMap::from([("TOKEN".into(), secret)]);
    let failure = failed(w.settle(Phase::Start, &secretless).await);
    assert_eq!(failure.kind, FailureKind::Environment, "{failure:?}");
    assert!(failure.summary.contains("a secret of `web` is missing"), "{failure:?}");
    w.settle(Phase::Retire, &secretless).await.expect("it is taken back");

    let digest = format!("sha256:{}", "0".repeat(64));
    let reference = format!("{}@{digest}", good.reference.split_once('@').expect("a digest").0);
    let imageless = w.goal(&Artifact { reference, digest });
    let failure = failed(w.settle(Phase::Start, &imageless).await);
    assert_eq!(failure.kind, FailureKind::Environment, "{failure:?}");
    assert!(failure.summary.contains("the image of `web`"), "{failure:?}");
    w.settle(Phase::Retire, &imageless).await.expect("it is taken back");
    assert_eq!(w.active_definitions().await, ["first"]);
}

#[tokio::test]
async fn a_migration_runs_once_and_its_failure_stops_everything() {
    let mut w = World::new(Containers::Real).await;
    let image = w.image("one", SERVE).await;
    let one = w.goal(&image).migrating("echo migrated", 60);
    assert_eq!(w.settle(Phase::Migrate, &one).await.expect("it runs"), Output::Nothing);
    // A process that knows nothing of it finds it.
    let again = ensure(&w.restarted().await, Phase::Migrate, &one).await.expect("it ran");
    assert_eq!(again, Progress::Done(Output::Nothing));
    assert_eq!(w.one_offs().await, 1);
    w.go_live(&one).await;
    assert_eq!(w.one_offs().await, 1);

    let two = w.goal(&image).migrating("echo half-way; exit 7", 60);
    let failure = failed(w.settle(Phase::Migrate, &two).await);
    assert_eq!((failure.kind, failure.exit_code), (FailureKind::Migration, Some(7)), "{failure:?}");
    assert_eq!(failure.summary, "the migration of `web` ended with exit code 7");
    assert!(!failure.advice.contains("served before"), "nothing served before: {failure:?}");
    assert_eq!(failure.log, ["half-way"]);
    w.settle(Phase::Retire, &two).await.expect("it is cleaned up");
    assert_eq!(w.active_definitions().await, std::slice::from_ref(&one.version.0));
    assert_eq!(w.versions().await, (Some(one.version.clone()), vec![]));

    let slow = w.goal(&image).migrating("sleep 600", 1);
    let failure = failed(w.settle(Phase::Migrate, &slow).await);
    assert_eq!(failure.summary, "the migration of `web` took longer than 1s", "{failure:?}");
}

#[tokio::test]
async fn a_process_for_each_call_doubles_nothing() {
    let w = World::new(Containers::Pretended).await;
    let digest = format!("sha256:{}", "a".repeat(64));
    let one = w.goal(&Artifact { reference: format!("registry.test/web@{digest}"), digest });
    let begun = Instant::now();
    loop {
        match ensure(&w.restarted().await, Phase::Start, &one).await.expect("no failure") {
            Progress::Done(output) => break assert_eq!(output, Output::Version(one.version.clone())),
            Progress::Pending { again_millis, note } => {
                assert!(begun.elapsed() < Duration::from_mins(1), "{note}");
                tokio::time::sleep(Duration::from_millis(again_millis.unsigned_abs())).await;
            }
        }
    }
    assert_eq!(w.active_definitions().await, ["first".to_owned(), one.version.0.clone()]);
    let service = w.service().await;
    assert_eq!((service.desired_count(), service.running_count()), (1, 1));
    // Converged: a look and nothing else.
    let fresh = w.restarted().await;
    let done = ensure(&fresh, Phase::Start, &one).await.expect("no failure");
    assert_eq!(done, Progress::Done(Output::Version(one.version.clone())));
    assert!(!fresh.calls().contains_key("ecs:UpdateService"), "{:?}", fresh.calls());
}
