//! The decisions as tables and as plans written out.

use std::fmt::Write as _;

use super::fixture::{addressing, all_serving, name, pull, pull_record, pull_rule, release, sha, shop, spec, stage};
use super::*;
use crate::model::{
    Action, Changed, CommitSha, DraftPolicy, Failure, FailureKind, Fence, ForkPolicy, Generation, GoneReason,
    Interruption, Observed, Output, Place, Plan, PullRequest, PullRequestState, RepoName, Resource, Runs, StageRecord,
    StageRule, StageStatus, StepEvent, StepEventKind, StepKey, StepLog, Timestamp, Trigger, Wanted,
};

fn written(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let needs: Vec<&str> = step.needs.iter().map(|need| need.0.as_str()).collect();
        let mark = match (step.interruption, step.runs) {
            (Interruption::Forbidden, _) => " !",
            (Interruption::Allowed, _) => "",
        };
        let always = if step.runs == Runs::Always { " always" } else { "" };
        writeln!(text, "{}{mark}{always} <- {}", step.key, needs.join(" ")).unwrap();
    }
    for skipped in &plan.skipped {
        writeln!(text, "({} is left alone)", skipped.service).unwrap();
    }
    text
}

fn planned(wanted: &Wanted, present: &Present<'_>) -> Plan {
    plan(&stage("pr-7"), &Place::default(), Generation(1), wanted, present)
}

#[test]
fn a_first_deploy_builds_together_starts_in_order_of_need_and_shifts_last() {
    let present = Present {
        observed: &Observed::default(),
        release: None,
        changed: &Changed::Everything,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    insta::assert_snapshot!(written(&planned(&Wanted::Live(Box::new(spec('a'))), &present)), @r"
    fetch <- 
    build:api <- fetch
    migrate:api ! <- build:api
    start:api <- build:api migrate:api
    build:web <- fetch
    build:worker <- fetch
    start:worker <- build:worker
    shift:api ! <- start:api start:worker
    check:api <- shift:api
    retire:api ! always <- check:api
    start:web <- build:web check:api
    shift:web ! <- start:api start:web start:worker
    check:web <- shift:web
    retire:web ! always <- check:web
    shift:worker ! <- start:api start:web start:worker
    check:worker <- shift:worker
    retire:worker ! always <- check:worker
    tidy always <- build:api build:web build:worker retire:api retire:web retire:worker
    ");
}

#[test]
fn what_is_live_and_complete_needs_no_step() {
    let observed = all_serving();
    let live = spec('a');
    let release = release(&live);
    let none = Changed::Files(Vec::new());
    let present = Present {
        observed: &observed,
        release: Some(&release),
        changed: &none,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    assert_eq!(planned(&Wanted::Live(Box::new(live.clone())), &present).steps, []);
    assert_ne!(planned(&Wanted::Live(Box::new(spec('b'))), &present).steps, [], "another commit");
    let mut lost = all_serving();
    lost.services.remove(&name("worker"));
    let present = Present { observed: &lost, ..present };
    assert_ne!(planned(&Wanted::Live(Box::new(live)), &present).steps, [], "a service was lost");
}

#[test]
fn a_service_none_of_whose_files_changed_is_left_alone() {
    let observed = all_serving();
    let release = release(&spec('a'));
    for (file, expected) in [("api/main.rs", true), ("web/index.html", false)] {
        let changed = Changed::Files(vec![file.into()]);
        let present = Present {
            observed: &observed,
            release: Some(&release),
            changed: &changed,
            blueprint: None,
            build_deadline: BUILD_DEADLINE,
        };
        let plan = planned(&Wanted::Live(Box::new(spec('b'))), &present);
        assert_eq!(plan.skipped.iter().any(|skipped| skipped.service == name("web")), expected, "{file}");
        assert_eq!(plan.steps.iter().any(|step| step.key.0 == "build:web"), !expected, "{file}");
    }
    let unknown = Present {
        observed: &observed,
        release: Some(&release),
        changed: &Changed::Everything,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    assert_eq!(planned(&Wanted::Live(Box::new(spec('b'))), &unknown).skipped, []);
}

#[test]
fn a_stage_that_goes_is_removed_in_the_targets_order_and_proven_gone() {
    let observed = all_serving();
    let present = Present {
        observed: &observed,
        release: None,
        changed: &Changed::Everything,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    insta::assert_snapshot!(written(&planned(&Wanted::Gone(GoneReason::Closed), &present)), @r"
    remove:1 ! <- 
    remove:2 ! <- remove:1
    remove:3 ! <- remove:2
    tidy <- remove:3
    prove <- tidy
    ");
}

/// What is needed by others goes after them, which the target alone knows.
#[test]
fn what_goes_goes_in_the_order_that_the_target_gave() {
    let observed = all_serving();
    let present = Present {
        observed: &observed,
        release: None,
        changed: &Changed::Everything,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    let plan = planned(&Wanted::Gone(GoneReason::Closed), &present);
    let removals = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Remove { resource } => Some((resource, &step.needs)),
        _ => None,
    });
    let (removed, needs): (Vec<&Resource>, Vec<_>) = removals.unzip();
    assert!(removed.len() > 2 && removed.into_iter().eq(&observed.resources));
    let keys: Vec<&StepKey> = plan.steps.iter().map(|step| &step.key).collect();
    for (index, needs) in needs.into_iter().enumerate() {
        assert!(needs.iter().eq(keys[..index].last().copied()), "one after the other: {needs:?}");
    }
}

fn log(lines: &[(&str, StepEventKind)]) -> StepLog {
    let mut log = StepLog::default();
    for (step, kind) in lines {
        let (seq, at) = (log.next_seq(), Timestamp(log.next_seq()));
        log.push(StepEvent { seq, step: StepKey((*step).into()), fence: Fence(1), at, kind: kind.clone() }).unwrap();
    }
    log
}

fn done() -> StepEventKind {
    StepEventKind::Done(Output::Nothing)
}

fn failed() -> StepEventKind {
    StepEventKind::Failed(Failure::new(FailureKind::Exited, "it ended", "mend it"))
}

fn first_plan() -> Plan {
    let present = Present {
        observed: &Observed::default(),
        release: None,
        changed: &Changed::Everything,
        blueprint: None,
        build_deadline: BUILD_DEADLINE,
    };
    planned(&Wanted::Live(Box::new(spec('a'))), &present)
}

/// Runs a plan with every step done at once, but for the ones that `fate` says otherwise of.
fn played(plan: &Plan, fate: &dyn Fn(&str) -> Option<StepEventKind>) -> (Vec<String>, Next<'static>) {
    let mut log = StepLog::default();
    let mut order = Vec::new();
    loop {
        let step = match next(plan, &log, Timestamp(10)) {
            Next::Run { step, .. } => step.clone(),
            Next::Overdue { step } => panic!("{} is overdue", step.key),
            Next::Wait(at) => return (order, Next::Wait(at)),
            Next::Finished(standing) => return (order, Next::Finished(standing)),
        };
        order.push(step.key.0.clone());
        for kind in [StepEventKind::Started, fate(&step.key.0).unwrap_or_else(done)] {
            let seq = log.next_seq();
            log.push(StepEvent { seq, step: step.key.clone(), fence: Fence(1), at: Timestamp(10), kind }).unwrap();
        }
    }
}

#[test]
fn every_plan_ends_whatever_step_fails_and_cleans_up_behind_it() {
    let plan = first_plan();
    let (order, end) = played(&plan, &|_| None);
    assert_eq!((order.len(), end), (plan.steps.len(), Next::Finished(Standing::Succeeded)));
    for step in &plan.steps {
        let (order, end) = played(&plan, &|key| (key == step.key.0).then(failed));
        assert_eq!(end, Next::Finished(Standing::Failed), "{} failed", step.key);
        assert!(order.contains(&"tidy".to_owned()), "{} failed and nothing was tidied: {order:?}", step.key);
        let shifted_after = order.iter().skip_while(|key| **key != step.key.0).any(|key| key.starts_with("shift"));
        let had_shifted = step.key.0.starts_with("shift");
        assert!(!shifted_after || had_shifted, "traffic moved after {} failed: {order:?}", step.key);
    }
}

#[test]
fn nothing_shifts_before_everything_that_could_stop_the_deploy_has_started() {
    let (order, _) = played(&first_plan(), &|_| None);
    let at = |key: &str| order.iter().position(|other| other == key).unwrap();
    assert!(at("start:worker") < at("shift:api"), "{order:?}");
    assert!(at("migrate:api") < at("start:api"), "{order:?}");
    assert!(at("check:api") < at("start:web"), "web needs api: {order:?}");
}

#[test]
fn a_pending_step_holds_up_only_those_that_need_it() {
    let pending = StepEventKind::Pending { again: Timestamp(500), note: "building".into() };
    let (order, end) = played(&first_plan(), &|key| (key == "build:web").then(|| pending.clone()));
    assert_eq!(end, Next::Wait(Timestamp(500)));
    assert!(order.contains(&"check:api".to_owned()), "{order:?}");
}

#[test]
fn a_step_that_takes_too_long_is_overdue() {
    let plan = first_plan();
    let log = log(&[("fetch", StepEventKind::Started)]);
    let late = Timestamp(plan.steps[0].deadline.millis() + 10);
    assert!(matches!(next(&plan, &log, late), Next::Overdue { step } if step.key.0 == "fetch"));
}

#[test]
fn a_newer_goal_waits_for_a_migration_and_for_nothing_else() {
    let plan = first_plan();
    let running = |key: &str| {
        let log = log(&[(key, StepEventKind::Started)]);
        finish_uninterruptible(&plan, &log, Timestamp(10)).is_some()
    };
    for (key, holds) in
        [("build:web", false), ("start:api", false), ("check:api", false), ("migrate:api", true), ("shift:api", true)]
    {
        assert_eq!(running(key), holds, "{key}");
    }
}

#[test]
fn addresses_follow_the_host_rule() {
    let project = shop();
    let at = |rule: &StageRule, text: &str| {
        let spec = resolve(&project, rule, &stage(text), &sha('a'), None, &addressing());
        let mut urls: Vec<String> = spec.services.iter().filter_map(|service| service.url.clone()).collect();
        urls.sort();
        urls.join(" ")
    };
    assert_eq!(at(&project.stages[0], "prod"), "https://api.shop.test https://shop.test");
    assert_eq!(at(&project.stages[1], "staging"), "https://api.staging.shop.test https://staging.shop.test");
    assert_eq!(at(&project.stages[2], "pr-7"), "https://api-pr-7.shop.test https://pr-7.shop.test");
    assert_eq!(
        at(&project.stages[3], "feature-auth"),
        "https://api-feature-auth.shop.test https://feature-auth.shop.test"
    );
}

#[test]
fn placeholders_are_filled_and_a_commit_alone_is_not_configuration() {
    let (one, other) = (spec('a'), spec('b'));
    let web = one.service(&name("web")).unwrap();
    assert_eq!(web.env["API_URL"], "https://api-pr-7.shop.test/v1?{raw}");
    assert_eq!((web.env["GREENROOM_STAGE"].as_str(), web.env["GREENROOM_PR"].as_str()), ("pr-7", "7"));
    assert_eq!(web.env["GREENROOM_URL"], "https://pr-7.shop.test");
    assert_eq!(one.digest, other.digest);
    let artifact = &release(&one).artifacts[&name("web")];
    assert_eq!(version_key(web, artifact), version_key(other.service(&name("web")).unwrap(), artifact));
    let mut changed = web.clone();
    changed.env.insert("NEW".into(), "1".into());
    assert_ne!(version_key(web, artifact), version_key(&changed, artifact));
    let order: Vec<&str> = one.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(order, ["api", "web", "worker"], "each after those it needs");
}

fn with(change: impl FnOnce(&mut PullRequest)) -> PullRequest {
    let mut pull = pull(7);
    change(&mut pull);
    pull
}

#[test]
fn a_pull_request_is_admitted_as_its_rule_says() {
    let rule = pull_rule();
    let fork = || with(|pull| pull.head.repo = Some(RepoName::new("eve/shop").unwrap()));
    let draft = || with(|pull| pull.state = PullRequestState::Draft);
    let trigger = |drafts, forks, label: Option<&str>| StageRule {
        trigger: Trigger::PullRequest { drafts, forks, label: label.map(Into::into) },
        ..pull_rule()
    };
    let unlabeled = Admission::Gone(GoneReason::Unlabeled { label: "preview".into() });
    let deploy = Admission::Deploy(sha('a'));
    let cases: Vec<(&str, &StageRule, PullRequest, Option<CommitSha>, Admission)> = vec![
        ("own and open", &rule, pull(7), None, deploy.clone()),
        ("draft", &rule, draft(), None, Admission::Gone(GoneReason::Draft)),
        ("fork, nobody approved", &rule, fork(), None, Admission::AwaitApproval(sha('a'))),
        ("fork, this commit approved", &rule, fork(), Some(sha('a')), deploy.clone()),
        ("fork, an older commit approved", &rule, fork(), Some(sha('b')), Admission::AwaitApproval(sha('a'))),
        (
            "closed",
            &rule,
            with(|pull| pull.state = PullRequestState::Closed),
            None,
            Admission::Gone(GoneReason::Closed),
        ),
        (
            "merged",
            &rule,
            with(|pull| pull.state = PullRequestState::Merged),
            None,
            Admission::Gone(GoneReason::Merged),
        ),
    ];
    for (story, rule, pull, approval, expected) in &cases {
        assert_eq!(admit(rule, pull, approval.as_ref()), *expected, "{story}");
    }
    let drafts_too = trigger(DraftPolicy::Deploy, ForkPolicy::Never, Some("preview"));
    assert_eq!(admit(&drafts_too, &draft(), None), unlabeled, "the label is missing");
    for label in ["preview", "Preview", "PREVIEW"] {
        let labelled = with(|pull| {
            pull.labels = vec!["other".into(), label.into()];
            pull.state = PullRequestState::Draft;
        });
        assert_eq!(admit(&drafts_too, &labelled, None), deploy, "{label}: GitHub does not look at case");
    }
    assert_eq!(
        admit(
            &drafts_too,
            &with(|pull| {
                pull.labels = vec!["preview".into()];
                pull.head.repo = None;
            }),
            Some(&sha('a'))
        ),
        Admission::Gone(GoneReason::Stranger),
        "a deleted fork is a fork"
    );
}

#[test]
fn two_hundred_stages_that_decide_at_once_take_exactly_the_places_there_are() {
    let rule = StageRule { max: Some(20), ..pull_rule() };
    let all: Vec<StageRecord> = (1..=200).map(pull_record).collect();
    let admitted = all.iter().filter(|own| admit_place(&rule, own, &all).is_none()).count();
    assert_eq!(admitted, 20);
    let mut later = all.clone();
    for stage in &mut later[..20] {
        stage.status = StageStatus::Live { sha: sha('a') };
    }
    assert!(admit_place(&rule, &later[0], &later).is_none(), "who has a place keeps it");
    let Some(Admission::Full { max, holders }) = admit_place(&rule, &later[40], &later) else { panic!("it is full") };
    assert_eq!((max, holders.len() >= 20), (20, true));
}
