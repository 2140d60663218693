//! What goes wrong, and what is said of it.

use greenroom::model::Permission;
use greenroom::sandbox::{ActionsSwitch, FileChange};

use super::{PATH, Shop, WORKFLOW};

impl Shop {
    /// The workflow's file on the default branch is another one, or gone.
    fn changes_workflow(&self, change: FileChange) {
        self.w.github.commit(&self.w.repo, "main", [change], "Change the workflow").expect("a commit");
    }

    /// What is said of a pull request whose builds come to nothing by themselves.
    async fn fails_at_once(&self) -> String {
        let (pull, _) = self.w.open("topic", "2");
        self.w.settle().await;
        self.w.comment(pull)
    }
}

#[tokio::test]
async fn a_success_without_an_image_is_a_failure_that_says_so() {
    let shop = Shop::open().await;
    let (pull, _) = shop.opens().await;
    let run = shop.run_of("web");
    shop.ends(&run, "success", &[]);
    shop.goes_on(60).await;
    let comment = shop.w.comment(pull);
    assert!(comment.contains("says success, and the image is not in the registry"), "{comment}");
    assert_eq!(shop.active(), [], "the other service's run is ended");
}

#[tokio::test]
async fn an_image_counts_whatever_its_run_says() {
    for conclusion in ["failure", "cancelled", "timed_out"] {
        let shop = Shop::open().await;
        let (_, sha) = shop.opens().await;
        for run in shop.active() {
            shop.registry.push(&run.inputs["image"]);
            shop.ends(&run, conclusion, &[]);
        }
        shop.w.settle().await;
        assert_eq!(shop.w.serving("pr-1", "web"), Some(sha), "{conclusion}");
    }
}

#[tokio::test]
async fn an_image_counts_where_its_run_is_deleted() {
    let shop = Shop::open().await;
    let (_, sha) = shop.opens().await;
    for run in shop.active() {
        shop.registry.push(&run.inputs["image"]);
        shop.w.github.delete_run(&shop.w.repo, run.id).expect("it is deleted");
    }
    shop.goes_on(120).await;
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn a_build_that_fails_shows_its_last_lines_and_its_page() {
    let shop = Shop::open().await;
    let (pull, _) = shop.opens().await;
    let run = shop.run_of("web");
    shop.ends(&run, "failure", &["#9 RUN make", "make: *** [all] Error 2"]);
    shop.w.settle().await;
    let comment = shop.w.comment(pull);
    assert!(comment.contains("make: *** [all] Error 2"), "{comment}");
    assert!(comment.contains(&format!("/acme/shop/actions/runs/{}", run.id)), "{comment}");
}

#[tokio::test]
async fn a_run_that_failed_is_not_taken_for_the_next_wish() {
    let shop = Shop::open().await;
    let (pull, sha) = shop.opens().await;
    shop.w.github.set_permission(&shop.w.repo, "wes", Permission::Write);
    for run in shop.active() {
        shop.ends(&run, "failure", &["a passing fault"]);
    }
    shop.w.settle().await;
    shop.w.says("wes", pull, "/retry");
    shop.goes_on(30).await;
    assert_eq!(shop.active().len(), 2, "another goal has other runs");
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn a_run_that_somebody_deleted_or_cancelled_is_told() {
    let shop = Shop::open().await;
    let (pull, _) = shop.opens().await;
    let run = shop.run_of("web");
    shop.w.github.delete_run(&shop.w.repo, run.id).expect("it is deleted");
    shop.goes_on(120).await;
    let comment = shop.w.comment(pull);
    assert!(comment.contains("was deleted before it ended"), "{comment}");

    let shop = Shop::open().await;
    let (pull, _) = shop.opens().await;
    let run = shop.run_of("web");
    shop.ends(&run, "cancelled", &[]);
    shop.w.settle().await;
    assert!(shop.w.comment(pull).contains("was cancelled"), "{}", shop.w.comment(pull));
}

#[tokio::test]
async fn what_is_wrong_with_the_workflow_is_told_with_what_to_do() {
    let shop = Shop::open().await;
    shop.changes_workflow(FileChange::remove(PATH));
    let comment = shop.fails_at_once().await;
    assert!(comment.contains("is not on the branch main"), "{comment}");
    assert!(comment.contains("greenroom init --workflows"), "{comment}");

    let shop = Shop::open().await;
    shop.changes_workflow(FileChange::write(
        PATH,
        WORKFLOW.replace("\n      labels: ", "\n      etiquettes: ").replace("inputs.labels", "inputs.etiquettes"),
    ));
    let comment = shop.fails_at_once().await;
    assert!(comment.contains("is not the one that this server asks for"), "{comment}");

    let shop = Shop::open().await;
    shop.w.github.switch_actions(ActionsSwitch::Off);
    let comment = shop.fails_at_once().await;
    assert!(comment.contains("disabled") && comment.contains("Enable the workflow"), "{comment}");

    let shop = Shop::open().await;
    shop.w.github.set_app_permission("actions", Permission::None);
    let comment = shop.fails_at_once().await;
    assert!(comment.contains("Actions: read and write"), "{comment}");
}

#[tokio::test]
async fn a_run_that_does_not_bear_its_name_is_followed_by_its_number_and_otherwise_never_found() {
    let nameless = WORKFLOW.replace(" [${{ inputs.nonce }}]", "");
    let shop = Shop::open().await;
    shop.changes_workflow(FileChange::write(PATH, nameless.as_str()));
    let (_, sha) = shop.opens().await;
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha), "GitHub told its number");

    let shop = Shop::open().await;
    shop.w.github.set_dispatch_answer(greenroom::sandbox::DispatchAnswer::Nothing);
    shop.changes_workflow(FileChange::write(PATH, nameless));
    let (pull, _) = shop.opens().await;
    shop.goes_on(180).await;
    let comment = shop.w.comment(pull);
    assert!(comment.contains("run-name"), "{comment}");
    assert_eq!(shop.runs().len(), 2, "and none is started over and over");
}

#[tokio::test]
async fn what_others_start_by_our_name_is_nothing_to_us() {
    let shop = Shop::open().await;
    let (_, sha) = shop.opens().await;
    let web = shop.run_of("web");
    let inputs: Vec<(&str, &str)> = web.inputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let theirs = shop.w.github.dispatch(&shop.w.repo, "greenroom-build.yml", "main", "mallory", &inputs);
    let theirs = theirs.expect("whoever may write may start workflows");
    let mut shop = shop;
    shop.w.restart();
    shop.w.github.end_run(&shop.w.repo, theirs, "success", &[]).expect("it ends");
    shop.goes_on(90).await;
    assert_eq!(shop.run_of("web").id, web.id, "ours goes on");
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn a_commit_without_its_dockerfile_starts_no_run() {
    let shop = Shop::open().await;
    let gone = [FileChange::remove("Dockerfile")];
    shop.w.github.push(&shop.w.repo, "topic", gone, "Take it out").expect("a commit");
    let pull = shop.w.github.open_pull(&shop.w.repo, "topic", "Take it out").expect("a pull request");
    shop.w.settle().await;
    let comment = shop.w.comment(pull);
    assert!(comment.contains("is not in the commit"), "{comment}");
    assert_eq!(shop.runs(), []);
}
