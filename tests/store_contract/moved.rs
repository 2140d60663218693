//! A repository moves between databases, objects and folders, and is gone on with where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use greenroom::model::{
    AuditEntry, Deploy, ExternalId, Generation, Lane, Outcome, PullNumber, Release, RepoId, RepoSeen, StageHistory,
    StageStatus, StepEventKind, SurfaceKey, SurfaceKind, Timestamp, UserId, Wake, Witness,
};
use greenroom::port::{Held, IntakeWrite, PortResult, Receipt, Store, SurfaceRecord};
use greenroom::store::{MoveError, MovePlace, Moved, StateSettings, export, import};
use serde_json::{Value, json};

use crate::receipts::receipt;
use crate::sample::{delivery, deploy, held, line, repo, repo_lane, sha, stage, stage_id, stage_lane};
use crate::{BUCKET, Place, REPO, State};

const LATER: Timestamp = Timestamp(1_000_000);

impl Place {
    fn moved(&self) -> MovePlace {
        let location = match &self.state {
            None => return MovePlace::Database { url: self.url.clone(), repo: Some(repo()) },
            Some(State::Object(_)) => BUCKET.parse().expect("a place"),
            Some(State::Folder) => greenroom::model::StateLocation::Folder(self.file("states")),
        };
        let objects = match &self.state {
            Some(State::Object(objects)) => Some(Arc::clone(objects)),
            _ => None,
        };
        MovePlace::State(StateSettings { location, repo: REPO, objects, writer: "mover".to_owned(), scratch: None })
    }
}

fn entry(number: i64) -> AuditEntry {
    AuditEntry {
        at: Timestamp(5000 + number),
        repo: repo(),
        actor: "octocat (1)".to_owned(),
        action: "goal".to_owned(),
        subject: "pr-42".to_owned(),
        details: format!("{number}"),
    }
}

async fn goal(store: &dyn Store, generation: i64) -> PortResult<()> {
    let lane = held(store, &repo_lane()).await;
    let head = Witness { repo: repo(), pull: PullNumber(42), sha: sha('a'), at: Timestamp(1), pusher: Some(UserId(7)) };
    let write = IntakeWrite {
        stages: vec![stage("pr-42", generation)],
        witnesses: vec![head],
        receipts: vec![receipt(u64::try_from(generation).expect("small"), greenroom::model::ReceiptState::Due)],
        audit: vec![entry(generation)],
        done: store.inbox(&lane, 10).await?.iter().map(|row| row.seq).collect(),
        ..IntakeWrite::default()
    };
    store.apply_intake(&lane, write).await?;
    store.release(lane, Wake::OnBell, 0).await
}

async fn live(store: &dyn Store, generation: i64) -> PortResult<Deploy> {
    let lane = held(store, &stage_lane("pr-42")).await;
    let opened = store.open_deploy(&lane, deploy("pr-42", generation)).await?;
    store.append(&lane, opened.id, vec![line(&lane, 1, "fetch", StepEventKind::Started)]).await?;
    let release = Release {
        stage: stage_id("pr-42"),
        deploy: opened.id,
        generation: Generation(generation),
        sha: sha('b'),
        digest: "d".to_owned(),
        artifacts: BTreeMap::new(),
        at: Timestamp(8000),
        only: Vec::new(),
    };
    let mut record = stage("pr-42", generation);
    record.status = StageStatus::Live { sha: sha('b') };
    store.close_deploy(&lane, opened.id, Outcome::Live, Timestamp(8000), &record, Some(release)).await?;
    let key = SurfaceKey { kind: SurfaceKind::Deployment, key: format!("{generation}-{}", opened.id) };
    let external = Some(ExternalId("99".to_owned()));
    let shown = SurfaceRecord { key, external, hash: "h".to_owned(), at: Timestamp(8000) };
    store.save_surfaces(&lane, &stage_id("pr-42"), vec![shown]).await?;
    store.release(lane, Wake::At(Timestamp(77_000_000)), 0).await?;
    store.deploy(opened.id).await?.ok_or_else(|| greenroom::port::PortError::retry("it is not there"))
}

/// A repository with one of everything, at rest.
async fn fill(store: &dyn Store) -> PortResult<()> {
    let seen = RepoSeen { id: REPO, owner: UserId(7), name: repo() };
    store.identify(&seen).await?;
    store.receive(delivery("d1", "one")).await?;
    goal(store, 1).await?;
    live(store, 1).await?;
    store.take_slot("pool", "acme/shop/pr-42/web", &BTreeSet::new(), 90).await?;
    store.take_hosts(&stage_id("pr-42"), &["pr-42.test".to_owned()]).await?;
    store.receive(delivery("d2", "two")).await?;
    // It waits, and its lane is due.
    Ok(())
}

/// Another repository, of which there is more.
async fn neighbour(store: &dyn Store) -> PortResult<()> {
    let seen = RepoSeen { id: RepoId(775), owner: UserId(7), name: "acme/other".parse().expect("a name") };
    store.identify(&seen).await?;
    let mut other = deploy("pr-42", 1);
    other.plan.stage.repo = seen.name.clone();
    let lane: Held = held(store, &Lane::Stage(other.plan.stage.clone())).await;
    for generation in 1..6 {
        other.plan.generation = Generation(generation);
        store.open_deploy(&lane, other.clone()).await?;
    }
    store.release(lane, Wake::OnBell, 0).await?;
    store.take_slot("pool", "acme/other/pr-1/web", &BTreeSet::from([1]), 90).await.map(drop)
}

/// What somebody sees of it who does not look at numbers.
async fn seen(store: &dyn Store) -> PortResult<String> {
    let StageHistory { mut deploys, log, release, surfaces } = store.history(&stage_id("pr-42"), 10).await?;
    let newest = deploys[0].id;
    let release = release.expect("it was live");
    assert_eq!(release.deploy, newest, "a release is its deploy's");
    let deployment = format!("{}-{newest}", deploys[0].plan.generation);
    assert!(surfaces.iter().any(|surface| surface.key.key == deployment), "{deployment} of {surfaces:?}");
    for deploy in &mut deploys {
        deploy.id = newest;
    }
    let verdict = store.verify_audit(&repo()).await?;
    assert_eq!(verdict.first_bad, None);
    let rest = (
        store.stages(Some(&repo())).await?,
        store.witnesses(&repo(), PullNumber(42), 10).await?,
        store.audit(Some(&repo()), None, 10).await?,
        store.known(&repo()).await?,
        store.host_owner("pr-42.test").await?,
        store.slots("pool").await?.into_iter().filter(|slot| slot.1.starts_with("acme/shop/")).collect::<Vec<_>>(),
        store.receipt(&receipt(1, greenroom::model::ReceiptState::Due).key).await?,
    );
    Ok(format!("{deploys:#?}\n{:#?}\n{rest:#?}\n{verdict:?}", log.events()))
}

async fn places() -> Vec<(&'static str, Place)> {
    let all = [("sqlite", Place::sqlite()), ("object", Place::object()), ("folder", Place::folder())];
    let mut all = Vec::from(all);
    all.push(("postgres", Place::postgres().await));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_the_same_moved_between_sqlite_postgres_objects_and_folders() {
    for from in 0..4 {
        let source = places().await.swap_remove(from);
        let store = source.1.open().await;
        fill(&*store).await.expect("no call fails");
        let before = seen(&*store).await.expect("it is read");
        let newest = store.deploys(&stage_id("pr-42"), 1).await.expect("it is read")[0].id;
        let stale = held(&*store, &repo_lane()).await;
        assert!(matches!(export(&source.1.moved(), Timestamp(2000)).await, Err(MoveError::Held(_))), "at work");
        let fence = stale.fence();
        store.release(stale, Wake::At(Timestamp(0)), 0).await.expect("it is held");
        let moved = export(&source.1.moved(), LATER).await.unwrap_or_else(|error| panic!("{}: {error}", source.0));
        let mut file = Vec::new();
        moved.write(&mut file).expect("it is written");
        let moved = Moved::read(&file[..]).expect("it is read");
        for (name, target) in places().await {
            let at = format!("from {} to {name}", source.0);
            if target.state.is_none() {
                neighbour(&*target.open().await).await.expect("no call fails");
            }
            import(&target.moved(), &moved, LATER).await.unwrap_or_else(|error| panic!("{at}: {error:?}"));
            let store = target.open().await;
            assert_eq!(seen(&*store).await.expect("it is read"), before, "{at}");
            let deploys = store.deploys(&stage_id("pr-42"), 10).await.expect("it is read");
            assert!(deploys[0].id >= newest, "{at}: numbers only rise");
            // It goes on: the one that waits is handled, the known one is known, and numbers rise.
            assert_eq!(store.receive(delivery("d1", "one")).await.expect("it is asked"), Receipt::Duplicate, "{at}");
            let lane = held(&*store, &repo_lane()).await;
            assert!(lane.fence() > fence, "{at}: whoever held it writes nothing");
            assert_eq!(store.inbox(&lane, 10).await.expect("it is read").len(), 1, "{at}");
            store.release(lane, Wake::OnBell, 0).await.expect("it is held");
            goal(&*store, 2).await.expect("no call fails");
            let next = live(&*store, 2).await.expect("no call fails");
            assert!(next.id > deploys[0].id, "{at}");
            seen(&*store).await.expect("it is whole");
            // Back to where it came from, and no way back for what is older by now.
            let again = export(&target.moved(), LATER).await.unwrap_or_else(|error| panic!("{at}: {error}"));
            let refused = import(&target.moved(), &moved, LATER).await.expect_err("it is older");
            assert!(matches!(refused, MoveError::Ahead(_)), "{at}: {refused:?}");
            if name == "object" {
                import(&source.1.moved(), &again, LATER)
                    .await
                    .unwrap_or_else(|error| panic!("{at} and back: {error:?}"));
                let store = source.1.open().await;
                seen(&*store).await.expect("it is whole");
                let stage = store.stage(&stage_id("pr-42")).await.expect("it is read").expect("it is there");
                assert_eq!(stage.generation, Generation(2), "{at} and back");
                return_to(&source.1, &again).await;
            }
        }
    }
}

/// What was put in twice is at work since the first time, as far as anybody can tell.
async fn return_to(place: &Place, moved: &Moved) {
    let refused = import(&place.moved(), moved, LATER).await.expect_err("it was put in");
    assert!(matches!(refused, MoveError::Ahead(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_is_ever_put_over_in_sqlite_postgres_objects_or_folders() {
    for (name, target) in places().await {
        let (source, other) = (Place::sqlite(), Place::sqlite());
        for place in [&source, &other, &target] {
            fill(&*place.open().await).await.expect("no call fails");
        }
        // The same words in another order of things.
        goal(&*other.open().await, 7).await.expect("no call fails");
        goal(&*target.open().await, 8).await.expect("no call fails");
        let moved = export(&other.moved(), LATER).await.expect("it is at rest");
        let refused = import(&target.moved(), &moved, LATER).await.expect_err("it has another history");
        assert!(matches!(refused, MoveError::Another), "{name}: {refused:?}");
        let older = export(&source.moved(), LATER).await.expect("it is at rest");
        let refused = import(&target.moved(), &older, LATER).await.expect_err("it is older");
        assert!(matches!(refused, MoveError::Ahead(_)), "{name}: {refused:?}");

        let lane = held(&*target.open().await, &repo_lane()).await;
        let refused = import(&target.moved(), &older, Timestamp(2000)).await.expect_err("somebody is at work");
        assert!(matches!(&refused, MoveError::Held(at) if at == "repo:acme/shop"), "{name}: {refused:?}");
        drop(lane);
    }
    let place = Place::sqlite();
    let missing = export(&place.moved(), LATER).await.expect_err("nothing is there");
    assert!(matches!(missing, MoveError::NotThere(_)), "{missing:?}");
    for bad in [&b""[..], b"PK\x03\x04", &[0x1f, 0x8b]] {
        assert!(matches!(Moved::read(bad), Err(MoveError::Unreadable(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_hosts_of_others_stay_theirs() {
    let (source, target) = (Place::sqlite(), Place::sqlite());
    fill(&*source.open().await).await.expect("no call fails");
    let moved = export(&source.moved(), LATER).await.expect("it is at rest");

    let store = target.open().await;
    let other = greenroom::model::StageId { repo: "evil/shop".parse().expect("a name"), ..stage_id("pr-1") };
    store.take_hosts(&other, &["pr-42.test".to_owned()]).await.expect("it is free");
    let refused = import(&target.moved(), &moved, LATER).await.expect_err("a host is another's");
    assert!(matches!(&refused, MoveError::HostTaken { host, .. } if host == "pr-42.test"), "{refused:?}");
    store.keep_hosts(&other, &[]).await.expect("it is its own");
    store.identify(&RepoSeen { id: RepoId(3), owner: UserId(7), name: repo() }).await.expect("it is written");
    let refused = import(&target.moved(), &moved, LATER).await.expect_err("the key is another's");
    assert!(matches!(refused, MoveError::KeyTaken(_)), "{refused:?}");
}

/// The file with something else in it, as somebody reads it.
fn read_with(moved: &Moved, edit: fn(&mut Value)) -> Result<Moved, MoveError> {
    let mut file = Vec::new();
    moved.write(&mut file).expect("it is written");
    let mut content: Value = serde_json::from_reader(GzDecoder::new(&file[..])).expect("JSON");
    edit(&mut content);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut packed, &content).expect("it is packed");
    Moved::read(&packed.finish().expect("it is packed")[..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_holds_one_repository_and_nothing_of_others() {
    let source = Place::sqlite();
    fill(&*source.open().await).await.expect("no call fails");
    let moved = export(&source.moved(), LATER).await.expect("it is at rest");
    assert_eq!(read_with(&moved, |_| {}).expect("it is as it was"), moved);
    let foreign: [fn(&mut Value); 9] = [
        |file| file["tables"]["stage"][0][0] = "acme/other".into(),
        |file| file["tables"]["lane"][0][0] = "stage:acme/other/pr-42".into(),
        |file| file["tables"]["host"][0][1] = "acme/other/pr-42".into(),
        |file| file["tables"]["step_log"][0][0] = 9999.into(),
        |file| file["tables"]["release"][0][0] = 9999.into(),
        |file| file["tables"]["account"] = json!([["mallory", 3]]),
        |file| file["tables"]["repository"] = json!([]),
        |file| file["tables"]["carried"] = json!([["hosts"]]),
        |file| file["tables"]["audit"][0] = json!([1]),
    ];
    for (number, edit) in foreign.into_iter().enumerate() {
        let refused = read_with(&moved, edit).expect_err("it is refused");
        assert!(matches!(refused, MoveError::Unreadable(_)), "{number}: {refused:?}");
    }
    let newer: [fn(&mut Value); 2] = [|file| file["format"] = 2.into(), |file| file["schema"] = 9999.into()];
    for edit in newer {
        let refused = read_with(&moved, edit).expect_err("it is refused");
        assert!(matches!(refused, MoveError::Newer(_)), "{refused:?}");
    }
}
