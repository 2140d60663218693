//! The gates about people and about the stage.

use super::*;

#[test]
fn each_fact_about_people_turns_its_own_gate() {
    let deploy = on(Verb::Deploy, "prod");
    assert_turns(
        &deploy,
        &strict(),
        &[
            ("everything is right", None, |_| {}),
            ("a bot", Some(closed_at(Gate::Person)), |facts| facts.caller.kind = CallerKind::Bot),
            ("a bot that may", None, |facts| {
                facts.caller.kind = CallerKind::Bot;
                facts.caller.id = UserId(50);
            }),
            ("ourselves, though allowed", Some(closed_at(Gate::Person)), |facts| {
                facts.caller.kind = CallerKind::Ourselves;
                facts.caller.id = UserId(50);
            }),
            ("too little right", Some(closed_at(Gate::Who)), |facts| {
                facts.caller.role = Fact::Known(Permission::Write);
            }),
            ("more right", None, |facts| facts.caller.role = Fact::Known(Permission::Admin)),
            ("no right, but the team", None, |facts| {
                facts.caller.role = Fact::Known(Permission::None);
                facts.caller.teams = Fact::Known(BTreeSet::from(["ops".to_owned()]));
            }),
            ("another team", Some(closed_at(Gate::Who)), |facts| {
                facts.caller.role = Fact::Known(Permission::Write);
                facts.caller.teams = Fact::Known(BTreeSet::from(["opsy".to_owned()]));
            }),
            ("named by id", None, |facts| {
                facts.caller.role = Fact::Known(Permission::None);
                facts.caller.id = UserId(99);
            }),
            ("an unknown right", Some(unknown_at(Gate::Who)), |facts| facts.caller.role = Fact::Unknown),
            ("unknown teams do not matter to who may anyhow", None, |facts| facts.caller.teams = Fact::Unknown),
            ("unknown teams", Some(unknown_at(Gate::Who)), |facts| {
                facts.caller.role = Fact::Known(Permission::Write);
                facts.caller.teams = Fact::Unknown;
            }),
        ],
    );
}

#[test]
fn a_lock_stops_everybody_but_its_owner() {
    let lock = |held: HeldLock| Facts { locks: Fact::Known(vec![held]), ..right() };
    let (mine, theirs, all) = (LockReach::Stage, LockReach::Stage, LockReach::All);
    let cases = [
        ("the owner's", lock(held(ANN, None, None, mine)), None),
        ("the owner's, of this pull request", lock(held(ANN, OURS, None, mine)), None),
        ("the owner's, of another", lock(held(ANN, Some(PullNumber(8)), None, mine)), Some(closed_at(Gate::Lock))),
        ("another's", lock(held(BEN, None, None, theirs)), Some(closed_at(Gate::Lock))),
        ("another's of this pull request", lock(held(BEN, OURS, None, theirs)), Some(closed_at(Gate::Lock))),
        ("another's on all", lock(held(BEN, None, None, all)), Some(closed_at(Gate::Lock))),
        ("another's for a while", lock(held(BEN, None, Some(NOW.0 + 1), theirs)), Some(closed_at(Gate::Lock))),
        ("another's that just ran out", lock(held(BEN, None, Some(NOW.0), theirs)), None),
        ("not known", Facts { locks: Fact::Unknown, ..right() }, Some(unknown_at(Gate::Lock))),
    ];
    for (what, facts, expected) in cases {
        for verb in [Verb::Deploy, Verb::Rollback] {
            let found = shut(&on(verb, "pr-7"), &strict(), &facts).first().copied();
            assert_eq!(found, expected, "{what}: {verb}");
        }
        assert_eq!(shut(&on(Verb::Status, "pr-7"), &strict(), &facts), [], "{what}: a lock stops no reader");
    }
    let facts = |role| {
        let mut facts = lock(held(BEN, None, None, LockReach::Stage));
        facts.caller.role = Fact::Known(role);
        facts
    };
    for verb in [Verb::Lock, Verb::Unlock] {
        let gently = on(verb, "pr-7");
        let forced = Ask { force: Force::Overrule, ..gently.clone() };
        assert_eq!(shut(&gently, &strict(), &facts(Permission::Admin)), [(Gate::Lock, GateState::Closed)]);
        assert_eq!(shut(&forced, &strict(), &facts(Permission::Write)), [(Gate::Who, GateState::Closed)]);
        assert_eq!(shut(&forced, &strict(), &facts(Permission::Maintain)), []);
        let every = ask(verb, LockScope::All);
        assert_eq!(shut(&every, &strict(), &facts(Permission::Maintain)), [(Gate::Who, GateState::Closed)], "prod too");
        assert_eq!(shut(&every, &strict(), &facts(Permission::Admin)), []);
    }
    let elsewhere = lock(held(ANN, Some(PullNumber(8)), None, LockReach::Stage));
    assert_eq!(shut(&on(Verb::Unlock, "pr-7"), &strict(), &elsewhere), [], "one's own lock goes from anywhere");
}

#[test]
fn a_protected_stage_is_destroyed_by_an_admin_alone() {
    let mut project = strict();
    let anybody = Allow { who: Some(vec![Who::Role(Permission::Read)]), ..Allow::default() };
    project.stages[0].allow.named.insert(Verb::Destroy, anybody);
    let by = |role| Facts { caller: Caller { role, ..right().caller }, ..right() };
    let destroy = on(Verb::Destroy, "prod");
    assert_eq!(
        shut(&destroy, &project, &by(Fact::Known(Permission::Maintain))),
        [(Gate::Protection, GateState::Closed)]
    );
    assert_eq!(shut(&destroy, &project, &by(Fact::Known(Permission::Admin))), []);
    assert!(shut(&destroy, &project, &by(Fact::Unknown)).contains(&(Gate::Protection, GateState::Unknown)));
    assert_eq!(shut(&on(Verb::Destroy, "staging"), &project, &by(Fact::Known(Permission::Maintain))), []);
}

#[test]
fn a_busy_stage_makes_a_queue() {
    let busy = |pull, waiting| Facts { occupancy: Fact::Known(Occupancy::Busy { pull, waiting }), ..right() };
    let answer = |facts: &Facts| judge(&on(Verb::Deploy, "staging"), &strict(), facts).answer;
    assert_eq!(answer(&busy(Some(PullNumber(8)), 2)), Answer::Queued { position: 3 });
    assert_eq!(answer(&busy(None, 0)), Answer::Queued { position: 1 });
    assert_eq!(answer(&busy(OURS, 2)), Answer::Allowed);
    assert_eq!(answer(&Facts { occupancy: Fact::Unknown, ..right() }), Answer::Refused);
    let mut locked = busy(None, 0);
    locked.locks = Fact::Known(vec![held(BEN, None, None, LockReach::Stage)]);
    assert_eq!(answer(&locked), Answer::Refused, "what may not be done does not wait for it");
    let mut bot = right();
    bot.caller.kind = CallerKind::Bot;
    assert_eq!(answer(&bot), Answer::Ignored);
}

#[test]
fn only_stages_that_are_one_can_be_named() {
    let gone = || Fact::Known(Some(StageStatus::Gone { removed: 3 }));
    let cases = [
        ("prod", right().stage, None),
        ("prod", Fact::Unknown, None),
        ("pr-7", Fact::Unknown, None),
        ("pr-8", right().stage, None),
        ("pr-8", Fact::Known(None), Some(closed_at(Gate::Stage))),
        ("pr-8", gone(), Some(closed_at(Gate::Stage))),
        ("pr-8", Fact::Unknown, Some(unknown_at(Gate::Stage))),
        ("prodd", Fact::Known(None), Some(closed_at(Gate::Stage))),
        ("feature-x", right().stage, None),
    ];
    for (name, stage, expected) in cases {
        let facts = Facts { stage, ..right() };
        assert_eq!(
            shut(&on(Verb::Redeploy, name), &shop(), &facts).into_iter().find(|(gate, _)| *gate == Gate::Stage),
            expected,
            "{name}"
        );
    }
    let mut project = shop();
    project.stages.truncate(2);
    for ask in [ask(Verb::Deploy, LockScope::Own), on(Verb::Deploy, "pr-7")] {
        assert_eq!(shut(&ask, &project, &right()), [(Gate::Stage, GateState::Closed)]);
    }
    let promote = |from: &str| Ask { from: Some(stage(from)), ..on(Verb::Promote, "staging") };
    assert_eq!(shut(&promote("prod"), &project, &right()), []);
    for from in ["staging", "nowhere"] {
        assert_eq!(shut(&promote(from), &project, &right()), [(Gate::Stage, GateState::Closed)], "{from}");
    }
}

#[test]
fn without_a_word_in_the_configuration_the_defaults_hold() {
    use Permission::{Admin, Maintain, Read, Write};
    let mut project = shop();
    project.stages[1].protect = false;
    for verb in Verb::ALL {
        let least = match verb {
            Verb::Status | Verb::Plan | Verb::Health | Verb::Why => [Read; 3],
            Verb::Logs => [Write; 3],
            Verb::Help => continue,
            _ => [Write, Maintain, Admin],
        };
        for (name, least) in ["pr-7", "staging", "prod"].into_iter().zip(least) {
            let mut asked = on(verb, name);
            asked.from = (verb == Verb::Promote).then(|| stage("pr-7")).filter(|from| from.as_str() != name);
            for role in Permission::GIVEN {
                let mut facts = right();
                facts.caller.role = Fact::Known(role);
                let who =
                    judge(&asked, &project, &facts).gates.into_iter().find(|gate| gate.gate == Gate::Who).unwrap();
                assert_eq!(who.state == GateState::Open, role >= least, "{verb} {name} {role:?}");
            }
        }
    }
}

#[test]
fn an_approval_names_the_head() {
    let approve = |digits: &str| Ask { sha: digits.parse().ok(), ..ask(Verb::Approve, LockScope::Own) };
    let (head, other) = (sha('a').to_string(), sha('b').to_string());
    let closed = [(Gate::Commit, GateState::Closed)];
    assert_eq!(shut(&approve(&head), &shop(), &right()), []);
    assert_eq!(judge(&approve(&head), &shop(), &right()).commit, Some(sha('a')));
    assert_eq!(shut(&approve(&other), &shop(), &right()), closed);
    let unknown = Facts { pull: Fact::Unknown, ..right() };
    assert_eq!(shut(&approve(&head), &shop(), &unknown), [(Gate::Commit, GateState::Unknown)]);
}

#[test]
fn a_beginning_of_the_head_approves_nothing_and_is_told_the_whole_line() {
    for digits in [1, 7, 12, 39] {
        let beginning = "a".repeat(digits).parse().ok();
        for (place, line) in [
            (LockScope::Own, format!("`/approve {}`", sha('a'))),
            (LockScope::Stage(stage("pr-7")), format!("`/approve {} pr-7`", sha('a'))),
        ] {
            let asked = Ask { sha: beginning.clone(), ..ask(Verb::Approve, place) };
            let verdict = judge(&asked, &shop(), &right());
            assert_eq!(shut(&asked, &shop(), &right()), [(Gate::Commit, GateState::Closed)], "{digits} digits");
            assert!(verdict.next_action().is_some_and(|next| next.contains(&line)), "{:?}", verdict.next_action());
        }
    }
}

#[test]
fn an_approval_is_bound_to_the_head_that_its_author_saw() {
    let approve = Ask { sha: sha('a').to_string().parse().ok(), ..ask(Verb::Approve, LockScope::Own) };
    for binding in [
        Binding::Moved { seen: sha('b'), now: sha('a') },
        Binding::SameSecond { seen: sha('b'), now: sha('a') },
        Binding::NeverWitnessed { now: sha('a') },
    ] {
        let facts = Facts { bound: Fact::Known(binding.clone()), ..right() };
        assert_eq!(shut(&approve, &shop(), &facts), [(Gate::Commit, GateState::Closed)], "{binding:?}");
        assert_eq!(judge(&approve, &shop(), &facts).commit, None, "{binding:?}");
    }
    let facts = Facts { bound: Fact::Unknown, ..right() };
    assert_eq!(shut(&approve, &shop(), &facts), [(Gate::Commit, GateState::Unknown)]);
}

#[test]
fn help_says_what_the_caller_may_where() {
    let mut caller = right().caller;
    caller.role = Fact::Known(Permission::Write);
    let of = |caller: &Caller| offers(&strict(), caller, OURS);
    let find = |offers: Vec<Offer>, verb| offers.into_iter().find(|offer: &Offer| offer.verb == verb).unwrap();
    let deploy = find(of(&caller), Verb::Deploy);
    assert_eq!(deploy.stages, [stage("pr-7")]);
    let withheld: Vec<&str> = deploy.withheld.iter().map(|withheld| withheld.stage.as_str()).collect();
    assert_eq!(withheld, ["prod", "staging"]);
    assert!(deploy.withheld.iter().all(|withheld| !withheld.way_out.is_empty()));
    assert_eq!(find(of(&caller), Verb::Status).stages, [stage("pr-7"), stage("prod"), stage("staging")]);
    caller.role = Fact::Known(Permission::Admin);
    assert!(of(&caller).iter().all(|offer| offer.withheld.is_empty()));
    caller.role = Fact::Unknown;
    assert!(of(&caller).iter().all(|offer| offer.stages.is_empty()), "what is not known is not offered");
}
