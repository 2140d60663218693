//! A fault at every call of AWS, one at a time, in the story of a pull request that is opened, pushed
//! to and closed: what passes is survived, what does not is named, and nothing is there twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws_world::{ONCE, World};
use crate::faulty::{Mishap, is_change};
use crate::ministack::{Containers, MiniStack};
use greenroom::model::{CommitSha, StageStatus};

/// A story with fewer would prove nothing.
const FEWEST_OPERATIONS: usize = 15;
/// Of a read that is repeated until something is so, one time is like the other.
const TIMES_OF_A_READ: usize = 2;

/// How often each operation was called in a telling, and which one the fault fell on.
struct Told {
    counts: BTreeMap<String, usize>,
    hit: Option<String>,
}

/// Tells the whole story, with this happening when the operation is called for the `time`-th time.
async fn told(aws: &MiniStack, mishap: Mishap, operation: &str, time: usize) -> Told {
    let w = World::on(aws).await;
    w.door.order_of(mishap, operation, time);
    let story = format!("{mishap:?} at {operation} {time}");
    let one = w.open();
    stands(&w, &one, mishap, false, &story).await;
    let was_hit = w.door.hit().is_some();
    let two = w.push("two");
    stands(&w, &two, mishap, was_hit, &story).await;
    w.close();
    let status = w.settle_until(|status| matches!(status, StageStatus::Gone { .. })).await;
    assert!(matches!(status, StageStatus::Gone { .. }), "{story}: {status:?}\n{}", w.comment());
    assert_eq!(w.estate().await, Vec::<String>::new(), "{story}, {:?}", w.door.hit());
    Told { counts: w.door.counts(), hit: w.door.hit() }
}

/// The stage is live, everything once; or, where something was denied, it failed and says what.
async fn stands(w: &World, sha: &CommitSha, mishap: Mishap, was_hit: bool, story: &str) {
    let status = w.settle_until(|status| matches!(status, StageStatus::Live { .. } | StageStatus::Failed { .. })).await;
    let hit = w.door.hit();
    match status {
        StageStatus::Live { sha: live } => {
            assert_eq!(live, *sha, "{story}");
            assert_eq!(w.counts().await, ONCE, "{story}, {hit:?}: {:#?}", w.estate().await);
            let one_offs = w.one_offs().await;
            let different: BTreeSet<&String> = one_offs.iter().collect();
            assert_eq!(different.len(), one_offs.len(), "{story}, {hit:?}: a migration ran twice: {one_offs:?}");
        }
        StageStatus::Failed { .. } if mishap == Mishap::Denied && !was_hit => {
            let operation = hit.unwrap_or_else(|| panic!("{story}: it failed without a fault:\n{}", w.comment()));
            let comment = w.comment();
            assert!(comment.contains("failed"), "{story}, {operation}: {comment}");
            let name = operation.split(':').next_back().unwrap_or_default();
            assert!(comment.contains(name), "{story}: {name} is not named: {comment}");
        }
        other => panic!("{story}, {hit:?}: {other:?}\n{}\n{:#?}", w.comment(), w.door.calls()),
    }
}

/// One fault after the other. How often something is asked until it is so differs from time to time:
/// what was called more often in any telling is told too.
async fn matrix(mishap: Mishap) {
    let aws = MiniStack::start(Containers::Pretended).await;
    let mut known = told(&aws, mishap, "none", 1).await.counts;
    assert!(known.len() >= FEWEST_OPERATIONS, "{known:#?}");
    let mut told_of = BTreeSet::new();
    let mut hits = BTreeSet::new();
    while let Some((operation, time)) = next(&known, &told_of) {
        let told = told(&aws, mishap, &operation, time).await;
        hits.extend(told.hit);
        for (operation, count) in told.counts {
            let most = known.entry(operation).or_default();
            *most = count.max(*most);
        }
        told_of.insert((operation, time));
    }
    assert!(hits.len() >= FEWEST_OPERATIONS, "few faults fell on anything: {hits:#?}");
}

/// A call that was not told of yet.
fn next(known: &BTreeMap<String, usize>, told_of: &BTreeSet<(String, usize)>) -> Option<(String, usize)> {
    let calls = known.iter().flat_map(|(operation, count)| {
        let times = if is_change(operation) { *count } else { TIMES_OF_A_READ.min(*count) };
        (1..=times).map(move |time| (operation.clone(), time))
    });
    calls.into_iter().find(|call| !told_of.contains(call))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_throttled() {
    matrix(Mishap::Throttled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_answered_with_a_server_error() {
    matrix(Mishap::Broken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_without_an_answer_after_it_took_effect() {
    matrix(Mishap::Unheard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_denied() {
    matrix(Mishap::Denied).await;
}
