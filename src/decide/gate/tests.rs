//! The policy as a table: every gate in both directions, each by the one fact that turns it.

mod people;

use std::collections::BTreeSet;

use super::super::fixture::{sha, shop};
use super::*;
use crate::model::{
    Actor, ActorKind, Branch, BranchPattern, CheckApp, CheckOutcome, CheckResult, Checks, Lock, Offer, Permission,
    Review, ReviewState, Seconds, StagePolicy, StageStatus, Timestamp, UserId,
};

const ANN: UserId = UserId(1);
const BEN: UserId = UserId(2);
const OURS: Option<PullNumber> = Some(PullNumber(7));
const NOW: Timestamp = Timestamp(1_000_000);

fn stage(text: &str) -> StageName {
    StageName::new(text).unwrap()
}

fn ask(verb: Verb, place: LockScope) -> Ask {
    Ask { verb, place, from: None, pull: OURS, sha: None, force: Force::Respect }
}

fn on(verb: Verb, name: &str) -> Ask {
    ask(verb, LockScope::Stage(stage(name)))
}

/// The shop, whose `prod` wants everything that can be wanted.
fn strict() -> Project {
    let mut project = shop();
    let prod = Allow {
        who: Some(vec![Who::Role(Permission::Maintain), Who::Team("ops".into()), Who::User(UserId(99))]),
        approvals: 1,
        checks: ChecksWanted::All,
        up_to_date: true,
        branches: vec![BranchPattern("release/*".into())],
    };
    project.stages[0].allow.named.insert(Verb::Deploy, prod);
    project.commands.bots.insert(UserId(50));
    project
}

fn review(by: u64, state: ReviewState, at: i64) -> Voice {
    let by = Actor { id: UserId(by), login: format!("r{by}"), kind: ActorKind::Person };
    let review = Review { by, state, sha: sha('a'), at: Timestamp(at) };
    Voice { review, role: Fact::Known(Permission::Write) }
}

fn run(name: &str, number: u64, outcome: CheckOutcome) -> CheckResult {
    CheckResult { name: name.into(), app: CheckApp::App(1), number, outcome }
}

/// Everything is as `prod` wants it.
fn right() -> Facts {
    let role = Fact::Known(Permission::Maintain);
    let teams = Fact::Known(BTreeSet::new());
    let caller = Caller { id: ANN, login: "ann".into(), kind: CallerKind::Person, role, teams };
    Facts {
        pull: Fact::Known(PullFacts {
            author: BEN,
            origin: Origin::Own,
            head_now: sha('a'),
            head_branch: Branch("release/2".into()),
            base: Branch("main".into()),
        }),
        bound: Fact::Known(Binding::Bound(sha('a'))),
        commit: Fact::Known(sha('a')),
        source: Fact::Known(Source { branch: Branch("release/2".into()), origin: Origin::Own }),
        approval: Fact::Known(None),
        reviews: Fact::Known(vec![review(3, ReviewState::Approved, 1)]),
        checks: Fact::Known(Checks { sha: sha('a'), runs: vec![run("ci", 1, CheckOutcome::Passed)] }),
        divergence: Fact::Known(Divergence { sha: sha('a'), behind_by: 0 }),
        locks: Fact::Known(Vec::new()),
        stage: Fact::Known(Some(StageStatus::Live { sha: sha('b') })),
        occupancy: Fact::Known(Occupancy::Free),
        ..Facts::of(caller, NOW)
    }
}

fn pull(facts: &mut Facts) -> &mut PullFacts {
    match &mut facts.pull {
        Fact::Known(pull) => pull,
        Fact::Unknown => panic!("the pull request is not known"),
    }
}

fn held(owner: UserId, pull: Option<PullNumber>, until: Option<i64>, reach: LockReach) -> HeldLock {
    let (login, reason, until) = (format!("u{owner}"), "a sale".into(), until.map(Timestamp));
    HeldLock { lock: Lock { owner, login, pull, reason, since: Timestamp(0), until }, reach }
}

/// What is shut, with how; each with words that a reader can act on.
fn shut(ask: &Ask, project: &Project, facts: &Facts) -> Vec<(Gate, GateState)> {
    let verdict = judge(ask, project, facts);
    for gate in &verdict.gates {
        assert!(!gate.evidence.is_empty(), "{gate:?}");
        assert_eq!(gate.way_out.is_none(), gate.state == GateState::Open, "{gate:?}");
    }
    assert_eq!(verdict.is_allowed(), verdict.shut().next().is_none());
    verdict.shut().map(|gate| (gate.gate, gate.state)).collect()
}

type Turn = (&'static str, Option<(Gate, GateState)>, fn(&mut Facts));

fn assert_turns(ask: &Ask, project: &Project, turns: &[Turn]) {
    for (what, expected, turn) in turns {
        let mut facts = right();
        turn(&mut facts);
        assert_eq!(shut(ask, project, &facts), expected.iter().copied().collect::<Vec<_>>(), "{what}");
    }
}

const fn closed_at(gate: Gate) -> (Gate, GateState) {
    (gate, GateState::Closed)
}

const fn unknown_at(gate: Gate) -> (Gate, GateState) {
    (gate, GateState::Unknown)
}

#[test]
fn each_fact_about_the_commit_turns_its_own_gate() {
    let deploy = on(Verb::Deploy, "prod");
    let bind = |facts: &mut Facts, binding| facts.bound = Fact::Known(binding);
    let mut moved = right();
    for binding in [
        Binding::Moved { seen: sha('b'), now: sha('a') },
        Binding::SameSecond { seen: sha('b'), now: sha('a') },
        Binding::NeverWitnessed { now: sha('a') },
    ] {
        bind(&mut moved, binding.clone());
        let verdict = judge(&deploy, &strict(), &moved);
        let commit = verdict.gates.iter().find(|gate| gate.gate == Gate::Commit).unwrap();
        assert_eq!((commit.state, verdict.answer), (GateState::Closed, Answer::Refused), "{binding:?}");
        assert_eq!((verdict.commit, verdict.binding), (None, Some(binding)));
        assert!(commit.evidence.contains("aaaaaaa"), "{}", commit.evidence);
    }
    assert_turns(
        &on(Verb::Deploy, "pr-7"),
        &strict(),
        &[
            ("seen and still there", None, |_| {}),
            ("pushed since it was bound", Some(closed_at(Gate::Commit)), |facts| pull(facts).head_now = sha('b')),
            ("unknown", Some(unknown_at(Gate::Commit)), |facts| facts.bound = Fact::Unknown),
            ("a fork", Some(closed_at(Gate::Fork)), |facts| pull(facts).origin = Origin::Fork),
            ("an approved fork", None, |facts| {
                pull(facts).origin = Origin::Fork;
                facts.approval = Fact::Known(Some(sha('a')));
            }),
            ("a fork approved before its push", Some(closed_at(Gate::Fork)), |facts| {
                pull(facts).origin = Origin::Fork;
                facts.approval = Fact::Known(Some(sha('b')));
            }),
            ("a fork of which nothing is known", Some(unknown_at(Gate::Fork)), |facts| {
                pull(facts).origin = Origin::Fork;
                facts.approval = Fact::Unknown;
            }),
        ],
    );
    assert_turns(
        &deploy,
        &strict(),
        &[
            ("behind", Some(closed_at(Gate::UpToDate)), |facts| {
                facts.divergence = Fact::Known(Divergence { sha: sha('a'), behind_by: 1 });
            }),
            ("compared with another commit", Some(unknown_at(Gate::UpToDate)), |facts| {
                facts.divergence = Fact::Known(Divergence { sha: sha('b'), behind_by: 0 });
            }),
            ("not compared", Some(unknown_at(Gate::UpToDate)), |facts| facts.divergence = Fact::Unknown),
            ("another branch", Some(closed_at(Gate::Branch)), |facts| pull(facts).head_branch = Branch("topic".into())),
            ("a fork's branch of that name", Some(closed_at(Gate::Branch)), |facts| {
                pull(facts).origin = Origin::Fork;
                facts.approval = Fact::Known(Some(sha('a')));
            }),
        ],
    );
}

#[test]
fn only_approvals_of_the_very_commit_by_others_who_write_count() {
    let deploy = on(Verb::Deploy, "prod");
    let of = |reviews: Vec<Voice>| {
        let facts = Facts { reviews: Fact::Known(reviews), ..right() };
        shut(&deploy, &strict(), &facts).first().copied()
    };
    let approved = || review(3, ReviewState::Approved, 1);
    let but = |change: fn(&mut Review)| {
        let mut voice = approved();
        change(&mut voice.review);
        voice
    };
    let closed = Some(closed_at(Gate::Approvals));
    assert_eq!(of(vec![approved()]), None);
    assert_eq!(of(vec![]), closed);
    assert_eq!(of(vec![but(|review| review.sha = sha('b'))]), closed, "of an older commit");
    assert_eq!(of(vec![but(|review| review.by.id = BEN)]), closed, "the author's own");
    assert_eq!(of(vec![but(|review| review.by.kind = ActorKind::Bot)]), closed, "a program's");
    let triages = Voice { role: Fact::Known(Permission::Triage), ..approved() };
    assert_eq!(of(vec![triages]), closed, "without write access");
    assert_eq!(of(vec![Voice { role: Fact::Unknown, ..approved() }]), Some(unknown_at(Gate::Approvals)));
    assert_eq!(of(vec![approved(), review(3, ReviewState::Dismissed, 2)]), closed, "taken back");
    assert_eq!(of(vec![approved(), review(3, ReviewState::Commented, 2)]), None, "a remark takes nothing back");
    assert_eq!(of(vec![approved(), review(4, ReviewState::ChangesRequested, 0)]), closed, "another is against it");
    let mut old = review(4, ReviewState::ChangesRequested, 0);
    old.review.sha = sha('b');
    assert_eq!(of(vec![approved(), old]), closed, "against an older commit, not settled since");
    let outsider = Voice { role: Fact::Known(Permission::Read), ..review(4, ReviewState::ChangesRequested, 0) };
    assert_eq!(of(vec![approved(), outsider]), None, "an outsider stops nobody");
    let settled = [review(4, ReviewState::Approved, 2), review(4, ReviewState::ChangesRequested, 1)];
    assert_eq!(of(settled.to_vec()), None, "settled, told in another order");
    let unknown = Facts { reviews: Fact::Unknown, ..right() };
    assert_eq!(shut(&deploy, &strict(), &unknown), [(Gate::Approvals, GateState::Unknown)]);
}

#[test]
fn the_newest_run_of_every_check_counts() {
    use CheckOutcome::{Failed, Passed, Running, Unknown};
    let of = |wanted: &ChecksWanted, runs: Vec<CheckResult>| {
        let mut project = strict();
        project.stages[0].allow.named.get_mut(&Verb::Deploy).unwrap().checks = wanted.clone();
        let facts = Facts { checks: Fact::Known(Checks { sha: sha('a'), runs }), ..right() };
        shut(&on(Verb::Deploy, "prod"), &project, &facts).first().copied()
    };
    let (all, closed) = (ChecksWanted::All, Some(closed_at(Gate::Checks)));
    let ours = |outcome| CheckResult { app: CheckApp::Ourselves, ..run("greenroom", 9, outcome) };
    assert_eq!(of(&all, vec![run("ci", 1, Passed)]), None);
    assert_eq!(of(&all, vec![]), closed, "none at all");
    assert_eq!(of(&all, vec![ours(Passed)]), closed, "ours is none");
    assert_eq!(of(&all, vec![run("ci", 1, Passed), ours(Failed)]), None, "ours does not count");
    assert_eq!(of(&all, vec![run("ci", 2, Passed), run("ci", 1, Failed)]), None, "passed in the second run");
    assert_eq!(of(&all, vec![run("ci", 1, Passed), run("ci", 2, Failed)]), closed, "failed in the second run");
    assert_eq!(of(&all, vec![run("ci", 1, Passed), run("lint", 1, Failed)]), closed);
    assert_eq!(of(&all, vec![run("ci", 1, Running)]), closed);
    assert_eq!(of(&all, vec![run("ci", 1, Unknown)]), Some(unknown_at(Gate::Checks)));
    let other = CheckResult { app: CheckApp::Status, ..run("ci", 9, Passed) };
    assert_eq!(of(&all, vec![run("ci", 1, Failed), other]), closed, "another's check of that name is another");
    let ci = ChecksWanted::Named(BTreeSet::from(["ci".to_owned()]));
    assert_eq!(of(&ci, vec![run("ci", 1, Passed), run("lint", 1, Failed)]), None, "only that one");
    assert_eq!(of(&ci, vec![run("lint", 1, Passed)]), closed, "missing");
    for runs in [Fact::Unknown, Fact::Known(Checks { sha: sha('b'), runs: vec![run("ci", 1, Passed)] })] {
        let facts = Facts { checks: runs, ..right() };
        assert_eq!(shut(&on(Verb::Deploy, "prod"), &strict(), &facts), [(Gate::Checks, GateState::Unknown)]);
    }
    let words = [
        ("completed", Some("success"), Passed),
        ("completed", Some("skipped"), Passed),
        ("completed", Some("stale"), Failed),
        ("completed", None, Unknown),
        ("in_progress", Some("success"), Running),
        ("new_word", Some("success"), Unknown),
    ];
    for (status, conclusion, expected) in words {
        assert_eq!(CheckOutcome::of_run(status, conclusion), expected, "{status} {conclusion:?}");
    }
    assert_eq!(["success", "error", "pending", "x"].map(CheckOutcome::of_status), [Passed, Failed, Running, Unknown]);
}

#[test]
fn a_verdict_looks_only_at_what_it_said_that_it_needs() {
    let blind = || Facts::of(right().caller, NOW);
    for project in [shop(), strict()] {
        for verb in Verb::ALL {
            for name in ["pr-7", "prod", "feature-x"] {
                let mut asked = on(verb, name);
                asked.from = (verb == Verb::Promote).then(|| stage("staging"));
                asked.sha = (verb == Verb::Approve).then(|| "aaaaaaa".parse().unwrap());
                let mut facts = blind();
                let all = right();
                facts.caller.role = Fact::Unknown;
                facts.caller.teams = Fact::Unknown;
                let wanted = needs(&asked, &project);
                for need in &wanted {
                    match need {
                        Need::Role => facts.caller.role = all.caller.role,
                        Need::Teams => facts.caller.teams = all.caller.teams.clone(),
                        Need::Stage => facts.stage = all.stage.clone(),
                        Need::Pull => facts.pull = all.pull.clone(),
                        Need::Bound => facts.bound = all.bound.clone(),
                        Need::Commit => facts.commit = all.commit.clone(),
                        Need::Source => facts.source = all.source.clone(),
                        Need::Approval => facts.approval = all.approval.clone(),
                        Need::Reviews => facts.reviews = all.reviews.clone(),
                        Need::Checks => facts.checks = all.checks.clone(),
                        Need::Divergence => facts.divergence = all.divergence.clone(),
                        Need::Locks => facts.locks = all.locks.clone(),
                        Need::Occupancy => facts.occupancy = all.occupancy,
                    }
                }
                assert_eq!(judge(&asked, &project, &facts).gates, judge(&asked, &project, &all).gates, "{verb} {name}");
            }
        }
    }
    assert_eq!(needs(&ask(Verb::Help, LockScope::Own), &shop()), BTreeSet::new());
    assert_eq!(needs(&ask(Verb::Status, LockScope::Own), &shop()), BTreeSet::from([Need::Role, Need::Stage]));
}

#[test]
fn a_condition_under_a_command_of_its_own_holds_for_any_command() {
    let mut project = shop();
    let two = Allow { approvals: 2, ..Allow::default() };
    project.stages[1].allow = StagePolicy { others: Some(two.clone()), ..StagePolicy::default() };
    let shut_for = |project: &Project, verb| shut(&on(verb, "staging"), project, &right()).first().copied();
    assert_eq!(shut_for(&project, Verb::Deploy), Some(closed_at(Gate::Approvals)));
    assert_eq!([Verb::Rollback, Verb::Destroy, Verb::Status].map(|verb| shut_for(&project, verb)), [None; 3]);
    for verb in [Verb::Rollback, Verb::Destroy, Verb::Keep] {
        project.stages[1].allow.named.insert(verb, two.clone());
        assert_eq!(shut_for(&project, verb), Some(closed_at(Gate::Approvals)), "{verb}");
    }
}

#[test]
fn a_command_is_asked_as_it_was_written() {
    let prod = stage("prod");
    let command = Command::Promote { from: stage("staging"), to: prod.clone() };
    let asked = Ask::of(&command, OURS);
    assert_eq!((asked.verb, asked.place, asked.from), (Verb::Promote, LockScope::Stage(prod), Some(stage("staging"))));
    let force = Force::Overrule;
    let command = Command::Unlock { on: LockScope::All, reason: None, force };
    assert_eq!(Ask::of(&command, None), Ask { force, pull: None, ..ask(Verb::Unlock, LockScope::All) });
    let keep = Ask::of(&Command::Keep { span: Seconds(60), stage: None }, OURS);
    assert_eq!(stage_of(&keep, &shop()), Some(stage("pr-7")));
}
