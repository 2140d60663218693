//! What the other states of a stage look like: refused, waiting for somebody, removed.

use insta::assert_snapshot;

use super::fixture::{World, at, body, exited, sha, small};
use super::*;
use crate::model::{
    Failure, FailureKind, GoneReason, Outcome, Output, Position, Problem, Problems, Resource, StageName, StageStatus,
};

#[test]
fn misconfigured() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    let problem = |line, path: &str, message: &str| Problem {
        at: Position { line, column: 5 },
        path: path.into(),
        message: message.into(),
    };
    let problems = vec![
        problem(7, "services.web.port", "70000 is not a port: write a number from 1 to 65535"),
        problem(9, "", "`helth` is not known here; `health` is"),
    ];
    let problems = Problems { file: ".github/greenroom.yml".into(), problems };
    world.record.status = StageStatus::Misconfigured { sha: sha('c'), problems };
    assert_snapshot!(body(&world), @r#"
    ### pr-42 has a configuration that is wrong · `ccccccc` · 2 problems

    - .github/greenroom.yml:7:5 70000 is not a port: write a number from 1 to 65535 (`services.web.port`)
    - .github/greenroom.yml:9:5 `helth` is not known here; `health` is

    Nothing was changed. Correct the file and push; `greenroom check` finds the same problems without a push.

    `aaaaaaa` still serves.

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | still `aaaaaaa` | <https://pr-42.example.com> |  |
    | api | still `aaaaaaa` | <https://api-pr-42.example.com> |  |
    | worker | still `aaaaaaa` |  |  |
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Failure: pr-42 has a configuration that is wrong · ccccccc · 2 problems
    deployment Failure: pr-42 has a configuration that is wrong · ccccccc · 2 problems -> https://pr-42.example.com
    line: pr-42 has a configuration that is wrong · ccccccc · 2 problems · aaaaaaa still serves
    comment: Write
    "#);
}

#[test]
fn a_fork_waits_for_an_approval() {
    let mut world = World::new();
    world.record.status = StageStatus::AwaitingApproval { sha: sha('f') };
    assert_snapshot!(body(&world), @r#"
    ### pr-42 waits for an approval · `fffffff`

    The commit comes from a fork or from Dependabot: its code runs only after somebody with write access has looked at it and approved exactly this commit.
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Neutral: pr-42 waits for an approval · fffffff
    deployment Queued: pr-42 waits for an approval · fffffff -> nowhere
    line: pr-42 waits for an approval · fffffff
    comment: Write
    "#);
    world.links.approve = Some("/approve");
    let line = format!("comment `/approve {}`.", "f".repeat(40));
    assert!(body(&world).contains(&line), "a command is named only where it exists, and whole: {}", body(&world));
}

#[test]
fn what_a_lock_or_a_gate_holds_back() {
    use crate::model::{Lock, Timestamp, UserId, Withholding};
    let mut world = World::new();
    let lock = Lock {
        owner: UserId(1),
        login: "ann".into(),
        pull: None,
        reason: "the sale @all".into(),
        since: Timestamp(0),
        until: None,
    };
    let sha_held = Some(sha('f'));
    world.record.status = StageStatus::Withheld { sha: sha_held.clone(), why: Withholding::Locked(lock) };
    let locked = body(&world);
    assert!(locked.contains("pr-42 is locked · `fffffff`") && locked.contains("ann locked it"), "{locked}");
    assert!(!locked.contains("sale @all"), "nobody is called by a reason: {locked}");
    let (evidence, way_out) = ("ben has read".to_owned(), "ask somebody of maintain".to_owned());
    world.record.status = StageStatus::Withheld { sha: sha_held, why: Withholding::Refused { evidence, way_out } };
    let refused = body(&world);
    assert!(refused.contains("ben has read") && refused.contains("ask somebody of maintain"), "{refused}");
    assert!(small(&world.view()).contains("check Neutral"), "{}", small(&world.view()));
}

#[test]
fn full() {
    let mut world = World::new();
    let holders = ["pr-7", "pr-9"].map(|name| StageName::new(name).expect("a name")).to_vec();
    world.record.status = StageStatus::Full { max: 2, holders };
    assert_snapshot!(body(&world), @r#"
    ### pr-42 waits for a free place · all 2 are taken

    Every place is taken by pr-7, pr-9. This one starts as soon as one of them is closed or expires.
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Neutral: pr-42 waits for a free place · all 2 are taken
    deployment Queued: pr-42 waits for a free place · all 2 are taken -> nowhere
    line: pr-42 waits for a free place · all 2 are taken
    comment: Write
    "#);
}

#[test]
fn destroying_and_destroyed() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    world.remove(GoneReason::Merged, 400);
    world.release = None;
    world.done("remove:web-1", 400, 401, Output::Nothing);
    assert_snapshot!(body(&world), @r#"
    ### pr-42 is being removed · 4 resources

    It goes because the pull request was merged.

    <details><summary>The last 2 goals</summary>

    | Goal | Commit | Result | Started | Took |
    |---|---|---|---|---|
    | 2 | removal | running | 2026-11-20 05:10 UTC |  |
    | 1 | `aaaaaaa` | live | 2026-11-20 05:04 UTC | 2m 50s |

    </details>
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Neutral: pr-42 is being removed · 4 resources
    deployment Inactive: pr-42 is being removed · 4 resources -> nowhere
    line: pr-42 is being removed · 4 resources
    comment: EditOnly
    "#);

    world.end(Outcome::Gone { removed: 14 }, 410);
    assert_snapshot!(body(&world), @r#"
    ### pr-42 is gone · 0 of 14 resources left

    Destroyed at 2026-11-20 05:10 UTC, 0 of 14 resources left: the pull request was merged.

    <details><summary>The last 2 goals</summary>

    | Goal | Commit | Result | Started | Took |
    |---|---|---|---|---|
    | 2 | removal | gone | 2026-11-20 05:10 UTC | 10s |
    | 1 | `aaaaaaa` | live | 2026-11-20 05:04 UTC | 2m 50s |

    </details>
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Neutral: pr-42 is gone · 0 of 14 resources left
    deployment Inactive: pr-42 is gone · 0 of 14 resources left -> nowhere
    line: pr-42 is gone · 0 of 14 resources left
    comment: EditOnly
    "#);
}

#[test]
fn expired() {
    let mut world = World::new();
    world.remove(GoneReason::Expired, 400);
    world.end(Outcome::Gone { removed: 4 }, 410);
    assert_snapshot!(line(&world.view()), @"pr-42 expired and is gone · 0 of 4 resources left");
}

#[test]
fn stuck() {
    let mut world = World::new();
    world.remove(GoneReason::Closed, 400);
    for name in ["web-1", "api-1", "worker-1"] {
        world.done(&format!("remove:{name}"), 400, 401, Output::Nothing);
    }
    let failure =
        Failure::new(FailureKind::GaveUp, "container web-2 is in use", "Stop what uses it; it is tried again.");
    world.fail("remove:web-2", 401, 420, failure);
    assert_snapshot!(body(&world), @r#"
    ### pr-42 could not be removed · 1 of 4 resources left

    container web-2 is in use

    **What to do:** Stop what uses it; it is tried again.

    What is left:

    - container web-2
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Failure: pr-42 could not be removed · 1 of 4 resources left
    deployment Error: pr-42 could not be removed · 1 of 4 resources left -> nowhere
    line: pr-42 could not be removed · 1 of 4 resources left · container web-2 is in use
    comment: Write
    "#);

    let left = vec![Resource { kind: "bucket".into(), id: "uploads".into(), service: None }];
    let mut world = World::new();
    world.remove(GoneReason::Closed, 400);
    world.done("prove", 400, 401, Output::Left { removed: 3, left });
    world.end(Outcome::Failed, 402);
    let gone = world.view().gone.expect("a stage that goes");
    assert_eq!(
        (gone.removed, gone.total, gone.left),
        (3, 4, vec!["bucket uploads".to_owned()]),
        "what was proved counts"
    );
}

#[test]
fn unchanged() {
    use crate::model::Wanted;
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    if let Wanted::Live(spec) = &mut world.deploys[0].plan.wanted {
        spec.services[0].paths = vec!["web/**".into()];
    }
    // Nothing of the next commit had to be deployed, so that there is no deploy of it.
    world.record.status = StageStatus::Live { sha: sha('b') };
    let text = body(&world);
    for said in [
        "### pr-42 is unchanged · `aaaaaaa` runs · nothing of `bbbbbbb` had to be deployed\n\n| Service |",
        "| web | unchanged since `aaaaaaa` (no file of its paths changed) | <https://pr-42.example.com> |",
        "| worker | unchanged (the same version runs) |",
    ] {
        assert!(text.contains(said), "{said:?} is missing from {text}");
    }
    assert!(!text.contains("still serves") && !text.contains("is live"), "{text}");
    assert_snapshot!(small(&world.view()), @r#"
    check Success: pr-42 is unchanged · aaaaaaa runs · nothing of bbbbbbb had to be deployed
    deployment Success: pr-42 is unchanged · aaaaaaa runs · nothing of bbbbbbb had to be deployed -> https://pr-42.example.com
    line: pr-42 is unchanged · aaaaaaa runs · nothing of bbbbbbb had to be deployed · https://pr-42.example.com
    comment: Write
    "#);
    assert_snapshot!(status_table(&status_rows(&[world.view()]), at(600)), @r#"
    STAGE            STATE  COMMIT                    SERVICES  TOOK  EXPIRES  URL
    acme/shop/pr-42  live   bbbbbbb (aaaaaaa serves)  3/3       -     6d 23h   https://pr-42.example.com
    "#);
}

#[test]
fn a_table_of_stages() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    let live = world.view();
    world.deploy(sha('b'), 300);
    world.fail("fetch", 300, 301, exited());
    let rows = status_rows(&[live, world.view(), World::new().view()]);
    assert_snapshot!(status_table(&rows, at(600)), @r#"
    STAGE            STATE   COMMIT                    SERVICES  TOOK    EXPIRES  URL
    acme/shop/pr-42  live    aaaaaaa                   3/3       2m 41s  6d 23h   https://pr-42.example.com
    acme/shop/pr-42  failed  bbbbbbb (aaaaaaa serves)  3/3       1s      6d 23h   https://pr-42.example.com
      `web` ended by itself. Read the last lines; set DATABASE_URL under `env`.
    acme/shop/pr-42  queued  -                         -         -       6d 23h   -
    "#);
    assert_eq!(status_table(&[], at(0)), "");
    assert_snapshot!(serde_json::to_string(&rows[0]).expect("JSON"), @r#"{"repo":"acme/shop","stage":"pr-42","generation":1,"state":"live","commit":"aaaaaaa","serving":null,"services_up":3,"services":3,"took_millis":161000,"expires_at":1795755840000,"url":"https://pr-42.example.com"}"#);
}
