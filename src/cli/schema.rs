//! `greenroom schema`: everything that may stand in a configuration, and in the server's settings.

use clap::{Args, CommandFactory as _};

use super::{Cli, ExitStatus, Printer};
use crate::{app, config};

/// Print the JSON Schema of the configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  greenroom schema > greenroom.schema.json
  greenroom schema --table")]
pub(super) struct Schema {
    /// A Markdown table of all keys instead.
    #[arg(long)]
    table: bool,
    /// A Markdown table of the server's settings instead, for its README.
    #[arg(long, hide = true, conflicts_with = "table")]
    settings: bool,
}

impl Schema {
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        if self.table {
            printer.result(&config::reference_table(), Clone::clone)?;
        } else if self.settings {
            printer.result(&settings_table(), Clone::clone)?;
        } else {
            let pretty = |schema: &serde_json::Value| format!("{schema:#}");
            printer.result(&config::schema(), pretty)?;
        }
        Ok(ExitStatus::Ok)
    }
}

/// The settings of `serve` as Markdown, from its own definitions: one row for each variable.
fn settings_table() -> String {
    let mut table = "| Variable | Flag of `serve` | Default | Meaning |\n|---|---|---|---|\n".to_owned();
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").into_iter();
    for arg in serve.flat_map(clap::Command::get_arguments) {
        let Some(variable) = arg.get_env() else { continue };
        let defaults: Vec<String> =
            arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        let default = match defaults.as_slice() {
            [] if arg.is_required_set() => "required".to_owned(),
            [] => String::new(),
            defaults => defaults.join(", "),
        };
        let flag = arg.get_long().map_or_else(String::new, |flag| format!("`--{flag}`"));
        let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
        row(&mut table, [&format!("`{}`", variable.to_string_lossy()), &flag, &default, &meaning]);
    }
    for secret in app::SECRETS {
        let default = if secret.required { "required" } else { "" };
        row(&mut table, [&format!("`{}`", secret.variable), "", default, secret.meaning]);
    }
    table
}

fn row(table: &mut String, cells: [&str; 4]) {
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    table.extend(["| ", &cells.join(" | "), " |\n"]);
}
