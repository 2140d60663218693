//! The gates about people: who asks, what they may, and what others asked to be left alone.

use crate::model::{Force, Gate, GateResult, LockScope, Permission, StageRule, Verb, Who};

use super::{CallerKind, Case, Fact, Facts, HeldLock, LockReach, closed, open, unknown};

pub(super) fn person(case: &Case<'_>, facts: &Facts) -> GateResult {
    let gate = Gate::Person;
    let caller = &facts.caller;
    match caller.kind {
        CallerKind::Person => open(gate, format!("{} is a person", caller.login)),
        CallerKind::Bot if case.project.commands.bots.contains(&caller.id) => {
            open(gate, format!("{} is a program that may command", caller.login))
        }
        CallerKind::Bot => closed(
            gate,
            format!("{} is a program", caller.login),
            format!("put {} into `commands.bots` on the default branch", caller.id),
        ),
        CallerKind::Ourselves => closed(gate, "Greenroom does not command itself", "a person asks"),
    }
}

pub(super) fn who(case: &Case<'_>, rule: &StageRule, facts: &Facts) -> GateResult {
    let gate = Gate::Who;
    let (verb, caller) = (case.ask.verb, &facts.caller);
    let allowed = rule.allow.who(verb, super::super::stage_kind(rule));
    let listed = allowed.iter().map(Who::to_string).collect::<Vec<_>>().join(" or ");
    let role = match &caller.role {
        Fact::Known(role) => role.name(),
        Fact::Unknown => "a right that could not be learned",
    };
    let found = format!("{} has {role}; {verb} is for {listed}", caller.login);
    let ask_other = format!("ask somebody of {listed} to give the command");
    let mut results = allowed.iter().map(|who| is_one_of(who, facts));
    match results.clone().find(|result| *result != Fact::Known(false)) {
        _ if results.any(|result| result == Fact::Known(true)) => {}
        Some(_) => return unknown(gate, &format!("what {} may do", caller.login)),
        None => return closed(gate, found, ask_other),
    }
    let may_overrule = match (case.ask.force, &caller.role) {
        (Force::Respect, _) => return open(gate, found),
        (Force::Overrule, Fact::Known(role)) => *role >= Permission::Maintain,
        (Force::Overrule, Fact::Unknown) => return unknown(gate, &format!("what {} may do", caller.login)),
    };
    if may_overrule {
        return open(gate, found);
    }
    closed(gate, format!("{} has {role}; --force is for maintain", caller.login), "ask somebody of maintain to do it")
}

fn is_one_of(who: &Who, facts: &Facts) -> Fact<bool> {
    match who {
        Who::User(id) => Fact::Known(*id == facts.caller.id),
        Who::Role(wanted) => match facts.caller.role {
            // Nobody has the right that is none.
            Fact::Known(role) => Fact::Known(role >= *wanted && role > Permission::None),
            Fact::Unknown => Fact::Unknown,
        },
        Who::Team(slug) => match &facts.caller.teams {
            Fact::Known(teams) => Fact::Known(teams.contains(slug)),
            Fact::Unknown => Fact::Unknown,
        },
    }
}

pub(super) fn lock(case: &Case<'_>, facts: &Facts) -> GateResult {
    let gate = Gate::Lock;
    let Fact::Known(locks) = &facts.locks else { return unknown(gate, "whether the stage is locked") };
    let is_about_locks = matches!(case.ask.verb, Verb::Lock | Verb::Unlock);
    let concerns = |held: &&HeldLock| match (is_about_locks, &case.ask.place) {
        (true, LockScope::All) => held.reach == LockReach::All,
        (true, LockScope::Own | LockScope::Stage(_)) => held.reach == LockReach::Stage,
        (false, _) => true,
    };
    let is_live = |held: &&HeldLock| held.lock.until.is_none_or(|until| facts.now < until);
    // A person who wants the lock itself has it wherever they ask; one who wants to deploy has it
    // for the pull request that it was taken for, so that their next one does not overrun it.
    let is_theirs = |held: &&HeldLock| {
        held.lock.owner == facts.caller.id
            && (is_about_locks || held.lock.pull.is_none() || held.lock.pull == case.ask.pull)
    };
    let mut held = locks.iter().filter(concerns).filter(is_live);
    let Some(other) = held.find(|held| !is_theirs(held)) else {
        let is_any = locks.iter().filter(concerns).any(|held| is_live(&held));
        return open(gate, if is_any { "the lock is the caller's own" } else { "it is not locked" });
    };
    let what = if other.reach == LockReach::All { "every stage is" } else { "it is" };
    let pull = other.lock.pull.map(|pull| format!(" for pull request {pull}")).unwrap_or_default();
    let until = other.lock.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let evidence = format!("{what} locked by {}{pull}{until}: {}", other.lock.login, other.lock.reason);
    if is_about_locks && case.ask.force == Force::Overrule {
        return open(gate, format!("{evidence} (overruled)"));
    }
    let way_out =
        format!("wait, ask {} to unlock it, or have somebody of maintain use unlock --force", other.lock.login);
    closed(gate, evidence, way_out)
}

pub(super) fn protection(facts: &Facts) -> GateResult {
    let gate = Gate::Protection;
    match facts.caller.role {
        Fact::Known(Permission::Admin) => open(gate, format!("{} has admin", facts.caller.login)),
        Fact::Known(role) => closed(
            gate,
            format!("the stage is protected, and {} has {}", facts.caller.login, role.name()),
            "ask an admin of the repository to give the command",
        ),
        Fact::Unknown => unknown(gate, &format!("what {} may do", facts.caller.login)),
    }
}
