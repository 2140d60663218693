//! Where a build keeps layers and mounted folders for the next one: a place for each repository, trust,
//! stage and service that no other of them has.
//!
//! Names that were joined would run together: `acme/shop-web` and `acme-shop/web` have one path in a
//! registry, and a mount is named by its author, with as many `/` as they like.

use super::content::Fields;
use crate::model::{ServiceName, StageId, Trust};

/// As many as nobody finds a second of.
const DIGITS: usize = 32;

/// `preview-<32 digits>`: the tag of a service's layers. One for each stage: what a pull request
/// writes is never read by another.
pub(super) fn tag(stage: &StageId, trust: Trust, service: &ServiceName) -> String {
    let trust = trust.to_string();
    let fields = [&trust, stage.repo.as_str(), stage.name.as_str(), service.as_str()];
    format!("{trust}-{}", digest(fields))
}

/// `<32 digits>`: what the names of mounted folders begin with, for all that share a shelf. `BuildKit`
/// puts `/` and the mount's own name behind it.
pub(super) fn mounts(stage: &StageId, shelf: &str) -> String {
    digest([stage.repo.as_str(), shelf])
}

fn digest<const N: usize>(parts: [&str; N]) -> String {
    let mut fields = Fields::default();
    for part in parts {
        fields.add(part.as_bytes());
    }
    fields.finish()[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn stage(repo: &str, name: &str) -> StageId {
        StageId { repo: repo.parse().expect("a name"), name: name.parse().expect("a name") }
    }

    #[test]
    fn no_two_have_one_cache() {
        let mut tags = BTreeSet::new();
        let cases = [
            ("acme/shop-web", "a", Trust::Preview, "web"),
            ("acme-shop/web", "a", Trust::Preview, "web"),
            ("acme/shop.web", "a", Trust::Preview, "web"),
            ("acme/shop", "pr-1", Trust::Preview, "web"),
            ("acme/shop", "pr-2", Trust::Preview, "web"),
            ("acme/shop", "pr-1", Trust::Permanent, "web"),
            ("acme/shop", "pr-1", Trust::Fork, "web"),
            ("acme/shop", "pr", Trust::Preview, "1-web"),
            ("acme/shop", "pr-1-web", Trust::Preview, "x"),
            ("acme/shop", "pr-1", Trust::Preview, "web-x"),
        ];
        for (repo, name, trust, service) in cases {
            let tag = tag(&stage(repo, name), trust, &service.parse().expect("a name"));
            assert!(
                tag.len() <= 128 && tag.starts_with(|c: char| c.is_ascii_lowercase()),
                "{tag}: OCI's rule for tags"
            );
            assert!(tags.insert(tag), "{repo} {name} {trust} {service}");
        }
    }

    #[test]
    fn no_mount_s_name_leads_into_another_shelf() {
        let shop = stage("acme/shop", "prod");
        let shelves = ["permanent", "preview", "preview/prod", "fork"].map(|shelf| mounts(&shop, shelf));
        for (one, prefix) in shelves.iter().enumerate() {
            for (other, longer) in shelves.iter().enumerate() {
                assert!(one == other || !longer.starts_with(prefix.as_str()), "{prefix} and {longer}");
            }
        }
        assert_ne!(mounts(&shop, "fork"), mounts(&stage("acme/shop2", "prod"), "fork"));
    }
}
