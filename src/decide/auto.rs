//! What a step of a workflow does: one table over the event, the input `command` and what the runner says.
//!
//! # Guarantees
//!
//! - An event file that speaks of another repository or pull request than the run's own is refused, whatever
//!   was asked.
//! - A run whose token may only read is told so and does nothing; what a comment may is never decided here.
//! - `pull_request_target` and what else runs with rights for code of strangers is refused.

use super::deed::{Deed, DeliveryParts};
use crate::model::{
    ActorKind, Branch, Cause, Effect, Event, GoneReason, Occasion, PullNumber, PullRequestAction, PushEvent, Rights,
    RunFacts, StageName, StepVerb, StepWish, Subject, Target,
};

/// Events for which there is a reason of their own.
const FOREIGN: [(&str, &str); 5] = [
    (
        "pull_request_target",
        "it runs with the rights of the default branch for what strangers send: use `pull_request`, and \
         `issue_comment` for `/approve` on what comes from forks",
    ),
    (
        "workflow_run",
        "it runs with the rights of the default branch for what another workflow left: use `push` or `pull_request`",
    ),
    ("merge_group", "a merge queue's commit is on no branch of yours yet: the push that follows deploys it"),
    ("deployment", "deployments are what this step makes: a workflow on them would call itself"),
    ("deployment_status", "deployments are what this step makes: a workflow on them would call itself"),
];

const COMMENT_INSTEAD: &str = "a review's workflow is read from the pull request itself, so it commands nothing: \
                               write the command as a comment in the conversation instead";

/// Decides what a step does.
pub fn auto(wish: &StepWish, occasion: &Occasion, facts: &RunFacts) -> Deed {
    if let Some(lie) = lie(occasion, facts) {
        return Deed::Refuse(lie);
    }
    if wish.verb == StepVerb::Check {
        return Deed::Check;
    }
    let deed = match &occasion.cause {
        Cause::Foreign(name) => return Deed::Refuse(foreign(name)),
        Cause::Review => return Deed::Notice(COMMENT_INSTEAD.into()),
        Cause::Told(event, Rights::ReadOfFork) => return Deed::Notice(of_stranger(event, "comes from a fork")),
        Cause::Told(event, Rights::ReadOfDependabot) => {
            return Deed::Notice(of_stranger(event, "was changed by Dependabot"));
        }
        Cause::Quiet(why) => match wish.verb {
            StepVerb::Sweep | StepVerb::Status => explicit(wish, None),
            _ => return Deed::Notice(format!("nothing to do for this event: {why}")),
        },
        Cause::Told(event, Rights::AsGranted) => told(wish, event),
        Cause::Schedule => scheduled(wish, facts),
        Cause::Dispatch { words, branch } => match worded(wish, words, branch.as_ref().or(facts.branch.as_ref())) {
            Ok((wish, followed)) => return shown(wish.effect, dispatched(&wish, followed.as_ref(), facts)),
            Err(why) => return Deed::Refuse(why),
        },
    };
    shown(wish.effect, deed)
}

/// What the event file says that the runner does not.
fn lie(occasion: &Occasion, facts: &RunFacts) -> Option<String> {
    let own = &facts.repo;
    // The number is what it is; the name may have changed between two attempts of a run.
    if let Some(told) = occasion.repo.as_ref().filter(|told| told.id != own.id) {
        return Some(format!(
            "the event file speaks of {} (number {}), and this run is one of {} (number {}): nothing is done",
            told.name, told.id, own.name, own.id
        ));
    }
    let Cause::Told(event, _) = &occasion.cause else { return None };
    let Event::PullRequest { number, .. } = &**event else { return None };
    let other = facts.pull.filter(|pull| pull != number)?;
    Some(format!(
        "the event file speaks of pull request {number}, and this run is one of pull request {other}: nothing is done"
    ))
}

fn foreign(name: &str) -> String {
    let why = FOREIGN.iter().find(|(known, _)| *known == name).map_or(
        "no stage follows it: use `pull_request`, `push`, `delete`, `issue_comment`, `schedule`, \
         `workflow_dispatch` or `repository_dispatch`",
        |(_, why)| why,
    );
    // The name is the runner's, but whoever writes the file may write another.
    let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
    format!("the event {plain:?} is not for this step: {why}")
}

fn of_stranger(event: &Event, which: &str) -> String {
    let (number, is_closed) = match event {
        Event::PullRequest { number, action, .. } => (*number, *action == PullRequestAction::Closed),
        _ => (PullNumber(0), false),
    };
    let head = format!("pull request {number} {which}, and this run may only read");
    if is_closed {
        return format!("{head}: what it left is taken away by the next scheduled run, or by `/destroy` in a comment");
    }
    format!(
        "{head}: nothing is deployed from here. Somebody who may comments `/approve <commit>` on it, and the workflow \
         of comments goes on"
    )
}

/// What a webhook would have told as well.
fn told(wish: &StepWish, event: &Event) -> Deed {
    match event {
        Event::Comment(comment) => match wish.verb {
            StepVerb::Auto if comment.author.kind == ActorKind::Bot => {
                Deed::Notice("the comment is a program's, and programs command nothing".into())
            }
            StepVerb::Auto => Deed::Deliver(Box::new(event.clone())),
            StepVerb::Sweep | StepVerb::Status => {
                explicit(wish, Some(Followed::of(Subject::PullRequest(comment.number))))
            }
            verb => Deed::Refuse(format!(
                "`command: {}` on a comment would let anybody who comments do it: leave it at `auto`, which reads the \
                 comment and asks who may",
                verb.word()
            )),
        },
        Event::CommentEdited { .. } => Deed::Notice("an edited comment runs nothing: write a new one".into()),
        Event::PullRequest { number, .. } => {
            by_subject(wish, event, Followed::of(Subject::PullRequest(*number)), Lasting::No)
        }
        Event::Push(PushEvent { branch, after, .. }) => {
            let lasting = if after.is_some() { Lasting::Yes } else { Lasting::No };
            by_subject(wish, event, Followed::of(Subject::Branch(branch.clone())), lasting)
        }
        Event::BranchDeleted { branch, .. } => {
            by_subject(wish, event, Followed::of(Subject::Branch(branch.clone())), Lasting::No)
        }
        Event::InstallationChanged
        | Event::RepositoryDeleted { .. }
        | Event::Reconcile { .. }
        | Event::RunMoved { .. }
        | Event::Requested { .. } => Deed::Notice("nothing to do for this event".into()),
    }
}

/// Whom a run follows when nothing else is said.
#[derive(Debug, Clone)]
struct Followed(Subject);

impl Followed {
    fn of(subject: Subject) -> Self {
        Self(subject)
    }

    fn target(&self) -> Target {
        match &self.0 {
            Subject::PullRequest(number) => Target::PullRequest(*number),
            Subject::Branch(branch) => Target::Branch(branch.clone()),
        }
    }
}

/// Whether what is followed is there after the event, so that a stage that nobody named must not go for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    Yes,
    No,
}

fn by_subject(wish: &StepWish, event: &Event, followed: Followed, lasting: Lasting) -> Deed {
    match (wish.verb, &wish.stage) {
        (StepVerb::Auto | StepVerb::Deploy | StepVerb::Plan, Some(stage)) => {
            if matches!(event, Event::BranchDeleted { .. } | Event::Push(PushEvent { after: None, .. })) {
                return Deed::Notice("the branch was deleted: there is nothing to deploy from it".into());
            }
            plan_or(wish, Deed::Ask { stage: stage.clone(), target: followed.target() })
        }
        (StepVerb::Auto | StepVerb::Deploy | StepVerb::Plan, None) => {
            plan_or(wish, Deed::Deliver(Box::new(event.clone())))
        }
        (StepVerb::Destroy, None) if lasting == Lasting::Yes => Deed::Refuse(name_a_stage("destroy")),
        (StepVerb::Destroy, None) => Deed::Clear(followed.0),
        _ => explicit(wish, Some(followed)),
    }
}

/// What needs no event.
fn explicit(wish: &StepWish, followed: Option<Followed>) -> Deed {
    match (wish.verb, &wish.stage) {
        (StepVerb::Sweep, _) => Deed::Sweep,
        (StepVerb::Status, stage) => Deed::Status { stage: stage.clone(), subject: followed.map(|whose| whose.0) },
        (StepVerb::Destroy, Some(stage)) => {
            Deed::Ask { stage: stage.clone(), target: Target::Gone(GoneReason::Requested) }
        }
        (StepVerb::Check, _) => Deed::Check,
        (StepVerb::Build, _) => Deed::Refuse(
            "`command: build` builds nothing by itself: a deploy builds what it needs, and `builder: actions` in \
             greenroom.yml builds on runners of its own"
                .into(),
        ),
        (StepVerb::Auto | StepVerb::Deploy | StepVerb::Plan | StepVerb::Destroy, _) => {
            Deed::Refuse(name_a_stage(wish.verb.word()))
        }
    }
}

fn name_a_stage(verb: &str) -> String {
    format!("`command: {verb}` does not say of which stage: name it with the input `stage`")
}

fn plan_or(wish: &StepWish, deed: Deed) -> Deed {
    if wish.verb == StepVerb::Plan { Deed::Plan(Box::new(deed)) } else { deed }
}

fn scheduled(wish: &StepWish, facts: &RunFacts) -> Deed {
    match wish.verb {
        StepVerb::Auto => Deed::Sweep,
        _ => by_hand(wish, facts.branch.clone().map(|branch| Followed::of(Subject::Branch(branch))), facts),
    }
}

fn dispatched(wish: &StepWish, followed: Option<&Followed>, facts: &RunFacts) -> Deed {
    by_hand(wish, followed.cloned(), facts)
}

/// Somebody says what to do: to the stage that is named, or to that of the branch.
fn by_hand(wish: &StepWish, followed: Option<Followed>, facts: &RunFacts) -> Deed {
    match (wish.verb, &wish.stage, followed) {
        (StepVerb::Auto | StepVerb::Deploy | StepVerb::Plan, Some(stage), followed) => {
            let target = of_name(stage).map(Target::PullRequest).or(followed.map(|whose| whose.target()));
            match target {
                Some(target) => plan_or(wish, Deed::Ask { stage: stage.clone(), target }),
                None => Deed::Refuse(format!("run it on a branch: what {stage} should run is the head of one")),
            }
        }
        (StepVerb::Auto | StepVerb::Deploy | StepVerb::Plan, None, Some(Followed(Subject::Branch(branch)))) => {
            // A bell: what the branch is at is asked when its stage's turn comes.
            let push = PushEvent { repo: facts.repo.name.clone(), branch, after: facts.sha.clone(), actor: None };
            if push.after.is_none() {
                return Deed::Refuse("the runner does not say at which commit this run is (GITHUB_SHA)".into());
            }
            plan_or(wish, Deed::Deliver(Box::new(Event::Push(push))))
        }
        (StepVerb::Destroy, None, Some(Followed(Subject::PullRequest(number)))) => {
            Deed::Clear(Subject::PullRequest(number))
        }
        (StepVerb::Status, None, _) => explicit(wish, None),
        (_, _, followed) => explicit(wish, followed),
    }
}

/// The pull request that a stage is usually named for: `pr-42`.
fn of_name(stage: &StageName) -> Option<PullNumber> {
    stage.as_str().strip_prefix("pr-")?.parse().ok().map(PullNumber)
}

type Words = std::collections::BTreeMap<String, String>;

/// The wish with what a dispatch says, where the step's own inputs leave it open.
fn worded(wish: &StepWish, words: &Words, branch: Option<&Branch>) -> Result<(StepWish, Option<Followed>), String> {
    let given = |name: &str| words.get(name).map(|word| word.trim()).filter(|word| !word.is_empty());
    let mut wish = wish.clone();
    if let (StepVerb::Auto, Some(word)) = (wish.verb, given("command")) {
        wish.verb = StepVerb::of_word(word).ok_or_else(|| {
            let known: Vec<&str> = StepVerb::ALL.into_iter().map(StepVerb::word).collect();
            format!("the dispatch's `command` is none of {}", known.join(", "))
        })?;
    }
    if let (None, Some(word)) = (&wish.stage, given("stage")) {
        wish.stage = Some(StageName::new(word).map_err(|error| format!("the dispatch's `stage`: {error}"))?);
    }
    let subject = match given("pull_request") {
        Some(word) => {
            let number = word.parse().map_err(|_| "the dispatch's `pull_request` is no number".to_owned())?;
            Some(Subject::PullRequest(PullNumber(number)))
        }
        None => branch.cloned().map(Subject::Branch),
    };
    if let (None, Some(Subject::PullRequest(number))) = (&wish.stage, &subject)
        && matches!(wish.verb, StepVerb::Auto | StepVerb::Deploy | StepVerb::Plan)
    {
        return Err(format!("the dispatch names pull request {number} and no stage: give `stage` too"));
    }
    Ok((wish, subject.map(Followed::of)))
}

/// What is only shown is planned by the planner that would carry it out.
fn shown(effect: Effect, deed: Deed) -> Deed {
    match (effect, deed) {
        (Effect::Shown, deed @ (Deed::Ask { .. } | Deed::Clear(_))) => Deed::Plan(Box::new(deed)),
        (Effect::Shown, Deed::Deliver(event)) => match *event {
            Event::Comment(_) => {
                Deed::Notice("a comment's commands have no dry run: `/plan` is the command for it".into())
            }
            event => Deed::Plan(Box::new(Deed::Deliver(Box::new(event)))),
        },
        (Effect::Shown, Deed::Sweep) => {
            Deed::Notice("a sweep has no dry run in a workflow: `greenroom sweep` shows what it would do".into())
        }
        (_, deed) => deed,
    }
}

/// What the id of a run's delivery is made of: another attempt is news, the same step once more is not.
pub fn delivery_parts(facts: &RunFacts, deed: &Deed) -> DeliveryParts {
    let wish = match deed {
        Deed::Deliver(_) => "event".to_owned(),
        Deed::Ask { stage, target } => format!("ask {stage} {target:?}"),
        Deed::Clear(subject) => format!("clear {subject:?}"),
        Deed::Sweep => "sweep".to_owned(),
        Deed::Plan(_) | Deed::Status { .. } | Deed::Check | Deed::Notice(_) | Deed::Refuse(_) => String::new(),
    };
    DeliveryParts { run: facts.run, attempt: facts.attempt, event: facts.event.clone(), wish }
}

#[cfg(test)]
#[path = "auto_tests.rs"]
mod tests;
