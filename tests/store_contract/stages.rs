//! Stages, surfaces and the audit: who may write what.

use greenroom::model::{
    Actor, ActorKind, Asked, AuditEntry, CameBy, CommentSource, Commit, ExternalId, Failure, FailureKind, Generation,
    GoneReason, Lock, PullNumber, ReceiptKey, RepoLockChange, RepoName, StageStatus, SurfaceKey, SurfaceKind, Target,
    Timestamp, Unrest, UserId, Verb, Waiting, Wake,
};
use greenroom::port::{IntakeWrite, PortError, PortResult, SurfaceRecord};

use crate::Place;
use crate::sample::{delivery, deploy, held, line, repo, repo_lane, sha, stage, stage_id, stage_lane};

fn audit(details: &str) -> AuditEntry {
    AuditEntry {
        at: Timestamp(5000),
        repo: repo(),
        actor: "octocat (1)".to_owned(),
        action: "goal".to_owned(),
        subject: "pr-42".to_owned(),
        details: details.to_owned(),
    }
}

fn lock(reason: &str) -> Lock {
    Lock {
        owner: UserId(7),
        login: "octocat".to_owned(),
        pull: Some(PullNumber(42)),
        reason: reason.to_owned(),
        since: Timestamp(4000),
        until: None,
    }
}

fn asked(digit: char) -> Asked {
    Asked {
        verb: Verb::Deploy,
        generation: Generation(2),
        by: Actor { id: UserId(7), login: "octocat".to_owned(), kind: ActorKind::Person },
        pull: PullNumber(42),
        sha: Some(sha(digit)),
        from: None,
        services: Vec::new(),
        at: Timestamp(4500),
    }
}

fn waiting(digit: char) -> Waiting {
    let receipt = ReceiptKey { repo: repo(), source: CommentSource::Issue, comment: 99 };
    Waiting {
        target: Target::Commit(Commit { sha: sha(digit), came_by: Some(CameBy::PullRequest(PullNumber(42))) }),
        asked: asked(digit),
        receipt,
    }
}

fn surface(kind: SurfaceKind, key: &str, hash: &str) -> SurfaceRecord {
    let external = Some(ExternalId::new("77").expect("an id"));
    SurfaceRecord {
        key: SurfaceKey { kind, key: key.to_owned() },
        external,
        hash: hash.to_owned(),
        at: Timestamp(9000),
    }
}

pub(crate) async fn intake_is_all_or_nothing_and_fenced(place: Place) -> PortResult<()> {
    let store = place.open().await;
    store.receive(delivery("d1", "one")).await?;
    let first = store.claim(Timestamp(1000), 1000).await?.expect("rung").held;
    let seq = store.inbox(&first, 10).await?[0].seq;
    let write = IntakeWrite {
        stages: vec![stage("pr-42", 1), stage("pr-7", 1)],
        rings: vec![stage_lane("pr-42"), stage_lane("pr-7"), stage_lane("pr-42")],
        done: vec![seq],
        audit: vec![audit("{}")],
        ..IntakeWrite::default()
    };

    // The lease ends and somebody else claims the lane: the first one's decision counts for nothing.
    let second = store.claim(Timestamp(2000), 60_000).await?.expect("the lease is over").held;
    assert!(matches!(store.apply_intake(&first, write.clone()).await, Err(PortError::Stale)));
    assert_eq!(store.stages(None).await?, []);
    assert_eq!(store.audit(None, None, 10).await?, []);
    assert_eq!(store.inbox(&second, 10).await?.len(), 1);

    store.apply_intake(&second, write).await?;
    let names: Vec<String> = store.stages(Some(&repo())).await?.iter().map(|stage| stage.id.to_string()).collect();
    assert_eq!(names, ["acme/shop/pr-42", "acme/shop/pr-7"]);
    assert_eq!(store.audit(Some(&repo()), None, 10).await?.remove(0).entry, audit("{}"));
    assert_eq!(store.inbox(&second, 10).await?, []);
    let mut rung = Vec::new();
    while let Some(claimed) = store.claim(Timestamp(5000), 60_000).await? {
        rung.push((claimed.held.lane().to_string(), claimed.held.bell()));
    }
    rung.sort();
    assert_eq!(rung, [("stage:acme/shop/pr-42".to_owned(), 2), ("stage:acme/shop/pr-7".to_owned(), 1)]);
    Ok(())
}

fn unrest(restarts: u32) -> Unrest {
    Unrest {
        service: "web".parse().expect("a service"),
        well: 0,
        wanted: 1,
        restarts,
        since: Timestamp(7000),
        over: None,
        failure: Failure::new(FailureKind::Exited, "`web` ended with exit code 7", "Mend it."),
    }
}

pub(crate) async fn goal_and_status_have_one_writer_each(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let repo_held = held(&*store, &repo_lane()).await;
    let first = stage("pr-42", 1);
    store.apply_intake(&repo_held, IntakeWrite { stages: vec![first.clone()], ..IntakeWrite::default() }).await?;
    assert_eq!(store.stage(&stage_id("pr-42")).await?.as_ref(), Some(&first), "a new row is taken whole");
    assert_eq!(store.stage(&stage_id("pr-43")).await?, None);

    // The stage's lane knows an old goal and writes the status; the goal stays the newer one.
    let stage_held = held(&*store, &stage_lane("pr-42")).await;
    let mut goal = stage("pr-42", 2);
    goal.target = Target::Gone(GoneReason::Merged);
    goal.approval = Some(sha('c'));
    goal.lock = Some(lock("demo"));
    goal.queue = vec![waiting('d'), waiting('e')];
    goal.keep_until = Some(Timestamp(9_000_000));
    goal.asked = Some(asked('d'));
    goal.settled = Generation(2);
    goal.touched_at = Timestamp(6000);
    goal.status = StageStatus::Deploying { generation: Generation(1) };
    goal.expires_at = Some(Timestamp(1));
    goal.unrest = vec![unrest(1), unrest(2)];
    store.apply_intake(&repo_held, IntakeWrite { stages: vec![goal.clone()], ..IntakeWrite::default() }).await?;
    let mut status = first;
    status.status = StageStatus::Live { sha: sha('a') };
    status.expires_at = Some(Timestamp(8000));
    status.settled = Generation(1);
    status.unrest = vec![unrest(4)];
    store.save_status(&stage_held, &status).await?;

    goal.status = status.status;
    goal.expires_at = status.expires_at;
    goal.settled = status.settled;
    goal.unrest = status.unrest;
    assert_eq!(store.stage(&stage_id("pr-42")).await?, Some(goal));
    Ok(())
}

pub(crate) async fn a_lock_on_a_repository_is_its_own_lanes_to_change(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let change = |change| IntakeWrite { repo_lock: Some(change), ..IntakeWrite::default() };
    let held_first = held(&*store, &repo_lane()).await;
    assert_eq!(store.repo_lock(&repo()).await?, None);
    store.apply_intake(&held_first, change(RepoLockChange::Unlock)).await?;
    store.apply_intake(&held_first, change(RepoLockChange::Lock(lock("sale")))).await?;
    store.apply_intake(&held_first, IntakeWrite::default()).await?;
    assert_eq!(store.repo_lock(&repo()).await?, Some(lock("sale")), "what does not name it leaves it");
    store.apply_intake(&held_first, change(RepoLockChange::Lock(lock("freeze")))).await?;
    assert_eq!(store.repo_lock(&repo()).await?, Some(lock("freeze")));
    assert_eq!(store.repo_lock(&RepoName::new("acme/other").expect("a repository")).await?, None);

    let stage_held = held(&*store, &stage_lane("pr-42")).await;
    let refused = store.apply_intake(&stage_held, change(RepoLockChange::Unlock)).await;
    assert!(matches!(refused, Err(PortError::Bug { .. })), "{refused:?}");
    let newer = store.claim(Timestamp(61_000), 60_000).await?.expect("the lease is over").held;
    let stale = store.apply_intake(&held_first, change(RepoLockChange::Unlock)).await;
    assert!(matches!(stale, Err(PortError::Stale)), "{stale:?}");
    assert_eq!(store.repo_lock(&repo()).await?, Some(lock("freeze")));
    store.apply_intake(&newer, change(RepoLockChange::Unlock)).await?;
    assert_eq!(store.repo_lock(&repo()).await?, None);
    Ok(())
}

pub(crate) async fn surfaces_are_kept_by_their_key(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let held = held(&*store, &stage_lane("pr-42")).await;
    let id = stage_id("pr-42");
    let comment = surface(SurfaceKind::Comment, "", "one");
    let check = surface(SurfaceKind::Check, "abc", "one");
    store.save_surfaces(&held, &id, vec![comment.clone(), check.clone()]).await?;
    let refused = SurfaceRecord { external: None, ..surface(SurfaceKind::Check, "def", "refused") };
    let edited = surface(SurfaceKind::Comment, "", "two");
    store.save_surfaces(&held, &id, vec![edited.clone(), refused.clone()]).await?;
    assert_eq!(store.history(&id, 1).await?.surfaces, [check, refused, edited]);
    assert_eq!(store.history(&stage_id("pr-43"), 1).await?.surfaces, []);
    Ok(())
}

/// Every fenced write of a holder whose lane was claimed by another.
pub(crate) async fn a_stale_holder_touches_nothing(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let lane = stage_lane("pr-42");
    store.ring(&lane, Timestamp(0)).await?;
    let old = store.claim(Timestamp(0), 10).await?.expect("rung").held;
    store.save_status(&old, &stage("pr-42", 1)).await?;
    let opened = store.open_deploy(&old, deploy("pr-42", 1)).await?;
    let new = store.claim(Timestamp(10), 60_000).await?.expect("the lease is over").held;

    let mut changed = stage("pr-42", 1);
    changed.status = StageStatus::Deploying { generation: Generation(1) };
    assert!(matches!(store.save_status(&old, &changed).await, Err(PortError::Stale)));
    assert!(matches!(store.open_deploy(&old, deploy("pr-42", 2)).await, Err(PortError::Stale)));
    let started = line(&old, 1, "fetch", greenroom::model::StepEventKind::Started);
    assert!(matches!(store.append(&old, opened.id, vec![started]).await, Err(PortError::Stale)));
    let shown = vec![surface(SurfaceKind::Comment, "", "one")];
    assert!(matches!(store.save_surfaces(&old, &stage_id("pr-42"), shown).await, Err(PortError::Stale)));
    let outcome = greenroom::model::Outcome::Superseded { by: Generation(2) };
    let closed = store.close_deploy(&old, opened.id, outcome, Timestamp(1), &changed, None).await;
    assert!(matches!(closed, Err(PortError::Stale)));
    assert!(matches!(store.release(old, Wake::OnBell, 9).await, Err(PortError::Stale)));

    assert_eq!(store.stage(&stage_id("pr-42")).await?, Some(stage("pr-42", 1)));
    assert_eq!(store.deploys(&stage_id("pr-42"), 10).await?, std::slice::from_ref(&opened));
    assert_eq!(store.log(opened.id).await?.events(), []);
    assert_eq!(store.history(&stage_id("pr-42"), 1).await?.surfaces, []);
    store.save_status(&new, &changed).await?;
    Ok(())
}

pub(crate) async fn texts_from_outside_come_back(place: Place) -> PortResult<()> {
    let store = place.open().await;
    let held = held(&*store, &repo_lane()).await;
    let mut odd = stage("pr-42", 1);
    let reason = "'; DROP TABLE stage; -- \" \0 \u{1f3ad} $1 ?1".to_owned();
    odd.lock = Some(Lock { owner: UserId(u64::MAX), until: Some(Timestamp(-1)), ..lock(&reason) });
    let entry = audit("{\"said\": \"'\\u0000 $2\"}");
    let write = IntakeWrite { stages: vec![odd.clone()], audit: vec![entry.clone()], ..IntakeWrite::default() };
    store.apply_intake(&held, write).await?;
    assert_eq!(store.stage(&stage_id("pr-42")).await?, Some(odd));
    assert_eq!(store.audit(None, None, 1).await?.remove(0).entry, entry);
    assert_eq!(store.verify_audit(&repo()).await?.first_bad, None);
    Ok(())
}
