//! Which registry an image's name leads to, and whether that is the server itself.
//!
//! Docker's rules for names: <https://pkg.go.dev/github.com/distribution/reference>.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bases::repository_of;

const SERVER: &str = "which is the server itself";
const LINK: &str = "which is an address of the server's own link";
const MACHINE: &str = "which answers for the machine that the server runs on";
const ODD: &str = "which is an address in a spelling of its own";
const ALONE: &str = "which has no dot: it is a name of the server's own network";

/// Names that lead there without anybody's doing: of `/etc/hosts` as it is delivered, of Docker, and of
/// clouds.
const NAMES: [(&str, &str); 8] = [
    ("localhost.localdomain", SERVER),
    ("localhost4.localdomain4", SERVER),
    ("localhost6.localdomain6", SERVER),
    ("host.docker.internal", SERVER),
    ("gateway.docker.internal", SERVER),
    ("kubernetes.docker.internal", SERVER),
    ("metadata.google.internal", MACHINE),
    ("instance-data.ec2.internal", MACHINE),
];
/// Where clouds answer for a machine, besides link-local addresses.
///
/// Source: the instance metadata pages of Alibaba Cloud, Azure and Oracle Cloud; of Amazon EC2 and Google
/// Cloud for IPv6.
const METADATA: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// The registry, with its port, in an image's name; `None` where it is Docker's own.
pub(super) fn registry_of(name: &str) -> Option<&str> {
    let (first, _) = name.split_once('/')?;
    let is_host = first.contains(['.', ':']) || first == "localhost" || first.to_ascii_lowercase() != first;
    is_host.then_some(first)
}

/// Why an engine is not asked for an image there: its registry is, in whatever spelling, the server
/// itself or something that answers to nobody else. `own`: host and path of what Greenroom keeps, whose
/// host may be meant if it is written as it is there.
pub(super) fn is_at_home(name: &str, own: Option<&str>) -> Option<String> {
    let registry = registry_of(name)?;
    if own.and_then(registry_of) == Some(registry) {
        return None;
    }
    why(registry).map(|why| format!("`{name}` is of the registry `{registry}`, {why}"))
}

/// The same once its name is looked up: `addresses` are those that the name leads to.
pub(super) fn leads_home(name: &str, own: Option<&str>, addresses: &[IpAddr]) -> Option<String> {
    let registry = registry_of(name).filter(|registry| own.and_then(registry_of) != Some(registry))?;
    let why = addresses.iter().find_map(|address| of_address(*address))?;
    Some(format!("`{name}` is of the registry `{registry}`, {why}"))
}

/// What a registry's name is looked up by, where it is no address.
pub(super) fn to_look_up(name: &str) -> Option<String> {
    let (host, _) = parts(registry_of(name)?);
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    (!is_address && !is_hub(&host)).then_some(host)
}

/// Whether a name, in which a `$` stands for anything, may be below a place, in whatever spelling.
pub(super) fn may_be_below(name: &str, place: &str) -> bool {
    let (own, own_path) = match registry_of(place) {
        Some(registry) => (registry, &place[registry.len() + 1..]),
        None => ("docker.io", place),
    };
    let lower = name.to_ascii_lowercase();
    let (known, is_open) = match lower.split_once('$') {
        Some((before, _)) => (before.to_owned(), true),
        None => (repository_of(&lower), false),
    };
    let is_path = |path: &str| path.starts_with(own_path) || is_open && own_path.starts_with(path);
    match known.split_once('/') {
        Some((first, path)) if is_open && registry_of(&known).is_none() => {
            is_hub(&parts(own).0) && is_path(&format!("{first}/{path}"))
        }
        Some((registry, path)) => is_same(registry, own) && is_path(path),
        // Nothing but the beginning of a host, or of a name at Docker's own registry.
        None => {
            let is_number = |text: &str| text.starts_with(|c: char| c == '[' || c.is_ascii_digit());
            place.starts_with(&known) || is_number(own) && is_number(&known) || is_hub(&parts(own).0) && is_path(&known)
        }
    }
}

/// Whether two registries, with their ports, are one. Of a place that says no port, it is 443 or 80.
fn is_same(one: &str, other: &str) -> bool {
    let place = |text: &str| {
        let (host, port) = parts(text);
        let port = port.map(|port| port.parse::<u16>().unwrap_or_default());
        let host = match why(text) {
            Some(why) if why == SERVER => SERVER.to_owned(),
            _ if is_hub(&host) => "docker.io".to_owned(),
            _ => of_text(&host).map_or(host, |address| address.to_canonical().to_string()),
        };
        (host, port.filter(|port| !matches!(port, 443 | 80)))
    };
    let (at, other_at) = (place(one), place(other));
    let is_odd = [one, other].iter().any(|text| why(text) == Some(ODD));
    at == other_at || is_odd && at.1 == other_at.1
}

fn is_hub(host: &str) -> bool {
    host == "docker.io" || host.ends_with(".docker.io")
}

/// Host and port: the host in lower case, without a dot at its end, an IPv6 address in brackets.
pub(super) fn parts(registry: &str) -> (String, Option<&str>) {
    let (host, port) = match (registry.rfind(']'), registry.rsplit_once(':')) {
        (Some(end), _) if registry.len() == end + 1 => (registry, None),
        (Some(end), _) if registry[end + 1..].starts_with(':') => (&registry[..=end], Some(&registry[end + 2..])),
        (None, Some((host, port))) if !host.contains(':') => (host, Some(port)),
        _ => (registry, None),
    };
    (host.trim_end_matches('.').to_ascii_lowercase(), port)
}

fn of_text(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// Why a registry is not asked; `None` where it may be. Private addresses may: a team's own registry has
/// one, and the steps of a build reach what is there anyway.
fn why(registry: &str) -> Option<&'static str> {
    let (host, _) = parts(registry);
    if let Some(address) = of_text(&host) {
        return of_address(address);
    }
    // What ends in a number is an address to whoever reads it as the C library does.
    // Source: WHATWG, "URL", section 3.5, "ends-in-a-number checker".
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(is_hex);
    if is_number || host.contains([':', '[', ']']) {
        return Some(ODD);
    }
    if host == "localhost" || host.ends_with(".localhost") {
        return Some(SERVER);
    }
    let known = NAMES.iter().find(|(name, _)| *name == host).map(|(_, why)| *why);
    known.or_else(|| (!host.contains('.')).then_some(ALONE))
}

fn of_address(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => of_four(address),
        IpAddr::V6(address) if address.is_loopback() || address.is_unspecified() => Some(SERVER),
        IpAddr::V6(address) if address.is_unicast_link_local() || address.is_multicast() => Some(LINK),
        IpAddr::V6(address) if METADATA_6.contains(&address) => Some(MACHINE),
        IpAddr::V6(address) => within(address).and_then(of_four),
    }
}

fn of_four(address: Ipv4Addr) -> Option<&'static str> {
    // All of network 0 is this machine.
    if address.octets()[0] == 0 || address.is_loopback() {
        Some(SERVER)
    } else if address.is_link_local() || address.is_multicast() || address.is_broadcast() {
        Some(LINK)
    } else {
        METADATA.contains(&address).then_some(MACHINE)
    }
}

/// The address of four numbers that one of IPv6 stands for.
///
/// Source: RFC 4291, section 2.5.5; RFC 6052, section 2.1; RFC 3056, section 2; RFC 2765, section 2.1.
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let ([0, 0, 0, 0, 0 | 0xffff, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..]) =
        address.segments()
    else {
        return None;
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
#[path = "hosts_tests.rs"]
mod tests;
