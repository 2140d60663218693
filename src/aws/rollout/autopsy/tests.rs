//! What ECS says, word for word, and what is made of it.

use std::collections::BTreeMap;

use super::*;
use crate::aws::rollout::definition::tests::spec;

fn stopped(code: &str, reason: &str, exit_code: Option<i32>, container: &str) -> TaskSeen {
    TaskSeen {
        id: "1".into(),
        status: "STOPPED".into(),
        stop_code: code.into(),
        stopped_reason: reason.into(),
        exit_code,
        container_reason: container.into(),
        ..TaskSeen::default()
    }
}

fn named(finding: &Finding) -> String {
    let (kind, cause) = match finding {
        Finding::Transient => return "transient".into(),
        Finding::Hiccup(cause) => ("hiccup ", cause),
        Finding::Fault(cause) => ("", cause),
    };
    let cause = format!("{cause:?}");
    format!("{kind}{}", cause.split(" { said").next().unwrap_or_default())
}

#[test]
fn every_known_end_has_its_cause() {
    const EXITED: &str = "EssentialContainerExited";
    const NO_START: &str = "TaskFailedToStart";
    const SCHEDULER: &str = "ServiceSchedulerInitiated";
    const ESSENTIAL: &str = "Essential container in task exited";
    const SECRETS: &str =
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: ";
    let secrets = |end: &str| format!("{SECRETS}{end}");
    let pull = |end: &str| format!("CannotPullContainerError: {end}");
    let cases: Vec<(&str, String, Option<i32>, &str, &str)> = vec![
        (EXITED, ESSENTIAL.into(), Some(3), "", "Exited { code: 3 }"),
        (EXITED, ESSENTIAL.into(), Some(0), "", "Exited { code: 0 }"),
        (EXITED, ESSENTIAL.into(), Some(137), "OutOfMemoryError: Container killed due to memory usage", "OutOfMemory { code: Some(137) }"),
        (EXITED, "OutOfMemoryError: container killed due to memory usage".into(), None, "", "OutOfMemory { code: None }"),
        (EXITED, ESSENTIAL.into(), Some(137), "", "OutOfMemory { code: Some(137) }"),
        (NO_START, "CannotStartContainerError: exec /app: exec format error".into(), Some(255), "", "Architecture"),
        (NO_START, pull("pull image manifest has been retried 1 time(s): image Manifest does not contain descriptor matching platform 'linux/arm64'"), None, "", "Architecture"),
        (NO_START, pull("pull image manifest has been retried 5 time(s): failed to resolve ref r/web@sha256:0: not found"), None, "", "ImageMissing"),
        (NO_START, pull("manifest unknown"), None, "", "ImageMissing"),
        (NO_START, pull("pull access denied, repository does not exist or may require authorization"), None, "", "ImageDenied"),
        (NO_START, pull("unexpected status code 403 Forbidden"), None, "", "ImageDenied"),
        (NO_START, pull("failed to do request: dial tcp 10.0.0.1:443: i/o timeout"), None, "", "Unreachable"),
        (NO_START, pull("429 Too Many Requests - toomanyrequests"), None, "", "NeverStarted"),
        (NO_START, secrets("unable to retrieve secret from asm: ResourceNotFoundException: Secrets Manager can't find the specified secret."), None, "", "SecretMissing"),
        (NO_START, secrets("unable to retrieve secret from asm: retrieved secret from Secrets Manager did not contain json key url"), None, "", "SecretMissing"),
        (NO_START, secrets("unable to retrieve secret from asm: AccessDeniedException: is not authorized to perform: secretsmanager:GetSecretValue"), None, "", "SecretDenied"),
        (NO_START, "ResourceInitializationError: unable to pull secrets or registry auth: There is a connection issue between the task and AWS Secrets Manager".into(), None, "", "Unreachable"),
        (NO_START, "You've reached the limit on the number of vCPUs you can run concurrently".into(), None, "", "Quota"),
        (NO_START, "Capacity is unavailable at this time. Please try again later or in a different availability zone".into(), None, "", "hiccup Capacity"),
        (NO_START, "Timeout waiting for network interface provisioning to complete.".into(), None, "", "hiccup NeverStarted"),
        (NO_START, "CannotStartContainerError: no such file or directory".into(), None, "", "NeverStarted"),
        (SCHEDULER, "Task failed ELB health checks in (target-group arn:tg)".into(), None, "", "Unhealthy"),
        (SCHEDULER, "Task failed container health checks".into(), Some(137), "", "Unhealthy"),
        (SCHEDULER, "Scaling activity initiated by (deployment ecs-svc/1)".into(), Some(143), "", "transient"),
        (SCHEDULER, "ECS is performing maintenance on the underlying infrastructure hosting the task.".into(), None, "", "transient"),
        ("SpotInterruption", "Your Spot Task was interrupted.".into(), Some(137), "", "transient"),
        ("TerminationNotice", "Host terminates".into(), Some(137), "", "transient"),
        ("UserInitiated", "Task stopped by user".into(), Some(137), "", "transient"),
    ];
    for (code, reason, exit_code, container, expected) in cases {
        let task = stopped(code, &reason, exit_code, container);
        assert_eq!(named(&examine(&task)), expected, "{task:?}");
    }
}

#[test]
fn the_first_fault_counts_and_a_hiccup_only_when_it_stays() {
    let spot = stopped("SpotInterruption", "", None, "");
    let hiccup = stopped("TaskFailedToStart", "Capacity is unavailable at this time", None, "");
    let exited = stopped("EssentialContainerExited", "", Some(3), "");
    let first = |tasks: &[TaskSeen]| first_fault(tasks).map(|(_, cause)| named(&Finding::Fault(cause)));
    assert_eq!(first(&[spot.clone(), exited.clone()]).as_deref(), Some("Exited { code: 3 }"));
    assert_eq!(first(&[spot, hiccup.clone(), hiccup.clone()]), None);
    assert_eq!(first(&[hiccup.clone(), hiccup.clone(), exited]).as_deref(), Some("Exited { code: 3 }"));
    assert_eq!(first(&[hiccup.clone(), hiccup.clone(), hiccup]).as_deref(), Some("Capacity"));
}

#[test]
fn a_failure_says_what_happened_and_what_is_next() {
    let spec = spec(BTreeMap::new());
    let exited = failure(&Cause::Exited { code: 3 }, &spec, vec!["boom".into()], "");
    assert_eq!(exited.summary, "`web` ended with exit code 3");
    assert_eq!((exited.kind, exited.exit_code, exited.log.len()), (FailureKind::Exited, Some(3), 1));
    assert!(exited.advice.contains("last lines"), "{exited:?}");
    let silent = failure(&Cause::Exited { code: 3 }, &spec, vec![], "");
    assert!(!silent.advice.contains("last lines") && silent.advice.contains("standard error"), "{silent:?}");
    // On Fargate the kernel's refusal is only in the log.
    let log = vec!["exec /app: exec format error".to_owned()];
    let foreign = failure(&Cause::Exited { code: 1 }, &spec, log, "");
    assert_eq!((foreign.kind, foreign.exit_code), (FailureKind::Environment, None));
    assert!(foreign.advice.contains("build.platform"), "{foreign:?}");
    let memory = failure(&Cause::OutOfMemory { code: Some(137) }, &spec, vec![], "");
    assert_eq!(memory.summary, "`web` was killed with exit code 137: it used more than its 512 MiB");
    let cause = Cause::Unhealthy { said: "Task failed ELB health checks".into() };
    let unhealthy =
        failure(&cause, &spec, vec![], "Target.ResponseCodeMismatch Health checks failed with these codes: [500]");
    assert_eq!(
        unhealthy.summary,
        "the health check of `web` at /health never passed: Target.ResponseCodeMismatch Health checks failed with these codes: [500]"
    );
    // Of what served before nothing is known but its name, and its lines may only be late.
    let subject = Subject { name: &spec.name, life: Life::Serving, path: None, memory: None };
    let ill = told(&cause, &subject, vec![], "");
    assert_eq!(ill.summary, "the health check of `web` does not pass any more: Task failed ELB health checks");
    let ended = told(&Cause::Exited { code: 3 }, &subject, vec![], "");
    assert!(ended.advice.contains("last lines"), "{ended:?}");
    let denied = failure(&Cause::SecretDenied { said: "no".into() }, &spec, vec![], "");
    assert!(denied.advice.contains("greenroom:access"), "{denied:?}");
}
