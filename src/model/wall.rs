//! Which repositories are served at all, and whose zones are: what the operator says of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{KnownRepo, RepoName, RepoOwner};

/// One or more repositories, as the operator writes them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepoPattern {
    /// `owner/name`: the one repository that this server knows by that name, whatever it is called
    /// now, and none that took the name later.
    One(RepoName),
    /// `owner/*`: every repository that is that account's, and was first seen with it or handed to it since.
    OfOwner(String),
}

impl RepoPattern {
    /// Whether the repository is meant.
    pub fn covers(&self, repo: &KnownRepo) -> bool {
        match self {
            Self::One(name) => *name == repo.key,
            Self::OfOwner(owner) => {
                let is_named = owner == repo.key.owner() && repo.owner == RepoOwner::AsNamed;
                is_named || !repo.is_stand_in() && repo.holders.contains(owner)
            }
        }
    }

    /// The same by its key alone: whether it may be meant.
    fn may_cover(&self, key: &RepoName) -> bool {
        match self {
            Self::One(name) => name == key,
            Self::OfOwner(owner) => owner == key.owner(),
        }
    }
}

impl FromStr for RepoPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is neither a repository as owner/name nor all of an account's as owner/*");
        match text.split_once('/') {
            // A name stands in for the star: both are checked as GitHub would.
            Some((owner, "*")) => {
                let checked = RepoName::new(format!("{owner}/x")).map_err(|_| bad())?;
                Ok(Self::OfOwner(checked.owner().to_owned()))
            }
            _ => text.parse().map(Self::One).map_err(|_| bad()),
        }
    }
}

impl fmt::Display for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => name.fmt(f),
            Self::OfOwner(owner) => write!(f, "{owner}/*"),
        }
    }
}

/// Repositories, separated by commas or white space. None of them is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoList(Vec<RepoPattern>);

impl RepoList {
    /// Whether the repository is among them.
    pub fn covers(&self, repo: &KnownRepo) -> bool {
        self.0.iter().any(|pattern| pattern.covers(repo))
    }

    /// Whether a repository with this key may be among them, as far as that can be told by its key: it is not
    /// if another account owns it by now, and one that was handed to somebody is not found by it.
    pub fn may_cover(&self, key: &RepoName) -> bool {
        self.0.iter().any(|pattern| pattern.may_cover(key))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for RepoList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        words(text).map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for RepoList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(","))
    }
}

/// Zones and parts of them that are kept for some repositories: `zone=owner/name`, separated by
/// commas or white space; a zone may be there several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoneList(BTreeMap<String, RepoList>);

impl ZoneList {
    /// The zone, the longest of the list, that a host lies in, with whom it is kept for. `host` may
    /// begin with `*.`.
    pub fn of(&self, host: &str) -> Option<(&str, &RepoList)> {
        let host = host.strip_prefix("*.").unwrap_or(host).to_ascii_lowercase();
        let is_in = |zone: &str| host.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let inside = self.0.iter().filter(|(zone, _)| is_in(zone));
        inside.max_by_key(|(zone, _)| zone.len()).map(|(zone, list)| (zone.as_str(), list))
    }
}

impl FromStr for ZoneList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut zones: BTreeMap<String, RepoList> = BTreeMap::new();
        for word in words(text) {
            let (zone, repo) = word.split_once('=').ok_or_else(|| format!("{word:?} is not zone=owner/name"))?;
            let zone = zone.trim_end_matches('.').to_ascii_lowercase();
            if !is_zone(&zone) {
                return Err(format!("{zone:?} in {word:?} is no name of a zone"));
            }
            zones.entry(zone).or_default().0.push(repo.parse()?);
        }
        Ok(Self(zones))
    }
}

impl fmt::Display for ZoneList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |(zone, list): (&String, &RepoList)| {
            list.0.iter().map(|repo| format!("{zone}={repo}")).collect::<Vec<_>>().join(",")
        };
        f.write_str(&self.0.iter().map(bound).collect::<Vec<_>>().join(","))
    }
}

fn is_zone(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    text.len() <= 253 && text.split('.').all(|label| !label.is_empty() && label.bytes().all(is_letter))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

/// What keeps the repositories of one server apart, as far as the operator says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wall {
    /// Who is served at all.
    pub allow: RepoList,
    pub zones: ZoneList,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RepoId;

    fn repo(key: &str, owner: RepoOwner) -> KnownRepo {
        KnownRepo { id: RepoId(1), key: key.parse().unwrap(), name: None, rumour: None, owner, holders: Vec::new() }
    }

    #[test]
    fn a_list_covers_whom_it_names_and_nobody_who_took_the_name() {
        let list: RepoList = "Acme/Shop, acme/web\nother/*".parse().unwrap();
        let of = |key, owner| list.covers(&repo(key, owner));
        assert_eq!(list.to_string(), "acme/shop,acme/web,other/*");
        assert!(of("acme/shop", RepoOwner::AsNamed) && of("other/any", RepoOwner::AsNamed));
        assert!(of("acme/shop", RepoOwner::Another), "named itself, it stays whoever it was handed to");
        for stranger in ["acme/docs", "acme.774/shop", "other.774/any", "others/any", "x/acme"] {
            assert!(!of(stranger, RepoOwner::AsNamed), "{stranger}");
        }
        assert!(!of("other/any", RepoOwner::Another), "handed to somebody else");
        let handed =
            |key, to: &str| list.covers(&KnownRepo { holders: vec![to.into()], ..repo(key, RepoOwner::Another) });
        assert!(handed("elsewhere/any", "other"), "handed to whoever is served whole");
        assert!(!handed("elsewhere/any", "acme") && !handed("other/any", "elsewhere"));
        assert!(!handed("other.774/any", "other"), "who took a name is told so, whoever owns it");
        assert!("".parse::<RepoList>().unwrap().is_empty());
        for bad in ["*", "*/*", "acme", "acme/", "/*", "a b/*/c", "acme/sh*p"] {
            assert!(bad.parse::<RepoList>().is_err(), "{bad}");
        }
    }

    #[test]
    fn by_its_key_alone_a_repository_may_be_meant() {
        let list: RepoList = "acme/shop,other/*".parse().unwrap();
        for key in ["acme/shop", "other/any"] {
            assert!(list.may_cover(&key.parse().unwrap()), "{key}");
        }
        for key in ["acme/docs", "elsewhere/any", "other.774/any"] {
            assert!(!list.may_cover(&key.parse().unwrap()), "{key}");
        }
    }

    #[test]
    fn the_longest_zone_decides() {
        let zones: ZoneList =
            "example.com=acme/web example.com=acme/docs, Shop.example.com.=acme/shop".parse().unwrap();
        let of = |host| zones.of(host).map(|(zone, list)| format!("{zone}: {list}")).unwrap_or_default();
        assert_eq!(of("pr-1.example.com"), "example.com: acme/web,acme/docs");
        assert_eq!(
            [of("shop.example.com"), of("*.shop.example.com"), of("PR-1.Shop.Example.com")],
            ["shop.example.com: acme/shop", "shop.example.com: acme/shop", "shop.example.com: acme/shop"]
        );
        assert_eq!([of("example.org"), of("badexample.com"), of("com")], ["", "", ""]);
        for bad in ["example.com", "=acme/shop", "a..b=acme/shop", "example.com=acme", "ex ample.com=acme/shop"] {
            assert!(bad.parse::<ZoneList>().is_err(), "{bad}");
        }
    }
}
