//! Stacks whose tags somebody took away, and things made by hand that have names like ours.

use std::time::{Duration, Instant};

use aws_sdk_cloudformation::types::{Capability, Parameter, Tag};
use aws_sdk_ecs::types::ContainerDefinition;
use greenroom::model::{Failure, Observed, Place, Resource, StageSpec};
use greenroom::port::{Cloud, PortError, PortResult, Site};

use crate::desk::{Desk, SMALLEST, settle};
use crate::ground::{Ground, POOL, foundation, id, pairs, permanent, stack_name, tags};
use crate::hang::PATIENCE;

fn site(spec: &StageSpec) -> Site<'_> {
    Site { stage: &spec.stage, place: &spec.place }
}

fn failure<T: std::fmt::Debug>(what: &str, answer: PortResult<T>) -> Failure {
    match answer {
        Err(PortError::Failed(failure)) => *failure,
        other => panic!("{what}: {other:?}"),
    }
}

/// Gives a stack these tags and no others, as somebody does in the console.
async fn retag(desk: &Desk, name: &str, tags: Vec<Tag>) {
    let stack = desk.describe(name).await.expect("the stack");
    let keep = |parameter: &Parameter| {
        let key = parameter.parameter_key().unwrap_or_default();
        Parameter::builder().parameter_key(key).use_previous_value(true).build()
    };
    let update = desk.cloudformation.update_stack().stack_name(name).use_previous_template(true);
    let update = update.set_parameters(Some(stack.parameters().iter().map(keep).collect())).set_tags(Some(tags));
    update.capabilities(Capability::CapabilityIam).send().await.expect("updated");
    let begun = Instant::now();
    while desk.stacks().await[name] != "UPDATE_COMPLETE" {
        assert!(begun.elapsed() < PATIENCE, "{:?}", desk.stacks().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_whose_tags_somebody_took_away_is_named_and_nothing_of_it_is_touched() {
    let desk = Desk::new().await;
    let spec = desk.spec("pr-1", SMALLEST);
    settle(|| desk.cloud.prepare(&spec)).await.expect("the stack is made");
    let all = desk.cloud.inventory(site(&spec)).await.expect("it is told");
    assert!(all.len() > 5, "{all:#?}");
    let name = desk.own(&spec).await;
    let tags = desk.describe(&name).await.expect("the stack").tags().to_vec();
    retag(&desk, &name, Vec::new()).await;
    let stacks = desk.stacks().await;

    let is_told = |what: &str, failure: &Failure| {
        assert!(failure.summary.contains(&name) && failure.summary.contains("not its tags"), "{what}: {failure:?}");
        assert!(failure.advice.contains("greenroom:repo=acme/shop, greenroom:stage=pr-1"), "{what}: {failure:?}");
    };
    is_told("deploy", &failure("deploy", settle(|| desk.cloud.prepare(&spec)).await));
    is_told("plan", &failure("plan", desk.cloud.changes(&spec).await));
    is_told("logs", &failure("logs", desk.cloud.logs(site(&spec), &"web".parse().expect("a name"), 9).await));
    assert_eq!(desk.cloud.observe(site(&spec)).await.expect("it is told"), Observed::default());
    let left = desk.cloud.inventory(site(&spec)).await.expect("it is told");
    assert!(left.iter().any(|left| left.kind == "stack" && left.id == name), "it is not told to be gone: {left:#?}");
    for resource in all.iter().chain(&left) {
        let refused = desk.cloud.remove(site(&spec), resource).await;
        is_told(&resource.to_string(), &failure(&resource.to_string(), refused));
    }
    let ground = failure("foundation", settle(|| desk.cloud.destroy_foundation(site(&spec))).await);
    assert!(ground.summary.contains(&name), "it stands on it: {ground:?}");
    assert_eq!(desk.stacks().await, stacks);

    retag(&desk, &name, tags).await;
    settle(|| desk.cloud.prepare(&spec)).await.expect("it is the stage's again");
    assert_eq!(desk.cloud.inventory(site(&spec)).await.expect("it is told"), all);
}

#[tokio::test]
async fn a_sweep_knows_a_stage_by_the_name_of_its_stack_when_its_tags_are_gone() {
    let ground = Ground::new().await;
    let (stage, place) = (id("pr-2"), Place::default());
    ground.stack(&stack_name(&stage), &foundation(), &[]).await;
    let known = [(stage.clone(), place.clone())];
    assert_eq!(ground.stages(&known).await, ["acme/shop/pr-2 ephemeral"]);
    assert_eq!(ground.stages(&[]).await, [""; 0], "a name alone makes no stage");
    let left = ground.inventory(&stage, &place).await;
    assert_eq!(left.iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("stack {}", stack_name(&stage))]);
    let refused = failure("teardown", ground.remove(&stage, &place, &left[0]).await);
    assert!(refused.summary.contains(&stack_name(&stage)), "{refused:?}");
}

#[tokio::test]
async fn what_only_has_a_foundation_s_name_is_not_taken_for_one() {
    let ground = Ground::new().await;
    let (preview, prod) = (id("pr-7"), id("prod"));
    let mut foreign = tags(&prod, "production");
    foreign[0].1 = "another".into();
    let own = format!("{}-foundation", stack_name(&prod));
    ground.stack(&own, &foundation(), &pairs(&foreign)).await;
    let (shared, permanent) = (Place::default(), permanent());
    for (stage, place, name, said) in
        [(&preview, &shared, POOL, "not its tags"), (&prod, &permanent, own.as_str(), "another Greenroom")]
    {
        let site = Site { stage, place };
        for (what, failure) in [
            ("plan", failure("plan", ground.cloud.plan_foundation(site).await)),
            ("deploy", failure("deploy", settle(|| ground.cloud.deploy_foundation(site)).await)),
            ("destroy", failure("destroy", settle(|| ground.cloud.destroy_foundation(site)).await)),
        ] {
            assert!(failure.summary.contains(name) && failure.summary.contains(said), "{what}: {failure:?}");
        }
        let there = ground.cloudformation().describe_stacks().stack_name(name).send().await.expect("it is there");
        let status = there.stacks()[0].stack_status().map(|status| status.as_str().to_owned());
        assert_eq!(status.as_deref(), Some("CREATE_COMPLETE"), "{name}");
    }
    let foreign = ground.inventory(&prod, &permanent).await;
    assert_eq!(foreign, [], "what another Greenroom made");
}

#[tokio::test]
async fn a_family_that_only_has_a_stage_s_name_is_neither_swept_nor_removed() {
    let ground = Ground::new().await;
    let (stage, place) = (id("pr-3"), Place::default());
    let family = format!("{}-web", stack_name(&stage));
    let container = ContainerDefinition::builder().name("web").image("by-hand").build();
    let register = ground.ecs().register_task_definition().family(&family).container_definitions(container);
    register.send().await.expect("a task definition");
    let known = [(stage.clone(), place.clone())];
    assert_eq!(ground.stages(&known).await, [""; 0]);
    assert_eq!(ground.inventory(&stage, &place).await, []);

    let resource = Resource { kind: "task definitions".into(), id: family.clone(), service: None };
    ground.remove(&stage, &place, &resource).await.expect("nothing of the stage is there");
    let revisions = ground.ecs().list_task_definitions().family_prefix(&family).send().await.expect("a list");
    assert_eq!(revisions.task_definition_arns().len(), 1, "it stays");

    // The stage's own, which came later, goes with all of its revisions.
    let (own, place) = (id("pr-4"), Place::default());
    ground.task_definition(&own).await;
    assert_eq!(ground.stages(&[(own.clone(), place.clone())]).await, ["acme/shop/pr-4 ephemeral"]);
    for resource in ground.inventory(&own, &place).await {
        ground.remove(&own, &place, &resource).await.expect("removed");
    }
    assert_eq!(ground.inventory(&own, &place).await, []);
}
