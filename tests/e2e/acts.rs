//! Greenroom inside a workflow: nektos/act plays the runner, the sandbox is GitHub, and what a run deploys is
//! deployed on this machine or on MiniStack.
//!
//! The workflows run as they are, without the lines that act cannot read (`workflow::UNREADABLE`). The tests of this
//! file are about the harness itself, with a workflow that a shell serves; the stories are in `local`, `troubles`, `aws`,
//! `moves` and `builds`.

mod action;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod builds;
mod event;
mod issuer;
mod local;
#[cfg(feature = "aws")]
mod moves;
mod runner;
mod told;
mod troubles;
mod workflow;
mod yard;

use std::path::Path;
use std::time::{Duration, Instant};

use greenroom::sandbox::FileChange;
use serde_json::{Value, json};

use event::Event;
use runner::Runner;
use workflow::{UNREADABLE, Workflow};
use yard::Yard;

/// A preview as a workflow starts it. What act cannot read is in it too.
///
/// Of a step that ends within a moment of its last line act 0.2.89 loses lines now and then (its terminal is closed
/// before it is read): steps of this file whose lines are looked at take half a second more. What a step writes into
/// its files is never lost, and the stories look at nothing else.
const PREVIEW: &str = "\
name: Preview
on:
  pull_request:
    types: [opened, synchronize, closed]
permissions: {}
concurrency:
  group: preview
  queue: max
jobs:
  preview:
    name: Preview
    runs-on: ubuntu-latest
    permissions:
      contents: read # to read the commit
      id-token: write # to become somebody on AWS
    outputs:
      url: ${{ steps.greenroom.outputs.url }}
    steps:
      - id: greenroom
        uses: acme/trivial@v1
        with: { name: \"${{ vars.NAME }}\" }
  after:
    needs: preview
    runs-on: ubuntu-latest
    environment:
      name: production
      deployment: false
    steps:
      - env: { URL: \"${{ needs.preview.outputs.url }}\" }
        run: echo \"after $URL\"; sleep 0.5
";

const COMMANDS: &str = "\
on:
  issue_comment:
    types: [created]
jobs:
  wait:
    runs-on: ubuntu-latest
    steps:
      - run: exec bash wait
";

/// Tells that it was told to end, and ends; leaves one process that has taken off the mark of the run, and one that
/// has not.
const WAIT: &str = "\
trap 'echo told; sleep 0.5; exit 5' INT
env --unset=RUNNER_TRACKING_ID sleep 300 &
sleep 300 &
echo waiting
while :; do sleep 0.05; done
";

const ACTION: &str = "\
name: Trivial
description: Tells what it was given
inputs:
  name: { description: A name, required: true }
  token: { description: A token, default: \"${{ github.token }}\" }
outputs:
  url: { description: An address, value: \"${{ steps.run.outputs.url }}\" }
runs:
  using: composite
  steps:
    - id: run
      shell: bash
      env:
        NAME: ${{ inputs.name }}
        TOKEN: ${{ inputs.token }}
      run: exec bash \"$GITHUB_ACTION_PATH/script.sh\"
";

/// Asks GitHub and the issuer by the means of a shell.
const SCRIPT: &str = "\
ask() { # URL TOKEN
    local rest=${1#http://}
    exec 3<> \"/dev/tcp/${rest%%:*}/$(port=${rest#*:}; echo \"${port%%/*}\")\"
    printf 'GET /%s HTTP/1.0\\r\\nhost: localhost\\r\\nauthorization: Bearer %s\\r\\nconnection: close\\r\\n\\r\\n' \"${rest#*/}\" \"$2\" >&3
    cat <&3 | tr -d '\\r'
}
ask \"$GITHUB_API_URL/repos/$GITHUB_REPOSITORY\" \"$TOKEN\" | head -n 1
ask \"$ACTIONS_ID_TOKEN_REQUEST_URL&audience=sts.amazonaws.com\" \"$ACTIONS_ID_TOKEN_REQUEST_TOKEN\" | head -n 1
echo \"::notice title=Given::$NAME on $GITHUB_REF by $GITHUB_ACTOR\"
echo \"::error::not well\"
echo \"repository $GITHUB_REPOSITORY_ID run $GITHUB_RUN_ID commit $GITHUB_SHA token $TOKEN\"
cp \"$GITHUB_EVENT_PATH\" \"$RUNNER_TOOL_CACHE/event.json\"
printf 'url<<end\\nhttp://x.localhost\\nsecond\\nend\\n' >> \"$GITHUB_OUTPUT\"
echo '# What was done' >> \"$GITHUB_STEP_SUMMARY\"
sleep 0.5
";

fn files(_: &Path) -> Vec<FileChange> {
    vec![
        FileChange::write(".github/workflows/preview.yml", PREVIEW),
        FileChange::write(".github/workflows/commands.yml", COMMANDS),
        FileChange::write("wait", WAIT),
    ]
}

fn lay_trivial(place: &Path, _: &Runner) {
    std::fs::create_dir_all(place).expect("a folder");
    for (file, text) in [("action.yml", ACTION), ("script.sh", SCRIPT)] {
        std::fs::write(place.join(file), text).expect("a file");
    }
}

async fn trivial() -> Yard {
    let mut yard = Yard::begin(files, lay_trivial).await;
    yard.settings = vec![("NAME", "a shop".into())];
    yard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_given_its_event_and_a_token_and_tells_what_came_of_it() {
    let mut yard = trivial().await;
    let opened = yard.open("one").await;
    let told = yard.happens(&opened).await;
    assert!(told.succeeded(), "{}", told.all());
    assert_eq!(told.output("url"), "http://x.localhost\nsecond");
    assert_eq!(told.summary, "# What was done\n");
    assert_eq!(told.commands[0], ("notice".into(), "a shop on refs/pull/1/merge by ada".into()));
    assert_eq!(told.commands[1], ("error".into(), "not well".into()));
    let asked: Vec<&str> = told.printed.lines().filter(|line| line.starts_with("HTTP/")).collect();
    assert_eq!(asked, ["HTTP/1.0 200 OK", "HTTP/1.0 200 OK"], "{}", told.all());
    assert_eq!(yard.issuer.audiences(), ["sts.amazonaws.com"]);
    let head = yard.github.branch_head(&yard.repo, "topic").expect("a commit");
    let known = format!("repository {} run 1000 commit {head} token ***", yard.number());
    assert!(told.printed.contains(&known), "{}", told.all());
    assert!(told.printed.contains("after http://x.localhost"), "{}", told.all());
    let file = std::fs::read(yard.runner.tools().join("event.json")).expect("the event file");
    let file: Value = serde_json::from_slice(&file).expect("JSON");
    assert_eq!(file, opened.body, "the event file is what GitHub told");
    assert!(file.get("installation").is_none() && file["pull_request"]["head"]["sha"] == head.as_str());
    assert_eq!(yard.comments_of_bots(), Vec::<String>::new());
    yard.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_starts_what_github_starts_for_it() {
    let mut yard = trivial().await;
    let files = |yard: &Yard, event: &Event| -> Vec<String> {
        yard.started_by(event).into_iter().map(|workflow| workflow.file).collect()
    };
    let opened = yard.open("one").await;
    assert_eq!(files(&yard, &opened), ["preview.yml"]);
    let pushed = yard.push("two").await;
    assert_eq!((pushed.action(), files(&yard, &pushed)), (Some("synchronize"), vec!["preview.yml".into()]));
    let commented = yard.comment("ben", "/status").await;
    assert_eq!((commented.actor(), files(&yard, &commented)), ("ben", vec!["commands.yml".into()]));
    let pushed = yard.push_to("main", "three").await;
    assert_eq!((pushed.branch(), files(&yard, &pushed)), (Some("main"), vec![]));
    assert_eq!(files(&yard, &yard.close().await), ["preview.yml"]);
    assert_eq!(files(&yard, &Event::schedule("7 * * * *")), Vec::<String>::new());
    assert_eq!(files(&yard, &Event::dispatch("preview.yml", &json!({ "a": "b" }), &opened)), Vec::<String>::new());
    yard.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn act_still_cannot_read_what_is_kept_from_it_and_reads_the_rest() {
    let mut yard = trivial().await;
    yard.open("one").await;
    let commented = yard.comment("ben", "hello").await;
    let whole = |line: &str| match line {
        "queue:" => "concurrency:\n  group: a\n  queue: max\njobs:\n",
        "deployment: false" => "jobs:\n  a:\n    environment:\n      name: b\n      deployment: false\n",
        "cache-mode:" => "cache-mode: read\njobs:\n",
        other => panic!("no workflow has {other:?} in it"),
    };
    for (line, because) in UNREADABLE {
        let text = format!("on: issue_comment\n{}", whole(line));
        let text = if text.contains("  a:\n") { text } else { text + "  a:\n" };
        let text = text + "    runs-on: ubuntu-latest\n    steps:\n      - run: echo read; sleep 0.5\n";
        let workflow = Workflow::new("kept.yml", &text);
        let told = yard.start(&workflow, &commented).ended().await;
        assert!(told.succeeded() && told.printed.contains("read"), "{because}: {}", told.all());
        let told = yard.start_as(&workflow, workflow.text(), &commented).ended().await;
        assert!(!told.succeeded() && told.jobs.is_empty(), "act can read {line:?} by now: {}", told.all());
        assert!(told.remarks().contains("Unknown Property"), "{}", told.all());
    }
    yard.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_as_github_does_it_and_a_machine_is_lost() {
    let mut yard = trivial().await;
    yard.open("one").await;
    let commented = yard.comment("ben", "/deploy").await;
    let run = yard.begins(&commented);
    run.printed("waiting").await;
    assert_eq!(run.entries().len(), 1, "the shell of the step has become the program");
    let took = run.cancel().await;
    assert!(took < Duration::from_millis(7500), "it took {took:?}");
    let told = run.ended().await;
    assert!(!told.succeeded() && told.printed.contains("told"), "{}", told.all());
    assert_eq!(told.exit_code(), 5, "{}", told.all());
    assert_eq!(yard.left().len(), 1, "what has taken the mark off stays, what carries it is ended");

    let run = yard.begins(&commented);
    run.printed("waiting").await;
    run.kill();
    assert_eq!(yard.left().len(), 2, "nothing of the killed run but what has taken the mark off");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_runs_at_once_are_five_runs() {
    let mut yard = trivial().await;
    let opened = yard.open("one").await;
    let begun = Instant::now();
    let runs: Vec<_> = (0..5).map(|_| yard.begins(&opened)).collect();
    for (number, run) in runs.into_iter().enumerate() {
        let told = run.ended().await;
        assert!(told.succeeded(), "{}", told.all());
        assert!(told.printed.contains(&format!(" run {} ", 1000 + number)), "{}", told.all());
    }
    assert!(begun.elapsed() < Duration::from_mins(1), "it took {:?}", begun.elapsed());
    yard.finish().await;
}
