//! Heads of pull requests: each sighting once, in order, kept as long as they may matter.

use greenroom::model::{PullNumber, RepoName, Timestamp, UserId, Witness};
use greenroom::port::{IntakeWrite, PortError, PortResult, Store};

use crate::Place;
use crate::sample::{held, repo, repo_lane, sha, stage_lane};

fn head(pull: u64, digit: char, at: i64) -> Witness {
    Witness { repo: repo(), pull: PullNumber(pull), sha: sha(digit), at: Timestamp(at), pusher: None }
}

fn seen(witnesses: impl IntoIterator<Item = Witness>) -> IntakeWrite {
    IntakeWrite { witnesses: witnesses.into_iter().collect(), ..IntakeWrite::default() }
}

async fn heads(store: &dyn Store, pull: u64) -> PortResult<Vec<Witness>> {
    store.witnesses(&repo(), PullNumber(pull), 100).await
}

pub(crate) async fn the_first_sighting_counts_and_a_head_can_come_back(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = held(&*store, &repo_lane()).await;
    store.apply_intake(&lane, seen([head(42, 'a', 1), head(42, 'a', 2), head(7, 'd', 3), head(42, 'b', 4)])).await?;
    store.apply_intake(&lane, seen([head(42, 'b', 5), head(42, 'a', 6)])).await?;

    assert_eq!(heads(&*store, 42).await?, [head(42, 'a', 6), head(42, 'b', 4), head(42, 'a', 1)]);
    assert_eq!(store.witnesses(&repo(), PullNumber(42), 1).await?, [head(42, 'a', 6)]);
    assert_eq!(heads(&*store, 7).await?, [head(7, 'd', 3)], "another pull request between them is no other head");
    let elsewhere = RepoName::new("acme/other").expect("a repository");
    assert_eq!(store.witnesses(&elsewhere, PullNumber(42), 9).await?, []);
    Ok(())
}

pub(crate) async fn who_pushed_a_head_is_kept_also_where_it_was_seen_before(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = held(&*store, &repo_lane()).await;
    let by = |pusher, head| Witness { pusher: Some(UserId(pusher)), ..head };
    store.apply_intake(&lane, seen([head(42, 'a', 1), by(7, head(42, 'a', 2)), by(8, head(42, 'b', 3))])).await?;
    store.apply_intake(&lane, seen([by(9, head(42, 'b', 4)), head(42, 'b', 5)])).await?;
    assert_eq!(heads(&*store, 42).await?, [by(8, head(42, 'b', 3)), by(7, head(42, 'a', 1))], "the first who is named");
    Ok(())
}

pub(crate) async fn only_the_repositorys_own_lane_witnesses(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = held(&*store, &repo_lane()).await;
    let foreign = Witness { repo: RepoName::new("acme/other").expect("a repository"), ..head(42, 'a', 1) };
    let refused = store.apply_intake(&lane, seen([head(42, 'a', 1), foreign])).await;
    assert!(matches!(refused, Err(PortError::Bug { .. })), "{refused:?}");
    let stage = held(&*store, &stage_lane("pr-42")).await;
    let refused = store.apply_intake(&stage, seen([head(42, 'a', 1)])).await;
    assert!(matches!(refused, Err(PortError::Bug { .. })), "{refused:?}");

    let newer = store.claim(Timestamp(61_000), 1000).await?.expect("the lease is over").held;
    assert_eq!(newer.lane(), &repo_lane());
    assert!(matches!(store.apply_intake(&lane, seen([head(42, 'a', 1)])).await, Err(PortError::Stale)));
    assert_eq!(heads(&*store, 42).await?, []);
    Ok(())
}

pub(crate) async fn old_heads_are_forgotten_but_never_the_newest(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = held(&*store, &repo_lane()).await;
    let all =
        [head(42, 'a', 10), head(42, 'b', 20), head(42, 'c', 30), head(7, 'd', 5), head(8, 'e', 6), head(8, 'f', 7)];
    store.apply_intake(&lane, seen(all)).await?;

    assert_eq!(store.forget(Timestamp(5)).await?, 0);
    assert_eq!(store.forget(Timestamp(20)).await?, 2, "a of 42 and e of 8");
    assert_eq!(heads(&*store, 42).await?, [head(42, 'c', 30), head(42, 'b', 20)]);
    assert_eq!(heads(&*store, 7).await?, [head(7, 'd', 5)]);
    assert_eq!(store.forget(Timestamp(i64::MAX)).await?, 1);
    assert_eq!(heads(&*store, 42).await?, [head(42, 'c', 30)]);
    assert_eq!(heads(&*store, 8).await?, [head(8, 'f', 7)]);
    Ok(())
}
