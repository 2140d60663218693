//! What a foundation is, for whoever asks at the command line.

use super::desk::{described, users};
use super::remembered::{Remembered, Zone};
use super::{Driver, Snapshot, door, template};
use crate::model::{Dns, DnsRecord, FoundationReport, FoundationZone, LiveFoundation, TemplateAge};
use crate::port::{PortResult, Site};

/// Reads it, and changes nothing.
pub(in crate::aws) async fn report(driver: &Driver<'_>, site: Site<'_>) -> PortResult<FoundationReport> {
    let stack = driver.shared.names.foundation_stack(site.stage, site.place);
    let live = match described(driver, site, &stack).await? {
        Some(found) => Some(live(driver, site, &found).await?),
        None => None,
    };
    let (account, region) = (driver.clients.account.clone(), driver.clients.region.clone());
    Ok(FoundationReport { account, region, stack, live })
}

async fn live(driver: &Driver<'_>, site: Site<'_>, stack: &Snapshot) -> PortResult<LiveFoundation> {
    // One that is being made has no outputs yet.
    let remembered = Remembered::of(stack);
    let texts = (1..=remembered.as_ref().map_or(0, |made| made.doors))
        .filter_map(|number| stack.outputs.get(&format!("Door{number}")));
    let doors: Vec<String> = texts.map(|text| door(text).map(|door| door.dns_name)).collect::<PortResult<_>>()?;
    let mut zones = Vec::new();
    if let Some(made) = &remembered {
        for zone in &made.zones {
            let (base, dns, certificate) = (zone.base.clone(), zone.dns, zone.certificate.clone());
            let records = doors.first().map_or_else(Vec::new, |door| records(zone, made.root, door));
            zones.push(FoundationZone { base, dns, certificate, records });
        }
    }
    Ok(LiveFoundation {
        status: stack.status.as_str().to_owned(),
        template: age(stack.outputs.get("Template")),
        zones,
        doors,
        stages: users(driver, site, stack).await?,
    })
}

/// `made` is what the stack's output says; one whose first making goes on, or failed, has none.
fn age(made: Option<&String>) -> TemplateAge {
    match made {
        None => TemplateAge::Unknown,
        Some(made) if *made == template::foundation_version() => TemplateAge::Current,
        Some(_) => TemplateAge::Other,
    }
}

/// What leads to the load balancer where Greenroom may not make it. `root`: the base itself is a stage's too.
fn records(zone: &Zone, root: bool, door: &str) -> Vec<DnsRecord> {
    if zone.dns == Dns::Route53 {
        return Vec::new();
    }
    // A zone's own name has other records, beside which a CNAME cannot stand. Source: RFC 1034, section 3.6.2.
    let kind = |name: &str| if name == zone.zone { "ALIAS" } else { "CNAME" };
    let own = root.then(|| zone.base.clone());
    let names = own.into_iter().chain([format!("*.{}", zone.base)]);
    names.map(|name| DnsRecord { kind: kind(&name), name, value: door.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(base: &str, zone: &str, dns: Dns, root: bool) -> Vec<String> {
        let zone =
            Zone { base: base.into(), zone: zone.into(), dns, certificate: None, hosted_zone: None, holder: None };
        let line = |record: DnsRecord| format!("{} {} {}", record.name, record.kind, record.value);
        records(&zone, root, "door.example").into_iter().map(line).collect()
    }

    #[test]
    fn what_was_never_complete_is_of_no_known_release() {
        let (ours, other) = (template::foundation_version(), "another".to_owned());
        let ages = [Some(&ours), Some(&other), None].map(age);
        assert_eq!(ages, [TemplateAge::Current, TemplateAge::Other, TemplateAge::Unknown]);
    }

    #[test]
    fn what_nobody_makes_here_is_named() {
        let preview = "preview.example.com";
        assert_eq!(told(preview, preview, Dns::Route53, false), [""; 0]);
        for dns in [Dns::None, Dns::Cloudflare] {
            assert_eq!(told(preview, preview, dns, false), ["*.preview.example.com CNAME door.example"]);
            let staging = ["staging.example.com CNAME door.example", "*.staging.example.com CNAME door.example"];
            assert_eq!(told("staging.example.com", "example.com", dns, true), staging);
            let prod = ["example.com ALIAS door.example", "*.example.com CNAME door.example"];
            assert_eq!(told("example.com", "example.com", dns, true), prod);
        }
    }
}
