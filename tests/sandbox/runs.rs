//! Runs of workflows: what is asked of GitHub about them, and what it tells by itself.

use greenroom::sandbox::{ActionsSwitch, DispatchAnswer, FileChange, Manners};
use http::Method;
use serde_json::{Value, json};

use super::assert_documented;
use super::client::{GET, POST, Receiver, Stage, settle};
use super::openapi::Description;

const WORKFLOW: &str = "name: Greenroom build\n\
                        run-name: Builds ${{ inputs.service }} [${{ inputs.nonce }}]\n\
                        on:\n  workflow_dispatch:\n    inputs:\n      service: { type: string }\n      nonce: { type: string }\n";
const DISPATCH: &str = "/repos/acme/shop/actions/workflows/greenroom-build.yml/dispatches";
const RUNS: &str = "/repos/acme/shop/actions/workflows/greenroom-build.yml/runs";

async fn stage() -> Stage {
    let stage = Stage::new().await;
    let file = FileChange::write(".github/workflows/greenroom-build.yml", WORKFLOW);
    stage.hub.commit(&stage.shop, "main", [file], "Build on runners").expect("a commit");
    stage
}

fn wish() -> Value {
    json!({ "ref": "main", "inputs": { "service": "web", "nonce": "n-1" }, "return_run_details": true })
}

#[tokio::test]
async fn a_run_goes_from_its_wish_to_its_end() {
    let stage = stage().await;
    let asked = stage.send(POST, DISPATCH, Some(wish())).await;
    assert_eq!(asked.status, 200);
    let id = asked.json["workflow_run_id"].as_u64().expect("a number");
    let run = format!("/repos/acme/shop/actions/runs/{id}");

    let listed = stage.get(&format!("{RUNS}?event=workflow_dispatch&per_page=100")).await;
    assert_eq!((listed.status, &listed.json["total_count"]), (200, &json!(1)));
    let seen = &listed.json["workflow_runs"][0];
    assert_eq!((&seen["display_title"], &seen["status"]), (&json!("Builds web [n-1]"), &json!("queued")));
    assert_eq!(seen["actor"]["login"], "greenroom-sandbox[bot]");

    stage.hub.start_run(&stage.shop, id).expect("a runner takes it");
    assert_eq!(stage.get(&run).await.json["status"], "in_progress");
    stage.hub.end_run(&stage.shop, id, "failure", &["no such file"]).expect("it ends");
    assert_eq!(stage.get(&run).await.json["conclusion"], "failure");
    assert_eq!(stage.send(POST, &format!("{run}/cancel"), None).await.status, 409);

    let jobs = stage.get(&format!("{run}/jobs?filter=latest&per_page=100")).await;
    let job = jobs.json["jobs"][0]["id"].as_u64().expect("a number");
    let log = stage.get(&format!("/repos/acme/shop/actions/jobs/{job}/logs")).await;
    assert_eq!(log.status, 302);
    let text = stage.ask(GET, log.header("location"), None, &[]).await;
    assert!(String::from_utf8_lossy(&text.bytes).ends_with("Z no such file\n"));

    stage.hub.delete_run(&stage.shop, id).expect("it is deleted");
    assert_eq!(stage.get(&run).await.status, 404);
    assert_documented(&stage);
}

#[tokio::test]
async fn an_older_server_tells_no_number_or_refuses_the_wish_for_one() {
    let stage = stage().await;
    stage.hub.set_dispatch_answer(DispatchAnswer::Nothing);
    assert_eq!(stage.send(POST, DISPATCH, Some(wish())).await.status, 204);
    stage.hub.set_dispatch_answer(DispatchAnswer::Details);
    assert_eq!(stage.send(POST, DISPATCH, Some(json!({ "ref": "main" }))).await.status, 204);
    assert_documented(&stage);
    stage.hub.set_dispatch_answer(DispatchAnswer::RefusesWish);
    assert_eq!(stage.send(POST, DISPATCH, Some(wish())).await.status, 400);
    assert_eq!(stage.hub.runs(&stage.shop).len(), 2, "what is refused starts nothing");
}

#[tokio::test]
async fn what_cannot_run_is_refused() {
    let stage = stage().await;
    let nowhere = "/repos/acme/shop/actions/workflows/nothing.yml/dispatches";
    assert_eq!(stage.send(POST, nowhere, Some(json!({ "ref": "main" }))).await.status, 404);
    for (body, words) in [
        (json!({ "ref": "gone" }), "No ref found"),
        (json!({ "ref": "main", "inputs": { "strange": "1" } }), "Unexpected inputs"),
    ] {
        let refused = stage.send(POST, DISPATCH, Some(body)).await;
        assert_eq!(refused.status, 422);
        assert!(refused.json.to_string().contains(words), "{}", refused.json);
    }
    stage.hub.switch_actions(ActionsSwitch::Off);
    assert_eq!(stage.send(POST, DISPATCH, Some(wish())).await.status, 422);
    assert_eq!(stage.hub.runs(&stage.shop), []);
    assert_documented(&stage);
}

#[tokio::test]
async fn a_stubborn_run_ends_by_force_alone() {
    let stage = stage().await;
    let id = stage.send(POST, DISPATCH, Some(wish())).await.json["workflow_run_id"].as_u64().expect("a number");
    stage.hub.teach_run(&stage.shop, id, Manners::Stubborn).expect("it is there");
    for (verb, status) in [("cancel", "queued"), ("force-cancel", "completed")] {
        let path = format!("/repos/acme/shop/actions/runs/{id}/{verb}");
        assert_eq!(stage.send(Method::POST, &path, None).await.status, 202);
        assert_eq!(stage.hub.runs(&stage.shop)[0].status, status, "{verb}");
    }
    assert_eq!(stage.hub.runs(&stage.shop)[0].asked_to_end, ["cancel", "force-cancel"]);
    assert_documented(&stage);
}

#[tokio::test]
async fn what_becomes_of_a_run_is_told_as_github_documents_it() {
    let (stage, receiver) = (stage().await, Receiver::start().await);
    stage.hub.set_webhook(receiver.target.clone());
    let id = stage.send(POST, DISPATCH, Some(wish())).await.json["workflow_run_id"].as_u64().expect("a number");
    stage.hub.start_run(&stage.shop, id).expect("a runner takes it");
    stage.hub.end_run(&stage.shop, id, "success", &[]).expect("it ends");
    settle(&stage.hub).await;
    let told: Vec<String> = stage
        .hub
        .deliveries()
        .into_iter()
        .map(|delivery| {
            let body: Value = serde_json::from_slice(&delivery.body).expect("JSON");
            let problems = Description::load().webhook_problems(&delivery.event, delivery.action.as_deref(), &body);
            assert_eq!(problems, [""; 0]);
            format!("{} {}", delivery.event, delivery.action.unwrap_or_default())
        })
        .collect();
    let expected = ["queued", "requested", "in_progress", "in_progress", "completed", "completed"];
    let named =
        |(at, action)| if at % 2 == 0 { format!("workflow_job {action}") } else { format!("workflow_run {action}") };
    assert_eq!(told, expected.into_iter().enumerate().map(named).collect::<Vec<_>>());
}

#[tokio::test]
async fn folders_are_named_by_what_is_in_them() {
    let stage = stage().await;
    let head = stage.hub.branch_head(&stage.shop, "main").expect("a head");
    let root = async |sha: &str| {
        let commit = stage.get(&format!("/repos/acme/shop/git/commits/{sha}")).await;
        commit.json["tree"]["sha"].as_str().expect("a name").to_owned()
    };
    let entry = async |tree: &str, path: &str| {
        let tree = stage.get(&format!("/repos/acme/shop/git/trees/{tree}")).await;
        let entries = tree.json["tree"].as_array().expect("a list").clone();
        entries.into_iter().find(|entry| entry["path"] == path).expect("it is there")["sha"].clone()
    };
    let before = root(head.as_str()).await;
    let changed = [FileChange::write("README.md", "# Another\n")];
    let after = stage.hub.commit(&stage.shop, "main", changed, "Change it").expect("a commit");
    let after = root(after.as_str()).await;
    assert_ne!(before, after);
    assert_eq!(entry(&before, "app").await, entry(&after, "app").await, "nothing in it changed");
    assert_ne!(entry(&before, "README.md").await, entry(&after, "README.md").await);
    assert_documented(&stage);
}
