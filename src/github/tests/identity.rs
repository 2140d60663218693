//! A repository as its jobs' tokens name it.

use secrecy::SecretString;
use serde_json::json;

use super::fake::{FakeGitHub, Reply};
use super::{denial_of, repository, shop};
use crate::github::identity;
use crate::model::{Branch, RepoId, RepoIdentity, UserId};
use crate::port::{PortError, PortResult};

const REPO: &str = "/repos/acme/shop";
const SUBJECT: &str = "/repos/acme/shop/actions/oidc/customization/sub";

async fn ask(fake: &FakeGitHub) -> PortResult<RepoIdentity> {
    identity(&fake.settings(), &SecretString::from("ghp_somebody".to_owned()), &shop()).await
}

#[tokio::test]
async fn names_numbers_and_the_form_of_its_subjects_are_read() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", REPO, Reply::json(200, &repository("Acme/Shop")));
    let told =
        json!({ "use_default": true, "use_immutable_subject": true, "sub_claim_prefix": "repo:Acme@7/Shop@774" });
    fake.once("GET", SUBJECT, Reply::json(200, &told));
    let found = ask(&fake).await.expect("it is told");
    assert_eq!((found.spelling.as_str(), found.id, found.owner_id), ("Acme/Shop", RepoId(774), UserId(7)));
    assert_eq!((found.default_branch.clone(), found.subjects().len()), (Branch("main".into()), 2));
    let sent = fake.asked("GET", REPO).remove(0);
    assert_eq!(sent.header("authorization"), Some("Bearer ghp_somebody"));
    // Whoever may not read it, and a server that does not have it.
    for status in [403, 404] {
        fake.once("GET", SUBJECT, Reply::json(status, &json!({ "message": "no" })));
        assert_eq!(ask(&fake).await.expect("it is told").prefix, None);
    }
    for keys in [json!([]), json!(["repo", "context"])] {
        let told = json!({ "use_default": false, "include_claim_keys": keys });
        fake.once("GET", SUBJECT, Reply::json(200, &told));
        assert!(ask(&fake).await.is_ok(), "{keys}");
    }
}

#[tokio::test]
async fn a_subject_of_its_own_making_is_refused_with_the_way_back() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", REPO, Reply::json(200, &repository("acme/shop")));
    let told = json!({ "use_default": false, "include_claim_keys": ["repo", "job_workflow_ref"] });
    fake.always("GET", SUBJECT, Reply::json(200, &told));
    let Err(PortError::Failed(failure)) = ask(&fake).await else { panic!("a failure") };
    assert!(failure.summary.contains("repo, job_workflow_ref") && failure.advice.contains("use_default=true"));
}

#[tokio::test]
async fn a_token_that_is_none_is_named() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", REPO, Reply::json(401, &json!({ "message": "Bad credentials" })));
    assert!(denial_of(ask(&fake).await).contains("GITHUB_TOKEN"));
}
