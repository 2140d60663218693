//! Addresses for networks of containers.

use sha2::{Digest, Sha256};

/// 198.18.0.0/15 is for measuring networks and routed nowhere: <https://www.rfc-editor.org/rfc/rfc6890>.
const FIRST: u32 = 0xc612_0000;
/// So many networks of 128 addresses fit into it.
const COUNT: u32 = 1 << 10;
/// So many are tried.
const TRIES: u32 = 64;

/// Subnets for a network of this name, the best first: `198.18.7.128/25`.
///
/// Docker's own pools have room for some thirty networks, of which other programs want theirs.
pub fn subnets(name: &str) -> impl Iterator<Item = String> + use<> {
    let hash = Sha256::digest(name.as_bytes());
    let start = u32::from(hash[0]) << 8 | u32::from(hash[1]);
    (0..TRIES).map(move |step| {
        let [a, b, c, d] = (FIRST + (start + step) % COUNT * 128).to_be_bytes();
        format!("{a}.{b}.{c}.{d}/25")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_leads_to_subnets_that_do_not_overlap() {
        let of = |name: &str| subnets(name).collect::<Vec<_>>();
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a")[0], of("b")[0]);
        assert_eq!(of("a").iter().collect::<BTreeSet<_>>().len(), 64);
        for name in (0..200).map(|number| number.to_string()) {
            for subnet in of(&name) {
                let is_within = subnet.starts_with("198.18.") || subnet.starts_with("198.19.");
                assert!(is_within && (subnet.ends_with(".0/25") || subnet.ends_with(".128/25")), "{subnet}");
            }
        }
    }
}
