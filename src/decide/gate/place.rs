//! The gates about the stage itself: that it is one, and that it is free.

use crate::model::{Gate, GateResult, LockScope, Project, StageName, StagePattern, StageRule, StageStatus};

use super::{Ask, Case, Fact, Facts, Occupancy, closed, open, unknown};

/// The rule that a stage of this name is made by: one that names it, else one for pull requests,
/// else one for branches.
pub fn rule_named<'a>(project: &'a Project, name: &StageName) -> Option<&'a StageRule> {
    let rank = |rule: &StageRule| match &rule.pattern {
        StagePattern::Named(own) => (own == name).then_some(0),
        StagePattern::PullRequest { prefix, suffix } => {
            let number = between(name, prefix, suffix)?;
            (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then_some(1)
        }
        StagePattern::Branch { prefix, suffix } => between(name, prefix, suffix).map(|_| 2),
    };
    let ranked = project.stages.iter().filter_map(|rule| Some((rank(rule)?, rule)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, rule)| rule)
}

fn between<'a>(name: &'a StageName, prefix: &str, suffix: &str) -> Option<&'a str> {
    name.as_str().strip_prefix(prefix)?.strip_suffix(suffix)
}

/// The one stage that a command is about; `None` for all of them, or for the pull request's own
/// where it has none.
pub fn stage_of(ask: &Ask, project: &Project) -> Option<StageName> {
    match &ask.place {
        LockScope::Stage(name) => Some(name.clone()),
        LockScope::Own => project.rule_for_pull().find_map(|rule| rule.pattern.for_pull(ask.pull?)),
        LockScope::All => None,
    }
}

pub(super) fn stage(case: &Case<'_>, facts: &Facts) -> GateResult {
    let gate = Gate::Stage;
    if let Some(from) = case.ask.from.as_ref().filter(|from| rule_named(case.project, from).is_none()) {
        return closed(gate, format!("there is no stage {from}"), stages(case.project));
    }
    if case.ask.from.is_some() && case.ask.from == stage_of(case.ask, case.project) {
        return closed(gate, "a stage cannot be promoted to itself", "name two different stages");
    }
    if case.ask.place == LockScope::All {
        return open(gate, "it is about every stage");
    }
    let Some(name) = stage_of(case.ask, case.project) else {
        return closed(gate, "this pull request has no stage of its own", stages(case.project));
    };
    let Some(rule) = case.rules.first() else {
        return closed(gate, format!("there is no stage {name}"), stages(case.project));
    };
    let is_own = case.ask.pull.and_then(|pull| rule.pattern.for_pull(pull)).is_some_and(|own| own == name);
    if is_own || !rule.pattern.is_ephemeral() {
        return open(gate, format!("{name} is a stage of the configuration"));
    }
    // Any name could be that of a branch's or another pull request's stage: it must be there.
    match &facts.stage {
        Fact::Known(Some(StageStatus::Gone { .. }) | None) => {
            closed(gate, format!("there is no stage {name} now"), stages(case.project))
        }
        Fact::Known(Some(_)) => open(gate, format!("{name} is there")),
        Fact::Unknown => unknown(gate, &format!("whether there is a stage {name}")),
    }
}

fn stages(project: &Project) -> String {
    let named = project.stages.iter().filter_map(|rule| match &rule.pattern {
        StagePattern::Named(name) => Some(name.as_str()),
        StagePattern::PullRequest { .. } | StagePattern::Branch { .. } => None,
    });
    let named: Vec<&str> = named.collect();
    if named.is_empty() {
        return "leave the stage out to mean this pull request's own".to_owned();
    }
    format!("name one of {}, or leave the stage out to mean this pull request's own", named.join(", "))
}

pub(super) fn turn(case: &Case<'_>, facts: &Facts) -> GateResult {
    let gate = Gate::Turn;
    match facts.occupancy {
        Fact::Known(Occupancy::Free) => open(gate, "the stage is free"),
        Fact::Known(Occupancy::Busy { pull: Some(pull), .. }) if Some(pull) == case.ask.pull => {
            open(gate, "what runs there is of this pull request, and the newer takes its place")
        }
        Fact::Known(Occupancy::Busy { pull, waiting }) => {
            let whose =
                pull.map_or_else(|| "another deploy".to_owned(), |pull| format!("a deploy of pull request {pull}"));
            let position = waiting.saturating_add(1);
            closed(gate, format!("{whose} is under way"), format!("nothing: it waits as number {position}"))
        }
        Fact::Unknown => unknown(gate, "whether the stage is free"),
    }
}
