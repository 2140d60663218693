//! Every decision, as pure functions over the model: the same input gives the same answer, so each
//! is tested as a table and the engine can ask again after a crash.
//!
//! - [`route`]: what an event means for which stages.
//! - [`admit`]: whether a pull request may have a stage now, and at which commit.
//! - [`resolve`]: a configuration at a commit as names, addresses and values.
//! - [`plan`]: the steps from what is to what is wanted.
//! - [`trust`]: how far a commit is trusted.
//! - [`next`]: the one thing to do now.
//! - [`sweep`]: what to make of a stage that exists.
//! - [`command`]: what a comment asks for.
//! - [`follow`]: what is kept of how a stage is doing.
//! - [`witness`]: the head of a pull request that an event shows.
//! - [`bind`]: which commit it means.
//! - [`gate`]: whether it may be done.
//! - [`hold`]: which lock holds a goal back.
//! - [`origin_of`]: where a commit came from first.
//! - [`roll_back`]: which release to go back to.
//! - [`wall`]: what one repository of a server may have.
//! - [`subnets`]: addresses for a network of containers.
//! - [`backoff`]: how long to wait after a passing fault.

mod admit;
mod backoff;
mod bind;
pub mod command;
pub mod doors;
mod follow;
pub mod gate;
mod history;
mod hold;
mod name;
mod next;
mod origin;
mod plan;
mod resolve;
mod route;
mod subnet;
mod sweep;
mod trust;
mod version;
pub mod wall;
mod witness;

#[cfg(test)]
mod canary_tests;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod pinned_tests;
#[cfg(test)]
mod prepare_tests;
#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod runner_tests;
#[cfg(test)]
mod tests;

use resolve::stage_kind;

pub use admit::{Admission, Unasked, admit, admit_place, has_place, unasked};
pub use backoff::backoff_millis;
pub use bind::bind;
pub use follow::{follow, is_watched};
pub use history::roll_back;
pub use hold::{hold, is_live};
pub use next::{Next, Standing, finish_uninterruptible, next};
pub use origin::{first_brought, origin_of};
pub use plan::{BUILD_DEADLINE, Present, is_release_of, is_settled, plan};
pub use resolve::resolve;
pub use route::{Intent, Sighting, route};
pub use subnet::subnets;
pub use sweep::{Finding, sweep};
pub use trust::trust;
pub use version::version_key;
pub use witness::witness;
