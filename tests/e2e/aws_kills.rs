//! `kill -9` of a server whose stages run on AWS, in the middle of each step, and a new one on the
//! same folder: the world ends as it would have without it.

use crate::aws_world::AwsWorld;
use crate::own::own;

/// Kills the server in each of these steps of a deploy, and starts it again.
async fn killed_in_each(s: &mut AwsWorld, deploy: i64, steps: &[&str]) {
    for step in steps {
        s.w.step_began(deploy, step).await;
        s.w.kill_server().await;
        s.w.start_server().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_each_step_on_aws() {
    let mut s = AwsWorld::new().await;
    let one = s.w.open("one");
    killed_in_each(&mut s, 1, &["fetch", "prepare", "build:", "migrate:", "start:", "check:", "retire:"]).await;
    s.w.live(&one).await;
    assert_eq!(s.ask().await, (200, "one".into()));
    s.stands_once().await;

    // It gets another name, which nobody tells: on AWS everything keeps the one that it has.
    s.w.repo = s.w.github.rename_repo(&s.w.repo, &own("acme/e2e_moved.web")).expect("it is renamed");
    let load = s.load().await;
    let two = s.w.push("two");
    killed_in_each(&mut s, 2, &["build:", "migrate:", "start:", "check:", "retire:"]).await;
    s.w.live(&two).await;
    let report = load.stop().await;
    assert_eq!(report.failures, Vec::<String>::new(), "stages need no server to answer");
    assert_eq!(s.ask().await, (200, "two".into()));
    s.stands_once().await;
    for line in ["migrate one", "migrate two"] {
        assert_eq!(s.printed(line).await, 1, "{line}");
    }
    assert_eq!(s.w.github.deployments(&s.w.repo).len(), 2, "one deployment for each commit");

    s.w.close();
    killed_in_each(&mut s, 3, &["remove:", "prove"]).await;
    s.nothing_is_left().await;
    s.finish().await;
}
