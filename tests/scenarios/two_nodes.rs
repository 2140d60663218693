//! Two servers on one PostgreSQL.

use std::sync::Arc;

use greenroom::sandbox::{Mishap, SandboxBuilder};

use crate::fuse::{Fuse, Point};
use crate::world::{CONFIG, Database, World};

#[tokio::test]
async fn one_of_two_servers_dies_in_the_middle_and_the_other_finishes_without_doing_anything_twice() {
    let database = Database::postgres().await;
    for at in [3, 9, 15, 21, 27, 33, 39, 45, 51, 57] {
        let mut w = World::on(&database, &format!("acme/pair-{at}"), CONFIG).await;
        let other = w.another_engine();
        let fuse = Fuse::new(at, Point::After);
        w.burn(&fuse);
        let mut heads = Vec::new();
        for branch in ["one", "two", "three", "four"] {
            heads.push(w.open(branch, branch).1);
        }
        w.github.deliveries_settled().await;
        while !fuse.is_blown() {
            // Both work at the same time.
            let (first, second) = tokio::join!(w.engine.tick(), other.tick());
            if !matches!((&first, &second), (Ok(true), _) | (_, Ok(true))) {
                w.clock.advance(1_000);
            }
        }
        w.engine = other;
        w.clock.advance(61_000);
        w.settle().await;
        for (index, head) in heads.iter().enumerate() {
            let stage = format!("pr-{}", index + 1);
            assert_eq!(w.serving(&stage, "web").as_ref(), Some(head), "{stage}, dead after effect {at}");
        }
        w.assert_nothing_doubled(&format!("dead after effect {at}"));
    }
}

#[tokio::test]
async fn what_one_server_fetched_another_builds_in_a_folder_of_its_own() {
    let w = World::new().await;
    let elsewhere = Arc::new(SandboxBuilder::default());
    let other = w.engine_elsewhere(Arc::clone(&elsewhere));
    w.builder.mishap("web", None, Mishap::Slow(100));
    let (_, head) = w.open("topic", "2");
    w.github.deliveries_settled().await;
    for (engine, turns) in [(&w.engine, 20), (&other, 60)] {
        for _ in 0..turns {
            engine.tick().await.expect("the database answers");
            w.clock.advance(1_000);
        }
    }
    assert_eq!(w.serving("pr-1", "web").as_ref(), Some(&head));
    let sha = head.short();
    let built = |builder: &SandboxBuilder| builder.journal().contains(&format!("build pr-1/web {sha}"));
    assert!(w.builder.journal().contains(&format!("unpack pr-1 {sha}")) && !built(&w.builder));
    assert!(built(&elsewhere), "{:?}", elsewhere.journal());
}
