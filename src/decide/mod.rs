//! Every decision, as pure functions over the model: the same input gives the same answer, so each
//! is tested as a table and the engine can ask again after a crash.
//!
//! - [`route`]: what an event means for which stages.
//! - [`admit`]: whether a pull request may have a stage now, and at which commit.
//! - [`resolve`]: a configuration at a commit as names, addresses and values.
//! - [`plan`]: the steps from what is to what is wanted.
//! - [`next`]: the one thing to do now.
//! - [`backoff`]: how long to wait after a passing fault.

mod admit;
mod backoff;
mod next;
mod plan;
mod resolve;
mod route;
mod version;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

pub use admit::{Admission, admit, admit_place};
pub use backoff::backoff_millis;
pub use next::{Next, Standing, finish_uninterruptible, next};
pub use plan::{Present, is_settled, plan};
pub use resolve::resolve;
pub use route::{Intent, Sighting, route};
pub use version::version_key;
