//! Stories of services after they went live, as ECS tells them.

use super::super::snapshot::Deployment;
use super::*;

const OURS: &str = "arn:task-definition/web:2";
const LIVE: i64 = 1_000;
const STEADY: (i64, &str) = (LIVE, "(service web) has reached a steady state.");
const BEGUN: (i64, &str) = (950, "(service web) has started 2 tasks: (task a) (task b).");

fn at(seconds: i64) -> Timestamp {
    millis(seconds)
}

/// A service of two copies that was made at 900 and went live at 1,000, of which so many run.
fn service(running: i32, events: &[(i64, &str)]) -> Seen {
    let events = events.iter().chain([&STEADY, &BEGUN]);
    let events = events.map(|(at, message)| Event { at: *at, message: (*message).to_owned() }).collect();
    let primary = Deployment { desired: 2, created: 900, ..Deployment::sample(OURS, RolloutState::Completed, running) };
    Seen { desired: 2, deployments: vec![primary], events, ..Seen::default() }
}

fn ended(at: i64, code: i32) -> TaskSeen {
    TaskSeen {
        id: format!("ended at {at}"),
        definition: OURS.into(),
        status: "STOPPED".into(),
        stop_code: "EssentialContainerExited".into(),
        stopped_reason: "Essential container in task exited".into(),
        stopped: at,
        exit_code: Some(code),
        ..TaskSeen::default()
    }
}

fn again(at: i64) -> (i64, &'static str) {
    (at, "(service web) has started 1 tasks: (task c).")
}

/// State, since when in seconds, restarts, copies that are well, and what is known.
fn told(doing: Option<Doing<'_>>) -> (Wellbeing, i64, u32, u32, String) {
    let Doing { condition, why } = doing.expect("something is known");
    let why = match why {
        Why::Nothing => String::new(),
        Why::Ended { task, cause } => format!("{}: {cause:?}", task.id),
        Why::Sick { said } | Why::Lacking { said } => said,
    };
    assert_eq!(condition.wanted, 2);
    (condition.state, condition.since.0 / 1000, condition.restarts, condition.well, why)
}

#[test]
fn what_runs_as_it_should_is_asked_for_once() {
    let seen = service(2, &[]);
    assert!(serves(&seen) && !is_suspicious(&seen, at(1_100)));
    assert_eq!(calm(&seen), Condition::well(2, at(LIVE)));
    // The starts of the deploy itself mean nothing; later ones do, for as long as ECS knows the tasks.
    let seen = service(2, &[again(1_200)]);
    assert!(is_suspicious(&seen, at(1_300)) && !is_suspicious(&seen, at(1_200 + REMEMBERED)));
    assert!(is_suspicious(&service(1, &[]), at(1_100)));
    let silent = Seen { events: Vec::new(), ..service(2, &[]) };
    assert!(is_silent(&silent) && !is_silent(&seen), "an AWS whose events tell of no starts");
}

#[test]
fn a_loop_is_told_whether_or_not_a_copy_is_up_at_this_moment() {
    let tasks = [ended(1_100, 3), ended(1_130, 3), ended(1_190, 3)];
    let now = at(1_200);
    let expected = |well| (Wellbeing::Restarting, 1_100, 3, well, "ended at 1190: Exited { code: 3 }".to_owned());
    assert_eq!(told(doing(&service(1, &[again(1_195)]), &tasks, None, now)), expected(1));
    assert_eq!(told(doing(&service(2, &[again(1_195)]), &tasks, None, now)), expected(2), "all are up just now");
    // ECS waits ever longer before it starts one again.
    let throttled = (1_900, "(service web) is unable to consistently start tasks successfully.");
    assert_eq!(told(doing(&service(1, &[throttled]), &tasks, None, at(2_000))), expected(1));
}

#[test]
fn a_trouble_is_over_when_every_copy_has_been_well_for_a_minute() {
    let tasks = [ended(1_100, 1)];
    let seen = service(2, &[again(1_105)]);
    assert_eq!(told(doing(&seen, &tasks, None, at(1_159))).0, Wellbeing::Restarting);
    let over = told(doing(&seen, &tasks, None, at(1_161)));
    assert_eq!(over, (Wellbeing::Well, 1_100, 1, 2, "ended at 1100: Exited { code: 1 }".to_owned()));
    let condition = doing(&seen, &tasks, None, at(1_161)).expect("it is known").condition;
    assert!(condition.is_recovered());
    // A second trouble, much later, is another one.
    let later = [ended(1_100, 1), ended(1_100 + GAP + 1, 4)];
    let now = at(1_100 + GAP + 10);
    let (state, since, restarts, ..) = told(doing(&seen, &later, None, now));
    assert_eq!((state, since, restarts), (Wellbeing::Restarting, 1_100 + GAP + 1, 1));
}

#[test]
fn what_is_unhealthy_or_cannot_start_is_told_so() {
    let health = TaskSeen {
        stop_code: "ServiceSchedulerInitiated".into(),
        stopped_reason: "Task failed ELB health checks in (target-group arn:tg)".into(),
        exit_code: Some(143),
        ..ended(1_150, 143)
    };
    // Also while it drains, which takes as long as its requests may.
    for status in ["STOPPED", "DEACTIVATING"] {
        let health = [TaskSeen { status: status.into(), ..health.clone() }];
        let (state, since, restarts, _, why) = told(doing(&service(2, &[]), &health, None, at(1_160)));
        assert_eq!((state, since, restarts), (Wellbeing::Unhealthy, 1_150, 1), "{status}");
        assert!(why.contains("Unhealthy"), "{why}");
    }
    let image = TaskSeen {
        stop_code: "TaskFailedToStart".into(),
        stopped_reason: "CannotPullContainerError: manifest unknown".into(),
        exit_code: None,
        ..ended(1_150, 0)
    };
    let (state, .., why) = told(doing(&service(1, &[]), &[image], None, at(1_160)));
    assert!(state == Wellbeing::Unhealthy && why.contains("ImageMissing"), "{why}");
    // The load balancer says so before it gives the copy up.
    let sick = (
        1_150,
        "(service web) (port 8080) is unhealthy in (target-group arn:tg) due to (reason Health checks failed).",
    );
    let (state, since, restarts, well, why) = told(doing(&service(2, &[sick]), &[], None, at(1_160)));
    assert_eq!((state, since, restarts, well), (Wellbeing::Unhealthy, 1_150, 0, 2));
    assert!(why.contains("is unhealthy in"), "{why}");
    let unplaced = (1_150, "(service web) was unable to place a task because no capacity was found.");
    let (state, .., why) = told(doing(&service(1, &[unplaced]), &[], None, at(1_160)));
    assert_eq!(
        (state, why.as_str()),
        (Wellbeing::Unhealthy, "was unable to place a task because no capacity was found.")
    );
}

#[test]
fn what_is_replaced_or_was_another_version_is_no_trouble() {
    let spot = TaskSeen {
        stop_code: "SpotInterruption".into(),
        stopped_reason: "Your Spot Task was interrupted.".into(),
        exit_code: Some(137),
        ..ended(1_150, 137)
    };
    let seen = service(1, &[again(1_155)]);
    assert_eq!(doing(&seen, std::slice::from_ref(&spot), None, at(1_160)), None, "nothing is known yet");
    let (state, .., why) = told(doing(&seen, &[spot], None, at(1_155 + 181)));
    assert_eq!((state, why.as_str()), (Wellbeing::Unhealthy, "1 of 2 copies run"));
    let other = TaskSeen { definition: "arn:task-definition/web:1".into(), ..ended(1_150, 3) };
    let early = ended(960, 3);
    let well = told(doing(&service(2, &[again(1_155)]), &[other, early], None, at(1_160)));
    assert_eq!(well, (Wellbeing::Well, LIVE, 0, 2, String::new()), "also what ended before it went live");
}

#[test]
fn what_is_over_does_not_explain_what_is_missing_now() {
    let tasks = [ended(1_100, 3)];
    let (back, whole) = (again(1_105), (1_130, "(service web) has reached a steady state."));
    let more = (3_990, "(service web) has started 1 tasks: (task d).");
    let scaled = service(1, &[more, whole, back]);
    assert_eq!(doing(&scaled, &tasks, Some(at(3_985)), at(4_000)), None, "another copy is on its way");
    let (state, since, restarts, _, why) = told(doing(&scaled, &tasks, Some(at(3_985)), at(3_990 + 181)));
    assert_eq!((state, since, restarts), (Wellbeing::Unhealthy, 3_990, 0), "{why}");
    assert_eq!(why, "1 of 2 copies run");
    let unplaced = (1_050, "(service web) was unable to place a task because no capacity was found.");
    let old = service(1, &[whole, unplaced]);
    assert_eq!(doing(&old, &[], Some(at(30_000)), at(30_010)), None, "that was hours ago");
}

#[test]
fn what_ends_at_a_pace_is_over_when_it_held_out_for_longer() {
    let tasks = [ended(1_100, 3), ended(1_250, 3), ended(1_400, 3)];
    let seen = service(2, &[again(1_405)]);
    let (state, since, restarts, ..) = told(doing(&seen, &tasks, None, at(1_490)));
    assert_eq!((state, since, restarts), (Wellbeing::Restarting, 1_100, 3));
    assert_eq!(told(doing(&seen, &tasks, None, at(1_551))).0, Wellbeing::Well);
    // Two copies that end together hold out no shorter.
    let both = [ended(1_100, 3), ended(1_101, 3), ended(1_250, 3), ended(1_251, 3)];
    assert_eq!(told(doing(&service(2, &[again(1_255)]), &both, None, at(1_380))).0, Wellbeing::Restarting);
    // ECS waited for most of the time between these.
    let throttled = [ended(1_100, 3), TaskSeen { created: 2_790, ..ended(2_800, 3) }];
    let seen = service(2, &[again(2_801)]);
    assert_eq!(told(doing(&seen, &throttled, None, at(2_860))).0, Wellbeing::Restarting);
    assert_eq!(told(doing(&seen, &throttled, None, at(2_871))).0, Wellbeing::Well);
}

#[test]
fn what_is_on_its_way_or_at_rest_is_not_told_of() {
    let moving = Deployment::sample(OURS, RolloutState::InProgress, 1);
    assert!(!serves(&Seen { desired: 1, ..Seen::sample(vec![moving]) }));
    let rest = Deployment::sample(OURS, RolloutState::Completed, 0);
    assert!(!serves(&Seen { desired: 0, ..Seen::sample(vec![rest]) }));
    assert!(!serves(&Seen::default()));
}
