//! Greenroom gives every pull request a stage of its own.
//!
//! The crate is built in floors; a module imports only strictly lower floors, and siblings never
//! see each other. `tests/architecture.rs` enforces the table:
//!
//! | floor | modules |
//! |---|---|
//! | 6 | `cli` |
//! | 5 | `app` |
//! | 4 | `server` |
//! | 3 | `engine`, `store`, `github`, `aws`, `build`, `local`, `sandbox` |
//! | 2 | `port`, `crowd` |
//! | 1 | `wire`, `config`, `decide`, `view` |
//! | 0 | `model` |
//!
//! Floors 0 and 1 are pure: no I/O, no async, no clock, no randomness.

pub mod app;
#[cfg(feature = "aws")]
pub mod aws;
pub mod build;
pub mod cli;
pub mod config;
pub mod crowd;
pub mod decide;
pub mod engine;
pub mod github;
pub mod local;
pub mod model;
pub mod port;
pub mod sandbox;
pub mod server;
pub mod store;
pub mod view;
pub mod wire;
