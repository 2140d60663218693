//! How much of a matrix a run tells: every point of it, or a sample that the run's seed draws.
//!
//! `tests/run` sets both variables and prints the seed; `tests/run --all` tells everything. The same
//! seed draws the same sample, whatever else runs and in which order.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

const DEPTH_VARIABLE: &str = "GREENROOM_TEST_DEPTH";
const SEED_VARIABLE: &str = "GREENROOM_TEST_SEED";

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What runs all day: of points that are alike, one.
    Sampled {
        seed: u64,
    },
    All,
}

impl Depth {
    /// What this run was started with; by itself a test tells a sample.
    ///
    /// # Panics
    ///
    /// When a variable holds something else than it may: a slip must not pass for a sample.
    #[expect(clippy::disallowed_methods, reason = "a test has no app.rs to read the environment for it")]
    pub(crate) fn of_this_run() -> Self {
        match std::env::var(DEPTH_VARIABLE).as_deref() {
            Ok("all") => Self::All,
            Ok(other) => panic!("{DEPTH_VARIABLE} is {other:?}; it may be `all`"),
            Err(_) => Self::Sampled {
                seed: std::env::var(SEED_VARIABLE).map_or(0, |seed| {
                    seed.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE} is no number: {seed:?}"))
                }),
            },
        }
    }

    /// Of what is alike, everything or one. `what` tells this draw from others.
    ///
    /// # Panics
    ///
    /// When there is nothing to draw from.
    pub(crate) fn of<T: Clone>(self, what: &str, alike: &[T]) -> Vec<T> {
        match self {
            Self::All => alike.to_vec(),
            Self::Sampled { seed } => vec![alike[Self::draw(seed, what, alike.len())].clone()],
        }
    }

    fn draw(seed: u64, what: &str, among: usize) -> usize {
        let mut hasher = DefaultHasher::new();
        (seed, what).hash(&mut hasher);
        let among = u64::try_from(among).expect("a count");
        usize::try_from(hasher.finish() % among).expect("less than a count")
    }
}
