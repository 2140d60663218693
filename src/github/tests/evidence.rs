//! Reviews, checks and how far a commit is behind: all of them or none.

use serde_json::{Value, json};

use super::fake::{APP_ID, FakeGitHub, MINT, Reply};
use super::{OTHER, PULL, SHA, denial_of, main_branch, repository, second, sha, shop};
use crate::model::{
    ActorKind, Branch, CheckApp, CheckOutcome, CheckResult, Checks, Review, ReviewState, Timestamp, UserId,
};
use crate::port::{Forge, PortError, PortResult};

const REVIEWS: &str = "/repos/acme/shop/pulls/42/reviews?per_page=100";

/// Number `id`, handed in at that second.
fn review(id: u64, state: &str, second: u8) -> Value {
    json!({
        "id": id, "state": state, "body": "", "commit_id": SHA,
        "user": { "id": id, "login": format!("r{id}"), "type": "User" },
        "submitted_at": format!("2026-11-20T05:00:{second:02}Z"),
    })
}

async fn reviews(fake: &FakeGitHub) -> PortResult<Vec<Review>> {
    fake.client().reviews(&shop(), PULL).await
}

#[tokio::test]
async fn every_review_that_was_handed_in_is_told_in_order() {
    let fake = FakeGitHub::start().await;
    let mut pending = review(2, "PENDING", 0);
    pending["submitted_at"] = Value::Null;
    let mut bot = review(5, "DISMISSED", 6);
    bot["user"]["type"] = json!("Bot");
    let pages = [
        json!([review(1, "APPROVED", 5), pending, review(3, "CHANGES_REQUESTED", 4)]),
        json!([review(4, "COMMENTED", 3), bot]),
    ];
    fake.in_two_pages(REVIEWS, [&pages[0], &pages[1]]);
    let found = reviews(&fake).await.expect("an answer");
    let seen: Vec<_> = found.iter().map(|review| (review.by.id.0, review.state, review.at)).collect();
    let at = |second: i64| Timestamp(super::fake::START + second * 1000);
    let expected = [
        (4, ReviewState::Commented, at(3)),
        (3, ReviewState::ChangesRequested, at(4)),
        (1, ReviewState::Approved, at(5)),
        (5, ReviewState::Dismissed, at(6)),
    ];
    assert_eq!(seen, expected);
    assert_eq!((found[3].by.kind, &*found[3].by.login, &found[3].sha), (ActorKind::Bot, "r5", &sha(SHA)));

    fake.always("GET", &second(REVIEWS), Reply::empty(502));
    assert!(matches!(reviews(&fake).await, Err(PortError::Retry { .. })), "half a list is none");
    let asked = fake.asked("GET", REVIEWS);
    assert!(asked.iter().all(|asked| asked.header("if-none-match").is_none()));
}

#[tokio::test]
async fn what_github_leaves_out_of_a_review_never_makes_an_approval() {
    let fake = FakeGitHub::start().await;
    let without = |state: &str, field: &str| {
        let mut review = review(1, state, 1);
        review[field] = Value::Null;
        Reply::json(200, &json!([review]))
    };
    fake.always("GET", REVIEWS, without("APPROVED", "commit_id"));
    assert_eq!(reviews(&fake).await.expect("an answer"), [], "it vouches for nothing");
    fake.always("GET", REVIEWS, without("CHANGES_REQUESTED", "commit_id"));
    let found = reviews(&fake).await.expect("an answer");
    assert_eq!((found[0].state, &found[0].sha), (ReviewState::ChangesRequested, &sha(&"0".repeat(40))));
    fake.always("GET", REVIEWS, without("APPROVED", "user"));
    let found = reviews(&fake).await.expect("an answer");
    assert_eq!((found[0].by.id, &*found[0].by.login), (UserId(0), "ghost"));
    fake.always("GET", REVIEWS, without("CHANGES_REQUESTED", "submitted_at"));
    assert!(matches!(reviews(&fake).await, Err(PortError::Bug { .. })), "when, nobody knows");
    fake.always("GET", REVIEWS, Reply::json(200, &json!([review(1, "VETOED", 1)])));
    assert!(matches!(reviews(&fake).await, Err(PortError::Bug { .. })), "it may be an objection");
    fake.always("GET", REVIEWS, Reply::empty(404));
    assert!(matches!(reviews(&fake).await, Err(PortError::NotFound { .. })));
}

const RUNS: &str =
    "/repos/acme/shop/commits/0123456789abcdef0123456789abcdef01234567/check-runs?filter=all&per_page=100";
const STATUSES: &str = "/repos/acme/shop/commits/0123456789abcdef0123456789abcdef01234567/statuses?per_page=100";

fn run(id: u64, app: Option<u64>, status: &str, conclusion: Option<&str>) -> Value {
    let app = app.map(|id| json!({ "id": id, "slug": "x" }));
    json!({ "id": id, "name": "ci", "status": status, "conclusion": conclusion, "app": app })
}

fn runs(total: usize, runs: &[Value]) -> Value {
    json!({ "total_count": total, "check_runs": runs })
}

fn status(id: u64, state: &str) -> Value {
    json!({ "id": id, "context": "legacy/ci", "state": state })
}

async fn checks(fake: &FakeGitHub) -> PortResult<Checks> {
    fake.client().checks(&shop(), &sha(SHA)).await
}

fn result(name: &str, number: u64, app: CheckApp, outcome: CheckOutcome) -> CheckResult {
    CheckResult { name: name.into(), app, number, outcome }
}

#[tokio::test]
async fn check_runs_and_statuses_are_told_with_all_their_pages() {
    use CheckOutcome::{Failed, Passed, Running, Unknown};
    let fake = FakeGitHub::start().await;
    // The list moved while it was read: 4 is on both pages.
    let first = runs(4, &[run(5, Some(9), "in_progress", None), run(4, Some(9), "completed", Some("failure"))]);
    let last = runs(
        4,
        &[
            run(4, Some(9), "completed", Some("failure")),
            run(3, Some(APP_ID), "completed", Some("success")),
            run(2, None, "completed", Some("news of tomorrow")),
        ],
    );
    fake.in_two_pages(RUNS, [&first, &last]);
    fake.in_two_pages(STATUSES, [&json!([status(8, "success")]), &json!([status(7, "error")])]);
    let expected = Checks {
        sha: sha(SHA),
        runs: vec![
            result("ci", 2, CheckApp::App(0), Unknown),
            result("ci", 3, CheckApp::Ourselves, Passed),
            result("ci", 4, CheckApp::App(9), Failed),
            result("ci", 5, CheckApp::App(9), Running),
            result("legacy/ci", 8, CheckApp::Status, Passed),
            result("legacy/ci", 7, CheckApp::Status, Failed),
        ],
    };
    assert_eq!(checks(&fake).await.expect("an answer"), expected);
}

#[tokio::test]
async fn half_a_list_of_checks_is_an_error() {
    let fake = FakeGitHub::start().await;
    let one = run(1, Some(9), "completed", Some("success"));
    fake.always("GET", STATUSES, Reply::json(200, &json!([])));
    fake.always("GET", RUNS, Reply::json(200, &runs(2, std::slice::from_ref(&one))));
    let half = checks(&fake).await;
    assert!(matches!(&half, Err(PortError::Retry { reason, .. }) if reason.contains("1 of 2")), "{half:?}");
    // Twice the same is not two.
    fake.in_two_pages(RUNS, [&runs(2, std::slice::from_ref(&one)), &runs(2, std::slice::from_ref(&one))]);
    assert!(matches!(checks(&fake).await, Err(PortError::Retry { .. })));
    fake.always("GET", RUNS, Reply::json(200, &runs(1, &[one])));
    assert_eq!(checks(&fake).await.expect("an answer").runs.len(), 1);
    fake.in_two_pages(STATUSES, [&json!([status(1, "success")]), &json!([])]);
    fake.always("GET", &second(STATUSES), Reply::empty(502));
    assert!(matches!(checks(&fake).await, Err(PortError::Retry { .. })), "of statuses too");
}

#[tokio::test]
async fn without_a_look_at_statuses_no_list_is_whole_and_all_else_goes_on() {
    let fake = FakeGitHub::start().await;
    fake.always("GET", RUNS, Reply::json(200, &runs(0, &[])));
    fake.always("GET", STATUSES, Reply::json(200, &json!([])));
    fake.always("GET", "/repos/acme/shop", Reply::json(200, &repository("acme/shop")));
    fake.installed_without("statuses");
    let github = fake.client();
    let reason = denial_of(github.checks(&shop(), &sha(SHA)).await);
    assert!(reason.contains("lacks the permission \"Commit statuses: read\""), "{reason}");
    assert_eq!(fake.asked("GET", STATUSES).len(), 0);
    assert_eq!(github.repository(&shop()).await.expect("an answer").default_branch, main_branch());
    let asked = fake.asked("POST", MINT);
    assert!(asked.iter().all(|asked| asked.body["permissions"].get("statuses").is_none()), "GitHub would refuse it");

    fake.installed(&["metadata", "checks", "statuses"]);
    assert_eq!(github.checks(&shop(), &sha(SHA)).await.expect("granted since").runs, []);
    let minted = fake.asked("POST", MINT).pop().expect("a token").body;
    assert_eq!(minted["permissions"], json!({ "metadata": "read", "statuses": "read" }));
    let refused = json!({ "message": "Resource not accessible by integration" });
    fake.always("GET", STATUSES, Reply::json(403, &refused));
    let reason = denial_of(github.checks(&shop(), &sha(SHA)).await);
    assert!(reason.contains("Commit statuses: read"), "{reason}");
    fake.always("GET", RUNS, Reply::json(403, &refused));
    assert!(!denial_of(github.checks(&shop(), &sha(SHA)).await).contains("statuses"), "that is another permission");
}

fn head_is(name: &str, sha: &str) -> Reply {
    Reply::json(200, &json!({ "ref": format!("refs/heads/{name}"), "object": { "type": "commit", "sha": sha } }))
}

#[tokio::test]
async fn a_commit_is_behind_the_branch_not_a_tag_of_its_name() {
    let fake = FakeGitHub::start().await;
    let github = fake.client();
    let (odd, head) = (Branch("feature/#1".into()), "/repos/acme/shop/git/ref/heads/feature/%231");
    let compare = format!("/repos/acme/shop/compare/{OTHER}...{SHA}?per_page=1");
    fake.always("GET", head, head_is("feature/#1", OTHER));
    for behind in [3, 0] {
        let answer = json!({ "status": "diverged", "behind_by": behind, "ahead_by": 1 });
        fake.always("GET", &compare, Reply::json(200, &answer));
        assert_eq!(github.behind_by(&shop(), &odd, &sha(SHA)).await.expect("an answer"), behind);
    }
    let asked = [format!("GET {head}"), format!("GET {compare}")];
    assert_eq!(fake.calls(), [asked.clone(), asked].concat());

    assert_eq!(github.behind_by(&shop(), &odd, &sha(OTHER)).await.expect("an answer"), 0, "it is the branch's own");
    let gone = github.behind_by(&shop(), &main_branch(), &sha(SHA)).await;
    assert!(matches!(&gone, Err(PortError::NotFound { what }) if what.contains("branch main")), "{gone:?}");
    fake.always("GET", &compare, Reply::empty(404));
    assert!(matches!(github.behind_by(&shop(), &odd, &sha(SHA)).await, Err(PortError::NotFound { .. })));
    fake.always("GET", &compare, Reply::json(200, &json!({ "status": "ahead" })));
    assert!(matches!(github.behind_by(&shop(), &odd, &sha(SHA)).await, Err(PortError::Bug { .. })), "not a zero");
}
