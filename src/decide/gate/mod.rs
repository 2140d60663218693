//! Whether a command may be done: one table of gates, judged when it is asked and again when it
//! runs.
//!
//! Guarantees: a command is allowed only if every gate that concerns it is open; what is not known
//! shuts the gate that needs it; every gate that is shut says what would open it. The rules are
//! those of the [`Project`] that is handed in, which is the default branch's.

mod commit;
mod facts;
mod offer;
mod people;
mod place;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::model::{
    Allow, Answer, Binding, ChecksWanted, Command, CommitSha, Force, Gate, GateResult, GateState, LockScope,
    NamedCommit, Project, PullNumber, StageKind, StageName, StageRule, Verb, Verdict, Who,
};

pub use facts::{
    Caller, CallerKind, Divergence, Fact, Facts, HeldLock, LockReach, Occupancy, Origin, PullFacts, Source, Voice,
};
pub use offer::offers;
pub use place::{rule_named, stage_of};

/// A command, as far as policy looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    pub verb: Verb,
    pub place: LockScope,
    /// Where a promotion takes it from.
    pub from: Option<StageName>,
    /// The pull request that was commented on; `None` for the command line.
    pub pull: Option<PullNumber>,
    /// The commit that an approval names.
    pub sha: Option<NamedCommit>,
    pub force: Force,
}

impl Ask {
    /// What a command asks for.
    pub fn of(command: &Command, pull: Option<PullNumber>) -> Self {
        let mut ask =
            Self { verb: command.verb(), place: LockScope::Own, from: None, pull, sha: None, force: Force::Respect };
        match command {
            Command::Deploy { stage, .. }
            | Command::Destroy { stage }
            | Command::Redeploy { stage }
            | Command::Retry { stage }
            | Command::Cancel { stage }
            | Command::Rollback { stage, .. }
            | Command::Plan { stage }
            | Command::Status { stage }
            | Command::Logs { stage, .. }
            | Command::Health { stage }
            | Command::Keep { stage, .. }
            | Command::Why { stage } => ask.place = place_of(stage.as_ref()),
            Command::Promote { from, to } => {
                ask.place = LockScope::Stage(to.clone());
                ask.from = Some(from.clone());
            }
            Command::Lock { on, force, .. } | Command::Unlock { on, force, .. } => {
                ask.place = on.clone();
                ask.force = *force;
            }
            Command::Approve { sha, stage } => {
                ask.place = place_of(stage.as_ref());
                ask.sha = Some(sha.clone());
            }
            Command::Help { .. } => {}
        }
        ask
    }
}

fn place_of(stage: Option<&StageName>) -> LockScope {
    stage.map_or(LockScope::Own, |stage| LockScope::Stage(stage.clone()))
}

/// A fact that has to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Role,
    Teams,
    Stage,
    Pull,
    Bound,
    Commit,
    Source,
    Approval,
    Reviews,
    Checks,
    Divergence,
    Locks,
    Occupancy,
}

/// One command before the gates.
struct Case<'a> {
    ask: &'a Ask,
    project: &'a Project,
    /// Those whose stages the command is about; none when the stage is unknown.
    rules: Vec<&'a StageRule>,
}

/// Which facts the verdict will look at.
pub fn needs(ask: &Ask, project: &Project) -> BTreeSet<Need> {
    let case = Case::new(ask, project);
    let mut needs = BTreeSet::new();
    for gate in case.gates() {
        needs.extend(case.needs_of(gate));
    }
    needs
}

/// Judges a command.
pub fn judge(ask: &Ask, project: &Project, facts: &Facts) -> Verdict {
    let case = Case::new(ask, project);
    let mut gates: Vec<GateResult> = Vec::new();
    for gate in case.gates() {
        gates.push(case.judge(gate, facts));
    }
    let is_bound = case.gates().contains(&Gate::Commit);
    Verdict {
        answer: answer(&gates, ask, facts),
        gates,
        commit: case.commit(facts).cloned(),
        binding: facts.bound.known().filter(|_| is_bound).cloned(),
    }
}

fn answer(gates: &[GateResult], ask: &Ask, facts: &Facts) -> Answer {
    let shut: Vec<Gate> = gates.iter().filter(|gate| gate.state != GateState::Open).map(|gate| gate.gate).collect();
    match (shut.as_slice(), &facts.occupancy) {
        ([], _) => Answer::Allowed,
        ([Gate::Person, ..], _) => Answer::Ignored,
        ([Gate::Turn], Fact::Known(Occupancy::Busy { pull, waiting })) if *pull != ask.pull || pull.is_none() => {
            Answer::Queued { position: waiting.saturating_add(1) }
        }
        _ => Answer::Refused,
    }
}

impl<'a> Case<'a> {
    fn new(ask: &'a Ask, project: &'a Project) -> Self {
        let rules = match &ask.place {
            LockScope::All => project.stages.iter().collect(),
            LockScope::Own | LockScope::Stage(_) => {
                stage_of(ask, project).and_then(|name| rule_named(project, &name)).into_iter().collect()
            }
        };
        Self { ask, project, rules }
    }

    /// The gates that concern the command, in the order in which they are passed.
    fn gates(&self) -> Vec<Gate> {
        let verb = self.ask.verb;
        let mut gates = vec![Gate::Person];
        if verb == Verb::Help {
            return gates;
        }
        gates.push(Gate::Stage);
        if self.rules.is_empty() {
            return gates;
        }
        gates.push(Gate::Who);
        let wants = |wanted: fn(&Allow) -> bool| self.rules.iter().any(|rule| wanted(rule.allow.conditions(verb)));
        let conditions = [
            (Gate::Approvals, wants(|allow| allow.approvals > 0)),
            (Gate::Checks, wants(|allow| allow.checks != ChecksWanted::None)),
            (Gate::UpToDate, wants(|allow| allow.up_to_date)),
            (Gate::Branch, wants(|allow| !allow.branches.is_empty())),
        ];
        let is_conditional = conditions.iter().any(|(_, is_wanted)| *is_wanted);
        if matches!(verb, Verb::Deploy | Verb::Approve) || (is_conditional && !brings_what_ran(verb)) {
            gates.push(Gate::Commit);
        }
        if matches!(verb, Verb::Deploy | Verb::Redeploy | Verb::Retry | Verb::Promote) {
            gates.push(Gate::Fork);
        }
        gates.extend(conditions.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(gate, _)| gate));
        if is_change(verb) || matches!(verb, Verb::Lock | Verb::Unlock) {
            gates.push(Gate::Lock);
        }
        if verb == Verb::Destroy && self.rules.iter().any(|rule| super::stage_kind(rule) == StageKind::Production) {
            gates.push(Gate::Protection);
        }
        if is_change(verb) && !matches!(verb, Verb::Destroy | Verb::Cancel) {
            gates.push(Gate::Turn);
        }
        gates
    }

    fn needs_of(&self, gate: Gate) -> Vec<Need> {
        let subject = if brings_what_ran(self.ask.verb) { Need::Commit } else { Need::Bound };
        match gate {
            Gate::Person => Vec::new(),
            Gate::Stage => vec![Need::Stage],
            Gate::Who => {
                let all = self.who();
                let role = self.ask.force == Force::Overrule || all.iter().any(|who| matches!(who, Who::Role(_)));
                let teams = all.iter().any(|who| matches!(who, Who::Team(_)));
                [(Need::Role, role), (Need::Teams, teams)]
                    .into_iter()
                    .filter_map(|(need, is)| is.then_some(need))
                    .collect()
            }
            Gate::Commit => vec![Need::Pull, Need::Bound],
            Gate::Fork if brings_what_ran(self.ask.verb) => vec![Need::Source, Need::Approval, subject],
            Gate::Fork => vec![Need::Pull, Need::Approval, subject],
            Gate::Approvals => vec![Need::Reviews, Need::Pull, subject],
            Gate::Checks => vec![Need::Checks, subject],
            Gate::UpToDate => vec![Need::Divergence, subject],
            Gate::Branch if brings_what_ran(self.ask.verb) => vec![Need::Source],
            Gate::Branch => vec![Need::Pull],
            Gate::Lock => vec![Need::Locks],
            Gate::Protection => vec![Need::Role],
            Gate::Turn => vec![Need::Occupancy],
        }
    }

    /// Everybody whom one of the rules names.
    fn who(&self) -> Vec<Who> {
        let kind = super::stage_kind;
        self.rules.iter().flat_map(|rule| rule.allow.who(self.ask.verb, kind(rule))).collect()
    }

    /// Of several rules the strictest speaks.
    fn judge(&self, gate: Gate, facts: &Facts) -> GateResult {
        let mut results = self.rules.iter().map(|rule| self.judge_by(gate, rule, facts));
        match gate {
            Gate::Person => people::person(self, facts),
            Gate::Stage => place::stage(self, facts),
            _ => {
                let first = results.next();
                let strictest = results.find(|result| result.state != GateState::Open);
                match first {
                    Some(first) if first.state != GateState::Open => first,
                    first => strictest.or(first).unwrap_or_else(|| place::stage(self, facts)),
                }
            }
        }
    }

    fn judge_by(&self, gate: Gate, rule: &StageRule, facts: &Facts) -> GateResult {
        let allow = rule.allow.conditions(self.ask.verb);
        match gate {
            Gate::Person => people::person(self, facts),
            Gate::Stage => place::stage(self, facts),
            Gate::Who => people::who(self, rule, facts),
            Gate::Commit => commit::bound(self, facts),
            Gate::Fork => commit::fork(self, rule, facts),
            Gate::Approvals => commit::approvals(self, allow, facts),
            Gate::Checks => commit::checks(self, allow, facts),
            Gate::UpToDate => commit::up_to_date(self, allow, facts),
            Gate::Branch => commit::branch(self, allow, facts),
            Gate::Lock => people::lock(self, facts),
            Gate::Protection => people::protection(facts),
            Gate::Turn => place::turn(self, facts),
        }
    }

    /// The commit that the command is about.
    fn commit<'f>(&self, facts: &'f Facts) -> Option<&'f CommitSha> {
        match self.ask.verb {
            verb if brings_what_ran(verb) => facts.commit.known(),
            _ => facts.bound.known().and_then(Binding::sha),
        }
    }
}

/// The line that approves this commit for the stage that the command is about, as it is to be pasted:
/// in code, because GitHub shortens the name of a commit anywhere else.
fn approval_line(case: &Case<'_>, sha: &CommitSha) -> String {
    let stage = match &case.ask.place {
        LockScope::Stage(name) => format!(" {name}"),
        LockScope::Own | LockScope::All => String::new(),
    };
    format!("`{}{} {sha}{stage}`", case.project.commands.prefix, Verb::Approve)
}

/// Whether the command changes what serves.
fn is_change(verb: Verb) -> bool {
    matches!(verb, Verb::Deploy | Verb::Destroy | Verb::Cancel) || brings_what_ran(verb)
}

/// Whether the command brings something that was deployed before, here or elsewhere.
fn brings_what_ran(verb: Verb) -> bool {
    matches!(verb, Verb::Redeploy | Verb::Retry | Verb::Rollback | Verb::Promote)
}

fn open(gate: Gate, evidence: impl Into<String>) -> GateResult {
    GateResult { gate, state: GateState::Open, evidence: evidence.into(), way_out: None }
}

fn closed(gate: Gate, evidence: impl Into<String>, way_out: impl Into<String>) -> GateResult {
    GateResult { gate, state: GateState::Closed, evidence: evidence.into(), way_out: Some(way_out.into()) }
}

fn unknown(gate: Gate, what: &str) -> GateResult {
    let evidence = format!("{what} could not be learned from GitHub");
    let way_out = "give the command again in a minute; if it stays so, the app may lack a permission".to_owned();
    GateResult { gate, state: GateState::Unknown, evidence, way_out: Some(way_out) }
}
