//! The command line: one file per verb, and what the verbs share.
//!
//! Results go to standard output, once, as text or as one JSON document. What happens on the way,
//! and what went wrong, goes to standard error.

mod audit;
mod bench;
#[cfg(feature = "aws")]
mod bootstrap;
#[cfg(feature = "aws")]
mod bootstrap_text;
mod check;
mod demo;
mod deploy;
mod destroy;
#[cfg(feature = "aws")]
mod doctor;
mod exit;
mod files_here;
mod follow;
mod foundation;
mod foundation_text;
mod init;
mod line;
mod plan;
mod printer;
mod progress;
mod schema;
mod serve;
mod stage;
mod status;
mod sweep;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

pub use exit::ExitStatus;
pub use printer::{OutputFormat, Printer};
pub use progress::{Progress, ProgressStyle};

use crate::local;

/// Every pull request gets a stage of its own, on your own account.
#[derive(Debug, Parser)]
#[command(
    name = "greenroom",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
Exit codes:
  0  done, and what was asked for holds
  1  what was deployed failed: its build, its start, its health check
  2  the command or the configuration is wrong
  3  something around it is missing, refused or does not answer
  4  a fault of Greenroom itself

Examples:
  greenroom init
  greenroom serve --github-app-id 12345
  greenroom deploy pr-42 --repo acme/shop --pr 42"
)]
pub struct Cli {
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Audit(audit::Audit),
    Bench(bench::Bench),
    #[cfg(feature = "aws")]
    Bootstrap(Box<bootstrap::Bootstrap>),
    Check(check::Check),
    Demo(demo::Demo),
    #[command(hide = true)]
    DemoApp(demo::DemoApp),
    Deploy(Box<deploy::Deploy>),
    Destroy(Box<destroy::Destroy>),
    #[cfg(feature = "aws")]
    Doctor(doctor::Doctor),
    Foundation(Box<foundation::Foundation>),
    Init(init::Init),
    Plan(Box<plan::Plan>),
    Schema(schema::Schema),
    Serve(Box<serve::Serve>),
    Status(Box<status::Status>),
    Sweep(Box<sweep::Sweep>),
    /// Keep one program of a stage of this machine: the server starts it, with its order on standard input
    #[command(hide = true)]
    Warden,
}

impl Cli {
    /// Carries out the command.
    pub fn run(self) -> ExitStatus {
        let format = if self.json { OutputFormat::Json } else { OutputFormat::Human };
        let mut printer = Printer::standard(format);
        let result = match self.verb {
            Verb::Audit(audit) => run_async(audit.run(&mut printer)),
            Verb::Bench(bench) => bench.run(&mut printer),
            #[cfg(feature = "aws")]
            Verb::Bootstrap(bootstrap) => run_async(bootstrap.run(&mut printer)),
            Verb::Check(check) => check.run(&mut printer),
            Verb::Demo(demo) => run_async(demo.run(&mut printer)),
            Verb::DemoApp(app) => run_async(app.run()),
            Verb::Deploy(deploy) => run_async(deploy.run(&mut printer)),
            Verb::Destroy(destroy) => run_async(destroy.run(&mut printer)),
            #[cfg(feature = "aws")]
            Verb::Doctor(doctor) => run_async(doctor.run(&mut printer)),
            Verb::Foundation(foundation) => run_async(foundation.run(&mut printer)),
            Verb::Init(init) => init.run(&mut printer),
            Verb::Plan(plan) => run_async(plan.run(&mut printer)),
            Verb::Schema(schema) => schema.run(&mut printer),
            Verb::Serve(serve) => run_async(serve.run(&mut printer)),
            Verb::Status(status) => run_async(status.run(&mut printer)),
            Verb::Sweep(sweep) => run_async(sweep.run(&mut printer)),
            Verb::Warden => local::watch_over().map(|()| ExitStatus::Ok).context("cannot keep a program"),
        };
        result.unwrap_or_else(|error| printer.error(&error))
    }
}

fn run_async<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // One processor is left to the database's thread: with more workers than processors they take
    // turns, and everybody who waits for a commit waits for a turn as well.
    let workers = std::thread::available_parallelism().map_or(1, |all| all.get().saturating_sub(1).max(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let done = runtime.block_on(work);
    // What blocks a thread without an end in sight is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
