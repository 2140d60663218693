//! What `greenroom bootstrap` prints for people.

use std::fmt::Write as _;

use super::bootstrap::Document;
use crate::aws::bootstrap::{BootstrapReport, Removed, RoleReport};
use crate::decide::doors::ExplainedRow;
use crate::model::ResourceChange;

pub(super) fn human(document: &Document) -> String {
    match document {
        Document::Plan { report, changes, left_out } => plan(report, changes) + &lines(left_out),
        Document::Made { report, left_out } => made(report) + &lines(left_out),
        Document::Removed(removed) => gone(removed),
        Document::Explained(rows) => table(rows),
        Document::Template { template } => template.clone(),
    }
}

fn lines(left_out: &[String]) -> String {
    left_out.iter().flat_map(|line| [line, "\n"]).collect()
}

fn head(report: &BootstrapReport) -> String {
    let BootstrapReport { stack, account, region, .. } = report;
    format!("the stack {stack} in account {account}, {region}")
}

fn plan(report: &BootstrapReport, changes: &[ResourceChange]) -> String {
    let mut text = match changes.len() {
        0 => format!("{}: nothing would change\n", head(report)),
        1 => format!("{}: 1 resource would change\n", head(report)),
        count => format!("{}: {count} resources would change\n", head(report)),
    };
    for ResourceChange { change, kind, name, details } in changes {
        let details = if details.is_empty() { String::new() } else { format!(": {}", details.join(", ")) };
        let _ = writeln!(text, "  {:<16}  {name} ({kind}){details}", change.words());
    }
    for adopted in &report.adopted {
        let _ = writeln!(text, "  taken as it is    {adopted}");
    }
    text
}

fn made(report: &BootstrapReport) -> String {
    let mut text = format!("{} is as it should be\n", head(report));
    text.push_str("\nIn the workflows, as the input `role` of a job with `permissions: { id-token: write }`:\n");
    for RoleReport { name, arn } in &report.doors {
        let _ = writeln!(text, "  {name}\n    {arn}");
    }
    text.push_str("\nIn .github/greenroom.yml:\n  aws:\n    roles:\n");
    for RoleReport { name, arn } in &report.hands {
        let kind = name.rsplit('-').next().unwrap_or(name);
        let _ = writeln!(text, "      {kind}: {arn}");
    }
    let _ = writeln!(
        text,
        "\nFor Greenroom, so that the roles of programs are bounded:\n  GREENROOM_AWS_PERMISSIONS_BOUNDARY={}",
        report.boundary
    );
    let _ = writeln!(text, "\nThe state lies in s3://{}", report.bucket);
    text
}

fn gone(removed: &Removed) -> String {
    let mut text = String::new();
    for what in &removed.gone {
        let _ = writeln!(text, "gone  {what}");
    }
    for kept in &removed.kept {
        let _ = writeln!(text, "kept  {}: {}", kept.what, kept.why);
    }
    text
}

fn table(rows: &[ExplainedRow]) -> String {
    let may = |row: &ExplainedRow| if row.may.is_empty() { "-".to_owned() } else { row.may.join(", ") };
    let cells: Vec<[String; 6]> = rows
        .iter()
        .map(|row| {
            let mark = if row.is_unwanted { "!" } else { "" };
            [mark.to_owned(), row.workflow.clone(), row.job.clone(), row.event.clone(), row.who.clone(), may(row)]
        })
        .collect();
    let titles = ["", "workflow", "job", "event", "who", "may become"];
    let width = |column: usize| {
        let all = cells.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        all.max(titles[column].len())
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: [&str; 6], note: &str| {
        let row: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        let row = format!("{}  {note}", row.join("  "));
        let _ = writeln!(text, "{}", row.trim_end());
    };
    line(titles, "");
    for (row, cells) in rows.iter().zip(&cells) {
        line(cells.each_ref().map(String::as_str), &row.note);
    }
    let unwanted = rows.iter().filter(|row| row.is_unwanted).count();
    let verdict = match unwanted {
        0 => "Nobody may become what they should not.".to_owned(),
        1 => "1 way in should not be: the line that begins with `!`.".to_owned(),
        many => format!("{many} ways in should not be: the lines that begin with `!`."),
    };
    let _ = writeln!(text, "\n{verdict}");
    text
}
