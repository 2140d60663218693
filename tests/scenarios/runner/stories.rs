//! What goes well, however GitHub tells it.

use greenroom::model::{Chore, Lane, Permission, PullNumber, Seconds, StageStatus};
use greenroom::sandbox::{DeliveryMode, DispatchAnswer, Fault, FileChange, Manners, Matcher, NewPull, Order};
use http::Method;

use super::Shop;
use crate::depth::Depth;
use crate::fuse::{Fuse, Point};
use crate::world::CONFIG;

#[tokio::test]
async fn each_service_is_built_by_a_run_of_its_own_and_its_source_stays_where_it_is() {
    let shop = Shop::open().await;
    let (pull, sha) = shop.opens().await;
    let (web, worker) = (shop.run_of("web"), shop.run_of("worker"));
    assert_ne!(web.inputs["nonce"], worker.inputs["nonce"]);
    assert_eq!((web.branch.0.as_str(), &web.inputs["sha"]), ("main", &sha.to_string()));
    assert_eq!((web.inputs.len(), web.inputs["trust"].as_str()), (19, "preview"));
    assert!(web.inputs["image"].starts_with(&format!("{}/acme/shop/web:c-", shop.registry.host)), "{:?}", web.inputs);
    let comment = shop.w.comment(pull);
    assert!(comment.contains(&format!("/acme/shop/actions/runs/{}", web.id)), "its log is linked: {comment}");

    shop.w.github.start_run(&shop.w.repo, web.id).expect("a runner takes it");
    shop.builds_all();
    shop.w.settle().await;
    for service in ["web", "worker"] {
        assert_eq!(shop.w.serving("pr-1", service), Some(sha.clone()), "{service}");
    }
    assert_eq!(shop.w.builder.journal(), Vec::<String>::new(), "nothing was fetched or built here");
    assert_eq!(shop.registry.tags("s-pr-1-").len(), 2, "each is marked as in use");
}

#[tokio::test]
async fn what_was_built_before_is_built_no_more() {
    let shop = Shop::open().await;
    shop.opens().await;
    shop.builds_all();
    shop.w.settle().await;
    // The same files by another commit.
    shop.w.github.commit(&shop.w.repo, "twin", [FileChange::write("app", "2")], "The same").expect("a commit");
    let twin = shop.w.github.open_pull(&shop.w.repo, "twin", "The same").expect("a pull request");
    shop.w.settle().await;
    assert_eq!(shop.runs().len(), 2, "no run for it");
    assert!(shop.w.headline(twin).contains("live"), "{}", shop.w.comment(twin));
}

#[tokio::test]
async fn whoever_waits_is_rung_and_need_not_wait_for_the_next_look() {
    let shop = Shop::open().await;
    let (_, sha) = shop.opens().await;
    // All that is left to do is to ask again, in some seconds.
    while shop.w.engine.tick().await.expect("the database answers") {}
    shop.builds_all();
    shop.w.github.deliveries_settled().await;
    while shop.w.engine.tick().await.expect("the database answers") {}
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha), "without that the clock went on");
}

#[tokio::test]
async fn webhooks_may_be_lost_doubled_or_late() {
    for mode in [DeliveryMode::Drop, DeliveryMode::Duplicate, DeliveryMode::Hold] {
        let shop = Shop::open().await;
        let (_, sha) = shop.opens().await;
        shop.w.github.set_delivery_mode(mode);
        for run in shop.active() {
            shop.w.github.start_run(&shop.w.repo, run.id).expect("a runner takes it");
        }
        shop.builds_all();
        shop.goes_on(60).await;
        shop.w.github.set_delivery_mode(DeliveryMode::Send);
        assert_eq!(shop.w.serving("pr-1", "web"), Some(sha.clone()), "{mode:?}");
        shop.w.github.release_deliveries(Order::Reversed);
        shop.w.settle().await;
        assert_eq!((shop.w.serving("pr-1", "worker"), shop.runs().len()), (Some(sha), 2), "{mode:?}");
    }
}

#[tokio::test]
async fn older_servers_do_not_tell_which_run_it_is() {
    for answer in [DispatchAnswer::Nothing, DispatchAnswer::RefusesWish] {
        let shop = Shop::open().await;
        shop.w.github.set_dispatch_answer(answer);
        let (pull, sha) = shop.opens().await;
        assert_eq!(shop.runs().len(), 2, "{answer:?}");
        let page = format!("/acme/shop/actions/runs/{}", shop.run_of("web").id);
        assert!(shop.w.comment(pull).contains(&page), "{answer:?}");
        shop.builds_all();
        shop.w.settle().await;
        assert_eq!(shop.w.serving("pr-1", "web"), Some(sha), "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_starts_no_second_run() {
    let shop = Shop::open().await;
    let lost = || Matcher::method(Method::POST).path("/dispatches");
    for _ in 0..2 {
        shop.w.github.fail_next(lost(), Fault::LostAnswer { status: 502 });
    }
    let (_, sha) = shop.w.open("topic", "2");
    shop.goes_on(180).await;
    assert_eq!(shop.runs().len(), 2, "one for each service");
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn a_wish_that_was_not_heard_is_made_again() {
    let shop = Shop::open().await;
    for _ in 0..2 {
        shop.w.github.fail_next(Matcher::method(Method::POST).path("/dispatches"), Fault::status(502));
    }
    let (_, sha) = shop.w.open("topic", "2");
    shop.goes_on(180).await;
    assert_eq!(shop.runs().len(), 2);
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn a_newer_commit_ends_the_runs_of_the_older_and_forces_those_that_do_not_listen() {
    let shop = Shop::open().await;
    shop.opens().await;
    let (web, worker) = (shop.run_of("web"), shop.run_of("worker"));
    shop.w.github.teach_run(&shop.w.repo, web.id, Manners::Stubborn).expect("it is there");
    let newer = shop.w.push("topic", "3");
    shop.goes_on(10).await;
    let find = |id: u64| shop.runs().into_iter().find(|run| run.id == id).expect("it is there");
    assert_eq!(find(worker.id).conclusion.as_deref(), Some("cancelled"));
    assert_eq!((find(web.id).status, find(web.id).asked_to_end), ("queued", vec!["cancel"]));
    shop.goes_on(45).await;
    assert_eq!(find(web.id).asked_to_end, ["cancel", "force-cancel"]);
    assert_eq!(shop.active().len(), 2, "those of the newer commit");
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(newer));
}

#[tokio::test]
async fn a_pull_request_that_is_closed_ends_its_runs() {
    let shop = Shop::open().await;
    let (pull, _) = shop.opens().await;
    shop.w.github.close_pull(&shop.w.repo, pull).expect("it closes");
    shop.w.settle().await;
    assert_eq!(shop.active(), []);
}

#[tokio::test]
async fn what_a_process_left_to_run_when_it_died_is_ended_by_the_next_one() {
    let mut shop = Shop::open().await;
    let (pull, _) = shop.opens().await;
    let ids: Vec<u64> = shop.active().iter().map(|run| run.id).collect();
    for id in &ids {
        shop.w.github.teach_run(&shop.w.repo, *id, Manners::Stubborn).expect("it is there");
    }
    shop.w.github.close_pull(&shop.w.repo, pull).expect("it closes");
    shop.w.settle().await;
    assert!(matches!(shop.w.stage("pr-1").await.status, StageStatus::Gone { .. }));
    assert_eq!(shop.active().len(), 2, "nobody builds for the stage any more, and they do not listen");

    shop.w.restart();
    for _ in 0..2 {
        shop.w.ring(Lane::Chore(Chore::Reconcile)).await;
        shop.w.settle().await;
        shop.w.clock.advance(31_000);
    }
    assert_eq!(shop.active(), []);
    for run in shop.runs() {
        assert_eq!(run.asked_to_end, ["cancel", "cancel", "force-cancel"]);
    }
}

#[tokio::test]
async fn a_look_at_the_repository_ends_nothing_that_is_wanted() {
    let shop = Shop::open().await;
    let (_, sha) = shop.opens().await;
    shop.w.ring(Lane::Chore(Chore::Reconcile)).await;
    shop.goes_on(20).await;
    assert_eq!(shop.active().len(), 2);
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha));
    shop.w.ring(Lane::Chore(Chore::Reconcile)).await;
    shop.w.settle().await;
    assert!(shop.runs().iter().all(|run| run.asked_to_end.is_empty()), "{:#?}", shop.runs());
}

/// A pull request is opened, and the process dies right after this effect; answers how many there were.
async fn dies_at(at: usize) -> usize {
    let mut shop = Shop::open().await;
    let fuse = Fuse::new(at, Point::After);
    shop.w.burn(&fuse);
    let (_, sha) = shop.w.open("topic", "2");
    let mut idle = 0;
    while !fuse.is_blown() && idle < 40 {
        shop.w.github.deliveries_settled().await;
        match shop.w.engine.tick().await {
            Ok(true) => idle = 0,
            _ => {
                idle += 1;
                shop.w.clock.advance(1_000);
            }
        }
    }
    shop.w.restart();
    shop.w.clock.advance(61_000);
    shop.goes_on(60).await;
    assert_eq!(shop.runs().len(), 2, "effect {at}: {:#?}", shop.runs());
    shop.builds_all();
    shop.w.settle().await;
    for service in ["web", "worker"] {
        assert_eq!(shop.w.serving("pr-1", service), Some(sha.clone()), "effect {at}, {service}");
    }
    fuse.seen()
}

/// A newer commit is pushed while the older one is built, and the process dies right after this effect.
async fn dies_when_superseding(at: usize) {
    let mut shop = Shop::open().await;
    shop.opens().await;
    let fuse = Fuse::new(at, Point::After);
    shop.w.burn(&fuse);
    let newer = shop.w.push("topic", "3");
    shop.w.github.deliveries_settled().await;
    for _ in 0..40 {
        if fuse.is_blown() || !matches!(shop.w.engine.tick().await, Ok(true)) {
            shop.w.clock.advance(500);
        }
    }
    shop.w.restart();
    shop.w.clock.advance(61_000);
    shop.goes_on(60).await;
    let active = shop.active();
    assert!(active.iter().all(|run| run.inputs["sha"] == newer.to_string()), "effect {at}: {active:#?}");
    assert_eq!(active.len(), 2, "effect {at}");
}

/// Of every few effects one, or all of them.
fn drawn(what: &str, effects: usize) -> Vec<usize> {
    let (depth, all): (_, Vec<usize>) = (Depth::of_this_run(), (1..=effects).collect());
    all.chunks(6).flat_map(|alike| depth.of(&format!("{what} {}", alike[0]), alike)).collect()
}

#[tokio::test]
async fn a_process_that_dies_leaves_no_run_behind_and_starts_none_twice() {
    let effects = dies_at(usize::MAX).await;
    assert!(effects > 15, "{effects} effects are too few");
    for at in drawn("runner", effects) {
        dies_at(at).await;
    }
}

#[tokio::test]
async fn a_process_that_dies_while_it_ends_a_run_is_made_up_for() {
    for at in drawn("superseded runner", 25) {
        dies_when_superseding(at).await;
    }
}

#[tokio::test]
async fn two_runs_of_one_name_are_one_too_many() {
    let shop = Shop::open().await;
    shop.w.github.set_dispatch_answer(DispatchAnswer::Nothing);
    // GitHub takes a wish twice: an answer that was lost, and a list that was late.
    let (_, sha) = shop.opens().await;
    let web = shop.run_of("web");
    let inputs: Vec<(&str, &str)> = web.inputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let twin = shop
        .w
        .github
        .dispatch(&shop.w.repo, "greenroom-build.yml", "main", "greenroom-sandbox[bot]", &inputs)
        .expect("a run");
    let mut shop = shop;
    shop.w.restart();
    shop.goes_on(90).await;
    assert_eq!(shop.run_of("web").id, web.id, "the older one counts, and {twin} was ended");
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha));
}

#[tokio::test]
async fn a_stranger_s_commit_is_built_when_it_is_approved_without_cache_and_on_no_machine_of_ours() {
    let config = format!("{CONFIG}\nbuilder: actions\nrunners: {{ linux/amd64: [self-hosted, big] }}\n");
    let shop = Shop::with_config(&config).await;
    shop.w.github.set_permission(&shop.w.repo, "wes", Permission::Write);
    let fork = shop.w.github.fork(&shop.w.repo, "stranger").expect("a fork");
    let sha = shop.w.github.commit(&fork, "idea", [FileChange::write("app", "evil")], "An idea").expect("a commit");
    let new = NewPull { author: "stranger".into(), head_repo: Some(fork), ..NewPull::new("idea", "An idea") };
    let pull = shop.w.github.open(&shop.w.repo, new).expect("a pull request");
    shop.w.settle().await;
    assert_eq!(shop.runs(), [], "nothing before it is approved");
    shop.w.says("wes", pull, &format!("/approve {sha}"));
    shop.goes_on(30).await;
    let run = shop.run_of("web");
    let input = |name: &str| run.inputs[name].clone();
    assert_eq!([input("trust"), input("cache"), input("runs-on")], ["fork", "", "\"ubuntu-24.04\""]);
    assert_eq!(run.branch.0, "main", "the workflow is the default branch's");
    shop.builds_all();
    shop.w.settle().await;
    assert_eq!(shop.w.serving("pr-1", "web"), Some(sha));

    let (_, own) = shop.w.open("topic", "evil");
    shop.goes_on(30).await;
    let run = shop.run_of("web");
    assert_eq!((&run.inputs["sha"], run.inputs["runs-on"].as_str()), (&own.to_string(), "[\"self-hosted\",\"big\"]"));
    assert!(!run.inputs["cache"].is_empty(), "the same files, and nothing of the stranger's is taken");
}

#[tokio::test]
async fn who_builds_is_the_default_branch_s_to_say() {
    let shop = Shop::open().await;
    let own = format!("{CONFIG}\nbuilder: docker\n");
    shop.w.write("topic", ".github/greenroom.yml", &own);
    shop.w.github.open_pull(&shop.w.repo, "topic", "Build elsewhere").expect("a pull request");
    shop.goes_on(30).await;
    assert_eq!((shop.active().len(), shop.w.builder.journal()), (2, Vec::new()));

    let shop = Shop::with_config(CONFIG).await;
    shop.w.write("topic", ".github/greenroom.yml", &format!("{CONFIG}\nbuilder: actions\n"));
    shop.w.github.open_pull(&shop.w.repo, "topic", "Build elsewhere").expect("a pull request");
    shop.w.settle().await;
    assert_eq!(shop.runs(), []);
    assert!(shop.w.headline(PullNumber(1)).contains("live"), "{}", shop.w.comment(PullNumber(1)));
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended() {
    let mut shop = Shop::open().await;
    shop.w.gives_builds(Seconds(300));
    let (pull, _) = shop.opens().await;
    assert_eq!(shop.run_of("web").inputs["timeout"], "5");
    shop.goes_on(360).await;
    assert_eq!(shop.active(), []);
    let comment = shop.w.comment(pull);
    assert!(comment.contains("was not done within 5m") && comment.contains("waiting for a runner"), "{comment}");
}
