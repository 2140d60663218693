//! The promises of every store, of a state in a bucket of MiniStack's S3. One after the other, because a
//! MiniStack of its own would cost each more than its story.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futures_util::future::LocalBoxFuture;
use greenroom::aws::{ObjectsSettings, S3Objects};
use greenroom::port::PortResult;

use crate::hang;
use crate::ministack::{Containers, MiniStack, REGION};
use crate::{PROMISES, Place, State};

pub(crate) type Promise = fn(Place) -> LocalBoxFuture<'static, PortResult<()>>;

/// Tests that they are divided into, so that they run beside each other.
const SHARDS: usize = 3;

/// A state in a bucket of its own.
async fn bucket(aws: &MiniStack, name: &str) -> Place {
    let config = aws_sdk_s3::config::Builder::from(&aws.config().await).force_path_style(true).build();
    let made = aws_sdk_s3::Client::from_conf(config).create_bucket().bucket(name).send().await;
    made.expect("the bucket is made");
    let settings = ObjectsSettings {
        bucket: name.to_owned(),
        region: Some(REGION.to_owned()),
        endpoint: Some(aws.endpoint()),
        proxy: None,
        credentials: Some(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests"))),
    };
    Place { url: String::new(), folder: None, state: Some(State::Object(Arc::new(S3Objects::new(settings).await))) }
}

async fn kept(shard: usize) {
    let aws = MiniStack::start(Containers::Pretended).await;
    for (number, (name, promise)) in PROMISES.iter().enumerate().skip(shard).step_by(SHARDS) {
        hang::watch();
        hang::note(name);
        let place = bucket(&aws, &format!("promise-{number}")).await;
        promise(place).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first() {
    kept(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second() {
    kept(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_third() {
    kept(SHARDS - 1).await;
}
