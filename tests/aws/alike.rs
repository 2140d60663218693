//! Repositories whose stages have names on AWS that come out alike: what a name has room for is letters
//! and a few digits of a hash, and who may make repositories may go on until both are another's.

use std::collections::BTreeMap;

use greenroom::model::{Observed, RepoName, Resource, StageId, StageSpec};
use greenroom::port::{Cloud, PortError, Site};
use sha2::{Digest as _, Sha256};

use crate::desk::{Desk, SMALLEST, settle};

const STAGE: &str = "pr-1";

/// Two repositories with equal letters and equal digits. Source: `aws/names.rs`, by which what older
/// releases made is found.
fn alike() -> [RepoName; 2] {
    const ENDINGS: [char; 3] = ['-', '_', '.'];
    let mut seen: BTreeMap<[u8; 4], String> = BTreeMap::new();
    for number in 0.. {
        let mut rest: usize = number;
        let mut name = "acme/shop".to_owned();
        for _ in 0..14 {
            name.push(ENDINGS[rest % 3]);
            rest /= 3;
        }
        let digits = Sha256::digest(format!("{name}/{STAGE}"));
        let digits: [u8; 4] = digits[..4].try_into().expect("four bytes");
        if let Some(other) = seen.insert(digits, name.clone()) {
            return [other, name].map(|name| name.parse().expect("a name that GitHub takes"));
        }
    }
    unreachable!("there are fewer digits than names")
}

fn spec(desk: &Desk, repo: &RepoName) -> StageSpec {
    let spec = desk.spec(STAGE, SMALLEST);
    StageSpec { stage: StageId { repo: repo.clone(), ..spec.stage.clone() }, ..spec }
}

fn site(spec: &StageSpec) -> Site<'_> {
    Site { stage: &spec.stage, place: &spec.place }
}

#[tokio::test]
async fn names_that_come_out_alike_lead_nobody_to_another_s_stage() {
    let desk = Desk::new().await;
    let [one, other] = alike().map(|repo| spec(&desk, &repo));
    settle(|| desk.cloud.prepare(&one)).await.expect("the stack is made");
    let (stacks, all) = (desk.stacks().await, desk.cloud.inventory(site(&one)).await.expect("it is told"));
    assert!(all.len() > 5, "{all:#?}");

    let refused = settle(|| desk.cloud.prepare(&other)).await;
    let Err(PortError::Failed(failure)) = refused else { panic!("{refused:?}") };
    assert!(failure.summary.contains("belongs to another stage"), "{failure:?}");
    assert_eq!(desk.cloud.observe(site(&other)).await.expect("it is told"), Observed::default());
    assert_eq!(desk.cloud.inventory(site(&other)).await.expect("it is told"), Vec::<Resource>::new());
    let log = desk.cloud.logs(site(&other), &"web".parse().expect("a name"), 9).await;
    assert!(matches!(log, Err(PortError::NotFound { .. })), "{log:?}");

    assert_eq!((desk.stacks().await, desk.cloud.inventory(site(&one)).await.expect("it is told")), (stacks, all));
    assert!(!desk.cloud.observe(site(&one)).await.expect("it is told").services.is_empty());
}
