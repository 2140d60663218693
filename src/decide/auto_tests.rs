//! The table of what a step of a workflow does, row by row.

use std::collections::BTreeMap;

use super::*;
use crate::model::{Actor, CommentEvent, CommentSource, CommitSha, RepoId, RepoName, RepoSeen, Timestamp, UserId};

fn repo() -> RepoName {
    RepoName::new("acme/shop").expect("a name")
}

fn sha() -> CommitSha {
    CommitSha::new("a".repeat(40)).expect("a sha")
}

fn seen(id: u64) -> RepoSeen {
    RepoSeen { id: RepoId(id), owner: UserId(8), name: repo() }
}

fn facts() -> RunFacts {
    let (event, branch) = ("pull_request".to_owned(), Some(Branch("main".into())));
    RunFacts { repo: seen(7), event, run: 99, attempt: 1, branch, pull: None, sha: Some(sha()) }
}

fn person() -> Actor {
    Actor { id: UserId(1), login: "ann".into(), kind: ActorKind::Person }
}

fn pull(action: PullRequestAction) -> Event {
    let (number, updated_at) = (PullNumber(42), Timestamp(0));
    Event::PullRequest { repo: repo(), number, action, head: sha(), actor: person(), updated_at }
}

fn push(after: Option<CommitSha>) -> Event {
    Event::Push(PushEvent { repo: repo(), branch: Branch("main".into()), after, actor: None })
}

fn comment(kind: ActorKind) -> CommentEvent {
    CommentEvent {
        repo: repo(),
        number: PullNumber(42),
        comment: 5,
        source: CommentSource::Issue,
        created_at: Timestamp(0),
        author: Actor { kind, ..person() },
        via_app: None,
        body: "/deploy".into(),
    }
}

fn granted(event: Event) -> Cause {
    Cause::Told(Box::new(event), Rights::AsGranted)
}

fn dispatch(words: &[(&str, &str)]) -> Cause {
    let words: BTreeMap<String, String> = words.iter().map(|(n, w)| ((*n).to_owned(), (*w).to_owned())).collect();
    Cause::Dispatch { words, branch: Some(Branch("topic".into())) }
}

fn wish(verb: &str, stage: &str) -> StepWish {
    let verb = StepVerb::of_word(verb).expect("a verb");
    let stage = (!stage.is_empty()).then(|| StageName::new(stage).expect("a stage"));
    StepWish { verb, stage, services: Vec::new(), effect: Effect::Done }
}

fn decide(wish: &StepWish, cause: Cause) -> Deed {
    auto(wish, &Occasion { repo: Some(seen(7)), cause }, &facts())
}

/// A deed in a few words.
fn short(deed: &Deed) -> String {
    let of = |target: &Target| match target {
        Target::PullRequest(number) => format!("pull {number}"),
        Target::Branch(branch) => format!("branch {}", branch.0),
        Target::Gone(_) => "gone".to_owned(),
        other => format!("{other:?}"),
    };
    match deed {
        Deed::Deliver(event) => match &**event {
            Event::PullRequest { action, .. } => format!("deliver {action:?}"),
            Event::Push(push) => format!("deliver push {} {}", push.branch.0, push.after.is_some()),
            Event::BranchDeleted { .. } => "deliver deleted".into(),
            Event::Comment(_) => "deliver comment".into(),
            other => format!("deliver {other:?}"),
        },
        Deed::Ask { stage, target } => format!("ask {stage} {}", of(target)),
        Deed::Clear(subject) => format!("clear {subject:?}"),
        Deed::Plan(deed) => format!("plan {}", short(deed)),
        Deed::Status { stage, subject } => {
            format!("status {} {}", stage.as_ref().map_or("-", StageName::as_str), subject.is_some())
        }
        Deed::Sweep => "sweep".into(),
        Deed::Check => "check".into(),
        Deed::Notice(_) => "notice".into(),
        Deed::Refuse(_) => "refuse".into(),
    }
}

fn rows(rows: Vec<(&str, &str, Cause, &str)>) {
    for (verb, stage, cause, expected) in rows {
        let said = format!("{verb} {stage} {cause:?}");
        assert_eq!(short(&decide(&wish(verb, stage), cause)), expected, "{said}");
    }
}

#[test]
fn an_event_does_what_the_table_says() {
    use PullRequestAction as Action;
    let quiet = || Cause::Quiet("a comment on an issue");
    let foreign = |name: &str| Cause::Foreign(name.into());
    let deleted = || granted(Event::BranchDeleted { repo: repo(), branch: Branch("main".into()) });
    let edited = Event::CommentEdited { comment: comment(ActorKind::Person), before: String::new() };
    rows(vec![
        ("auto", "", granted(pull(Action::Opened)), "deliver Opened"),
        ("auto", "", granted(pull(Action::Synchronize)), "deliver Synchronize"),
        ("auto", "", granted(pull(Action::Labeled)), "deliver Labeled"),
        ("auto", "", granted(pull(Action::ConvertedToDraft)), "deliver ConvertedToDraft"),
        ("auto", "", granted(pull(Action::Closed)), "deliver Closed"),
        ("auto", "", Cause::Told(Box::new(pull(Action::Opened)), Rights::ReadOfFork), "notice"),
        ("auto", "", Cause::Told(Box::new(pull(Action::Closed)), Rights::ReadOfFork), "notice"),
        ("auto", "", Cause::Told(Box::new(pull(Action::Opened)), Rights::ReadOfDependabot), "notice"),
        ("auto", "", granted(push(Some(sha()))), "deliver push main true"),
        ("auto", "", granted(push(None)), "deliver push main false"),
        ("auto", "prod", granted(push(Some(sha()))), "ask prod branch main"),
        ("auto", "prod", granted(push(None)), "notice"),
        ("auto", "", deleted(), "deliver deleted"),
        ("auto", "", granted(Event::Comment(comment(ActorKind::Person))), "deliver comment"),
        ("auto", "", granted(Event::Comment(comment(ActorKind::Bot))), "notice"),
        ("auto", "", granted(edited), "notice"),
        ("auto", "", quiet(), "notice"),
        ("auto", "", Cause::Review, "notice"),
        ("auto", "", Cause::Schedule, "sweep"),
        ("auto", "", foreign("pull_request_target"), "refuse"),
        ("auto", "", foreign("workflow_run"), "refuse"),
        ("auto", "", foreign("gollum"), "refuse"),
    ]);
}

#[test]
fn a_command_does_to_an_event_what_the_table_says() {
    use PullRequestAction as Action;
    let fork = || Cause::Told(Box::new(pull(Action::Opened)), Rights::ReadOfFork);
    let comment = || granted(Event::Comment(comment(ActorKind::Person)));
    let quiet = || Cause::Quiet("a push to something other than a branch");
    rows(vec![
        ("deploy", "", granted(pull(Action::Opened)), "deliver Opened"),
        ("deploy", "demo", granted(pull(Action::Opened)), "ask demo pull 42"),
        ("destroy", "", granted(pull(Action::Closed)), "clear PullRequest(PullNumber(42))"),
        ("destroy", "demo", granted(pull(Action::Closed)), "ask demo gone"),
        ("destroy", "", granted(push(Some(sha()))), "refuse"),
        ("destroy", "", granted(push(None)), "clear Branch(Branch(\"main\"))"),
        ("plan", "", granted(pull(Action::Opened)), "plan deliver Opened"),
        ("plan", "prod", granted(push(Some(sha()))), "plan ask prod branch main"),
        ("status", "", granted(pull(Action::Opened)), "status - true"),
        ("status", "prod", granted(pull(Action::Opened)), "status prod true"),
        ("sweep", "", granted(push(Some(sha()))), "sweep"),
        ("build", "", granted(push(Some(sha()))), "refuse"),
        ("deploy", "", comment(), "refuse"),
        ("destroy", "pr-42", comment(), "refuse"),
        ("plan", "", comment(), "refuse"),
        ("status", "", comment(), "status - true"),
        ("sweep", "", comment(), "sweep"),
        ("sweep", "", quiet(), "sweep"),
        ("deploy", "prod", quiet(), "notice"),
        ("deploy", "", Cause::Schedule, "deliver push main true"),
        ("deploy", "prod", Cause::Schedule, "ask prod branch main"),
        ("destroy", "prod", Cause::Schedule, "ask prod gone"),
        ("destroy", "", Cause::Schedule, "refuse"),
        ("status", "", Cause::Schedule, "status - false"),
    ]);
    // Nobody who may only read gets further by naming a command; reading a file is for everybody.
    for verb in ["auto", "deploy", "destroy", "plan", "status", "sweep", "build"] {
        rows(vec![
            (verb, "prod", fork(), "notice"),
            (verb, "prod", Cause::Review, "notice"),
            (verb, "prod", Cause::Foreign("pull_request_target".into()), "refuse"),
        ]);
    }
    rows(vec![("check", "", fork(), "check"), ("check", "", Cause::Foreign("gollum".into()), "check")]);
}

#[test]
fn a_dispatch_says_what_it_wants() {
    rows(vec![
        ("auto", "", dispatch(&[]), "deliver push topic true"),
        ("auto", "", dispatch(&[("stage", "prod")]), "ask prod branch topic"),
        ("auto", "", dispatch(&[("stage", "pr-7")]), "ask pr-7 pull 7"),
        ("auto", "", dispatch(&[("stage", "demo"), ("pull_request", "7")]), "ask demo pull 7"),
        ("auto", "", dispatch(&[("pull_request", "7")]), "refuse"),
        ("auto", "", dispatch(&[("command", "destroy"), ("pull_request", "7")]), "clear PullRequest(PullNumber(7))"),
        ("auto", "", dispatch(&[("command", "destroy"), ("stage", "pr-7")]), "ask pr-7 gone"),
        ("auto", "", dispatch(&[("command", "destroy")]), "refuse"),
        ("auto", "", dispatch(&[("command", "sweep")]), "sweep"),
        ("auto", "", dispatch(&[("command", "rm -rf")]), "refuse"),
        ("auto", "", dispatch(&[("stage", "../x")]), "refuse"),
        ("auto", "", dispatch(&[("pull_request", "x")]), "refuse"),
        ("auto", "", dispatch(&[("command", "status")]), "status - false"),
        // The step's own inputs count first.
        ("deploy", "staging", dispatch(&[("command", "destroy"), ("stage", "prod")]), "ask staging branch topic"),
    ]);
}

#[test]
fn an_event_file_that_lies_is_refused_whatever_is_asked() {
    let other = Occasion { repo: Some(seen(666)), cause: granted(pull(PullRequestAction::Opened)) };
    let own = Occasion { repo: Some(seen(7)), ..other.clone() };
    for verb in StepVerb::ALL {
        let deed = auto(&wish(verb.word(), ""), &other, &facts());
        assert!(matches!(&deed, Deed::Refuse(why) if why.contains("number 666")), "{verb:?}: {deed:?}");
        let elsewhere = RunFacts { pull: Some(PullNumber(41)), ..facts() };
        let deed = auto(&wish(verb.word(), ""), &own, &elsewhere);
        assert!(matches!(&deed, Deed::Refuse(why) if why.contains("pull request 41")), "{verb:?}: {deed:?}");
    }
    let renamed = RepoSeen { name: RepoName::new("acme/store").expect("a name"), ..seen(7) };
    let renamed = Occasion { repo: Some(renamed), ..other };
    let same = RunFacts { pull: Some(PullNumber(42)), ..facts() };
    assert_eq!(short(&auto(&wish("auto", ""), &renamed, &same)), "deliver Opened");
}

#[test]
fn what_is_only_shown_is_planned() {
    let dry = |verb: &str, stage: &str, cause| {
        short(&decide(&StepWish { effect: Effect::Shown, ..wish(verb, stage) }, cause))
    };
    assert_eq!(dry("auto", "", granted(pull(PullRequestAction::Opened))), "plan deliver Opened");
    assert_eq!(dry("deploy", "prod", granted(push(Some(sha())))), "plan ask prod branch main");
    assert_eq!(dry("destroy", "prod", dispatch(&[])), "plan ask prod gone");
    assert_eq!(dry("auto", "", Cause::Schedule), "notice");
    assert_eq!(dry("auto", "", granted(Event::Comment(comment(ActorKind::Person)))), "notice");
    assert_eq!(dry("plan", "", granted(pull(PullRequestAction::Opened))), "plan deliver Opened");
}

#[test]
fn a_name_of_an_event_is_said_without_what_it_could_carry() {
    let deed = decide(&wish("auto", ""), Cause::Foreign("x\n::error::y".into()));
    let Deed::Refuse(why) = deed else { panic!("{deed:?}") };
    assert!(why.contains("\"xerrory\"") && !why.contains('\n') && !why.contains("::"), "{why}");
}

#[test]
fn another_attempt_is_another_delivery_and_the_same_step_is_not() {
    let deed = decide(&wish("auto", ""), granted(pull(PullRequestAction::Opened)));
    let first = delivery_parts(&facts(), &deed);
    assert_eq!(first, delivery_parts(&facts(), &deed));
    assert_ne!(first, delivery_parts(&RunFacts { attempt: 2, ..facts() }, &deed));
    let other = decide(&wish("auto", "demo"), granted(pull(PullRequestAction::Opened)));
    assert_ne!(first.told(), delivery_parts(&facts(), &other).told());
}
