//! Workflow files of the repository, as far as they decide who gets a token.
//!
//! Guarantees: what is not understood is taken for the most that it could mean; the work is bounded as for
//! our own file.
//!
//! Source: GitHub Docs, "Workflow syntax for GitHub Actions".

use serde_json::{Map, Value};

use super::report::Report;
use super::tree;
use crate::model::{IdToken, JobEnvironment, Problems, PushReach, Workflow, WorkflowJob, WorkflowTrigger};

/// Reads a workflow; `path` is its place in the repository.
pub fn workflow(path: &str, bytes: &[u8]) -> Result<Workflow, Problems> {
    let mut report = Report::default();
    let read = tree::read_merged(bytes, &mut report);
    let document = match read {
        Some(document) if report.is_empty() => document,
        _ => return Err(report.finish(path)),
    };
    let whole = permission(document.value.get("permissions"));
    let jobs = document.value.get("jobs").and_then(Value::as_object);
    let jobs = jobs.into_iter().flatten().map(|(name, job)| self::job(name, job, whole));
    Ok(Workflow { path: path.to_owned(), triggers: triggers(&document.value), jobs: jobs.collect() })
}

fn job(name: &str, job: &Value, whole: Option<IdToken>) -> WorkflowJob {
    // What a job says of itself replaces what the file says of all. Where neither says anything, no default
    // of a repository gives a token.
    let token = permission(job.get("permissions")).or(whole).unwrap_or(IdToken::Never);
    WorkflowJob {
        name: name.to_owned(),
        token,
        environment: environment(job.get("environment")),
        uses: job.get("uses").and_then(Value::as_str).map(str::to_owned),
    }
}

/// What `permissions:` says; `None` where it is not there.
fn permission(value: Option<&Value>) -> Option<IdToken> {
    let is_write = match value? {
        Value::String(text) => text == "write-all",
        Value::Object(map) => map.get("id-token").and_then(Value::as_str) == Some("write"),
        _ => false,
    };
    Some(if is_write { IdToken::Write } else { IdToken::Never })
}

fn environment(value: Option<&Value>) -> JobEnvironment {
    let name = match value {
        Some(Value::Object(map)) => map.get("name"),
        other => other,
    };
    match name {
        None | Some(Value::Null) => JobEnvironment::None,
        Some(Value::String(text)) if text.contains("${{") => JobEnvironment::Computed(text.clone()),
        Some(Value::String(text)) => JobEnvironment::Named(text.clone()),
        Some(other) => JobEnvironment::Named(other.to_string()),
    }
}

/// `on:` as a word, a list or a mapping.
fn triggers(file: &Value) -> Vec<WorkflowTrigger> {
    let bare = |event: &str| trigger(event, &Value::Null);
    match on(file) {
        Some(Value::String(event)) => vec![bare(event)],
        Some(Value::Array(events)) => events.iter().filter_map(Value::as_str).map(bare).collect(),
        Some(Value::Object(events)) => events.iter().map(|(event, filter)| trigger(event, filter)).collect(),
        _ => Vec::new(),
    }
}

/// YAML 1.1 reads the bare word `on` as `true`, and so may a file that a program wrote.
fn on(file: &Value) -> Option<&Value> {
    ["on", "true", "True", "On", "ON"].iter().find_map(|key| file.get(*key))
}

fn trigger(event: &str, filter: &Value) -> WorkflowTrigger {
    let empty = Map::new();
    let filter = filter.as_object().unwrap_or(&empty);
    let has = |keys: [&str; 2]| keys.iter().any(|key| filter.contains_key(*key));
    let reach = match (has(["branches", "branches-ignore"]), has(["tags", "tags-ignore"])) {
        (true, true) => PushReach::Both,
        (true, false) => PushReach::Branches,
        (false, true) => PushReach::Tags,
        (false, false) => PushReach::Everything,
    };
    // Branches that are ignored leave all others.
    let branches = filter.get("branches").map(texts).unwrap_or_default();
    WorkflowTrigger { event: event.to_owned(), branches, reach }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Workflow {
        workflow(".github/workflows/x.yml", text.as_bytes()).expect("a workflow")
    }

    #[test]
    fn events_are_read_in_every_form() {
        let events = |text: &str| {
            let read = read(&format!("{text}\njobs: {{}}"));
            read.triggers.into_iter().map(|trigger| trigger.event).collect::<Vec<_>>()
        };
        for text in ["on: push", "on: [push]", "on: { push: {} }", "'on': push", "on:\n  push:", "\"on\": [push]"] {
            assert_eq!(events(text), ["push"], "{text}");
        }
        assert_eq!(events("on: [push, pull_request_target]"), ["push", "pull_request_target"]);
        assert!(events("name: x").is_empty());
        let push = |filter: &str| read(&format!("on: {{ push: {filter} }}\njobs: {{}}")).triggers.remove(0);
        assert_eq!(push("{ branches: [main, 'v*'] }").branches, ["main", "v*"]);
        assert_eq!(push("{ branches: main }").reach, PushReach::Branches);
        assert_eq!(push("{ tags: ['v*'] }").reach, PushReach::Tags);
        assert_eq!(push("{ branches-ignore: [x], tags: [v1] }").reach, PushReach::Both);
        assert_eq!(push("{ paths: [src/**] }").reach, PushReach::Everything);
    }

    #[test]
    fn a_job_gets_a_token_only_where_it_is_said() {
        let token = |whole: &str, own: &str| {
            read(&format!("on: push\n{whole}\njobs:\n  a:\n    runs-on: x\n    {own}\n")).jobs.remove(0).token
        };
        let (write, never) = (IdToken::Write, IdToken::Never);
        for (whole, own, expected) in [
            ("", "", never),
            ("permissions: { id-token: write }", "", write),
            ("permissions: write-all", "", write),
            ("permissions: read-all", "", never),
            ("permissions: { id-token: write }", "permissions: {}", never),
            ("permissions: { id-token: write }", "permissions: { contents: read }", never),
            ("permissions: {}", "permissions: { id-token: write, contents: read }", write),
            ("permissions: { id-token: none }", "permissions: write-all", write),
        ] {
            assert_eq!(token(whole, own), expected, "{whole} / {own}");
        }
    }

    #[test]
    fn environments_and_calls_are_read() {
        let job = |own: &str| read(&format!("on: push\njobs:\n  a: {{ {own} }}\n")).jobs.remove(0);
        assert_eq!(job("runs-on: x").environment, JobEnvironment::None);
        assert_eq!(job("environment: prod").environment, JobEnvironment::Named("prod".into()));
        let named = job("environment: { name: prod, url: 'https://x' }");
        assert_eq!(named.environment, JobEnvironment::Named("prod".into()));
        let computed = job("environment: '${{ inputs.stage }}'").environment;
        assert_eq!(computed, JobEnvironment::Computed("${{ inputs.stage }}".into()));
        assert_eq!(job("uses: ./.github/workflows/y.yml").uses.as_deref(), Some("./.github/workflows/y.yml"));
    }

    #[test]
    fn what_is_no_workflow_is_said_and_does_not_panic() {
        assert!(workflow("x.yml", b"\xff").is_err());
        assert!(workflow("x.yml", b"on: [").is_err());
        for odd in ["[]", "on: 1", "on: push\njobs: []", "on: push\njobs: { a: 1 }", "on: { push: 3 }\njobs: {a: null}"]
        {
            let read = workflow("x.yml", odd.as_bytes()).expect("YAML");
            assert!(read.jobs.iter().all(|job| job.token == IdToken::Never), "{odd}");
        }
    }
}
