//! A fault at every call of AWS, one at a time, in the story of a pull request that is opened, pushed
//! to and closed: what passes is survived, what does not is named, and nothing is there twice.
//!
//! Every call fails in every run. In how many of the four ways is a matter of the run's depth.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws_world::{ONCE, World};
use crate::depth::Depth;
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

/// In which ways a call fails.
const MISHAPS: [Mishap; 4] = [Mishap::Throttled, Mishap::Broken, Mishap::Unheard, Mishap::Denied];
/// Tests that one matrix is divided into, so that they run beside each other.
const SHARDS: usize = 2;

/// A call that is to fail: which operation, and the how manieth time of it.
type Call = (String, usize);

/// One fault after the other. How often something is asked until it is so differs from time to time:
/// what was called more often in any telling is told too.
async fn matrix(mishap: Mishap, shard: usize) {
    let aws = MiniStack::start(Containers::Pretended).await;
    let mut known = told(&aws, mishap, "none", 1).await.counts;
    assert!(known.len() >= FEWEST_OPERATIONS, "{known:#?}");
    let mut told_of = BTreeSet::new();
    let mut hits = 0;
    while let Some((operation, time)) = next(&known, mishap, shard, &told_of) {
        let told = told(&aws, mishap, &operation, time).await;
        hits += usize::from(told.hit.is_some());
        for (operation, count) in told.counts {
            let most = known.entry(operation).or_default();
            *most = count.max(*most);
        }
        told_of.insert((operation, time));
    }
    // A call that was made once more in one telling is not always there in another.
    assert!(!told_of.is_empty() && hits * 3 >= told_of.len() * 2, "{hits} faults fell on anything, of {told_of:#?}");
}

/// A call that was not told of yet.
fn next(known: &BTreeMap<String, usize>, mishap: Mishap, shard: usize, told_of: &BTreeSet<Call>) -> Option<Call> {
    let depth = Depth::of_this_run();
    let calls = known.iter().flat_map(|(operation, count)| {
        let times = if is_change(operation) { *count } else { TIMES_OF_A_READ.min(*count) };
        (1..=times).map(move |time| (operation.clone(), time))
    });
    // By the call itself: which others are known changes on the way.
    let is_ours =
        |(operation, time): &Call| (operation.bytes().map(usize::from).sum::<usize>() + time) % SHARDS == shard;
    let fails_so = |(operation, time): &Call| depth.of(&format!("{operation} {time}"), &MISHAPS).contains(&mishap);
    calls.filter(is_ours).filter(fails_so).find(|call| !told_of.contains(call))
}

/// A test for each shard of the calls and each way to fail.
macro_rules! ways {
    ($($name:ident: $mishap:ident;)*) => {
        $(mod $name {
            use super::*;
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn one() {
                matrix(Mishap::$mishap, 0).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn two() {
                matrix(Mishap::$mishap, SHARDS - 1).await;
            }
        })*
    };
}

ways! {
    every_call_throttled: Throttled;
    every_call_answered_with_a_server_error: Broken;
    every_call_without_an_answer_after_it_took_effect: Unheard;
    every_call_denied: Denied;
}
