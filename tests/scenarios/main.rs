//! Scenarios: each test tells a story in verbs and looks at what people would see.
//!
//! The GitHub is the sandbox over real HTTP, the door and the engine are the real ones, the target
//! and the builder exist in memory, and the clock is turned by hand: nothing here sleeps.

mod commands;
mod control;
mod crash;
mod failure;
mod fuse;
mod healing;
mod order;
#[path = "../support/postgres.rs"]
mod postgres;
mod preview;
mod race;
mod seen;
mod sweeping;
mod two_nodes;
mod world;
