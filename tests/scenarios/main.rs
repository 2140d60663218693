//! Scenarios: each test tells a story in verbs and looks at what people would see.
//!
//! The GitHub is the sandbox over real HTTP, the door and the engine are the real ones, the target
//! and the builder exist in memory, and the clock is turned by hand: nothing here sleeps.

mod before;
mod blocked;
mod branches;
mod carrying;
mod commands;
mod control;
mod crash;
#[path = "../support/depth.rs"]
mod depth;
mod failure;
mod fuse;
mod handover;
#[path = "../support/hang.rs"]
mod hang;
mod healing;
mod job;
mod limits;
mod moves;
mod names;
#[path = "../support/objects.rs"]
mod objects;
mod order;
mod other;
#[path = "../support/postgres.rs"]
mod postgres;
mod preview;
mod provenance;
mod race;
mod record;
mod runner;
mod seen;
mod sweeping;
mod texts;
mod trust;
mod turns;
mod two_nodes;
mod unread;
mod wall;
mod watching;
mod world;
