//! `kill -9` of a server whose stages run on AWS, in the middle of its steps, and a new one on the
//! same folder and database: the world ends as it would have without it, also while its repository gets
//! other names and another owner, and names that it had become somebody else's.

use crate::aws_world::{AwsWorld, CONFIG};
use crate::database::Database;
use crate::other::Newcomer;
use crate::own::own;

/// In which steps the server is killed.
struct Kills {
    /// Of the first deploy.
    first: &'static [&'static str],
    /// Of the second one, after the repository got another name.
    renamed: &'static [&'static str],
    /// Of the same, after it was handed to another owner and its first name became somebody else's.
    handed_on: &'static [&'static str],
    /// Of the removal, after the name that it was known by became somebody else's too.
    removed: &'static [&'static str],
}

const IN_EACH_STEP: Kills = Kills {
    first: &["fetch", "prepare", "build:", "migrate:", "start:", "check:", "retire:"],
    renamed: &["build:", "migrate:"],
    handed_on: &["start:", "check:", "retire:"],
    removed: &["remove:", "prove"],
};

const ONCE_EACH: Kills =
    Kills { first: &["start:"], renamed: &["build:"], handed_on: &["check:"], removed: &["remove:"] };

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_each_step_on_aws() {
    let mut s = AwsWorld::new().await;
    ends_as_without_a_kill(&mut s, &IN_EACH_STEP).await;
    s.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_postgres_while_its_repository_moves_on_aws() {
    let mut s = AwsWorld::on(Database::postgres().await, "", CONFIG, Vec::new()).await;
    ends_as_without_a_kill(&mut s, &ONCE_EACH).await;
    s.finish().await;
}

/// Kills the server in each of these steps of a deploy, and starts it again.
async fn killed_in_each(s: &mut AwsWorld, deploy: i64, steps: &[&str]) {
    for step in steps {
        s.w.step_began(deploy, step).await;
        s.w.kill_server().await;
        s.w.start_server().await;
    }
}

async fn ends_as_without_a_kill(s: &mut AwsWorld, kills: &Kills) {
    let first = s.w.repo.clone();
    let one = s.w.open("one");
    killed_in_each(s, 1, kills.first).await;
    s.w.live(&one).await;
    assert_eq!(s.ask().await, (200, "one".into()));
    s.stands_once().await;

    // It gets another name, which nobody tells: on AWS everything keeps the one that it has.
    s.w.repo = s.w.github.rename_repo(&first, &own("acme/e2e_moved.web")).expect("it is renamed");
    let load = s.load().await;
    let two = s.w.push("two");
    killed_in_each(s, 2, kills.renamed).await;
    let before = s.w.repo.clone();
    s.w.repo = s.w.github.transfer_repo(&before, "beta").expect("it is handed on");
    s.w.github.tell_of_repo(&s.w.repo, "transferred", Some(&before));
    let newcomer = Newcomer::takes(&s.w, &first, CONFIG);
    killed_in_each(s, 2, kills.handed_on).await;
    s.w.live(&two).await;
    newcomer.is_turned_away(&s.w).await;
    let report = load.stop().await;
    assert_eq!(report.failures, Vec::<String>::new(), "stages need no server to answer");
    assert_eq!(s.ask().await, (200, "two".into()));
    s.stands_once().await;
    for line in ["migrate one", "migrate two"] {
        assert_eq!(s.printed(line).await, 1, "{line}");
    }
    assert_eq!(s.w.github.deployments(&s.w.repo).len(), 2, "one deployment for each commit");

    // Nobody tells of its last name either, and the one that it is known by is somebody else's at once.
    let known = s.w.repo.clone();
    s.w.repo = s.w.github.rename_repo(&known, &own("beta/e2e_again.web")).expect("it is renamed");
    let other = Newcomer::takes(&s.w, &known, CONFIG);
    s.w.close();
    killed_in_each(s, 3, kills.removed).await;
    s.nothing_is_left().await;
    other.is_turned_away(&s.w).await;
}
