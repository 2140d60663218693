//! How what went live is doing since.

use super::failure::failure_view;
use super::read::text;
use super::stage::{FailureView, ServiceState, TroubleView};
use crate::model::{Condition, Conditions, StageRecord, Wellbeing};

/// Every service that is not well or was not, those that are not first.
pub(super) fn troubles(record: &StageRecord) -> Vec<TroubleView> {
    let mut views: Vec<TroubleView> = record
        .conditions
        .iter()
        .filter(|(_, condition)| condition.is_trouble() || condition.is_recovered())
        .map(|(service, condition)| TroubleView {
            service: service.clone(),
            recovered: !condition.is_trouble(),
            since: condition.since,
            told: told(condition),
            summary: condition.why.as_ref().map(|why| text(&why.summary)),
        })
        .collect();
    views.sort_by_key(|view| view.recovered);
    views
}

/// Whether something that serves is not well.
pub(super) fn is_troubled(conditions: &Conditions) -> bool {
    conditions.values().any(Condition::is_trouble)
}

/// Why the first service that is not well is not.
pub(super) fn reason(conditions: &Conditions) -> Option<FailureView> {
    let why =
        conditions.values().filter(|condition| condition.is_trouble()).find_map(|condition| condition.why.as_ref());
    why.map(|why| failure_view(None, why))
}

/// What a service that answers is at, where that is not well.
pub(super) fn state(condition: Option<&Condition>) -> Option<ServiceState> {
    match condition?.state {
        Wellbeing::Well => None,
        Wellbeing::Restarting => Some(ServiceState::Restarting),
        Wellbeing::Unhealthy => Some(ServiceState::Unhealthy),
    }
}

/// How a service is doing at this moment, in one line of plain text.
pub fn doing(condition: &Condition) -> String {
    let Condition { since, well, wanted, why, .. } = condition;
    let seen = why.as_ref().map_or_else(String::new, |why| format!(" ({})", text(&why.summary)));
    format!("{} since {since}, {well} of {wanted} well{seen}", told(condition))
}

/// What it does, in words that change seldom however often it ends.
fn told(condition: &Condition) -> String {
    let restarts = condition.restarts_told();
    let more = if restarts < condition.restarts || restarts >= 10 { "at least " } else { "" };
    match (condition.state, restarts) {
        (Wellbeing::Unhealthy, 0) => "does not pass its health check".to_owned(),
        (Wellbeing::Well, 0) => "did not pass its health check".to_owned(),
        (Wellbeing::Restarting, 0) => "ended and is started again".to_owned(),
        (Wellbeing::Unhealthy, 1) => "does not pass its health check and was started again once".to_owned(),
        (_, 1) => "ended and was started again once".to_owned(),
        (Wellbeing::Unhealthy, _) => {
            format!("does not pass its health check and was started again {more}{restarts} times")
        }
        (_, _) => format!("ended and was started again {more}{restarts} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{World, at, body, service, sha, small};
    use super::super::{StageView, check, status_rows, status_table};
    use super::*;
    use crate::model::{Failure, FailureKind, Generation, Output, StageStatus};

    fn restarting(restarts: u32) -> Condition {
        let failure = Failure::new(FailureKind::Exited, "`web` ended with exit code 3", "Its last lines say why.");
        let why = Failure { exit_code: Some(3), log: vec!["no such table: @users".into()], ..failure };
        let well = Condition::well(1, at(200));
        Condition { state: Wellbeing::Restarting, restarts, well: 0, why: Some(why), ..well }
    }

    fn recovered() -> Condition {
        Condition { state: Wellbeing::Well, since: at(300), well: 1, ..restarting(12) }
    }

    fn live_with(condition: Condition) -> World {
        let mut world = World::new();
        world.deploy(sha('a'), 0);
        world.succeed(0);
        world.record.conditions = Conditions::from([(service("web"), condition)]);
        world
    }

    #[test]
    fn a_crash_loop_after_live_is_told_everywhere() {
        let world = live_with(restarting(4));
        let (body, small) = (body(&world), small(&world.view()));
        assert!(
            body.starts_with("### pr-42 is not well · `aaaaaaa` · web ended and was started again 4 times\n"),
            "{body}"
        );
        let since = format!("since {} web ended and was started again 4 times", at(200));
        for told in
            [since.as_str(), "ended with exit code 3", "no such table", "**What to do:** Its last lines say why"]
        {
            assert!(body.contains(told), "{told} is not in {body}");
        }
        assert!(body.contains("| web | restarting | <https://pr-42.example.com> |  |"), "{body}");
        assert!(body.contains("Expires in"), "{body}");
        assert!(small.contains("check Failure: pr-42 is not well") && small.contains("deployment Failure"), "{small}");
        assert!(small.contains("ended with exit code 3") && small.contains("https://pr-42.example.com"), "{small}");
        let table = status_table(&status_rows(&[world.view()]), at(600));
        assert!(table.contains("unhealthy") && table.contains("2/3"), "{table}");
        assert!(table.contains("ended with exit code 3") && table.contains("Its last lines say why."), "{table}");
    }

    #[test]
    fn what_recovered_is_live_and_was_not_well() {
        let world = live_with(recovered());
        let (body, small) = (body(&world), small(&world.view()));
        assert!(body.contains("### pr-42 is live") && body.contains("web is well again since"), "{body}");
        assert!(body.contains("at least 10 times"), "{body}");
        assert!(small.contains("check Success") && small.contains("deployment Success"), "{small}");
    }

    #[test]
    fn what_still_serves_beside_a_failed_goal_is_not_told_to_be_well() {
        let mut world = live_with(restarting(1));
        world.record.status = StageStatus::Failed { sha: sha('b') };
        let view = world.view();
        let web = view.services.iter().find(|row| row.name == service("web")).expect("web");
        assert_eq!(web.state, ServiceState::Restarting);
        let text = body(&world);
        let told = format!("What serves is not well: since {} web ended and was started again once", at(200));
        assert!(text.contains(&told) && text.contains("ended with exit code 3"), "{text}");
        world.record.conditions = Conditions::from([(service("web"), recovered())]);
        let text = body(&world);
        assert!(text.contains("web is well again since") && !text.contains("What serves is not well"), "{text}");
    }

    #[test]
    fn what_a_deploy_has_just_brought_is_not_what_was_not_well() {
        let mut world = live_with(restarting(4));
        world.record.conditions.insert(service("worker"), restarting(2));
        world.deploy(sha('b'), 300);
        for step in ["build:web", "start:web", "shift:web", "check:web"] {
            world.done(step, 300, 320, Output::Nothing);
        }
        let view = world.view();
        let state = |name: &str| view.services.iter().find(|row| row.name == service(name)).map(|row| row.state);
        assert_eq!(state("web"), Some(ServiceState::Live));
        assert_eq!(state("worker"), Some(ServiceState::Restarting), "that one runs on");
    }

    #[test]
    fn of_what_was_superseded_nothing_is_told_that_befell_its_successor() {
        for condition in [restarting(4), recovered()] {
            let world = live_with(condition);
            let old = (&world.deploys[0], &world.log);
            let summary = check(&StageView::superseded(&world.record, old, Generation(2), &world.links)).summary;
            assert!(summary.contains("| web | live |"), "{summary}");
            for told in ["restarting", "well again", "not well"] {
                assert!(!summary.contains(told), "{told} is in {summary}");
            }
        }
    }

    #[test]
    fn words_do_not_change_with_every_restart_of_many() {
        let words = |restarts| told(&restarting(restarts));
        assert_eq!(words(1), "ended and was started again once");
        assert_eq!(words(9), "ended and was started again 9 times");
        assert_eq!((words(20), words(49)), (words(30), words(33)));
        let unhealthy = Condition { state: Wellbeing::Unhealthy, ..restarting(0) };
        assert_eq!(told(&unhealthy), "does not pass its health check");
    }
}
