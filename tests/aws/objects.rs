//! A state in a bucket of S3's own kind: its conditions, and every call of it failing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use greenroom::aws::{ObjectsSettings, S3Objects};
use greenroom::model::{Chore, Lane, RepoId, Timestamp};
use greenroom::port::{ETag, Expect, Got, Objects, PortError, Put, Store};
use greenroom::store::{OpenError, StateSettings, open_state};

use crate::faulty::{Faulty, Mishap};
use crate::ministack::{Containers, MiniStack, REGION};

/// Whose state it is where that is of no interest.
const REPO: RepoId = RepoId(774);
pub(crate) const BUCKET: &str = "greenroom-state-000000000000-us-east-1";

pub(crate) async fn bucket(aws: &MiniStack) {
    let config = aws_sdk_s3::config::Builder::from(&aws.config().await).force_path_style(true).build();
    let made = aws_sdk_s3::Client::from_conf(config).create_bucket().bucket(BUCKET).send().await;
    made.expect("the bucket is made");
}

pub(crate) async fn objects(endpoint: &str, bucket: &str) -> Arc<S3Objects> {
    let settings = ObjectsSettings {
        bucket: bucket.to_owned(),
        region: Some(REGION.to_owned()),
        endpoint: Some(endpoint.to_owned()),
        proxy: None,
        credentials: Some(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests"))),
    };
    Arc::new(S3Objects::new(settings).await)
}

pub(crate) async fn open(objects: Arc<S3Objects>, repo: RepoId) -> Result<Arc<dyn Store>, OpenError> {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let writer = format!("writer-{}", OPENED.fetch_add(1, Ordering::Relaxed));
    let location = format!("s3://{BUCKET}/state").parse().expect("a place");
    open_state(StateSettings { location, repo, objects: Some(objects), writer, scratch: None }).await
}

fn lane() -> Lane {
    Lane::Chore(Chore::Sweep)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_replaced_under_its_condition_alone() {
    let aws = MiniStack::start(Containers::Pretended).await;
    let none = objects(&aws.endpoint(), BUCKET).await;
    assert!(matches!(none.get("k", None).await, Err(PortError::NotFound { .. })));
    let refused = none.put("k", Bytes::from_static(b"x"), &Expect::Absent).await;
    assert!(matches!(refused, Err(PortError::NotFound { .. })), "{refused:?}");
    let refused = open(none, REPO).await.err().expect("there is no bucket").to_string();
    assert!(refused.contains("greenroom bootstrap") && refused.contains(BUCKET), "{refused}");

    bucket(&aws).await;
    let objects = objects(&aws.endpoint(), BUCKET).await;
    assert_eq!(objects.get("k", None).await.expect("it is asked"), Got::Absent);
    let unknown = ETag("\"00000000000000000000000000000000\"".to_owned());
    let put = |content: &'static [u8], expect: Expect| {
        let objects = Arc::clone(&objects);
        async move { objects.put("k", Bytes::from_static(content), &expect).await.expect("it is asked") }
    };
    assert_eq!(put(b"one", Expect::Is(unknown.clone())).await, Put::Lost, "404 where nothing is");
    let Put::Written(one) = put(b"one", Expect::Absent).await else { panic!("it is written") };
    assert_eq!(put(b"two", Expect::Absent).await, Put::Lost);
    assert_eq!(put(b"two", Expect::Is(unknown)).await, Put::Lost);
    assert_eq!(objects.get("k", Some(&one)).await.expect("it is asked"), Got::Unchanged);
    let Put::Written(two) = put(b"two", Expect::Is(one.clone())).await else { panic!("it is written") };
    assert_eq!(put(b"three", Expect::Is(one.clone())).await, Put::Lost);
    let found = objects.get("k", Some(&one)).await.expect("it is asked");
    assert_eq!(found, Got::Found { etag: two, bytes: Bytes::from_static(b"two") });
}

/// Whatever happens to a call, each ring counts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_may_fail_in_every_way() {
    let aws = MiniStack::start(Containers::Pretended).await;
    for mishap in
        [Mishap::Throttled, Mishap::Broken, Mishap::Unheard, Mishap::DeadBefore, Mishap::DeadAfter, Mishap::Denied]
    {
        for at in 1.. {
            aws.reset().await;
            bucket(&aws).await;
            let door = Faulty::start(aws.port()).await;
            door.order(mishap, at);
            let told = format!("{mishap:?} at call {at}");
            let mut heard = 0;
            if let Ok(store) = open(objects(&door.url(), BUCKET).await, REPO).await {
                for _ in 0..3 {
                    match store.ring(&lane(), Timestamp(1000)).await {
                        Ok(()) => heard += 1,
                        Err(PortError::Denied { reason }) => assert!(reason.contains("s3:"), "{told}: {reason}"),
                        Err(PortError::Retry { .. }) => assert!(door.is_dead(), "{told}"),
                        Err(other) => panic!("{told}: {other:?}"),
                    }
                    if door.is_dead() {
                        break;
                    }
                }
            }
            let hit = door.hit();
            let store = open(objects(&aws.endpoint(), BUCKET).await, REPO).await.expect("it opens");
            store.ring(&lane(), Timestamp(1000)).await.expect("it is written");
            let bell = store.claim(Timestamp(1000), 1000).await.expect("it is asked").expect("it is due").held.bell();
            let unheard = i64::from(mishap == Mishap::DeadAfter);
            assert!(
                (heard + 1..=heard + 1 + unheard).contains(&bell),
                "{told}, {hit:?}: {heard} heard, {bell} counted"
            );
            if !matches!(mishap, Mishap::Denied | Mishap::DeadBefore | Mishap::DeadAfter) {
                assert_eq!(bell, 4, "{told}, {hit:?}");
            }
            if hit.is_none() {
                assert!(at > 3, "{told}");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_at_once_lose_nothing_of_each_other() {
    const ROUNDS: i64 = 8;
    let aws = MiniStack::start(Containers::Pretended).await;
    bucket(&aws).await;
    let stores =
        join_all((0..5).map(|_| async { open(objects(&aws.endpoint(), BUCKET).await, REPO).await.expect("it opens") }));
    let stores = stores.await;
    let runs = stores.iter().map(|store| async move {
        for _ in 0..ROUNDS {
            store.ring(&lane(), Timestamp(1000)).await?;
        }
        Ok::<_, PortError>(())
    });
    try_join_all(runs).await.expect("every race is tried again");
    let claims = join_all(stores.iter().map(|store| store.claim(Timestamp(1000), 60_000))).await;
    let claims: Vec<_> = claims.into_iter().filter_map(|claim| claim.expect("it is asked")).collect();
    assert_eq!(claims.len(), 1, "one holds it");
    assert_eq!(claims[0].held.bell(), 5 * ROUNDS);
}
