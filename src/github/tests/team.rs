//! Teams: by login, believed by number, with a permission of its own.

use serde_json::json;

use super::fake::{FakeGitHub, MINT, Reply};
use super::{denial_of, main_branch, repository, shop};
use crate::model::UserId;
use crate::port::{Forge, PortError, PortResult};

const TEAM: &str = "/orgs/acme/teams/ops";
const MEMBERSHIP: &str = "/orgs/acme/teams/ops/memberships/monalisa";
const ACCOUNT: &str = "/users/monalisa";

fn member(state: &str) -> Reply {
    Reply::json(200, &json!({ "url": "x", "role": "maintainer", "state": state }))
}

fn account(id: u64) -> Reply {
    Reply::json(200, &json!({ "id": id, "login": "monalisa", "type": "User" }))
}

async fn asked(fake: &FakeGitHub, team: &str, login: &str) -> PortResult<bool> {
    fake.client().is_in_team(&shop(), team, login, UserId(1)).await
}

#[tokio::test]
async fn a_member_is_one_whose_login_still_is_theirs() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", MEMBERSHIP, member("active"));
    fake.always("GET", ACCOUNT, account(1));
    let github = fake.client();
    for _ in 0..2 {
        assert!(github.is_in_team(&shop(), "ops", "monalisa", UserId(1)).await.expect("an answer"));
    }
    let calls = [MEMBERSHIP, ACCOUNT, MEMBERSHIP, ACCOUNT].map(|path| format!("GET {path}"));
    assert_eq!(fake.calls(), calls, "asked anew each time");
    let minted = fake.asked("POST", MINT);
    assert_eq!(minted.len(), 1);
    assert_eq!(
        minted[0].body,
        json!({ "repositories": ["shop"], "permissions": { "metadata": "read", "members": "read" } })
    );

    fake.always("GET", ACCOUNT, account(2));
    assert!(!asked(&fake, "ops", "monalisa").await.expect("an answer"), "somebody else has the login now");
    fake.always("GET", ACCOUNT, Reply::empty(404));
    assert!(!asked(&fake, "ops", "monalisa").await.expect("an answer"), "nobody has it");
    fake.always("GET", ACCOUNT, Reply::empty(502));
    assert!(asked(&fake, "ops", "monalisa").await.is_err(), "not knowing is not a membership");
}

#[tokio::test]
async fn an_invitation_is_no_membership() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", ACCOUNT, account(1));
    for state in ["pending", "", "strange"] {
        fake.always("GET", MEMBERSHIP, member(state));
        assert!(!asked(&fake, "ops", "monalisa").await.expect("an answer"), "{state}");
    }
    assert_eq!(fake.asked("GET", ACCOUNT).len(), 0, "the account does not matter then");
}

#[tokio::test]
async fn no_member_and_no_team_are_told_apart() {
    let fake = FakeGitHub::start().await;
    let unknown = asked(&fake, "ops", "monalisa").await;
    assert!(matches!(&unknown, Err(PortError::NotFound { what }) if what == "team ops of acme"), "{unknown:?}");
    fake.always("GET", TEAM, Reply::json(200, &json!({ "id": 5, "slug": "ops" })));
    assert!(!asked(&fake, "ops", "monalisa").await.expect("an answer"));
    fake.always("GET", TEAM, Reply::empty(502));
    assert!(matches!(asked(&fake, "ops", "monalisa").await, Err(PortError::Retry { .. })));
}

#[tokio::test]
async fn foreign_words_cannot_leave_their_place() {
    let fake = FakeGitHub::start().await;
    let odd = "/orgs/acme/teams/a%2Fb%3F/memberships/x%5Bbot%5D";
    fake.always("GET", odd, member("active"));
    fake.always("GET", "/users/x%5Bbot%5D", account(1));
    assert!(asked(&fake, "a/b?", "x[bot]").await.expect("an answer"));
    let before = fake.all().len();
    for team in ["", ".", ".."] {
        assert!(matches!(asked(&fake, team, "monalisa").await, Err(PortError::NotFound { .. })), "{team}");
    }
    assert!(!asked(&fake, "ops", "..").await.expect("an answer"));
    assert_eq!(fake.all().len(), before, "nothing is asked");
}

#[tokio::test]
async fn an_app_that_may_not_look_into_teams_does_everything_else() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", "/repos/acme/shop", Reply::json(200, &repository("acme/shop")));
    fake.installed_without("members");
    let github = fake.client();
    let reason = denial_of(github.is_in_team(&shop(), "ops", "monalisa", UserId(1)).await);
    assert!(reason.contains("lacks the permission \"Members: read\""), "{reason}");
    assert_eq!(fake.asked("POST", MINT).len(), 0, "no token was asked for that GitHub would refuse");
    assert_eq!(github.repository(&shop()).await.expect("an answer").default_branch, main_branch());

    // Granted since: nobody has to restart anything.
    fake.installed(&["metadata", "members"]);
    fake.always("GET", MEMBERSHIP, member("active"));
    fake.always("GET", ACCOUNT, account(1));
    assert!(github.is_in_team(&shop(), "ops", "monalisa", UserId(1)).await.expect("an answer"));

    // Taken away while a token is still good.
    let refused = Reply::json(403, &json!({ "message": "Resource not accessible by integration" }));
    fake.always("GET", MEMBERSHIP, refused.clone());
    let reason = denial_of(github.is_in_team(&shop(), "ops", "monalisa", UserId(1)).await);
    assert!(reason.contains("Members: read"), "{reason}");
    fake.always("GET", MEMBERSHIP, Reply::empty(404));
    fake.always("GET", TEAM, refused);
    let reason = denial_of(github.is_in_team(&shop(), "ops", "monalisa", UserId(1)).await);
    assert!(reason.contains("Members: read"), "{reason}");
}
