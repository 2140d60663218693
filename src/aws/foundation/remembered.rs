//! What a foundation was made from: it stands in an output of its stack, so that whoever extends it
//! keeps what the others need.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::Shared;
use super::super::names::{TAG_ACCESS, TAG_REPO};
use super::super::settings::NatGateways;
use super::super::stack::Snapshot;
use super::super::template;
use crate::model::{Dns, RepoName, StageKind};
use crate::port::{PortError, PortResult, Site, owner_path};

/// [`Remembered::access`] of what previews share.
const PREVIEWS: &str = "previews";

/// What a foundation was made from, as it stands in its output `Remembered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::aws) struct Remembered {
    /// Whose it is: `previews`, or a stage's with its repository, whose secrets its programs may read.
    /// Of older ones, the stage's name alone.
    pub(super) access: String,
    pub(super) nat: u8,
    pub(super) boundary: Option<String>,
    /// Where its roles lie, apart from those that are made by hand. An older foundation's lie among
    /// them and stay there: a role that is moved is another role, and what runs has this one.
    #[serde(default)]
    pub(super) role_path: Option<String>,
    pub(super) protect: bool,
    /// Whether the base itself leads here, not only the names below it.
    pub(super) root: bool,
    pub(super) doors: u32,
    /// The first one's certificate is the listener's own, so the order stays.
    pub(super) zones: Vec<Zone>,
    /// Those whose previews stand here, each with roles of its own: a program is started by the role of
    /// its repository, which reads the secrets of that alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) repositories: Vec<RepoName>,
}

/// Names under which stages answer.
#[expect(clippy::struct_field_names, reason = "as the configuration and Route 53 call them")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::aws) struct Zone {
    pub(super) base: String,
    pub(super) zone: String,
    pub(super) dns: Dns,
    /// Given by the user; else one is made where the DNS is known.
    pub(super) certificate: Option<String>,
    /// Route 53's id of the zone.
    pub(super) hosted_zone: Option<String>,
    /// Who asked for it first; `None` of an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<RepoName>,
}

impl Zone {
    pub(super) fn is_certified(&self) -> bool {
        self.certificate.is_some() || self.dns != Dns::None
    }

    /// Whether what is there does for what is wanted. A zone that needs no certificate is served by
    /// one that has one, so that two repositories do not undo each other's.
    pub(super) fn does_for(&self, wanted: &Self) -> bool {
        let same = self.dns == wanted.dns && self.certificate == wanted.certificate;
        self.base == wanted.base && (same || !wanted.is_certified())
    }
}

impl Remembered {
    pub(super) fn new(shared: &Shared, site: Site<'_>, doors: u32) -> Self {
        let settings = &shared.settings;
        let is_permanent = site.place.kind != StageKind::Ephemeral;
        Self {
            access: access_of(site),
            nat: match settings.nat_gateways {
                NatGateways::None => 0,
                NatGateways::One => 1,
                NatGateways::Two => 2,
            },
            boundary: settings.permissions_boundary.clone(),
            role_path: Some(shared.names.role_path(site.stage, site.place)),
            protect: site.place.kind == StageKind::Production,
            root: is_permanent,
            doors,
            zones: zone_of(site).into_iter().collect(),
            repositories: if is_permanent { Vec::new() } else { vec![site.stage.repo.clone()] },
        }
    }

    /// The same for no one repository: who makes what is shared by hand makes it for all.
    pub(super) fn by_hand(mut self) -> Self {
        self.repositories.clear();
        for zone in &mut self.zones {
            zone.holder = None;
        }
        self
    }

    pub(super) fn of(stack: &Snapshot) -> Option<Self> {
        stack.outputs.get("Remembered").and_then(|text| serde_json::from_str(text).ok())
    }

    pub(super) fn does_for(&self, wanted: &Self) -> bool {
        let has = |wanted: &Zone| self.zones.iter().any(|zone| zone.does_for(wanted));
        let knows = |wanted: &RepoName| self.repositories.contains(wanted);
        self.doors >= wanted.doors && wanted.zones.iter().all(has) && wanted.repositories.iter().all(knows)
    }

    /// The zone that somebody else set up here in another way: what others stand on is not replaced
    /// for one who comes later.
    pub(super) fn contested(&self, wanted: &Self) -> Option<&Zone> {
        let id = |zone: &Zone| template::short_hash(&zone.base);
        let is_in_the_way = |zone: &&Zone| {
            wanted.zones.iter().any(|wanted| {
                if wanted.base == zone.base {
                    return !zone.does_for(wanted) && wanted.holder != zone.holder;
                }
                // Names are chosen by anybody, also so that two have one id.
                id(wanted) == id(zone)
            })
        };
        self.zones.iter().find(is_in_the_way).filter(|_| !self.root)
    }

    /// Both, with the settings of `self`.
    pub(super) fn with(mut self, wanted: &Self) -> Self {
        self.doors = self.doors.max(wanted.doors);
        for wanted in &wanted.zones {
            match self.zones.iter_mut().find(|zone| zone.base == wanted.base) {
                Some(zone) if zone.does_for(wanted) => {}
                Some(zone) => zone.clone_from(wanted),
                None => self.zones.push(wanted.clone()),
            }
        }
        for wanted in &wanted.repositories {
            if !self.repositories.contains(wanted) {
                self.repositories.push(wanted.clone());
            }
        }
        self
    }

    /// Itself as it is wanted now, with the zones and load balancers that it has already, and its
    /// roles where they are.
    pub(super) fn renewed(self, wanted: Self) -> Self {
        let live = self.with(&wanted);
        Self {
            doors: live.doors,
            zones: live.zones,
            repositories: live.repositories,
            role_path: live.role_path,
            ..wanted
        }
    }

    pub(super) fn render(&self, owner: &str) -> PortResult<String> {
        let zones: Vec<_> = self.zones.iter().map(|zone| self.zone_context(zone)).collect();
        let certificates: Vec<_> = self.zones.iter().filter(|zone| zone.is_certified()).map(certificate).collect();
        let repositories: Vec<_> = self.repositories.iter().map(|repo| repository(owner, repo)).collect();
        let (images, logs) = self.reach(owner);
        template::foundation(&json!({
            "owner": owner,
            "whose": self.access,
            // What previews share reads nobody's secrets: their repositories' own roles do.
            "access": if self.access == PREVIEWS { "" } else { self.access.as_str() },
            "images": images,
            "logs": logs,
            "access_tag": TAG_ACCESS,
            "repo_tag": TAG_REPO,
            "repositories": repositories,
            "nat": self.nat,
            "boundary": self.boundary,
            "role_path": self.role_path,
            "protect": self.protect.to_string(),
            "doors": (1..=self.doors).collect::<Vec<_>>(),
            "zones": zones,
            "certified": !certificates.is_empty(),
            "certificates": certificates,
            "template": template::foundation_version(),
            "remembered": serde_json::to_string(self).map_err(|error| PortError::bug("cannot write a foundation's memory", error))?,
        }))
    }

    /// What begins the images that its programs are made from, and the log groups that they write to: of a
    /// permanent stage its own repository's and its own. What previews share, and an older foundation, does
    /// not say whose it is.
    fn reach(&self, owner: &str) -> (String, String) {
        let repo = self.access.rsplit_once('/').and_then(|(repo, _)| repo.parse::<RepoName>().ok());
        match repo {
            Some(repo) => (images(owner, &repo), format!("{owner}/{}", self.access)),
            None => (owner.to_owned(), owner.to_owned()),
        }
    }

    fn zone_context(&self, zone: &Zone) -> serde_json::Value {
        let wildcard = format!("*.{}", zone.base);
        let root = Some(zone.base.clone()).filter(|_| self.root);
        json!({
            "id": template::short_hash(&zone.base),
            "base": zone.base,
            "makes_certificate": zone.certificate.is_none() && zone.is_certified(),
            "hosted_zone": zone.hosted_zone,
            "records": root.into_iter().chain([wildcard]).collect::<Vec<_>>(),
        })
    }
}

/// [`Remembered::access`] of a new foundation.
pub(super) fn access_of(Site { stage, place }: Site<'_>) -> String {
    match place.kind {
        StageKind::Ephemeral => PREVIEWS.to_owned(),
        StageKind::Permanent | StageKind::Production => stage.to_string(),
    }
}

/// What begins the names of a repository's images.
fn images(owner: &str, repo: &RepoName) -> String {
    format!("{}/{}", owner.to_lowercase(), owner_path(repo))
}

/// What the roles of a repository's previews are made from.
fn repository(owner: &str, repo: &RepoName) -> serde_json::Value {
    json!({
        "id": template::long_hash(repo.as_str()),
        "name": repo,
        "path": format!("/{owner}/{owner}-previews-foundation/repo/{repo}/"),
        "images": images(owner, repo),
        "logs": format!("{owner}/{repo}"),
    })
}

/// As the listeners name it.
fn certificate(zone: &Zone) -> serde_json::Value {
    let id = template::short_hash(&zone.base);
    let made = format!("!Ref Certificate{id}");
    json!({ "id": id, "reference": zone.certificate.clone().unwrap_or(made) })
}

fn zone_of(site: Site<'_>) -> Option<Zone> {
    let (domain, base) = site.place.domain.as_ref().zip(site.place.base.as_ref())?;
    Some(Zone {
        base: base.clone(),
        zone: domain.zone.clone(),
        dns: domain.dns,
        certificate: domain.certificate.clone(),
        hosted_zone: None,
        holder: Some(site.stage.repo.clone()),
    })
}
