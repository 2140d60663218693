//! Stages on AWS are handed over: no task is started anew, and nothing is made or taken away.

use super::{End, as_before, audit_is_whole, calm, end, looked, looks, texts};
use crate::aws_world::{self, AwsWorld};

/// What runs on AWS, and since when: a task that is started anew is another one.
async fn account_has(s: &AwsWorld) -> (Vec<String>, Vec<String>, Vec<String>) {
    let estate = s.estate().await;
    let deploys = texts(&s.w, "SELECT stage || ' ' || COUNT(*) FROM deploy GROUP BY stage ORDER BY stage").await;
    (estate.tasks.clone(), estate.lines(), deploys)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants the program of the version before"]
async fn stages_on_aws_of_the_version_before_stay_live() {
    let mut s = AwsWorld::behind(&as_before(), aws_world::CONFIG, Vec::new()).await;
    let staged = s.w.github.push(&s.w.repo, "staging", [("app", "staged")], "Stage it").expect("a commit");
    let one = s.w.open("one");
    s.w.live(&one).await;
    s.w.until("staging is live", async || s.w.shown(&staged) == ["check success", "deployment success"]).await;
    calm(&s.w).await;
    let before = account_has(&s).await;
    let load = s.load().await;

    s.w.home.before = String::new();
    for allow in [String::new(), s.w.repo.to_string()] {
        end(&mut s.w, End::Killed).await;
        let asked = looks(&s.w);
        s.w.home.allow = allow;
        s.w.start_server().await;
        looked(&s.w, asked).await;
        assert_eq!(account_has(&s).await, before, "served as {:?}", s.w.home.allow);
        assert_eq!(s.ask().await, (200, "one".into()));
        assert_eq!(s.ask_stage("staging").await, (200, "staged".into()));
    }
    let two = s.w.push("two");
    s.w.live(&two).await;
    s.w.until("the load meets the new version", async || load.answered() > 100 && load.met("two")).await;
    assert_eq!(load.stop().await.failures, Vec::<String>::new());
    s.w.close();
    s.w.comment_says("Destroyed at").await;
    s.w.until("its containers stop", async || s.aws.containers().len() == 1).await;
    assert_eq!(s.ask_stage("staging").await, (200, "staged".into()));
    audit_is_whole(&s.w).await;
    s.finish().await;
}
