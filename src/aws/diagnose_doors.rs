//! Whether the world finds a zone, and whether its hosts have a certificate.
//!
//! Trap: a certificate stays pending forever when the zone in Route 53 is not the one that the
//! world is sent to. So the delegation is looked at first, from outside.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use aws_sdk_acm::types::{CertificateDetail, CertificateStatus};
use aws_sdk_route53::types::{HostedZone, HostedZoneConfig};

use super::clients::Clients;
use super::delegation::name_servers;
use super::diagnose::told;
use super::fault::fault;
use super::finding::Finding;
use crate::model::{Dns, Domain};
use crate::port::PortResult;

const DELEGATION: &str = "delegation of the zone";

/// `bases` are the names under which stages' hosts lie.
pub(super) async fn ask(
    clients: &Clients,
    domain: &Domain,
    bases: &BTreeSet<String>,
    resolver: SocketAddr,
) -> Vec<Finding> {
    let mut found = match domain.dns {
        Dns::Route53 => told(DELEGATION, async || route53(clients, &domain.zone, resolver).await).await,
        Dns::Cloudflare => vec![cloudflare(&domain.zone, &name_servers(resolver, &domain.zone).await)],
        Dns::None => Vec::new(),
    };
    found.extend(records(domain.dns));
    for base in bases {
        found.extend(told(&check_of(base), async || certificate(clients, domain, base).await).await);
    }
    found
}

async fn route53(clients: &Clients, zone: &str, resolver: SocketAddr) -> PortResult<Vec<Finding>> {
    let answer = clients.route53.list_hosted_zones_by_name().dns_name(zone).max_items(10).send().await;
    let answer = answer.map_err(|error| fault("route53:ListHostedZonesByName", error))?;
    let is_private = |zone: &HostedZone| zone.config().is_some_and(HostedZoneConfig::private_zone);
    let mut public = answer.hosted_zones().iter().filter(|found| is_same(found.name(), zone) && !is_private(found));
    let Some(found) = public.next() else {
        let fix = format!("make it: aws route53 create-hosted-zone --name {zone} --caller-reference greenroom");
        return Ok(vec![Finding::fail(DELEGATION, format!("Route 53 has no public zone {zone} in this account"), fix)]);
    };
    let whole = clients.route53.get_hosted_zone().id(found.id()).send().await;
    let whole = whole.map_err(|error| fault("route53:GetHostedZone", error))?;
    let wanted = whole.delegation_set().map(|set| set.name_servers().iter().map(|name| plain(name)).collect());
    Ok(vec![delegation(zone, &wanted.unwrap_or_default(), &name_servers(resolver, zone).await)])
}

/// Who makes the records that lead to stages, where nobody does here.
fn records(dns: Dns) -> Option<Finding> {
    let seen = "made by hand: `greenroom foundation status` shows which, once there is a load balancer";
    (dns != Dns::Route53).then(|| Finding::ok("records of stages", seen))
}

fn check_of(base: &str) -> String {
    format!("certificate of {base}")
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_same(name: &str, zone: &str) -> bool {
    plain(name) == plain(zone)
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn delegation(zone: &str, wanted: &BTreeSet<String>, seen: &Result<BTreeSet<String>, String>) -> Finding {
    let seen = match seen {
        Ok(seen) => seen,
        Err(why) => return Finding::warn(DELEGATION, why.clone(), "name another resolver with --resolver"),
    };
    let fix = format!("at the registrar of the domain, set the name servers of {zone} to {}", list(wanted));
    if seen.is_empty() {
        return Finding::fail(DELEGATION, format!("the world is not told who serves {zone}"), fix);
    }
    if seen.is_disjoint(wanted) {
        return Finding::fail(DELEGATION, format!("the world asks {} instead of Route 53", list(seen)), fix);
    }
    if seen != wanted {
        return Finding::warn(DELEGATION, format!("the world asks {}, which differs in part", list(seen)), fix);
    }
    Finding::ok(DELEGATION, format!("the world asks {}", list(seen)))
}

fn cloudflare(zone: &str, seen: &Result<BTreeSet<String>, String>) -> Finding {
    match seen {
        Err(why) => Finding::warn(DELEGATION, why.clone(), "name another resolver with --resolver"),
        Ok(seen) if !seen.is_empty() && seen.iter().all(|name| name.ends_with(".cloudflare.com")) => {
            Finding::ok(DELEGATION, format!("the world asks {}", list(seen)))
        }
        Ok(seen) => {
            let fix = format!("at the registrar, set the name servers of {zone} to those that Cloudflare names");
            Finding::fail(DELEGATION, format!("the world asks `{}` instead of Cloudflare", list(seen)), fix)
        }
    }
}

async fn certificate(clients: &Clients, domain: &Domain, base: &str) -> PortResult<Vec<Finding>> {
    if let Some(arn) = &domain.certificate {
        return Ok(vec![judge(&detail(clients, arn).await?, base)]);
    }
    if domain.dns == Dns::None {
        return Ok(vec![Finding::ok(check_of(base), "none: stages answer at http")]);
    }
    let mut pages = clients.acm.list_certificates().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| fault("acm:ListCertificates", error))?;
        for summary in page.certificate_summary_list() {
            let is_ours = summary.domain_name().is_some_and(|name| is_same(name.trim_start_matches("*."), base));
            if let Some(arn) = summary.certificate_arn().filter(|_| is_ours) {
                found.push(judge(&detail(clients, arn).await?, base));
            }
        }
    }
    if found.is_empty() {
        let seen = "none yet: the foundation asks for one";
        found.push(Finding::ok(check_of(base), seen));
    }
    Ok(found)
}

async fn detail(clients: &Clients, arn: &str) -> PortResult<CertificateDetail> {
    let answer = clients.acm.describe_certificate().certificate_arn(arn).send().await;
    let answer = answer.map_err(|error| fault("acm:DescribeCertificate", error))?;
    Ok(answer.certificate().cloned().unwrap_or_else(|| CertificateDetail::builder().build()))
}

fn judge(detail: &CertificateDetail, base: &str) -> Finding {
    let check = check_of(base);
    let status = detail.status().map_or("unknown", CertificateStatus::as_str);
    let names: Vec<&str> = detail.subject_alternative_names().iter().map(String::as_str).collect();
    let names = if names.is_empty() { detail.domain_name().into_iter().collect() } else { names };
    let seen = format!("{status}, for {}", names.join(", "));
    let wildcard = format!("*.{base}");
    match detail.status() {
        Some(CertificateStatus::Issued) if names.iter().any(|name| is_same(name, &wildcard)) => {
            Finding::ok(check, seen)
        }
        Some(CertificateStatus::Issued) => {
            let fix = format!("stages answer at {wildcard}: ask for a certificate that covers it");
            Finding::fail(check, seen, fix)
        }
        Some(CertificateStatus::PendingValidation) => {
            let records: BTreeSet<String> = detail
                .domain_validation_options()
                .iter()
                .filter_map(|option| option.resource_record())
                .map(|record| format!("{} CNAME {}", record.name(), record.value()))
                .collect();
            Finding::warn(check, seen, format!("add to the zone: {}", list(&records)))
        }
        _ => Finding::fail(check, seen, "ask for a new certificate, or take `certificate` out of the configuration"),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_acm::types::{DomainValidation, RecordType, ResourceRecord};

    use super::*;
    use crate::aws::finding::Health;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_delegation_is_judged() {
        let wanted = names(&["ns-1.awsdns-1.com", "ns-2.awsdns-2.net"]);
        for (seen, health) in [
            (Ok(wanted.clone()), Health::Ok),
            (Ok(names(&["ns-1.awsdns-1.com", "old.example"])), Health::Warn),
            (Ok(names(&["old.example"])), Health::Fail),
            (Ok(names(&[])), Health::Fail),
            (Err("no answer".to_owned()), Health::Warn),
        ] {
            let found = delegation("example.com", &wanted, &seen);
            assert_eq!(found.health, health, "{seen:?}");
            let says_which = found.fix.is_none_or(|fix| fix.contains("ns-2.awsdns-2.net") || seen.is_err());
            assert!(says_which, "{seen:?}");
        }
        assert_eq!(cloudflare("example.com", &Ok(names(&["ada.ns.cloudflare.com"]))).health, Health::Ok);
        assert_eq!(cloudflare("example.com", &Ok(names(&["ns-1.awsdns-1.com"]))).health, Health::Fail);
    }

    #[test]
    fn where_records_are_made_by_hand_it_is_said_which() {
        assert_eq!(records(Dns::Route53), None);
        for dns in [Dns::None, Dns::Cloudflare] {
            assert!(records(dns).is_some_and(|found| found.seen.contains("greenroom foundation status")), "{dns:?}");
        }
    }

    #[test]
    fn a_certificate_is_judged() {
        let certificate = |status: CertificateStatus, names: &[&str]| {
            let record = ResourceRecord::builder().name("_a.example.com.").r#type(RecordType::Cname).value("_b.aws.");
            let option =
                DomainValidation::builder().domain_name("example.com").resource_record(record.build().unwrap());
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let builder = CertificateDetail::builder().status(status).set_subject_alternative_names(Some(names));
            judge(&builder.domain_validation_options(option.build().unwrap()).build(), "example.com")
        };
        let both = ["example.com", "*.example.com"];
        assert_eq!(certificate(CertificateStatus::Issued, &both).health, Health::Ok);
        assert_eq!(certificate(CertificateStatus::Issued, &["example.com"]).health, Health::Fail);
        assert_eq!(certificate(CertificateStatus::Expired, &both).health, Health::Fail);
        let pending = certificate(CertificateStatus::PendingValidation, &both);
        assert_eq!(pending.health, Health::Warn);
        assert_eq!(pending.fix.as_deref(), Some("add to the zone: _a.example.com. CNAME _b.aws."));
    }
}
