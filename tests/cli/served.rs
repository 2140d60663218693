//! Deploys asked for on the command line and carried out by a server in a process of its own.

use greenroom::sandbox::FileChange;
use insta::{assert_json_snapshot, assert_snapshot};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::server::{Served, config, next};

const DEPLOY: [&str; 6] = ["deploy", "staging", "--repo", "acme/shop", "--branch", "staging"];

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_is_planned_deployed_and_shown() {
    let mut world = Served::new().await;
    world.commit("staging", config("NAME: two"), "two");
    let plan = "plan staging --repo acme/shop --branch staging";
    assert_snapshot!(world.run("plan staging --repo acme/shop").await.all(), @"
    --- stderr
    error: there is no stage acme/shop/staging yet: say what it would run, with --pr, --branch or --sha
    --- exit 2
    ");
    assert_snapshot!(world.run(plan).await.all(), @"
    --- stdout
    acme/shop/staging to [two], 7 steps:
       1  fetch the source
       2  build web                                          after 1
       3  start web beside what serves, until it is healthy  after 2
       4  lead the traffic to the new web                    after 3; waited out
       5  check the public address of web                    after 4
       6  drain and remove what web ran before               after 5; also after a failure; waited out
       7  remove the fetched source                          after 2, 6; also after a failure
    web at http://staging.localhost[port]
    --- exit 0
    ");
    assert_snapshot!(world.follow("deploy staging --repo acme/shop --branch staging").await, @"
    --- stdout
    http://staging.localhost[port]
    --- stderr
      ✓ fetching the source · [time]
      ✓ building web · [time]
      ✓ starting web · [time]
      ✓ switching web · [time]
      ✓ checking web · [time]
      ✓ retiring the old web · [time]
      ✓ tidying up · [time]
    staging is live · [two] · [time] (build [time], deploy [time], health [time]) · http://staging.localhost[port]
      web  http://staging.localhost[port]
    --- exit 0
    ");
    assert_snapshot!(world.run("status").await.all(), @"
    --- stdout
    STAGE              STATE  COMMIT   SERVICES  TOOK  EXPIRES  URL
    acme/shop/staging  live   [two]  1/1       [time]  -        http://staging.localhost[port]
    --- exit 0
    ");
    assert_snapshot!(world.run("plan staging --repo acme/shop").await.all(), @"
    --- stdout
    acme/shop/staging to [two]: nothing to do, it is there
    --- exit 0
    ");
    assert_snapshot!(world.follow("deploy staging --repo acme/shop --branch staging").await, @"
    --- stdout
    http://staging.localhost[port]
    --- stderr
    nothing to do: staging is live · [two] · [time] (build [time], deploy [time], health [time]) · http://staging.localhost[port]
    --- exit 0
    ");
    assert_snapshot!(world.run("sweep --dry-run").await.all(), @"
    --- stdout
    nothing to sweep: the one stage that exists is known
    --- exit 0
    ");
    assert_snapshot!(world.run("sweep").await.all(), @"
    --- stdout
    nothing was left over
    --- exit 0
    ");
    assert_eq!(world.run("destroy staging --repo acme/shop --yes").await.code, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planned_is_what_is_done() {
    let mut world = Served::new().await;
    world.commit("staging", config("NAME: two"), "two");
    assert_eq!(world.run("deploy staging --repo acme/shop --branch staging").await.code, 0);
    world.commit("staging", config("NAME: three"), "three");
    let planned = world.run("--json plan staging --repo acme/shop --branch staging").await.json();
    assert_snapshot!(world.run("plan staging --repo acme/shop").await.all(), @"
    --- stdout
    acme/shop/staging to [three], 7 steps:
       1  fetch the source
       2  build web                                          after 1
       3  start web beside what serves, until it is healthy  after 2
       4  lead the traffic to the new web                    after 3; waited out
       5  check the public address of web                    after 4
       6  drain and remove what web ran before               after 5; also after a failure; waited out
       7  remove the fetched source                          after 2, 6; also after a failure
    web at http://staging.localhost[port]
    --- exit 0
    ");
    let said = world.run("--json deploy staging --repo acme/shop --branch staging").await;
    said.json();
    let document: serde_json::Value = serde_json::from_str(&world.bench.steady(&said.out)).unwrap();
    assert_eq!(planned["plan"], world.newest_plan("staging").await, "what was shown is what was done");
    assert_json_snapshot!(document, {
        ".started_at" => 0, ".history" => "[history]", ".steps" => "[steps]", ".times" => "[times]",
        ".services[].health.millis" => 0,
        ".services[].build_millis" => 0, ".services[].deploy_millis" => 0, ".services[].health_millis" => 0,
    }, @r#"
    {
      "approve": null,
      "commands": [],
      "expires": null,
      "failure": null,
      "full": null,
      "gaps": [],
      "generation": 2,
      "gone": null,
      "history": "[history]",
      "phase": "live",
      "problems": [],
      "pull": null,
      "repo": "acme/shop",
      "services": [
        {
          "app_log": null,
          "build_log": null,
          "build_millis": 0,
          "deploy_millis": 0,
          "health": {
            "kind": "answered",
            "millis": 0,
            "status": 200
          },
          "health_millis": 0,
          "name": "web",
          "note": null,
          "since": null,
          "state": "live",
          "unchanged": null,
          "url": "http://staging.localhost[port]"
        }
      ],
      "serving": null,
      "sha": "[three in full]",
      "stage": "staging",
      "started_at": 0,
      "steps": "[steps]",
      "superseded_by": null,
      "times": "[times]",
      "troubles": [],
      "url": "http://staging.localhost[port]",
      "waiting": null,
      "withheld": null
    }
    "#);
    assert_eq!(world.run("destroy staging --repo acme/shop --yes").await.code, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_stage_is_destroyed_when_that_is_meant() {
    let mut world = Served::new().await;
    world.commit("staging", config("NAME: two"), "two");
    assert_eq!(world.run("deploy staging --repo acme/shop --branch staging").await.code, 0);
    assert_snapshot!(world.follow("destroy staging --repo acme/shop").await, @"
    --- stderr
    error: acme/shop/staging does not go by itself: --yes removes it all the same
    --- exit 2
    ");
    assert_snapshot!(world.run("plan staging --repo acme/shop --destroy").await.all(), @"
    --- stdout
    acme/shop/staging to be removed, 5 steps:
       1  remove the route staging.localhost                 waited out
       2  remove the process staging/web/[version]/0  after 1; waited out
       3  remove the files staging/web                       after 2; waited out
       4  remove the fetched source                          after 3
       5  see that none of 3 things is left                  after 4
    --- exit 0
    ");
    assert_snapshot!(world.follow("destroy staging --repo acme/shop --yes").await, @"
    --- stderr
      ✓ removing route staging.localhost · [time]
      ✓ removing process staging/web/[version]/0 · [time]
      ✓ removing files staging/web · [time]
      ✓ tidying up · [time]
      ✓ looking whether anything is left · [time]
    staging is gone · 0 of 3 resources left
    --- exit 0
    ");
    assert_snapshot!(world.run("status").await.all(), @"
    --- stdout
    no stage: the first pull request makes one, or `greenroom deploy`
    --- exit 0
    ");
    assert_snapshot!(world.run("status --all").await.all(), @"
    --- stdout
    STAGE              STATE      COMMIT  SERVICES  TOOK  EXPIRES  URL
    acme/shop/staging  destroyed  -       -         [time]  -        -
    --- exit 0
    ");
    assert_snapshot!(world.run("plan staging --repo acme/shop --destroy").await.all(), @"
    --- stdout
    acme/shop/staging: it is gone, and nothing is left of it
    --- exit 0
    ");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_is_deployed_while_it_is_open() {
    let mut world = Served::new().await;
    // The first look of the server at open pull requests is over once it has done something else.
    world.commit("staging", config("NAME: first"), "first");
    assert_eq!(world.run("deploy staging --repo acme/shop --branch staging").await.code, 0);
    world.commit("topic", config("NAME: topic"), "topic");
    let number = world.github.open_pull(&world.repo, "topic", "A topic").unwrap();
    assert_snapshot!(world.run("plan pr-1 --repo acme/shop --pr 1").await.all(), @"
    --- stdout
    acme/shop/pr-1 to [topic], 7 steps:
       1  fetch the source
       2  build web                                          after 1
       3  start web beside what serves, until it is healthy  after 2
       4  lead the traffic to the new web                    after 3; waited out
       5  check the public address of web                    after 4
       6  drain and remove what web ran before               after 5; also after a failure; waited out
       7  remove the fetched source                          after 2, 6; also after a failure
    web at http://pr-1.localhost[port]
    --- exit 0
    ");
    assert_snapshot!(world.follow("deploy pr-1 --repo acme/shop --pr 1").await, @"
    --- stdout
    http://pr-1.localhost[port]
    --- stderr
      ✓ fetching the source · [time]
      ✓ building web · [time]
      ✓ starting web · [time]
      ✓ switching web · [time]
      ✓ checking web · [time]
      ✓ retiring the old web · [time]
      ✓ tidying up · [time]
    pr-1 is live · [topic] · [time] (build [time], deploy [time], health [time]) · http://pr-1.localhost[port]
      web  http://pr-1.localhost[port]
    --- exit 0
    ");
    assert_eq!(world.github.comments(&world.repo, number).len(), 1, "the engine shows it as ever");
    world.github.close_pull(&world.repo, number).unwrap();
    assert_snapshot!(world.follow("deploy pr-1 --repo acme/shop --pr 1").await, @"
    --- stderr
      ✓ removing route pr-1.localhost · [time]
      ✓ removing process pr-1/web/[version]/0 · [time]
      ✓ removing files pr-1/web · [time]
      ✓ tidying up · [time]
      ✓ looking whether anything is left · [time]
    pr-1 is gone · 0 of 3 resources left
    error: acme/shop/pr-1 has no stage: its pull request is closed
    --- exit 2
    ");
    assert_eq!(world.run("destroy staging --repo acme/shop --yes").await.code, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_with_its_exit_code() {
    let mut world = Served::new().await;
    let deploy = "deploy staging --repo acme/shop --branch staging";
    world.commit("staging", config("MODE: exit, TOKEN: nothing"), "exits");
    assert_snapshot!(world.follow(deploy).await, @"
    --- stderr
      ✓ fetching the source · [time]
      ✓ building web · [time]
      ✗ starting web · failed · [time]
      ✓ retiring the old web · [time]
      ✓ tidying up · [time]
    staging failed · [exits] · starting web · [time] · `web` ended with exit code 3 before it was healthy
      | 
      | running 1 test
      | starting
      | cannot go on: my token is nothing
      → Its last lines say why. Mend it and push.
    --- exit 1
    ");

    world.commit(
        "staging",
        FileChange::write(".github/greenroom.yml", "version: 1\napp: shop\nservices: 1\n"),
        "wrong",
    );
    assert_snapshot!(world.run("plan staging --repo acme/shop").await.all(), @"
    --- stdout
    .github/greenroom.yml:3:11: `services` must be a mapping with 1 to 50 keys, not 1 (`services`)
    --- exit 2
    ");
    assert_snapshot!(world.follow(deploy).await, @"
    --- stderr
    staging has a configuration that is wrong · [wrong] · 1 problem
      .github/greenroom.yml:3:11: `services` must be a mapping with 1 to 50 keys, not 1 (`services`)
    --- exit 2
    ");

    assert_snapshot!(world.follow("deploy typo --repo acme/shop --branch main").await, @"
    --- stderr
    error: the server knows nothing to do for acme/shop/typo: does a rule under `stages` on the default branch name it, does its branch exist, is it not that of another branch or pull request, and is acme/shop among those that the server serves (GREENROOM_ALLOW)?
    --- exit 2
    ");
    assert_snapshot!(world.run("plan typo --repo acme/shop --branch main").await.all(), @"
    --- stdout
    acme/shop/typo: it stays as it is: no rule under `stages` on the default branch names it, or its branch is gone
    --- exit 2
    ");
    let nowhere = format!("deploy nowhere --repo acme/shop --sha {}", "1".repeat(40));
    assert_snapshot!(world.follow(&nowhere).await, @"
    --- stderr
    error: the server knows nothing to do for acme/shop/nowhere: does a rule under `stages` on the default branch name it, does its branch exist, is it not that of another branch or pull request, and is acme/shop among those that the server serves (GREENROOM_ALLOW)?
    --- exit 2
    ");
    let mut stuck = world.bench.command(&["deploy", "pr-7", "--repo", "acme/shop", "--pr", "7"]).spawn().unwrap();
    let mut lines = BufReader::new(stuck.stderr.take().unwrap()).lines();
    next(&mut lines, "the server is stuck and tries again (").await;
    stuck.kill().await.unwrap();
    let said = world.run("deploy pr-7 --repo acme/shop --pr 7 --timeout 1s").await;
    let told: Vec<&str> = said.all().lines().collect();
    assert_eq!(told[told.len() - 2..], ["not done after [time]; the work goes on", "--- exit 3"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_may_not_run_here_does_not() {
    let world = Served::new().await;
    world.github.create_repo("acme/other", [config("NAME: other")]).unwrap();
    world.github.commit(&"acme/other".parse().unwrap(), "staging", [config("NAME: more")], "More").unwrap();
    let said = world.run("deploy staging --repo acme/other --branch staging").await;
    assert_eq!(said.code, 2, "{}", said.all());
    assert!(said.err.contains("is acme/other among those that the server serves (GREENROOM_ALLOW)?"), "{}", said.err);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_is_told() {
    let mut world = Served::new().await;
    world.commit("staging", config("MODE: deaf"), "deaf");
    let mut deploy = world.bench.command(&DEPLOY).spawn().unwrap();
    let mut lines = BufReader::new(deploy.stderr.take().unwrap()).lines();
    next(&mut lines, "building web").await;
    assert_eq!(world.run("destroy staging --repo acme/shop --yes --no-wait").await.code, 0);
    assert_snapshot!(next(&mut lines, "error").await, @"error: acme/shop/staging was given another goal meanwhile: `greenroom status` shows it");
    assert_eq!(deploy.wait().await.unwrap().code(), Some(1));
    assert_eq!(world.run("destroy staging --repo acme/shop --yes").await.code, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_following_stops_nothing_else() {
    let mut world = Served::new().await;
    world.commit("staging", config("MODE: deaf"), "deaf");
    let mut deploy = world.bench.command(&DEPLOY).spawn().unwrap();
    let mut lines = BufReader::new(deploy.stderr.take().unwrap()).lines();
    next(&mut lines, "building web").await;
    let pid = rustix::process::Pid::from_raw(deploy.id().and_then(|id| i32::try_from(id).ok()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let said = next(&mut lines, "no longer following").await;
    assert_snapshot!(said, @"no longer following staging; the server goes on with it");
    assert_eq!(deploy.wait().await.unwrap().code(), Some(3));

    world.commit("staging", config("NAME: better"), "better");
    let said = world.run("deploy staging --repo acme/shop --branch staging").await;
    assert_eq!(said.code, 0, "{}", said.all());
    assert_eq!(world.run("destroy staging --repo acme/shop --yes").await.code, 0);
    world.stop().await;
}
