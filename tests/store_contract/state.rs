//! A state in an object: several who write at once, and everything that can happen to a call.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use greenroom::model::{AuditEntry, Chore, Lane, Outcome, Output, RepoId, StageRecord, StepEventKind, Timestamp, Wake};
use greenroom::port::{Held, IntakeWrite, PortError, PortResult, Receipt, Store};
use greenroom::store::{OpenError, StateSettings};

use crate::objects::{Faulty, Memory, Mishap};
use crate::sample::{delivery, deploy, line, repo_lane, stage, stage_id, stage_lane};
use crate::{KEY, open_object};

async fn open(memory: &Arc<Memory>) -> Arc<dyn Store> {
    open_object(Arc::<Memory>::clone(memory)).await.expect("the state opens")
}

/// Claims one lane, whichever others are due: those are given back.
async fn claim(store: &dyn Store, lane: &Lane, now: i64) -> PortResult<Held> {
    let (mut others, mut wanted) = (Vec::new(), None);
    while let Some(claimed) = store.claim(Timestamp(now), 60_000).await? {
        if claimed.held.lane() == lane {
            wanted = Some(claimed.held);
            break;
        }
        others.push(claimed.held);
    }
    for other in others {
        store.release(other, Wake::At(Timestamp(now)), 0).await?;
    }
    wanted.ok_or_else(|| PortError::Bug { context: format!("{lane} is not due"), source: None })
}

/// One deploy from a push to its end. What it leaves is the same however often it is begun.
async fn story(store: &dyn Store, now: i64) -> PortResult<()> {
    store.receive(delivery("d1", "one")).await?;
    store.ring(&repo_lane(), Timestamp(now)).await?;
    let held = claim(store, &repo_lane(), now).await?;
    let done = store.inbox(&held, 10).await?.iter().map(|row| row.seq).collect();
    let write = IntakeWrite {
        stages: vec![stage("pr-42", 1)],
        rings: vec![stage_lane("pr-42")],
        done,
        ..IntakeWrite::default()
    };
    store.apply_intake(&held, write).await?;
    store.release(held, Wake::OnBell, 0).await?;
    let held = claim(store, &stage_lane("pr-42"), now).await?;
    let opened = store.open_deploy(&held, deploy("pr-42", 1)).await?;
    let next = store.log(opened.id).await?.next_seq();
    store.append_unless_rung(&held, opened.id, Vec::new(), line(&held, next, "fetch", StepEventKind::Started)).await?;
    let end = line(&held, next + 1, "fetch", StepEventKind::Done(Output::Nothing));
    store.append(&held, opened.id, vec![end]).await?;
    store.close_deploy(&held, opened.id, Outcome::Live, Timestamp(8000), &stage("pr-42", 1), None).await?;
    store.release(held, Wake::OnBell, 0).await
}

/// What the story leaves, as somebody sees it who was not there.
async fn check_told(memory: &Arc<Memory>, at: &str) {
    let store = open(memory).await;
    let counts = store.counts(Timestamp(1_000_000)).await.expect("it is read");
    assert_eq!((counts.inbox_waiting, counts.stages, counts.deploys_running), (0, 1, 0), "{at}");
    let stages: Vec<StageRecord> = store.stages(None).await.expect("it is read");
    assert_eq!(stages, [stage("pr-42", 1)], "{at}");
    let deploys = store.deploys(&stage_id("pr-42"), 10).await.expect("it is read");
    assert!(deploys.iter().all(|deploy| deploy.ended == Some((Timestamp(8000), Outcome::Live))), "{at}: {deploys:?}");
    assert_eq!(store.receive(delivery("d1", "one")).await.expect("it is known"), Receipt::Duplicate, "{at}");
}

/// Rings a lane of which nothing else in the story knows.
fn rival(memory: &Arc<Memory>) -> crate::objects::Rival {
    let memory = Arc::clone(memory);
    Box::new(move || {
        let memory = Arc::clone(&memory);
        Box::pin(async move {
            open(&memory)
                .await
                .ring(&Lane::Chore(Chore::Sweep), Timestamp(900_000))
                .await
                .expect("nobody is in the way");
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_a_call_nothing_is_lost_and_nothing_done_twice() {
    let passing = [
        Mishap::Lost,
        Mishap::Unheard,
        Mishap::UnheardAndFollowed,
        Mishap::Late,
        Mishap::Raced,
        Mishap::Conflict,
        Mishap::Slow,
    ];
    for mishap in passing {
        let mut number = 0;
        loop {
            let memory = Arc::<Memory>::default();
            let way = Faulty::new(&memory).order(number, mishap).rival(rival(&memory));
            let at = format!("{mishap:?} at call {number}");
            let opened = open_object(Arc::<Faulty>::clone(&way)).await;
            let Ok(store) = opened else {
                // Whoever opens is told; it is tried again by the next run.
                assert_eq!((number, way.hit()), (0, Some("get")), "{at}");
                number += 1;
                continue;
            };
            let told = story(&*store, 1000).await;
            if way.hit() == Some("get") && matches!(told, Err(PortError::Retry { .. })) {
                // A look whose answer is lost is the adapter's to try again.
                story(&*store, 100_000).await.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            } else {
                told.unwrap_or_else(|error| panic!("{at}: {error:?}"));
                let deploys = store.deploys(&stage_id("pr-42"), 10).await.expect("it is read");
                assert_eq!(deploys.len(), 1, "{at}");
                let log = store.log(deploys[0].id).await.expect("it is read");
                assert_eq!(log.events().len(), 2, "{at}: once each");
            }
            check_told(&memory, &at).await;
            if way.hit().is_none() {
                break;
            }
            number += 1;
        }
        assert!(number > 10, "{mishap:?}: {number} calls");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_dies_at_any_call_is_followed_by_the_next() {
    for mishap in [Mishap::DeadBefore, Mishap::DeadAfter] {
        for number in 0.. {
            let memory = Arc::<Memory>::default();
            let way = Faulty::new(&memory).order(number, mishap);
            if let Ok(store) = open_object(Arc::<Faulty>::clone(&way)).await {
                // As `kill` leaves it: nobody waits for what it is at.
                tokio::select! {
                    told = story(&*store, 1000) => assert!(way.hit().is_some() || told.is_ok(), "{told:?}"),
                    () = way.died() => {}
                }
            }
            let at = format!("{mishap:?} at call {number}");
            // After its leases.
            story(&*open(&memory).await, 100_000).await.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            check_told(&memory, &at).await;
            if way.hit().is_none() {
                assert!(number > 10, "{number} calls");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_so_at_once_and_writes_nothing() {
    for number in 0..4 {
        let memory = Arc::<Memory>::default();
        let way = Faulty::new(&memory).order(number, Mishap::Denied);
        match open_object(Arc::<Faulty>::clone(&way)).await {
            Err(error) => {
                assert!(matches!(error, OpenError::Reach { source: PortError::Denied { .. }, .. }), "{error:?}")
            }
            Ok(store) => {
                let told = story(&*store, 1000).await;
                assert!(matches!(told, Err(PortError::Denied { .. })), "call {number}: {told:?}");
                assert!(way.calls() <= number + 1, "it is not asked again");
            }
        }
    }
}

/// Each counts as if it were alone: what one writes, the others do not undo.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_at_once_lose_nothing_of_each_other() {
    const ROUNDS: i64 = 12;
    let memory = Arc::<Memory>::default();
    let stores = join_all((0..5).map(|_| open(&memory))).await;
    let shared = stage_lane("shared");
    let runs = stores.iter().enumerate().map(|(run, store)| {
        let (name, shared) = (format!("pr-{run}"), &shared);
        async move {
            for round in 0..ROUNDS {
                store.ring(shared, Timestamp(500_000)).await?;
                let id = format!("{name}-{round}");
                assert_eq!(store.receive(delivery(&id, &id)).await?, Receipt::Accepted);
                assert!(store.take_slot("pool", &id, &BTreeSet::new(), 1000).await?.is_some());
            }
            PortResult::Ok(())
        }
    });
    try_join_all(runs).await.expect("every race is tried again");
    let store = open(&memory).await;
    let claimed = claim(&*store, &shared, 500_000).await.expect("it was rung");
    assert_eq!(claimed.bell(), 5 * ROUNDS);
    assert_eq!(store.counts(Timestamp(0)).await.expect("it is read").inbox_waiting, 5 * ROUNDS);
    let slots = store.slots("pool").await.expect("it is read");
    let numbers: Vec<u32> = slots.iter().map(|slot| slot.0).collect();
    assert_eq!(numbers, (1..=60).collect::<Vec<u32>>(), "each number once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_wrote_another_reads_within_the_time_that_is_said() {
    let memory = Arc::<Memory>::default();
    let (one, two) = (open(&memory).await, open(&memory).await);
    assert_eq!(two.counts(Timestamp(0)).await.expect("it is read").inbox_waiting, 0);
    one.receive(delivery("d1", "one")).await.expect("it is written");
    assert_eq!(one.counts(Timestamp(0)).await.expect("it is read").inbox_waiting, 1, "its own at once");
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(two.counts(Timestamp(0)).await.expect("it is read").inbox_waiting, 1);
    assert!(two.claim(Timestamp(1000), 60_000).await.expect("it is asked").is_some());
    assert!(one.claim(Timestamp(1000), 60_000).await.expect("it is asked").is_none(), "a claim is of the newest");
}

/// What is not to be used is neither used nor written to, when it is opened as well as later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_newer_damaged_or_anothers_is_left_as_it_is() {
    let memory = Arc::<Memory>::default();
    open(&memory).await.receive(delivery("d1", "one")).await.expect("it is written");
    let good = memory.content(KEY).expect("it is there");
    let edited = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|window| window == from.as_bytes()).expect("it says so");
        Bytes::from([&good[..at], to.as_bytes(), &good[at + from.len()..]].concat())
    };
    let newer = edited("\"format\":1", "\"format\":2");
    let mut flipped = good.to_vec();
    let last = flipped.len() - 20;
    flipped[last] ^= 1;
    for (bad, words) in [
        (newer, "newer than this one"),
        (edited("\"repository\":774", "\"repository\":775"), "the state of repository 775"),
        (Bytes::from(flipped), "damaged"),
        (good.slice(..good.len() / 2), "damaged"),
        (Bytes::from_static(b"PK\x03\x04"), "none of Greenroom's"),
        (Bytes::new(), "none of Greenroom's"),
    ] {
        let at_work = open(&memory).await;
        memory.set(KEY, Some(bad.clone()));
        let refused = open_object(Arc::<Memory>::clone(&memory)).await.err().expect("it is refused");
        assert!(matches!(refused, OpenError::Unreadable { .. }) && refused.to_string().contains(words), "{refused}");
        let refused = at_work.receive(delivery("d2", "two")).await.expect_err("it is refused");
        assert!(matches!(&refused, PortError::Denied { reason } if reason.contains(words)), "{refused:?}");
        assert_eq!(memory.content(KEY), Some(bad), "it is left as it is");
        memory.set(KEY, Some(good.clone()));
    }
    open(&memory).await.receive(delivery("d2", "two")).await.expect("nothing is wrong with it");
}

/// Fences and numbers only rise: a state that goes back under a run is not gone on with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_goes_back_under_a_run_is_not_gone_on_with() {
    let memory = Arc::<Memory>::default();
    let one = open(&memory).await;
    one.receive(delivery("d1", "one")).await.expect("it is written");
    let older = memory.content(KEY).expect("it is there");
    one.receive(delivery("d2", "two")).await.expect("it is written");
    let newest = memory.content(KEY).expect("it is there");
    let elsewhere = Arc::<Memory>::default();
    for _ in 0..4 {
        open(&elsewhere).await.ring(&repo_lane(), Timestamp(0)).await.expect("it is written");
    }
    for (bad, words) in [(None, "removed"), (Some(older), "set back"), (elsewhere.content(KEY), "begun anew")] {
        memory.set(KEY, bad.clone());
        let refused = one.receive(delivery("d3", "three")).await.expect_err("it is refused");
        assert!(matches!(&refused, PortError::Denied { reason } if reason.contains(words)), "{words}: {refused:?}");
        assert_eq!(memory.content(KEY), bad);
        memory.set(KEY, Some(newest.clone()));
    }
    one.receive(delivery("d3", "three")).await.expect("nothing is wrong with it");
}

/// A machine without room for a copy writes nothing, and goes on when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_a_copy_nothing_is_written() {
    let memory = Arc::<Memory>::default();
    let scratch = tempfile::tempdir().expect("a folder");
    let settings = || StateSettings {
        location: crate::BUCKET.parse().expect("a place"),
        repo: crate::REPO,
        objects: Some(Arc::<Memory>::clone(&memory) as _),
        writer: "one".to_owned(),
        scratch: Some(scratch.path().to_owned()),
    };
    let store = greenroom::store::open_state(settings()).await.expect("there is room");
    let copies = std::fs::read_dir(scratch.path()).expect("a folder").next().expect("its copies").expect("a folder");
    std::fs::remove_dir_all(copies.path()).expect("it is ours");
    let refused = store.receive(delivery("d1", "one")).await.expect_err("there is no room");
    assert!(matches!(refused, PortError::Retry { .. }), "{refused:?}");
    assert!(store.ping().await.is_err());
    assert_eq!(memory.content(KEY), None);
    std::fs::create_dir(copies.path()).expect("it is ours");
    store.receive(delivery("d1", "one")).await.expect("there is room");
    store.ping().await.expect("there is room");
    drop(store);
    // The writer ends by itself, and takes its copies with it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::fs::read_dir(scratch.path()).expect("a folder").next().is_some() {
        assert!(std::time::Instant::now() < deadline, "copies are left");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Sixty pull requests of twenty deploys each, and six thousand entries: what is kept of them has an end, and
/// what the engine asks for is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_stays_small() {
    let memory = Arc::<Memory>::default();
    let store = open(&memory).await;
    let entry = |number: i64| AuditEntry {
        at: Timestamp(number),
        repo: crate::sample::repo(),
        actor: "octocat (1)".to_owned(),
        action: "goal".to_owned(),
        subject: "pr-1".to_owned(),
        details: format!("{number}"),
    };
    store.ring(&repo_lane(), Timestamp(1000)).await.expect("it is written");
    let lane = claim(&*store, &repo_lane(), 1000).await.expect("it is due");
    for page in 0..12 {
        let audit = (0..500).map(|number| entry(page * 500 + number)).collect();
        store.apply_intake(&lane, IntakeWrite { audit, ..IntakeWrite::default() }).await.expect("it is written");
    }
    store.release(lane, Wake::OnBell, 0).await.expect("it is held");
    let names: Vec<String> = (0..60).map(|number| format!("pr-{number}")).collect();
    let runs = names.iter().map(|name| async {
        store.ring(&stage_lane(name), Timestamp(2000)).await?;
        let held = store.claim(Timestamp(2000), 60_000).await?.expect("one is due").held;
        let name = held.lane().to_string().rsplit_once('/').expect("a stage").1.to_owned();
        for generation in 1..=20 {
            let mut new = deploy(&name, generation);
            new.plan.skipped = Vec::new();
            let opened = store.open_deploy(&held, new).await?;
            let lines = (1..=20).map(|seq| line(&held, seq, &format!("step {seq}"), StepEventKind::Started)).collect();
            store.append(&held, opened.id, lines).await?;
            let outcome = if generation == 10 { Outcome::Gone { removed: 1 } } else { Outcome::Live };
            store.close_deploy(&held, opened.id, outcome, Timestamp(1), &stage(&name, generation), None).await?;
        }
        PortResult::Ok(held)
    });
    let held = try_join_all(runs).await.expect("no call fails");
    let size = memory.content(KEY).expect("it is there").len();
    assert!(size < 1_500_000, "{size} bytes");
    let store = open(&memory).await;
    let mut kept = 0;
    for name in &names {
        let deploys = store.deploys(&stage_id(name), 100).await.expect("it is read");
        assert_eq!(deploys[0].plan.generation.0, 20);
        assert_eq!(store.log(deploys[0].id).await.expect("it is read").events().len(), 20);
        kept += deploys.len();
    }
    assert!((660..1200).contains(&kept), "{kept} deploys: those from before a stage was gone are not needed");
    let verdict = store.verify_audit(&crate::sample::repo()).await.expect("it is read");
    assert_eq!((verdict.first_bad, verdict.last.map(|link| link.number)), (None, Some(6000)));
    assert!(
        verdict.cut >= 500 && verdict.entries + u64::try_from(verdict.cut).expect("a count") == 6000,
        "{:?}",
        verdict.cut
    );
    drop(held);
}

#[tokio::test]
async fn a_place_that_is_none_is_told_with_the_way_out() {
    let location = crate::BUCKET.parse().expect("a place");
    let none = StateSettings { location, repo: RepoId(1), objects: None, writer: String::new(), scratch: None };
    let refused = greenroom::store::open_state(none).await.err().expect("there is no bucket").to_string();
    assert!(refused.contains("s3://greenroom-state-1-eu-west-1/some/where"), "{refused}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let location = greenroom::model::StateLocation::Folder(file.path().to_owned());
    let folder = StateSettings { location, repo: RepoId(1), objects: None, writer: String::new(), scratch: None };
    let refused = greenroom::store::open_state(folder).await.err().expect("it is a file");
    assert!(matches!(refused, OpenError::Folder { .. }), "{refused:?}");
}
