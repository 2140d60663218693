//! What one repository of a server may have, and what is said to those who ask for more.

use std::collections::BTreeSet;

use crate::model::{KnownRepo, RepoId, RepoName, SecretRef, StageId, StageKind, StageSpec, Wall};

/// Why nothing is done for a repository, with the way out.
pub fn not_served(key: &RepoName) -> String {
    format!(
        "this Greenroom serves only the repositories that whoever runs it has named: to have {key} among them, they add \
         {key} to GREENROOM_ALLOW and start it again. Then push once more"
    )
}

/// Every name in the DNS that a stage has for itself: its hosts, and with a base of its own whatever
/// lies under that, as its certificate and records do.
pub fn names_of(spec: &StageSpec) -> Vec<String> {
    let mut names: Vec<String> = spec.services.iter().filter_map(|service| service.host.clone()).collect();
    if spec.kind != StageKind::Ephemeral
        && let Some(base) = &spec.place.base
    {
        names.push(base.clone());
        names.push(format!("*.{base}"));
    }
    for name in &mut names {
        name.make_ascii_lowercase();
    }
    names.sort();
    names.dedup();
    names
}

/// The same for looking at whose zones they are: what a stage shares with others is made in its zone
/// too, whether or not it has an address there.
pub fn zones_of(spec: &StageSpec) -> Vec<String> {
    let mut names = names_of(spec);
    names.extend(spec.place.base.clone());
    names.extend(spec.place.domain.as_ref().map(|domain| domain.zone.clone()));
    names
}

/// Why a name is not the repository's to have: its zone is kept for others.
pub fn not_yours(wall: &Wall, repo: &KnownRepo, name: &str) -> Option<String> {
    let (zone, _) = wall.zones.of(name).filter(|(_, list)| !list.covers(repo))?;
    Some(format!(
        "{zone} is kept for other repositories of this Greenroom: choose another `domain.zone`, or have {zone}={key} added \
         to GREENROOM_ZONES where it runs",
        key = repo.key
    ))
}

/// What is said of a name that another stage has. Another repository's is not named: it may be
/// nobody's to know.
pub fn taken(stage: &StageId, name: &str, owner: &StageId) -> String {
    if owner.repo == stage.repo {
        return format!("{name} belongs to the stage {}: give one of them another host", owner.name);
    }
    format!(
        "{name} belongs to another repository of this Greenroom, which came first: choose another `domain.zone` or host. \
         Whoever runs Greenroom finds in its log which one it is"
    )
}

/// Names the server's variables of a stage's secrets as this repository's own: `env:TOKEN` of number
/// 774 is `GREENROOM_SECRET_774_TOKEN`. No configuration can write such a name, because none of
/// `env:` begins with a digit.
pub fn bind_secrets(spec: &mut StageSpec, repo: &KnownRepo) {
    for secret in spec.services.iter_mut().flat_map(|service| service.secrets.values_mut()) {
        if let SecretRef::ServerEnv(name) = secret
            && !is_bound(name)
        {
            *name = format!("{}_{name}", repo.id);
        }
    }
}

fn is_bound(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit())
}

/// The server's variables that a stage has by names of an older version, which were no repository's own.
pub fn unbound_secrets(spec: &StageSpec) -> BTreeSet<&str> {
    let secrets = spec.services.iter().flat_map(|service| service.secrets.values());
    let names = secrets.filter_map(|secret| match secret {
        SecretRef::ServerEnv(name) => Some(name.as_str()),
        SecretRef::SecretsManager(_) | SecretRef::Ssm(_) => None,
    });
    names.filter(|name| !is_bound(name)).collect()
}

/// What is said to the operator of a variable that these stages have by its old name. `number` is the
/// repository's, once it was seen.
pub fn renamed_variable(repo: &RepoName, number: Option<RepoId>, name: &str, stages: &[&str]) -> String {
    let (number, where_from) = match number {
        Some(number) => (number.to_string(), String::new()),
        None => ("<ID>".to_owned(), format!(", where <ID> is what `gh api repos/{repo} --jq .id` prints")),
    };
    format!(
        "{repo} has GREENROOM_SECRET_{name} as GREENROOM_SECRET_{number}_{name} from now on{where_from}: set that too. \
         {} runs with the old one until it is deployed anew",
        stages.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{name, spec, stage};
    use super::*;
    use crate::model::{RepoOwner, ZoneList};

    fn known(key: &str, id: u64) -> KnownRepo {
        let (name, rumour, holders) = (None, None, Vec::new());
        KnownRepo { id: RepoId(id), key: key.parse().unwrap(), name, rumour, owner: RepoOwner::AsNamed, holders }
    }

    #[test]
    fn a_permanent_stage_has_whatever_lies_under_its_base_and_a_preview_its_hosts_alone() {
        let mut spec = spec('a');
        let hosts = names_of(&spec);
        assert!(hosts.iter().all(|host| host.ends_with("pr-7.shop.test")) && hosts.len() > 1, "{hosts:?}");
        spec.place.base = Some("Example.com".into());
        assert_eq!(names_of(&spec), hosts);
        spec.kind = StageKind::Production;
        let all = names_of(&spec);
        assert!(all.contains(&"example.com".to_owned()) && all.contains(&"*.example.com".to_owned()), "{all:?}");
        spec.kind = StageKind::Ephemeral;
        assert!(zones_of(&spec).contains(&"Example.com".to_owned()), "its share of what is made in the zone");
    }

    #[test]
    fn a_zone_is_for_whom_it_is_kept() {
        let zones: ZoneList = "example.com=acme/shop,shop.example.com=acme/web".parse().unwrap();
        let wall = Wall { zones, ..Wall::default() };
        let refused = |key: &str, name: &str| not_yours(&wall, &known(key, 1), name).is_some();
        assert!(!refused("acme/shop", "pr-1.example.com") && !refused("acme/web", "pr-1.shop.example.com"));
        assert!(refused("acme/shop", "shop.example.com"), "a part of it is another's");
        assert!(refused("acme/web", "example.com") && refused("acme.774/shop", "*.example.com"));
        assert!(!refused("acme/docs", "example.org"));
        let said = not_yours(&wall, &known("evil/shop", 1), "example.com").unwrap();
        assert!(said.contains("example.com=evil/shop") && !said.contains("acme"), "{said}");
    }

    #[test]
    fn who_has_a_name_is_told_to_its_own_repository_alone() {
        let own = taken(&stage("pr-7"), "a.test", &stage("prod"));
        assert!(own.contains("the stage prod"), "{own}");
        let other = StageId { repo: "acme/secret-plans".parse().unwrap(), name: "prod".parse().unwrap() };
        let said = taken(&stage("pr-7"), "a.test", &other);
        assert!(said.contains("another repository") && !said.contains("secret-plans"), "{said}");
    }

    #[test]
    fn a_variable_of_the_server_is_one_repositorys() {
        let mut spec = spec('a');
        let secret = |spec: &StageSpec| spec.service(&name("web")).unwrap().secrets["TOKEN"].clone();
        for service in &mut spec.services {
            service.secrets.insert("TOKEN".into(), SecretRef::ServerEnv("TOKEN".into()));
            service.secrets.insert("URL".into(), SecretRef::Ssm("TOKEN".into()));
        }
        assert_eq!(unbound_secrets(&spec).into_iter().collect::<Vec<_>>(), ["TOKEN"]);
        bind_secrets(&mut spec, &known("acme/shop", 774));
        assert!(unbound_secrets(&spec).is_empty());
        assert_eq!(secret(&spec), SecretRef::ServerEnv("774_TOKEN".into()));
        bind_secrets(&mut spec, &known("acme/shop", 774));
        assert_eq!(secret(&spec), SecretRef::ServerEnv("774_TOKEN".into()), "once");
        assert_eq!(spec.services[0].secrets["URL"], SecretRef::Ssm("TOKEN".into()));
    }
}
