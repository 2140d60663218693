//! Every event of every workflow against every role: who could become what.

use std::collections::BTreeSet;

use serde::Serialize;

use super::event::{At, Case, cases, tokens};
use super::trust::{Door, Trust};
use crate::model::{Claims, IdToken, JobEnvironment, RepoIdentity, Workflow, WorkflowJob, WorkflowTrigger};

/// How deep workflows may call each other. Source: GitHub Docs, "Reuse workflows": ten levels.
const DEPTH: usize = 10;
/// Jobs of one file with all that it calls. Source: GitHub Docs, "Usage limits": 256 from a matrix, and no file
/// of ours has a thousand.
const MOST_JOBS: usize = 1_000;

/// Said of an expression.
const COMPUTED: &str = "its environment is only known when it runs";

/// Said of builds that anybody with a branch may start.
const ANY_STARTER: &str = "pushes what whoever started it asks for: `--build-actor` names the only account that may";

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedRow {
    /// The file's name; of a job that another workflow calls, that one's first: `ci.yml > deploy.yml`.
    pub workflow: String,
    pub job: String,
    pub event: String,
    pub who: String,
    /// The ends of the names of the roles that it may become.
    pub may: Vec<String>,
    /// Why it may none, or what to look at.
    pub note: String,
    /// It may what it should not.
    pub is_unwanted: bool,
}

/// A job in the place where it runs.
struct Running<'a> {
    workflow: String,
    /// Whose code it is, as `job_workflow_ref` begins.
    file: String,
    job: &'a WorkflowJob,
    token: IdToken,
}

/// Who could become what. Workflows of other repositories have another `repository_id` and are let in
/// nowhere; a workflow of ours that they call runs as theirs.
pub fn explain(workflows: &[Workflow], trusts: &[Trust], repo: &RepoIdentity) -> Vec<ExplainedRow> {
    let mut rows = Vec::new();
    for workflow in workflows {
        for trigger in &workflow.triggers {
            for running in jobs(workflows, workflow, repo) {
                rows.extend(cases(trigger, repo).iter().map(|case| row(trigger, case, &running, trusts, repo)));
            }
        }
    }
    rows
}

/// The jobs that a workflow runs, those of the workflows that it calls among them.
fn jobs<'a>(all: &'a [Workflow], workflow: &'a Workflow, repo: &RepoIdentity) -> Vec<Running<'a>> {
    let mut found = Vec::new();
    let mut open = vec![(workflow, short(&workflow.path), IdToken::Write, 0)];
    while let Some((workflow, name, most, depth)) = open.pop() {
        if found.len() + open.len() > MOST_JOBS {
            break;
        }
        for job in &workflow.jobs {
            // Who is called gets no more than the caller has.
            let token = job.token.min(most);
            let own = format!("{}/{}", repo.spelling, workflow.path);
            let called = job.uses.as_deref().and_then(|uses| local(all, uses));
            match (called, &job.uses) {
                (Some(called), _) if depth < DEPTH => {
                    open.push((called, format!("{name} > {}", short(&called.path)), token, depth + 1));
                }
                (_, Some(uses)) => found.push(Running { workflow: name.clone(), file: uses.clone(), job, token }),
                (_, None) => found.push(Running { workflow: name.clone(), file: own, job, token }),
            }
        }
    }
    found
}

/// The workflow of this repository that is called. By a ref of its own it is another text, of which nothing
/// is known here but its name.
fn local<'a>(all: &'a [Workflow], uses: &str) -> Option<&'a Workflow> {
    let path = uses.strip_prefix("./")?;
    all.iter().find(|workflow| workflow.path == path)
}

fn short(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn row(
    trigger: &WorkflowTrigger,
    case: &Case,
    running: &Running<'_>,
    trusts: &[Trust],
    repo: &RepoIdentity,
) -> ExplainedRow {
    let event = if case.what.is_empty() { trigger.event.clone() } else { format!("{} ({})", trigger.event, case.what) };
    let environment = environment(running);
    let may = doors(case, running, &environment, trusts, repo);
    let unwanted: Vec<&Door> = may.iter().filter(|door| !is_meant(door, trigger, case)).copied().collect();
    let (note, is_unwanted) = note(trigger, case, running, &environment, &may, &unwanted);
    ExplainedRow {
        workflow: running.workflow.clone(),
        job: running.job.name.clone(),
        event,
        who: case.who.to_owned(),
        may: may.iter().map(|door| door.suffix()).collect(),
        note,
        is_unwanted,
    }
}

fn is_meant(door: &Door, trigger: &WorkflowTrigger, case: &Case) -> bool {
    door.events().contains(&trigger.event.as_str()) && !matches!(case.at, At::PullOrRef(_))
}

/// Of a workflow that lies elsewhere nothing is known: it may stand in any environment.
fn environment(running: &Running<'_>) -> JobEnvironment {
    match &running.job.uses {
        Some(uses) => JobEnvironment::Computed(uses.clone()),
        None => running.job.environment.clone(),
    }
}

/// The roles that some token of the job is let in by.
fn doors<'t>(
    case: &Case,
    running: &Running<'_>,
    environment: &JobEnvironment,
    trusts: &'t [Trust],
    repo: &RepoIdentity,
) -> Vec<&'t Door> {
    if running.token == IdToken::Never {
        return Vec::new();
    }
    let known = trusts.iter().filter_map(|trust| trust.claims.get("environment")).flatten();
    let known: BTreeSet<String> = known.cloned().collect();
    let known: Vec<String> = known.into_iter().collect();
    let mut tokens = tokens(&case.at, &running.file, environment, &known, repo);
    // Any other branch may be the one that a stage follows.
    let followed = trusts.iter().filter_map(|trust| match &trust.door {
        Door::Permanent { branch, .. } if *branch != repo.default_branch => Some(format!("refs/heads/{}", branch.0)),
        _ => None,
    });
    if matches!(&case.at, At::Ref(at) if at == "refs/heads/<another>") {
        for branch in followed {
            tokens.extend(super::event::tokens(&At::Ref(branch), &running.file, environment, &known, repo));
        }
    }
    let lets = |trust: &&Trust| tokens.iter().any(|token| lets(trust, token));
    trusts.iter().filter(lets).map(|trust| &trust.door).collect()
}

/// Whether the role lets the token in, whoever started it: an account's number is known to nobody here.
fn lets(trust: &Trust, token: &Claims) -> bool {
    trust.against(token).iter().all(|mismatch| mismatch.claim == "actor_id")
}

fn note(
    trigger: &WorkflowTrigger,
    case: &Case,
    running: &Running<'_>,
    environment: &JobEnvironment,
    may: &[&Door],
    unwanted: &[&Door],
) -> (String, bool) {
    let has_token = running.token == IdToken::Write;
    if !has_token {
        return ("no token: its job has no `id-token: write`".to_owned(), false);
    }
    if case.at == At::NoToken {
        let text = "no token: GitHub gives forks none, unless a private repository sends them write tokens";
        return (text.to_owned(), false);
    }
    if trigger.event == "pull_request_target" {
        let text =
            "a stranger's pull request starts it with this repository's rights: take `id-token: write` out of it";
        return (text.to_owned(), true);
    }
    if let Some(door) = unwanted.first() {
        return (format!("the role `{}` is not for this event: take `id-token: write` out of it", door.suffix()), true);
    }
    let build = may.iter().find_map(|door| match door {
        Door::Build { actor } => Some(*actor),
        _ => None,
    });
    match build {
        Some(Some(actor)) => return (format!("in runs of the account {actor} alone"), false),
        Some(None) => return (ANY_STARTER.to_owned(), false),
        None => {}
    }
    match environment {
        JobEnvironment::Computed(text) if !may.is_empty() => {
            let what = if running.job.uses.is_some() { "what it calls may stand in any environment" } else { COMPUTED };
            (format!("{what}: {text}"), false)
        }
        _ if may.is_empty() => ("no role asks for such a token".to_owned(), false),
        _ => (String::new(), false),
    }
}
