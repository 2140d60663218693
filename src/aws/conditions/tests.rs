//! What is told of a service after it went live, by an AWS that says what a test wants.

use super::*;
use crate::aws::scripted::{Scripted, answered};
use crate::model::Wellbeing;

/// Two copies of two run after one ended, and ECS tells no events.
const SERVICE: &str = r#"{"services":[{"serviceName":"pr-1-web","serviceArn":"arn:service","status":"ACTIVE","desiredCount":2,"deployments":[{"status":"PRIMARY","taskDefinition":"arn:web:2","desiredCount":2,"runningCount":2,"pendingCount":0,"failedTasks":1,"rolloutState":"COMPLETED","createdAt":900}],"events":[],"loadBalancers":[],"tags":[]}],"failures":[]}"#;
const ENDED: &str = r#"{"tasks":[{"taskArn":"arn:aws:ecs:eu-west-1:123456789012:task/previews/t1","taskDefinitionArn":"arn:web:2","lastStatus":"STOPPED","stopCode":"EssentialContainerExited","stoppedReason":"Essential container in task exited","createdAt":1000,"stoppedAt":1100,"containers":[{"name":"web","exitCode":3}]}],"failures":[]}"#;
const HEALTH: &str = "elasticloadbalancing:DescribeTargetHealth";
const LOG: &str = "logs:GetLogEvents";

/// Its program ended with exit code 3 ten seconds ago and was started again.
fn restarted() -> Scripted {
    let w = Scripted::new();
    w.clock.set(1_110_000);
    w.script.tells("ecs:DescribeServices", SERVICE);
    w.script.tells("ecs:ListTasks", r#"{"taskArns":["arn:aws:ecs:eu-west-1:123456789012:task/previews/t1"]}"#);
    w.script.tells("ecs:DescribeTasks", ENDED);
    w.script.tells(LOG, r#"{"events":[{"timestamp":1,"message":"no table users"}]}"#);
    w.script.tells(HEALTH, &targets(["healthy", "healthy"]));
    w.shared.rollouts.know_stack(&w.stage, &Arc::new(answered("b1")));
    w
}

fn targets(states: [&str; 2]) -> String {
    let target = |state: &str| format!("<member><TargetHealth><State>{state}</State></TargetHealth></member>");
    format!("<TargetHealthDescriptions>{}</TargetHealthDescriptions>", states.map(target).concat())
}

/// How `web` is doing.
async fn web(w: &Scripted) -> Condition {
    let told = conditions(&w.shared, w.site()).await.expect("it is told");
    told.into_values().next().expect("it serves")
}

/// What is told of the trouble where this may not be called.
async fn without(refused: &str) -> Failure {
    let w = restarted();
    w.script.refuses(refused);
    let trouble = web(&w).await;
    assert_eq!((trouble.state, trouble.well), (Wellbeing::Restarting, 2), "{trouble:?}");
    assert_eq!(w.script.count(refused), 1);
    trouble.why.expect("a reason")
}

#[tokio::test]
async fn a_trouble_is_told_although_its_log_may_not_be_read() {
    let why = without(LOG).await;
    assert_eq!((why.exit_code, why.log), (Some(3), Vec::new()));
}

#[tokio::test]
async fn a_trouble_is_told_although_the_health_of_its_targets_may_not_be_read() {
    let why = without(HEALTH).await;
    assert_eq!((why.exit_code, why.log), (Some(3), vec!["no table users".to_owned()]));
}

#[tokio::test]
async fn a_copy_that_runs_is_well_only_if_the_load_balancer_finds_it_so() {
    let w = restarted();
    assert_eq!(web(&w).await.well, 2);
    let w = restarted();
    w.script.tells(HEALTH, &targets(["healthy", "unhealthy"]));
    let trouble = web(&w).await;
    assert_eq!((trouble.well, trouble.wanted), (1, 2), "{trouble:?}");
}

#[tokio::test]
async fn why_a_task_ended_is_found_out_once_its_lines_have_come() {
    let w = restarted();
    w.script.tells(LOG, r#"{"events":[]}"#);
    let (clients, stack) = (w.clients().await, answered("b1"));
    let name: ServiceName = "web".parse().unwrap();
    let service = &stack.services[&name];
    let work = Work { shared: &w.shared, clients: &clients, site: w.site(), stack: &stack, service, name: &name };
    let seen = describe(&clients, "previews", &["pr-1-web"]).await.expect("an answer").remove(0).expect("a service");
    let mut looks = Vec::new();
    for lines in [r#"{"events":[]}"#, r#"{"events":[{"timestamp":1,"message":"boom"}]}"#, r#"{"events":[]}"#] {
        w.script.tells(LOG, lines);
        let told = of_service(&work, &seen).await.expect("it is told").expect("it is known");
        looks.push((told.why.expect("a reason").log, w.script.count(LOG)));
    }
    let boom = vec!["boom".to_owned()];
    assert_eq!(looks, [(vec![], 1), (boom.clone(), 2), (boom, 2)]);
}
