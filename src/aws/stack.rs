//! Driving CloudFormation: one call moves a stack one step on, and never waits.
//!
//! Guarantees: every status that a stack can be in has its move; a failure is told once, with the
//! first resource that failed and why, and tried again from clean ground when asked again; nothing
//! is begun twice. Stacks are created and updated directly, without change sets: those cost
//! minutes, and nobody reviews them here. Only [`changes`] makes one, for the reader of a plan.
//!
//! | file | purpose |
//! |---|---|
//! | `decide` | which move a status asks for: a pure table |
//! | `read` | what a stack is at |
//! | `events` | what CloudFormation is doing, and what failed first |
//! | `wish` | what a stack should be |
//! | `drive` | creating and updating |
//! | `remove` | deleting, to the end |
//! | `body` | a template in the request or, when large, in a bucket |
//! | `diff` | what an update would change |

mod body;
mod decide;
mod diff;
mod drive;
mod events;
mod read;
mod remove;
mod wish;

pub(super) use decide::Match;
pub(super) use diff::changes;
pub(super) use drive::{Begun, Driver, Step};
pub(super) use read::{Snapshot, StackResource, all, describe, live_template, resources};
pub(super) use remove::{may_go, remove, remove_seen};
pub(super) use wish::{AfterFailure, Pace, Protection, Wish};
