//! The `greenroom` program.

use greenroom::cli::{Cli, ExitStatus};

fn main() -> ExitStatus {
    match Cli::read(std::env::args_os()) {
        Ok(cli) => cli.run(),
        Err(status) => status,
    }
}
