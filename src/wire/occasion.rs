//! From the event file of a workflow's run to why it runs.
//!
//! What a webhook would have told is read as a webhook is. The file itself is the runner's and signed by
//! nobody: what it says of the repository is held against the run's own variables by whoever reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::parse::{Parsed, WireError, parse};
use super::payload::{Account, Outline};
use crate::model::{Actor, ActorKind, Branch, Cause, Occasion, Rights};

/// Words of a dispatch that are looked at.
const WORDS: usize = 25;
/// A longer word is none of ours. Source: GitHub Docs, "Create a workflow dispatch event": 65,535 characters
/// for all inputs together.
const LONGEST_WORD: usize = 65_535;

/// Reads an event file. `name` is the run's `GITHUB_EVENT_NAME`.
pub fn occasion(name: &str, body: &[u8]) -> Result<Occasion, WireError> {
    match name {
        "pull_request" | "push" | "delete" | "issue_comment" => told(name, body),
        "pull_request_review" | "pull_request_review_comment" => with(body, Cause::Review),
        "schedule" => with(body, Cause::Schedule),
        "workflow_dispatch" | "repository_dispatch" => dispatch(body),
        other => with(body, Cause::Foreign(other.to_owned())),
    }
}

fn told(name: &str, body: &[u8]) -> Result<Occasion, WireError> {
    // The delivery's id is made from the run once it is known what it asks for.
    match parse(Some(name), Some("event-file"), body)?.parsed {
        Parsed::Event(event, repo) => {
            let rights = if name == "pull_request" { rights(body) } else { Rights::AsGranted };
            Ok(Occasion { repo, cause: Cause::Told(Box::new(event), rights) })
        }
        Parsed::Ignored { why } => with(body, Cause::Quiet(why)),
        Parsed::Ping => with(body, Cause::Foreign(name.to_owned())),
    }
}

fn with(body: &[u8], cause: Cause) -> Result<Occasion, WireError> {
    let outline: Outline<'_> = serde_json::from_slice(body).or_else(|_| {
        // JSON with a repository that is not written as GitHub does speaks of none.
        serde_json::from_slice::<Value>(body).map(|_| Outline::default()).map_err(|_| WireError::NotJson)
    })?;
    Ok(Occasion { repo: outline.repository.and_then(|repo| repo.seen().ok()), cause })
}

#[derive(Deserialize)]
struct PullSides<'a> {
    #[serde(borrow)]
    pull_request: PullSide<'a>,
    repository: Numbered,
    #[serde(borrow)]
    sender: Account<'a>,
}

#[derive(Deserialize)]
struct PullSide<'a> {
    head: Side,
    #[serde(borrow)]
    user: Option<Account<'a>>,
}

#[derive(Deserialize)]
struct Side {
    /// `null` when the fork was deleted.
    repo: Option<Numbered>,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

/// What a run for a pull request may do. A file that does not say it comes from a stranger.
fn rights(body: &[u8]) -> Rights {
    let Ok(sides) = serde_json::from_slice::<PullSides<'_>>(body) else { return Rights::ReadOfFork };
    if sides.pull_request.head.repo.is_none_or(|head| head.id != sides.repository.id) {
        return Rights::ReadOfFork;
    }
    let is_dependabot = |actor: Actor| actor.kind == ActorKind::Bot && actor.login == "dependabot[bot]";
    let by_dependabot = sides.pull_request.user.is_some_and(|user| is_dependabot(user.actor()));
    if by_dependabot && is_dependabot(sides.sender.actor()) { Rights::ReadOfDependabot } else { Rights::AsGranted }
}

#[derive(Deserialize)]
struct DispatchPayload<'a> {
    /// Of `workflow_dispatch`; `null` where the workflow has none.
    inputs: Option<BTreeMap<String, Value>>,
    /// Of `repository_dispatch`.
    client_payload: Option<BTreeMap<String, Value>>,
    /// Of `workflow_dispatch`: `refs/heads/main`.
    #[serde(borrow, rename = "ref")]
    reference: Option<Cow<'a, str>>,
    /// Of `repository_dispatch`: the default branch.
    #[serde(borrow)]
    branch: Option<Cow<'a, str>>,
}

fn dispatch(body: &[u8]) -> Result<Occasion, WireError> {
    let Ok(payload) = serde_json::from_slice::<DispatchPayload<'_>>(body) else {
        return with(body, Cause::Quiet("a dispatch whose words cannot be read"));
    };
    let words = payload.inputs.or(payload.client_payload).unwrap_or_default();
    let words = words.into_iter().filter_map(|(name, value)| Some((name, word(value)?))).take(WORDS).collect();
    let reference = payload.reference.and_then(|full| full.strip_prefix("refs/heads/").map(str::to_owned));
    let branch = reference.or(payload.branch.map(Cow::into_owned)).map(Branch);
    with(body, Cause::Dispatch { words, branch })
}

fn word(value: Value) -> Option<String> {
    match value {
        Value::String(text) if text.len() <= LONGEST_WORD => Some(text),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Event, PullRequestAction, RepoId};

    fn read(name: &str, body: &Value) -> Occasion {
        occasion(name, body.to_string().as_bytes()).expect("it is read")
    }

    fn repository() -> Value {
        json!({ "id": 7, "full_name": "Acme/Shop", "owner": { "id": 8 } })
    }

    fn account(login: &str, kind: &str) -> Value {
        json!({ "login": login, "id": 1, "type": kind })
    }

    fn pull(head: &Value, author: &Value, sender: &Value) -> Value {
        json!({
            "action": "opened", "number": 42, "repository": repository(), "sender": sender,
            "pull_request": { "number": 42, "user": author, "head": { "sha": "a".repeat(40), "repo": head } },
        })
    }

    #[test]
    fn what_a_webhook_tells_is_read_as_one() {
        let person = account("ann", "User");
        let read = read("pull_request", &pull(&json!({ "id": 7 }), &person, &person));
        assert_eq!(read.repo.map(|repo| repo.id), Some(RepoId(7)));
        let Cause::Told(event, Rights::AsGranted) = read.cause else { panic!("{:?}", read.cause) };
        let Event::PullRequest { action, .. } = *event else { panic!("{event:?}") };
        assert_eq!(action, PullRequestAction::Opened);
    }

    #[test]
    fn whose_token_may_only_read_is_told_by_the_event() {
        let (person, bot) = (account("ann", "User"), account("dependabot[bot]", "Bot"));
        let own = json!({ "id": 7 });
        for (head, author, sender, rights) in [
            (own.clone(), &person, &person, Rights::AsGranted),
            (json!({ "id": 8 }), &person, &person, Rights::ReadOfFork),
            (Value::Null, &person, &person, Rights::ReadOfFork),
            (json!({ "name": "no number" }), &person, &person, Rights::ReadOfFork),
            (own.clone(), &bot, &bot, Rights::ReadOfDependabot),
            (own, &bot, &person, Rights::AsGranted),
        ] {
            let Cause::Told(_, told) = read("pull_request", &pull(&head, author, sender)).cause else { panic!("told") };
            assert_eq!(told, rights, "{head} {author} {sender}");
        }
    }

    #[test]
    fn dispatches_have_words_and_a_branch() {
        let by_hand = json!({ "inputs": { "stage": "prod", "dry": true, "list": [1] }, "ref": "refs/heads/main",
            "repository": repository() });
        let words = BTreeMap::from([("dry".to_owned(), "true".to_owned()), ("stage".to_owned(), "prod".to_owned())]);
        let branch = Some(Branch("main".into()));
        assert_eq!(read("workflow_dispatch", &by_hand).cause, Cause::Dispatch { words, branch: branch.clone() });
        let by_api = json!({ "client_payload": { "pull_request": 42 }, "branch": "main", "repository": repository() });
        let words = BTreeMap::from([("pull_request".to_owned(), "42".to_owned())]);
        assert_eq!(read("repository_dispatch", &by_api).cause, Cause::Dispatch { words, branch });
        let of_tag = json!({ "inputs": null, "ref": "refs/tags/v1", "repository": repository() });
        let nothing = Cause::Dispatch { words: BTreeMap::new(), branch: None };
        assert_eq!(read("workflow_dispatch", &of_tag).cause, nothing);
    }

    #[test]
    fn what_is_not_ours_is_named_and_what_is_no_json_refused() {
        assert_eq!(read("schedule", &json!({ "schedule": "* * * * *" })).cause, Cause::Schedule);
        assert_eq!(read("schedule", &json!({ "repository": repository() })).repo.map(|repo| repo.id), Some(RepoId(7)));
        assert_eq!(read("pull_request_review", &json!({})).cause, Cause::Review);
        let foreign = read("pull_request_target", &json!({ "repository": { "id": "seven" } }));
        assert_eq!(foreign, Occasion { repo: None, cause: Cause::Foreign("pull_request_target".into()) });
        let tag = json!({ "ref": "refs/tags/v1", "after": "a".repeat(40), "repository": repository(), "sender": null });
        assert_eq!(read("push", &tag).cause, Cause::Quiet("a push to something other than a branch"));
        for name in ["schedule", "push", "workflow_dispatch", "workflow_run"] {
            assert_eq!(occasion(name, b"{"), Err(WireError::NotJson), "{name}");
        }
        assert!(matches!(occasion("push", b"{}"), Err(WireError::Poison(_))));
    }
}
