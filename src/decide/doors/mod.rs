//! Which job of a repository may become which role on AWS, and who could.
//!
//! Guarantees: a role asks for everything in one statement, by equality; a name that somebody chose can
//! neither stand for others nor for a variable; what a row of `explain` says is what the statement says.
//!
//! | file | purpose |
//! |---|---|
//! | `trust` | what a role asks of a token, and whether a token has it |
//! | `event` | what the token of a job says, by the event that started it |
//! | `explain` | every event of every workflow against every role |

mod event;
mod explain;
#[cfg(test)]
mod tests;
mod trust;

pub use explain::{ExplainedRow, explain};
pub use trust::{Door, Mismatch, Trust, door_of_role, literal, trust};
