//! What GitHub puts into the event file of a workflow run, and what it says of it by the environment.

use greenroom::model::RepoName;
use greenroom::sandbox::{HookDelivery, Sandbox};
use serde_json::{Value, json};

use crate::openapi::Description;

/// The branch that every repository of the sandbox begins with.
const DEFAULT_BRANCH: &str = "main";

/// Something that starts workflows.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// `pull_request`
    pub(crate) name: String,
    /// What the event file holds.
    pub(crate) body: Value,
}

impl Event {
    /// What GitHub tells a webhook, told to a workflow: the same, without the installation that it was told by.
    pub(crate) fn sent(delivery: &HookDelivery) -> Self {
        let mut body: Value = serde_json::from_slice(&delivery.body).expect("JSON");
        let problems = Description::load().webhook_problems(&delivery.event, delivery.action.as_deref(), &body);
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        if let Some(fields) = body.as_object_mut() {
            fields.remove("installation");
        }
        Self { name: delivery.event.clone(), body }
    }

    /// GitHub documents no body for it; the line of the schedule is all that can be relied on.
    pub(crate) fn schedule(line: &str) -> Self {
        Self { name: "schedule".into(), body: json!({ "schedule": line }) }
    }

    /// Somebody starts a workflow by hand, in the repository that this event was in.
    pub(crate) fn dispatch(file: &str, inputs: &Value, elsewhere: &Self) -> Self {
        let mut body = json!({
            "inputs": inputs,
            "ref": format!("refs/heads/{DEFAULT_BRANCH}"),
            "workflow": format!(".github/workflows/{file}"),
        });
        for field in ["repository", "organization", "sender"] {
            // A person's repository has no organization.
            if let Some(value) = elsewhere.body.get(field) {
                body[field] = value.clone();
            }
        }
        let problems = Description::load().webhook_problems("workflow_dispatch", None, &body);
        assert!(problems.is_empty(), "{}", problems.join("\n"));
        Self { name: "workflow_dispatch".into(), body }
    }

    /// `opened`
    pub(crate) fn action(&self) -> Option<&str> {
        self.body["action"].as_str()
    }

    /// What was pushed to.
    pub(crate) fn branch(&self) -> Option<&str> {
        self.body["ref"].as_str().and_then(|reference| reference.strip_prefix("refs/heads/"))
    }

    /// Whoever caused it.
    pub(crate) fn actor(&self) -> &str {
        self.body["sender"]["login"].as_str().unwrap_or("github-actions[bot]")
    }

    /// Whether the head of the pull request lies in another repository. Source of what follows from it: GitHub,
    /// "Workflows in forked repositories": no secrets, no identity tokens, and a token that reads.
    pub(crate) fn is_of_a_fork(&self) -> bool {
        let of = |end: &str| self.body["pull_request"][end]["repo"]["full_name"].as_str();
        self.name == "pull_request" && of("head") != of("base")
    }

    /// `GITHUB_REF` and `GITHUB_SHA`. Source: GitHub, "Events that trigger workflows". A pull request's run is at the
    /// merge of its head into its base, which the sandbox does not make: the head stands in for it.
    pub(crate) fn place(&self, github: &Sandbox, repo: &RepoName) -> (String, String) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match self.name.as_str() {
            "pull_request" => {
                (format!("refs/pull/{}/merge", self.body["number"]), text(&self.body["pull_request"]["head"]["sha"]))
            }
            "push" => (text(&self.body["ref"]), text(&self.body["after"])),
            _ => {
                let head = github.branch_head(repo, DEFAULT_BRANCH).expect("the default branch has a commit");
                (format!("refs/heads/{DEFAULT_BRANCH}"), head.to_string())
            }
        }
    }
}
