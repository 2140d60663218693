//! A goal that its target lets nobody look at: what may have changed once somebody may, and who need not wait.

use greenroom::model::{Permission, StageStatus, Withholding};

use crate::commands::shop;

const REFUSED: &str = "AWS refused sts:AssumeRole";

#[tokio::test]
async fn whoever_asks_for_a_deploy_again_need_not_wait_for_the_next_try() {
    let (w, pull, _) = shop().await;
    w.cloud.refuse_looks(Some(REFUSED));
    let next = w.push("topic", "3");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Blocked { sha: Some(_), .. }));
    w.cloud.refuse_looks(None);
    w.hears("wes", pull, "/retry").await;
    assert_eq!(w.serving("pr-1", "web"), Some(next), "{:?}", w.answers(pull));
}

#[tokio::test]
async fn nor_who_asks_for_a_removal_again() {
    let (w, pull, _) = shop().await;
    w.cloud.refuse_looks(Some(REFUSED));
    w.github.close_pull(&w.repo, pull).expect("it closes");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Blocked { sha: None, .. }));
    w.cloud.refuse_looks(None);
    w.hears("wes", pull, "/retry").await;
    assert_eq!(w.serving("pr-1", "web"), None, "{:?}", w.answers(pull));
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::Gone { .. }));
}

#[tokio::test]
async fn a_right_that_is_lost_while_nobody_may_look_stops_what_it_was_for() {
    let (w, pull, _) = shop().await;
    w.cloud.refuse_looks(Some(REFUSED));
    w.hears("mia", pull, "/deploy staging").await;
    assert!(matches!(w.stage("staging").await.status, StageStatus::Blocked { sha: Some(_), .. }));
    w.github.set_permission(&w.repo, "mia", Permission::Read);
    w.cloud.refuse_looks(None);
    w.after(300_000).await;
    assert_eq!(w.serving("staging", "web"), None);
    let status = w.stage("staging").await.status;
    assert!(matches!(status, StageStatus::Withheld { why: Withholding::Refused { .. }, .. }), "{status:?}");
}
