//! `greenroom bench`: what the door, the engine, an idle server and a step of a workflow cost on this
//! machine, and what stages on AWS cost there.
//!
//! # Guarantees
//!
//! - What is measured runs in a process of its own, started from this same program, so that its CPU
//!   time and its memory are its own. The load comes from this process.
//! - A figure is printed with the mark that it was meant to reach, met or not. No figure decides
//!   the exit status: only work that was acknowledged and is not there does.
//! - Only loopback is used, but for `bench aws` and `bench action --state`, which use the AWS that they are given. Everything that
//!   was made is removed, but for what was written into a database that the caller named and the
//!   foundation on AWS, which other previews may share.

mod action;
#[cfg(feature = "aws")]
mod aws;
#[cfg(feature = "aws")]
mod aws_calls;
#[cfg(feature = "aws")]
mod aws_shop;
mod child;
mod door;
mod engine;
mod figures;
mod idle;
mod load;
mod mail;
mod server;

use clap::{Args, Subcommand};

use super::{ExitStatus, Printer};

/// Measure this program on this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Build with --release before believing a figure, and let nothing else run.

Examples:
  greenroom bench door --deliveries 200000
  greenroom bench door --database postgres://greenroom@localhost/bench --json
  greenroom bench engine --pulls 1000
  greenroom bench idle
  greenroom bench action
  greenroom bench action --state s3://greenroom-state-123456789012-eu-west-1")]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Door(door::Door),
    Engine(engine::EngineBench),
    Idle(idle::Idle),
    Action(action::ActionBench),
    #[cfg(feature = "aws")]
    Aws(aws::AwsBench),
    /// What the other benches measure.
    #[command(hide = true)]
    Server,
}

impl Bench {
    /// Runs one bench. Not async: the load wants a runtime of another kind than the server.
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        match self.what {
            What::Door(door) => door.run(printer),
            What::Engine(engine) => engine.run(printer),
            What::Idle(idle) => idle.run(printer),
            What::Action(action) => action.run(printer),
            #[cfg(feature = "aws")]
            What::Aws(aws) => aws.run(printer),
            What::Server => server::run(),
        }
    }
}

/// What a measured server cannot do without a process file system.
const NEEDS_PROC: &str = "the figures of another process are read from /proc, which only Linux has";
