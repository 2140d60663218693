//! The `greenroom` program.

use clap::Parser as _;
use greenroom::cli::{Cli, ExitStatus};

fn main() -> ExitStatus {
    Cli::parse().run()
}
