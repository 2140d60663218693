//! The crash matrix with the AWS adapter: the process dies before or after every effect on the target,
//! has it happen twice, and dies before or after every single call that changes AWS. The world ends
//! the same. In which of these ways at each point is a matter of the run's depth.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::aws_world::{Keep, ONCE, World};
use crate::depth::Depth;
use crate::faulty::{Mishap, is_change};
use crate::fuse::{Fuse, Point, Scope, fused};
use crate::ministack::{Containers, MiniStack};
use greenroom::model::{CommitSha, StageStatus};

/// What happens while the process is in danger.
#[derive(Debug, Clone, Copy)]
enum Part {
    Opens,
    Pushes,
    Closes,
}

/// Where it dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    /// It does not; what it does is counted.
    None,
    AtEffect(usize, Point),
    AtCall(usize, Mishap),
}

/// What was there to die at.
struct Seen {
    effects: usize,
    calls: Vec<String>,
}

/// Tells the story up to its part with nothing in the way, then the part with the danger, then
/// everything after it by a new process; checks that the world is as it should be.
async fn told(aws: &MiniStack, keep: Keep, part: Part, death: Death) -> Seen {
    let story = format!("{keep:?}, {part:?}, {death:?}");
    let mut w = World::keeping(aws, keep).await;
    let mut head = None;
    if !matches!(part, Part::Opens) {
        head = Some(w.open());
        w.settle().await;
    }
    if matches!(part, Part::Closes) {
        assert_live(&w, head.as_ref(), &story).await;
    }
    let fuse = endangered(&mut w, death).await;
    match part {
        Part::Opens => head = Some(w.open()),
        Part::Pushes => head = Some(w.push("two")),
        Part::Closes => w.close(),
    }
    w.github.deliveries_settled().await;
    live_on(&w, &fuse).await;
    let seen = Seen { effects: fuse.seen(), calls: w.door.calls() };
    w.door.mend();
    w.restart().await;
    // The lease of the one that died.
    w.clock.advance(61_000);
    w.settle().await;
    if !matches!(part, Part::Closes) {
        assert_live(&w, head.as_ref(), &story).await;
        w.close();
    }
    let status = w.settle_until(|status| matches!(status, StageStatus::Gone { .. })).await;
    assert!(matches!(status, StageStatus::Gone { .. }), "{story}: {status:?}\n{}", w.comment());
    assert_eq!(w.estate().await, Vec::<String>::new(), "{story}");
    seen
}

async fn assert_live(w: &World, head: Option<&CommitSha>, story: &str) {
    match w.stage().await.status {
        StageStatus::Live { sha } => assert_eq!(Some(&sha), head, "{story}"),
        other => panic!("{story}: {other:?}\n{}\n{:#?}", w.comment(), w.door.calls()),
    }
    assert_eq!(w.counts().await, ONCE, "{story}: {:#?}", w.estate().await);
    let one_offs = w.one_offs().await;
    let different: BTreeSet<&String> = one_offs.iter().collect();
    assert!(!one_offs.is_empty(), "{story}: no migration ran");
    assert_eq!(different.len(), one_offs.len(), "{story}: a migration ran twice: {one_offs:?}");
}

/// A new process that dies as ordered.
async fn endangered(w: &mut World, death: Death) -> Arc<Fuse> {
    let (at, point) = match death {
        Death::AtEffect(at, point) => (at, point),
        Death::None | Death::AtCall(..) => (usize::MAX, Point::After),
    };
    let fuse = Fuse::within(Scope::Cloud, at, point);
    let fused_store = fused(&w.ports, &fuse).store;
    let mut ports = w.ports.clone();
    ports.cloud = w.adapter(fused_store).await;
    w.start(fused(&ports, &fuse));
    w.door.forget();
    if let Death::AtCall(at, mishap) = death {
        let dying = Arc::clone(&fuse);
        w.door.order_death(mishap, at, Box::new(move || dying.blow()));
    }
    fuse
}

/// As long as the process lives, it works.
async fn live_on(w: &World, fuse: &Fuse) {
    let mut idle = 0;
    while !fuse.is_blown() && idle < 100 {
        match w.engine.tick().await {
            Ok(true) => idle = 0,
            _ => {
                idle += 1;
                w.clock.advance(200);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
}

/// Tests that one matrix is divided into, so that they run beside each other.
const SHARDS: usize = 2;

/// At each effect in one of the ways every day, in all of them where everything is told.
async fn at_every_effect(part: Part, shard: usize) {
    at_every_effect_keeping(Keep::Database, part, shard).await;
}

async fn at_every_effect_keeping(keep: Keep, part: Part, shard: usize) {
    let aws = MiniStack::start(Containers::Pretended).await;
    let effects = told(&aws, keep, part, Death::None).await.effects;
    assert!(effects > 3, "{part:?} has {effects} effects");
    for at in (1..=effects).skip(shard).step_by(SHARDS) {
        let points = [Point::Before, Point::After, Point::Twice];
        for point in Depth::of_this_run().of(&format!("{keep:?} {part:?} effect {at}"), &points) {
            told(&aws, keep, part, Death::AtEffect(at, point)).await;
        }
    }
}

/// The same for the calls that change AWS.
async fn at_every_change(part: Part, shard: usize) {
    let aws = MiniStack::start(Containers::Pretended).await;
    let calls = told(&aws, Keep::Database, part, Death::None).await.calls;
    let changes: Vec<usize> = (1..=calls.len()).filter(|at| is_change(&calls[at - 1])).collect();
    assert!(changes.len() > 2, "{part:?}: {calls:#?}");
    for at in changes.into_iter().skip(shard).step_by(SHARDS) {
        let mishaps = [Mishap::DeadBefore, Mishap::DeadAfter];
        for mishap in Depth::of_this_run().of(&format!("{part:?} change {at}"), &mishaps) {
            told(&aws, Keep::Database, part, Death::AtCall(at, mishap)).await;
        }
    }
}

/// A test for each shard of each part, so that they run beside each other.
macro_rules! parts {
    ($($module:ident: $matrix:ident;)*) => {
        $(mod $module {
            use super::*;
            shards! { $matrix; of_a_pull_request_that_opens: Opens; of_a_push: Pushes; of_a_pull_request_that_closes: Closes; }
        })*
    };
}

macro_rules! shards {
    ($matrix:ident; $($name:ident: $part:ident;)*) => {
        $(mod $name {
            use super::*;
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn one() {
                $matrix(Part::$part, 0).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn two() {
                $matrix(Part::$part, SHARDS - 1).await;
            }
        })*
    };
}

/// A run of a workflow that dies, and the next one: what they know lies in a bucket of the same AWS.
mod it_dies_at_every_effect_with_its_state_in_a_bucket {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one() {
        at_every_effect_keeping(Keep::State, Part::Opens, 0).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two() {
        at_every_effect_keeping(Keep::State, Part::Opens, SHARDS - 1).await;
    }
}

parts! {
    it_dies_at_every_effect: at_every_effect;
    it_dies_at_every_change: at_every_change;
}
