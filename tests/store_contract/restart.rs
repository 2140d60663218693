//! Acknowledged means on disk.

use std::time::Duration;

use futures_util::future::join_all;
use greenroom::model::{Outcome, Output, StepEventKind, Timestamp, Wake};
use greenroom::port::{PortError, PortResult, Receipt, Store};

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

/// A server that was restarted, or a proxy that cut connections: whoever asks in that moment is told
/// to ask again, whoever comes later notices nothing.
pub(crate) async fn lost_connections_are_replaced() -> PortResult<()> {
    let place = Place::postgres().await;
    let store = place.open().await;
    store.receive(delivery("d1", "body 1")).await?;
    all_read(&*store).await?;
    place.cut_connections().await;
    let mut refused = 0;
    while let Err(error) = store.ping().await {
        assert!(matches!(error, PortError::Retry { .. }), "{error:?}");
        refused += 1;
        assert!(refused < 16, "lost connections are lent again and again");
    }
    all_read(&*store).await?;
    arrives(&*store, "d2").await?;

    place.cut_connections().await;
    // Who was not asked for longer than this is asked for a sign of life first.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    all_read(&*store).await?;
    arrives(&*store, "d3").await
}

/// The second time at the latest: of what was lost in a commit nobody knows whether it is on disk.
async fn arrives(store: &dyn Store, id: &str) -> PortResult<()> {
    match store.receive(delivery(id, id)).await {
        Err(PortError::Retry { .. }) => store.receive(delivery(id, id)).await.map(drop),
        answer => answer.map(drop),
    }
}

/// More at once than there are connections.
async fn all_read(store: &dyn Store) -> PortResult<()> {
    join_all((0..16).map(|_| store.ping())).await.into_iter().collect()
}
