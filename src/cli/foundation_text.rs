//! What is said of a foundation: where it is, what it is, how many, and what is left to do by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::{ChangeKind, Dns, FoundationReport, LiveFoundation, ResourceChange, TemplateAge};

/// `the foundation greenroom-previews-foundation in account 123456789012, eu-central-1`
fn place(report: &FoundationReport) -> String {
    let FoundationReport { account, region, stack, .. } = report;
    format!("the foundation {stack} in account {account}, {region}")
}

/// What `foundation plan` prints.
pub(super) fn plan(report: &FoundationReport, changes: &[ResourceChange]) -> String {
    let what = match (&report.live, changes) {
        (None, changes) => format!("would be made: {}", counted(changes)),
        (Some(_), []) => "nothing would change".to_owned(),
        (Some(_), changes) => format!("would change: {}", counted(changes)),
    };
    let mut text = format!("{}: {what}\n", place(report));
    let width = changes.iter().map(|change| change.change.words().len()).max().unwrap_or(0);
    for ResourceChange { change, kind, name, details } in changes {
        let details = if details.is_empty() { String::new() } else { format!(": {}", details.join(", ")) };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<width$}  {name} ({kind}){details}", change.words());
    }
    match &report.live {
        Some(live) => text.push_str(&records(live)),
        None => {
            text.push_str(
                "\nOnce it is made, `greenroom foundation status` shows the records that are yours to make, if any.\n",
            );
        }
    }
    text
}

/// `41 resources, 40 added, 1 perhaps replaced`
fn counted(changes: &[ResourceChange]) -> String {
    let mut counts: BTreeMap<ChangeKind, usize> = BTreeMap::new();
    for change in changes {
        *counts.entry(change.change).or_default() += 1;
    }
    let kinds: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {}", kind.words())).collect();
    let noun = if changes.len() == 1 { "resource" } else { "resources" };
    if kinds.is_empty() { "no resource".to_owned() } else { format!("{} {noun}, {}", changes.len(), kinds.join(", ")) }
}

/// What `foundation status` prints.
pub(super) fn status(report: &FoundationReport) -> String {
    let Some(live) = &report.live else {
        return format!(
            "{}: it was not made yet; the first stage that needs it makes it, or `greenroom foundation deploy`\n",
            place(report)
        );
    };
    let age = match live.template {
        TemplateAge::Current => "as this release makes it",
        TemplateAge::Other => "made by another release: `greenroom foundation deploy` brings it to this one's template",
        TemplateAge::Unknown => "never complete so far, so that it is not known by which release",
    };
    let mut text = format!("{}: {}, {age}\n", place(report), live.status);
    for door in &live.doors {
        let _ = writeln!(text, "load balancer  {door}");
    }
    for zone in &live.zones {
        let certificate = match (&zone.certificate, zone.dns) {
            (Some(arn), _) => arn.as_str(),
            (None, Dns::None) => "none: stages answer at http",
            (None, Dns::Route53) => "made here",
            (None, Dns::Cloudflare) => "made here; `greenroom doctor` shows the record that it waits for",
        };
        let _ = writeln!(text, "zone           {}, certificate: {certificate}", zone.base);
    }
    let stages = if live.stages.is_empty() { "none".to_owned() } else { live.stages.join(", ") };
    let _ = writeln!(text, "stages         {}: {stages}", live.stages.len());
    text + &records(live)
}

/// What `foundation deploy` prints at its end.
pub(super) fn deployed(report: &FoundationReport) -> String {
    let records = report.live.as_ref().map(records).unwrap_or_default();
    format!("{} is as it should be\n{records}", place(report))
}

/// The records that nobody makes here; empty where there is none.
fn records(live: &LiveFoundation) -> String {
    let records: Vec<_> = live.zones.iter().flat_map(|zone| &zone.records).collect();
    if records.is_empty() {
        return String::new();
    }
    let width = records.iter().map(|record| record.name.chars().count()).max().unwrap_or(0);
    let mut text = "\nRecords that are yours to make, where the zone is served:\n".to_owned();
    for record in records {
        let _ = writeln!(text, "  {:<width$}  {:<5}  {}", record.name, record.kind, record.value);
    }
    if live.doors.len() > 1 {
        text.push_str("A stage behind another load balancer than the first needs a record of its own, to that one.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::model::{DnsRecord, FoundationZone};

    fn report(live: Option<LiveFoundation>) -> FoundationReport {
        FoundationReport {
            account: "123456789012".into(),
            region: "eu-central-1".into(),
            stack: "greenroom-previews-foundation".into(),
            live,
        }
    }

    fn live() -> LiveFoundation {
        let door = "greenroom-1.eu-central-1.elb.amazonaws.com";
        let record = DnsRecord { name: "*.preview.example.com".into(), kind: "CNAME", value: door.into() };
        let zone = |base: &str, dns, records| FoundationZone { base: base.into(), dns, certificate: None, records };
        LiveFoundation {
            status: "UPDATE_COMPLETE".into(),
            template: TemplateAge::Current,
            doors: vec![door.into()],
            zones: vec![
                zone("preview.example.com", Dns::None, vec![record]),
                zone("other.example.com", Dns::Route53, Vec::new()),
            ],
            stages: vec!["acme/shop/pr-1".into(), "acme/shop/pr-2".into()],
        }
    }

    fn change(change: ChangeKind, name: &str, details: &[&str]) -> ResourceChange {
        let details = details.iter().map(|detail| (*detail).to_owned()).collect();
        ResourceChange { change, kind: format!("AWS::EC2::{name}"), name: name.into(), details }
    }

    #[test]
    fn a_plan_says_where_what_and_how_many() {
        let changes = [change(ChangeKind::Added, "Subnet", &[]), change(ChangeKind::PerhapsReplaced, "Vpc", &["Tags"])];
        assert_snapshot!(plan(&report(Some(live())), &changes), @r"
        the foundation greenroom-previews-foundation in account 123456789012, eu-central-1: would change: 2 resources, 1 added, 1 perhaps replaced
        added             Subnet (AWS::EC2::Subnet)
        perhaps replaced  Vpc (AWS::EC2::Vpc): Tags

        Records that are yours to make, where the zone is served:
          *.preview.example.com  CNAME  greenroom-1.eu-central-1.elb.amazonaws.com
        ");
        assert_snapshot!(plan(&report(None), &changes[..1]), @r"
        the foundation greenroom-previews-foundation in account 123456789012, eu-central-1: would be made: 1 resource, 1 added
        added  Subnet (AWS::EC2::Subnet)

        Once it is made, `greenroom foundation status` shows the records that are yours to make, if any.
        ");
        assert!(plan(&report(Some(live())), &[]).contains("nothing would change"));
    }

    #[test]
    fn a_status_says_where_the_load_balancer_is_and_what_stands_on_it() {
        assert_snapshot!(status(&report(Some(live()))), @r"
        the foundation greenroom-previews-foundation in account 123456789012, eu-central-1: UPDATE_COMPLETE, as this release makes it
        load balancer  greenroom-1.eu-central-1.elb.amazonaws.com
        zone           preview.example.com, certificate: none: stages answer at http
        zone           other.example.com, certificate: made here
        stages         2: acme/shop/pr-1, acme/shop/pr-2

        Records that are yours to make, where the zone is served:
          *.preview.example.com  CNAME  greenroom-1.eu-central-1.elb.amazonaws.com
        ");
        assert!(status(&report(None)).contains("it was not made yet"));
        let begun = LiveFoundation { status: "CREATE_IN_PROGRESS".into(), template: TemplateAge::Unknown, ..live() };
        let begun = status(&report(Some(begun)));
        assert!(begun.contains("CREATE_IN_PROGRESS, never complete so far") && !begun.contains("another"), "{begun}");
        let crowded = LiveFoundation { doors: vec!["first".into(), "second".into()], ..live() };
        assert!(status(&report(Some(crowded))).contains("needs a record of its own"));
        assert!(deployed(&report(Some(live()))).contains("is as it should be"));
    }
}
