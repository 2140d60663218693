//! A run of `greenroom bench aws` on MiniStack with containers: every figure is there, and the
//! promises about calls hold. Speed is printed and never asserted.

use crate::edge::{Edge, Targets};
use crate::ministack::{Containers, MiniStack};
use serde_json::Value;
use std::io::Write as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_on_aws_is_measured_and_redeploying_it_unchanged_changes_nothing() {
    let aws = MiniStack::start(Containers::Real).await;
    let edge = Edge::start(&aws.config().await, Targets::Registered).await;
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(["bench", "aws", "--json", "--registry", &aws.registry()])
        .envs(aws.environment())
        .env("HTTP_PROXY", edge.url())
        .env("NO_PROXY", "localhost,127.0.0.1")
        .kill_on_drop(true)
        .output()
        .await
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "it ended with {}: {errors}\n{}", output.status, aws.log());
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let figures = ["preview", "update", "unchanged", "broken", "teardown", "marks"].map(|part| &report[part]);
    writeln!(std::io::stderr(), "{figures:#?}").expect("somebody reads it");
    for round in ["preview", "update", "broken", "teardown"] {
        let figure = |name: &str| report[round][name].as_f64().unwrap_or_default();
        assert!(figure("seconds") > 0.0 && figure("calls") > 0.0 && figure("writes") > 0.0, "{round} in {report:#}");
    }
    let operations = |round: &str| {
        let operations = report[round]["calls_by_operation"].as_object().expect("operations");
        operations.keys().cloned().collect::<Vec<_>>()
    };
    let stacks = ["cloudformation:CreateStack", "cloudformation:UpdateStack"];
    assert!(operations("preview").iter().any(|operation| operation == stacks[0]), "{report:#}");
    for round in ["update", "broken"] {
        assert!(!operations(round).iter().any(|name| stacks.contains(&name.as_str())), "{round} in {report:#}");
    }
    let unchanged = |name: &str| report["unchanged"][name].as_u64().expect("a count");
    assert_eq!(unchanged("writes"), 0, "{report:#}");
    assert!(unchanged("calls") <= 3, "{report:#}");
    assert_eq!(report["marks"].as_array().map(Vec::len), Some(7));
}
