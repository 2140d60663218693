//! Webhooks: signed, as documented, and able to fail.

use greenroom::model::{PullNumber, ReviewState};
use greenroom::sandbox::{DeliveryMode, NewPull, Order, PullState, Recording, SandboxError};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use serde_json::Value;

use crate::assert_documented;
use crate::client::{GET, POST, Receiver, Stage, settle};
use crate::openapi::Description;

#[tokio::test]
async fn webhooks_are_signed_and_as_documented() {
    let (stage, door) = (Stage::new().await, Receiver::start().await);
    let (hub, shop) = (&stage.hub, &stage.shop);
    hub.set_webhook(door.target.clone());
    everything_that_people_do(&stage).unwrap();
    settle(hub).await;
    let received = door.received();
    assert_eq!(received.len(), hub.deliveries().len());
    let mut seen = std::collections::BTreeSet::new();
    for (headers, bytes) in &received {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"it is a secret").unwrap();
        mac.update(bytes);
        assert_eq!(text("x-hub-signature-256"), format!("sha256={}", hex::encode(mac.finalize().into_bytes())));
        let (event, body) = (text("x-github-event"), serde_json::from_slice::<Value>(bytes).unwrap());
        let action = body["action"].as_str();
        let problems = Description::load().webhook_problems(&event, action, &body);
        assert!(problems.is_empty(), "{event} {action:?}: {}", problems.join("\n"));
        seen.insert(format!("{event} {}", action.unwrap_or("")).trim().to_owned());
    }
    let wanted = [
        "delete",
        "installation created",
        "installation_repositories added",
        "installation_repositories removed",
        "issue_comment created",
        "issue_comment deleted",
        "issue_comment edited",
        "ping",
        "pull_request closed",
        "pull_request converted_to_draft",
        "pull_request edited",
        "pull_request labeled",
        "pull_request opened",
        "pull_request ready_for_review",
        "pull_request reopened",
        "pull_request synchronize",
        "pull_request unlabeled",
        "pull_request_review dismissed",
        "pull_request_review edited",
        "pull_request_review submitted",
        "pull_request_review_comment created",
        "pull_request_review_comment edited",
        "push",
    ];
    assert_eq!(seen, wanted.map(str::to_owned).into());
    let largest = received.iter().map(|(_, body)| body.len()).max();
    assert!(largest.is_some_and(|size| (15_000..40_000).contains(&size)), "a realistic size, not {largest:?}");
    assert!(matches!(hub.pull(shop, PullNumber(1)).unwrap().state, PullState::Merged { .. }));
    assert!(hub.user_id("mallory").is_some_and(|id| id.0 > 0));
}

fn everything_that_people_do(stage: &Stage) -> Result<(), SandboxError> {
    let (hub, shop) = (&stage.hub, &stage.shop);
    hub.ping(shop);
    hub.announce_installation(shop);
    hub.push(shop, "two", [("a", "1")], "Two")?;
    let one = hub.open_pull(shop, "two", "Two")?;
    hub.push(shop, "two", [("a", "2")], "Two and a half")?;
    hub.edit_pull(shop, one, "Two, really")?;
    hub.label(shop, one, "preview")?;
    hub.unlabel(shop, one, "preview")?;
    hub.draft_pull(shop, one)?;
    hub.ready_pull(shop, one)?;
    let comment = hub.comment(shop, one, "maya", "/keep 3d")?;
    hub.edit_comment(shop, comment, "maya", "/keep 4d")?;
    hub.delete_comment(shop, comment, "maya")?;
    let review = hub.review(shop, one, "maya", ReviewState::Approved, "")?;
    hub.edit_review(shop, review, "maya", "/deploy")?;
    hub.dismiss_review(shop, review, "ada")?;
    hub.review(shop, one, "zoe", ReviewState::Commented, "Hm")?;
    let line = hub.review_comment(shop, one, "zoe", "Why?")?;
    hub.edit_review_comment(shop, line, "zoe", "Why, really?")?;
    hub.close_pull(shop, one)?;
    hub.reopen_pull(shop, one)?;
    hub.merge_pull(shop, one)?;
    hub.delete_branch(shop, "two")?;
    let fork = hub.fork(shop, "mallory")?;
    hub.push(&fork, "evil", [("b", "1")], "From outside")?;
    let new = NewPull { head_repo: Some(fork.clone()), author: "mallory".into(), ..NewPull::new("evil", "Please") };
    let two = hub.open(shop, new)?;
    let head = hub.push(&fork, "evil", [("b", "2")], "More from outside")?;
    assert_eq!(hub.pull(shop, two).map(|pull| pull.head_sha), Some(head));
    hub.uninstall(shop)?;
    hub.install(shop)?;
    Ok(())
}

/// Pull request 1 of a shop whose webhook leads to a receiver.
async fn talked_about() -> (Stage, Receiver) {
    let (stage, door) = (Stage::new().await, Receiver::start().await);
    stage.hub.commit(&stage.shop, "two", [("a", "1")], "Two").expect("a commit");
    stage.hub.open_pull(&stage.shop, "two", "Two").expect("a pull request");
    stage.hub.set_webhook(door.target.clone());
    (stage, door)
}

#[tokio::test]
async fn what_was_written_says_when_by_whom_and_what_stood_there_before() {
    let (stage, door) = talked_about().await;
    let (hub, shop, one) = (&stage.hub, &stage.shop, PullNumber(1));
    stage.clock.forward(1_999);
    let comment = hub.comment(shop, one, "dependabot[bot]", "/deploy").unwrap();
    hub.edit_comment(shop, comment, "maya", "/deploy prod").unwrap();
    let review = hub.review(shop, one, "maya", ReviewState::ChangesRequested, "/plan").unwrap();
    hub.edit_review(shop, review, "maya", "/plan prod").unwrap();
    let line = hub.review_comment(shop, one, "maya", "/status").unwrap();
    stage.clock.forward(5_000);
    hub.edit_review_comment(shop, line, "maya", "/status prod").unwrap();
    let comments = format!("/repos/acme/shop/issues/{one}/comments");
    stage.send(POST, &comments, Some(serde_json::json!({ "body": "Live" }))).await;
    settle(hub).await;
    let said: Vec<Value> = door.received().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect();
    let at = |body: &Value| {
        let field =
            if body["review"].is_null() { &body["comment"]["created_at"] } else { &body["review"]["submitted_at"] };
        field.as_str().unwrap().to_owned()
    };
    let times: Vec<String> = said.iter().map(at).collect();
    let (then, later) = ("2026-11-20T05:04:01Z", "2026-11-20T05:04:06Z");
    assert_eq!(times, [then, then, then, then, then, then, later], "whole seconds, and an edit changes none");
    let before: Vec<&Value> = said.iter().map(|body| &body["changes"]["body"]["from"]).collect();
    let null = &Value::Null;
    assert_eq!(before, [null, &"/deploy".into(), null, &"/plan".into(), null, &"/status".into(), null]);
    assert_eq!((&said[0]["comment"]["user"]["type"], &said[0]["sender"]["type"]), (&"Bot".into(), &"Bot".into()));
    assert_eq!(said[0]["comment"]["performed_via_github_app"], Value::Null);
    assert_eq!((&said[1]["comment"]["user"]["type"], &said[1]["sender"]["type"]), (&"Bot".into(), &"User".into()));
    assert_eq!(said[2]["review"]["state"], "changes_requested");
    assert_eq!((&said[5]["comment"]["id"], &said[5]["comment"]["path"]), (&line.into(), &"a".into()));
    assert_eq!(said[6]["comment"]["performed_via_github_app"]["id"], hub.app_id());
}

#[tokio::test]
async fn deliveries_fail_and_are_sent_again_under_the_same_id() {
    let (stage, door) = (Stage::new().await, Receiver::start().await);
    let (hub, shop) = (&stage.hub, &stage.shop);
    hub.set_webhook(door.target.clone());
    hub.set_delivery_mode(DeliveryMode::Drop);
    hub.push(shop, "two", [("a", "1")], "Lost").unwrap();
    hub.set_delivery_mode(DeliveryMode::Send);
    door.answers(StatusCode::INTERNAL_SERVER_ERROR);
    hub.push(shop, "two", [("a", "2")], "Refused").unwrap();
    settle(hub).await;
    assert_eq!(hub.deliveries().iter().map(|one| one.status).collect::<Vec<_>>(), [Some(502), Some(500)]);
    door.answers(StatusCode::ACCEPTED);

    let page = stage.as_app(GET, "/app/hook/deliveries?per_page=1", None).await;
    assert_eq!((&page.json[0]["status_code"], page.json.as_array().unwrap().len()), (&500.into(), 1));
    let next = page.header("link").split_once('<').unwrap().1.split_once('>').unwrap().0.to_owned();
    let lost = stage.as_app(GET, &next, None).await.json[0].clone();
    assert_eq!(
        (&lost["status_code"], &lost["event"], &lost["redelivery"]),
        (&502.into(), &"push".into(), &false.into())
    );
    let one = format!("/app/hook/deliveries/{}", lost["id"]);
    let whole = stage.as_app(GET, &one, None).await.json;
    assert_eq!(whole["request"]["payload"]["head_commit"]["message"], "Lost");
    assert_eq!(stage.as_app(POST, &format!("{one}/attempts"), None).await.status, 202);
    settle(hub).await;
    let received = door.received();
    assert_eq!(received.len(), 2, "the refused one and the one sent again");
    assert_eq!(received[1].0["x-github-delivery"].to_str().unwrap(), lost["guid"]);
    let newest = stage.as_app(GET, "/app/hook/deliveries?status=success", None).await.json[0].clone();
    assert_eq!((&newest["guid"], &newest["redelivery"]), (&lost["guid"], &true.into()));
    assert_eq!(stage.as_app(POST, "/app/hook/deliveries/1/attempts", None).await.status, 404);
    assert_documented(&stage);
}

#[tokio::test]
async fn deliveries_can_be_doubled_held_and_shuffled() {
    let (stage, door) = (
        Stage::with(|s| greenroom::sandbox::SandboxSettings { recording: Recording::Counts, ..s }).await,
        Receiver::start().await,
    );
    let (hub, shop) = (&stage.hub, &stage.shop);
    hub.set_webhook(door.target.clone());
    hub.set_delivery_mode(DeliveryMode::Duplicate);
    hub.push(shop, "two", [("a", "0")], "Twice").unwrap();
    settle(hub).await;
    let arrivals = |from: usize| -> Vec<String> {
        let received = door.received();
        received[from..].iter().map(|(headers, _)| headers["x-github-delivery"].to_str().unwrap().into()).collect()
    };
    assert_eq!(arrivals(0).len(), 2);
    assert_eq!(arrivals(0)[0], arrivals(0)[1]);
    hub.set_delivery_mode(DeliveryMode::Hold);
    for count in 1..9 {
        hub.push(shop, "two", [("a", count.to_string())], "Held").unwrap();
    }
    settle(hub).await;
    assert_eq!(arrivals(2).len(), 0, "held back");
    hub.release_deliveries(Order::Shuffled(7));
    settle(hub).await;
    let order: Vec<String> = hub.deliveries()[2..].iter().map(|one| one.guid.clone()).collect();
    let (mut arrived, mut wanted) = (arrivals(2), order.clone());
    assert_ne!(arrived, order, "another order");
    arrived.sort();
    wanted.sort();
    assert_eq!(arrived, wanted, "all of them");
    assert!(hub.requests().is_empty() && hub.deliveries().iter().all(|one| one.body.is_empty()), "counts only");
}

#[tokio::test]
async fn a_fork_can_vanish_and_a_branch_can_be_forced_back() {
    let (stage, door) = (Stage::new().await, Receiver::start().await);
    let (hub, shop) = (&stage.hub, &stage.shop);
    let first = hub.push(shop, "two", [("a", "1")], "One").unwrap();
    hub.push(shop, "two", [("a", "2")], "Two").unwrap();
    let own = hub.open_pull(shop, "two", "Two").unwrap();
    let fork = hub.fork(shop, "mallory").unwrap();
    let new = NewPull { head_repo: Some(fork.clone()), state: PullState::Draft, ..NewPull::new("main", "Please") };
    let foreign = hub.open(shop, new).unwrap();
    assert_eq!(stage.get(&format!("/repos/acme/shop/pulls/{foreign}")).await.json["draft"], true);
    hub.delete_repo(&fork).unwrap();
    let gone = stage.get(&format!("/repos/acme/shop/pulls/{foreign}")).await.json;
    assert_eq!((&gone["head"]["repo"], &gone["head"]["label"]), (&Value::Null, &"mallory:main".into()));

    hub.set_webhook(door.target.clone());
    hub.push_to(shop, "two", &first).unwrap();
    settle(hub).await;
    assert_eq!(hub.pull(shop, own).map(|pull| pull.head_sha), Some(first.clone()));
    assert_eq!(hub.file_at(&first, "a").as_deref(), Some(&b"1"[..]));
    let events: Vec<String> = hub.deliveries().into_iter().map(|one| one.event).collect();
    assert_eq!(events, ["push", "pull_request"]);
    let signed = &hub.delivery_headers(&hub.deliveries()[0])["x-hub-signature-256"];
    assert_eq!(signed, &door.received()[0].0["x-hub-signature-256"]);
}
