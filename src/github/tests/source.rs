//! The source: streamed, from another host, without our token.

use tokio::io::AsyncReadExt;

use super::fake::{FakeGitHub, Reply};
use super::{SHA, sha, shop};
use crate::port::{Forge, PortError, PortResult};

fn path() -> String {
    format!("/repos/acme/shop/tarball/{SHA}")
}

async fn read(fake: &FakeGitHub) -> PortResult<Vec<u8>> {
    let mut stream = fake.client().tarball(&shop(), &sha(SHA)).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map_err(|error| PortError::bug("reading", error))?;
    Ok(bytes)
}

#[tokio::test]
async fn the_archive_comes_from_another_host_without_our_token() {
    let (fake, archive) = (FakeGitHub::start().await, FakeGitHub::start().await);
    let there = format!("{}/acme/shop/legacy.tar.gz/{SHA}?token=abc", archive.url);
    fake.always("GET", &path(), Reply::empty(302).with("location", there));
    let further = format!("{}/moved", archive.url);
    archive.always(
        "GET",
        &format!("/acme/shop/legacy.tar.gz/{SHA}?token=abc"),
        Reply::empty(302).with("location", further),
    );
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    archive.always("GET", "/moved", Reply::bytes("application/x-gzip", content.clone()));
    assert!(read(&fake).await.expect("the source") == content, "every byte");
    assert_eq!(archive.all().len(), 2);
    for asked in archive.all() {
        assert_eq!(asked.header("authorization"), None, "{}", asked.path);
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_had_says_why() {
    let fake = FakeGitHub::start().await;
    assert!(matches!(read(&fake).await, Err(PortError::NotFound { .. })));
    for bad in ["", "/relative", "ftp://127.0.0.1/x", "not an address"] {
        fake.always("GET", &path(), Reply::empty(302).with("location", bad));
        assert!(matches!(read(&fake).await, Err(PortError::Retry { .. })), "{bad}");
    }
    let round = format!("{}/round", fake.url);
    fake.always("GET", &path(), Reply::empty(302).with("location", round.clone()));
    fake.always("GET", "/round", Reply::empty(302).with("location", round));
    assert!(matches!(read(&fake).await, Err(PortError::Retry { .. })), "a circle ends");
    fake.always("GET", "/round", Reply::empty(503));
    assert!(matches!(read(&fake).await, Err(PortError::Retry { .. })));
}
