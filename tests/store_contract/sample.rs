//! Values to store.

use greenroom::model::{
    Branch, CommitSha, DeliveryId, Event, Generation, Lane, NewDeploy, Plan, PullNumber, PushEvent, RepoName, StageId,
    StageName, StageRecord, StageSpec, StageStatus, StepEvent, StepEventKind, StepKey, Subject, Target, Timestamp,
    Trust, Wanted,
};
use greenroom::port::{Held, InboxContent, NewDelivery, Store};
use sha2::{Digest, Sha256};

pub(crate) fn repo() -> RepoName {
    RepoName::new("acme/shop").expect("a repository")
}

pub(crate) fn sha(digit: char) -> CommitSha {
    CommitSha::new(digit.to_string().repeat(40)).expect("a commit")
}

pub(crate) fn stage_id(name: &str) -> StageId {
    StageId { repo: repo(), name: StageName::new(name).expect("a stage's name") }
}

pub(crate) fn repo_lane() -> Lane {
    Lane::Repo(repo())
}

pub(crate) fn stage_lane(name: &str) -> Lane {
    Lane::Stage(stage_id(name))
}

/// A push whose body is made of `body`; two of the same body have the same hash.
pub(crate) fn delivery(id: &str, body: &str) -> NewDelivery {
    let push = PushEvent { repo: repo(), branch: Branch(body.to_owned()), after: Some(sha('a')), actor: None };
    NewDelivery {
        id: DeliveryId::new(id).expect("a delivery id"),
        body_hash: Sha256::digest(body.as_bytes()).into(),
        lane: repo_lane(),
        content: InboxContent::Event(Box::new(Event::Push(push))),
        at: Timestamp(1000),
    }
}

pub(crate) fn poison(id: &str, body: &str) -> NewDelivery {
    let content = InboxContent::Poison { reason: "no such \0 event".to_owned(), excerpt: "{\"a\":\0}".to_owned() };
    NewDelivery { content, ..delivery(id, body) }
}

pub(crate) fn stage(name: &str, generation: i64) -> StageRecord {
    StageRecord {
        id: stage_id(name),
        subject: Subject::PullRequest(PullNumber(42)),
        target: Target::PullRequest(PullNumber(42)),
        generation: Generation(generation),
        status: StageStatus::New,
        approval: None,
        lock: None,
        queue: Vec::new(),
        keep_until: None,
        asked: None,
        settled: Generation(0),
        place: None,
        touched_at: Timestamp(5000),
        expires_at: None,
        conditions: greenroom::model::Conditions::new(),
    }
}

pub(crate) fn deploy(name: &str, generation: i64) -> NewDeploy {
    let spec = StageSpec {
        stage: stage_id(name),
        sha: sha('b'),
        pull: Some(PullNumber(42)),
        kind: greenroom::model::StageKind::Ephemeral,
        place: greenroom::model::Place::default(),
        services: Vec::new(),
        expires: None,
        digest: "d".to_owned(),
        file: String::new(),
        origin: None,
        trust: Trust::Preview,
        pinned: None,
        label: None,
        builds: greenroom::model::Builds::default(),
        only: Vec::new(),
    };
    let plan = Plan {
        stage: stage_id(name),
        place: greenroom::model::Place::default(),
        generation: Generation(generation),
        wanted: Wanted::Live(Box::new(spec)),
        steps: Vec::new(),
        skipped: Vec::new(),
    };
    NewDeploy { plan, started_at: Timestamp(6000) }
}

pub(crate) fn line(held: &Held, seq: i64, step: &str, kind: StepEventKind) -> StepEvent {
    StepEvent { seq, step: StepKey(step.to_owned()), fence: held.fence(), at: Timestamp(7000 + seq), kind }
}

/// Rings a lane and claims it; no other lane may be due.
pub(crate) async fn held(store: &dyn Store, lane: &Lane) -> Held {
    store.ring(lane, Timestamp(1000)).await.expect("rung");
    let claimed = store.claim(Timestamp(1000), 60_000).await.expect("claimed").expect("a lane was due");
    assert_eq!(claimed.held.lane(), lane);
    claimed.held
}
