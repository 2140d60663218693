//! Acknowledged means on disk.

use futures_util::future::join_all;
use greenroom::model::{Outcome, Output, StepEventKind, Timestamp, Wake};
use greenroom::port::{PortResult, Receipt};

use crate::Place;
use crate::sample::{delivery, deploy, held, line, repo_lane, stage, stage_id, stage_lane};

pub(crate) async fn everything_acknowledged_is_there_after_a_restart(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let stage_held = held(&*store, &stage_lane("pr-42")).await;
    let opened = store.open_deploy(&stage_held, deploy("pr-42", 1)).await?;
    let lines = vec![
        line(&stage_held, 1, "fetch", StepEventKind::Started),
        line(&stage_held, 2, "fetch", StepEventKind::Done(Output::Nothing)),
    ];
    store.append(&stage_held, opened.id, lines.clone()).await?;
    store.close_deploy(&stage_held, opened.id, Outcome::Failed, Timestamp(8000), &stage("pr-42", 1), None).await?;
    for received in join_all((0..100).map(|n| store.receive(delivery(&format!("d{n}"), &format!("body {n}"))))).await {
        assert_eq!(received?, Receipt::Accepted);
    }
    store.release(stage_held, Wake::At(Timestamp(50_000)), 2).await?;

    // No clean stop: the first store is still open, its task alive, when the next one looks.
    let next = place.open().await;
    let held = next.claim(Timestamp(1000), 60_000).await?.expect("the repository was rung").held;
    assert_eq!(held.lane(), &repo_lane());
    assert_eq!(next.inbox(&held, 1000).await?.len(), 100);
    assert_eq!(next.log(opened.id).await?.events(), lines);
    assert_eq!(next.deploys(&stage_id("pr-42"), 5).await?[0].ended, Some((Timestamp(8000), Outcome::Failed)));
    assert_eq!(next.stage(&stage_id("pr-42")).await?, Some(stage("pr-42", 1)));
    assert_eq!(next.claim(Timestamp(50_000), 1).await?.map(|claimed| claimed.attempts), Some(2));
    drop(store);
    next.ping().await
}

/// On SQLite the server that starts is the only one, so nobody holds a lane any more; on PostgreSQL
/// another server may be at work on it.
pub(crate) async fn a_server_that_starts_finds_lanes_free_only_where_it_is_alone(place: Place) -> PortResult<()> {
    let is_alone = place.folder.is_some();
    let killed = place.open().await;
    let stale = held(&*killed, &stage_lane("pr-42")).await;
    let beside = place.open().await;
    assert!(beside.claim(Timestamp(1000), 60_000).await?.is_none(), "a command beside the server takes nothing");

    let next = greenroom::store::open_for_server(&place.url).await.expect("the store opens");
    let claimed = next.claim(Timestamp(1000), 60_000).await?;
    assert_eq!(claimed.map(|claimed| claimed.held.lane().clone()), is_alone.then(|| stage_lane("pr-42")));
    let late = killed.release(stale, Wake::OnBell, 0).await;
    assert_eq!(late.is_err(), is_alone, "who lost the lane touches nothing");
    Ok(())
}

/// The disk as a power cut would leave it: the files are copied, without a word to the store,
/// between the acknowledgement and anything that follows it.
pub(crate) async fn a_copy_of_the_files_holds_what_was_acknowledged() -> PortResult<()> {
    let place = Place::sqlite();
    let store = place.open().await;
    for round in 0..20 {
        let calls = (0..50).map(|n| store.receive(delivery(&format!("d{round}-{n}"), &format!("body {round} {n}"))));
        for received in join_all(calls).await {
            assert_eq!(received?, Receipt::Accepted);
        }
        let after = Place::sqlite();
        for name in ["greenroom.db", "greenroom.db-wal"] {
            std::fs::copy(place.file(name), after.file(name)).expect("the file is copied");
        }
        let counts = after.open().await.counts(Timestamp(1000)).await?;
        assert_eq!((counts.inbox_waiting, counts.lanes_due), ((round + 1) * 50, 1));
    }
    Ok(())
}
