//! Repositories share the attention of all servers on one database.

use greenroom::engine::EngineSettings;
use greenroom::model::{Chore, Lane, LaneShare};
use greenroom::port::{Clock, Held};

use crate::world::World;

/// Another server on the same database works at so many stages of the shop.
async fn works_elsewhere(w: &World, stages: i64) -> Vec<Held> {
    let mut held = Vec::new();
    for number in 0..stages {
        w.ring(Lane::Stage(w.stage_id(&format!("elsewhere-{number}")))).await;
        let claimed = w.store.claim(w.clock.now(), 60_000).await.expect("the database answers");
        held.push(claimed.expect("it was rung").held);
    }
    held
}

#[tokio::test]
async fn a_repository_that_has_its_share_waits_and_others_do_not() {
    let w = World::new().await;
    w.settle().await;
    let share = LaneShare::of(EngineSettings::default().workers).lanes();
    let elsewhere = works_elsewhere(&w, share).await;
    let (_, head) = w.open("topic", "2");
    w.github.deliveries_settled().await;
    assert!(!w.engine.tick().await.expect("the database answers"), "the shop has its share of both servers");
    w.ring(Lane::Chore(Chore::Sweep)).await;
    assert!(w.engine.tick().await.expect("the database answers"), "the server's own duties are no part of it");
    // The other server dies, and its leases run out.
    drop(elsewhere);
    w.after(61_000).await;
    assert_eq!(w.serving("pr-1", "web"), Some(head));
}
