//! Deploys, their logs and their ends.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use greenroom::model::{
    DeployId, Generation, Outcome, Output, Release, StageStatus, StepEventKind, StepKey, Timestamp,
};
use greenroom::port::{PortError, PortResult, StageHistory};

use crate::Place;
use crate::sample::{deploy, held, line, sha, stage, stage_id, stage_lane};

pub(crate) async fn a_running_deploy_is_opened_once(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let held = held(&*store, &stage_lane("pr-42")).await;
    let first = store.open_deploy(&held, deploy("pr-42", 1)).await?;
    let mut other = deploy("pr-42", 1);
    other.started_at = Timestamp(9999);
    assert_eq!(store.open_deploy(&held, other).await?, first, "the one that runs is answered");
    let second = store.open_deploy(&held, deploy("pr-42", 2)).await?;
    assert!(second.id > first.id);
    let newest: Vec<DeployId> = store.deploys(&stage_id("pr-42"), 10).await?.iter().map(|deploy| deploy.id).collect();
    assert_eq!(newest, [second.id, first.id]);
    assert_eq!(store.deploys(&stage_id("pr-42"), 1).await?, [second]);
    assert_eq!(store.counts(Timestamp(0)).await?.deploys_running, 2);

    let superseded = Outcome::Superseded { by: Generation(2) };
    store.close_deploy(&held, first.id, superseded, Timestamp(7000), &stage("pr-42", 2), None).await?;
    let again = store.open_deploy(&held, deploy("pr-42", 1)).await?;
    assert!(again.id > first.id, "one that ended does not run again");
    Ok(())
}

pub(crate) async fn the_log_keeps_its_order_and_refuses_a_taken_number(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let held = held(&*store, &stage_lane("pr-42")).await;
    let opened = store.open_deploy(&held, deploy("pr-42", 1)).await?;
    let done = |seq| {
        line(&held, seq, "fetch", StepEventKind::Done(Output::Source { path: "src/ü\0".to_owned(), gaps: Vec::new() }))
    };
    let started = line(&held, 1, "fetch", StepEventKind::Started);
    store.append(&held, opened.id, vec![started.clone()]).await?;
    let next = line(&held, 3, "build:web", StepEventKind::Started);
    store.append(&held, opened.id, vec![done(2), next.clone()]).await?;

    let taken = vec![line(&held, 4, "check:web", StepEventKind::Started), done(3)];
    assert!(matches!(store.append(&held, opened.id, taken).await, Err(PortError::Bug { .. })));
    let log = store.log(opened.id).await?;
    assert_eq!(log.events(), [started, done(2), next], "nothing of the refused call was written");
    assert_eq!(log.next_seq(), 4);
    assert_eq!(
        log.output(&StepKey("fetch".to_owned())),
        Some(&Output::Source { path: "src/ü\0".to_owned(), gaps: Vec::new() })
    );
    let nowhere = vec![line(&held, 1, "fetch", StepEventKind::Started)];
    assert!(matches!(store.append(&held, DeployId(999_999), nowhere).await, Err(PortError::Bug { .. })));
    Ok(())
}

pub(crate) async fn an_intent_is_written_only_while_nobody_rings(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let held = held(&*store, &stage_lane("pr-42")).await;
    let opened = store.open_deploy(&held, deploy("pr-42", 1)).await?;
    let started = |seq, step| line(&held, seq, step, StepEventKind::Started);
    let done = |seq, step| line(&held, seq, step, StepEventKind::Done(Output::Nothing));
    store.ring(&stage_lane("pr-43"), Timestamp(1000)).await?;
    assert!(store.append_unless_rung(&held, opened.id, Vec::new(), started(1, "fetch")).await?);
    assert!(store.append_unless_rung(&held, opened.id, vec![done(2, "fetch")], started(3, "prepare")).await?);

    store.ring(&stage_lane("pr-42"), Timestamp(9999)).await?;
    assert!(!store.append_unless_rung(&held, opened.id, vec![done(4, "prepare")], started(5, "tidy")).await?);
    let lines = [started(1, "fetch"), done(2, "fetch"), started(3, "prepare"), done(4, "prepare")];
    assert_eq!(store.history(&stage_id("pr-42"), 1).await?.log.events(), lines);
    assert_eq!(store.history(&stage_id("pr-43"), 1).await?, StageHistory::default());
    assert_eq!(store.log(opened.id).await?.events(), lines, "what ended is there, the intent is not");
    Ok(())
}

/// Forty stages append at once, and every fifth line has a number that is taken.
pub(crate) async fn one_bad_write_spoils_no_other(place: Place) -> PortResult<()> {
    const STAGES: usize = 40;
    let store = place.open().await;
    let mut work = Vec::new();
    for number in 0..STAGES {
        let name = format!("pr-{number}");
        let held = held(&*store, &stage_lane(&name)).await;
        let opened = store.open_deploy(&held, deploy(&name, 1)).await?;
        let first = line(&held, 1, "fetch", StepEventKind::Started);
        store.append(&held, opened.id, vec![first]).await?;
        work.push((number, held, opened.id));
    }
    let appended = join_all(work.iter().map(|(number, held, id)| {
        let seq = if number % 5 == 0 { 1 } else { 2 };
        store.append(held, *id, vec![line(held, seq, "fetch", StepEventKind::Done(Output::Nothing))])
    }))
    .await;
    for ((number, _, id), appended) in work.iter().zip(appended) {
        let lines = store.log(*id).await?.events().len();
        match (number % 5, appended) {
            (0, Err(PortError::Bug { .. })) => assert_eq!(lines, 1),
            (1.., Ok(())) => assert_eq!(lines, 2),
            (_, other) => panic!("stage {number} was answered {other:?}"),
        }
    }
    Ok(())
}

pub(crate) async fn the_end_of_a_deploy_is_one_write(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let held = held(&*store, &stage_lane("pr-42")).await;
    store.save_status(&held, &stage("pr-42", 1)).await?;
    let opened = store.open_deploy(&held, deploy("pr-42", 1)).await?;
    let mut live = stage("pr-42", 1);
    live.status = StageStatus::Live { sha: sha('b') };
    live.expires_at = Some(Timestamp(50_000));
    let release = Release {
        stage: stage_id("pr-42"),
        deploy: opened.id,
        generation: Generation(1),
        sha: sha('b'),
        digest: "d".to_owned(),
        artifacts: BTreeMap::new(),
        at: Timestamp(8000),
        only: Vec::new(),
    };
    let nowhere = DeployId(999_999);
    let refused =
        store.close_deploy(&held, nowhere, Outcome::Live, Timestamp(8000), &live, Some(release.clone())).await;
    assert!(matches!(refused, Err(PortError::Bug { .. })));
    assert_eq!(store.stage(&stage_id("pr-42")).await?, Some(stage("pr-42", 1)), "nothing of it was written");

    store.close_deploy(&held, opened.id, Outcome::Live, Timestamp(8000), &live, Some(release.clone())).await?;
    assert_eq!(store.stage(&stage_id("pr-42")).await?, Some(live.clone()));
    assert_eq!(store.releases(&stage_id("pr-42"), 10).await?, std::slice::from_ref(&release));
    let history = store.history(&stage_id("pr-42"), 1).await?;
    assert_eq!((history.release, history.deploys), (Some(release), store.deploys(&stage_id("pr-42"), 1).await?));
    assert_eq!(store.deploys(&stage_id("pr-42"), 1).await?[0].ended, Some((Timestamp(8000), Outcome::Live)));
    let twice = store.close_deploy(&held, opened.id, Outcome::Failed, Timestamp(9000), &live, None).await;
    assert!(matches!(twice, Err(PortError::Bug { .. })), "an end is final");
    Ok(())
}
