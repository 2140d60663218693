//! What a deploy looks like on each surface, from its first step to its end.

use insta::assert_snapshot;

use super::fixture::{World, at, body, exited, service, sha, small};
use super::*;
use crate::model::{
    Branch, CheckState, DeploymentState, Failure, FailureKind, Generation, Outcome, Output, StepEventKind, Subject,
};

#[test]
fn queued() {
    let world = World::new();
    assert_snapshot!(small(&world.view()), @r#"
    check Queued: pr-42 is waiting for its turn
    deployment Queued: pr-42 is waiting for its turn -> nowhere
    line: pr-42 is waiting for its turn
    comment: EditOnly
    "#);
}

#[test]
fn building() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.done("fetch", 0, 3, Output::Nothing);
    world.start("build:web", 3);
    let note = "step 4 of 9: bun install".to_owned();
    world.event("build:web", 5, StepEventKind::Pending { again: at(6), note });
    assert_snapshot!(body(&world), @r#"
    ### pr-42 is building · `aaaaaaa`

    Started 2026-11-20 05:04 UTC.

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | building |  |  |
    | api | waiting |  |  |
    | worker | waiting |  |  |
    "#);
    assert_snapshot!(check(&world.view()).summary, @"The comment on the pull request shows how far it is.");
    assert_snapshot!(small(&world.view()), @r#"
    check InProgress: pr-42 is being deployed · aaaaaaa
    deployment InProgress: pr-42 is being deployed · aaaaaaa -> nowhere
    line: pr-42 is building · aaaaaaa
    comment: Write
    "#);
}

#[test]
fn a_stage_without_a_pull_request_has_its_details_in_the_check() {
    let mut world = World::new();
    world.record.subject = Subject::Branch(Branch("main".into()));
    world.deploy(sha('a'), 0);
    world.done("fetch", 0, 3, Output::Nothing);
    world.start("build:web", 3);
    let summary = check(&world.view()).summary;
    assert!(summary.contains("| building web | running |"), "{summary}");
}

#[test]
fn waiting_for_github() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.start("fetch", 0);
    let reason = "GitHub answered 502".to_owned();
    world.event("fetch", 1, StepEventKind::Waiting { again: at(31), reason, attempt: 2 });
    assert_snapshot!(body(&world), @r#"
    ### pr-42 is building · `aaaaaaa`

    Started 2026-11-20 05:04 UTC.

    Waiting: fetching the source: GitHub answered 502, trying again in 30s, attempt 2.

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | waiting |  |  |
    | api | waiting |  |  |
    | worker | waiting |  |  |
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check InProgress: pr-42 is being deployed · aaaaaaa
    deployment InProgress: pr-42 is being deployed · aaaaaaa -> nowhere
    line: pr-42 is building · aaaaaaa · fetching the source: GitHub answered 502, trying again in 30s, attempt 2
    comment: Write
    "#);
    world.start("fetch", 31);
    assert_eq!(world.view().waiting, None, "the next try has begun");
}

#[test]
fn live() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    world.links.build_logs = Some("https://logs.example.com/build");
    world.links.app_logs = Some("https://logs.example.com/app");
    world.links.commands = &["/destroy", "/help"];
    assert_snapshot!(comment(&world.view()), @r#"
    <!-- greenroom:pr-42 {"expires":"2026-11-27T05:04:00Z","generation":1,"sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","stage":"pr-42","state":"live","urls":{"api":"https://api-pr-42.example.com","web":"https://pr-42.example.com"},"version":1} -->
    ### pr-42 is live · `aaaaaaa` · 2m 41s (build 1m 20s, deploy 58s, health 23s)

    | Service | State | URL | Health | Logs |
    |---|---|---|---|---|
    | web | live | <https://pr-42.example.com> | 200 in 84 ms | [build](<https://logs.example.com/build/acme/shop/pr-42/web>) · [app](<https://logs.example.com/app/acme/shop/pr-42/web>) |
    | api | live | <https://api-pr-42.example.com> | 200 in 12 ms | [build](<https://logs.example.com/build/acme/shop/pr-42/api>) · [app](<https://logs.example.com/app/acme/shop/pr-42/api>) |
    | worker | live |  | running 1/1 | [build](<https://logs.example.com/build/acme/shop/pr-42/worker>) · [app](<https://logs.example.com/app/acme/shop/pr-42/worker>) |

    Expires in 6d 23h (2026-11-27 05:04 UTC) · `/destroy` `/help`
    "#);
    assert_snapshot!(check(&world.view()).summary, @r#"
    | Service | State | URL | Health | Logs |
    |---|---|---|---|---|
    | web | live | <https://pr-42.example.com> | 200 in 84 ms | [build](<https://logs.example.com/build/acme/shop/pr-42/web>) · [app](<https://logs.example.com/app/acme/shop/pr-42/web>) |
    | api | live | <https://api-pr-42.example.com> | 200 in 12 ms | [build](<https://logs.example.com/build/acme/shop/pr-42/api>) · [app](<https://logs.example.com/app/acme/shop/pr-42/api>) |
    | worker | live |  | running 1/1 | [build](<https://logs.example.com/build/acme/shop/pr-42/worker>) · [app](<https://logs.example.com/app/acme/shop/pr-42/worker>) |

    | Step | State | Took |
    |---|---|---|
    | fetching the source | done | 3s |
    | building web | done | 1m 17s |
    | starting web | done | 50s |
    | switching web | done | 8s |
    | checking web | done | 23s |
    | building api | done | 37s |
    | starting api | done | 50s |
    | switching api | done | 8s |
    | checking api | done | 12s |
    | building worker | done | 37s |
    | starting worker | done | 10s |
    | checking worker | done | 1s |
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Success: pr-42 is live · aaaaaaa · 2m 41s (build 1m 20s, deploy 58s, health 23s)
    deployment Success: pr-42 is live · aaaaaaa · 2m 41s (build 1m 20s, deploy 58s, health 23s) -> https://pr-42.example.com
    line: pr-42 is live · aaaaaaa · 2m 41s (build 1m 20s, deploy 58s, health 23s) · https://pr-42.example.com
    comment: Write
    "#);
}

#[test]
fn live_with_nothing_to_do() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    world.deploy_nothing(sha('b'), 300);
    world.end(Outcome::Live, 300);
    assert_snapshot!(body(&world), @r#"
    ### pr-42 is live · `bbbbbbb` · nothing had to change

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | unchanged (the same version runs) | <https://pr-42.example.com> |  |
    | api | unchanged (the same version runs) | <https://api-pr-42.example.com> |  |
    | worker | unchanged (the same version runs) |  |  |

    Expires in 6d 23h (2026-11-27 05:04 UTC)

    <details><summary>The last 2 goals</summary>

    | Goal | Commit | Result | Started | Took |
    |---|---|---|---|---|
    | 2 | `bbbbbbb` | live | 2026-11-20 05:09 UTC | 0s |
    | 1 | `aaaaaaa` | live | 2026-11-20 05:04 UTC | 2m 50s |

    </details>
    "#);
}

#[test]
fn rolling_forward() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    world.deploy(sha('b'), 300);
    world.done("fetch", 300, 301, Output::Nothing);
    world.done("build:web", 301, 310, Output::Nothing);
    world.done("build:api", 301, 311, Output::Nothing);
    world.start("start:web", 311);
    assert_snapshot!(body(&world), @r#"
    ### pr-42 is deploying · `bbbbbbb`

    Started 2026-11-20 05:09 UTC.

    `aaaaaaa` still serves.

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | starting | <https://pr-42.example.com> |  |
    | api | waiting | <https://api-pr-42.example.com> |  |
    | worker | unchanged since `aaaaaaa` (no file of its paths changed) |  |  |

    <details><summary>The last 2 goals</summary>

    | Goal | Commit | Result | Started | Took |
    |---|---|---|---|---|
    | 2 | `bbbbbbb` | running | 2026-11-20 05:09 UTC |  |
    | 1 | `aaaaaaa` | live | 2026-11-20 05:04 UTC | 2m 50s |

    </details>
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check InProgress: pr-42 is being deployed · bbbbbbb
    deployment InProgress: pr-42 is being deployed · bbbbbbb -> https://pr-42.example.com
    line: pr-42 is deploying · bbbbbbb · aaaaaaa still serves
    comment: Write
    "#);
}

#[test]
fn failed_over_an_older_release() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    world.deploy(sha('b'), 300);
    world.done("fetch", 300, 301, Output::Nothing);
    world.done("build:web", 301, 310, Output::Nothing);
    world.fail("start:web", 311, 312, exited());
    assert_snapshot!(body(&world), @r#"
    ### pr-42 failed · `bbbbbbb` · starting web · 12s

    `web` ended by itself (exit code 3)

    Last lines of its output:

    ```text
    listening on 8080
    Error: DATABASE_URL is missing
    ```

    **What to do:** Read the last lines; set DATABASE\_URL under `env`.

    `aaaaaaa` still serves.

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | failed | <https://pr-42.example.com> |  |
    | api | still `aaaaaaa` | <https://api-pr-42.example.com> |  |
    | worker | unchanged since `aaaaaaa` (no file of its paths changed) |  |  |

    Expires in 6d 23h (2026-11-27 05:04 UTC)

    <details><summary>The last 2 goals</summary>

    | Goal | Commit | Result | Started | Took |
    |---|---|---|---|---|
    | 2 | `bbbbbbb` | failed | 2026-11-20 05:09 UTC | 12s |
    | 1 | `aaaaaaa` | live | 2026-11-20 05:04 UTC | 2m 50s |

    </details>
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Failure: pr-42 failed · bbbbbbb · starting web · 12s
    deployment Failure: pr-42 failed · bbbbbbb · starting web · 12s -> https://pr-42.example.com
    line: pr-42 failed · bbbbbbb · starting web · 12s · `web` ended by itself (exit code 3) · aaaaaaa still serves
    comment: Write
    "#);
}

#[test]
fn failed_with_nothing_before() {
    let mut world = World::new();
    world.deploy(sha('b'), 0);
    let failure = Failure::new(FailureKind::Environment, "No Docker engine answers", "Start Docker on the server.");
    world.fail("fetch", 0, 1, failure);
    world.record.expires_at = None;
    assert_snapshot!(body(&world), @r#"
    ### pr-42 failed · `bbbbbbb` · fetching the source · 1s

    No Docker engine answers

    **What to do:** Start Docker on the server.

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | not deployed |  |  |
    | api | not deployed |  |  |
    | worker | not deployed |  |  |
    "#);
    assert_snapshot!(small(&world.view()), @r#"
    check Failure: pr-42 failed · bbbbbbb · fetching the source · 1s
    deployment Error: pr-42 failed · bbbbbbb · fetching the source · 1s -> nowhere
    line: pr-42 failed · bbbbbbb · fetching the source · 1s · No Docker engine answers
    comment: Write
    "#);
}

#[test]
fn failed_half_way() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    world.deploy(sha('b'), 300);
    world.done("shift:web", 300, 301, Output::Nothing);
    world.fail("check:web", 301, 302, Failure::new(FailureKind::Unreachable, "It answered 500", ""));
    assert_eq!(world.view().serving, Some(Serving { sha: sha('a'), moved: vec![service("web")] }));
    assert_snapshot!(body(&world).lines().find(|line| line.contains("still serves;")).expect("who serves"), @"`aaaaaaa` still serves; the newer commit already runs in web.");
}

#[test]
fn superseded() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.done("fetch", 0, 3, Output::Nothing);
    world.start("build:web", 3);
    let old = (&world.deploys[0], &world.log);
    let view = StageView::superseded(&world.record, old, Generation(2), &world.links);
    assert_eq!(view.superseded_by, Some(Generation(2)));
    assert_snapshot!(small(&view), @r#"
    check Cancelled: pr-42 · aaaaaaa was superseded by a newer goal
    deployment Inactive: pr-42 · aaaaaaa was superseded by a newer goal -> nowhere
    line: pr-42 · aaaaaaa was superseded by a newer goal
    comment: EditOnly
    "#);
    assert_snapshot!(check(&view).summary, @r#"
    A newer goal took its place before it was live.

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | cancelled |  |  |
    | api | not deployed |  |  |
    | worker | not deployed |  |  |

    | Step | State | Took |
    |---|---|---|
    | fetching the source | done | 3s |
    | building web | cancelled |  |
    | starting web | not reached |  |
    | switching web | not reached |  |
    | checking web | not reached |  |
    | building api | not reached |  |
    | starting api | not reached |  |
    | switching api | not reached |  |
    | checking api | not reached |  |
    | building worker | not reached |  |
    | starting worker | not reached |  |
    | checking worker | not reached |  |
    "#);
    world.end(Outcome::Superseded { by: Generation(2) }, 4);
    assert_snapshot!(body(&world), @r#"
    ### pr-42 · `aaaaaaa` was superseded by a newer goal

    A newer goal took its place before it was live.

    | Service | State | URL | Health |
    |---|---|---|---|
    | web | cancelled |  |  |
    | api | not deployed |  |  |
    | worker | not deployed |  |  |
    "#);
}

#[test]
fn the_same_view_gives_the_same_text_at_any_time() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.done("fetch", 0, 3, Output::Nothing);
    world.start("build:web", 3);
    let render = |world: &World, now| {
        let current = Some((&world.deploys[0], &world.log));
        let view = StageView::of(&world.record, current, &world.deploys, None, now, &world.links);
        comment(&StageView { expires: None, ..view.clone() }) + &check(&view).summary
    };
    assert_eq!(render(&world, at(5)), render(&world, at(50)), "a running deploy");
    world.succeed_rest();
    assert_eq!(render(&world, at(500)), render(&world, at(50_000)), "an ended deploy");
}

#[test]
fn every_end_overwrites_what_stood_before() {
    let mut world = World::new();
    world.deploy(sha('a'), 0);
    world.succeed(0);
    world.deploy(sha('b'), 300);
    world.fail("fetch", 300, 301, exited());
    let text = body(&world);
    assert!(!text.contains("is live"), "{text}");
    let view = world.view();
    assert_eq!((check(&view).state, deployment(&view).state), (CheckState::Failure, DeploymentState::Failure));
}
