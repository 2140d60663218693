//! Rings, claims, leases and releases.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use greenroom::model::{Chore, Lane, Timestamp, Wake};
use greenroom::port::{LaneState, PortError, PortResult};
use sqlx::Executor as _;

use crate::Place;
use crate::sample::{held, repo_lane, stage_lane};

pub(crate) async fn a_ring_makes_a_lane_due_once(place: Place) -> PortResult<()> {
    let store = place.open().await;
    assert_eq!(store.next_due().await?, None);
    assert!(store.claim(Timestamp(i64::MAX / 2), 1).await?.is_none());

    let lane = Lane::Chore(Chore::Sweep);
    store.ring(&lane, Timestamp(500)).await?;
    store.ring(&lane, Timestamp(300)).await?;
    store.ring(&lane, Timestamp(900)).await?;
    assert_eq!(store.next_due().await?, Some(Timestamp(300)), "the earliest wish counts");
    assert!(store.claim(Timestamp(299), 1000).await?.is_none());
    let claimed = store.claim(Timestamp(300), 1000).await?.expect("due");
    assert_eq!((claimed.held.lane(), claimed.held.bell(), claimed.attempts), (&lane, 3, 0));
    assert_eq!(claimed.held.lease_until(), Timestamp(1300));
    assert!(store.claim(Timestamp(1299), 1000).await?.is_none(), "it is held");
    assert_eq!(store.next_due().await?, Some(Timestamp(1300)), "then its lease is over");
    store.release(claimed.held, Wake::OnBell, 0).await?;
    assert_eq!(store.next_due().await?, None);
    Ok(())
}

pub(crate) async fn the_longest_due_is_claimed_first(place: Place) -> PortResult<()> {
    let store = place.open().await;
    for (name, at) in [("pr-1", 30), ("pr-2", 10), ("pr-3", 20)] {
        store.ring(&stage_lane(name), Timestamp(at)).await?;
    }
    assert_eq!(store.counts(Timestamp(20)).await?.lanes_due, 2);
    let mut order = Vec::new();
    while let Some(claimed) = store.claim(Timestamp(100), 1000).await? {
        order.push(claimed.held.lane().to_string());
    }
    assert_eq!(order, ["stage:acme/shop/pr-2", "stage:acme/shop/pr-3", "stage:acme/shop/pr-1"]);
    Ok(())
}

pub(crate) async fn a_claim_among_some_takes_none_of_the_others(place: Place) -> PortResult<()> {
    let store = place.open().await;
    for (name, at) in [("pr-1", 10), ("pr-2", 20), ("pr-3", 30)] {
        store.ring(&stage_lane(name), Timestamp(at)).await?;
    }
    let wanted = ["pr-3", "pr-2", "pr-9"].map(stage_lane);
    let next = async |now| PortResult::Ok(store.claim_among(Timestamp(now), 100, &wanted).await?.map(|won| won.held));
    assert!(next(19).await?.is_none(), "the one that is due is not wanted");
    let first = next(30).await?.expect("due");
    assert_eq!((first.lane(), first.bell(), first.lease_until()), (&wanted[0], 1, Timestamp(130)));
    let second = next(30).await?.expect("due");
    assert_eq!(second.lane(), &wanted[1]);
    assert!(next(129).await?.is_none(), "both are held");
    store.release(second, Wake::OnBell, 3).await?;
    let again = next(130).await?.expect("its lease is over");
    assert_eq!(again.lane(), &wanted[0]);
    let late = store.release(first, Wake::OnBell, 0).await;
    assert!(matches!(late, Err(PortError::Stale)), "{late:?}");
    assert!(store.claim_among(Timestamp(130), 100, &[]).await?.is_none());
    assert_eq!(store.claim(Timestamp(130), 100).await?.expect("due").held.lane(), &stage_lane("pr-1"));
    Ok(())
}

/// PostgreSQL chooses how it looks for lanes by what it last knew of them: here, that none is due.
pub(crate) async fn a_claim_takes_no_more_than_it_answers(place: Place) -> PortResult<()> {
    const LANES: i64 = 300;
    let store = place.open().await;
    let lanes: Vec<Lane> = (0..LANES).map(|number| stage_lane(&format!("pr-{number}"))).collect();
    let ring = |at| join_all(lanes.iter().map(move |lane| (lane, at)).map(|(lane, at)| store.ring(lane, at)));
    for rung in ring(Timestamp(1_000_000)).await {
        rung?;
    }
    place.by_hand().await.execute("ANALYZE lane").await.expect("the table is there");
    for rung in ring(Timestamp(1000)).await {
        rung?;
    }
    for claimed in 1..=20 {
        assert!(store.claim(Timestamp(1000), 60_000).await?.is_some());
        assert_eq!(store.counts(Timestamp(1000)).await?.lanes_due, LANES - claimed);
    }
    Ok(())
}

pub(crate) async fn an_expired_lease_can_be_claimed_and_its_holder_is_stale(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let mut first = held(&*store, &repo_lane()).await;
    store.renew(&mut first, Timestamp(200_000)).await?;
    assert_eq!(first.lease_until(), Timestamp(200_000));
    assert!(store.claim(Timestamp(199_999), 1000).await?.is_none(), "the lease was renewed");

    let second = store.claim(Timestamp(200_000), 60_000).await?.expect("the lease is over").held;
    assert!(second.fence() > first.fence());
    assert!(matches!(store.renew(&mut first, Timestamp(900_000)).await, Err(PortError::Stale)));
    assert_eq!(first.lease_until(), Timestamp(200_000), "a refused renewal moves nothing");
    assert!(matches!(store.release(first, Wake::OnBell, 0).await, Err(PortError::Stale)));
    assert_eq!(store.next_due().await?, Some(Timestamp(260_000)), "the second one still holds it");
    store.release(second, Wake::OnBell, 0).await?;
    Ok(())
}

pub(crate) async fn a_ring_during_the_work_is_not_lost(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let first = held(&*store, &repo_lane()).await;
    store.ring(&repo_lane(), Timestamp(5000)).await?;
    store.release(first, Wake::At(Timestamp(99_000)), 0).await?;
    let due = store.next_due().await?.expect("it stays due");
    assert!(due <= Timestamp(5000), "{due:?}");
    assert!(store.claim(Timestamp(5000), 1000).await?.is_some());
    Ok(())
}

pub(crate) async fn a_released_lane_keeps_its_wish_and_its_attempts(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let first = held(&*store, &repo_lane()).await;
    store.release(first, Wake::At(Timestamp(8000)), 3).await?;
    assert!(store.claim(Timestamp(7999), 1000).await?.is_none());
    let second = store.claim(Timestamp(8000), 1000).await?.expect("its wish has come");
    assert_eq!(second.attempts, 3);
    store.release(second.held, Wake::OnBell, 0).await?;
    let third = held(&*store, &repo_lane()).await;
    store.release(third, Wake::At(Timestamp(1)), 0).await?;
    assert_eq!(store.claim(Timestamp(8000), 1000).await?.expect("due").attempts, 0);
    Ok(())
}

/// Two stores on one database, eight workers each, eight ringers: no lane is ever held twice, and
/// every ring is followed by a claim that has seen it.
pub(crate) async fn never_two_holders_of_one_lane(place: Place) -> PortResult<()> {
    const LANES: usize = 12;
    const RINGS: i64 = 50;
    let stores = [place.open().await, place.open().await];
    let names: Vec<String> = (0..LANES).map(|number| format!("pr-{number}")).collect();
    let busy: Arc<HashMap<Lane, AtomicBool>> =
        Arc::new(names.iter().map(|name| (stage_lane(name), AtomicBool::new(false))).collect());
    let seen: Arc<Mutex<HashMap<Lane, i64>>> = Arc::default();
    let ringing = Arc::new(AtomicI64::new(8));

    let ringers = (0..8).map(|ringer: usize| {
        let (store, names, ringing) = (stores[ringer % 2].clone(), names.clone(), ringing.clone());
        tokio::spawn(async move {
            for ring in 0..RINGS {
                let name = &names[(ringer + usize::try_from(ring).expect("a small number")) % LANES];
                store.ring(&stage_lane(name), Timestamp(ring)).await.expect("rung");
            }
            ringing.fetch_sub(1, Ordering::SeqCst);
        })
    });
    let workers = (0..16).map(|worker: usize| {
        let (store, busy, seen, ringing) = (stores[worker % 2].clone(), busy.clone(), seen.clone(), ringing.clone());
        tokio::spawn(async move {
            loop {
                let over = ringing.load(Ordering::SeqCst) == 0;
                let Some(claimed) = store.claim(Timestamp(RINGS), 1_000_000).await.expect("asked") else {
                    // A lane that another process is just writing is left out of a claim, so only
                    // `next_due` says that there is nothing.
                    if over && store.next_due().await.expect("asked").is_none_or(|due| due > Timestamp(RINGS)) {
                        break;
                    }
                    continue;
                };
                let lane = claimed.held.lane().clone();
                assert!(!busy[&lane].swap(true, Ordering::SeqCst), "{lane} is held twice");
                tokio::task::yield_now().await;
                seen.lock().expect("unpoisoned").insert(lane.clone(), claimed.held.bell());
                assert!(busy[&lane].swap(false, Ordering::SeqCst));
                store.release(claimed.held, Wake::OnBell, 0).await.expect("released");
            }
        })
    });
    for task in join_all(ringers.chain(workers).collect::<Vec<_>>()).await {
        task.expect("the task ends well");
    }
    assert_eq!(stores[0].next_due().await?, None, "all were handled");
    let seen: i64 = seen.lock().expect("unpoisoned").values().sum();
    assert_eq!(seen, 8 * RINGS, "the last claim of each lane had seen every ring");
    Ok(())
}

pub(crate) async fn a_lane_is_at_rest_once_all_that_was_asked_is_looked_at(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = stage_lane("pr-1");
    let state = async |at| store.lane_state(&lane, Timestamp(at)).await;
    assert_eq!(state(0).await?, LaneState::AtRest, "it was never rung");

    store.ring(&lane, Timestamp(10)).await?;
    assert_eq!((state(9).await?, state(10).await?), (LaneState::AtRest, LaneState::Busy));
    let claimed = store.claim(Timestamp(10), 1000).await?.expect("due");
    assert_eq!(state(1009).await?, LaneState::Busy, "it is held");
    store.release(claimed.held, Wake::At(Timestamp(5000)), 0).await?;
    assert_eq!((state(20).await?, state(5000).await?), (LaneState::AtRest, LaneState::Busy));

    let claimed = store.claim(Timestamp(5000), 1000).await?.expect("due");
    store.ring(&lane, Timestamp(5001)).await?;
    store.release(claimed.held, Wake::OnBell, 0).await?;
    assert_eq!(state(5001).await?, LaneState::Busy, "it was rung while it was held");
    let claimed = store.claim(Timestamp(5001), 1000).await?.expect("due");
    store.release(claimed.held, Wake::At(Timestamp(9000)), 3).await?;
    assert_eq!(state(5002).await?, LaneState::Failing { attempts: 3 });
    let claimed = store.claim(Timestamp(9000), 1000).await?.expect("due");
    store.release(claimed.held, Wake::OnBell, 0).await?;
    assert_eq!(state(i64::MAX / 2).await?, LaneState::AtRest);
    Ok(())
}
