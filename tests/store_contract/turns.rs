//! Whose turn it is: repositories share a server's attention.

use std::collections::BTreeSet;

use greenroom::model::{Chore, Lane, LaneShare, RepoName, Timestamp, Wake};
use greenroom::port::{Held, PortResult, Store};

use crate::Place;

/// Longer than any test's clock runs.
const LEASE: i64 = 60_000;

fn repo_lane(repo: &str) -> Lane {
    Lane::Repo(RepoName::new(repo).expect("a repository"))
}

fn stage_lane(repo: &str, stage: &str) -> Lane {
    format!("stage:{repo}/{stage}").parse().expect("a lane")
}

/// Makes the stages of so many pull requests due, the first one first.
async fn pulls(store: &dyn Store, repo: &str, count: usize, since: i64) -> PortResult<()> {
    for (number, at) in (1..=count).zip(since..) {
        store.ring(&stage_lane(repo, &format!("pr-{number}")), Timestamp(at)).await?;
    }
    Ok(())
}

async fn claim(store: &dyn Store, now: i64, share: LaneShare) -> PortResult<Option<Held>> {
    let claimed = store.claim_in_turn(Timestamp(now), LEASE, share).await?;
    Ok(claimed.map(|claimed| claimed.held))
}

/// Everything that may be claimed, in its order.
async fn claim_all(store: &dyn Store, now: i64, share: LaneShare) -> PortResult<Vec<Held>> {
    let mut all = Vec::new();
    while let Some(held) = claim(store, now, share).await? {
        all.push(held);
    }
    Ok(all)
}

fn names(held: &[Held]) -> Vec<String> {
    held.iter().map(|held| held.lane().to_string()).collect()
}

/// The smallest share, whose end is soon seen.
fn two() -> LaneShare {
    LaneShare::of(8)
}

pub(crate) async fn thirty_pull_requests_leave_another_repository_its_turn(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let share = LaneShare::of(64);
    pulls(&*store, "acme/shop", 30, 0).await?;
    let mut shop = claim_all(&*store, 100, share).await?;
    assert_eq!(shop.len(), 16, "a quarter of the server's places: {:?}", names(&shop));

    // A pull request of the docs is opened, long after all of those.
    store.ring(&repo_lane("acme/docs"), Timestamp(200)).await?;
    let docs = claim(&*store, 200, share).await?.expect("its delivery is looked at, at once");
    assert_eq!(docs.lane(), &repo_lane("acme/docs"));
    pulls(&*store, "acme/docs", 1, 201).await?;
    store.release(docs, Wake::OnBell, 0).await?;
    let docs = claim(&*store, 201, share).await?.expect("so is its stage");
    assert_eq!(docs.lane(), &stage_lane("acme/docs", "pr-1"));

    // Somebody writes a command in the shop: it waits for one stage, and not for fourteen.
    store.ring(&repo_lane("acme/shop"), Timestamp(300)).await?;
    assert!(claim(&*store, 300, share).await?.is_none(), "the shop holds its share");
    store.release(shop.remove(0), Wake::OnBell, 0).await?;
    let command = claim(&*store, 301, share).await?.expect("a place of the shop's is free");
    assert_eq!(command.lane(), &repo_lane("acme/shop"));

    // And every stage of the shop gets its turn.
    shop.push(command);
    let mut seen: BTreeSet<String> = names(&shop).into_iter().collect();
    while let Some(done) = shop.pop() {
        store.release(done, Wake::OnBell, 0).await?;
        let next = claim_all(&*store, 400, share).await?;
        seen.extend(names(&next));
        shop.extend(next);
    }
    assert_eq!(seen.len(), 30, "29 stages were not done by then, and the command: {seen:?}");
    Ok(())
}

pub(crate) async fn who_holds_the_fewest_goes_first_and_then_who_has_waited_longest(place: Place) -> PortResult<()> {
    let store = place.open().await;
    pulls(&*store, "acme/shop", 3, 10).await?;
    pulls(&*store, "acme/docs", 2, 20).await?;
    pulls(&*store, "acme/blog", 1, 5).await?;
    let order = claim_all(&*store, 100, LaneShare::UNLIMITED).await?;
    let expected = [
        "stage:acme/blog/pr-1",
        "stage:acme/shop/pr-1",
        "stage:acme/docs/pr-1",
        "stage:acme/shop/pr-2",
        "stage:acme/docs/pr-2",
        "stage:acme/shop/pr-3",
    ];
    assert_eq!(names(&order), expected);
    Ok(())
}

pub(crate) async fn a_repository_holds_no_more_than_its_share_whichever_server_asks(place: Place) -> PortResult<()> {
    let stores = [place.open().await, place.open().await];
    pulls(&*stores[0], "acme/shop", 4, 10).await?;
    let first = claim(&*stores[0], 100, two()).await?.expect("due");
    let second = claim(&*stores[1], 150, two()).await?.expect("due");
    for store in &stores {
        assert!(claim(&**store, 200, two()).await?.is_none(), "{first:?} {second:?}");
        let next = store.next_turn(Timestamp(200), two()).await?;
        assert_eq!(next, Some(Timestamp(100 + LEASE)), "nobody looks before the first lease is over");
    }
    assert_eq!(stores[0].next_due().await?, Some(Timestamp(12)), "there would be something to do");
    // Others have turns of their own.
    stores[0].ring(&stage_lane("acme/docs", "pr-1"), Timestamp(300)).await?;
    stores[0].ring(&Lane::Chore(Chore::Sweep), Timestamp(301)).await?;
    assert_eq!(stores[1].next_turn(Timestamp(250), two()).await?, Some(Timestamp(300)));
    let others = claim_all(&*stores[1], 301, two()).await?;
    assert_eq!(names(&others), ["stage:acme/docs/pr-1", "chore:sweep"]);

    stores[1].release(second, Wake::OnBell, 0).await?;
    let third = claim(&*stores[0], 302, two()).await?.expect("a place of the shop's is free");
    assert_eq!(third.lane(), &stage_lane("acme/shop", "pr-3"));
    assert!(claim(&*stores[1], 303, two()).await?.is_none());
    Ok(())
}

pub(crate) async fn a_lease_that_is_over_takes_no_share(place: Place) -> PortResult<()> {
    let store = place.open().await;
    pulls(&*store, "acme/shop", 6, 10).await?;
    assert_eq!(claim_all(&*store, 100, two()).await?.len(), 2);
    // Whoever held them died.
    let over = 100 + LEASE;
    assert_eq!(store.next_turn(Timestamp(over), two()).await?, Some(Timestamp(12)));
    let taken_over = claim_all(&*store, over, two()).await?;
    assert_eq!(names(&taken_over), ["stage:acme/shop/pr-1", "stage:acme/shop/pr-2"]);
    Ok(())
}

pub(crate) async fn the_server_s_own_duties_each_have_their_turn(place: Place) -> PortResult<()> {
    let store = place.open().await;
    pulls(&*store, "acme/shop", 5, 10).await?;
    for chore in Chore::ALL {
        store.ring(&Lane::Chore(chore), Timestamp(50)).await?;
    }
    let order = names(&claim_all(&*store, 100, two()).await?);
    let chores: Vec<String> = Chore::ALL.into_iter().map(|chore| Lane::Chore(chore).to_string()).collect();
    assert_eq!(order[0], "stage:acme/shop/pr-1");
    let last = 1 + chores.len();
    assert_eq!(order[1..last].iter().collect::<BTreeSet<_>>(), chores.iter().collect());
    assert_eq!(order[last..], ["stage:acme/shop/pr-2"]);
    Ok(())
}

/// Three repositories whose stages are due again as soon as they are given back, and a server that works
/// at two lanes.
pub(crate) async fn nobody_waits_for_ever(place: Place) -> PortResult<()> {
    const ROUNDS: i64 = 60;
    let store = place.open().await;
    let sizes = [("acme/shop", 9), ("acme/docs", 2), ("acme/blog", 1)];
    for (repo, count) in sizes {
        pulls(&*store, repo, count, 0).await?;
    }
    let (mut held, mut turns) = (Vec::new(), Vec::new());
    for now in 100..100 + ROUNDS {
        while held.len() < 2 {
            let next = claim(&*store, now, two()).await?.expect("something is due");
            turns.push(next.lane().to_string());
            held.push(next);
        }
        store.release(held.remove(0), Wake::At(Timestamp(now)), 0).await?;
    }
    for (repo, count) in sizes {
        let of = |turn: &&String| turn.starts_with(&format!("stage:{repo}/"));
        let all: BTreeSet<&String> = turns.iter().filter(of).collect();
        assert_eq!(all.len(), count, "{repo}: {turns:?}");
        let share = turns.iter().filter(of).count();
        assert!(share >= 8, "{repo} had {share} of {} turns: {turns:?}", turns.len());
    }
    Ok(())
}
