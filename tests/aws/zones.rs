//! The certificates and records of a zone that two repositories have: who comes later neither replaces nor
//! takes away what the first stands on.

use greenroom::model::{CommitSha, PullNumber, RepoName, StageId, StageStatus};
use greenroom::sandbox::FileChange;

use crate::account::{Account, Thing};
use crate::aws_world::World;
use crate::ministack::{ACCOUNT, Containers, MiniStack, REGION};

const ZONE: &str = "certs.test";
const PULL: PullNumber = PullNumber(1);

/// Without an address, whose answer over TLS nobody gives here: what stages share is made in the zone all
/// the same.
fn config(certificate: &str, permanent: &str) -> String {
    format!(
        r#"
version: 1
app: shop
aws: {{ region: {REGION}, account: "{ACCOUNT}" }}
domain: {{ zone: {ZONE}, dns: route53{certificate} }}
stages:
  {permanent}: {{ on: {{ push: main }} }}
  "pr-{{number}}": {{ on: {{ pull_request: {{}} }} }}
services:
  worker:
    kind: ecs
    build: {{}}
"#
    )
}

/// Pushes both branches with this configuration, and lets everything happen.
async fn push(w: &World, repo: &RepoName, config: &str) -> CommitSha {
    for branch in ["main", "topic"] {
        let files = [(".github/greenroom.yml", config), ("app", branch)];
        w.github.push(repo, branch, files, "A change").expect("a commit");
    }
    if w.github.pull(repo, PULL).is_none() {
        w.github.open_pull(repo, "topic", "A change").expect("a pull request");
    }
    w.settle().await;
    w.github.branch_head(repo, "topic").expect("a branch")
}

async fn status(w: &World, repo: &RepoName, stage: &str) -> Option<StageStatus> {
    let id = StageId { repo: repo.clone(), name: stage.parse().expect("a name") };
    w.store.stage(&id).await.expect("the database answers").map(|record| record.status)
}

fn is_live(status: Option<&StageStatus>) -> bool {
    matches!(status, Some(StageStatus::Live { .. }))
}

/// Certificates and records, and those that listen with them.
fn is_of_zone(name: &str) -> bool {
    ["certificate ", "record ", "listener "].iter().any(|kind| name.starts_with(kind))
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_records_of_a_zone_stay_whoever_comes_later() {
    let aws = MiniStack::start(Containers::Pretended).await;
    let w = World::on(&aws).await;
    let aws_config = aws.config().await;
    let route53 = aws_sdk_route53::Client::new(&aws_config);
    route53.create_hosted_zone().name(ZONE).caller_reference("zones").send().await.expect("a zone");
    push(&w, &w.repo, &config("", "prod")).await;
    for stage in ["pr-1", "prod"] {
        let status = status(&w, &w.repo, stage).await;
        assert!(is_live(status.as_ref()), "{stage}: {status:?} {}", w.comment());
    }
    let alone = Account::read(&aws_config).await;
    let of_zone = |account: &Account| account.things.keys().filter(|name| is_of_zone(name)).count();
    assert!(of_zone(&alone) >= 2 + 3 + 4, "certificates, records and listeners: {:#?}", alone.things.keys());

    // With a certificate of its own, and the same permanent stage.
    let files = [FileChange::write(".github/greenroom.yml", config("", "prod"))];
    let other = w.github.create_repo("acme/other", files).expect("a repository");
    let own = format!(", certificate: 'arn:aws:acm:{REGION}:{ACCOUNT}:certificate/own'");
    push(&w, &other, &config(&own, "prod")).await;
    let said: String =
        w.github.comments(&other, PULL).into_iter().map(|comment| comment.body.replace('\\', "")).collect();
    assert!(said.contains("another certificate") && !said.contains("acme/shop"), "{said}");
    assert!(!is_live(status(&w, &other, "pr-1").await.as_ref()));
    assert!(matches!(status(&w, &other, "prod").await, Some(StageStatus::Misconfigured { .. })));
    assert_eq!(Account::read(&aws_config).await, alone, "nothing was made for it, and nothing changed");

    // As the first one has it, it shares what previews share, and its own permanent stage has its own.
    push(&w, &other, &config("", "live")).await;
    for stage in ["pr-1", "live"] {
        let status = status(&w, &other, stage).await;
        assert!(is_live(status.as_ref()), "{stage}: {status:?}");
    }
    let both = Account::read(&aws_config).await;
    let is_firsts = |name: &str, thing: &Thing| thing.owner.as_deref() == Some("acme/shop") || is_of_zone(name);
    assert_eq!(both.missed(&alone, is_firsts), Vec::<String>::new());
    assert!(of_zone(&both) > of_zone(&alone));

    // With all of the other's stages away it is as it was.
    w.github.close_pull(&other, PULL).expect("it closes");
    w.settle().await;
    let closed = Account::read(&aws_config).await;
    assert_eq!(closed.missed(&alone, is_firsts), Vec::<String>::new());
    assert!(is_live(status(&w, &w.repo, "pr-1").await.as_ref()));
}
