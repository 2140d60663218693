//! Where builds run: the network of their steps, and builders of their own.
//!
//! # Guarantees
//!
//! - Steps are in a network of builds alone, whose members do not reach each other, on an engine that
//!   keeps rules in the kernel's tables (Docker's `iptables`, on unless somebody turned it off). The
//!   host's loopback is not in it. What the host itself can route to, it can reach: the metadata service
//!   of AWS is kept away by its own settings, which `greenroom doctor` looks at.
//! - With `buildx`, a repository has a builder for each trust: `BuildKit` in a container, which has
//!   neither the engine's images nor its network, and keeps layers that no other builder reads.

use sha2::{Digest, Sha256};

use super::docker::{Docker, Tools, fault};
use crate::decide::subnets;
use crate::model::{RepoName, Trust};
use crate::port::{PortError, PortResult};

/// The network of all steps of builds on an engine.
pub(super) const BUILD_NETWORK: &str = "greenroom-builds";

/// Whether a line of a build says that the network is not there, or there twice.
pub(super) fn is_network_missing(line: &str) -> bool {
    let says = |what: &str| line.contains(&format!("network {BUILD_NETWORK} {what}"));
    says("not found") || says("is ambiguous")
}

/// The builder of a repository for commits that are trusted as far.
pub(super) fn name(repo: &RepoName, trust: Trust) -> String {
    format!("greenroom-{trust}-{}", &hex::encode(Sha256::digest(repo.as_str().to_ascii_lowercase()))[..16])
}

impl Docker {
    /// Makes the network of builds. There already is success.
    pub(super) async fn make_network(&self) -> PortResult<()> {
        self.create_network().await?;
        self.remove_twins().await
    }

    /// Two who ask at once may both get a network of that name, and then no step runs in either. Everybody
    /// keeps the same one; the other may still be in use, and goes when somebody finds two again.
    async fn remove_twins(&self) -> PortResult<()> {
        let filter = format!("--filter=name=^{BUILD_NETWORK}$");
        let answer = self.ask(&["network", "ls", "--no-trunc", &filter, "--format={{.ID}}"]).await?;
        if !answer.success {
            return Err(fault(&answer.stderr));
        }
        let mut ids: Vec<&str> = answer.stdout.split_whitespace().collect();
        ids.sort_unstable();
        for twin in ids.into_iter().skip(1) {
            let answer = self.ask(&["network", "rm", "--", twin]).await?;
            if !answer.success {
                tracing::warn!("a second network of builds stays for now: {}", answer.stderr.trim());
            }
        }
        Ok(())
    }

    async fn create_network(&self) -> PortResult<()> {
        for subnet in subnets(BUILD_NETWORK) {
            let subnet = format!("--subnet={subnet}");
            let answer = self
                .ask(&[
                    "network",
                    "create",
                    "--driver=bridge",
                    "--opt=com.docker.network.bridge.enable_icc=false",
                    "--label=greenroom.network=builds",
                    &subnet,
                    BUILD_NETWORK,
                ])
                .await?;
            if answer.success || answer.stderr.contains("already exists") {
                return Ok(());
            }
            if !answer.stderr.contains("overlap") {
                return Err(fault(&answer.stderr));
            }
        }
        Err(PortError::retry("the engine has no addresses left for a network of builds"))
    }

    /// Makes the builder of a repository. There already is success; it starts with its first build.
    pub(super) async fn make_builder(&self, repo: &RepoName, trust: Trust) -> PortResult<()> {
        let name = name(repo, trust);
        if self.ask(&["buildx", "inspect", &name]).await?.success {
            return Ok(());
        }
        self.tried.forget(&name);
        self.make_network().await?;
        let network = format!("--driver-opt=network={BUILD_NETWORK}");
        let named = format!("--name={name}");
        let answer = self.ask(&["buildx", "create", &named, "--driver=docker-container", &network]).await?;
        if answer.success || answer.stderr.contains("existing instance") { Ok(()) } else { Err(fault(&answer.stderr)) }
    }

    /// Removes the builders of a repository with what they keep, where this server used any.
    pub(super) async fn remove_builders(&self, repo: &RepoName) -> PortResult<()> {
        if self.known_tools() != Some(Tools::Buildx) {
            return Ok(());
        }
        for trust in [Trust::Fork, Trust::Preview, Trust::Permanent] {
            let answer = self.ask(&["buildx", "rm", "--force", &name(repo, trust)]).await?;
            if !answer.success && !answer.stderr.contains("no builder") {
                return Err(fault(&answer.stderr));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repository_and_trust_has_a_builder() {
        let of = |repo: &str, trust| name(&repo.parse().expect("a name"), trust);
        assert_eq!(of("acme/shop", Trust::Fork), of("Acme/Shop", Trust::Fork));
        let names = [
            of("acme/shop", Trust::Fork),
            of("acme/shop", Trust::Preview),
            of("acme/shop", Trust::Permanent),
            of("acme-shop/x", Trust::Preview),
        ];
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{names:?}");
    }

    #[test]
    fn only_our_own_network_is_made_anew() {
        assert!(is_network_missing("network greenroom-builds not found"));
        assert!(is_network_missing("Error response from daemon: network greenroom-builds not found"));
        assert!(!is_network_missing("network other not found"));
    }
}
