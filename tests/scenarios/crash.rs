//! The crash matrix: for every effect of every scenario, the process dies before it, dies after it,
//! or does it twice. The world ends the same.
//!
//! Between two effects lie only reads, so a death before one is the death after the one before it:
//! [`points`] leaves it out where not everything is to be told.

use std::collections::BTreeSet;
use std::sync::Arc;

use greenroom::model::{CommitSha, Permission, PullNumber};
use greenroom::port::Phase;
use greenroom::sandbox::{FileChange, Mishap};

use crate::depth::Depth;
use crate::fuse::{Fuse, Point};
use crate::world::{CONFIG, Database, World, exited};

/// The stories. Each is told in two parts: what was before, and what the fuse is lit for.
#[derive(Debug, Clone, Copy)]
enum Story {
    Opens,
    Pushes,
    PushesWhatFails,
    CutsIn,
    Closes,
    Reopens,
    PushesToProd,
    CommandsProd,
    Cancels,
    PushesWatched,
    CancelsACanary,
}

impl Story {
    fn config(self) -> String {
        match self {
            Self::PushesWatched | Self::CancelsACanary => {
                CONFIG.replace("port: 8080\n", "port: 8080\n    canary: 10m\n")
            }
            _ => CONFIG.to_owned(),
        }
    }

    /// Answers the commit that is live when the fuse is lit, where there is one.
    async fn before(self, w: &World) -> Option<CommitSha> {
        let mut first = None;
        w.github.set_permission(&w.repo, "adam", Permission::Admin);
        if !matches!(self, Self::Opens | Self::PushesToProd) {
            first = Some(w.open("topic", "2").1);
            w.settle().await;
        }
        if matches!(self, Self::Reopens) {
            w.github.close_pull(&w.repo, PullNumber(1)).expect("it closes");
            w.settle().await;
        }
        first
    }

    /// Answers the commit that should be live at the end, where there is one of its own.
    async fn happens(self, w: &World) -> Option<CommitSha> {
        let head = match self {
            Self::Opens => Some(w.open("topic", "2").1),
            Self::Pushes | Self::PushesWatched => Some(w.push("topic", "3")),
            Self::PushesWhatFails => {
                let sha =
                    w.github.commit(&w.repo, "topic", [FileChange::write("app", "3")], "Break it").expect("a commit");
                w.cloud.mishap(Phase::Start, "worker", Some(&sha), Mishap::Fail(exited(3, "no")));
                w.github.push_to(&w.repo, "topic", &sha).expect("a push");
                Some(sha)
            }
            Self::CutsIn => {
                let sha = w.push("topic", "3");
                w.builder.mishap("web", Some(&sha), Mishap::Slow(100_000));
                works_until(w, || w.builder.journal(), &sha, "build").await;
                Some(w.push("topic", "4"))
            }
            Self::Closes => {
                w.github.close_pull(&w.repo, PullNumber(1)).expect("it closes");
                None
            }
            Self::Reopens => {
                w.github.reopen_pull(&w.repo, PullNumber(1)).expect("it opens");
                None
            }
            Self::PushesToProd => Some(w.push("main", "5")),
            Self::CommandsProd => {
                w.says("adam", PullNumber(1), "/deploy prod\n/lock prod \"a look\"\n/status prod");
                None
            }
            Self::Cancels | Self::CancelsACanary => {
                let sha =
                    w.github.commit(&w.repo, "topic", [FileChange::write("app", "3")], "Go on").expect("a commit");
                if matches!(self, Self::Cancels) {
                    w.builder.mishap("web", Some(&sha), Mishap::Slow(100_000));
                } else {
                    w.cloud.mishap(Phase::Canary, "web", Some(&sha), Mishap::Slow(100_000));
                }
                w.github.push_to(&w.repo, "topic", &sha).expect("a push");
                match self {
                    Self::Cancels => works_until(w, || w.builder.journal(), &sha, "build").await,
                    _ => works_until(w, || w.cloud.journal(), &sha, "canary").await,
                }
                w.says("adam", PullNumber(1), "/cancel");
                Some(sha)
            }
        };
        w.github.deliveries_settled().await;
        head
    }

    fn pulls(self) -> &'static [PullNumber] {
        if matches!(self, Self::PushesToProd) { &[] } else { &[PullNumber(1)] }
    }
}

/// Lets the server work until a journal says that it is at it with this commit, and look three times how
/// that goes: each further look finds the same world. The fuse may blow here already; what a tick says then
/// is of no interest.
async fn works_until(w: &World, journal: impl Fn() -> Vec<String>, sha: &CommitSha, verb: &str) {
    w.github.deliveries_settled().await;
    let is_at_it = |line: &String| line.starts_with(verb) && line.ends_with(sha.short());
    let mut looks = 0;
    for _ in 0..20 {
        if looks == 3 {
            return;
        }
        let _ = w.engine.tick().await;
        w.clock.advance(500);
        looks += usize::from(journal().iter().any(is_at_it));
    }
}

/// Tells a story with a fuse lit; answers the world at its end and how many effects there were.
async fn told(story: Story, database: &Database, repo: &str, fuse: &Arc<Fuse>) -> (String, usize) {
    let mut w = World::on(database, repo, &story.config()).await;
    let first = story.before(&w).await;
    w.burn(fuse);
    let head = story.happens(&w).await;
    // As long as the process lives, it works; once it died, a new one starts when the lease is over.
    let mut idle = 0;
    while !fuse.is_blown() && idle < 40 {
        match w.engine.tick().await {
            Ok(true) => idle = 0,
            _ => {
                idle += 1;
                w.clock.advance(1_000);
            }
        }
    }
    if fuse.is_blown() {
        assert_intents_are_stored(&w, &format!("{story:?} {fuse:?}")).await;
    }
    w.next_run().await;
    w.restart();
    w.clock.advance(61_000);
    w.settle().await;
    w.after(61_000).await;
    w.assert_nothing_doubled(&format!("{story:?} {fuse:?}"));
    let mut end = w.final_world(story.pulls()).await;
    // Their names depend on the repository's, and on the time at which they were made.
    for (sha, name) in [(first, "FIRST"), (head, "HEAD")] {
        if let Some(sha) = sha {
            end = end.replace(sha.as_str(), name).replace(sha.short(), name);
        }
    }
    let mut lines: Vec<&str> = end.lines().collect();
    lines.sort_unstable();
    (lines.join("\n"), fuse.seen())
}

/// Whatever was done when the process died, the log on disk says that it was about to be done.
async fn assert_intents_are_stored(w: &World, story: &str) {
    let mut begun = Vec::new();
    for stage in w.store.stages(Some(&w.repo)).await.expect("the database answers") {
        for deploy in w.store.deploys(&stage.id, 10).await.expect("the database answers") {
            let log = w.store.log(deploy.id).await.expect("the database answers");
            begun.extend(log.events().iter().map(|event| event.step.0.clone()));
        }
    }
    for line in w.cloud.journal().iter().chain(&w.builder.journal()) {
        let Some((verb, service)) =
            line.split_once(' ').and_then(|(verb, rest)| Some((verb, rest.split_once('/')?.1.split(' ').next()?)))
        else {
            continue;
        };
        let step = format!("{verb}:{service}");
        assert!(verb == "remove" || begun.contains(&step), "{story}: {line:?} was done and {step} is not in the log");
    }
}

/// Tests that one matrix is divided into, so that they run beside each other.
const SHARDS: usize = 3;

/// Tells every `SHARDS`-th point of a story, from this one on.
async fn matrix(story: Story, database: &Database, shard: usize) {
    let mut runs = 0;
    let mut repo = || {
        runs += 1;
        format!("acme/{}-{runs}", format!("{story:?}").to_lowercase())
    };
    let counter = Fuse::counter();
    let (expected, effects) = told(story, database, &repo(), &counter).await;
    assert!(effects > 10, "{story:?} has {effects} effects");
    let points = points(story, database, effects, &counter.repeatable());
    for (at, point) in points.into_iter().skip(shard).step_by(SHARDS) {
        let (end, _) = told(story, database, &repo(), &Fuse::new(at, point)).await;
        assert_eq!(end, expected, "{story:?}, {point:?} effect {at} of {effects}");
    }
}

/// Where the process dies. Every day each effect is told on both databases, and each point of it on one:
/// what the engine does between two writes it does on either. With its state in an object it is told as on
/// PostgreSQL.
fn points(story: Story, database: &Database, effects: usize, repeatable: &BTreeSet<usize>) -> Vec<(usize, Point)> {
    let depth = Depth::of_this_run();
    let mut points = Vec::new();
    for at in 1..=effects {
        let mut alike = vec![Point::After];
        alike.extend(repeatable.contains(&at).then_some(Point::Twice));
        alike.extend((at == 1 || depth == Depth::All).then_some(Point::Before));
        let drawn = depth.of(&format!("{story:?} {at}"), &alike);
        alike.retain(|point| !drawn.contains(point));
        let told = match database {
            Database::Sqlite if !alike.is_empty() => alike,
            Database::Sqlite | Database::Postgres(_) | Database::Object => drawn,
        };
        points.extend(told.into_iter().map(|point| (at, point)));
    }
    points
}

#[tokio::test]
async fn whatever_it_died_at_a_stage_that_is_closed_meanwhile_says_so_and_leaves_no_environment() {
    for at in 1.. {
        let mut w = World::new().await;
        let fuse = Fuse::new(at, Point::After);
        w.burn(&fuse);
        let (pull, _) = w.open("topic", "2");
        w.github.deliveries_settled().await;
        let mut idle = 0;
        while !fuse.is_blown() && idle < 40 {
            match w.engine.tick().await {
                Ok(true) => idle = 0,
                _ => {
                    idle += 1;
                    w.clock.advance(1_000);
                }
            }
        }
        let died = fuse.is_blown();
        w.github.close_pull(&w.repo, pull).expect("it closes");
        w.restart();
        w.clock.advance(61_000);
        w.settle().await;
        for comment in w.github.comments(&w.repo, pull) {
            assert!(comment.body.contains("is gone"), "effect {at}: {}", comment.body);
        }
        assert_eq!((w.environments(), w.cloud.world()), (Vec::new(), Vec::new()), "effect {at}");
        if !died {
            assert!(at > 20, "{at} effects are too few");
            return;
        }
    }
}

/// A test for each shard of a story on each database, so that they run beside each other.
macro_rules! stories {
    ($($name:ident: $story:expr;)*) => {
        mod on_sqlite {
            use super::*;
            $(mod $name {
                use super::*;
                shards!($story, Database::Sqlite);
            })*
        }

        mod on_postgres {
            use super::*;
            $(mod $name {
                use super::*;
                shards!($story, Database::postgres().await);
            })*
        }
    };
}

macro_rules! shards {
    ($story:expr, $database:expr) => {
        #[tokio::test]
        async fn one() {
            matrix($story, &$database, 0).await;
        }
        #[tokio::test]
        async fn two() {
            matrix($story, &$database, 1).await;
        }
        #[tokio::test]
        async fn three() {
            matrix($story, &$database, SHARDS - 1).await;
        }
    };
}

stories! {
    a_pull_request_opens: Story::Opens;
    a_push_is_rolled_out: Story::Pushes;
    a_push_that_fails_is_told: Story::PushesWhatFails;
    a_push_cuts_into_a_build: Story::CutsIn;
    a_pull_request_closes: Story::Closes;
    a_pull_request_reopens: Story::Reopens;
    a_push_to_prod_is_rolled_out: Story::PushesToProd;
    a_commit_is_commanded_to_prod: Story::CommandsProd;
    a_deploy_is_cancelled: Story::Cancels;
    a_push_is_rolled_out_after_a_canary: Story::PushesWatched;
    a_canary_is_cancelled: Story::CancelsACanary;
}

/// What a state in an object adds is how it is written, which few stories show as well as many.
mod on_an_object {
    use super::*;

    mod a_pull_request_opens {
        use super::*;
        shards!(Story::Opens, Database::Object);
    }

    mod a_push_cuts_into_a_build {
        use super::*;
        shards!(Story::CutsIn, Database::Object);
    }

    mod a_pull_request_closes {
        use super::*;
        shards!(Story::Closes, Database::Object);
    }

    mod a_commit_is_commanded_to_prod {
        use super::*;
        shards!(Story::CommandsProd, Database::Object);
    }
}
