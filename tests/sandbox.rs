//! The sandbox GitHub against GitHub's own description, and against what GitHub documents in words.

#[path = "sandbox/access.rs"]
mod access;
#[path = "sandbox/client.rs"]
mod client;
#[path = "sandbox/evidence.rs"]
mod evidence;
#[path = "support/openapi.rs"]
mod openapi;
#[path = "sandbox/runs.rs"]
mod runs;
#[path = "sandbox/things.rs"]
mod things;
#[path = "sandbox/webhooks.rs"]
mod webhooks;

use client::{POST, Stage};
use openapi::Description;
use serde_json::json;

/// Every exchange so far conforms to GitHub's description.
fn assert_documented(stage: &Stage) {
    let description = Description::load();
    let exchanges = stage.hub.requests();
    assert!(!exchanges.is_empty(), "nothing was asked");
    let api = exchanges.iter().filter(|exchange| !exchange.template.starts_with("/codeload"));
    let problems: Vec<String> = api.flat_map(|exchange| description.problems(exchange)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_description_refuses_what_is_wrong() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stage = Stage::new().await;
        let body = json!({ "name": "x", "head_sha": stage.hub.branch_head(&stage.shop, "main") });
        assert_eq!(stage.send(POST, "/repos/acme/shop/check-runs", Some(body)).await.status, 201);
        let good = stage.hub.requests().pop().unwrap();
        let description = Description::load();
        assert_eq!(description.problems(&good), Vec::<String>::new());
        let spoil = |change: fn(&mut greenroom::sandbox::Exchange), wanted: &str| {
            let mut bad = good.clone();
            change(&mut bad);
            let problems = description.problems(&bad).join("\n");
            assert!(problems.contains(wanted), "{wanted:?} is not in {problems:?}");
        };
        spoil(|bad| bad.request.as_mut().unwrap()["nmae"] = "x".into(), "no field nmae");
        spoil(|bad| bad.request.as_mut().unwrap()["name"] = 1.into(), "request at /name");
        spoil(|bad| bad.response.as_mut().unwrap()["status"] = "odd".into(), "response at /status");
        spoil(|bad| bad.response.as_mut().unwrap()["started_at"] = "noon".into(), "response at /started_at");
        spoil(|bad| bad.query.push(("color".into(), "red".into())), "no query parameter color");
        spoil(|bad| bad.status = 418, "not documented");
        spoil(|bad| bad.template = "/repos/{owner}", "knows no post");
    });
}
