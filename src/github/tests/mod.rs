//! The adapter against a scripted GitHub on a port of its own.

mod auth;
mod evidence;
mod fake;
mod job;
mod job_surfaces;
mod limits;
mod names;
mod reads;
mod source;
mod surfaces;
mod team;
mod workflows;

use crate::model::{Branch, CommitSha, PullNumber, RepoName};
use crate::port::PortError;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const OTHER: &str = "89abcdef0123456789abcdef0123456789abcdef";

fn shop() -> RepoName {
    RepoName::new("acme/shop").expect("a repository's name")
}

fn sha(text: &str) -> CommitSha {
    CommitSha::new(text).expect("a sha")
}

fn main_branch() -> Branch {
    Branch("main".into())
}

/// A repository as GitHub describes it.
fn repository(name: &str) -> serde_json::Value {
    serde_json::json!({ "id": 774, "full_name": name, "owner": { "id": 7, "login": "acme" }, "default_branch": "main" })
}

/// A path of which this was the first page.
fn second(first: &str) -> String {
    format!("{first}&page=2")
}

const PULL: PullNumber = PullNumber(42);

/// The wait that a passing fault asks for; panics for any other outcome.
fn wait_of<T>(result: Result<T, PortError>) -> Option<i64> {
    match result {
        Err(PortError::Retry { after_millis, .. }) => after_millis,
        Err(other) => panic!("not a passing fault: {other:?}"),
        Ok(_) => panic!("not a fault"),
    }
}

fn denial_of<T>(result: Result<T, PortError>) -> String {
    match result {
        Err(PortError::Denied { reason }) => reason,
        Err(other) => panic!("not a denial: {other:?}"),
        Ok(_) => panic!("not a denial"),
    }
}
