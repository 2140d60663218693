//! What a person may do here: the gates about people, asked for every command and stage.

use crate::model::{
    Force, Gate, GateState, LockScope, Offer, Project, PullNumber, StageName, StagePattern, Timestamp, Verb, Withheld,
};

use super::{Ask, Caller, Case, Facts, stage_of};

/// Every command but help, with the stages on which the caller may give it: the pull request's own
/// and the permanent ones. Locks, checks and the like are not looked at.
pub fn offers(project: &Project, caller: &Caller, pull: Option<PullNumber>) -> Vec<Offer> {
    let facts = Facts::of(caller.clone(), Timestamp::default());
    let ask = |verb, place| Ask { verb, place, from: None, pull, sha: None, force: Force::Respect };
    let own = stage_of(&ask(Verb::Status, LockScope::Own), project);
    let named = project.stages.iter().filter_map(|rule| match &rule.pattern {
        StagePattern::Named(name) => Some(name.clone()),
        StagePattern::PullRequest { .. } | StagePattern::Branch { .. } => None,
    });
    let stages: Vec<StageName> = own.into_iter().chain(named).collect();
    let verbs = Verb::ALL.into_iter().filter(|verb| *verb != Verb::Help);
    let offer = |verb| {
        let mut offer = Offer { verb, stages: Vec::new(), withheld: Vec::new() };
        for stage in &stages {
            let ask = ask(verb, LockScope::Stage(stage.clone()));
            let case = Case::new(&ask, project);
            let gates =
                case.gates().into_iter().filter(|gate| matches!(gate, Gate::Person | Gate::Who | Gate::Protection));
            let shut = gates.map(|gate| case.judge(gate, &facts)).find(|result| result.state != GateState::Open);
            match shut {
                None => offer.stages.push(stage.clone()),
                Some(shut) => {
                    offer.withheld.push(Withheld { stage: stage.clone(), way_out: shut.way_out.unwrap_or_default() });
                }
            }
        }
        offer
    };
    verbs.map(offer).collect()
}
