//! The policy as a table: every gate in both directions, each by the one fact that turns it.

mod people;

use std::collections::BTreeSet;

use super::super::fixture::{repo, sha, shop};
use super::*;
use crate::model::{
    Actor, ActorKind, Branch, BranchPattern, CheckApp, CheckOutcome, CheckResult, Checks, Lock, NamedCheck, Offer,
    Permission, Review, ReviewState, Seconds, StagePolicy, StageStatus, Timestamp, UserId, Witness,
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

fn head(digit: char, pusher: Option<UserId>) -> Witness {
    Witness { repo: repo(), pull: PullNumber(7), sha: sha(digit), at: Timestamp(0), pusher }
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
        heads: Fact::Known(vec![head('a', Some(BEN))]),
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
fn what_ran_before_is_a_forks_whoever_brings_it_again() {
    let brought = |origin, approved: Option<char>| Facts {
        source: Fact::Known(Source { branch: Branch("idea".into()), origin }),
        approval: Fact::Known(approved.map(sha)),
        ..right()
    };
    for verb in [Verb::Redeploy, Verb::Retry, Verb::Promote] {
        for asked in [on(verb, "staging"), ask(verb, LockScope::Own), Ask { pull: None, ..on(verb, "staging") }] {
            let found = |facts: Facts| {
                let fork = judge(&asked, &shop(), &facts).gates.into_iter().find(|gate| gate.gate == Gate::Fork);
                fork.map(|gate| gate.state)
            };
            assert_eq!(found(brought(Origin::Own, None)), Some(GateState::Open), "{asked:?}");
            assert_eq!(found(brought(Origin::Fork, None)), Some(GateState::Closed), "{asked:?}");
            assert_eq!(found(brought(Origin::Fork, Some('b'))), Some(GateState::Closed), "{asked:?}");
            assert_eq!(found(brought(Origin::Fork, Some('a'))), Some(GateState::Open), "{asked:?}");
            assert_eq!(found(Facts { source: Fact::Unknown, ..right() }), Some(GateState::Unknown), "{asked:?}");
        }
    }
    let stuck = Facts {
        source: Fact::Unknown,
        commit: Fact::Unknown,
        stage: Fact::Known(Some(StageStatus::RemovalBlocked)),
        ..right()
    };
    assert_eq!(shut(&on(Verb::Retry, "staging"), &shop(), &stuck), [], "a removal brings no commit");
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
fn who_pushed_the_commit_does_not_approve_it() {
    let deploy = on(Verb::Deploy, "prod");
    let of = |heads: Vec<Witness>, approvals: &[u64]| {
        let reviews = approvals.iter().map(|by| review(*by, ReviewState::Approved, 1)).collect();
        let facts = Facts { reviews: Fact::Known(reviews), heads: Fact::Known(heads), ..right() };
        shut(&deploy, &strict(), &facts).first().copied()
    };
    let closed = Some(closed_at(Gate::Approvals));
    let by = |id| Some(UserId(id));
    assert_eq!(of(vec![head('a', by(3))], &[3]), closed, "their own push onto another's pull request");
    assert_eq!(of(vec![head('a', by(3))], &[3, 4]), None, "but somebody else's counts");
    assert_eq!(of(vec![head('b', by(3)), head('a', by(2))], &[3]), None, "they pushed an older commit");
    assert_eq!(of(vec![head('a', by(2)), head('b', by(2)), head('a', by(3))], &[3]), closed, "led back by them");
    for unknown in [vec![], vec![head('a', None)], vec![head('b', by(2))]] {
        assert_eq!(of(unknown.clone(), &[3]), closed, "it may have been them");
        assert_eq!(of(unknown, &[3, 4]), None, "it can have been one of them only");
    }
    let facts = Facts { heads: Fact::Unknown, ..right() };
    assert_eq!(shut(&deploy, &strict(), &facts), [(Gate::Approvals, GateState::Unknown)]);
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
    let named = |app| ChecksWanted::Named(BTreeSet::from([NamedCheck { name: "ci".to_owned(), app }]));
    let ci = named(None);
    assert_eq!(of(&ci, vec![run("ci", 1, Passed), run("lint", 1, Failed)]), None, "only that one");
    assert_eq!(of(&ci, vec![run("lint", 1, Passed)]), closed, "missing");
    // Whoever may write a status makes one of any name.
    let status = CheckResult { app: CheckApp::Status, ..run("ci", 9, Passed) };
    let another = CheckResult { app: CheckApp::App(2), ..run("ci", 9, Passed) };
    for forged in [status, another] {
        assert_eq!(of(&ci, vec![forged.clone()]), None, "a name alone is anybody's");
        assert_eq!(of(&named(Some(1)), vec![forged.clone()]), closed, "of that app there is none");
        assert_eq!(of(&named(Some(1)), vec![forged.clone(), run("ci", 1, Failed)]), closed, "that app's failed");
        assert_eq!(of(&named(Some(1)), vec![CheckResult { outcome: Failed, ..forged }, run("ci", 1, Passed)]), None);
    }
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
                asked.sha = (verb == Verb::Approve).then(|| sha('a').to_string().parse().unwrap());
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
                        Need::Reviews => {
                            facts.reviews = all.reviews.clone();
                            facts.heads = all.heads.clone();
                        }
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
