//! What the token of a job says, by the event that started it.
//!
//! Source: GitHub Docs, "Events that trigger workflows" for the ref of each event, "OpenID Connect
//! reference" for the claims.

use std::collections::BTreeMap;

use crate::model::{AUDIENCE, Branch, BranchPattern, Claims, JobEnvironment, PushReach, RepoIdentity, WorkflowTrigger};

/// One way in which an event starts a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    /// Behind the event's name: `fork`, `another branch`.
    pub(super) what: &'static str,
    /// Who can bring it about.
    pub(super) who: &'static str,
    pub(super) at: At,
}

/// Where a job runs, which decides its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// GitHub gives the job no token.
    NoToken,
    /// The merge of a pull request.
    Pull,
    Ref(String),
    /// Which of two, GitHub's pages do not say.
    PullOrRef(String),
}

const WRITERS: &str = "whoever may push";
const ANYBODY: &str = "anybody";

/// Every way in which the trigger starts a job.
pub(super) fn cases(trigger: &WorkflowTrigger, repo: &RepoIdentity) -> Vec<Case> {
    let main = || At::Ref(format!("refs/heads/{}", repo.default_branch.0));
    let other = || At::Ref("refs/heads/<another>".to_owned());
    let tag = || At::Ref("refs/tags/<any>".to_owned());
    let case = |what, who, at| Case { what, who, at };
    match trigger.event.as_str() {
        "pull_request" | "pull_request_review" | "pull_request_review_comment" => {
            vec![case("", WRITERS, At::Pull), case("from a fork", ANYBODY, At::NoToken)]
        }
        "pull_request_target" => {
            let At::Ref(main) = main() else { return Vec::new() };
            vec![case("forks included", ANYBODY, At::PullOrRef(main))]
        }
        "push" => pushes(trigger, &repo.default_branch),
        "workflow_dispatch" => {
            vec![case("default branch", WRITERS, main()), case("another branch", WRITERS, other())]
        }
        "deployment" | "deployment_status" => {
            vec![case("default branch", WRITERS, main()), case("another ref", WRITERS, other())]
        }
        "create" => vec![case("a branch", WRITERS, other()), case("a tag", WRITERS, tag())],
        "release" | "registry_package" => vec![case("a tag", WRITERS, tag())],
        "merge_group" => {
            vec![case("", WRITERS, At::Ref(format!("refs/heads/gh-readonly-queue/{}/<any>", repo.default_branch.0)))]
        }
        "schedule" => vec![case("", "GitHub's clock", main())],
        "workflow_run" => vec![case("after any run, forks' included", ANYBODY, main())],
        "issue_comment" | "issues" | "discussion" | "discussion_comment" | "fork" | "watch" | "gollum" => {
            vec![case("", ANYBODY, main())]
        }
        // Runs as a part of whoever calls it.
        "workflow_call" => Vec::new(),
        _ => vec![case("", WRITERS, main())],
    }
}

fn pushes(trigger: &WorkflowTrigger, default: &Branch) -> Vec<Case> {
    let mut all = Vec::new();
    let case = |what, at: String| Case { what, who: WRITERS, at: At::Ref(at) };
    let matches = |pattern: &String| BranchPattern(pattern.replace("**", "*")).matches(default);
    let wanted: Vec<&String> = trigger.branches.iter().filter(|pattern| !pattern.starts_with('!')).collect();
    if trigger.reach != PushReach::Tags {
        if wanted.is_empty() || wanted.iter().any(|pattern| matches(pattern)) {
            all.push(case("default branch", format!("refs/heads/{}", default.0)));
        }
        for pattern in &wanted {
            if !pattern.contains(['*', '?', '+', '[']) && **pattern != default.0 {
                all.push(case("a named branch", format!("refs/heads/{pattern}")));
            }
        }
        if wanted.is_empty() || wanted.iter().any(|pattern| pattern.contains(['*', '?', '+', '['])) {
            all.push(case("another branch", "refs/heads/<another>".to_owned()));
        }
    }
    if trigger.reach == PushReach::Tags || trigger.reach == PushReach::Both || trigger.reach == PushReach::Everything {
        all.push(case("a tag", "refs/tags/<any>".to_owned()));
    }
    all
}

/// Every token that a job may get there. `file` is whose code the job is, `owner/name/path`; one that was
/// called from elsewhere has its `@ref` with it. `environments` are those that an expression may come to.
pub(super) fn tokens(
    at: &At,
    file: &str,
    environment: &JobEnvironment,
    environments: &[String],
    repo: &RepoIdentity,
) -> Vec<Claims> {
    let merge = "refs/pull/<number>/merge".to_owned();
    let places: Vec<(String, String)> = match at {
        At::NoToken => Vec::new(),
        At::Pull => vec![(merge, "pull_request".to_owned())],
        At::Ref(at) => vec![(at.clone(), format!("ref:{at}"))],
        At::PullOrRef(at) => {
            vec![(at.clone(), format!("ref:{at}")), (at.clone(), "pull_request".to_owned())]
        }
    };
    let named: Vec<Option<&String>> = match environment {
        JobEnvironment::None => vec![None],
        JobEnvironment::Named(name) => vec![Some(name)],
        JobEnvironment::Computed(_) => environments.iter().map(Some).chain([None]).collect(),
    };
    let mut all = Vec::new();
    for (at, context) in &places {
        for name in &named {
            for subject in repo.subjects() {
                let context = name.map_or_else(|| context.clone(), |name| format!("environment:{}", escaped(name)));
                let workflow = match file.split_once('@') {
                    Some((path, named)) if !named.starts_with("refs/") => format!("{path}@refs/heads/{named}"),
                    Some(_) => file.to_owned(),
                    None => format!("{file}@{at}"),
                };
                let mut claims = BTreeMap::from([
                    ("aud", AUDIENCE.to_owned()),
                    ("sub", format!("{subject}:{context}")),
                    ("ref", at.clone()),
                    ("job_workflow_ref", workflow),
                    ("repository", repo.spelling.clone()),
                    ("repository_id", repo.id.to_string()),
                ]);
                claims.extend(name.map(|name| ("environment", name.clone())));
                all.push(Claims(claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()));
            }
        }
    }
    all
}

/// Source: GitHub Docs, "OpenID Connect reference": a colon in an environment's name is written `%3A`.
fn escaped(environment: &str) -> String {
    environment.replace(':', "%3A")
}
