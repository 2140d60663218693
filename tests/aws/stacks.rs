//! Stacks for real, on MiniStack: made, changed, put right after a failure, removed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::desk::{Desk, settle};
use aws_sdk_cloudformation::types::StackStatus;
use aws_sdk_ecs::types::ContainerDefinition;
use greenroom::model::{ChangeKind, Output, StageSpec};
use greenroom::port::{Cloud, PortError, Site, Slots};

/// What MiniStack 1.5 cannot make, and so what no test here asks it for. Their texts pass the linter
/// (`tests/aws/templates.rs`); nothing else of the templates is left out.
///
/// | type | why |
/// |---|---|
/// | `AWS::EC2::EIP`, `AWS::EC2::NatGateway` | its CloudFormation has no handler: foundations have no NAT here |
/// | `AWS::ElasticLoadBalancingV2::ListenerCertificate` | no handler: one certified zone at most here |
/// | `AWS::ApplicationAutoScaling::*` | no such service: `scale.max` equals `scale.min` here |
const NOT_ON_MINISTACK: [&str; 5] = [
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    "AWS::ElasticLoadBalancingV2::ListenerCertificate",
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
];

const FOUNDATION: &str = "greenroom-previews-foundation";

/// A worker beside it, and a health check that differs.
const GROWN: &str = "
version: 1
app: shop
domain: { zone: shop.test, dns: none }
services:
  web: { kind: ecs, build: { context: . }, host: '@', port: 8080, health: { path: /ready } }
  worker: { kind: ecs, build: { context: . } }
";

const OTHER_ZONE: &str = "
version: 1
app: shop
domain: { zone: other.test, dns: none, certificate: 'arn:aws:acm:us-east-1:000000000000:certificate/1' }
services:
  web: { kind: ecs, build: { context: . }, host: '@', port: 8080, health: { path: /health } }
";

fn site(spec: &StageSpec) -> Site<'_> {
    Site { stage: &spec.stage, place: &spec.place }
}

async fn made(desk: &Desk, spec: &StageSpec) {
    assert_eq!(settle(|| desk.cloud.prepare(spec)).await.expect("made"), Output::Nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_stage_is_made_once_with_its_foundation() {
    let desk = Desk::new().await;
    let spec = desk.spec("pr-1", crate::desk::SMALLEST);
    made(&desk, &spec).await;
    let complete = |name: String| (name, "CREATE_COMPLETE".to_owned());
    assert_eq!(desk.stacks().await, [FOUNDATION.to_owned(), desk.own(&spec).await].map(complete).into());

    let service = desk.service(&spec, "Web").await;
    assert_eq!(service.desired_count(), 0, "nothing waits for the user's code");
    assert_eq!(service.load_balancers()[0].container_port(), Some(8080));
    assert_eq!(service.capacity_provider_strategy()[0].capacity_provider(), "FARGATE");
    let observed = desk.cloud.observe(site(&spec)).await.expect("observed");
    assert_eq!(observed.blueprint, desk.cloud.blueprint(&spec));

    let before = desk.cloud.calls();
    made(&desk, &spec).await;
    let calls = difference(&before, &desk.cloud.calls());
    assert_eq!(calls, BTreeMap::from([("cloudformation:DescribeStacks".to_owned(), 1)]), "as it should be: one read");
    for kind in desk.kinds().await {
        assert!(!NOT_ON_MINISTACK.contains(&kind.as_str()), "{kind} works by now: take it off the list");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_configuration_leaves_what_runs() {
    let desk = Desk::new().await;
    let spec = desk.spec("pr-1", crate::desk::SMALLEST);
    made(&desk, &spec).await;
    let live = desk.roll(&spec, "Web", 1).await;

    let grown = desk.spec("pr-1", GROWN);
    assert_ne!(desk.cloud.blueprint(&spec), desk.cloud.blueprint(&grown));
    let changes = desk.cloud.changes(&grown).await.expect("a diff");
    let words: Vec<_> = changes.iter().map(|one| (one.change, one.name.as_str())).collect();
    for expected in [
        (ChangeKind::Changed, "WebTargetGroup"),
        (ChangeKind::Added, "WorkerLogs"),
        (ChangeKind::Added, "WorkerService"),
    ] {
        assert!(words.contains(&expected), "{expected:?} in {words:?}");
    }
    assert!(!words.iter().any(|(change, _)| *change == ChangeKind::Removed), "{words:?}");
    assert!(desk.change_sets(&spec).await.is_empty(), "the change set is gone again");

    made(&desk, &grown).await;
    let service = desk.service(&spec, "Web").await;
    assert_eq!((service.task_definition(), service.desired_count()), (Some(live.as_str()), 1));
    assert_eq!(desk.service(&spec, "Worker").await.desired_count(), 0);
    assert_eq!(desk.cloud.observe(site(&grown)).await.expect("observed").services.len(), 2);

    made(&desk, &spec).await;
    let service = desk.service(&spec, "Web").await;
    assert_eq!((service.task_definition(), service.desired_count()), (Some(live.as_str()), 1));
    assert_eq!(desk.cloud.observe(site(&spec)).await.expect("observed").blueprint, desk.cloud.blueprint(&spec));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_stages_made_at_once_share_one_foundation_and_no_number() {
    let desk = Desk::new().await;
    let specs: Vec<StageSpec> =
        (1..=10).map(|number| desk.spec(&format!("pr-{number}"), crate::desk::SMALLEST)).collect();
    let all = specs.iter().map(|spec| settle(|| desk.cloud.prepare(spec)));
    for result in futures_util::future::join_all(all).await {
        result.expect("made");
    }
    let stacks = desk.stacks().await;
    assert_eq!(stacks.len(), 11, "{stacks:?}");
    assert!(stacks.values().all(|status| status == "CREATE_COMPLETE"), "{stacks:?}");
    let numbers: Vec<u32> =
        desk.slots.slots(FOUNDATION).await.expect("slots").iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    assert_eq!(desk.priorities().await, (1..=10).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_somebody_else_uses_is_passed_over() {
    let desk = Desk::new().await;
    let first = desk.spec("pr-1", crate::desk::SMALLEST);
    made(&desk, &first).await;
    desk.rule_by_hand("2", "blog.test").await;
    made(&desk, &desk.spec("pr-2", crate::desk::SMALLEST)).await;
    assert_eq!(desk.priorities().await, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_load_balancer_comes_before_the_first_is_full() {
    let desk = Desk::new().await;
    let pool: Vec<String> = (1..=95).map(|number| format!("acme/other/pr-{number}/web")).collect();
    for holder in &pool {
        desk.slots.take_slot(FOUNDATION, holder, &[].into(), 95).await.expect("a number");
    }
    let spec = desk.spec("pr-1", crate::desk::SMALLEST);
    made(&desk, &spec).await;
    let stack = desk.describe(FOUNDATION).await.expect("a foundation");
    assert!(stack.outputs().iter().any(|output| output.output_key() == Some("Door2")), "{:?}", stack.outputs());
    let held = desk.slots.slots(FOUNDATION).await.expect("slots");
    assert!(held.contains(&(96, "acme/shop/pr-1/web".to_owned())), "{held:?}");
    desk.slots.free_slot(FOUNDATION, &pool[0]).await.expect("freed");
    made(&desk, &desk.spec("pr-1", GROWN)).await;
    let held = desk.slots.slots(FOUNDATION).await.expect("slots");
    assert!(held.contains(&(96, "acme/shop/pr-1/web".to_owned())), "it keeps its load balancer for life: {held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_added_to_a_foundation_that_is_otherwise_left_alone() {
    let desk = Desk::new().await;
    made(&desk, &desk.spec("pr-1", crate::desk::SMALLEST)).await;
    let by_hand = "# an older template\n";
    desk.age_foundation(by_hand).await;
    let other = desk.spec("pr-2", OTHER_ZONE);
    made(&desk, &other).await;
    let text = desk.template(FOUNDATION).await;
    assert!(text.starts_with(by_hand), "the rest stays as it was made");
    assert!(text.contains("HttpsListener1:"), "{text}");
    // The first stage's rule still answers on the listener without a certificate.
    made(&desk, &desk.spec("pr-1", crate::desk::SMALLEST)).await;

    assert_eq!(settle(|| desk.cloud.deploy_foundation(site(&other))).await.expect("renewed"), FOUNDATION);
    assert!(!desk.template(FOUNDATION).await.starts_with(by_hand), "by hand it is brought to this release's");
    assert_eq!(desk.cloud.plan_foundation(site(&other)).await.expect("a plan"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_never_lived_is_told_once_and_then_made_anew() {
    let desk = Desk::new().await;
    let spec = desk.spec("pr-1", crate::desk::SMALLEST);
    let own = taken(&desk, &spec).await;
    let error = settle(|| desk.cloud.prepare(&spec)).await.expect_err("the name is taken");
    let PortError::Failed(failure) = error else { panic!("{error:?}") };
    assert!(failure.summary.contains("could not make the service of the stack"), "{}", failure.summary);
    assert!(failure.summary.contains("not idempotent"), "{}", failure.summary);
    assert_eq!(desk.stacks().await[&own], "ROLLBACK_COMPLETE");
    assert_eq!(desk.cloud.observe(site(&spec)).await.expect("observed").blueprint, None);

    desk.drop_service(&format!("{own}-WebService")).await;
    made(&desk, &spec).await;
    assert_eq!(desk.stacks().await[&own], "CREATE_COMPLETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_left_is_cleared_or_waited_for() {
    let desk = Desk::new().await;
    let spec = desk.spec("pr-1", crate::desk::SMALLEST);
    let own = taken(&desk, &spec).await;
    settle(|| desk.cloud.prepare(&spec)).await.expect_err("the name is taken");
    desk.drop_service(&format!("{own}-WebService")).await;

    let after = desk.restarted().await;
    settle(|| after.prepare(&spec)).await.expect("what is left over is cleared away");
    // Killed after each single call: whoever comes next goes on from there.
    let other = desk.spec("pr-2", GROWN);
    settle(|| async { desk.restarted().await.prepare(&other).await }).await.expect("made in pieces");
    let stacks = desk.stacks().await;
    assert_eq!((stacks.len(), stacks.values().all(|status| status == "CREATE_COMPLETE")), (3, true), "{stacks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_stays_where_it_is_and_the_next_one_mends_it() {
    let desk = Desk::new().await;
    let spec = desk.spec("pr-1", crate::desk::SMALLEST);
    made(&desk, &spec).await;
    let live = desk.roll(&spec, "Web", 1).await;
    let worker = format!("{}-WorkerService", desk.own(&spec).await);
    desk.service_by_hand(&worker).await;
    let grown = desk.spec("pr-1", GROWN);
    let error = settle(|| desk.cloud.prepare(&grown)).await.expect_err("the name is taken");
    assert!(error.to_string().contains("the service"), "{error}");
    assert_eq!(
        desk.describe(&desk.own(&spec).await).await.and_then(|stack| stack.stack_status),
        Some(StackStatus::UpdateFailed)
    );
    assert_eq!(desk.service(&spec, "Web").await.task_definition(), Some(live.as_str()), "what runs is not taken back");
    let seen = desk.cloud.observe(site(&spec)).await.expect("observed");
    assert_eq!((seen.blueprint, seen.services.len()), (None, 1));

    desk.drop_service(&worker).await;
    // MiniStack takes no update in this state, which AWS does; there the failed one is taken back first.
    made(&desk, &grown).await;
    assert_eq!(desk.cloud.observe(site(&grown)).await.expect("observed").blueprint, desk.cloud.blueprint(&grown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foundation_goes_only_when_no_stage_uses_it() {
    let desk = Desk::new().await;
    let spec = desk.spec("pr-1", crate::desk::SMALLEST);
    made(&desk, &spec).await;
    let error = settle(|| desk.cloud.destroy_foundation(site(&spec))).await.expect_err("it is used");
    assert!(error.to_string().contains("acme/shop/pr-1"), "{error}");
    assert!(error.to_string().contains("Destroy these stages first"), "an error says what to do: {error}");
    let report = desk.cloud.report_foundation(site(&spec)).await.expect("a report");
    assert_eq!((report.account.as_str(), report.stack.as_str()), ("000000000000", FOUNDATION));
    let live = report.live.expect("it was made");
    assert_eq!((live.stages, live.doors.len()), (vec!["acme/shop/pr-1".to_owned()], 1));
    let records: Vec<_> = live.zones.iter().flat_map(|zone| &zone.records).collect();
    assert_eq!((records.len(), records[0].name.as_str(), records[0].kind), (1, "*.shop.test", "CNAME"));
    assert_eq!(Some(&records[0].value), live.doors.first(), "with `dns: none` somebody has to lead there");

    for _ in 0..2 {
        for resource in desk.cloud.inventory(site(&spec)).await.expect("an inventory") {
            settle(|| desk.cloud.remove(site(&spec), &resource)).await.expect("removed");
        }
    }
    assert_eq!(desk.cloud.inventory(site(&spec)).await.expect("an inventory"), []);
    settle(|| desk.cloud.destroy_foundation(site(&spec))).await.expect("nobody uses it");
    assert_eq!(desk.stacks().await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_template_goes_by_a_bucket() {
    let desk = Desk::new().await;
    let mut services = String::new();
    for number in 1..=24 {
        writeln!(services, "  s{number}: {{ kind: ecs, build: {{ context: . }}, host: h{number}, port: 80, health: {{ path: /health }} }}").expect("a String takes it");
    }
    let yaml = format!("version: 1\napp: shop\ndomain: {{ zone: shop.test, dns: none }}\nservices:\n{services}");
    let spec = desk.spec("pr-1", &yaml);
    assert!(desk.cloud.templates(&spec).expect("texts")[1].len() > 51_200, "larger than a request takes");
    made(&desk, &spec).await;
    assert_eq!(desk.stacks().await.len(), 2);
    assert!(desk.cloud.calls()["s3:PutObject"] >= 1);
}

/// Takes away the name that the stage's service would get, as somebody's hand might. Answers the
/// stack's name.
async fn taken(desk: &Desk, spec: &StageSpec) -> String {
    made(desk, spec).await;
    let own = desk.own(spec).await;
    desk.delete_stack(&own).await;
    desk.service_by_hand(&format!("{own}-WebService")).await;
    own
}

fn difference(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = |(call, count): (&String, &u64)| {
        let more = count - before.get(call).unwrap_or(&0);
        (more > 0).then(|| (call.clone(), more))
    };
    after.iter().filter_map(more).collect()
}

/// What a rollout does to a service, without one.
impl Desk {
    async fn roll(&self, spec: &StageSpec, logical: &str, copies: i32) -> String {
        let service = self.service(spec, logical).await;
        let name = logical.to_lowercase();
        let port = aws_sdk_ecs::types::PortMapping::builder().container_port(8080).build();
        let container = ContainerDefinition::builder().name(name).image("app@sha256:1").port_mappings(port).build();
        let made = self.ecs.register_task_definition().family("rolled").container_definitions(container).send().await;
        let arn = made.expect("registered").task_definition.and_then(|made| made.task_definition_arn).expect("an ARN");
        let update = self.ecs.update_service().cluster(service.cluster_arn().expect("a cluster"));
        let update =
            update.service(service.service_name().expect("a name")).task_definition(&arn).desired_count(copies);
        update.send().await.expect("updated");
        arn
    }
}
