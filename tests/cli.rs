//! The program itself: what it prints, where, and how it ends.
//!
//! Each run gets an environment with nothing in it but what the test gives.

#[path = "cli/action.rs"]
mod action;
#[path = "cli/audit.rs"]
mod audit;
#[path = "cli/bench.rs"]
mod bench;
#[cfg(feature = "aws")]
#[path = "cli/bootstrap.rs"]
mod bootstrap;
#[path = "cli/files.rs"]
mod files;
#[path = "support/hang.rs"]
mod hang;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/names.rs"]
mod names;
#[path = "local/program.rs"]
mod program;
#[path = "cli/requests.rs"]
mod requests;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/served.rs"]
mod served;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/start.rs"]
mod start;
#[path = "cli/state.rs"]
mod state;
