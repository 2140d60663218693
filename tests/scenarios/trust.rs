//! What a stranger and the author of a fork try, and what comes of it.

use greenroom::model::{CommitSha, Permission, PullNumber, RepoName, ReviewState, StageStatus};
use greenroom::port::Phase;
use greenroom::sandbox::{DeliveryMode, FileChange, Mishap, NewPull, Order};

use crate::commands::{SHOP, people};
use crate::world::{World, exited};

/// A fork's pull request to the shop with one commit of these files.
struct Fork {
    w: World,
    repo: RepoName,
    pull: PullNumber,
    sha: CommitSha,
}

impl Fork {
    async fn with(files: impl IntoIterator<Item = FileChange>) -> Self {
        let w = World::with_config(SHOP).await;
        people(&w);
        let repo = w.github.fork(&w.repo, "stranger").expect("a fork");
        let sha = w.github.commit(&repo, "idea", files, "An idea").expect("a commit");
        let new =
            NewPull { author: "stranger".into(), head_repo: Some(repo.clone()), ..NewPull::new("idea", "An idea") };
        let pull = w.github.open(&w.repo, new).expect("a pull request");
        w.settle().await;
        Self { w, repo, pull, sha }
    }

    async fn is_refused(&self, line: &str) -> String {
        self.w.hears("wes", self.pull, line).await;
        let answer = self.w.answer(self.pull);
        assert!(answer.contains("**Refused:**"), "{line}: {answer}");
        assert_eq!(self.w.builder.journal(), Vec::<String>::new(), "{line}");
        assert!(matches!(self.w.stage("pr-1").await.status, StageStatus::AwaitingApproval { .. }), "{line}");
        answer
    }
}

fn evil() -> [FileChange; 1] {
    [FileChange::write("app", "evil")]
}

#[tokio::test]
async fn fewer_than_forty_digits_approve_nothing_and_the_answer_has_the_line_to_paste() {
    let fork = Fork::with(evil()).await;
    let whole = format!("`/approve {}`", fork.sha);
    assert!(fork.w.comment(fork.pull).contains(&whole), "{}", fork.w.comment(fork.pull));
    for digits in [7, 39] {
        let answer = fork.is_refused(&format!("/approve {}", &fork.sha.as_str()[..digits])).await;
        assert!(answer.contains(&whole), "{answer}");
        fork.w.after(61_000).await;
    }
    let answer = fork.is_refused("/deploy").await;
    assert!(answer.contains(&whole), "{answer}");
    fork.w.hears("wes", fork.pull, &format!("/approve {}", fork.sha)).await;
    assert_eq!(fork.w.serving("pr-1", "web"), Some(fork.sha.clone()));
}

#[tokio::test]
async fn a_head_that_came_in_the_second_of_the_approval_or_behind_its_back_is_not_approved() {
    let fork = Fork::with(evil()).await;
    let w = &fork.w;
    let worse = || w.github.push(&fork.repo, "idea", [FileChange::write("app", "worse")], "Another").expect("a push");
    // What its author could not have seen when they wrote, however they came by its name.
    w.github.set_delivery_mode(DeliveryMode::Hold);
    let next = worse();
    w.says("wes", fork.pull, &format!("/approve {next}"));
    w.github.set_delivery_mode(DeliveryMode::Send);
    w.github.release_deliveries(Order::AsHappened);
    w.settle().await;
    let answer = w.answer(fork.pull);
    assert!(answer.contains("in the same second") && answer.contains("**Refused:**"), "{answer}");
    assert_eq!(w.builder.journal(), Vec::<String>::new());
    w.hears("wes", fork.pull, &format!("/approve {next}")).await;
    assert_eq!(w.serving("pr-1", "web"), Some(next), "seen by now: {}", w.answer(fork.pull));
}

/// The shop's file with one more service, which nobody who may decide has ever seen.
fn own_file() -> FileChange {
    FileChange::write(".github/greenroom.yml", format!("{SHOP}  evil: {{ kind: ecs, build: {{}} }}\n"))
}

/// Whatever was built or done of the service that only the fork's own file has.
fn of_the_forks_file(w: &World) -> Vec<String> {
    let lines = w.builder.journal().into_iter().chain(w.cloud.journal());
    lines.filter(|line| line.contains("/evil")).collect()
}

impl Fork {
    /// A fork's commit, with a file of its own, that runs on `staging` because somebody approved it
    /// there; and a pull request of the repository's own.
    async fn on_staging(files: impl IntoIterator<Item = FileChange>) -> (Self, PullNumber) {
        let fork = Self::with(files).await;
        let w = &fork.w;
        w.push("staging", "1");
        w.settle().await;
        let (own, _) = w.open("topic", "2");
        w.settle().await;
        w.hears("mia", fork.pull, &format!("/approve {} staging", fork.sha)).await;
        w.hears("mia", fork.pull, "/deploy staging").await;
        w.after(61_000).await;
        (fork, own)
    }
}

#[tokio::test]
async fn a_forks_commit_that_is_taken_up_from_another_pull_request_gets_no_file_of_its_own() {
    for command in ["redeploy", "retry"] {
        let (fork, own) = Fork::on_staging([FileChange::write("app", "evil"), own_file()]).await;
        let w = &fork.w;
        assert_eq!(w.serving("staging", "web"), Some(fork.sha.clone()), "{:#?}", w.answers(fork.pull));
        if command == "retry" {
            w.cloud.mishap(Phase::Start, "web", None, Mishap::Fail(exited(3, "no such table")));
            w.hears("mia", own, "/redeploy staging").await;
            assert!(matches!(w.stage("staging").await.status, StageStatus::Failed { .. }));
            w.cloud.mishap(Phase::Start, "web", None, Mishap::Slow(0));
        }
        let taken_up = w.hears("mia", own, &format!("/{command} staging")).await;
        assert_eq!(w.reactions(taken_up).last().map(String::as_str), Some("rocket"), "{}", w.answer(own));
        assert_eq!(w.stage("staging").await.status, StageStatus::Live { sha: fork.sha.clone() }, "{}", w.answer(own));
        // The goal that was made of it knows it too, and so does what is made of that.
        w.hears("mia", own, "/redeploy staging").await;
        w.after(61_000).await;
        w.hears("adam", own, "/promote staging prod").await;
        assert!(w.answer(own).contains("is not approved"), "{}", w.answer(own));
        assert_ne!(w.serving("prod", "web"), Some(fork.sha.clone()));
        assert_eq!(of_the_forks_file(w), Vec::<String>::new(), "{command}");
    }
}

#[tokio::test]
async fn a_forks_commit_that_changed_nothing_but_its_file_is_known_as_a_forks_too() {
    let (fork, own) = Fork::on_staging([own_file()]).await;
    let w = &fork.w;
    assert_eq!(w.stage("staging").await.status, StageStatus::Live { sha: fork.sha.clone() });
    let taken_up = w.hears("mia", own, "/redeploy staging").await;
    assert_eq!(w.reactions(taken_up).last().map(String::as_str), Some("rocket"), "{}", w.answer(own));
    assert_eq!(w.stage("staging").await.status, StageStatus::Live { sha: fork.sha.clone() }, "{}", w.answer(own));
    assert_eq!(of_the_forks_file(w), Vec::<String>::new());
}

#[tokio::test]
async fn a_forks_commit_on_the_stage_of_another_pull_request_is_still_a_forks() {
    let (fork, own) = Fork::on_staging([FileChange::write("app", "evil"), own_file()]).await;
    let w = &fork.w;
    let theirs = format!("pr-{own}");
    let served = w.serving(&theirs, "web");
    w.hears("wes", fork.pull, &format!("/deploy {theirs}")).await;
    assert!(w.answer(fork.pull).contains("is not approved"), "{}", w.answer(fork.pull));
    assert_eq!(w.serving(&theirs, "web"), served);
    w.after(61_000).await;
    w.hears("wes", fork.pull, &format!("/approve {} {theirs}", fork.sha)).await;
    w.hears("wes", fork.pull, &format!("/deploy {theirs}")).await;
    assert_eq!(w.serving(&theirs, "web"), Some(fork.sha.clone()), "{:#?}", w.answers(fork.pull));
    w.after(61_000).await;
    w.hears("wes", own, "/redeploy").await;
    assert_eq!(of_the_forks_file(w), Vec::<String>::new());
}

#[tokio::test]
async fn a_plan_of_a_forks_commit_reads_no_file_of_its_own() {
    let (fork, _) = Fork::on_staging([FileChange::write("app", "evil"), own_file()]).await;
    let w = &fork.w;
    for stage in ["staging", "prod"] {
        w.hears("rita", fork.pull, &format!("/plan {stage}")).await;
        assert!(!w.answer(fork.pull).contains("evil"), "{}", w.answer(fork.pull));
    }
}

#[tokio::test]
async fn what_dependabot_brings_waits_for_an_approval_as_a_forks_does() {
    let w = World::with_config(SHOP).await;
    people(&w);
    let branch = "dependabot/npm/left-pad-2";
    let sha = w.push(branch, "2");
    w.write(branch, ".github/greenroom.yml", &format!("{SHOP}  evil: {{ kind: ecs, build: {{}} }}\n"));
    let head = w.push(branch, "3");
    let new = NewPull { author: "dependabot[bot]".into(), ..NewPull::new(branch, "Bump left-pad") };
    let pull = w.github.open(&w.repo, new).expect("a pull request");
    w.settle().await;
    assert!(matches!(w.stage("pr-1").await.status, StageStatus::AwaitingApproval { .. }));
    assert_eq!(w.builder.journal(), Vec::<String>::new());
    w.hears("wes", pull, &format!("/approve {sha}")).await;
    assert!(w.answer(pull).contains("is not the head"), "{}", w.answer(pull));
    w.hears("wes", pull, &format!("/approve {head}")).await;
    assert_eq!(w.serving("pr-1", "web"), Some(head));
    assert_eq!(of_the_forks_file(&w), Vec::<String>::new());
}

#[tokio::test]
async fn who_pushed_last_does_not_approve_what_they_pushed() {
    let strict = SHOP.replace(
        "staging: { on: { push: staging } }",
        "staging: { on: { push: staging }, allow: { deploy: { who: [write], approvals: 1 } } }",
    );
    let w = World::with_config(&strict).await;
    people(&w);
    // Everything that is pushed here is pushed by ada.
    w.github.set_permission(&w.repo, "ada", Permission::Write);
    w.push("topic", "2");
    let new = NewPull { author: "mia".into(), ..NewPull::new("topic", "A change") };
    let pull = w.github.open(&w.repo, new).expect("a pull request");
    w.settle().await;
    let head = w.push("topic", "3");
    w.settle().await;
    for (who, told) in [("mia", "0 of 1 approvals"), ("ada", "0 of 1 approvals")] {
        w.github.review(&w.repo, pull, who, ReviewState::Approved, "").expect("a review");
        w.settle().await;
        w.hears("wes", pull, "/deploy staging").await;
        assert!(w.answer(pull).contains(told), "{who}: {}", w.answer(pull));
    }
    assert_eq!(w.serving("staging", "web"), None);
    w.github.review(&w.repo, pull, "wes", ReviewState::Approved, "").expect("a review");
    w.settle().await;
    w.hears("wes", pull, "/deploy staging").await;
    assert_eq!(w.serving("staging", "web"), Some(head), "{}", w.answer(pull));
}
