//! Small runs of the benches: every figure is there and what was acknowledged is found. Speed is
//! never asserted.

use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .arg("bench")
        .args(arguments)
        .arg("--json")
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} ended with {}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

/// The figures under these names are numbers above zero.
#[track_caller]
fn assert_measured(report: &Value, pointers: &[&str]) {
    for pointer in pointers {
        let figure = report.pointer(pointer).and_then(Value::as_f64);
        assert!(figure.is_some_and(|figure| figure > 0.0), "{pointer} in {report:#}");
    }
}

#[track_caller]
fn assert_spread(report: &Value, pointer: &str) {
    let of = |name: &str| report.pointer(&format!("{pointer}/{name}")).and_then(Value::as_f64).expect("a number");
    assert!(of("p50") > 0.0 && of("p50") <= of("p90"), "{report:#}");
    assert!(of("p90") <= of("p99") && of("p99") <= of("max"), "{report:#}");
}

#[track_caller]
fn assert_marks(report: &Value, count: usize) {
    let marks = report["marks"].as_array().expect("marks");
    assert_eq!(marks.len(), count);
    for mark in marks {
        assert!(mark["what"].is_string() && mark["wanted"].is_number(), "{mark}");
        assert!(mark["measured"].is_number() && mark["met"].is_boolean(), "{mark}");
    }
}

#[test]
fn the_door_keeps_every_delivery_that_it_acknowledged() {
    let report = bench(&["door", "--deliveries", "300", "--connections", "8"]);
    assert_eq!(report["acknowledged"], 300, "{report:#}");
    assert_eq!(report["verified"], 300, "{report:#}");
    assert_eq!(report["others"], serde_json::json!({}));
    assert_eq!(report["database"], "sqlite");
    assert!(report["durability"].as_str().is_some_and(|text| text.contains("synchronous=FULL")));
    assert!(report["body_bytes"].as_u64().is_some_and(|bytes| (21_000..23_000).contains(&bytes)), "{report:#}");
    assert_measured(
        &report,
        &["/repositories", "/seconds", "/per_second", "/cpu_micros_per_delivery", "/peak_memory_mb"],
    );
    assert_spread(&report, "/latency_ms");
    assert_marks(&report, 2);
}

#[test]
fn the_engine_brings_every_pull_request_live_and_every_push_too() {
    let report = bench(&["engine", "--pulls", "5"]);
    assert_eq!(report["verified"], 5, "{report:#}");
    assert_measured(&report, &["/peak_memory_mb", "/services"]);
    for round in ["/previews", "/updates"] {
        assert_spread(&report, &format!("{round}/event_to_live_ms"));
        let figures = [
            "all_live_seconds",
            "all_shown_seconds",
            "cpu_ms_per_deploy",
            "github_calls_per_deploy",
            "github_writes_per_deploy",
        ];
        assert_measured(&report, &figures.map(|figure| format!("{round}/{figure}")).each_ref().map(String::as_str));
    }
    assert_marks(&report, 3);
}

#[test]
fn an_idle_server_is_weighed() {
    let report = bench(&["idle", "--seconds", "1"]);
    assert_measured(&report, &["/memory_mb", "/peak_memory_mb"]);
    assert_marks(&report, 1);
}

#[test]
fn a_step_of_a_workflow_is_timed_from_its_first_line_to_its_last() {
    let report = bench(&["action", "--calls", "2", "--steps", "1"]);
    assert_eq!(report["target"], "local", "{report:#}");
    assert_measured(&report, &["/deploy_seconds"]);
    assert_spread(&report, "/first_call_ms");
    assert_spread(&report, "/unchanged_ms");
    assert_marks(&report, 2);
}

#[test]
fn a_database_in_use_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("used.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        use greenroom::model::{Chore, DeliveryId, Event, Lane, Timestamp};
        use greenroom::port::{InboxContent, NewDelivery, Receipt};
        let store = greenroom::store::open(&url).await.expect("a database");
        let receipt = store.receive(NewDelivery {
            id: DeliveryId::new("waiting").expect("an id"),
            body_hash: [1; 32],
            lane: Lane::Chore(Chore::Reconcile),
            content: InboxContent::Event(Box::new(Event::InstallationChanged)),
            at: Timestamp(1),
        });
        assert_eq!(receipt.await.expect("stored"), Receipt::Accepted);
    });
    let output = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args(["bench", "door", "--deliveries", "1", "--database", &url])
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("an empty one of its own"));
}
