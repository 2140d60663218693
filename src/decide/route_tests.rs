//! What each event means for which stages, as a table.

use super::fixture::{actor, pull, pull_record, record, repo, sha, shop, stage};
use super::*;
use crate::model::{
    Branch, BranchFilter, BranchPattern, Commit, CommitSha, Event, Generation, GoneReason, Place, PullNumber,
    PullRequestAction, PullRequestState, PushEvent, StageKind, StageRecord, StageStatus, Subject, Target, Timestamp,
    Trigger,
};

fn pull_event(number: u64, action: PullRequestAction) -> Event {
    let updated_at = Timestamp(0);
    Event::PullRequest { repo: repo(), number: PullNumber(number), action, head: sha('f'), actor: actor(), updated_at }
}

fn pushed(branch: &str, after: Option<CommitSha>) -> Event {
    Event::Push(PushEvent { repo: repo(), branch: Branch(branch.into()), after, actor: None })
}

fn told(event: &Event, stages: &[StageRecord], seen: &Sighting) -> String {
    let intents = route(event, &shop(), stages, seen);
    let line = |intent: &Intent| match intent {
        Intent::Follow { stage, target, .. } => format!("{stage} -> {target:?}"),
        Intent::Nudge { stage } => format!("nudge {stage}"),
        Intent::Ring { stage } => format!("ring {stage}"),
    };
    intents.iter().map(line).collect::<Vec<_>>().join("; ")
}

#[test]
fn events_become_goals() {
    let none = Sighting::default();
    let known = [pull_record(7)];
    let branch_stage =
        record("feature-x", Subject::Branch(Branch("feature-x".into())), Target::Branch(Branch("feature-x".into())));
    let prod = record("prod", Subject::Branch(Branch("main".into())), Target::Branch(Branch("main".into())));
    let cases: Vec<(Event, Vec<StageRecord>, &str)> = vec![
        (pull_event(7, PullRequestAction::Opened), vec![], "pr-7 -> PullRequest(PullNumber(7))"),
        (pull_event(7, PullRequestAction::Synchronize), known.to_vec(), "pr-7 -> PullRequest(PullNumber(7))"),
        (pull_event(7, PullRequestAction::Labeled), known.to_vec(), "nudge pr-7"),
        (pull_event(7, PullRequestAction::Labeled), vec![], "pr-7 -> PullRequest(PullNumber(7))"),
        (pull_event(7, PullRequestAction::Closed), known.to_vec(), "pr-7 -> PullRequest(PullNumber(7))"),
        (pushed("main", Some(sha('a'))), vec![], "prod -> Branch(Branch(\"main\"))"),
        (pushed("feature-x", Some(sha('a'))), vec![], "feature-x -> Branch(Branch(\"feature-x\"))"),
        (pushed("wip", Some(sha('a'))), vec![], ""),
        (pushed("feature-x", None), vec![branch_stage.clone()], "feature-x -> Gone(BranchDeleted)"),
        (pushed("main", None), vec![prod], ""),
        (
            Event::BranchDeleted { repo: repo(), branch: Branch("feature-x".into()) },
            vec![branch_stage],
            "feature-x -> Gone(BranchDeleted)",
        ),
    ];
    for (event, stages, expected) in cases {
        assert_eq!(told(&event, &stages, &none), expected, "{event:?}");
    }
}

#[test]
fn what_dependabot_pushes_gets_no_stage_by_its_branch() {
    let mut project = shop();
    for rule in &mut project.stages {
        if let Trigger::Push { branches } = &mut rule.trigger
            && rule.pattern.is_ephemeral()
        {
            *branches = BranchFilter::of("*");
        }
    }
    let stages = |branch: &str| route(&pushed(branch, Some(sha('a'))), &project, &[], &Sighting::default()).len();
    assert_eq!(["topic", "dependabot", "dependabots-work"].map(stages), [1, 1, 1]);
    assert_eq!(["dependabot/npm/left-pad-2", "dependabot-npm-left-pad", "dependabot_npm"].map(stages), [0, 0, 0]);
    assert_eq!(["gh-readonly-queue/main/pr-7-0123456789", "gh-readonly"].map(stages), [0, 1], "a merge queue's");
}

#[test]
fn a_branch_that_a_list_leaves_out_gets_no_stage() {
    let mut project = shop();
    for rule in &mut project.stages {
        if let Trigger::Push { branches } = &mut rule.trigger
            && rule.pattern.is_ephemeral()
        {
            *branches = BranchFilter(["*", "!wip/*"].map(|pattern| BranchPattern(pattern.into())).into());
        }
    }
    let stages = |branch: &str| route(&pushed(branch, Some(sha('a'))), &project, &[], &Sighting::default()).len();
    assert_eq!(["topic", "wip/topic", "main"].map(stages), [1, 0, 1]);
}

#[test]
fn reconciling_finds_what_no_event_told() {
    let event = Event::Reconcile { repo: repo() };
    let seen = |open: &[u64], existing: &[&str]| Sighting {
        open: open.iter().map(|number| pull(*number)).collect(),
        existing: existing.iter().map(|text| (stage(text).name, Place::default())).collect(),
        ..Sighting::default()
    };
    let gone = StageRecord { status: StageStatus::Gone { removed: 3 }, ..pull_record(7) };
    let live = StageRecord { status: StageStatus::Live { sha: sha('a') }, ..pull_record(7) };
    assert_eq!(told(&event, &[], &seen(&[7], &[])), "pr-7 -> PullRequest(PullNumber(7))", "an opening that was missed");
    assert_eq!(
        told(&event, std::slice::from_ref(&live), &seen(&[], &["pr-7"])),
        "nudge pr-7",
        "a closing that was missed"
    );
    assert_eq!(told(&event, std::slice::from_ref(&live), &seen(&[7], &["pr-7"])), "", "all is well");
    let behind = StageRecord { status: StageStatus::Live { sha: sha('b') }, settled: Generation(1), ..pull_record(7) };
    let again = "pr-7 -> PullRequest(PullNumber(7))";
    assert_eq!(told(&event, std::slice::from_ref(&behind), &seen(&[7], &["pr-7"])), again, "a push that was missed");
    let busy = StageRecord { generation: Generation(2), ..behind.clone() };
    assert_eq!(told(&event, &[busy], &seen(&[7], &["pr-7"])), "", "its lane is about to look");
    let pinned = StageRecord { target: Target::Commit(Commit::named(sha('b'))), ..behind };
    assert_eq!(told(&event, std::slice::from_ref(&pinned), &seen(&[7], &["pr-7"])), "", "somebody wants it there");
    let mut draft = seen(&[7], &["pr-7"]);
    for pull in &mut draft.open {
        pull.state = PullRequestState::Draft;
    }
    let served = StageRecord { status: live.status.clone(), settled: Generation(1), ..pull_record(7) };
    assert_eq!(told(&event, std::slice::from_ref(&served), &seen(&[7], &["pr-7"])), "", "it is as it should be");
    assert_eq!(told(&event, std::slice::from_ref(&served), &draft), "ring pr-7", "a draft that nobody told of");
    let asked_for = StageRecord { target: Target::Commit(Commit::named(sha('a'))), ..served.clone() };
    assert_eq!(told(&event, &[asked_for], &draft), "", "somebody asked for it all the same");
    let running = StageRecord { generation: Generation(2), ..served };
    assert_eq!(told(&event, &[running], &draft), "", "its lane looks at the end");
    let moved = Sighting { moved: [PullNumber(7)].into(), ..seen(&[7], &["pr-7"]) };
    for (record, why) in [(pinned, "until something else is pushed"), (live.clone(), "as an event would tell")] {
        assert_eq!(told(&event, &[record], &moved), again, "{why}");
    }
    assert_eq!(
        told(&event, std::slice::from_ref(&gone), &seen(&[], &["pr-7"])),
        "ring pr-7",
        "something of it came back"
    );
    assert_eq!(told(&event, &[gone], &seen(&[], &[])), "", "gone is gone");
    assert_eq!(
        told(&event, &[], &seen(&[], &["pr-9"])),
        "pr-9 -> PullRequest(PullNumber(9))",
        "a stage the database lost"
    );
    assert_eq!(told(&event, &[], &seen(&[], &["mystery"])), "", "what nobody can explain is kept");
    let mut lasting = seen(&[], &["pr-9"]);
    for place in lasting.existing.values_mut() {
        place.kind = StageKind::Permanent;
    }
    assert_eq!(told(&event, &[], &lasting), "", "a permanent stage is judged by no pull request");
    let by_name = |existing: &[&str], target: Target| {
        let event = Event::Requested { repo: repo(), stage: stage("old").name, target };
        told(&event, &[], &seen(&[], existing))
    };
    let gone = Target::Gone(GoneReason::Requested);
    assert_eq!(by_name(&["old"], gone.clone()), "old -> Gone(Requested)", "what is there goes by its name");
    assert_eq!(by_name(&[], gone), "", "what is not there is no stage");
    assert_eq!(by_name(&["old"], Target::Commit(Commit::named(sha('a')))), "", "and nothing else is made of it");
    let main = Branch("main".into());
    let prod = record("prod", Subject::Branch(main.clone()), Target::Branch(main));
    assert_eq!(told(&event, &[prod], &seen(&[], &[])), "ring prod", "a push that was missed");
}

#[test]
fn nobody_asks_for_the_stage_of_another() {
    let branch = |name: &str| Branch(name.into());
    let own = |stage: &str, of: &str| record(stage, Subject::Branch(branch(of)), Target::Branch(branch(of)));
    let stages = [own("feature-login", "feature-login"), own("pr-8", "topic"), own("prod", "main"), pull_record(7)];
    let asked = |stage_name: &str, target: Target| {
        let event = Event::Requested { repo: repo(), stage: stage(stage_name).name, target };
        told(&event, &stages, &Sighting::default())
    };
    assert_eq!(asked("feature-login", Target::Branch(branch("feature/login"))), "", "another branch has its own");
    assert_eq!(asked("pr-7", Target::Branch(branch("feature-login"))), "");
    assert_eq!(asked("pr-7", Target::PullRequest(PullNumber(8))), "");
    assert_eq!(asked("feature-login", Target::PullRequest(PullNumber(7))), "");
    for (stage, target) in [
        ("feature-login", Target::Branch(branch("feature-login"))),
        ("feature-new", Target::Branch(branch("feature-new"))),
        ("prod", Target::Branch(branch("feature/login"))),
        ("prod", Target::PullRequest(PullNumber(7))),
        ("pr-7", Target::PullRequest(PullNumber(7))),
        // Whoever led it astray before gets it back.
        ("pr-8", Target::PullRequest(PullNumber(8))),
        ("feature-login", Target::Commit(Commit::named(sha('a')))),
        ("feature-login", Target::Gone(GoneReason::Requested)),
    ] {
        assert_eq!(asked(stage, target.clone()), format!("{stage} -> {target:?}"));
    }
}
